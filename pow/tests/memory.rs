//! The solver keeps within the memory that its parameters state. One test: an allocator counts for the whole process.

use peak_alloc::PeakAlloc;
use pow::{Parameters, Puzzle, THREAD_BYTES, solve, verify};
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PUZZLE: Puzzle = Puzzle { challenge: [3; 32], key: [4; 32] };

/// What `work` has in use beyond what was there before, at its peak.
fn peak<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (ALLOCATOR.peak_usage().saturating_sub(before) as u64, result)
}

#[test]
fn memory_stays_within_what_is_stated() {
    let shapes = [
        (1, 20, 1),
        (1, 20, 93),
        (1, 17, 8192),
        (16, 16, 40),
        (4096, 10, 93),
        (2, 18, 1009),
        (1 << 17, 3, 5),
        (1, 1, 1),
    ];
    for (leaf_hashes, leaves_log2, openings) in shapes {
        let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds");
        for threads in [1, 4] {
            let (peak_bytes, proof) = peak(|| solve(&parameters, &PUZZLE, threads, &|_| {}, &AtomicBool::new(false)));
            let proof = proof.expect("nobody gives up");
            let stated = parameters.memory_bytes() + (threads as u64 - 1) * THREAD_BYTES;
            assert!(peak_bytes <= stated, "{parameters:?}, {threads} threads: {peak_bytes} of {stated} bytes");
            let (peak_bytes, verified) = peak(|| verify(&parameters, &PUZZLE, &proof));
            assert_eq!(verified, Ok(()));
            let stated = 20 * parameters.max_proof_bytes() as u64;
            assert!(peak_bytes <= stated, "{parameters:?}: verifying takes {peak_bytes} of {stated} bytes");
        }
    }
    // What is stated fits a phone.
    for (leaf_hashes, leaves_log2, openings) in [(4096, 18, 93), (2287, 18, 137), (2860, 20, 247)] {
        let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds");
        assert!(parameters.memory_bytes() < 4_000_000, "{} bytes", parameters.memory_bytes());
    }
    let most = Parameters::new(16_383, 26, 8192).expect("within bounds");
    assert!(most.memory_bytes() < 250_000_000, "{} bytes", most.memory_bytes());
}
