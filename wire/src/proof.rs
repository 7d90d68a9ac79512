//! Proofs of board facts: from a fact, or its absence, to the root of the Jellyfish Merkle tree.

use crate::{FactKey, Hash};
use borsh::{BorshDeserialize, BorshSerialize, io};
use serde::{Deserialize, Deserializer, Serialize, de};
use sha2::{Digest, Sha256};
use std::fmt;

/// Most siblings of a proof: one for each bit of a key's hash.
pub const MAX_SIBLINGS: usize = 256;

/// What stands for a subtree without facts.
const EMPTY: Hash = Hash(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");
const LEAF: &[u8] = b"JMT::LeafNode";
const INNER: &[u8] = b"JMT::IntrnalNode";

/// A leaf of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FactLeaf {
    /// [`FactKey::hash`] of the fact's key.
    pub key: Hash,
    /// SHA-256 of the fact's value.
    pub value: Hash,
}

/// Shows that a fact is, or is not, on the board of a root.
///
/// The tree is binary, and the bits of a key's hash, the highest first, lead from the root down: 0 to the left. A subtree with one fact is
/// that fact's leaf, one without is a constant. So the way of an absent fact ends at such a constant or at the leaf of another fact.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FactProof {
    /// Of an absent fact: the leaf at which its way ends, if it ends at one. None for a fact that is there, whose leaf follows
    /// from its key and value.
    pub other: Option<FactLeaf>,
    /// Hashes of the subtrees that the way passes by, from the lowest to the one below the root; at most 256.
    #[serde(deserialize_with = "few")]
    pub siblings: Vec<Hash>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It has more siblings than a key has bits.
    #[error("the proof has more than {MAX_SIBLINGS} siblings")]
    TooLong,
    /// The leaf beside the way is that of the fact itself, or not on its way, or given for a fact that is there.
    #[error("the proof shows a leaf that has no place on the fact's way")]
    Misplaced,
    /// It leads to another root.
    #[error("the proof leads to the root {computed}, which is another")]
    WrongRoot {
        /// The root to which it leads.
        computed: Hash,
    },
}

impl FactLeaf {
    /// The leaf of a fact with this value.
    pub fn new(key: &FactKey, value: &[u8]) -> Self {
        Self { key: key.hash(), value: Hash(Sha256::digest(value).into()) }
    }

    /// SHA-256("JMT::LeafNode", key, value).
    pub fn hash(&self) -> Hash {
        Hash(Sha256::new().chain_update(LEAF).chain_update(self.key.0).chain_update(self.value.0).finalize().into())
    }
}

impl FactProof {
    /// Checks that the fact of `key` has this value, or with `None` that there is none, on the board of `root`.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &Hash, key: &FactKey, value: Option<&[u8]>) -> Result<(), ProofError> {
        self.verify_hashed(root, &key.hash(), value)
    }

    /// As [`FactProof::verify`], by the hash of the key.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify_hashed(&self, root: &Hash, key: &Hash, value: Option<&[u8]>) -> Result<(), ProofError> {
        if self.siblings.len() > MAX_SIBLINGS {
            return Err(ProofError::TooLong);
        }
        let end = match (value, &self.other) {
            (Some(value), None) => FactLeaf { key: *key, value: Hash(Sha256::digest(value).into()) }.hash(),
            (None, None) => EMPTY,
            (None, Some(other)) if other.key != *key && shared_bits(&other.key, key) >= self.siblings.len() => {
                other.hash()
            }
            (_, Some(_)) => return Err(ProofError::Misplaced),
        };
        // The lowest sibling lies as many bits down as there are siblings.
        let way = bits(key).take(self.siblings.len()).collect::<Vec<_>>();
        let computed = self.siblings.iter().zip(way.into_iter().rev()).fold(end, |below, (sibling, is_right)| {
            if is_right { inner(sibling, &below) } else { inner(&below, sibling) }
        });
        if computed == *root { Ok(()) } else { Err(ProofError::WrongRoot { computed }) }
    }
}

