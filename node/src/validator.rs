//! CometBFT's Ed25519 keys, in its own JSON.

use crate::{NodeError, home};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use rand_core::OsRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use zeroize::Zeroizing;

/// Each node's voting power. CometBFT takes a node with no less than a third of all power for one without which nothing is decided, so that it needs to sync no blocks; and it
/// reckons in whole numbers, by which 1 of 4 is a third. A node that has been away would then have to go through every round again.
const POWER: &str = "10";

/// One node's two CometBFT keys: with one it votes, the other names it to its peers.
pub struct ValidatorKeys {
    vote: SigningKey,
    peer: SigningKey,
}

impl ValidatorKeys {
    /// New keys from the operating system's randomness.
    pub fn generate() -> Self {
        Self { vote: SigningKey::generate(&mut OsRng), peer: SigningKey::generate(&mut OsRng) }
    }

    /// The node's entry in genesis; all nodes have equal power.
    pub fn genesis_entry(&self, name: &str) -> Value {
        json!({ "address": self.address(), "pub_key": self.public(), "power": POWER, "name": name })
    }

    /// By this id peers know the node: the first 20 bytes of SHA-256 of its peer key, in hex.
    pub fn peer_id(&self) -> String {
        hex::encode(short_hash(&self.peer))
    }

    /// Writes `config/priv_validator_key.json`, `config/node_key.json` and the empty `data/priv_validator_state.json`, which
    /// CometBFT then keeps so that it never signs twice.
    ///
    /// # Errors
    /// [`NodeError::Exists`] or [`NodeError::File`].
    pub fn save(&self, comet: &Path) -> Result<(), NodeError> {
        let (config, data) = (comet.join("config"), comet.join("data"));
        home::make_folder(&config)?;
        home::make_folder(&data)?;
        let vote = json!({ "address": self.address(), "pub_key": self.public(), "priv_key": private(&self.vote) });
        home::write_secret(&config.join("priv_validator_key.json"), &home::to_json(&vote))?;
        let peer = json!({ "priv_key": private(&self.peer) });
        home::write_secret(&config.join("node_key.json"), &home::to_json(&peer))?;
        let state = json!({ "height": "0", "round": 0, "step": 0 });
        home::write_secret(&data.join("priv_validator_state.json"), &home::to_json(&state))
    }

    fn address(&self) -> String {
        hex::encode_upper(short_hash(&self.vote))
    }

    fn public(&self) -> Value {
        let key = STANDARD.encode(self.vote.verifying_key().as_bytes());
        json!({ "type": "tendermint/PubKeyEd25519", "value": key })
    }
}

fn short_hash(key: &SigningKey) -> Vec<u8> {
    Sha256::digest(key.verifying_key().as_bytes()).into_iter().take(20).collect()
}

fn private(key: &SigningKey) -> Value {
    let both = Zeroizing::new(key.to_keypair_bytes());
    json!({ "type": "tendermint/PrivKeyEd25519", "value": STANDARD.encode(both.as_ref()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `cometbft init` 0.38.25.
    const MADE_BY_COMETBFT: (&str, &str) = (
        "HbpQCbF7Sc/9n+DWEOtoRB/s5WVvPFRJXxo/FMjNMo2wKEaJp/dqAoze8uKH4UfEie8GA7bol2awTtl07aqcrQ==",
        "B0B5FFC380AFD17253603BF5C1A293D47C2FF18A",
    );

    #[test]
    fn a_key_made_by_cometbft_has_the_same_address_and_encoding_here() {
        let (private_key, address) = MADE_BY_COMETBFT;
        let both: [u8; 64] = STANDARD.decode(private_key).unwrap().try_into().unwrap();
        let vote = SigningKey::from_keypair_bytes(&both).unwrap();
        let keys = ValidatorKeys { peer: vote.clone(), vote };
        assert_eq!(keys.address(), address);
        assert_eq!(keys.peer_id(), address.to_lowercase());
        assert_eq!(private(&keys.vote)["value"], private_key);
        assert_eq!(keys.public()["value"], "sChGiaf3agKM3vLih+FHxInvBgO26JdmsE7ZdO2qnK0=");
    }
}
