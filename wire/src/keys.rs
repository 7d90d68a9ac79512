//! The cluster's threshold key, epoch by epoch, and who vouches for it.

use crate::{
    ChainId, Code, G1Bytes, G2Bytes, Hash, Message, PublicKey, Signature, fault_tolerance, hash::TaggedHash, signed,
};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The threshold key of one epoch. Height decides the epoch of a certificate: this one from `first_height` on, until the first height
/// of the next.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// 1 for the first key.
    pub epoch: u64,
    /// The first height that is certified under it: one after that at which its generation came to its end.
    pub first_height: u64,
    /// The group's public key.
    pub group_key: G2Bytes,
    /// Identity keys of the nodes that have the shares, share i + 1 with node i.
    pub identities: Vec<PublicKey>,
}

impl Message for KeyRecord {
    const TAG: &'static str = "key-record";
}

impl KeyRecord {
    /// f of this epoch; f + 1 shares make a signature.
    pub fn faults(&self) -> usize {
        fault_tolerance(self.identities.len())
    }

    /// What the group key of the epoch before signs, in `bls`'s domain for key records.
    pub fn succession_message(&self, chain: &ChainId) -> Hash {
        TaggedHash::new("key-succession").value(chain).value(self).finish()
    }
}

/// One node's word for a key record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Endorsement {
    /// The node's place among the identities of the epoch before, or of genesis for the first epoch.
    pub node: u16,
    /// Its signature over the record, as [`crate::Signed`] makes it.
    pub signature: Signature,
}

/// A key record with all that makes it follow from the one before: the value of [`crate::FactKey::Keys`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EndorsedKeyRecord {
    /// The record.
    pub record: KeyRecord,
    /// f + 1 endorsements of nodes of the epoch before, of genesis for the first.
    pub endorsements: Vec<Endorsement>,
    /// The signature of the group key of the epoch before over [`KeyRecord::succession_message`]; none for the first.
    pub previous: Option<G1Bytes>,
}

impl EndorsedKeyRecord {
    /// Checks that f + 1 different ones of `identities` (of the epoch before, or of genesis) have signed the record. The signature of the
    /// group key before is the caller's to check, for this crate knows no pairing.
    ///
    /// # Errors
    /// [`Code::BadSignature`].
    pub fn check_endorsements(&self, chain: &ChainId, identities: &[PublicKey]) -> Result<(), Code> {
        let nodes: BTreeSet<u16> = self.endorsements.iter().map(|endorsement| endorsement.node).collect();
        if nodes.len() != self.endorsements.len() || nodes.len() <= fault_tolerance(identities.len()) {
            return Err(Code::BadSignature);
        }
        self.endorsements.iter().try_for_each(|endorsement| {
            let author = identities.get(usize::from(endorsement.node)).ok_or(Code::BadSignature)?;
            signed::check(author, &signed::digest(chain, author, &self.record), &endorsement.signature)
        })
    }
}
