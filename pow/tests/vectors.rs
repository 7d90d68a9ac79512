//! `tests/pow/vectors.json` comes from another implementation (`tests/scripts/check_pow_vectors.py`): what it says is what happens here.

use pow::{FRACTION_BITS, Parameters, Puzzle, Terms, Wishes, choose, hashcash, solve, verify};
use serde::Deserialize;
use std::sync::atomic::AtomicBool;

#[derive(Deserialize)]
struct Vectors {
    proofs: Vec<Proof>,
    stamps: Vec<Stamp>,
    bounds: Vec<Bound>,
    theorem: Vec<Point>,
}

#[derive(Deserialize)]
struct Proof {
    leaf_hashes: u32,
    leaves_log2: u8,
    openings: u16,
    challenge: String,
    key: String,
    proof: String,
}

#[derive(Deserialize)]
struct Stamp {
    context: String,
    bits: u8,
    start: u64,
    nonce: u64,
}

#[derive(Deserialize)]
struct Bound {
    name: String,
    leaf_hashes: u32,
    leaves_log2: u8,
    openings: u16,
    adversary: u32,
    hash_rate: u64,
    slack_ms: u64,
    head_start_ms: u64,
    soundness_bits: u16,
    total_hashes: u64,
    tolerated_hashes: u64,
    half_error_millibits: i128,
    solving_ms: u64,
    identities: u64,
}

/// Theorem 4.6 for leaves of one hash each: openings at xi = 2t/(2t+1) and time_proof = (2t+1) T_sol pi.
#[derive(Deserialize)]
struct Point {
    adversary: u32,
    hash_rate: u64,
    slack_ms: u64,
    soundness_bits: u16,
    openings: u16,
}

fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/pow/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("vectors")
}

fn bytes(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

#[test]
fn both_make_the_same_proofs() {
    let proofs = vectors().proofs;
    assert!(proofs.len() >= 5);
    for vector in proofs {
        let parameters =
            Parameters::new(vector.leaf_hashes, vector.leaves_log2, vector.openings).expect("within bounds");
        let puzzle = Puzzle { challenge: bytes(&vector.challenge), key: bytes(&vector.key) };
        let theirs = hex::decode(&vector.proof).expect("hex");
        assert_eq!(verify(&parameters, &puzzle, &theirs), Ok(()), "{parameters:?}");
        assert_eq!(solve(&parameters, &puzzle, 2, &|_| {}, &AtomicBool::new(false)), Ok(theirs), "{parameters:?}");
    }
}

#[test]
fn both_find_the_same_stamps() {
    for Stamp { context, bits, start, nonce } in vectors().stamps {
        let context = bytes(&context);
        assert!(hashcash::check(&context, bits, nonce));
        assert_eq!(hashcash::mint(&context, bits, start, &|_| {}, &AtomicBool::new(false)), Some(nonce));
    }
}

#[test]
fn both_bound_alike() {
    for bound in vectors().bounds {
        let parameters = Parameters::new(bound.leaf_hashes, bound.leaves_log2, bound.openings).expect("within bounds");
        let Bound { hash_rate, slack_ms, head_start_ms, adversary, soundness_bits, name, .. } = bound;
        let terms = Terms { parameters, hash_rate, slack_ms, head_start_ms, adversary, soundness_bits };
        assert_eq!(parameters.total_hashes(), bound.total_hashes, "{name}");
        assert_eq!(parameters.tolerated_hashes(soundness_bits), bound.tolerated_hashes, "{name}");
        let error = parameters.error_bits(parameters.total_hashes() / 2) * 1000;
        assert_eq!(error.div_euclid(1 << FRACTION_BITS), bound.half_error_millibits, "{name}");
        assert_eq!(terms.solving_ms(), bound.solving_ms, "{name}");
        assert_eq!(terms.identities(), Ok(bound.identities), "{name}");
    }
}

#[test]
fn the_calculator_agrees_with_the_theorem() {
    for Point { adversary, hash_rate, slack_ms, soundness_bits, openings } in vectors().theorem {
        // At exactly that work one identity more would be just within reach, and a verifier with much time allows leaves so long
        // that inner nodes hardly count, which the theorem's leaves are not.
        let wishes = Wishes {
            adversary,
            hash_rate,
            work_ms: Wishes::paper_work_ms(adversary, slack_ms, 0) + 1000,
            slack_ms,
            head_start_ms: 0,
            soundness_bits,
            max_proof_bytes: 1 << 22,
            max_verifier_hashes: 1 << 26,
        };
        let choice = choose(&wishes).expect("there is one");
        assert_eq!(choice.identities, u64::from(adversary));
        let found = choice.terms.parameters.openings();
        assert!(found.abs_diff(openings) <= openings.div_ceil(40), "{found} openings, {openings} in theory");
    }
}
