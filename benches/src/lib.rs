//! Benchmarks of White-City, each beside a peer or baseline in the same run where there is one, since absolute times differ between
//! machines. `scripts/bench` runs them.
//!
//! | bench | what it measures |
//! |---|---|
//! | `abci` | one consensus call through our ABCI server and through that of the crate `tendermint-abci` |
//! | `cluster` | four real nodes: a write on an idle chain; strangers from a new session to a verified signature |
//! | `generation` | four and sixteen real nodes: from empty folders to a threshold key and a certified board |
//! | `parties` | four to sixteen real nodes, parties by the hundred: registration, handshake, key generation, signing, a private round |
//! | `registration` | four real nodes: another session's writes while a thousand strangers hand in their proofs of work |
//! | `sdk` | four real nodes: what the SDK costs for each message beside the bare computation, memory of a party, and how long one takes to go on after a crash |
//! | `sybil` | four real nodes: identities that an adversary gets in an open session, beside the bound; what a flood of requests costs whom (`scripts/sybil-demo`) |
//! | `verify` | what it costs a client to believe an answer of 512 messages |

pub mod floor;
pub mod meter;
pub mod parties;
pub mod table;
