//! What a node deals: everything of it comes of one seed, so that a node that restarts deals the same again.

use crate::sealing::{Place, SealError};
use bls::{Commitments, DealtShare, Index, Polynomial, Seed};
use hkdf::Hkdf;
use sha2::Sha256;
use wire::{
    Bytes, Dealing, ExchangeKey, G2Bytes, Generation, Hash, PublishedShare, SEALED_SHARE_BYTES, ScalarBytes,
    fault_tolerance, hash::TaggedHash,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// What the seed is extracted with to give the ephemeral key; the polynomial has a salt of its own in `bls`.
const SALT: &[u8] = b"WHITE_CITY_DEALER_EPHEMERAL_V1";

/// The secret side of one node's dealing in one run. It is wiped when dropped.
pub struct Dealer {
    index: u16,
    polynomial: Polynomial,
    ephemeral: StaticSecret,
}

impl Dealer {
    /// Node `index`'s side of `run`, made of `seed`: 32 random bytes that no other run has seen. Genesis' digest and the run's epoch and attempt go
    /// into all that is made of it, so that even with one seed two runs would share nothing; nor would those of two chains of one name.
    ///
    /// # Errors
    /// [`bls::Error::Threshold`] if there are more nodes than a key has shares.
    pub fn new(genesis: &Hash, run: &Generation, index: u16, seed: &Seed) -> Result<Self, bls::Error> {
        let context = context(genesis, run, index);
        let polynomial = Polynomial::from_seed(seed, &context.0, degree(run)?)?;
        let mut secret = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), seed.as_bytes())
            .expand(&context.0, secret.as_mut())
            .expect("HKDF-SHA-256 gives up to 8,160 bytes");
        Ok(Self { index, polynomial, ephemeral: StaticSecret::from(*secret) })
    }

    /// The dealing. The same run gives the same bytes. A node whose exchange key can have no secret gets zeros, accuses, and has its share
    /// published.
    ///
    /// # Errors
    /// [`bls::Error::NoSuchShare`] if there are more nodes than a key has shares.
    pub fn dealing(&self, genesis: &Hash, run: &Generation) -> Result<Dealing, bls::Error> {
        let mut dealing = Dealing {
            commitments: self.polynomial.commitments().to_bytes().into_iter().map(G2Bytes).collect(),
            ephemeral: self.ephemeral_key(),
            shares: Vec::with_capacity(run.exchange_keys.len()),
        };
        let commitments = dealing.commitments_digest();
        for (recipient, exchange) in (0..).zip(&run.exchange_keys) {
            let share = self.share(recipient)?;
            let place = Place::new(genesis, run, self.index, recipient, commitments);
            let sealed = match place.seal(&share.to_bytes(), &self.ephemeral, exchange) {
                Err(SealError::NonContributory | SealError::Unopened) => Bytes(vec![0; SEALED_SHARE_BYTES]),
                Ok(sealed) => sealed,
            };
            dealing.shares.push(sealed);
        }
        Ok(dealing)
    }

    /// True if `dealing` is this dealer's, and not one of another seed.
    pub fn has_dealt(&self, dealing: &Dealing) -> bool {
        let own = self.polynomial.commitments().to_bytes();
        dealing.ephemeral == self.ephemeral_key() && dealing.commitments.iter().map(|point| point.0).eq(own)
    }

    /// The share of `recipient`, for everybody to see: only for one that says it got none, or a wrong one.
    ///
    /// # Errors
    /// [`bls::Error::NoSuchShare`].
    pub fn publish(&self, recipient: u16) -> Result<PublishedShare, bls::Error> {
        Ok(PublishedShare { recipient, share: ScalarBytes(*self.share(recipient)?.to_bytes()) })
    }

    fn share(&self, recipient: u16) -> Result<DealtShare, bls::Error> {
        self.polynomial.share_for(number(recipient)?)
    }

    fn ephemeral_key(&self) -> ExchangeKey {
        ExchangeKey(PublicKey::from(&self.ephemeral).to_bytes())
    }
}

/// The number of node `node`'s share: nodes count from 0, shares from 1.
///
/// # Errors
/// [`bls::Error::NoSuchShare`].
pub fn number(node: u16) -> Result<Index, bls::Error> {
    Index::new(node.saturating_add(1))
}

/// The commitments of a dealing in `run`.
///
/// # Errors
/// What is wrong with them. The ledger takes no such dealing.
pub fn commitments(run: &Generation, dealing: &Dealing) -> Result<Commitments, bls::Error> {
    let points: Vec<[u8; 96]> = dealing.commitments.iter().map(|point| point.0).collect();
    Commitments::from_bytes(&points, degree(run)?)
}

/// Degree of every polynomial of `run`: f, so that f + 1 shares give the key.
fn degree(run: &Generation) -> Result<u16, bls::Error> {
    let (count, degree) = (run.exchange_keys.len(), fault_tolerance(run.exchange_keys.len()));
    u16::try_from(degree).map_err(|_| bls::Error::Threshold { threshold: degree.saturating_add(1), count })
}

fn context(genesis: &Hash, run: &Generation, dealer: u16) -> Hash {
    TaggedHash::new("dealer").value(genesis).value(&run.epoch).value(&run.attempt).value(&dealer).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody may make a chain anew under its old name, and keep the folder of seeds; what was published then must not help anybody now.
    #[test]
    fn with_the_same_seed_two_runs_and_two_chains_share_nothing() {
        let key = |byte| ExchangeKey(PublicKey::from(&StaticSecret::from([byte; 32])).to_bytes());
        let run = |epoch, attempt| Generation::new(epoch, attempt, (1..=4).map(key).collect());
        let deal = |genesis, run: &Generation, index| {
            let genesis = Hash([genesis; 32]);
            Dealer::new(&genesis, run, index, &Seed::new([7; 32])).unwrap().dealing(&genesis, run).unwrap()
        };
        let first = deal(1, &run(1, 0), 2);
        assert_eq!(deal(1, &run(1, 0), 2), first, "the same again after a restart");
        for other in [deal(2, &run(1, 0), 2), deal(1, &run(2, 0), 2), deal(1, &run(1, 1), 2), deal(1, &run(1, 0), 3)] {
            let same = first.commitments.iter().zip(&other.commitments).filter(|(one, other)| one == other).count();
            assert_eq!((same, first.ephemeral == other.ephemeral), (0, false));
            assert!(first.shares.iter().all(|share| !other.shares.contains(share)));
        }
    }
}
