//! Seals a dealt share of the threshold key to the node that it is for, on a board that everybody reads.
//!
//! The way of sealing is that of [`wire::sealing`]. Key and associated data bind genesis, epoch, attempt, dealer, recipient, the dealer's
//! commitments and both public keys, so that a sealed share opens in its own place only. The ephemeral key is made of the dealer's fresh
//! seed for this epoch and attempt.

pub use wire::sealing::SealError;
use wire::{Bytes, Dealing, ExchangeKey, Generation, Hash, hash::TaggedHash, sealing};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// The place of one sealed share.
#[derive(Clone, Debug)]
pub struct Place {
    /// The digest of genesis, in which the chain's id stands.
    pub genesis: Hash,
    /// The epoch whose key is made.
    pub epoch: u64,
    /// The run.
    pub attempt: u32,
    /// Who deals.
    pub dealer: u16,
    /// Whom the share is for.
    pub recipient: u16,
    /// [`Dealing::commitments_digest`].
    pub commitments: Hash,
}

impl Place {
    /// The place of what `dealer` deals to `recipient`.
    pub fn new(genesis: &Hash, run: &Generation, dealer: u16, recipient: u16, commitments: Hash) -> Self {
        Self { genesis: *genesis, epoch: run.epoch, attempt: run.attempt, dealer, recipient, commitments }
    }

    fn digest(&self, ephemeral: &ExchangeKey, exchange: &ExchangeKey) -> Hash {
        let Self { genesis, epoch, attempt, dealer, recipient, commitments } = self;
        let run = TaggedHash::new("sealed-share").value(genesis).value(epoch).value(attempt);
        run.value(dealer).value(recipient).value(commitments).value(ephemeral).value(exchange).finish()
    }

    /// Seals `share` to the exchange key of its recipient. The same input gives the same bytes.
    ///
    /// # Errors
    /// [`SealError::NonContributory`]: its recipient can have no secret.
    pub fn seal(&self, share: &[u8; 32], ephemeral: &StaticSecret, exchange: &ExchangeKey) -> Result<Bytes, SealError> {
        let context = self.digest(&sealing::exchange_key(ephemeral), exchange);
        sealing::seal(share, &context, ephemeral, exchange)
    }

    /// Opens the share that `dealing` has for the node with the exchange secret `exchange`.
    ///
    /// # Errors
    /// [`SealError`]: the dealer has not dealt as it must.
    pub fn open(&self, dealing: &Dealing, exchange: &StaticSecret) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let sealed = dealing.shares.get(usize::from(self.recipient)).ok_or(SealError::Unopened)?;
        let context = self.digest(&dealing.ephemeral, &sealing::exchange_key(exchange));
        sealing::open(sealed, &context, &dealing.ephemeral, exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SEALED_SHARE_BYTES;
    use x25519_dalek::PublicKey;

    fn key(secret: &StaticSecret) -> ExchangeKey {
        ExchangeKey(PublicKey::from(secret).to_bytes())
    }

    fn dealing(sealed: Bytes, ephemeral: ExchangeKey) -> Dealing {
        let nothing = Bytes(vec![0; SEALED_SHARE_BYTES]);
        Dealing { commitments: vec![], ephemeral, shares: vec![nothing.clone(), sealed, nothing] }
    }

    #[test]
    fn a_share_opens_in_its_own_place_only() {
        let (genesis, elsewhere) = (Hash([8; 32]), Hash([9; 32]));
        let (ephemeral, exchange) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
        let commitments = Hash([3; 32]);
        let place = Place { genesis, epoch: 1, attempt: 2, dealer: 3, recipient: 1, commitments };
        let sealed = place.seal(&[7; 32], &ephemeral, &key(&exchange)).unwrap();
        assert_eq!(sealed.0.len(), SEALED_SHARE_BYTES);
        assert_eq!(sealed, place.seal(&[7; 32], &ephemeral, &key(&exchange)).unwrap());
        let dealt = dealing(sealed.clone(), key(&ephemeral));
        assert_eq!(*place.open(&dealt, &exchange).unwrap(), [7; 32]);

        let others = [
            Place { genesis: elsewhere, ..place.clone() },
            Place { epoch: 2, ..place.clone() },
            Place { attempt: 3, ..place.clone() },
            Place { dealer: 4, ..place.clone() },
            Place { recipient: 0, ..place.clone() },
            Place { recipient: 9, ..place.clone() },
            Place { commitments: Hash([4; 32]), ..place.clone() },
        ];
        for other in others {
            let moved = Dealing { shares: vec![sealed.clone(); 3], ..dealt.clone() };
            assert_eq!(other.open(&moved, &exchange), Err(SealError::Unopened), "{other:?}");
        }
        assert_eq!(place.open(&dealt, &StaticSecret::from([5; 32])), Err(SealError::Unopened));
        let foreign = dealing(sealed.clone(), key(&StaticSecret::from([6; 32])));
        assert_eq!(place.open(&foreign, &exchange), Err(SealError::Unopened));
        for changed in 0..SEALED_SHARE_BYTES {
            let mut bytes = sealed.clone();
            bytes.0[changed] ^= 1;
            assert_eq!(place.open(&dealing(bytes, key(&ephemeral)), &exchange), Err(SealError::Unopened));
        }
    }

    #[test]
    fn keys_that_share_no_secret_are_refused() {
        let genesis = Hash([8; 32]);
        let place = Place { genesis, epoch: 1, attempt: 0, dealer: 0, recipient: 1, commitments: Hash([0; 32]) };
        let secret = StaticSecret::from([1; 32]);
        // The identity, and a point of order two: u = 0 and u = 1.
        for weak in [[0; 32], [[1].as_slice(), &[0; 31]].concat().try_into().unwrap()] {
            assert_eq!(place.seal(&[7; 32], &secret, &ExchangeKey(weak)), Err(SealError::NonContributory));
            let dealt = dealing(Bytes(vec![0; SEALED_SHARE_BYTES]), ExchangeKey(weak));
            assert_eq!(place.open(&dealt, &secret), Err(SealError::NonContributory));
        }
    }
}
