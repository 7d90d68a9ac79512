//! A node's secrets beside its identity, on disk: the key to which shares are sealed for it, and its TLS key.

use crate::{NodeError, home};
use ed25519_dalek::SigningKey;
use rand_core::{CryptoRng, OsRng, RngCore};
use schnorrkel::Keypair;
use serde::{Deserialize, Serialize};
use std::{fs::File, path::Path};
use wire::{ChainId, ExchangeKey, NodeKeys, NodeRecord, TlsKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

const KIND: &str = "white-city-node-keys";
const VERSION: u32 = 1;
const EXPECTED: &str = "a node's key file";

/// The secrets of one node. They are wiped when dropped.
pub struct NodeSecrets {
    exchange: StaticSecret,
    tls: SigningKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    version: u32,
    exchange: String,
    tls: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.exchange.zeroize();
        self.tls.zeroize();
    }
}

impl NodeSecrets {
    /// New ones.
    pub fn generate() -> Self {
        Self::from_rng(&mut OsRng)
    }

    /// Those that this source of randomness gives: for simulations, which are repeatable.
    pub fn from_rng<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        Self { exchange: StaticSecret::random_from_rng(&mut *rng), tls: SigningKey::generate(rng) }
    }

    /// Writes them to a new file that only its owner may read.
    ///
    /// # Errors
    /// [`NodeError::Exists`] or [`NodeError::File`].
    pub fn save(&self, path: &Path) -> Result<(), NodeError> {
        let stored = Stored {
            kind: KIND.to_owned(),
            version: VERSION,
            exchange: hex::encode(self.exchange.as_bytes()),
            tls: hex::encode(self.tls.as_bytes()),
        };
        home::write_secret(path, &home::to_json(&stored))
    }

    /// The same with a new exchange secret: what was sealed to the one before opens no more.
    #[must_use]
    pub fn with_new_exchange(self) -> Self {
        Self { exchange: StaticSecret::random_from_rng(OsRng), tls: self.tls }
    }

    /// Writes them over the file that is there, which is whole at every moment.
    ///
    /// # Errors
    /// [`NodeError::File`], and [`NodeError::Exists`] if an earlier attempt has left an unfinished file.
    pub fn replace(&self, path: &Path) -> Result<(), NodeError> {
        let unfinished = path.with_extension("unfinished");
        self.save(&unfinished)?;
        let failed = |source| home::file_error("write", path, source);
        std::fs::rename(&unfinished, path).map_err(failed)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()).map_err(failed)
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`NodeError::File`] or [`NodeError::FileFormat`].
    pub fn load(path: &Path) -> Result<Self, NodeError> {
        let stored: Stored = home::read_json(path, EXPECTED)?;
        let refused = |reason: &str| home::format_error(path, EXPECTED, reason);
        if stored.kind != KIND || stored.version != VERSION {
            return Err(refused("a node reads kind white-city-node-keys, version 1"));
        }
        let parse = |text: &str| {
            let mut bytes = Zeroizing::new([0; 32]);
            let parsed = hex::decode_to_slice(text, bytes.as_mut());
            parsed.map(|()| bytes).map_err(|_| refused("a secret is not 32 bytes in hex"))
        };
        Ok(Self {
            exchange: StaticSecret::from(*parse(&stored.exchange)?),
            tls: SigningKey::from_bytes(&*parse(&stored.tls)?),
        })
    }

    /// The public halves.
    pub fn public(&self) -> NodeKeys {
        NodeKeys {
            exchange: ExchangeKey(PublicKey::from(&self.exchange).to_bytes()),
            tls: TlsKey(self.tls.verifying_key().to_bytes()),
        }
    }

    /// The record of the node that has `identity` and these secrets, for a genesis.
    pub fn record(&self, name: String, identity: &Keypair, chain: &ChainId) -> NodeRecord {
        NodeRecord::sign(name, identity, chain, self.public(), OsRng)
    }

    /// The key to which shares are sealed.
    pub fn exchange(&self) -> &StaticSecret {
        &self.exchange
    }

    /// The key of the node channel.
    pub fn tls(&self) -> &SigningKey {
        &self.tls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read_and_a_wrong_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let made = NodeSecrets::generate();
        made.save(&path).unwrap();
        assert_eq!(NodeSecrets::load(&path).unwrap().public(), made.public());
        assert!(matches!(made.save(&path), Err(NodeError::Exists { .. })));
        NodeSecrets::load(&path).unwrap().with_new_exchange().replace(&path).unwrap();
        let replaced = NodeSecrets::load(&path).unwrap().public();
        assert_eq!(replaced.tls, made.public().tls);
        assert_ne!(replaced.exchange, made.public().exchange);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        assert!(matches!(NodeSecrets::load(&path), Err(NodeError::FileFormat { .. })));
    }
}
