//! The cluster: its parameters from genesis, and the network file, by which a client knows it.

use crate::{
    ChainId, Code, EndorsedKeyRecord, ExchangeKey, Hash, Message, PublicKey, Signature, Signed, TlsKey,
    hash::TaggedHash,
    invitation::is_url,
    limits::{MAX_CREATORS, MAX_NAME_BYTES, MAX_NODES, MAX_REPLICAS},
    signed,
};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::Keypair;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A node's keys beside its identity, which signs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeKeys {
    /// The key to which other nodes seal shares of the threshold key for it.
    pub exchange: ExchangeKey,
    /// The key under which it speaks to other nodes.
    pub tls: TlsKey,
}

impl Message for NodeKeys {
    const TAG: &'static str = "node-keys";
}

/// One node as genesis names it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeRecord {
    /// For people: 1 to 128 bytes.
    pub name: String,
    /// The sr25519 key under which it gives its word.
    pub identity: PublicKey,
    /// Its other keys,
    pub keys: NodeKeys,
    /// and its identity's signature over them, as [`Signed`] makes it.
    pub signature: Signature,
}

impl NodeRecord {
    /// The record of the node that has `identity` and `keys`.
    pub fn sign<R: RngCore + CryptoRng>(
        name: String,
        identity: &Keypair,
        chain: &ChainId,
        keys: NodeKeys,
        rng: R,
    ) -> Self {
        let Signed { author, body, signature, .. } = Signed::sign(identity, chain.clone(), keys, rng);
        Self { name, identity: author, keys: body, signature }
    }

    fn is_signed(&self, chain: &ChainId) -> bool {
        let digest = signed::digest(chain, &self.identity, &self.keys);
        signed::check(&self.identity, &digest, &self.signature).is_ok()
    }
}

/// Who may create sessions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Creators {
    /// The operators.
    Operators,
    /// The operators and these keys.
    Keys {
        /// sr25519 keys.
        keys: Vec<PublicKey>,
    },
}

/// What all sessions together may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Most sessions that are not erased.
    pub live_sessions: u32,
    /// Most of them by one creator.
    pub live_sessions_per_creator: u32,
    /// Most payload bytes that they may reserve together ([`crate::SessionSpec::reserved_bytes`]).
    pub live_bytes: u64,
}

/// What genesis fixes: the value of [`crate::FactKey::Network`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NetworkParameters {
    /// The chain.
    pub chain: ChainId,
    /// All nodes, of equal voting power.
    pub nodes: Vec<NodeRecord>,
    /// Keys of the operators.
    pub operators: Vec<PublicKey>,
    /// Who may create sessions.
    pub creators: Creators,
    /// What all sessions together may take.
    pub quotas: Quotas,
}

impl NetworkParameters {
    /// Checks all bounds, and that each node's identity has signed its other keys.
    ///
    /// # Errors
    /// [`Code::InvalidSpecification`].
    pub fn check(&self) -> Result<(), Code> {
        let keys = match &self.creators {
            Creators::Operators => 0,
            Creators::Keys { keys } => keys.len(),
        };
        let sound = (1..=MAX_NODES).contains(&self.nodes.len())
            && distinct(self.nodes.iter().map(|node| node.identity))
            && distinct(self.nodes.iter().map(|node| node.keys.exchange))
            && distinct(self.nodes.iter().map(|node| node.keys.tls))
            && self.nodes.iter().all(|node| (1..=MAX_NAME_BYTES).contains(&node.name.len()))
            && self.nodes.iter().all(|node| node.is_signed(&self.chain))
            && (1..=MAX_CREATORS).contains(&self.operators.len())
            && keys <= MAX_CREATORS;
        if sound { Ok(()) } else { Err(Code::InvalidSpecification) }
    }

    /// True if `key` may create sessions.
    pub fn may_create(&self, key: &PublicKey) -> bool {
        let named = match &self.creators {
            Creators::Operators => false,
            Creators::Keys { keys } => keys.contains(key),
        };
        named || self.operators.contains(key)
    }

    /// True if `key` is a node's identity key.
    pub fn is_node(&self, key: &PublicKey) -> bool {
        self.nodes.iter().any(|node| node.identity == *key)
    }

    /// 2f + 1: so many nodes must have stored a payload that travels beside consensus.
    pub fn confirmations_needed(&self) -> usize {
        fault_tolerance(self.nodes.len()).saturating_mul(2).saturating_add(1)
    }

    /// The genesis digest, which the network file names.
    pub fn digest(&self) -> Hash {
        TaggedHash::new("genesis").value(self).finish()
    }
}

/// Most nodes of `k` that may be faulty: f = floor((k - 1) / 3).
pub fn fault_tolerance(k: usize) -> usize {
    k.saturating_sub(1) / 3
}

/// One node as a client reaches it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeAddress {
    /// For people.
    pub name: String,
    /// Base URL of its REST gateway, `http://` or `https://`, without `/v1`.
    pub url: String,
    /// Its identity key.
    pub identity: PublicKey,
}

/// A read-only replica as a client reaches it. Nobody vouches for it: what it answers is proved, or worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaAddress {
    /// For people.
    pub name: String,
    /// Base URL of its REST gateway, as a node's.
    pub url: String,
}

/// Everything that a client must know of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The chain.
    pub chain: ChainId,
    /// [`NetworkParameters::digest`].
    pub genesis: Hash,
    /// All nodes.
    pub nodes: Vec<NodeAddress>,
    /// Read-only replicas, which clients ask before the nodes for what needs no node. They may come and go: a file without them is the same network's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaAddress>,
    /// The threshold keys of epochs 1, 2, ..., as far as whoever made the file knew them; none if the chain had none yet. Each follows
    /// from the one before, and the first from the identity keys above, so that nobody needs to compare them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<EndorsedKeyRecord>,
}

impl NetworkFile {
    /// Checks all bounds. A file from outside is used only after this.
    ///
    /// # Errors
    /// [`Code::InvalidSpecification`].
    pub fn check(&self) -> Result<(), Code> {
        let sound = (1..=MAX_NODES).contains(&self.nodes.len())
            && distinct(self.nodes.iter().map(|node| node.identity))
            && self.nodes.iter().all(|node| is_url(&node.url))
            && self.replicas.len() <= MAX_REPLICAS
            && self.replicas.iter().all(|replica| is_url(&replica.url));
        if sound { Ok(()) } else { Err(Code::InvalidSpecification) }
    }

    /// f: so many nodes may be faulty.
    pub fn faults(&self) -> usize {
        fault_tolerance(self.nodes.len())
    }

    /// Digest of what must not differ between two people's files: chain, genesis and identity keys, not URLs, replicas, nor
    /// threshold keys, which follow from the identity keys.
    pub fn digest(&self) -> Hash {
        let identities: Vec<PublicKey> = self.nodes.iter().map(|node| node.identity).collect();
        TaggedHash::new("network").value(&self.chain).bytes(self.genesis.0).value(&identities).finish()
    }
}

fn distinct<K: Ord>(keys: impl Iterator<Item = K>) -> bool {
    let mut seen = BTreeSet::new();
    keys.into_iter().all(|key| seen.insert(key))
}
