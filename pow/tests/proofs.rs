//! Proofs as a verifier sees them: honest ones pass, and nothing else does.

use pow::{BadProof, NODE_BYTES, Parameters, Proof, Puzzle, Solver, solve, verify};
use proptest::prelude::*;
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

const PUZZLE: Puzzle = Puzzle { challenge: [7; 32], key: [8; 32] };

fn parameters(leaf_hashes: u32, leaves_log2: u8, openings: u16) -> Parameters {
    Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds")
}

fn solved(parameters: &Parameters, puzzle: &Puzzle) -> Vec<u8> {
    solve(parameters, puzzle, 2, &|_| {}, &AtomicBool::new(false)).expect("nobody gives up")
}

#[test]
fn honest_proofs_pass_in_every_shape() {
    // From two leaves to trees of which a layer far above the leaves is kept, with one opening and with more than leaves.
    for (leaf_hashes, leaves_log2, openings) in
        [(1, 1, 1), (1, 1, 50), (3, 2, 2), (2, 5, 40), (5, 7, 3), (1, 12, 1), (1, 17, 1), (2, 16, 4), (100_000, 3, 2)]
    {
        let parameters = parameters(leaf_hashes, leaves_log2, openings);
        let proof = solved(&parameters, &PUZZLE);
        assert_eq!(verify(&parameters, &PUZZLE, &proof), Ok(()), "{parameters:?}");
        assert!((parameters.min_proof_bytes()..=parameters.max_proof_bytes()).contains(&proof.len()));
        let parsed = Proof::from_bytes(&parameters, &PUZZLE, &proof).expect("it is one");
        assert_eq!(parsed.to_bytes(), proof);
    }
}

#[test]
fn the_same_puzzle_has_one_proof_on_any_number_of_threads() {
    let parameters = parameters(4, 14, 10);
    let proofs = [0, 1, 2, 5].map(|threads| solve(&parameters, &PUZZLE, threads, &|_| {}, &AtomicBool::new(false)));
    assert!(proofs.iter().all(|proof| *proof == proofs[0]));
}

#[test]
fn any_changed_byte_is_refused() {
    let parameters = parameters(3, 8, 12);
    let proof = solved(&parameters, &PUZZLE);
    for position in 0..proof.len() {
        for bit in 0..8 {
            let mut changed = proof.clone();
            changed[position] ^= 1 << bit;
            assert!(verify(&parameters, &PUZZLE, &changed).is_err(), "byte {position}, bit {bit}");
        }
    }
}

#[test]
fn what_is_wrong_first_is_said() {
    let parameters = parameters(3, 8, 12);
    let proof = solved(&parameters, &PUZZLE);
    let mut changed = proof.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert_eq!(verify(&parameters, &PUZZLE, &changed), Err(BadProof::NotInTree), "what stands beside a path");
}

/// Of the shapes in `docs/proof-of-work.md` whose leaves are long enough, the tree and the openings are a small part.
#[test]
fn verifying_takes_little_more_than_the_opened_leaves() {
    for (leaf_hashes, leaves_log2, openings) in
        [(4096, 17, 93), (2287, 18, 126), (5721, 19, 180), (2860, 20, 247), (11673, 20, 5114)]
    {
        let parameters = parameters(leaf_hashes, leaves_log2, openings);
        let leaves = u64::from(leaf_hashes) * u64::from(openings);
        assert!(
            parameters.verifier_hashes() <= leaves + leaves / 5,
            "{parameters:?}: {} hashes",
            parameters.verifier_hashes()
        );
    }
}

#[test]
fn shorter_longer_and_rearranged_ones_are_refused() {
    let parameters = parameters(3, 8, 12);
    let proof = solved(&parameters, &PUZZLE);
    for length in 0..proof.len() {
        let error = verify(&parameters, &PUZZLE, &proof[..length]).unwrap_err();
        assert_eq!(error, BadProof::Length { bytes: length });
    }
    for extra in 1..=3 * NODE_BYTES {
        let longer = [proof.clone(), vec![0; extra]].concat();
        assert_eq!(verify(&parameters, &PUZZLE, &longer), Err(BadProof::Length { bytes: longer.len() }));
    }
    let (nodes, _) = proof.as_chunks::<NODE_BYTES>();
    for first in 0..nodes.len() {
        for second in first + 1..nodes.len() {
            let mut swapped = nodes.to_vec();
            swapped.swap(first, second);
            assert!(verify(&parameters, &PUZZLE, swapped.as_flattened()).is_err(), "{first} and {second}");
        }
    }
}

#[test]
fn a_proof_is_for_one_key_one_challenge_and_one_amount_of_work() {
    let asked = parameters(6, 9, 10);
    let proof = solved(&asked, &PUZZLE);
    assert!(verify(&asked, &Puzzle { key: [9; 32], ..PUZZLE }, &proof).is_err());
    assert!(verify(&asked, &Puzzle { challenge: [9; 32], ..PUZZLE }, &proof).is_err());
    assert!(verify(&asked, &Puzzle { challenge: PUZZLE.key, key: PUZZLE.challenge }, &proof).is_err());
    for other in [parameters(7, 9, 10), parameters(5, 9, 10), parameters(6, 10, 10), parameters(6, 9, 11)] {
        assert!(verify(&other, &PUZZLE, &proof).is_err(), "{other:?}");
    }
}

#[test]
fn progress_rises_to_the_whole_and_work_is_given_up_when_asked() {
    let parameters = parameters(64, 13, 5);
    let cancel = AtomicBool::new(false);
    let told = Mutex::new(vec![0]);
    let solver = Solver::new(parameters, PUZZLE);
    let progress = |done| {
        let mut told = told.lock().unwrap();
        told.push(done);
        cancel.store(told.len() == 4, Ordering::Relaxed);
    };
    assert!(solver.run(1, &progress, &cancel).is_err());
    assert!(solver.done_hashes() > 0 && solver.done_hashes() < parameters.total_hashes());
    assert_eq!(solver.done_hashes(), *told.lock().unwrap().last().unwrap());
    let proof = solver.run(1, &progress, &AtomicBool::new(false)).expect("the rest is done");
    assert_eq!(proof, solved(&parameters, &PUZZLE));
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&parameters.total_hashes()), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bytes_from_anywhere_are_refused(
        nodes in proptest::collection::vec(any::<[u8; NODE_BYTES]>(), 0..80),
        cut in 0..NODE_BYTES,
    ) {
        let bytes = nodes.as_flattened();
        let bytes = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert!(verify(&parameters(1, 6, 9), &PUZZLE, bytes).is_err());
    }

    #[test]
    fn any_shape_and_puzzle_is_solved(
        challenge: [u8; 32], key: [u8; 32], leaf_hashes in 1..20_u32, leaves_log2 in 1..11_u8, openings in 1..60_u16,
    ) {
        let (parameters, puzzle) = (parameters(leaf_hashes, leaves_log2, openings), Puzzle { challenge, key });
        prop_assert_eq!(verify(&parameters, &puzzle, &solved(&parameters, &puzzle)), Ok(()));
    }
}
