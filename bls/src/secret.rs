//! Shares: what a dealer gives to one node, and what a node signs with.

use crate::{domain::Domain, error::Error, index::Index, keys::PublicShare, scalar, signature::PartialSignature};
use bls12_381::Scalar;
use blst::min_sig::SecretKey;
use subtle::CtOption;
use zeroize::Zeroizing;

/// What one dealer gives to one node. Secret until an answer to an accusation publishes it.
pub struct DealtShare {
    index: Index,
    scalar: Zeroizing<Scalar>,
}

impl DealtShare {
    /// Reads a share: 32 bytes, big-endian.
    ///
    /// # Errors
    /// [`Error::NotAScalar`] for zero and for what is not below the groups' order. A dealer of such a share has dealt badly.
    pub fn from_bytes(index: Index, bytes: &[u8; 32]) -> Result<Self, Error> {
        Ok(Self { index, scalar: Zeroizing::new(scalar::from_bytes(bytes)?) })
    }

    /// The share, to be sealed to its recipient or, as an answer, published.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        scalar::to_bytes(&self.scalar)
    }

    /// For whom it is.
    pub fn index(&self) -> Index {
        self.index
    }

    pub(crate) fn from_scalar(index: Index, value: Scalar) -> Result<Self, Error> {
        let scalar = scalar::nonzero(CtOption::new(value, 1.into()))?;
        Ok(Self { index, scalar: Zeroizing::new(scalar) })
    }

    /// The public key of the share.
    pub(crate) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    pub(crate) fn public_share(&self) -> PublicShare {
        PublicShare(scalar::secret_key(&self.scalar).expect("a share is reduced and not zero").sk_to_pk())
    }
}

/// A node's share of the group's secret key.
pub struct SecretShare {
    index: Index,
    key: SecretKey,
}

impl SecretShare {
    /// The sum of what the qualified dealers gave to `index`. Each share must have passed
    /// [`crate::Commitments::verify_share`], and no dealer may be missing or in it twice: the sum matches
    /// [`crate::PublicKeySet::public_share`] exactly then.
    ///
    /// # Errors
    /// [`Error::NoDealings`], [`Error::MixedShares`], or [`Error::NotAScalar`] if they add up to zero.
    pub fn from_dealt(index: Index, dealt: &[DealtShare]) -> Result<Self, Error> {
        if dealt.is_empty() {
            return Err(Error::NoDealings);
        }
        if let Some(other) = dealt.iter().find(|share| share.index != index) {
            return Err(Error::MixedShares { expected: index, found: other.index });
        }
        let mut sum = Zeroizing::new(Scalar::zero());
        for share in dealt {
            *sum += *share.scalar;
        }
        Ok(Self { index, key: scalar::secret_key(&sum)? })
    }

    /// Whose share it is.
    pub fn index(&self) -> Index {
        self.index
    }

    /// The key under which its partial signatures verify.
    pub fn public_share(&self) -> PublicShare {
        PublicShare(self.key.sk_to_pk())
    }

    /// Signs `message`, which must name its chain and epoch, for the purpose of `domain`.
    pub fn partial_sign(&self, domain: Domain, message: &[u8]) -> PartialSignature {
        PartialSignature(self.key.sign(message, domain.tag(), &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Polynomial, Seed};

    fn share(seed: u8, index: u16) -> DealtShare {
        let dealer = Polynomial::from_seed(&Seed::new([seed; 32]), b"", 1).unwrap();
        dealer.share_for(Index::new(index).unwrap()).unwrap()
    }

    #[test]
    fn only_shares_of_one_node_add_up() {
        let (first, second) = (Index::new(1).unwrap(), Index::new(2).unwrap());
        assert_eq!(SecretShare::from_dealt(first, &[]).err(), Some(Error::NoDealings));
        let mixed = SecretShare::from_dealt(first, &[share(1, 1), share(2, 2)]).err();
        assert_eq!(mixed, Some(Error::MixedShares { expected: first, found: second }));
    }

    #[test]
    fn shares_that_cancel_out_are_refused() {
        let index = Index::new(1).unwrap();
        let one = share(1, 1);
        let minus_one = DealtShare::from_scalar(index, -*one.scalar).unwrap();
        assert_eq!(SecretShare::from_dealt(index, &[one, minus_one]).err(), Some(Error::NotAScalar));
        assert_eq!(DealtShare::from_scalar(index, Scalar::zero()).err(), Some(Error::NotAScalar));
    }

    #[test]
    fn a_share_is_read_back() {
        let dealt = share(3, 7);
        let read = DealtShare::from_bytes(dealt.index(), &dealt.to_bytes()).unwrap();
        assert_eq!((read.to_bytes(), read.index()), (dealt.to_bytes(), dealt.index()));
    }
}
