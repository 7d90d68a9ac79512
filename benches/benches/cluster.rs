//! A real cluster of four nodes on this machine: how long a write takes when nothing else happens, and how long strangers take from
//! opening a session to a verified signature. A program of its own, for what it times takes milliseconds to seconds.
//!
//! `cargo bench -p white-city-benches --bench cluster` builds the nodes in release first: see scripts/bench.

use std::time::Instant;
use white_city_benches::{figures::Quantiles, small};
use white_city_tests::{cluster::Cluster, signing};

const NODES: usize = 4;
const WRITES: u32 = 200;
const RUNS: usize = 3;

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
    let [receipts, certificates] = small::idle_writes(&cluster, WRITES).await;
    println!("| idle, {NODES} nodes, {WRITES} writes | p50 | p90 | p99 |");
    println!("|---|---|---|---|");
    for (what, Quantiles { p50, p90, p99, .. }) in
        [("receipt", receipts), ("answer with its certificate", certificates)]
    {
        println!("| POST to {what} | {p50:.1} ms | {p90:.1} ms | {p99:.1} ms |");
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
