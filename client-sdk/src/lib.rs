//! Take part in White-City sessions.

mod error;
#[cfg(feature = "net")]
pub mod file;
pub mod identity;
#[cfg(feature = "net")]
pub mod identity_file;
pub mod network;
pub mod protocol;

pub use error::{BadAnswer, Error, Tried};
pub use identity::Identity;
