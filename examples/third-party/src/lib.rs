//! Protocols that others have written and published, run by parties of a White-City session: each example is a file that one reads in a minute.
//!
//! | module (feature `protocols`) | what runs |
//! |---|---|
//! | `givre` | FROST over Ed25519 by `givre`: key generation and signing, by [`client_sdk::delivery`] |
//! | `frost` | FROST over Ed25519 by the Zcash Foundation's `frost-ed25519`, t of n with cheater detection, by reading and writing |

#[cfg(feature = "protocols")]
pub mod error;
#[cfg(feature = "protocols")]
pub mod frost;
#[cfg(feature = "protocols")]
pub mod givre;

#[cfg(feature = "protocols")]
pub use error::Error;
