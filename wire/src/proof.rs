//! Proofs that a fact is, or is not, under a root of the board.

use crate::Hash;
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// The leaf at which a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FactLeaf {
    /// [`crate::FactKey::hash`] of the fact that is there.
    pub key: Hash,
    /// SHA-256 of its value.
    pub value: Hash,
}

/// A path in the Jellyfish Merkle tree. It proves a value if it ends at the key's leaf, and absence if it ends at another leaf or at none.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FactProof {
    /// Where the path ends; none for an empty subtree.
    pub leaf: Option<FactLeaf>,
    /// Hashes of the nodes beside the path, from the leaf to the root: at most 256.
    pub siblings: Vec<Hash>,
}
