//! A long-term identity: the sr25519 key under which a party, creator or operator signs.

use rand_core::{CryptoRng, RngCore};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use std::fmt;
use wire::{Bytes, ChainId, Envelope, Message, Operation, PublicKey, Signed};
use zeroize::Zeroizing;

/// An sr25519 keypair and the 32-byte seed it comes from. Both are wiped from memory on drop.
#[derive(Clone)]
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    keypair: Keypair,
}

impl Identity {
    /// The identity of a seed: schnorrkel's mini secret key, expanded in its Ed25519 mode.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let mini = MiniSecretKey::from_bytes(seed.as_ref()).expect("a mini secret key is any 32 bytes");
        Self { keypair: mini.expand_to_keypair(ExpansionMode::Ed25519), seed }
    }

    /// A new identity.
    pub fn generate<R: RngCore + CryptoRng>(rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(seed)
    }

    /// The public key: the identity's name to everybody else.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.keypair.public.to_bytes())
    }

    /// The secret seed, for who keeps it.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }

    /// Signs a message for a chain.
    pub fn sign<T: Message, R: RngCore + CryptoRng>(&self, chain: &ChainId, body: T, rng: R) -> Signed<T> {
        Signed::sign(&self.keypair, chain.clone(), body, rng)
    }

    /// Signs an operation and attaches its payload, which is empty unless the operation is a write.
    pub fn envelope<R: RngCore + CryptoRng>(
        &self,
        chain: &ChainId,
        operation: Operation,
        payload: Bytes,
        rng: R,
    ) -> Envelope {
        Envelope { signed: self.sign(chain, operation, rng), payload }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use wire::SessionId;

    #[test]
    fn a_seed_names_one_key_whose_signatures_verify() {
        let identity = Identity::from_seed(Zeroizing::new([5; 32]));
        assert_eq!(identity.public(), Identity::from_seed(identity.seed().clone()).public());
        let chain: ChainId = "here".parse().unwrap();
        let operation = Operation::Terminate { session: SessionId([1; 32]) };
        let envelope = identity.envelope(&chain, operation, Bytes::default(), ChaCha20Rng::from_seed([0; 32]));
        assert_eq!(envelope.verify(&chain).unwrap().0.author(), identity.public());
    }

    #[test]
    fn debug_shows_no_secret() {
        let identity = Identity::from_seed(Zeroizing::new([0xab; 32]));
        let shown = format!("{identity:?}");
        assert!(shown.contains(&identity.public().to_string()));
        assert!(!shown.contains("abab") && !shown.contains("171"));
    }
}
