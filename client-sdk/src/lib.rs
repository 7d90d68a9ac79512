//! Take part in White-City sessions.

pub mod channel;
pub mod driver;
mod error;
#[cfg(feature = "net")]
pub mod file;
pub mod handshake;
pub mod identity;
#[cfg(feature = "net")]
pub mod identity_file;
pub mod mailbox;
pub mod network;
pub mod protocol;
pub mod quorum;

pub use channel::Channels;
pub use driver::{Action, Driver};
pub use error::{BadAnswer, Error, Tried};
pub use identity::Identity;
