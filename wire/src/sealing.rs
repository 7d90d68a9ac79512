//! Sealing 32 secret bytes to a node on a board that everybody reads: a dealer's share of the threshold key, or an owner's of a backup.
//!
//! The sealer's ephemeral X25519 key and the recipient's exchange key give a secret (RFC 7748), HKDF-SHA-256 (RFC 5869) makes a key of it
//! and of a context, and XChaCha20-Poly1305 seals under that, with the context as associated data. The context is a digest that names the
//! place and both public keys ([`crate::Backup::place`] for one), so that what is sealed opens in its own place only.

use crate::{Bytes, ExchangeKey, Hash};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// What the shared secret is extracted with; another way of sealing has another version in it.
const SALT: &[u8] = b"WHITE_CITY_SEALED_SHARE_V1";
/// A key seals one secret and nothing else: it comes of an ephemeral key that is fresh, and of a context that names everything that tells
/// this secret from others. Sealing the same again gives the same bytes. So no nonce is ever used for two messages under one key, and a
/// fixed one is safe.
const NONCE: [u8; 24] = [0; 24];

/// Why a secret cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A public key makes the shared secret independent of the other side's key (RFC 7748 §6.1): nothing would be secret under it.
    #[error("the exchange key is not contributory")]
    NonContributory,
    /// Not sealed for this key in this place, or changed since.
    #[error("the sealed share does not open")]
    Unopened,
}

/// The public half of an exchange secret.
pub fn exchange_key(secret: &StaticSecret) -> ExchangeKey {
    ExchangeKey(PublicKey::from(secret).to_bytes())
}

/// Seals `secret` to `recipient`. The same input gives the same bytes, [`crate::SEALED_SHARE_BYTES`] of them. `context` names the place,
/// the public half of `ephemeral` and `recipient`; no two secrets are ever sealed with one ephemeral key and one context.
///
/// # Errors
/// [`SealError::NonContributory`]: the recipient can have no secret.
pub fn seal(
    secret: &[u8; 32],
    context: &Hash,
    ephemeral: &StaticSecret,
    recipient: &ExchangeKey,
) -> Result<Bytes, SealError> {
    let cipher = cipher(&ephemeral.diffie_hellman(&PublicKey::from(recipient.0)), context)?;
    let payload = Payload { msg: secret, aad: &context.0 };
    let sealed = cipher.encrypt(&XNonce::from(NONCE), payload).expect("32 bytes are far below the cipher's bound");
    Ok(Bytes(sealed))
}

/// Opens what was sealed to the public half of `exchange`, with the same context.
///
/// # Errors
/// [`SealError`].
pub fn open(
    sealed: &Bytes,
    context: &Hash,
    ephemeral: &ExchangeKey,
    exchange: &StaticSecret,
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let cipher = cipher(&exchange.diffie_hellman(&PublicKey::from(ephemeral.0)), context)?;
    let payload = Payload { msg: &sealed.0, aad: &context.0 };
    let opened = cipher.decrypt(&XNonce::from(NONCE), payload).map(Zeroizing::new);
    let secret: Result<[u8; 32], _> = opened.map_err(|_| SealError::Unopened)?.as_slice().try_into();
    secret.map(Zeroizing::new).map_err(|_| SealError::Unopened)
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
