//! From empty folders to a threshold key: real nodes on this machine, from the start of the last process until every node has the key in
//! force and a board that is certified under it. A program of its own, for what it times takes seconds.
//!
//! `cargo bench -p white-city-benches --bench generation` builds the nodes in release first: see scripts/bench.

use futures::future::join_all;
use std::time::{Duration, Instant};
use white_city_tests::cluster::{Cluster, READY};
use wire::{Certificate, GenerationPhase, api::NodeStatus};

/// Between two looks at a node; that is how exact the times are.
const LOOK: Duration = Duration::from_millis(10);
const RUNS: usize = 3;

/// Seconds from the start of the last process.
#[derive(Clone, Copy, Default)]
struct Times {
    /// All gateways answer.
    answering: f64,
    /// All have dealt, as the first node sees it,
    dealt: f64,
    /// have looked at all dealings,
    checked: f64,
    /// and f + 1 have vouched for the key.
    endorsed: f64,
    /// The key is in force at every node,
    in_force: f64,
    /// and every node has a certificate under it.
    certified: f64,
}

async fn make(nodes: usize) -> Times {
    let mut cluster = Cluster::create(nodes, &[]);
    cluster.start_all();
    let started = Instant::now();
    let http = reqwest::Client::new();
    let phase_at_first = async {
        let at = |phase| {
            let (http, url) = (http.clone(), cluster.nodes[0].url.clone());
            async move {
                until(|| reached(&http, &url, phase)).await;
                started.elapsed().as_secs_f64()
            }
        };
        let dealt = at(GenerationPhase::Checking).await;
        let checked = at(GenerationPhase::Endorsing).await;
        (dealt, checked, at(GenerationPhase::Done).await)
    };
    let everywhere = join_all(cluster.nodes.iter().map(|node| async {
        until(|| async { http.get(format!("{}/livez", node.url)).send().await.is_ok() }).await;
        let answering = started.elapsed().as_secs_f64();
        until(|| reached(&http, &node.url, GenerationPhase::Done)).await;
        let in_force = started.elapsed().as_secs_f64();
        until(|| is_certified(&http, &node.url)).await;
        [answering, in_force, started.elapsed().as_secs_f64()]
    }));
    let ((dealt, checked, endorsed), everywhere) = tokio::join!(phase_at_first, everywhere);
    let last = |which: usize| everywhere.iter().map(|times| times[which]).fold(0.0, f64::max);
    Times { answering: last(0), dealt, checked, endorsed, in_force: last(1), certified: last(2) }
}

async fn until<F: Future<Output = bool>>(look: impl Fn() -> F) {
    let started = Instant::now();
    while !look().await {
        assert!(started.elapsed() < READY, "the cluster makes no key");
        tokio::time::sleep(LOOK).await;
    }
}

async fn reached(http: &reqwest::Client, url: &str, phase: GenerationPhase) -> bool {
    let Ok(answer) = http.get(format!("{url}/v1/status")).send().await else { return false };
    let Ok(status) = answer.json::<NodeStatus>().await else { return false };
    status.generation.is_some_and(|generation| generation.phase >= phase)
}

async fn is_certified(http: &reqwest::Client, url: &str) -> bool {
    let Ok(answer) = http.get(format!("{url}/v1/certificate")).send().await else { return false };
    answer.json::<Certificate>().await.is_ok_and(|certificate| certificate.epoch > 0)
}

#[tokio::main]
async fn main() {
    println!(
        "| from the start of the last process | all answer | dealt | checked | endorsed | in force at all | certified at all |"
    );
    println!("|---|---|---|---|---|---|---|");
    for nodes in [4, 16] {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(make(nodes).await);
        }
        runs.sort_by(|a, b| a.certified.total_cmp(&b.certified));
        let Times { answering, dealt, checked, endorsed, in_force, certified } = runs[RUNS / 2];
        println!(
            "| {nodes} nodes, median of {RUNS} | {answering:.2} s | {dealt:.2} s | {checked:.2} s | {endorsed:.2} s | {in_force:.2} s | {certified:.2} s |"
        );
    }
}
