//! What can be wrong before a program runs. What goes wrong while it runs is a [`client_sdk::protocol::Abort`].

/// Why a program could not be set up, or a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The seat cannot be: the index is not below the number of parties, or the number is beyond the limit.
    #[error("there is no seat {index} among {parties} parties")]
    Seat {
        /// The seat's index.
        index: u16,
        /// The seat's number of parties.
        parties: u16,
    },
    /// More parties than a session can have.
    #[error("{parties} parties are more than a session can have")]
    TooManyParties {
        /// How many.
        parties: usize,
    },
    /// The execution's rounds would lie beyond the last round of any session.
    #[error("execution {execution} has no rounds left; start a new session")]
    Execution {
        /// The execution's number.
        execution: u32,
    },
    /// The key share was made by another list of parties, or for another seat on it.
    #[error("the key share is of party {share} on another list, or another party's: this is party {seat}")]
    ForeignShare {
        /// Index in the share.
        share: u16,
        /// Index of the seat.
        seat: u16,
    },
    /// A stored key share does not parse or does not add up.
    #[error("this is no key share: {reason}")]
    MalformedShare {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not the encoding of a public key: canonical, torsion-free, not the identity.
    #[error("this is no Ed25519 public key")]
    MalformedKey,
    /// The signature does not verify.
    #[error("the signature is not valid for this message and key")]
    BadSignature,
    /// The input is too large for exact sums.
    #[error("the input {input} is above {limit}, the largest whose sums are exact")]
    InputTooLarge {
        /// The input.
        input: u64,
        /// The largest allowed.
        limit: u64,
    },
}
