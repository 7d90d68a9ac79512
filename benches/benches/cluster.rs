//! A real cluster of four nodes on this machine: how long a write takes when nothing else happens, and how long strangers take from
//! opening a session to a verified signature. A program of its own, for what it times takes milliseconds to seconds.
//!
//! `cargo bench -p white-city-benches --bench cluster` builds the nodes in release first: see scripts/bench.

use client_sdk::{Client, Identity, Options, Session, identity_file};
use rand_core::OsRng;
use std::time::{Duration, Instant};
use white_city_tests::{cluster::Cluster, signing};
use wire::{
    Bytes, Certificate, MailboxId, MailboxKind, Operation, Submission, SubmissionOutcome, api::Outcome, message_digest,
};

const NODES: usize = 4;
const WRITES: u32 = 200;
/// After a write the chain makes one more block for the new root. Then it is idle.
const REST: Duration = Duration::from_millis(150);
const RUNS: usize = 3;

/// Of each write the milliseconds from POST to receipt, and from there to the answer with the certificate of its block, for which the
/// node is asked at once: a request more, so that what a certificate takes is at most that.
async fn idle_writes(cluster: &Cluster) -> [Vec<f64>; 2] {
    let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
    let writer = Identity::generate(&mut OsRng);
    let client = Client::new(cluster.network.clone()).expect("the network file is sound");
    let session = client.create(&operator, signing::spec(vec![writer.public()])).await.expect("the operator may");
    Session::join(&client, &writer, &session, Options::default()).await.expect("the writer is listed");

    let http = reqwest::Client::new();
    let (mut commits, mut certificates) = (Vec::new(), Vec::new());
    for round in 0..WRITES {
        let payload = Bytes(vec![7; 200]);
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let mailbox = MailboxId { session, kind: MailboxKind::Broadcast, round };
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        let operations = vec![writer.envelope(&cluster.network.chain, operation, payload, OsRng)];
        let node = &cluster.network.nodes[usize::try_from(round).unwrap_or(0) % NODES];
        tokio::time::sleep(REST).await;
        let request = http.post(format!("{}/v1/operations?wait=commit", node.url)).json(&Submission { operations });
        let started = Instant::now();
        let outcome: SubmissionOutcome =
            request.send().await.expect("the node answers").json().await.expect("with outcomes");
        commits.push(started.elapsed().as_secs_f64() * 1000.0);
        let Outcome::Decided { receipt } = &outcome.operations[0].outcome else { panic!("{outcome:?}") };
        let height = receipt.body.fact.height;
        let request = http.get(format!("{}/v1/certificate?height={height}&timeout_ms=5000", node.url));
        let decided = Instant::now();
        let certificate: Certificate =
            request.send().await.expect("the node answers").json().await.expect("with a certificate");
        certificates.push(decided.elapsed().as_secs_f64() * 1000.0);
        assert!(certificate.at.height >= height, "{certificate:?}");
    }
    commits.sort_by(f64::total_cmp);
    certificates.sort_by(f64::total_cmp);
    [commits, certificates]
}

/// Seconds to a running session, to a key, and to a verified signature, one after the other.
async fn strangers(cluster: &Cluster, n: usize) -> [f64; 3] {
    let started = Instant::now();
    let seated = signing::seat(&cluster.network, &cluster.operator_file(), n).await;
    let (_, mut parties) = seated.expect("the parties are listed");
    let handshake = started.elapsed().as_secs_f64();
    signing::generate_key(&mut parties).await.expect("nobody cheats");
    let key = started.elapsed().as_secs_f64();
    signing::sign(&parties, 0, b"a file").await.expect("nobody cheats");
    [handshake, key - handshake, started.elapsed().as_secs_f64() - key]
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(NODES, &[]).await;
    let [commits, certificates] = idle_writes(&cluster).await;
    println!("| idle, {NODES} nodes, {WRITES} writes | p50 | p90 | p99 |");
    println!("|---|---|---|---|");
    for (what, times) in [("POST to receipt", commits), ("receipt to certificate", certificates)] {
        let quantile = |q: usize| times[(times.len() - 1) * q / 100];
        println!("| {what} | {:.1} ms | {:.1} ms | {:.1} ms |", quantile(50), quantile(90), quantile(99));
    }
    println!();
    println!("| strangers, {NODES} nodes | create and handshake | key generation | signing | all |");
    println!("|---|---|---|---|---|");
    for n in [5, 64] {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(strangers(&cluster, n).await);
        }
        runs.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum()));
        let [handshake, key, signing] = runs[RUNS / 2];
        let all = handshake + key + signing;
        println!("| {n} parties, median of {RUNS} | {handshake:.2} s | {key:.2} s | {signing:.2} s | {all:.2} s |");
    }
}
