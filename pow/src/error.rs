//! What can be wrong with parameters, proofs and checkpoints.

/// Parameters that cannot be, a bound that they do not give, or a checkpoint that is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A leaf of no or too many hashes.
    #[error("a leaf takes 1 to {most} hashes, not {hashes}")]
    LeafHashes {
        /// As asked for.
        hashes: u32,
        /// The most that are allowed.
        most: u32,
    },
    /// A tree of a single leaf, or of too many.
    #[error("a tree has 2 to 2^{most} leaves, not 2^{log2}")]
    Leaves {
        /// Logarithm of the number asked for.
        log2: u8,
        /// The greatest that is allowed.
        most: u8,
    },
    /// No or too many openings.
    #[error("a proof opens 1 to {most} leaves, not {openings}")]
    Openings {
        /// As asked for.
        openings: u16,
        /// The most that are allowed.
        most: u16,
    },
    /// More work than any session has time for.
    #[error("{hashes} hashes are more than {most}")]
    TooMuchWork {
        /// Of the whole proof.
        hashes: u64,
        /// The most that are allowed.
        most: u64,
    },
    /// More work for the verifier than a node has time for.
    #[error("verifying takes {hashes} hashes, more than {most}")]
    TooMuchVerifying {
        /// Of one verification, at most.
        hashes: u64,
        /// The most that are allowed.
        most: u64,
    },
    /// Devices that calculate nothing.
    #[error("an honest device's hash rate is zero")]
    NoHashRate,
    /// Even a single hash would be enough to cheat with a greater probability than was asked for.
    #[error("no proof of this kind is sound to {bits} bits")]
    NotSound {
        /// Soundness asked for.
        bits: u16,
    },
    /// Nothing fits into what was allowed.
    #[error("no parameters keep within {limit}")]
    NoChoice {
        /// Which bound leaves nothing.
        limit: &'static str,
    },
    /// Bytes that are no checkpoint, or a damaged one.
    #[error("the checkpoint is damaged")]
    DamagedCheckpoint,
    /// A checkpoint of another puzzle or of other parameters.
    #[error("the checkpoint belongs to another puzzle")]
    OtherCheckpoint,
}

/// Why a proof of work proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// No proof under these parameters has this length.
    #[error("a proof of work under these parameters does not have {bytes} bytes")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// The opened leaves are not below the root.
    #[error("the opened leaves are not in the tree")]
    NotInTree,
    /// A leaf is not what work for this challenge and key would have made.
    #[error("leaf {leaf} is not worked out")]
    Leaf {
        /// The first such leaf that was looked at.
        leaf: u32,
    },
}

/// The work was given up, as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was given up")]
pub struct Cancelled;
