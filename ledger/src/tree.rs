//! The Jellyfish Merkle tree over all facts, in memory, newest version only. The only file that knows `jmt`.
//!
//! Nodes and values lie in persistent maps: a clone takes no time and keeps what it shows while the original goes on.

use borsh::BorshDeserialize;
use jmt::{
    KeyHash, OwnedValue, Sha256Jmt, Version,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use rpds::RedBlackTreeMapSync;
use std::collections::BTreeMap;
use wire::{FactLeaf, FactProof, Hash, proof};

/// The tree. Its root depends on the facts alone: not on their history, nor on the number of updates.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    contents: Contents,
    /// Counts updates. `jmt` names nodes by it and hashes it nowhere.
    version: Version,
    root: Hash,
}

#[derive(Clone, Debug)]
struct Contents {
    nodes: RedBlackTreeMapSync<NodeKey, Node>,
    /// By the hashes of the facts' keys.
    values: RedBlackTreeMapSync<Hash, Vec<u8>>,
}

impl TreeReader for Contents {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.nodes.get(node_key).cloned())
    }

    fn get_value_option(&self, _: Version, key: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(self.values.get(&Hash(key.0)).cloned())
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

/// A proof as `jmt` encodes it, for it gives its parts in no other way.
#[derive(BorshDeserialize)]
struct EncodedProof {
    leaf: Option<EncodedLeaf>,
    siblings: Vec<Sibling>,
}

#[derive(BorshDeserialize)]
struct EncodedLeaf {
    key: Hash,
    value: Hash,
}

#[derive(BorshDeserialize)]
enum Sibling {
    Empty,
    Inner { left: Hash, right: Hash },
    Leaf(EncodedLeaf),
}

impl From<EncodedLeaf> for FactLeaf {
    fn from(EncodedLeaf { key, value }: EncodedLeaf) -> Self {
        Self { key, value }
    }
}

impl From<Sibling> for Hash {
    fn from(sibling: Sibling) -> Self {
        match sibling {
            Sibling::Empty => proof::empty(),
            Sibling::Inner { left, right } => proof::inner(&left, &right),
            Sibling::Leaf(leaf) => FactLeaf::from(leaf).hash(),
        }
    }
}

impl Tree {
    /// A tree of these facts, by the hashes of their keys.
    pub(crate) fn new(facts: BTreeMap<Hash, Option<Vec<u8>>>) -> Self {
        let contents = Contents { nodes: RedBlackTreeMapSync::new_sync(), values: RedBlackTreeMapSync::new_sync() };
        let mut tree = Self { contents, version: 0, root: Hash([0; 32]) };
        tree.put(facts);
        tree
    }

    /// The root over all facts.
    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    /// The value of the fact whose key has this hash.
    pub(crate) fn value(&self, key: &Hash) -> Option<&[u8]> {
        self.contents.values.get(key).map(Vec::as_slice)
    }

    /// Shows the value of the fact whose key has this hash, or that there is none.
    pub(crate) fn prove(&self, key: &Hash) -> FactProof {
        let (value, proof) = Sha256Jmt::new(&self.contents)
            .get_with_proof(KeyHash(key.0), self.version)
            .expect("every node and value of the newest version is in memory, and reading memory does not fail");
        let encoded = borsh::to_vec(&proof).expect("a proof has at most 256 siblings of a fixed size");
        let EncodedProof { leaf, siblings } =
            borsh::from_slice(&encoded).expect("the types above are those of jmt, as the tests of this file show");
        let other = if value.is_none() { leaf.map(FactLeaf::from) } else { None };
        FactProof { other, siblings: siblings.into_iter().map(Hash::from).collect() }
    }

    /// Sets (`Some`) and removes (`None`) facts. An update of nothing leaves everything as it is.
    pub(crate) fn update(&mut self, facts: BTreeMap<Hash, Option<Vec<u8>>>) {
        if !facts.is_empty() {
            self.version = self.version.saturating_add(1);
            self.put(facts);
        }
    }

    fn put(&mut self, facts: BTreeMap<Hash, Option<Vec<u8>>>) {
        let changes = facts.iter().map(|(key, value)| (KeyHash(key.0), value.clone()));
        let (root, batch) = Sha256Jmt::new(&self.contents)
            .put_value_set(changes, self.version)
            .expect("every node of the newest version is in memory, and reading memory does not fail");
        let nodes = &mut self.contents.nodes;
        for stale in &batch.stale_node_index_batch {
            nodes.remove_mut(&stale.node_key);
        }
        // An update that only removes what is not there copies the root and does not call the old one stale.
        if let Some(before) = self.version.checked_sub(1) {
            nodes.remove_mut(&NodeKey::new(before, std::iter::empty().collect()));
        }
        for (key, node) in batch.node_batch.nodes() {
            nodes.insert_mut(key.clone(), node.clone());
        }
        for (key, value) in facts {
            match value {
                Some(value) => self.contents.values.insert_mut(key, value),
                None => drop(self.contents.values.remove_mut(&key)),
            }
        }
        self.root = Hash(root.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jmt::{RootHash, proof::SparseMerkleProof};
    use proptest::{collection::vec, option, prelude::*};
    use sha2::Sha256;
    use std::collections::BTreeSet;
    use wire::hash::TaggedHash;

    type Facts = BTreeMap<Hash, Option<Vec<u8>>>;

    /// Keys that share long prefixes, so that removals fold many levels of the tree.
    fn key() -> impl Strategy<Value = Hash> {
        (0_u8..4, 0_u8..4, 0_usize..32).prop_map(|(first, last, at)| {
            let mut key = [0; 32];
            key[0] = first << 4;
            key[at] ^= last;
            Hash(key)
        })
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let change = (key(), option::of(0_u8..3));
        vec(change, 0..12).prop_map(|all| all.into_iter().map(|(key, value)| (key, value.map(|v| vec![v]))).collect())
    }

    /// What `jmt` itself says of its own proof.
    fn jmt_says(tree: &Tree, root: &Hash, key: &Hash, value: Option<&[u8]>) -> bool {
        let (_, proof): (_, SparseMerkleProof<Sha256>) =
            Sha256Jmt::new(&tree.contents).get_with_proof(KeyHash(key.0), tree.version).unwrap();
        proof.verify(RootHash(root.0), KeyHash(key.0), value).is_ok()
    }

    proptest! {
        #[test]
        fn the_root_depends_on_the_facts_alone(updates in vec(facts(), 0..12)) {
            let first: Facts = [(Hash([0xFF; 32]), Some(vec![1]))].into();
            let mut kept = first.clone();
            let mut tree = Tree::new(first);
            for update in updates {
                kept.extend(update.clone());
                kept.retain(|_, value| value.is_some());
                tree.update(update);
                let fresh = Tree::new(kept.clone());
                prop_assert_eq!(tree.root(), fresh.root());
                prop_assert_eq!(tree.contents.nodes.size(), fresh.contents.nodes.size(), "nodes of old versions are left over");
                prop_assert_eq!(tree.contents.values.size(), kept.len());
            }
        }

        #[test]
        fn what_is_there_and_what_is_not_can_be_shown(updates in vec(facts(), 1..6), asked in vec(key(), 1..20)) {
            let mut tree = Tree::new([(Hash([0xFF; 32]), Some(vec![1]))].into());
            let mut before: Vec<(Tree, Facts)> = Vec::new();
            let mut kept: Facts = [(Hash([0xFF; 32]), Some(vec![1]))].into();
            for update in updates {
                before.push((tree.clone(), kept.clone()));
                kept.extend(update.clone());
                kept.retain(|_, value| value.is_some());
                tree.update(update);
            }
            before.push((tree.clone(), kept));
            for (snapshot, facts) in &before {
                for key in &asked {
                    let value = facts.get(key).cloned().flatten();
                    prop_assert_eq!(snapshot.value(key), value.as_deref());
                    let proof = snapshot.prove(key);
                    prop_assert_eq!(proof.verify_hashed(&snapshot.root(), key, value.as_deref()), Ok(()));
                    prop_assert!(jmt_says(snapshot, &snapshot.root(), key, value.as_deref()));
                    // Under another root, and for another value, neither holds.
                    for (other, _) in before.iter().filter(|(other, _)| other.root() != snapshot.root()) {
                        prop_assert!(proof.verify_hashed(&other.root(), key, value.as_deref()).is_err());
                    }
                    let others = [None, Some(b"".as_slice()), Some(&[0]), Some(&[1]), Some(&[2]), Some(&[1, 1])];
                    for other in others.into_iter().filter(|other| *other != value.as_deref()) {
                        prop_assert!(proof.verify_hashed(&snapshot.root(), key, other).is_err());
                        prop_assert!(!jmt_says(snapshot, &snapshot.root(), key, other));
                    }
                }
            }
        }

        #[test]
        fn a_proof_of_any_depth_with_one_bit_changed_shows_nothing(kept in facts(), asked in key(), bit in 0_usize..256) {
            let mut tree = Tree::new([(Hash([0xFF; 32]), Some(vec![1]))].into());
            tree.update(kept);
            for changed in changed_proofs(&tree.prove(&asked), bit..bit + 1) {
                prop_assert!(changed.verify_hashed(&tree.root(), &asked, tree.value(&asked)).is_err(), "{:?}", changed);
            }
        }
    }

    /// The proof with one of these bits of one of its hashes changed.
    fn changed_proofs(proof: &FactProof, bits: std::ops::Range<usize>) -> Vec<FactProof> {
        let flip = |Hash(mut bytes): Hash, bit: usize| {
            bytes[bit / 8] ^= 1 << (bit % 8);
            Hash(bytes)
        };
        let mut changed = Vec::new();
        for bit in bits {
            for (place, sibling) in proof.siblings.iter().enumerate() {
                let mut siblings = proof.siblings.clone();
                siblings[place] = flip(*sibling, bit);
                changed.push(FactProof { siblings, ..proof.clone() });
            }
            if let Some(FactLeaf { key, value }) = proof.other {
                let key = FactLeaf { key: flip(key, bit), value };
                let value = FactLeaf { value: flip(value, bit), key: proof.other.unwrap().key };
                changed.extend([key, value].map(|other| FactProof { other: Some(other), ..proof.clone() }));
            }
        }
        changed
    }

    #[test]
    fn every_changed_bit_of_a_proof_value_key_or_root_is_noticed() {
        let key = |number: u8| TaggedHash::new("test").bytes([number]).finish();
        let facts = (0..40).map(|number| (key(number), Some(vec![number; 40]))).collect();
        let tree = Tree::new(facts);
        let root = tree.root();
        let flipped = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let flip = |bit: usize| {
                bytes
                    .iter()
                    .zip(0..)
                    .map(|(byte, at)| if at == bit / 8 { byte ^ (1 << (bit % 8)) } else { *byte })
                    .collect()
            };
            (0..bytes.len() * 8).map(flip).collect()
        };
        let hashes = |hash: &Hash| flipped(&hash.0).into_iter().map(|bytes| Hash(bytes.try_into().unwrap()));
        let mut seen = BTreeSet::new();
        for asked in (0..100).map(key) {
            let (value, proof) = (tree.value(&asked), tree.prove(&asked));
            seen.insert((value.is_some(), proof.other.is_some()));
            assert_eq!(proof.verify_hashed(&root, &asked, value), Ok(()));
            for changed in changed_proofs(&proof, 0..256) {
                assert!(changed.verify_hashed(&root, &asked, value).is_err());
            }
            for shorter in 0..proof.siblings.len() {
                let siblings = proof.siblings[..shorter].to_vec();
                assert!(FactProof { siblings, ..proof.clone() }.verify_hashed(&root, &asked, value).is_err());
            }
            assert!(hashes(&root).all(|root| proof.verify_hashed(&root, &asked, value).is_err()));
            for value in flipped(value.unwrap_or_default()) {
                assert!(proof.verify_hashed(&root, &asked, Some(&value)).is_err());
            }
            // A value is shown for its own key only, an absence also for keys that are absent for the same reason.
            for other in hashes(&asked).filter(|other| proof.verify_hashed(&root, other, value).is_ok()) {
                assert_eq!((value, tree.value(&other)), (None, None));
            }
        }
        let all = [(false, false), (false, true), (true, false)];
        assert_eq!(seen, all.into(), "not every kind of proof was made");
    }

    #[test]
    fn an_update_of_nothing_keeps_the_root() {
        let mut tree = Tree::new([(Hash([1; 32]), Some(vec![1]))].into());
        let root = tree.root();
        tree.update(BTreeMap::new());
        tree.update([(Hash([2; 32]), None)].into());
        tree.update([(Hash([1; 32]), Some(vec![1]))].into());
        assert_eq!(tree.root(), root);
        tree.update([(Hash([1; 32]), Some(vec![2]))].into());
        assert_ne!(tree.root(), root);
    }
}
