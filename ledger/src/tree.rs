//! The Jellyfish Merkle tree over all facts, in memory, newest version only. The only file that knows `jmt`.

use jmt::{
    KeyHash, OwnedValue, Sha256Jmt, Version,
    storage::{LeafNode, Node, NodeKey, TreeReader},
};
use std::collections::BTreeMap;
use wire::Hash;

/// The tree. Its root depends on the facts alone: not on their history, nor on the number of updates.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Nodes,
    /// Counts updates. `jmt` names nodes by it and hashes it nowhere.
    version: Version,
    root: Hash,
}

#[derive(Clone, Debug, Default)]
struct Nodes(BTreeMap<NodeKey, Node>);

impl TreeReader for Nodes {
    fn get_node_option(&self, node_key: &NodeKey) -> anyhow::Result<Option<Node>> {
        Ok(self.0.get(node_key).cloned())
    }

    /// Updates read no values: the tree keeps their hashes, and the values are what the state holds anyway.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(None)
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        Ok(None)
    }
}

impl Tree {
    /// A tree of these facts, by the hashes of their keys.
    pub(crate) fn new(facts: BTreeMap<Hash, Option<Vec<u8>>>) -> Self {
        let mut tree = Self { nodes: Nodes::default(), version: 0, root: Hash([0; 32]) };
        tree.put(facts);
        tree
    }

    /// The root over all facts.
    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    /// Sets (`Some`) and removes (`None`) facts. An update of nothing leaves everything as it is.
    pub(crate) fn update(&mut self, facts: BTreeMap<Hash, Option<Vec<u8>>>) {
        if !facts.is_empty() {
            self.version = self.version.saturating_add(1);
            self.put(facts);
        }
    }

    fn put(&mut self, facts: BTreeMap<Hash, Option<Vec<u8>>>) {
        let facts = facts.into_iter().map(|(key, value)| (KeyHash(key.0), value));
        let (root, batch) = Sha256Jmt::new(&self.nodes)
            .put_value_set(facts, self.version)
            .expect("every node of the newest version is in memory, and reading memory does not fail");
        for stale in &batch.stale_node_index_batch {
            self.nodes.0.remove(&stale.node_key);
        }
        // An update that only removes what is not there copies the root and does not call the old one stale.
        if let Some(before) = self.version.checked_sub(1) {
            self.nodes.0.remove(&NodeKey::new(before, std::iter::empty().collect()));
        }
        self.nodes.0.extend(batch.node_batch.nodes().iter().map(|(key, node)| (key.clone(), node.clone())));
        self.root = Hash(root.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

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
                prop_assert_eq!(tree.nodes.0.len(), fresh.nodes.0.len(), "nodes of old versions are left over");
            }
        }
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
