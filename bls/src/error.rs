//! What can be wrong with keys, shares and signatures.

use crate::index::Index;

/// Why an encoding, a share or a signature was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A text that is not the hex form of the wanted number of bytes.
    #[error("expected {bytes} bytes as {} hex digits", bytes * 2)]
    NotHex {
        /// The number of bytes that the type has.
        bytes: usize,
    },
    /// Bytes that encode no point of the curve.
    #[error("these bytes are no point of the curve")]
    NotAPoint,
    /// A point of the curve outside the subgroup of prime order.
    #[error("the point lies outside the subgroup of prime order")]
    NotInSubgroup,
    /// The identity, which is no key, commitment or signature.
    #[error("the point is the identity")]
    Identity,
    /// A share that is zero, or bytes that are no number below the group's order.
    #[error("the scalar is zero or not below the group's order")]
    NotAScalar,
    /// A share's number outside `1..=MAX_SHARES`, or above the number of shares of the key.
    #[error("there is no share {index}")]
    NoSuchShare {
        /// The number.
        index: u16,
    },
    /// A share that is zero: whoever brought that about knew all that its owner was given. It is no key, and nobody signs with it.
    #[error("share {index} is zero, and nobody can sign with it")]
    ZeroShare {
        /// Whose it is.
        index: Index,
    },
    /// A threshold or a number of shares that cannot be.
    #[error("{count} shares of which {threshold} are needed cannot be")]
    Threshold {
        /// How many shares are needed.
        threshold: usize,
        /// How many there would be.
        count: usize,
    },
    /// Commitments to a polynomial of another degree than agreed.
    #[error("the polynomial has {found} coefficients instead of {expected}")]
    Coefficients {
        /// How many there must be: degree + 1.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// Nothing to add up.
    #[error("there are no dealings to add up")]
    NoDealings,
    /// A share for someone else among those to add up.
    #[error("a share for {found} among the shares for {expected}")]
    MixedShares {
        /// Whose shares are added up.
        expected: Index,
        /// Whose share is among them.
        found: Index,
    },
    /// A share that is not what its dealer committed to.
    #[error("the share dealt to {index} is not what its dealer committed to")]
    BadShare {
        /// To whom it was dealt.
        index: Index,
    },
    /// A partial signature that is not one of its signer on this message.
    #[error("the partial signature of {index} is wrong")]
    BadPartial {
        /// The signer.
        index: Index,
    },
    /// Fewer partial signatures than the threshold.
    #[error("{found} partial signatures of the {needed} that are needed")]
    TooFewPartials {
        /// How many there are.
        found: usize,
        /// The threshold.
        needed: usize,
    },
    /// Fewer right partial signatures than the threshold.
    #[error("{sound} right partial signatures of the {needed} that are needed; wrong ones of {}", names(culprits))]
    TooFewSound {
        /// Whose partial signatures are wrong, in order.
        culprits: Vec<Index>,
        /// How many are right.
        sound: usize,
        /// The threshold.
        needed: usize,
    },
    /// A signature that does not verify under the key.
    #[error("the signature is not one of this key on this message")]
    BadSignature,
}

fn names(culprits: &[Index]) -> String {
    culprits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
