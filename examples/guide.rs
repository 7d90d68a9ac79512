//! The guide, as rustdoc shows it and tests it.
#![doc = include_str!("../docs/port-your-protocol.md")]
