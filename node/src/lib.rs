//! The White-City node: keeps the board together with the other nodes and serves it over REST.
//!
//! | module | what it holds |
//! |---|---|
//! | [`command`], [`status`] | the command line |
//! | [`run`] | a node put together, started and stopped; [`run::Embedded`] inside another program |
//! | [`cluster`], [`genesis`], [`validator`], [`identity`], [`secrets`] | making the homes, keys and genesis of new nodes |
//! | [`config`], [`home`] | a node's settings and files |
//! | [`consensus`] | the seam to whatever orders the blocks: CometBFT ([`rpc`]) or this process ([`solo`]) |
//! | [`comet`], [`comet_config`], [`comet_program`] | running CometBFT beside the node |
//! | [`abci`], [`socket`] | CometBFT's calls, over a small server for length-delimited protobuf on a unix socket |
//! | [`channel`] | what nodes say to each other beside consensus: HTTP/2 and TLS pinned to the keys of genesis |
//! | [`certifier`], [`certification`] | the nodes' shares become certificates |
//! | [`executor`], [`batch`], [`feed`] | executing decided blocks, verifying transactions, announcing what is stored |
//! | [`participant`], [`dealer`], [`sealing`], [`seeds`], [`keyring`], [`adopter`], [`generator`], [`progress`] | making the threshold key with the other nodes, and the keys made so far |
//! | [`certified`] | the newest board that the nodes have certified |
//! | [`challenge`], [`challenger`] | the nodes' shares become the challenges of open sessions |
//! | [`ticker`] | asks for a block when a deadline has come |
//! | [`gateway`], [`http`] | the REST interface |
//! | [`submit`], `batcher`, `pace`, `forming`, `waiting` | collects operations into transactions and waits for their receipts |
//! | [`bundler`], [`peers`] | delivers payloads to all nodes and collects who has stored them |
//! | [`payloads`] | the payloads that stand in no block: stored, confirmed, kept, fetched, erased; solutions and backups are verified before |
//! | [`keeper`], `attempts` | the node's part in backups: its shares, and how often a passphrase may be tried |
//! | [`report`] | signs what the node reports |
//! | [`problem`] | problem documents, one HTTP status for each code |
//! | [`openapi`], [`telemetry`] | the description of the interface; counters |
//! | [`store`] | what the node serves, in an SQLite file for the board and one for payloads; [`stored`] is what comes out of them |

pub mod abci;
pub mod adopter;
mod attempts;
pub mod batch;
mod batcher;
pub mod bundler;
pub mod certification;
pub mod certified;
pub mod certifier;
pub mod challenge;
pub mod challenger;
pub mod channel;
pub mod cluster;
pub mod comet;
pub mod comet_config;
pub mod comet_program;
pub mod command;
pub mod config;
pub mod consensus;
pub mod dealer;
pub mod error;
pub mod executor;
pub mod feed;
mod forming;
pub mod gateway;
pub mod generator;
pub mod genesis;
pub mod home;
pub mod http;
pub mod identity;
pub mod keeper;
pub mod keyring;
pub mod openapi;
mod pace;
pub mod participant;
pub mod payloads;
pub mod peers;
pub mod problem;
pub mod progress;
pub mod report;
mod rows;
pub mod rpc;
pub mod run;
pub mod sealing;
pub mod secrets;
pub mod seeds;
pub mod socket;
pub mod solo;
pub mod status;
pub mod store;
pub mod stored;
pub mod submit;
pub mod telemetry;
pub mod ticker;
pub mod validator;
mod waiting;

pub use error::NodeError;
