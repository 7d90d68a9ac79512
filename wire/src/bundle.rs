//! Payloads beside consensus. A gateway hands operations with their payloads to all nodes as a [`Delivery`]; each node that has
//! stored them signs a [`Confirmation`] of the [`Bundle`], the list of what was delivered; a transaction carries the operations, the
//! list and the confirmations ([`ConfirmedBundle`]), and no block the payloads.

use crate::{
    Bytes, ChainId, Code, Envelope, Hash, Message, OperationId, PublicKey, Signed,
    hash::TaggedHash,
    limits::{CHUNK_BYTES, MAX_BUNDLE_OPERATIONS, MAX_DELIVERY_BYTES, MAX_NODES},
};
use borsh::{BorshDeserialize, BorshSerialize};
use rs_merkle::{Hasher, MerkleTree};

/// One payload of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BundleItem {
    /// The operation whose payload it is.
    pub operation: OperationId,
    /// Its length in bytes.
    pub length: u32,
    /// Its [`chunk_root`].
    pub chunk_root: Hash,
}

/// What a gateway has handed to the nodes, as a list without the payloads.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// Identity of the gateway.
    pub gateway: PublicKey,
    /// From this block time on the bundle is worth nothing, in milliseconds.
    pub expiry_ms: u64,
    /// 1 to [`MAX_BUNDLE_OPERATIONS`] payloads.
    pub items: Vec<BundleItem>,
}

impl Bundle {
    /// H(tag, chain, gateway, expiry, items in order): what nodes confirm.
    pub fn digest(&self, chain: &ChainId) -> Hash {
        let hash = TaggedHash::new("bundle").value(chain).bytes(self.gateway.0).value(&self.expiry_ms);
        self.items.iter().fold(hash, |hash, item| hash.value(item)).finish()
    }
}

/// A node's word that it has durably stored all payloads of a bundle but those that it refuses.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Confirmation {
    /// [`Bundle::digest`].
    pub bundle: Hash,
    /// The bundle's expiry: until a block has this time, the node keeps them whatever the board says.
    pub expiry_ms: u64,
    /// Places in the bundle, ascending, of payloads that the node has not stored.
    pub refused: Vec<u16>,
}

impl Message for Confirmation {
    const TAG: &'static str = "confirmation";
}

impl Confirmation {
    /// True if the node says that it has stored the payload at `place` of the bundle.
    pub fn covers(&self, place: u16) -> bool {
        self.refused.binary_search(&place).is_err()
    }

    /// Checks the bounds of what came from another node.
    ///
    /// # Errors
    /// [`Code::Malformed`].
    pub fn check(&self) -> Result<(), Code> {
        let ascending = self.refused.windows(2).all(|pair| pair.first() < pair.last());
        let in_bounds = self.refused.iter().all(|place| usize::from(*place) < MAX_BUNDLE_OPERATIONS);
        if ascending && in_bounds { Ok(()) } else { Err(Code::Malformed) }
    }
}

/// A bundle with what nodes have said of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ConfirmedBundle {
    /// The list.
    pub bundle: Bundle,
    /// At most one for each node.
    pub confirmations: Vec<Signed<Confirmation>>,
}

impl ConfirmedBundle {
    /// Checks all bounds, and no signature.
    ///
    /// # Errors
    /// [`Code::Malformed`].
    pub fn check(&self) -> Result<(), Code> {
        let sound = (1..=MAX_BUNDLE_OPERATIONS).contains(&self.bundle.items.len())
            && (1..=MAX_NODES).contains(&self.confirmations.len());
        if !sound {
            return Err(Code::Malformed);
        }
        self.confirmations.iter().try_for_each(|confirmation| confirmation.body.check())
    }
}

/// A bundle with its payloads, as a gateway hands it to every node.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Delivery {
    /// Identity of the gateway.
    pub gateway: PublicKey,
    /// The bundle's expiry, in milliseconds of block time.
    pub expiry_ms: u64,
    /// The height at which the gateway's board would take the operations: a node that is behind waits a little before it judges.
    pub height: u64,
    /// 1 to [`MAX_BUNDLE_OPERATIONS`] operations with their payloads.
    pub envelopes: Vec<Envelope>,
}

