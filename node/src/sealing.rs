//! Seals a dealt share of the threshold key to the node that it is for, on a board that everybody reads.
//!
//! The dealer's ephemeral X25519 key and the recipient's exchange key give a secret (RFC 7748), HKDF-SHA-256 (RFC 5869) makes a key of
//! it, and XChaCha20-Poly1305 seals the share. The key and the associated data bind genesis, epoch, attempt, dealer, recipient, the
//! dealer's commitments and both public keys, so that a sealed share opens in its own place only.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use wire::{Bytes, Dealing, ExchangeKey, Generation, Hash, hash::TaggedHash};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// What the shared secret is extracted with; another way of sealing has another version in it.
const SALT: &[u8] = b"WHITE_CITY_SEALED_SHARE_V1";
/// A key seals one share and nothing else: it comes of an ephemeral key that is made of the dealer's fresh seed for this epoch and attempt, and
/// of everything that tells this share from others. Sealing it again after a restart gives the same bytes. So no nonce is ever
/// used for two messages under one key, and a fixed one is safe.
const NONCE: [u8; 24] = [0; 24];

/// Why a share cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A public key makes the shared secret independent of the other side's key (RFC 7748 §6.1): nothing would be secret under it.
    #[error("the exchange key is not contributory")]
    NonContributory,
    /// Not sealed for this node in this place, or changed since.
    #[error("the sealed share does not open")]
    Unopened,
}

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
        let context = self.digest(&ExchangeKey(PublicKey::from(ephemeral).to_bytes()), exchange);
        let cipher = cipher(&ephemeral.diffie_hellman(&PublicKey::from(exchange.0)), &context)?;
        let payload = Payload { msg: share, aad: &context.0 };
        let sealed = cipher.encrypt(&XNonce::from(NONCE), payload).expect("32 bytes are far below the cipher's bound");
        Ok(Bytes(sealed))
    }

    /// Opens the share that `dealing` has for the node with the exchange secret `exchange`.
    ///
    /// # Errors
    /// [`SealError`]: the dealer has not dealt as it must.
    pub fn open(&self, dealing: &Dealing, exchange: &StaticSecret) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let sealed = dealing.shares.get(usize::from(self.recipient)).ok_or(SealError::Unopened)?;
        let context = self.digest(&dealing.ephemeral, &ExchangeKey(PublicKey::from(exchange).to_bytes()));
        let cipher = cipher(&exchange.diffie_hellman(&PublicKey::from(dealing.ephemeral.0)), &context)?;
        let payload = Payload { msg: &sealed.0, aad: &context.0 };
        let opened = cipher.decrypt(&XNonce::from(NONCE), payload).map(Zeroizing::new);
        let share: Result<[u8; 32], _> = opened.map_err(|_| SealError::Unopened)?.as_slice().try_into();
        share.map(Zeroizing::new).map_err(|_| SealError::Unopened)
    }
}

fn cipher(shared: &SharedSecret, context: &Hash) -> Result<XChaCha20Poly1305, SealError> {
    if !shared.was_contributory() {
        return Err(SealError::NonContributory);
    }
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(SALT), shared.as_bytes())
        .expand(&context.0, key.as_mut())
        .expect("HKDF-SHA-256 gives up to 8,160 bytes");
    Ok(XChaCha20Poly1305::new((&*key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SEALED_SHARE_BYTES;

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
