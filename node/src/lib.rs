//! The White-City node: keeps the board together with the other nodes and serves it over REST.
//!
//! | module | what it holds |
//! |---|---|
//! | [`consensus`] | the seam to whatever orders the blocks: CometBFT ([`rpc`]) or this process ([`solo`]) |
//! | [`feed`] | announces decided blocks inside the node |
//! | [`socket`] | a server for length-delimited protobuf on a unix socket |

pub mod consensus;
pub mod feed;
pub mod rpc;
pub mod socket;
pub mod solo;
