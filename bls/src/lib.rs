//! Threshold BLS signatures: k nodes hold one key, any f+1 of them sign, and nobody ever holds the whole.
//!
//! The paper's §V-E b has the nodes sign the board together, so that a reader needs one node. The signature of a message
//! under a key is unique, whoever made it, which is what lets it serve as joint randomness too (P4.5 step 4).
//!
//! | module | what it holds |
//! |---|---|
//! | [`domain`] | what a signature is for, as the tag that goes into hash-to-curve |
//! | [`polynomial`] | a dealer's polynomial, from a seed |
//! | [`commitments`] | Feldman's commitments: they check shares and give all public keys |
//! | [`secret`] | shares: one dealer's for one node, and a node's own, which signs |
//! | [`keys`] | group key, public shares, and combining partial signatures |
//! | [`signature`] | signatures and partial signatures |
//! | [`oblivious`] | a function that share holders evaluate without seeing input or value: what a backup is locked with |
//! | [`index`] | numbers of shares, from 1 |
//! | [`error`] | what can be wrong, and with whose share |
//!
//! Curve BLS12-381, signatures of 48 bytes in G1, keys of 96 bytes in G2, points compressed as in the ZCash format, hash to
//! G1 by RFC 9380 with the suite `BLS12381G1_XMD:SHA-256_SSWU_RO_`. Points that were decoded are on the curve, in the
//! subgroup of prime order, and not the identity; so are all that are computed here.
//!
//! The curve and the signing are those of `blst`; the few sums and products of secret scalars those of `bls12_381`, which
//! are free of branches on secrets. Secrets are erased when dropped, have no `Debug` and cannot be cloned, and leave only where
//! a method says so; what registers and the stack hold for the time of a calculation is beyond this. Nothing here has a
//! clock, randomness or I/O.
//!
//! Three of four nodes deal to all, everybody adds up, and any two sign:
//!
//! ```
//! use bls::{Commitments, Domain, Index, Polynomial, PublicKeySet, SecretShare, Seed};
//! # fn main() -> Result<(), bls::Error> {
//! let (count, degree) = (4, 1);
//! let dealers = [[1; 32], [2; 32], [3; 32]]
//!     .map(|seed| Polynomial::from_seed(&Seed::new(seed), b"chain, epoch, attempt, dealer", degree).expect("small"));
//! let dealings: Vec<Commitments> = dealers.iter().map(Polynomial::commitments).collect();
//!
//! // Every node checks the shares dealt to it and adds them up.
//! let mut nodes = Vec::new();
//! for index in Index::all(count)? {
//!     let mut dealt = Vec::new();
//!     for (dealer, commitments) in dealers.iter().zip(&dealings) {
//!         let share = dealer.share_for(index)?;
//!         commitments.verify_share(&share)?;
//!         dealt.push(share);
//!     }
//!     nodes.push(SecretShare::from_dealt(index, &dealt)?);
//! }
//!
//! // Everybody knows the keys.
//! let keys = PublicKeySet::from_commitments(&Commitments::sum(&dealings)?, count)?;
//! let message = b"height 7, root ...";
//! let partials =
//!     nodes.iter().skip(2).map(|node| (node.index(), node.partial_sign(Domain::Certificate, message))).collect();
//! let signature = keys.combine(Domain::Certificate, message, &partials)?;
//! keys.group_key().verify(Domain::Certificate, message, &signature)
//! # }
//! ```

mod encoding;
mod scalar;

pub mod commitments;
pub mod domain;
pub mod error;
pub mod index;
pub mod keys;
pub mod oblivious;
pub mod polynomial;
pub mod secret;
pub mod signature;

pub use commitments::Commitments;
pub use domain::Domain;
pub use error::Error;
pub use index::{Index, MAX_SHARES};
pub use keys::{Combined, GroupKey, PublicKeySet, PublicShare};
pub use polynomial::{Polynomial, Seed};
pub use secret::{DealtShare, SecretShare};
pub use signature::{PartialSignature, Signature};
