//! Honest strangers and an adversary fight for open sessions on a real cluster of four nodes. The adversary's hashes are counted, not
//! timed: it has as many as the session's terms reckon with, and spends them as well as it can. Run by `scripts/sybil-demo`.

use std::{hint::black_box, time::Instant};
use white_city_tests::{
    cluster::Cluster,
    sybil::{self, Fight, Outcome},
};
use wire::Stamp;

const NODES: usize = 4;
/// Hash power of the adversaries, as multiples of an honest device.
const MULTIPLES: [u32; 4] = [1, 2, 4, 10];
const FLOOD_BITS: u8 = 20;
const FLOOD: usize = 1000;
const STAMPS: u32 = 32;
const TIMED: u32 = 20_000;

async fn fight(cluster: &Cluster, adversary: u32, excess: u64) -> Outcome {
    let terms = sybil::terms(adversary);
    sybil::fight(cluster, &Fight { terms, excess }).await.expect("the honest come through")
}

/// Nanoseconds of one hash and of one signature checked, here and now.
fn nanoseconds() -> [f64; 2] {
    let each = |started: Instant, times: u32| started.elapsed().as_nanos() as f64 / f64::from(times);
    let context =
        Stamp::context(&"bench".parse().expect("a name"), &wire::SessionId([1; 32]), &wire::PublicKey([2; 32]), 3);
    let started = Instant::now();
    for nonce in 0..TIMED {
        black_box(pow::hashcash::check(&context.0, 64, black_box(nonce.into())));
    }
    let hash = each(started, TIMED);
    let chain: wire::ChainId = "bench".parse().expect("a name");
    let identity = client_sdk::Identity::generate(&mut rand_core::OsRng);
    let operation = wire::Operation::Terminate { session: wire::SessionId([1; 32]) };
    let signed = identity.sign(&chain, operation, rand_core::OsRng);
    let started = Instant::now();
    for _ in 0..TIMED / 20 {
        black_box(signed.clone().verify(&chain).expect("it is right"));
    }
    [hash, each(started, TIMED / 20)]
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(NODES, &[]).await;
    println!("Open sessions on {NODES} nodes; every hash of the adversary is counted.\n");
    println!(
        "| adversary's power | its hashes | of one proof | honest parties | all of them in | full proofs it can pay | refused | identities gained | bound |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for multiple in MULTIPLES {
        let Outcome { honest, bound, gained, refused, budget, proof, .. } = fight(&cluster, multiple, 1).await;
        let paid = budget / proof;
        println!("| {multiple} | {budget} | {proof} | {honest} | yes | {paid} | {refused} | {gained} | {bound} |");
        assert!(gained <= bound, "the bound does not hold");
    }
    let Outcome { bound, gained, .. } = fight(&cluster, 1, 3).await;
    println!(
        "\nWith three times the hashes that a session's terms reckon with, it gets {gained}, where they promise {bound}: the bound is"
    );
    println!("one for the adversary that is stated, and no more.\n");

    let flood = sybil::flood(&cluster, FLOOD_BITS, FLOOD, STAMPS).await.expect("the cluster answers");
    let [hash, signature] = nanoseconds();
    let node = 1.0 + signature / hash;
    println!(
        "{} requests without work: all refused after {:.2} s, none on the list.",
        flood.refused,
        flood.took.as_secs_f64()
    );
    println!(
        "A request that counts takes {:.0} hashes (mean of {} stamps of {FLOOD_BITS} bits), looking at one {node:.0} (one hash and one",
        flood.stamp_hashes, flood.stamps
    );
    println!("signature, {hash:.0} + {signature:.0} ns): {:.0} times less.", flood.stamp_hashes / node);
}
