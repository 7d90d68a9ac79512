//! Ways of a payload to the nodes, good and bad, for random histories.

use crate::{
    kit::Flaw,
    naive::{Kind, Way},
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

/// How a payload comes to the nodes.
#[derive(Clone, Debug)]
pub enum Travel {
    Inline,
    /// Confirmed by some of [`CONFIRMERS`], maybe more than once, who may refuse; `early` before the bundle's expiry.
    Beside {
        confirmers: Vec<(usize, bool)>,
        early: u64,
        flaw: Flaw,
    },
}

pub const CONFIRMERS: [&str; 5] = ["north", "east", "south", "west", "mallory"];

impl Travel {
    /// As it mostly is.
    pub fn good(kind: Kind) -> Self {
        match kind {
            Kind::Key | Kind::Broadcast => Self::Inline,
            Kind::P2p => Self::enough_nodes(),
        }
    }

    pub fn enough_nodes() -> Self {
        Self::Beside { confirmers: (0..3).map(|node| (node, false)).collect(), early: 1, flaw: Flaw::None }
    }

    pub fn confirmers(&self) -> Vec<(&'static str, bool)> {
        match self {
            Self::Inline => vec![],
            Self::Beside { confirmers, .. } => {
                confirmers.iter().map(|(by, refuses)| (CONFIRMERS[*by], *refuses)).collect()
            }
        }
    }

    /// As the model sees it. Of a node that says two things the last counts.
    pub fn way(&self) -> Way {
        let Self::Beside { early, flaw, .. } = self else { return Way::Inline };
        let said: BTreeMap<&'static str, bool> = self.confirmers().into_iter().collect();
        let holders = said.into_iter().filter(|(_, refuses)| !refuses).map(|(name, _)| name).collect();
        Way::Beside { holders, sound: *early > 0 && *flaw == Flaw::None }
    }
}

/// On ways that are not as usual.
pub fn travel() -> impl Strategy<Value = Travel> {
    let confirmers = vec((0..CONFIRMERS.len(), prop::bool::weighted(0.1)), 1..7);
    let flaws =
        vec![Flaw::AnotherOperation, Flaw::AnotherLength, Flaw::AnotherBundle, Flaw::AnotherExpiry, Flaw::AnotherPlace];
    let flaw = prop_oneof![5 => Just(Flaw::None), 1 => prop::sample::select(flaws)];
    let beside = (confirmers, prop_oneof![5 => Just(1_u64), 1 => Just(0)], flaw);
    prop_oneof![
        1 => Just(Travel::Inline),
        1 => Just(Travel::enough_nodes()),
        3 => beside.prop_map(|(confirmers, early, flaw)| Travel::Beside { confirmers, early, flaw }),
    ]
}
