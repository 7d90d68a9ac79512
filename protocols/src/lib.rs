//! MPC programs on the White-City SDK.
//!
//! Each is a [`client_sdk::protocol::Protocol`]: a pure function from the messages so far to the next thing to do. The
//! SDK's driver runs them over a board; [`local::run_local`] runs them in one process.
//!
//! | module | what it holds |
//! |---|---|
//! | [`schnorr`] | threshold Schnorr: n parties make a key and Ed25519 signatures under it (§VI) |
//! | [`statistics`] | sum, mean and variance of numbers that stay private |
//! | [`local`] | the ideal functionality F 5.1 in memory, to try programs and to test them |
//! | [`seed`] | a program's randomness, used once |
//!
//! Nothing here has a clock, randomness or I/O: a seed is a parameter.
//!
//! Three parties make a key and sign:
//!
//! ```
//! use client_sdk::protocol::{Protocol, Seat};
//! use protocols::{Seed, local::run_local, schnorr::{KeyGeneration, KeyShare, Signature, Signing}};
//! use wire::{Hash, Program, SessionId};
//!
//! let program = Program { name: "schnorr".into(), version: "1".into(), digest: Hash([0; 32]) };
//! let seat = |index| Seat {
//!     chain: "white-city-1".parse().unwrap(),
//!     session: SessionId([7; 32]),
//!     list: Hash([8; 32]),
//!     parties: 3,
//!     index,
//! };
//! // In real life `Seed::random` with the system's generator, at each party for itself.
//! let seed = |purpose: u8, index: u16| Seed::new([purpose + u8::try_from(index).unwrap(); 32]);
//!
//! let programs: Vec<KeyGeneration> =
//!     (0..3).map(|i| KeyGeneration::new(seat(i), &program, seed(10, i)).unwrap()).collect();
//! let parties: Vec<&dyn Protocol<Output = KeyShare>> = programs.iter().map(|p| p as _).collect();
//! let shares: Vec<KeyShare> = run_local(&parties, 1)?.into_iter().filter_map(|ending| ending.output()).collect();
//!
//! let message = b"a contract".to_vec();
//! let programs: Vec<Signing> = (0..3)
//!     .zip(&shares)
//!     .map(|(i, share)| Signing::new(seat(i), &program, 0, share.clone(), message.clone(), seed(20, i)).unwrap())
//!     .collect();
//! let parties: Vec<&dyn Protocol<Output = Signature>> = programs.iter().map(|p| p as _).collect();
//! for ending in run_local(&parties, 2)? {
//!     let signature = ending.output().expect("nobody cheats here");
//!     shares[0].public_key().verify(&message, &signature)?;
//! }
//! # Ok::<(), protocols::ProtocolError>(())
//! ```

mod context;
mod error;
mod exchange;
pub mod local;
pub mod schnorr;
pub mod seed;
pub mod statistics;

pub use error::ProtocolError;
pub use seed::Seed;
