//! Proof of work: what makes identities expensive where anybody may register.
//!
//! The paper's §III-A: a prover makes a Merkle tree over L leaves that depend on a challenge and on its public key; the root
//! decides which m of them it opens. Here a leaf is a chain of w hashes, so that trees stay small enough for phones. The work is
//! almost the same for everybody, luck has no part in it, and verifying takes m leaves. `docs/proof-of-work.md` has construction, proofs, bounds
//! and costs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`parameters`] | w, L and m within their bounds; sizes, costs and the error bound |
//! | [`proof`] | puzzles, proofs and verifying |
//! | [`solver`] | solving: on several threads, with progress, given up and resumed |
//! | [`terms`] | how many identities an adversary gets (Theorem 4.6) |
//! | [`choice`] | the calculator that chooses parameters |
//! | [`hashcash`] | stamps for requests |
//! | [`error`] | what can be wrong |
//!
//! Nothing here has a clock, randomness, floats or I/O; with the feature `threads` the solver starts threads.

mod checkpoint;
mod hash;
mod logarithm;
mod tree;
mod workers;

pub mod choice;
pub mod error;
pub mod hashcash;
pub mod parameters;
pub mod proof;
pub mod solver;
pub mod terms;

pub use choice::{Choice, Wishes, choose};
pub use error::{BadProof, Cancelled, Error};
pub use hash::{NODE_BYTES, VERSION};
pub use logarithm::FRACTION_BITS;
pub use parameters::{
    MAX_LEAF_HASHES, MAX_LEAVES_LOG2, MAX_OPENINGS, MAX_TOTAL_HASHES, MAX_VERIFIER_HASHES, Parameters, THREAD_BYTES,
};
pub use proof::{Proof, Puzzle, SAMPLED, verify, verify_sampled};
pub use solver::{Solver, solve};
pub use terms::Terms;
