//! The White-City node: keeps the board together with the other nodes and serves it over REST.
//!
//! | module | what it holds |
//! |---|---|
//! | [`consensus`] | the seam to whatever orders the blocks: CometBFT ([`rpc`]) or this process ([`solo`]) |
//! | [`feed`] | announces decided blocks inside the node |
//! | [`store`] | what the node serves, in one SQLite file; [`stored`] is what comes out of it |
//! | [`socket`] | a server for length-delimited protobuf on a unix socket |

pub mod consensus;
pub mod feed;
mod rows;
pub mod rpc;
pub mod socket;
pub mod solo;
pub mod store;
pub mod stored;
