//! One node's word, for errors.

use crate::BadAnswer;
use std::fmt;
use wire::Code;

/// What one node said, or did not say, when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The node's name in the network file.
    pub node: String,
    /// The stable code of its answer, if it was a refusal.
    pub code: Option<Code>,
    /// What it said, or what went wrong in asking it.
    pub said: String,
    /// What is wrong with its answer, if it gave one that does not count.
    pub bad: Option<BadAnswer>,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.words())
    }
}

impl Tried {
    /// Without the node's name.
    pub(crate) fn words(&self) -> String {
        match self.code {
            Some(code) => format!("{} ({code})", self.said),
            None => self.said.clone(),
        }
    }
}
