//! Whom to believe: a fact counts when f + 1 different nodes report it, for then an honest one does.

use crate::BadAnswer;
use std::collections::BTreeMap;
use wire::{Answer, Fact, Hash, NetworkFile, PublicKey, Report};

/// Checks that a report is signed by `identity`, the key that the network file gives for the node that was asked.
///
/// # Errors
/// [`BadAnswer::NotSigned`].
pub fn check_report<F: Fact>(
    network: &NetworkFile,
    identity: &PublicKey,
    report: Report<F>,
) -> Result<Answer<F>, BadAnswer> {
    if report.author != *identity {
        return Err(BadAnswer::NotSigned);
    }
    let verified = report.verify(&network.chain).map_err(|_| BadAnswer::NotSigned)?;
    Ok(verified.into_body())
}

/// Reports of different nodes on one question. A node has one voice: its latest.
#[derive(Clone, Debug)]
pub struct Ballot<V> {
    needed: usize,
    votes: BTreeMap<usize, V>,
}

impl<V> Ballot<V> {
    /// A ballot that is decided by `needed` equal votes: f + 1.
    pub fn new(needed: usize) -> Self {
        Self { needed, votes: BTreeMap::new() }
    }

    /// Takes the report of the node at place `node` in the network file; an earlier one of the same node counts no more.
    pub fn insert(&mut self, node: usize, value: V) {
        self.votes.insert(node, value);
    }

    /// Number of nodes that have reported.
    pub fn len(&self) -> usize {
        self.votes.len()
    }

    /// True if no node has reported.
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
    }

    /// All reports, by node.
    pub fn votes(&self) -> impl Iterator<Item = (usize, &V)> {
        self.votes.iter().map(|(node, value)| (*node, value))
    }

    /// A report with whose `part` those of f + 1 nodes agree, if there is one.
    pub fn agreed<K: PartialEq>(&self, part: impl Fn(&V) -> K) -> Option<&V> {
        let supporters = |key: &K| self.votes.values().filter(|other| part(other) == *key).count();
        self.votes.values().find(|value| supporters(&part(value)) >= self.needed)
    }
}

/// The longest prefix of a mailbox that `needed` nodes share. `heads` has for each node the chain's head after each entry,
/// all from the same position on; two nodes that agree on a head agree on everything before it.
/// Returns the length and the nodes that share it; length 0 is shared by all.
pub fn shared_prefix(heads: &BTreeMap<usize, Vec<Hash>>, needed: usize) -> (usize, Vec<usize>) {
    let longest = heads.values().map(Vec::len).max().unwrap_or(0);
    for length in (1..=longest).rev() {
        let at = |node: &usize| heads.get(node).and_then(|chain| chain.get(length - 1));
        for node in heads.keys().filter(|node| at(node).is_some()) {
            let sharing: Vec<usize> = heads.keys().copied().filter(|other| at(other) == at(node)).collect();
            if sharing.len() >= needed {
                return (length, sharing);
            }
        }
    }
    (0, heads.keys().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fact_needs_enough_different_nodes() {
        let mut ballot = Ballot::new(2);
        ballot.insert(0, "a");
        ballot.insert(0, "a");
        assert_eq!(ballot.agreed(|v| *v), None, "one node is not believed, however often it speaks");
        ballot.insert(1, "b");
        assert_eq!(ballot.agreed(|v| *v), None);
        ballot.insert(2, "a");
        assert_eq!(ballot.agreed(|v| *v), Some(&"a"));
        ballot.insert(2, "c");
        assert_eq!(ballot.agreed(|v| *v), None, "a node's latest word counts");
    }

    #[test]
    fn the_longest_shared_prefix_wins() {
        let chain = |values: &[u8]| values.iter().map(|v| Hash([*v; 32])).collect::<Vec<_>>();
        let heads = BTreeMap::from([(0, chain(&[1, 2, 3])), (1, chain(&[1, 2])), (3, chain(&[1, 9, 9, 9]))]);
        assert_eq!(shared_prefix(&heads, 2), (2, vec![0, 1]));
        assert_eq!(shared_prefix(&heads, 3), (1, vec![0, 1, 3]));
        assert_eq!(shared_prefix(&heads, 4).0, 0);
        assert_eq!(shared_prefix(&BTreeMap::new(), 1), (0, vec![]));
    }

    proptest! {
        /// With at most f liars, nothing is believed that no honest node holds, and what f + 1 honest ones hold is believed.
        #[test]
        fn liars_neither_add_nor_hide(
            lengths in proptest::collection::vec(0usize..6, 3), lie in proptest::collection::vec(0u8..9, 0..8),
        ) {
            let honest: Vec<Hash> = (100..106).map(|v| Hash([v; 32])).collect();
            let mut heads: BTreeMap<usize, Vec<Hash>> =
                lengths.iter().enumerate().map(|(node, length)| (node, honest[..*length].to_vec())).collect();
            heads.insert(3, lie.iter().map(|v| Hash([*v; 32])).collect());
            let (length, nodes) = shared_prefix(&heads, 2);
            let mut sorted = lengths.clone();
            sorted.sort_unstable();
            prop_assert_eq!(length, sorted[1], "the second longest of the honest nodes");
            prop_assert!(length == 0 || !nodes.contains(&3));
        }
    }
}