impl Delivery {
    /// Parses a delivery within its bounds.
    ///
    /// # Errors
    /// [`Code::RequestTooLarge`] or [`Code::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Code> {
        if bytes.len() > MAX_DELIVERY_BYTES {
            return Err(Code::RequestTooLarge);
        }
        let delivery: Self = borsh::from_slice(bytes).map_err(|_| Code::Malformed)?;
        let sound = (1..=MAX_BUNDLE_OPERATIONS).contains(&delivery.envelopes.len());
        if sound { Ok(delivery) } else { Err(Code::Malformed) }
    }

    /// The delivery's bytes.
    pub fn encode(&self) -> Bytes {
        Bytes(borsh::to_vec(self).expect("borsh to a vector fails only for collections beyond u32 lengths"))
    }

    /// The list of what is delivered: what who has read all payloads can confirm.
    pub fn bundle(&self) -> Bundle {
        let item = |envelope: &Envelope| BundleItem {
            operation: envelope.id(),
            length: envelope.payload.length(),
            chunk_root: chunk_root(&envelope.payload.0),
        };
        Bundle { gateway: self.gateway, expiry_ms: self.expiry_ms, items: self.envelopes.iter().map(item).collect() }
    }
}

/// The inner nodes' hasher. Leaves are hashed in other domains before they come here.
#[derive(Clone)]
struct Node;

impl Hasher for Node {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        TaggedHash::new("chunk-node").bytes(data).finish().0
    }
}

/// The root over a payload's chunks of [`CHUNK_BYTES`] and its length, so that one chunk can be asked for and checked. Leaf j is
/// H(tag, j, chunk); beyond the last chunk, up to a power of two, H(tag, j).
pub fn chunk_root(payload: &[u8]) -> Hash {
    let mut leaves: Vec<[u8; 32]> = payload
        .chunks(CHUNK_BYTES)
        .zip(0_u64..)
        .map(|(chunk, j)| TaggedHash::new("chunk-leaf").value(&j).bytes(chunk).finish().0)
        .collect();
    let width = leaves.len().next_power_of_two();
    let padding = (leaves.len()..width).map(|j| TaggedHash::new("chunk-none").value(&(j as u64)).finish().0);
    leaves.extend(padding.collect::<Vec<_>>());
    let root = MerkleTree::<Node>::from_leaves(&leaves).root().unwrap_or_default();
    TaggedHash::new("chunk-root").value(&(payload.len() as u64)).bytes(root).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_root_depends_on_every_byte_and_on_the_length() {
        let mut seen = std::collections::BTreeSet::new();
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 4 * CHUNK_BYTES + 7] {
            let mut payload = vec![0; length];
            assert!(seen.insert(chunk_root(&payload)), "{length} zeros");
            for at in [0, length / 2, length.saturating_sub(1)].into_iter().filter(|at| *at < length) {
                payload[at] = 1;
                assert_ne!(chunk_root(&payload), chunk_root(&vec![0; length]), "byte {at} of {length}");
                payload[at] = 0;
            }
        }
    }

    #[test]
    fn a_bundle_is_bound_to_its_chain_its_gateway_and_the_order_of_its_items() {
        let item =
            |byte: u8| BundleItem { operation: OperationId([byte; 32]), length: 1, chunk_root: Hash([byte; 32]) };
        let bundle = Bundle { gateway: PublicKey([7; 32]), expiry_ms: 5, items: vec![item(1), item(2)] };
        let (here, there) = ("here".parse().unwrap(), "there".parse().unwrap());
        let others = [
            Bundle { gateway: PublicKey([8; 32]), ..bundle.clone() },
            Bundle { expiry_ms: 6, ..bundle.clone() },
            Bundle { items: vec![item(2), item(1)], ..bundle.clone() },
            Bundle { items: vec![item(1)], ..bundle.clone() },
        ];
        let digests = others.iter().map(|other| other.digest(&here)).chain([bundle.digest(&there)]);
        assert!(digests.into_iter().all(|digest| digest != bundle.digest(&here)));
    }

    #[test]
    fn what_a_node_refuses_is_a_list_in_order() {
        let confirmation = |refused| Confirmation { bundle: Hash([0; 32]), expiry_ms: 0, refused };
        assert_eq!(confirmation(vec![]).check(), Ok(()));
        assert_eq!(confirmation(vec![0, 3, 255]).check(), Ok(()));
        for refused in [vec![1, 1], vec![2, 1], vec![256]] {
            assert_eq!(confirmation(refused).check(), Err(Code::Malformed));
        }
        let some = confirmation(vec![0, 3]);
        assert_eq!([0, 1, 2, 3, 4].map(|place| some.covers(place)), [false, true, true, false, true]);
    }
}
