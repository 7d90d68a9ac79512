//! Benchmarks of White-City, each beside a peer or baseline in the same run where there is one, since absolute times differ between
//! machines. `scripts/bench` runs them.
//!
//! | bench | what it measures |
//! |---|---|
//! | `abci` | one consensus call through our ABCI server and through that of the crate `tendermint-abci` |
//! | `board` | what a node does for each block and answer, part by part: signatures, ledger, store, proofs, certificates |
//! | `cluster` | four real nodes: a write on an idle chain; strangers from a new session to a verified signature |
//! | `generation` | four and sixteen real nodes: from empty folders to a threshold key and a certified board |
//! | `pow` | hashes a second, one by one and in the solver and verifier |
//! | `private` | four real nodes: a private round without the parties' encryption |
//! | `registration` | four real nodes: another session's writes while a thousand strangers hand in their proofs of work |
//! | `replicas` | four real nodes and a read-only replica: what the nodes' processors do when parties read at them, and when they read at the replica |
//! | `sdk` | four real nodes: what the SDK costs for each message beside the bare computation, memory of a party, and how long one takes to go on after a crash |
//! | `sybil` | four real nodes: identities that an adversary gets in an open session, beside the bound; what a flood of requests costs whom (`scripts/sybil-demo`) |
//! | `verify` | what it costs a client to believe an answer of 512 messages |
//!
//! The command `white-city-bench` lets parties by the hundred register, shake hands, generate a key, sign and exchange messages on four to sixteen real nodes:
//!
//! | module | what it holds |
//! |---|---|
//! | [`parties`], [`phase`] | the parties, and what each phase takes |
//! | [`exchange`] | the broadcast exchange alone |
//! | [`small`] | few parties: latencies, and a load of small writes |
//! | [`floor`] | the parties' computation alone |
//! | [`streams`], [`kvstore`] | peers: Redis streams, CometBFT's own example application |
//! | [`meter`] | what processes have used |
//! | [`figures`], [`target`], [`fit`], [`paper`] | all that was measured, what was wanted, how it grows, what the paper has |
//! | [`table`], [`plot`] | tables and curves |

pub mod exchange;
pub mod figures;
pub mod fit;
pub mod floor;
pub mod kvstore;
pub mod meter;
pub mod paper;
pub mod parties;
pub mod phase;
pub mod plot;
pub mod small;
pub mod streams;
pub mod table;
pub mod target;
