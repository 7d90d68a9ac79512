//! The seam to whatever orders the blocks.

use crate::{rpc, solo};
use wire::{Bytes, Code};

/// What orders the blocks. Both hand decided blocks to an [`crate::executor::Executor`].
#[derive(Clone)]
pub enum Consensus {
    /// A cluster's CometBFT, in a process beside this one.
    Comet(rpc::Client),
    /// This process alone.
    Solo(solo::Client),
}

/// Why a transaction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The mempool is full; the same bytes may be submitted later.
    #[error("the mempool is full")]
    Full,
    /// The same bytes were taken before: they are waiting or decided.
    #[error("the transaction is already known")]
    AlreadyKnown,
    /// No operation in it would change the board, or it is malformed.
    #[error("the transaction was refused: {code}")]
    Refused {
        /// Why.
        code: Code,
    },
    /// Consensus cannot be reached now; the same bytes may be submitted later.
    #[error("consensus cannot be reached: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
}

impl Consensus {
    /// Hands in a transaction (an encoded [`wire::Transaction`]). `Ok` means that this node has taken it, not that it is decided.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, transaction: Bytes) -> Result<(), SubmitError> {
        match self {
            Self::Comet(client) => client.submit(transaction).await,
            Self::Solo(client) => client.submit(transaction).await,
        }
    }

    /// What orders the blocks, as it stands in a node's status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Comet(_) => "cometbft",
            Self::Solo(_) => "solo",
        }
    }

    /// Whether transactions can be decided now.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Self::Comet(client) => client.ready(),
            Self::Solo(client) => client.ready(),
        }
    }
}
