//! Why a node could not do what it was asked.

use crate::{channel::ChannelError, store::StoreError};
use ledger::LedgerError;
use std::{io, net::SocketAddr};

/// Why a node could not be made, started or kept running. `Display` is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file or folder could not be read, written or made.
    #[error("cannot {action} {path}")]
    File {
        /// `read`, `write` or `make`.
        action: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not {expected}: {reason}")]
    FileFormat {
        /// The file.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// What was to be made is already there, and is never overwritten.
    #[error("{path} already exists: choose another folder, or remove it if nothing in it is needed")]
    Exists {
        /// The file or folder.
        path: String,
    },
    /// An option or a setting that makes no sense.
    #[error("{what} is not usable: {reason}")]
    Invalid {
        /// The option or setting.
        what: &'static str,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// A port cannot be listened on.
    #[error("cannot listen on {address} for {what}: stop what uses the port, or set another one in node.toml")]
    Listen {
        /// What would have listened.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The unix socket for CometBFT cannot be made.
    #[error("cannot listen on the unix socket {path}: its folder must be writable and its name at most 107 bytes long")]
    Socket {
        /// The socket.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no CometBFT to run.
    #[error("CometBFT is not installed: run ./scripts/install-cometbft, or name the program with --cometbft")]
    CometMissing,
    /// The program that was named as CometBFT is not there.
    #[error("there is no CometBFT at {path}: run ./scripts/install-cometbft, or name the program with --cometbft")]
    CometNotThere {
        /// Where it was looked for.
        path: String,
    },
    /// A program that is not the CometBFT that this node speaks to.
    #[error("{path} says version {found:?}, but CometBFT 0.38 is needed: run ./scripts/install-cometbft")]
    CometVersion {
        /// The program.
        path: String,
        /// What it says of itself.
        found: String,
    },
    /// CometBFT ends again and again before it answers.
    #[error("CometBFT does not start: {reason}")]
    CometFailed {
        /// Its last words.
        reason: String,
    },
    /// The genesis parameters or the stored rows are no state of a board.
    #[error("the board cannot be restored")]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The stored root is not the one that the stored rows have.
    #[error("the stored rows of height {height} have another root than the block: restore the node from another one")]
    RootDiffers {
        /// The newest stored height.
        height: u64,
    },
    /// The chain was started with other parameters than this node's.
    #[error(
        "the chain's genesis is not the one in this node's genesis.json: both must come from the same `cluster create`"
    )]
    GenesisDiffers,
    /// Consensus gave a block that does not follow the last one.
    #[error(
        "consensus gave block {found} where {expected} was due: the data of node and CometBFT are not from the same time"
    )]
    OutOfOrder {
        /// The height that is due.
        expected: u64,
        /// The height that came.
        found: u64,
    },
    /// Consensus decided two blocks for one height.
    #[error("consensus gave two different blocks of height {height}")]
    Conflict {
        /// The height.
        height: u64,
    },
    /// An earlier failure left the board in memory unusable.
    #[error("the board in memory is unusable after an earlier failure: restart the node")]
    Unusable,
    /// The node channel cannot be started.
    #[error("the node channel cannot be started")]
    Channel(#[from] ChannelError),
    /// The HTTP client for CometBFT's RPC or for asking nodes cannot be made.
    #[error("cannot make an HTTP client")]
    Http(#[source] reqwest::Error),
    /// An operating-system call failed that should not.
    #[error("{what} failed")]
    System {
        /// The call.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl NodeError {
    /// The error and its causes in one line.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            line = format!("{line}: {cause}");
            source = cause.source();
        }
        line
    }
}
