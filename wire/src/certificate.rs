//! Certificates: the nodes' threshold signature over a root of the board (§V-E b).

use crate::{BoardAt, ChainId, FactProof, G1Bytes, Hash, Message, hash::TaggedHash};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// A block of the board under the threshold key of its epoch: f + 1 nodes, so an honest one among them, have executed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Epoch of the key.
    pub epoch: u64,
    /// The block.
    pub at: BoardAt,
    /// The group's signature over [`certificate_message`].
    pub signature: G1Bytes,
}

/// What the nodes sign, in `bls`'s domain for certificates: H(tag, chain, epoch, height, time, root).
pub fn certificate_message(chain: &ChainId, epoch: u64, at: &BoardAt) -> Hash {
    TaggedHash::new("certificate").value(chain).value(&epoch).value(at).finish()
}

/// One node's share of a certificate. It travels under the node's identity key, so that a wrong one convinces a third person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateShare {
    /// Epoch of the key.
    pub epoch: u64,
    /// The block that the node has executed.
    pub at: BoardAt,
    /// Its partial signature over [`certificate_message`].
    pub partial: G1Bytes,
}

impl Message for CertificateShare {
    const TAG: &'static str = "certificate-share";
}

/// A fact with its proof: one node's answer that can be believed without believing the node.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Certified<F> {
    /// The block as of which the fact holds.
    pub certificate: Certificate,
    /// The fact.
    pub fact: F,
    /// Paths from the values that the fact is made of to the certificate's root: which values, and in which order,
    /// [`crate::fact::Provable`] says.
    pub proofs: Vec<FactProof>,
}
