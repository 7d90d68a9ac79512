//! What the cross-crate tests share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`binary`] | where cargo put our commands, and ports that nobody listens on |
//! | [`cheat`], [`sybil`] | provers who do less work than they should, and an adversary who fights for a session with them |
//! | [`certifying`] | what nodes certify and prove, made in one place |
//! | [`cluster`], [`node`] | real nodes as processes, started, killed and cleaned up |
//! | [`disk`] | what stands in files |
//! | [`generation`] | nodes that make their threshold key in memory |
//! | [`liar`] | true answers made false |
//! | [`licence`] | licences that dependencies may have |
//! | [`once`] | whether a party has ever said two things, or used a nonce for two |
//! | [`raw`] | parties that write and read over HTTP by hand |
//! | [`repository`] | the repository's own files and packages, for the tidy test |
//! | [`samples`] | a fixed value of everything that crosses a wire |
//! | [`signing`] | parties that make a key and sign |
//! | [`source`] | rules that read Rust source |
//! | [`vector`] | the vectors of `tests/vectors/` |
//! | [`words`] | words that stand nowhere in the repository, and paths that documents name |

pub mod binary;
pub mod certifying;
pub mod cheat;
pub mod cluster;
pub mod disk;
pub mod generation;
pub mod liar;
pub mod licence;
pub mod node;
pub mod once;
pub mod person;
pub mod raw;
pub mod repository;
pub mod samples;
pub mod signing;
pub mod source;
pub mod sybil;
pub mod vector;
pub mod words;
