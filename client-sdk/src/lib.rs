//! Take part in White-City sessions: from an invitation to an MPC program's output.
//!
//! | module | what it holds |
//! |---|---|
//! | [`identity`], [`identity_file`], [`mod@file`] | the key under which a party signs, and how it lies on disk |
//! | [`network`] | the network file and invitations |
//! | [`Client`] | a cluster: asks one node, fails over, brings operations to the board |
//! | [`Session`] | a seat in a session: join, write, read, run a program, leave |
//! | [`protocol`], [`driver`] | the paper's nextMsg, and the loop that turns its steps into writes and reads (P5.2) |
//! | `delivery` (feature `round-based`) | protocols of the crate `round_based`, unmodified |
//! | [`Execution`], [`journal`] | a run of a program that goes on after a crash at any instruction, what it needs for that on disk, and what was begun |
//! | [`handshake`], [`group`], [`channel`] | keys for every pair of parties, and private messages under them |
//! | [`backup`] | what a party leaves at the nodes for the day on which it loses its device |
//! | [`verifier`], [`board`], [`mailbox`], [`list`] | what makes one node's answer believable: certificate, proofs, chains and senders |
//!
//! Without the feature `net` there is no I/O, clock or randomness in this crate: it builds for wasm32. One node is
//! enough and none is believed: what it says is proved, or another is asked. Every wait has a deadline; whose fault it was stands in the error.
//!
//! `docs/port-your-protocol.md` leads from a protocol on paper to one that runs here, and `examples/` has whole programs.
//!
//! From an invitation to the output of a program:
//! ```no_run
//! # #[cfg(feature = "net")]
//! # async fn take_part<P: client_sdk::protocol::Protocol>(
//! #     program: impl Fn(&client_sdk::protocol::Seat, [u8; 32]) -> P,
//! # ) -> Result<P::Output, client_sdk::Error> {
//! use client_sdk::{Client, Options, Session, file, identity_file};
//! use std::path::{Path, PathBuf};
//!
//! let invitation = file::read_invitation(Path::new("invitation.json"))?; // or a string: `"whitecity:...".parse()`
//! let client = Client::invited(&invitation).await?; // or with a network file: `Client::new`
//! let identity = identity_file::load(Path::new("me.json"), None)?;
//! let id = client.accept(&invitation)?;
//! let options = Options { state: Some(PathBuf::from("state")), ..Options::default() };
//! let session = Session::join(&client, &identity, &id, options).await?;
//! let execution = session.execution("the sum", b"the program's input")?; // after a crash it goes on: run all this again
//! let seed = **execution.seed();
//! let output = execution.run(program(session.seat(), seed)).await?;
//! session.leave().await?;
//! # Ok(output)
//! # }
//! ```

pub mod backup;
mod bad_answer;
pub mod board;
pub mod channel;
#[cfg(feature = "net")]
mod client;
#[cfg(feature = "net")]
mod crash;
#[cfg(feature = "round-based")]
pub mod delivery;
mod difference;
pub mod driver;
#[cfg(feature = "net")]
mod ending;
mod error;
#[cfg(feature = "net")]
mod execution;
#[cfg(feature = "net")]
pub mod file;
pub mod group;
pub mod handshake;
#[cfg(feature = "net")]
mod health;
pub mod identity;
#[cfg(feature = "net")]
pub mod identity_file;
#[cfg(feature = "net")]
mod invited;
#[cfg(feature = "net")]
mod join;
#[cfg(feature = "net")]
pub mod journal;
pub mod list;
#[cfg(feature = "net")]
mod listed;
pub mod mailbox;
pub mod network;
#[cfg(feature = "net")]
mod newest;
mod not_admitted;
mod party_keys;
#[cfg(feature = "net")]
mod progress;
pub mod protocol;
#[cfg(feature = "net")]
mod reached;
#[cfg(feature = "net")]
mod reader;
#[cfg(feature = "net")]
mod registration;
#[cfg(feature = "net")]
mod restore;
#[cfg(feature = "net")]
mod said;
#[cfg(feature = "net")]
mod secrets;
#[cfg(feature = "net")]
mod session;
mod sighting;
#[cfg(feature = "net")]
mod solving;
#[cfg(feature = "net")]
mod state;
#[cfg(feature = "net")]
mod submit;
#[cfg(feature = "net")]
mod survey;
#[cfg(feature = "net")]
mod transport;
mod tried;
pub mod verifier;

pub use bad_answer::BadAnswer;
pub use board::Board;
pub use channel::Channels;
#[cfg(feature = "net")]
pub use client::Client;
#[cfg(feature = "crash-points")]
pub use crash::{abort_at, points_passed};
pub use difference::Difference;
pub use driver::{Action, Driver};
pub use error::Error;
#[cfg(feature = "net")]
pub use execution::Execution;
pub use identity::Identity;
#[cfg(feature = "net")]
pub use journal::{Begun, Unfinished};
pub use not_admitted::NotAdmitted;
pub use party_keys::PartyKeys;
#[cfg(feature = "net")]
pub use progress::{Event, Progress, Traffic};
#[cfg(feature = "net")]
pub use restore::BackupOptions;
#[cfg(feature = "net")]
pub use session::{Options, Reading, Session};
pub use sighting::Sighting;
#[cfg(feature = "net")]
pub use survey::Caught;
pub use tried::Tried;
pub use verifier::Verifier;
