//! The programs among parties in one process: what they compute, whom they blame, and that they are pure.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cheats;
mod local;
mod schnorr;
mod setup;
mod statistics;
