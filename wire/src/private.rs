//! A party's private messages of one round: one operation, one Merkle tree with a leaf for every recipient.

use crate::{Bytes, Code, Hash, hash::TaggedHash, limits::MAX_PARTIES};
use borsh::{BorshDeserialize, BorshSerialize};
use rs_merkle::{Hasher, MerkleProof, MerkleTree};
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

/// The inner nodes' hasher. Leaves are hashed by [`leaf`], in another domain, before they come here.
#[derive(Clone)]
struct Node;

impl Hasher for Node {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        TaggedHash::new("private-node").bytes(data).finish().0
    }
}

/// Leaf j: H(tag, j, key commitment, ciphertext), or H(tag, j) for no message. A leaf beyond n is the latter, too.
fn leaf(j: usize, item: Option<&PrivateItem>) -> [u8; 32] {
    let index = j as u64;
    match item {
        Some(item) => {
            TaggedHash::new("private-leaf").value(&index).bytes(item.commitment.0).bytes(&item.ciphertext).finish().0
        }
        None => TaggedHash::new("private-none").value(&index).finish().0,
    }
}

impl PrivateSet {
    /// Parses a payload.
    ///
    /// # Errors
    /// [`Code::Malformed`] if it is no encoding of 1 to [`MAX_PARTIES`] items.
    pub fn decode(payload: &[u8]) -> Result<Self, Code> {
        // Looked at first, for an item of one byte takes more than fifty in memory.
        let count = payload.first_chunk().map(|count| u32::from_le_bytes(*count));
        if !count.is_some_and(|count| (1..=u32::from(MAX_PARTIES)).contains(&count)) {
            return Err(Code::Malformed);
        }
        borsh::from_slice(payload).map_err(|_| Code::Malformed)
    }

    /// The payload.
    pub fn encode(&self) -> Bytes {
        Bytes(borsh::to_vec(self).expect("borsh to a vector fails only for collections beyond u32 lengths"))
    }

    fn tree(&self) -> MerkleTree<Node> {
        let leaves: Vec<[u8; 32]> = (0..self.items.len().next_power_of_two())
            .map(|j| leaf(j, self.items.get(j).and_then(Option::as_ref)))
            .collect();
        MerkleTree::from_leaves(&leaves)
    }

    /// What the sender signs: the root over n and the tree, so that a root belongs to one number of parties.
    pub fn root(&self) -> Hash {
        bind_length(self.items.len(), self.tree().root().unwrap_or_default())
    }

    /// Every recipient's path at once, in index order.
    pub fn paths(&self) -> Vec<Vec<Hash>> {
        let tree = self.tree();
        (0..self.items.len()).map(|j| tree.proof(&[j]).proof_hashes().iter().copied().map(Hash).collect()).collect()
    }
}

/// A set with its tree, for who hands out items one by one.
pub struct PrivateTree {
    items: Vec<Option<PrivateItem>>,
    tree: MerkleTree<Node>,
}

impl From<PrivateSet> for PrivateTree {
    fn from(set: PrivateSet) -> Self {
        Self { tree: set.tree(), items: set.items }
    }
}

impl PrivateTree {
    /// What party `recipient` gets, if anything, and its path. `None` beyond n.
    pub fn item(&self, recipient: u16) -> Option<(Option<&PrivateItem>, Vec<Hash>)> {
        let item = self.items.get(usize::from(recipient))?.as_ref();
        let path = self.tree.proof(&[usize::from(recipient)]).proof_hashes().iter().copied().map(Hash).collect();
        Some((item, path))
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let sealed: usize = self.items.iter().flatten().map(|item| item.ciphertext.0.len()).sum();
        sealed + self.items.len().saturating_mul(size_of::<Option<PrivateItem>>() + 4 * size_of::<Hash>())
    }
}

fn bind_length(n: usize, tree_root: [u8; 32]) -> Hash {
    TaggedHash::new("private-root").value(&(n as u64)).bytes(tree_root).finish()
}

/// Checks that `root` commits to `item` for party `recipient` among `n`. Both numbers come from the session's list, never
/// from the sender or the node.
pub fn verify_item(root: &Hash, n: u16, recipient: u16, item: Option<&PrivateItem>, path: &[Hash]) -> bool {
    let width = usize::from(n).next_power_of_two();
    if recipient >= n || path.len() != width.trailing_zeros() as usize {
        return false;
    }
    let proof = MerkleProof::<Node>::new(path.iter().map(|hash| hash.0).collect());
    let leaf = leaf(usize::from(recipient), item);
    match proof.root(&[usize::from(recipient)], &[leaf], width) {
        Ok(tree_root) => bind_length(usize::from(n), tree_root) == *root,
        Err(_) => false,
    }
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
            assert_eq!(PrivateSet::decode(&PrivateSet { items }.encode().0), Err(Code::Malformed));
        }
        // Parsed whole before its length was looked at, this took 56 MiB.
        let bomb = [&(1u32 << 20).to_le_bytes()[..], &vec![0; 1 << 20]].concat();
        let started = std::time::Instant::now();
        (0..200).for_each(|_| assert_eq!(PrivateSet::decode(&bomb), Err(Code::Malformed)));
        assert!(started.elapsed() < std::time::Duration::from_millis(500));
        assert_eq!(PrivateSet::decode(&[1, 0]), Err(Code::Malformed));
    }

    #[test]
    fn every_item_opens_at_its_own_place_only() {
        for n in [1, 2, 3, 5, 8, 9] {
            let set = set(n);
            let (root, paths) = (set.root(), set.paths());
            assert_eq!(paths.len(), usize::from(n));
            let tree = PrivateTree::from(set.clone());
            assert!(
                (0..n)
                    .zip(&paths)
                    .all(|(j, path)| { tree.item(j) == Some((set.items[usize::from(j)].as_ref(), path.clone())) })
            );
            assert_eq!(tree.item(n), None);
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
