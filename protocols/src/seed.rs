//! A program's randomness: the paper's s_i.

use curve25519_dalek::Scalar;
use hmac::{Hmac, Mac};
use rand_core::{CryptoRng, RngCore};
use sha2::Sha512;
use std::fmt;
use wire::Hash;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret random bytes from which a program draws all its randomness.
///
/// **One seed, one execution.** A seed that serves two executions, or one execution twice, can give the secret key away
/// (see [`crate::schnorr::Signing`]). So it cannot be cloned, and a program takes it by value. The one of a
/// `client_sdk::Execution` may be taken again whenever that goes on, for its journal holds what it was used with.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes, which must be fresh and from a cryptographic generator.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws a fresh seed.
    pub fn random<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// PRF(seed, input): HMAC-SHA-512 under the seed. What `input` is the hash of, tag first, separates the uses.
    pub(crate) fn derive(&self, input: &Hash) -> Zeroizing<[u8; 64]> {
        let mut mac = Hmac::<Sha512>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(&input.0);
        let mut output = mac.finalize().into_bytes();
        let bytes = Zeroizing::new(output.into());
        output.as_mut_slice().zeroize();
        bytes
    }

    /// PRF(seed, input), 64 bytes mod l.
    pub(crate) fn scalar(&self, input: &Hash) -> Zeroizing<Scalar> {
        Zeroizing::new(Scalar::from_bytes_mod_order_wide(&self.derive(input)))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}
