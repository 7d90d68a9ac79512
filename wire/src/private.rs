//! A party's private messages of one round: one operation, one Merkle tree with a leaf for every recipient.

use crate::{Bytes, Code, Hash, hash::TaggedHash, limits::MAX_PARTIES};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// One sealed message. The commitment is derived from the message's key: XChaCha20-Poly1305 alone commits to none.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PrivateItem {
    /// Commitment to the key of this one message.
    pub commitment: Hash,
    /// The sealed message with its tag.
    pub ciphertext: Bytes,
}

/// Exactly n items in index order; `None` for who gets nothing. Its borsh encoding is the payload of a private write.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PrivateSet {
    /// Item j is for party j.
    pub items: Vec<Option<PrivateItem>>,
}

/// A tree over a power of two of leaves, without the leaves. Plain lookups and hashes, for a node takes a path from it, and a party checks one, for
/// each message.
struct Tree {
    /// From the parents of the leaves to the two nodes below the root.
    layers: Vec<Vec<Hash>>,
    root: Hash,
}

impl Tree {
    /// Leaves beyond those given are for nobody.
    fn over(mut leaves: Vec<Hash>) -> Self {
        let width = leaves.len().next_power_of_two();
        leaves.extend((leaves.len()..width).map(|j| leaf(j, None)));
        let above = |layer: &[Hash]| layer.as_chunks().0.iter().map(|[left, right]| parent(left, right)).collect();
        let (mut layers, mut layer) = (Vec::new(), leaves);
        if width > 1 {
            layer = above(&layer);
        }
        while layer.len() > 1 {
            let next = above(&layer);
            layers.push(std::mem::replace(&mut layer, next));
        }
        Self { layers, root: layer.first().copied().expect("a tree of at least one leaf has a root") }
    }

    /// The siblings of the nodes from leaf `j` up; `sibling` is the leaf beside it.
    fn path(&self, j: usize, sibling: Hash) -> Vec<Hash> {
        let inner = self.layers.iter().enumerate();
        let inner = inner.filter_map(|(height, layer)| layer.get((j >> (height + 1)) ^ 1).copied());
        std::iter::once(sibling).chain(inner).collect()
    }
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    TaggedHash::new("private-node").bytes([left.0, right.0].as_flattened()).finish()
}

/// Leaf j: H(tag, j, key commitment, ciphertext), or H(tag, j) for no message. A leaf beyond n is the latter, too.
fn leaf(j: usize, item: Option<&PrivateItem>) -> Hash {
    let index = j as u64;
    match item {
        Some(item) => {
            TaggedHash::new("private-leaf").value(&index).bytes(item.commitment.0).bytes(&item.ciphertext).finish()
        }
        None => TaggedHash::new("private-none").value(&index).finish(),
    }
}

impl PrivateSet {
    /// Parses a payload.
    ///
    /// # Errors
    /// [`Code::Malformed`] if it is no encoding of 1 to [`MAX_PARTIES`] items.
    pub fn decode(payload: &[u8]) -> Result<Self, Code> {
        count(payload)?;
        borsh::from_slice(payload).map_err(|_| Code::Malformed)
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        Bytes(borsh::to_vec(self).expect("borsh to a vector fails only for collections beyond u32 lengths"))
    }

    fn tree(&self) -> Tree {
        Tree::over(self.items.iter().enumerate().map(|(j, item)| leaf(j, item.as_ref())).collect())
    }

    /// What the sender signs: the root over n and the tree, so that a root belongs to one number of parties.
    pub fn root(&self) -> Hash {
        bind_length(self.items.len(), &self.tree().root)
    }

    /// Every recipient's path at once, in index order.
    pub fn paths(&self) -> Vec<Vec<Hash>> {
        let tree = self.tree();
        let path = |j: usize| match self.items.len() {
            1 => Vec::new(),
            _ => tree.path(j, leaf(j ^ 1, self.items.get(j ^ 1).and_then(Option::as_ref))),
        };
        (0..self.items.len()).map(path).collect()
    }
}

/// A payload with its tree, for who checks it or hands out items one by one: the items stay encoded.
pub struct PrivateTree {
    payload: Bytes,
    /// Where each item begins in the payload.
    starts: Vec<u32>,
    tree: Tree,
}

impl PrivateTree {
    /// Parses a payload.
    ///
    /// # Errors
    /// As [`PrivateSet::decode`].
    pub fn decode(payload: Bytes) -> Result<Self, Code> {
        let count = count(&payload.0)?;
        let (mut starts, mut leaves) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut rest = payload.0.get(size_of::<u32>()..).ok_or(Code::Malformed)?;
        for j in 0..count {
            let start = payload.0.len().saturating_sub(rest.len());
            starts.push(u32::try_from(start).map_err(|_| Code::Malformed)?);
            leaves.push(leaf(j, item(&mut rest)?.as_ref()));
        }
        if !rest.is_empty() {
            return Err(Code::Malformed);
        }
        Ok(Self { tree: Tree::over(leaves), starts, payload })
    }

    /// How many items it has.
    pub fn parties(&self) -> usize {
        self.starts.len()
    }

    /// [`PrivateSet::root`].
    pub fn root(&self) -> Hash {
        bind_length(self.parties(), &self.tree.root)
    }

