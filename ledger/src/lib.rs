//! The rules of the board: a pure, deterministic state machine.
//!
//! [`State::apply`] takes a decided [`Block`] and gives an [`Outcome`]: the root over all facts, a receipt for each operation, and
//! the [`Event`]s from which the same state can be built again. It has no clock, no randomness, no I/O and no payloads, and no
//! input makes it fail.
//!
//! | module | what it holds |
//! |---|---|
//! | `block` | what goes in and what comes out |
//! | `state`, `restore` | the state: genesis, reading; restoring it from what was stored |
//! | `apply` | one block, and the dispatch over all operations, which cites the paper |
//! | `create`, `write`, `ending` | the rules of sessions, groups and quotas, of mailboxes, of a session's end |
//! | `backup` | what parties leave at the nodes, beyond a session's end |
//! | `registration`, `work` | how strangers come into an open session; its terms as crate `pow` reads them |
//! | `generation`, `phases`, `output`, `renewal` | the cluster's threshold key: steps of its making, their order, what comes out, the next one |
//! | `clock` | clocks and deadlines of all of them |
//! | `session`, `list` | one session in memory, and who asked and solved |
//! | `discredited` | nodes that have made the others calculate for nothing |
//! | `changes`, `tree` | what a block has touched, and the Merkle tree of facts |
//! | `snapshot` | the facts after a block, with their proofs, for readers |
//! | `error` | why a state could not be built |
//!
//! ```
//! use ledger::{Block, Payload, State, Submitted};
//! use wire::{Code, Creators, ExchangeKey, NetworkParameters, NodeKeys, NodeRecord, Operation, PublicKey, Quotas, Signed, TlsKey};
//! # struct Rng(u8);
//! # impl rand_core::RngCore for Rng {
//! #     fn next_u32(&mut self) -> u32 { self.0.into() }
//! #     fn next_u64(&mut self) -> u64 { self.0.into() }
//! #     fn fill_bytes(&mut self, d: &mut [u8]) { d.fill(self.0) }
//! #     fn try_fill_bytes(&mut self, d: &mut [u8]) -> Result<(), rand_core::Error> { d.fill(self.0); Ok(()) }
//! # }
//! # impl rand_core::CryptoRng for Rng {}
//! # let rng = Rng(1);
//! # let node = schnorrkel::MiniSecretKey::from_bytes(&[1; 32]).unwrap().expand_to_keypair(schnorrkel::ExpansionMode::Ed25519);
//! let identity = PublicKey(node.public.to_bytes());
//! let chain: wire::ChainId = "example-1".parse().unwrap();
//! let keys = NodeKeys { exchange: ExchangeKey([2; 32]), tls: TlsKey([3; 32]) };
//! let mut state = State::genesis(NetworkParameters {
//!     chain: chain.clone(),
//!     nodes: vec![NodeRecord::sign("solo".into(), &node, &chain, keys, Rng(1))],
//!     operators: vec![identity],
//!     creators: Creators::Operators,
//!     quotas: Quotas { live_sessions: 8, live_sessions_per_creator: 8, live_bytes: 1 << 20 },
//! })
//! .unwrap();
//! let before = state.root();
//! let tick = Signed::sign(&node, chain.clone(), Operation::Tick { deadline_ms: 5, attempt: 0 }, rng).verify(&chain).unwrap();
//! let outcome = state.apply(&Block { height: 1, time_ms: 1000, operations: vec![Submitted::Verified(tick, Payload::Inline)] });
//! assert_eq!(outcome.receipts[0].code, Code::Accepted);
//! assert_eq!(outcome.root, before, "a tick changes nothing");
//! ```

mod apply;
mod backup;
mod block;
mod changes;
mod clock;
mod create;
mod discredited;
mod ending;
mod error;
mod generation;
mod list;
mod output;
mod phases;
mod registration;
mod renewal;
mod restore;
mod session;
mod snapshot;
mod state;
mod tree;
mod work;
mod write;

pub use block::{
    Block, Event, Outcome, Payload, StoredBackup, StoredBundle, StoredEntry, StoredListing, StoredSession, Submitted,
};
pub use discredited::Discredited;
pub use error::LedgerError;
pub use output::public_keys;
pub use registration::solutions_until_ms;
pub use snapshot::Snapshot;
pub use state::State;