/// SHA-256("JMT::IntrnalNode", left, right).
pub fn inner(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update(INNER).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The hash that stands for a subtree without facts.
pub fn empty() -> Hash {
    EMPTY
}

/// The bits of a hash, the highest of the first byte first.
fn bits(hash: &Hash) -> impl Iterator<Item = bool> {
    hash.0.into_iter().flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1 == 1))
}

fn shared_bits(one: &Hash, other: &Hash) -> usize {
    bits(one).zip(bits(other)).take_while(|(one, other)| one == other).count()
}

impl BorshDeserialize for FactProof {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let other = Option::deserialize_reader(reader)?;
        let count = u32::deserialize_reader(reader)?;
        if usize::try_from(count).map_or(true, |count| count > MAX_SIBLINGS) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, ProofError::TooLong));
        }
        let siblings = (0..count).map(|_| Hash::deserialize_reader(reader)).collect::<io::Result<_>>()?;
        Ok(Self { other, siblings })
    }
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
    struct Few;

    impl<'de> de::Visitor<'de> for Few {
        type Value = Vec<Hash>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_SIBLINGS} hashes")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Hash>, A::Error> {
            let mut siblings = Vec::new();
            while let Some(sibling) = sequence.next_element()? {
                if siblings.len() == MAX_SIBLINGS {
                    return Err(de::Error::custom(ProofError::TooLong));
                }
                siblings.push(sibling);
            }
            Ok(siblings)
        }
    }

    deserializer.deserialize_seq(Few)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(siblings: usize) -> FactProof {
        FactProof { other: None, siblings: vec![Hash([3; 32]); siblings] }
    }

    #[test]
    fn a_proof_has_no_more_siblings_than_a_key_has_bits() {
        for (count, fits) in [(0, true), (MAX_SIBLINGS, true), (MAX_SIBLINGS + 1, false)] {
            let proof = proof(count);
            let json = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<FactProof>(&json).is_ok(), fits, "{count}");
            let bytes = borsh::to_vec(&proof).unwrap();
            assert_eq!(borsh::from_slice::<FactProof>(&bytes).is_ok(), fits, "{count}");
            let error = proof.verify(&EMPTY, &FactKey::Network, Some(b"x")).err();
            assert_eq!(error == Some(ProofError::TooLong), !fits, "{count}");
        }
        // A length alone takes no memory.
        let claim = [&[0_u8][..], &u32::MAX.to_le_bytes()].concat();
        assert!(borsh::from_slice::<FactProof>(&claim).is_err());
    }

    #[test]
    fn the_only_fact_is_the_root_and_a_board_without_facts_has_none() {
        let leaf = FactLeaf::new(&FactKey::Network, b"value");
        assert_eq!(proof(0).verify(&leaf.hash(), &FactKey::Network, Some(b"value")), Ok(()));
        assert_eq!(proof(0).verify(&empty(), &FactKey::Network, None), Ok(()));
        let computed = leaf.hash();
        let elsewhere = proof(0).verify(&empty(), &FactKey::Network, Some(b"value"));
        assert_eq!(elsewhere, Err(ProofError::WrongRoot { computed }));
    }

    #[test]
    fn a_leaf_beside_the_way_shows_nothing() {
        let present = FactLeaf::new(&FactKey::Network, b"value");
        let other = |leaf| FactProof { other: Some(leaf), siblings: vec![] };
        // The fact's own leaf does not show that the fact is absent, nor is a second leaf given for one that is there.
        let itself = other(present).verify(&present.hash(), &FactKey::Network, None);
        assert_eq!(itself, Err(ProofError::Misplaced));
        let both = other(present).verify(&present.hash(), &FactKey::Network, Some(b"value"));
        assert_eq!(both, Err(ProofError::Misplaced));
        // A leaf of the other half of the tree says nothing of this half, whatever root it leads to.
        let mut away = present;
        away.key.0[0] ^= 0x80;
        let claim = FactProof { other: Some(away), siblings: vec![present.hash()] };
        let root = inner(&away.hash(), &present.hash());
        for root in [root, inner(&present.hash(), &away.hash())] {
            assert_eq!(claim.verify(&root, &FactKey::Network, None), Err(ProofError::Misplaced));
        }
    }
}
