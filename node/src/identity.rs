//! A node's sr25519 identity on disk, in the format of all White-City identity files, never encrypted: a node starts unattended.

use crate::{NodeError, home};
use rand_core::{OsRng, RngCore};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use serde::{Deserialize, Serialize};
use std::path::Path;
use wire::PublicKey;
use zeroize::{Zeroize, Zeroizing};

const KIND: &str = "white-city-identity";
const VERSION: u32 = 1;
const EXPECTED: &str = "an identity file";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    version: u32,
    public: PublicKey,
    encrypted: bool,
    secret: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Makes an identity in a new file that only its owner may read.
///
/// # Errors
/// [`NodeError::Exists`] or [`NodeError::File`].
pub fn create(path: &Path) -> Result<PublicKey, NodeError> {
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(seed.as_mut());
    let public = public(&keypair(&seed));
    let stored = Stored {
        kind: KIND.to_owned(),
        version: VERSION,
        public,
        encrypted: false,
        secret: hex::encode(seed.as_ref()),
    };
    home::write_secret(path, &home::to_json(&stored))?;
    Ok(public)
}

/// Reads an identity.
///
/// # Errors
/// [`NodeError::File`], or [`NodeError::FileFormat`] also for an encrypted one.
pub fn load(path: &Path) -> Result<Keypair, NodeError> {
    let stored: Stored = home::read_json(path, EXPECTED)?;
    if stored.kind != KIND || stored.version != VERSION || stored.encrypted {
        return Err(home::format_error(
            path,
            EXPECTED,
            format!("a node reads kind {KIND}, version {VERSION}, not encrypted"),
        ));
    }
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&stored.secret, seed.as_mut())
        .map_err(|_| home::format_error(path, EXPECTED, "the secret is not 32 bytes in hex"))?;
    let keypair = keypair(&seed);
    if public(&keypair) == stored.public {
        Ok(keypair)
    } else {
        Err(home::format_error(path, EXPECTED, "its secret has another public key"))
    }
}

/// The public half.
pub fn public(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

fn keypair(seed: &Zeroizing<[u8; 32]>) -> Keypair {
    let mini = MiniSecretKey::from_bytes(seed.as_ref()).expect("a mini secret key is any 32 bytes");
    mini.expand_to_keypair(ExpansionMode::Ed25519)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read_and_a_wrong_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        let made = create(&path).unwrap();
        assert_eq!(public(&load(&path).unwrap()), made);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        assert!(matches!(load(&path), Err(NodeError::FileFormat { .. })));
    }
}
