//! Benchmarks of White-City, each beside a peer or baseline in the same run, since absolute times differ between machines.
//!
//! | bench | what it compares |
//! |---|---|
//! | `abci` | one consensus call through our ABCI server and through that of the crate `tendermint-abci` |
