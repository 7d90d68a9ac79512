//! Threshold Schnorr signatures over Curve25519, n of n, secure with abort against n - 1 cheaters (§VI). The result is
//! a plain Ed25519 signature (RFC 8032) under a key that no party ever holds.
//!
//! | module | what it holds |
//! |---|---|
//! | `keygen` | [`KeyGeneration`]: one round, gives every party a [`KeyShare`] |
//! | `sign` | [`Signing`]: four rounds, gives every party the [`Signature`]; why nonces are safe |
//! | `execution` | [`Execution`]: which rounds of the session belong to which run |
//! | `share`, `signature` | what a party keeps, and what the world sees |
//! | `proof`, `equation`, `encoding` | proof of knowledge, check of all parties' proofs or partial signatures at once, canonical points and scalars |
//!
//! Everything that is hashed binds ctx = H(tag, chain, session, H(list), program, execution). Points must be
//! canonically encoded and not of small order, their sums in the prime-order subgroup and not the identity, scalars below l; anything else
//! is its sender's fault. What single parties must fulfil is checked with the cofactor, so for all at once; the signature that comes
//! out is verified strictly.
//!
//! Secrets are wiped when dropped, as far as the libraries under them allow: hash states and temporaries of the
//! arithmetic are not.

mod encoding;
mod equation;
mod execution;
mod keygen;
mod proof;
mod share;
mod sign;
mod signature;

use crate::exchange::abort;
use client_sdk::protocol::Abort;
use encoding::{NoSum, Point};

pub use execution::Execution;
pub use keygen::KeyGeneration;
pub use share::KeyShare;
pub use sign::Signing;
pub use signature::{PublicKey, Signature};

/// Longest message of both protocols in bytes: what `max_message_bytes` of the session's specification must at least
/// be.
pub const MAX_MESSAGE_BYTES: u32 = 96;

/// The sum of all parties' points; who keeps it from being one is blamed, and `nothing` is said where nobody can be.
fn sum(points: &[Point], nothing: &str) -> Result<Point, Abort> {
    Point::sum(points).map_err(|none| match none {
        NoSum::Identity => abort(nothing, vec![]),
        NoSum::Torsion { parties } => abort("a point outside the prime-order subgroup", parties),
    })
}
