//! Counters for Prometheus. The recorder belongs to the process: several nodes in one process share it.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{sync::OnceLock, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often measured values are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const OPERATIONS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// All counters in Prometheus' text format.
pub fn render() -> String {
    handle().render()
}

/// Installs the recorder if nobody has: what is counted before is lost.
pub fn start() {
    let _ = handle();
}

/// Installs the recorder if nobody has, and keeps it tidy until `shutdown`.
pub fn keep_up(shutdown: CancellationToken) {
    let handle = handle();
    tokio::spawn(async move {
        while tokio::time::timeout(UPKEEP, shutdown.cancelled()).await.is_err() {
            handle.run_upkeep();
        }
    });
}

fn handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_operations".to_owned()), OPERATIONS))
            .expect("the bucket lists above are not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    metrics::describe_counter!("white_city_requests_total", "Requests by route and status.");
    metrics::describe_histogram!("white_city_request_seconds", "Time to the answer's head, by route.");
    metrics::describe_histogram!("white_city_receipt_seconds", "From a POST to the receipt of all its operations.");
    metrics::describe_histogram!("white_city_batch_operations", "Operations of one transaction.");
    metrics::describe_gauge!("white_city_waiting_operations", "Operations that are handed in and not decided.");
    metrics::describe_histogram!("white_city_bundle_operations", "Operations of one bundle.");
    metrics::describe_histogram!("white_city_delivery_seconds", "From a bundle's delivery to enough confirmations.");
    metrics::describe_counter!(
        "white_city_deliveries_withheld_total",
        "Deliveries that a node was too slow to be sent."
    );
    metrics::describe_gauge!("white_city_payloads_pending", "Payloads that wait for the board's decision.");
    metrics::describe_gauge!("white_city_payloads_missing", "Accepted writes whose payloads are not here yet.");
    metrics::describe_counter!("white_city_payloads_refused_total", "Payloads that this node has not confirmed.");
    metrics::describe_counter!("white_city_payloads_fetched_total", "Payloads that other nodes had to give.");
    metrics::describe_counter!(
        "white_city_payload_orphans_total",
        "Payloads dropped, for no block accepted them in time."
    );
    metrics::describe_counter!(
        "white_city_broken_promises_total",
        "Payloads that the node confirmed and does not give."
    );
    metrics::describe_counter!(
        "white_city_reads_without_payload_total",
        "Reads that a payload did not come in time for."
    );
    metrics::describe_counter!("white_city_listed_total", "Keys that have registered, and that have solved, by list.");
    metrics::describe_counter!("white_city_solutions_verified_total", "Proofs of work verified, by verdict.");
    metrics::describe_counter!("white_city_solutions_refused_total", "Solutions refused without a look at the proof.");
    metrics::describe_histogram!("white_city_verification_seconds", "To verify one proof of work.");
    metrics::describe_gauge!("white_city_verification_queue", "Proofs of work that wait to be verified.");
    metrics::describe_histogram!("white_city_challenge_seconds", "From the end of requests to the challenge.");
    metrics::describe_counter!("white_city_bad_challenge_shares_total", "What the node gave instead of its share.");
    metrics::describe_gauge!("white_city_waits", "Reads and event streams that wait.");
    metrics::describe_gauge!("white_city_connections", "Open connections.");
    metrics::describe_histogram!("white_city_certificate_seconds", "From a block's execution to its certificate.");
    metrics::describe_gauge!("white_city_certified_height", "Height that reads are answered from.");
    metrics::describe_counter!("white_city_missing_shares_total", "Certified heights of which the node was silent.");
    metrics::describe_counter!("white_city_bad_shares_total", "What the node has sent and no honest node sends.");
    metrics::describe_counter!("white_city_diverged_total", "Certified boards that are not the ones executed here.");
    metrics::describe_gauge!("white_city_key_epoch", "Epoch of the newest threshold key in force.");
    metrics::describe_gauge!("white_city_key_share", "1 if this node has its share of that key.");
    metrics::describe_gauge!("white_city_generation_phase", "1 for the phase in which the newest generation is.");
    metrics::describe_gauge!("white_city_generation_attempt", "Runs of it that came to nothing.");
    metrics::describe_counter!("white_city_generation_steps_total", "Steps that this node had to take, by step.");
    metrics::describe_gauge!(
        "white_city_channel_connected",
        "1 if this node reaches the named one on the node channel."
    );
    metrics::describe_counter!(
        "white_city_channel_refused_total",
        "Connections to the node channel by nobody of genesis."
    );
}
