//! A prover that leaves leaves out: it passes about as often as the lemma in `docs/proof-of-work.md` allows, and not more often.
//!
//! It knows the construction only by its description, works out some leaves, puts zeros in place of the others, and changes what
//! nobody may look at until a root opens nothing but what it has. Everything follows from numbers that are written here, so that
//! each run counts the same.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking"
)]

use pow::{FRACTION_BITS, NODE_BYTES, Parameters, Puzzle, verify};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

type Node = [u8; NODE_BYTES];

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

fn node(hash: [u8; 32]) -> Node {
    hash[..NODE_BYTES].try_into().expect("longer")
}

struct Cheat {
    parameters: Parameters,
    puzzle: Puzzle,
    seed: [u8; 32],
    layers: Vec<Vec<Node>>,
    /// Leaves that are worked out: all below this one.
    honest: u32,
    /// Hashes for the key so far, as the lemma counts them.
    queries: u64,
}

impl Cheat {
    fn new(parameters: Parameters, honest: u32, number: u64) -> Self {
        let puzzle = Puzzle { challenge: hash(&[b"challenge", &number.to_le_bytes()]), key: [0; 32] };
        let seed = hash(&[b"wc-pow1S", &puzzle.challenge, &puzzle.key]);
        let leaf = |number: u32| {
            let step = |x: [u8; 32], step: u32| hash(&[b"wc-pow1L", &number.to_le_bytes(), &step.to_le_bytes(), &x]);
            if number < honest { node((0..parameters.leaf_hashes()).fold(seed, step)) } else { [0; NODE_BYTES] }
        };
        let layers = vec![(0..parameters.leaves()).map(leaf).collect()];
        let queries = u64::from(honest) * u64::from(parameters.leaf_hashes());
        let mut cheat = Self { parameters, puzzle, seed, layers, honest, queries };
        for level in 0..usize::from(parameters.leaves_log2()) {
            let above =
                cheat.layers[level].chunks(2).map(|pair| node(hash(&[b"wc-pow1N", &pair[0], &pair[1]]))).collect();
            cheat.layers.push(above);
        }
        cheat
    }

    /// Another value for the last leaf, which is not worked out, and for what is above it.
    fn try_another_root(&mut self, attempt: u64) {
        let mut at = self.layers[0].len() - 1;
        self.layers[0][at] = node(hash(&[b"anything", &attempt.to_le_bytes()]));
        for level in 0..self.layers.len() - 1 {
            at /= 2;
            let (left, right) = (self.layers[level][2 * at], self.layers[level][2 * at + 1]);
            self.layers[level + 1][at] = node(hash(&[b"wc-pow1N", &left, &right]));
        }
    }

    fn opened(&mut self) -> BTreeSet<u32> {
        self.queries += 1;
        let root = self.layers.last().expect("a root")[0];
        let draws = (0..).flat_map(|counter: u32| {
            let digest = hash(&[b"wc-pow1O", &self.seed, &root, &counter.to_le_bytes()]);
            digest.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four)).collect::<Vec<_>>()
        });
        draws.take(self.parameters.openings().into()).map(|number| number % self.parameters.leaves()).collect()
    }

    fn proof(&self, opened: &BTreeSet<u32>) -> Vec<u8> {
        let mut proof = vec![self.layers.last().expect("a root")[0]];
        proof.extend(opened.iter().map(|number| self.layers[0][*number as usize]));
        let mut layer = opened.clone();
        for level in 0..usize::from(self.parameters.leaves_log2()) {
            let beside = layer.iter().map(|number| number ^ 1).filter(|number| !layer.contains(number));
            proof.extend(beside.map(|number| self.layers[level][number as usize]));
            layer = layer.iter().map(|number| number / 2).collect();
        }
        proof.into_flattened()
    }

    /// Tries so many roots; true if one of them passes.
    fn passes(&mut self, roots: u64) -> bool {
        (0..roots).any(|attempt| {
            self.try_another_root(attempt);
            let opened = self.opened();
            let lucky = opened.iter().all(|number| *number < self.honest);
            // Whatever it believes, the verifier decides; an unlucky proof is only shown at times, for they are many.
            if lucky || attempt % 64 == 0 {
                let passed = verify(&self.parameters, &self.puzzle, &self.proof(&opened)).is_ok();
                assert_eq!(passed, lucky);
            }
            lucky
        })
    }
}

/// The lemma's first term, in millionths, rounded up.
fn bound(parameters: &Parameters, queries: u64) -> u64 {
    let bits = parameters.error_bits(queries) as f64 / (1_u64 << FRACTION_BITS) as f64;
    ((-bits).exp2() * 1e6).ceil() as u64
}

/// How many of `cheats` pass.
fn count(parameters: Parameters, honest: u32, roots: u64, cheats: u64) -> (u64, u64) {
    let (mut passed, mut queries) = (0, 0);
    for number in 0..cheats {
        let mut cheat = Cheat::new(parameters, honest, number);
        passed += u64::from(cheat.passes(roots));
        queries = queries.max(cheat.queries);
    }
    (passed, queries)
}

/// `expected` plus or minus five standard deviations of a binomial count: outside once in a million times, if the numbers were not
/// fixed.
fn assert_about(passed: u64, expected: f64, cheats: u64) {
    let deviation = (expected * (1.0 - expected / cheats as f64)).sqrt();
    assert!((passed as f64 - expected).abs() <= 5.0 * deviation, "{passed}, expected about {expected:.1} of {cheats}");
}

#[test]
fn one_root_passes_as_often_as_all_openings_are_good() {
    let cheats = 4000;
    for (honest, openings) in [(28, 4), (24, 6), (16, 3)] {
        let parameters = Parameters::new(4, 5, openings).expect("within bounds");
        let (passed, _) = count(parameters, honest, 1, cheats);
        let chance = (f64::from(honest) / 32.0).powi(openings.into());
        assert!(passed > 100, "there is something to count");
        assert_about(passed, chance * cheats as f64, cheats);
    }
}

#[test]
fn trying_roots_multiplies_the_chance_and_stays_within_the_bound() {
    let cheats = 2000;
    for (leaf_hashes, leaves_log2, honest, openings, roots) in
        [(1, 10, 560, 14, 40), (4, 8, 150, 16, 40), (16, 6, 32, 10, 15)]
    {
        let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds");
        let (passed, queries) = count(parameters, honest, roots, cheats);
        let one = (f64::from(honest) / f64::from(parameters.leaves())).powi(openings.into());
        let chance = 1.0 - (1.0 - one).powf(roots as f64);
        assert!(passed > 8, "there is something to count: {passed}");
        assert_about(passed, chance * cheats as f64, cheats);
        let bound = bound(&parameters, queries);
        assert!(bound < 600_000, "a bound that says something");
        assert!(passed * 1_000_000 <= bound * cheats, "{passed} of {cheats}, the lemma allows {bound} in a million");
    }
}

#[test]
fn without_all_leaves_no_proof_passes_where_the_bound_is_small() {
    let parameters = Parameters::new(64, 5, 130).expect("within bounds");
    let (passed, queries) = count(parameters, 24, 60, 50);
    assert!(parameters.error_bits(queries) > 40 << FRACTION_BITS);
    assert_eq!(passed, 0);
}
