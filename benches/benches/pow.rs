//! What the solver and the verifier of the proof of work make of the processor, beside the bare compression function of `sha2`: in one chain, where
//! each hash waits for the one before; of messages that do not depend on each other; and in two chains at once, on blocks that lie
//! ready, which is the most that a core does. All figures are hashes a second.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pow::{Parameters, Puzzle, hashcash, solve, verify};
use sha2::{
    Digest, Sha256, compress256,
    digest::generic_array::{GenericArray, typenum::U64},
};
use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
};

const PUZZLE: Puzzle = Puzzle { challenge: [1; 32], key: [2; 32] };
const HASHES: u64 = 1 << 20;

fn compress(state: &mut [u32; 8], block: &GenericArray<u8, U64>) {
    compress256(state, std::slice::from_ref(block));
}

/// On so many threads.
fn on_threads(threads: u64, work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(&work);
        }
        work();
    });
}

fn one_chain() {
    let (block, mut state) = (GenericArray::default(), [1; 8]);
    for _ in 0..HASHES {
        compress(&mut state, black_box(&block));
    }
    black_box(state);
}

fn two_chains() {
    let (block, mut left, mut right) = (GenericArray::default(), [1; 8], [2; 8]);
    for _ in 0..HASHES / 2 {
        compress(&mut left, black_box(&block));
        compress(&mut right, black_box(&block));
    }
    black_box((left, right));
}

fn messages() {
    let mut message = [0; 48];
    for number in 0..HASHES {
        message[..8].copy_from_slice(&number.to_le_bytes());
        black_box(Sha256::digest(message));
    }
}

fn rates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashes");
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(threads * HASHES));
        let bare: [(&str, fn()); 3] =
            [("bare/chain", one_chain), ("bare/messages", messages), ("bare/two chains", two_chains)];
        for (name, work) in bare {
            group.bench_function(BenchmarkId::new(name, threads), |bench| bench.iter(|| on_threads(threads, work)));
        }
        for (leaf_hashes, leaves_log2) in [(256, 14), (4096, 10)] {
            let parameters = Parameters::new(leaf_hashes, leaves_log2, 1).expect("within bounds");
            group.throughput(Throughput::Elements(parameters.total_hashes()));
            let name = BenchmarkId::new(format!("solver/w={leaf_hashes}"), threads);
            let threads = usize::try_from(threads).expect("a few");
            group.bench_function(name, |bench| {
                bench.iter(|| solve(&parameters, &PUZZLE, threads, &|_| {}, &AtomicBool::new(false)));
            });
        }
    }
    group.finish();
}

/// Counted as openings times w: all that a verifier does beyond that makes the rate smaller.
fn verifier(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verifier");
    for (leaf_hashes, leaves_log2, openings) in [(4096, 12, 93), (1024, 14, 1009), (2048, 14, 5108)] {
        let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds");
        let proof = solve(&parameters, &PUZZLE, 2, &|_| {}, &AtomicBool::new(false)).expect("nobody gives up");
        let opened = pow::Proof::from_bytes(&parameters, &PUZZLE, &proof).expect("a proof").opened().len() as u64;
        group.throughput(Throughput::Elements(opened * u64::from(leaf_hashes)));
        group.bench_function(BenchmarkId::new(format!("w={leaf_hashes}"), openings), |bench| {
            bench.iter(|| verify(&parameters, &PUZZLE, &proof).expect("it is good"));
        });
    }
    group.finish();
}

fn stamps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashcash");
    group.throughput(Throughput::Elements(HASHES));
    group.bench_function("attempts", |bench| {
        bench.iter(|| {
            let enough = AtomicBool::new(false);
            let progress = |attempts| enough.store(attempts >= HASHES, Ordering::Relaxed);
            hashcash::mint(&[3; 32], 255, 0, &progress, &enough)
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = rates, verifier, stamps }
criterion_main!(benches);