    /// What party `recipient` gets, if anything, and its path. `None` beyond n.
    pub fn item(&self, recipient: u16) -> Option<(Option<PrivateItem>, Vec<Hash>)> {
        let j = usize::from(recipient);
        let found = self.at(j)?;
        let path = match self.parties() {
            1 => Vec::new(),
            _ => self.tree.path(j, leaf(j ^ 1, self.at(j ^ 1).flatten().as_ref())),
        };
        Some((found, path))
    }

    /// Item `j`; `None` beyond n.
    fn at(&self, j: usize) -> Option<Option<PrivateItem>> {
        let start = usize::try_from(*self.starts.get(j)?).ok()?;
        item(&mut self.payload.0.get(start..)?).ok()
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        self.payload.0.len() + self.parties().saturating_mul(size_of::<u32>() + size_of::<Hash>())
    }
}

/// The number of items that a payload begins with. Looked at first, for an item of one byte takes more than fifty in memory.
fn count(payload: &[u8]) -> Result<usize, Code> {
    let count = payload.first_chunk().map(|count| u32::from_le_bytes(*count));
    let count = count.filter(|count| (1..=u32::from(MAX_PARTIES)).contains(count)).ok_or(Code::Malformed)?;
    usize::try_from(count).map_err(|_| Code::Malformed)
}

fn item(payload: &mut &[u8]) -> Result<Option<PrivateItem>, Code> {
    BorshDeserialize::deserialize(payload).map_err(|_| Code::Malformed)
}

fn bind_length(n: usize, root: &Hash) -> Hash {
    TaggedHash::new("private-root").value(&(n as u64)).bytes(root.0).finish()
}

/// Checks that `root` commits to `item` for party `recipient` among `n`. Both numbers come from the session's list, never
/// from the sender or the node.
pub fn verify_item(root: &Hash, n: u16, recipient: u16, item: Option<&PrivateItem>, path: &[Hash]) -> bool {
    let width = usize::from(n).next_power_of_two();
    if recipient >= n || path.len() != width.trailing_zeros() as usize {
        return false;
    }
    let climb = |(node, place): (Hash, u16), sibling: &Hash| {
        let above = if place.is_multiple_of(2) { parent(&node, sibling) } else { parent(sibling, &node) };
        (above, place / 2)
    };
    let (found, _) = path.iter().fold((leaf(usize::from(recipient), item), recipient), climb);
    bind_length(usize::from(n), &found) == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(n: u16) -> PrivateSet {
        let item = |j: u16| PrivateItem { commitment: Hash([7; 32]), ciphertext: Bytes(vec![1; usize::from(j)]) };
        PrivateSet { items: (0..n).map(|j| (j % 3 != 0).then(|| item(j))).collect() }
    }

    #[test]
    fn a_set_of_too_many_is_refused_by_its_length_alone() {
        let most = PrivateSet { items: vec![None; usize::from(MAX_PARTIES)] };
        assert_eq!(PrivateSet::decode(&most.encode().0), Ok(most));
        for items in [vec![], vec![None; usize::from(MAX_PARTIES) + 1]] {
            let payload = PrivateSet { items }.encode();
            assert_eq!(PrivateSet::decode(&payload.0), Err(Code::Malformed));
            assert_eq!(PrivateTree::decode(payload).err(), Some(Code::Malformed));
        }
        // Parsed whole before its length was looked at, this took 56 MiB.
        let bomb = [&(1u32 << 20).to_le_bytes()[..], &vec![0; 1 << 20]].concat();
        let started = std::time::Instant::now();
        (0..200).for_each(|_| assert_eq!(PrivateSet::decode(&bomb), Err(Code::Malformed)));
        assert!(started.elapsed() < std::time::Duration::from_millis(500));
        assert_eq!(PrivateSet::decode(&[1, 0]), Err(Code::Malformed));
        let whole = set(3).encode().0;
        for payload in [vec![1, 0], whole[..whole.len() - 1].to_vec(), [&whole[..], &[0]].concat()] {
            assert_eq!(PrivateSet::decode(&payload), Err(Code::Malformed));
            assert_eq!(PrivateTree::decode(Bytes(payload)).err(), Some(Code::Malformed));
        }
    }

    #[test]
    fn every_item_opens_at_its_own_place_only() {
        for n in [1, 2, 3, 5, 8, 9] {
            let set = set(n);
            let (root, paths) = (set.root(), set.paths());
            assert_eq!(paths.len(), usize::from(n));
            let tree = PrivateTree::decode(set.encode()).ok().unwrap();
            let shown = |j: u16| Some((set.items[usize::from(j)].clone(), paths[usize::from(j)].clone()));
            assert!((0..n).all(|j| tree.item(j) == shown(j)));
            assert_eq!((tree.item(n), tree.root(), tree.parties()), (None, root, usize::from(n)));
            for (j, path) in (0..n).zip(&paths) {
                let item = set.items[usize::from(j)].as_ref();
                assert!(verify_item(&root, n, j, item, path), "{n} {j}");
                assert!(!verify_item(&root, n, (j + 1) % n.max(2), item, path));
                assert!(!verify_item(&root, n + 1, j, item, path), "another number of parties");
                let forged = PrivateItem { commitment: Hash([8; 32]), ciphertext: Bytes(vec![]) };
                assert!(!verify_item(&root, n, j, Some(&forged), path));
                assert_eq!(verify_item(&root, n, j, None, path), item.is_none());
            }
        }
    }
}
