//! Take part in White-City sessions.

pub mod protocol;
