//! The facts of the board after a block, for those who read and prove while the state goes on.

use crate::tree::Tree;
use std::collections::BTreeMap;
use wire::{FactKey, FactProof, Hash};

/// All facts under one root. It is taken and cloned in no time, and never changes.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(crate) Tree);

/// Equal roots are equal facts.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Snapshot {}

/// A board without facts.
impl Default for Snapshot {
    fn default() -> Self {
        Self(Tree::new(BTreeMap::new()))
    }
}

impl Snapshot {
    /// Root over all facts.
    pub fn root(&self) -> Hash {
        self.0.root()
    }

    /// The value of a fact: the borsh encoding of the type that [`FactKey`] names.
    pub fn value(&self, key: &FactKey) -> Option<&[u8]> {
        self.0.value(&key.hash())
    }

    /// Shows the value of a fact, or that there is none.
    pub fn prove(&self, key: &FactKey) -> FactProof {
        self.0.prove(&key.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_board_without_facts_every_absence_can_be_shown() {
        let snapshot = Snapshot::default();
        assert_eq!(snapshot.root(), wire::proof::empty());
        assert_eq!(snapshot.value(&FactKey::Network), None);
        assert_eq!(snapshot.prove(&FactKey::Network).verify(&snapshot.root(), &FactKey::Network, None), Ok(()));
    }
}
