//! Nodes that have made the others calculate for nothing.

use std::collections::BTreeMap;
use wire::{Code, Operation, PublicKey, Verified};

/// What takes points and pairings to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Costly {
    /// A step in the generation of a key.
    Step,
    /// A challenge.
    Challenge,
}

impl Costly {
    fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Generate { .. } => Some(Self::Step),
            Operation::Challenge { .. } => Some(Self::Challenge),
            _ => None,
        }
    }
}

/// Nodes whose steps or challenges were found wrong in the block that is being applied, and with what code. A block has room for
/// thousands of them: what else of that kind such a node has to say in it is refused unseen. No honest node sends a wrong one, so
/// that none is ever among them. Who looks at operations before they are in a block keeps one of these from block to block.
#[derive(Debug, Default)]
pub struct Discredited(BTreeMap<(PublicKey, Costly), Code>);

impl Discredited {
    /// The code with which an operation is refused unseen.
    pub fn refusal(&self, operation: &Verified<Operation>) -> Option<Code> {
        let kind = Costly::of(operation.body())?;
        self.0.get(&(operation.author(), kind)).copied()
    }

    /// Notes what came of an operation.
    pub fn note(&mut self, operation: &Verified<Operation>, code: Code) {
        let Some(kind) = Costly::of(operation.body()) else { return };
        let was_wrong = match kind {
            Costly::Step => {
                matches!(code, Code::BadDealing | Code::BadAnswer | Code::BadSignature | Code::BadPartial)
            }
            Costly::Challenge => code == Code::BadChallenge,
        };
        if was_wrong {
            self.0.insert((operation.author(), kind), code);
        }
    }
}
