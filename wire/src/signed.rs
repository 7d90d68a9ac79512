//! `Signed` to `Verified`: whoever holds a [`Verified`] value knows that its author signed it for this chain.

use crate::{Bytes, ChainId, Code, Hash, PublicKey, Signature, hash::TaggedHash};
use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::{Keypair, context::attach_rng, signing_context};
use serde::{Deserialize, Serialize};

/// The schnorrkel context of every signature of this system; the message under it is always a [`Signed::digest`].
const CONTEXT: &[u8] = b"white-city/v1/signature";

/// Something that is signed, in a domain of its own.
pub trait Message: BorshSerialize {
    /// The domain tag, different for every type.
    const TAG: &'static str;
}

/// A message as it crosses the wire: what it says, who claims to have said it, for which chain, and the proof.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    /// The chain that the author meant.
    pub chain: ChainId,
    /// The key that signed.
    pub author: PublicKey,
    /// What was signed.
    pub body: T,
    /// sr25519 signature of `author` over the digest of the other three fields.
    pub signature: Signature,
}

/// A message whose signature was checked for one chain. Only this module makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    author: PublicKey,
    body: T,
    digest: Hash,
    signature: Signature,
}

/// The digest that is signed: it binds domain, chain, author and body.
pub fn digest<T: Message>(chain: &ChainId, author: &PublicKey, body: &T) -> Hash {
    TaggedHash::new(T::TAG).value(chain).bytes(author.0).value(body).finish()
}

impl<T: Message> Signed<T> {
    /// Signs `body` for `chain`. sr25519 mixes `rng` into its nonce, which would be safe even with a bad one.
    pub fn sign<R: RngCore + CryptoRng>(keypair: &Keypair, chain: ChainId, body: T, rng: R) -> Self {
        let author = PublicKey(keypair.public.to_bytes());
        let digest = digest(&chain, &author, &body);
        let transcript = attach_rng(signing_context(CONTEXT).bytes(&digest.0), rng);
        let signature = Signature(keypair.sign(transcript).to_bytes());
        Self { chain, author, body, signature }
    }

    /// What `author` must have signed. Costs an encoding of the body.
    pub fn digest(&self) -> Hash {
        digest(&self.chain, &self.author, &self.body)
    }

    /// Checks chain and signature.
    ///
    /// # Errors
    /// [`Code::WrongChain`] or [`Code::BadSignature`].
    pub fn verify(self, chain: &ChainId) -> Result<Verified<T>, Code> {
        if self.chain != *chain {
            return Err(Code::WrongChain);
        }
        let digest = self.digest();
        check(&self.author, &digest, &self.signature)?;
        Ok(Verified { author: self.author, body: self.body, digest, signature: self.signature })
    }
}

impl<T> Verified<T> {
    /// The key that signed.
    pub fn author(&self) -> PublicKey {
        self.author
    }

    /// What was signed.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// The digest that was signed: the message's name.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// The signature, for those who pass the message on as evidence.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// What was signed, by value.
    pub fn into_body(self) -> T {
        self.body
    }
}

/// Checks chain and signature of many messages, the signatures in one batch; if that fails, singly, to name the bad ones.
/// The answers are in the order of the messages. About `rng` see [`check_batch`].
pub fn verify_all<T: Message, R: RngCore + CryptoRng>(
    messages: Vec<Signed<T>>,
    chain: &ChainId,
    rng: R,
) -> Vec<Result<Verified<T>, Code>> {
    let digests: Vec<Hash> = messages.iter().map(Signed::digest).collect();
    let of_chain: Vec<_> = messages
        .iter()
        .zip(&digests)
        .filter(|(message, _)| message.chain == *chain)
        .map(|(message, digest)| (message.author, *digest, message.signature))
        .collect();
    let all_good = check_batch(&of_chain, rng).is_ok();
    let verified = messages.into_iter().zip(digests).map(|(message, digest)| {
        if message.chain != *chain {
            return Err(Code::WrongChain);
        }
        if !all_good {
            check(&message.author, &digest, &message.signature)?;
        }
        Ok(Verified { author: message.author, body: message.body, digest, signature: message.signature })
    });
    verified.collect()
}

/// Checks one signature over a digest.
///
/// # Errors
/// [`Code::BadSignature`] also when author or signature are no valid encodings.
pub fn check(author: &PublicKey, digest: &Hash, signature: &Signature) -> Result<(), Code> {
    VerifyingKey::decode(author).ok_or(Code::BadSignature)?.check(digest, signature)
}

/// A key that was decoded, which takes a fifth of what checking a signature in a batch does: for who checks many under the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey(schnorrkel::PublicKey);

impl VerifyingKey {
    /// `None` if it is no valid encoding.
    pub fn decode(key: &PublicKey) -> Option<Self> {
        schnorrkel::PublicKey::from_bytes(&key.0).map(Self).ok()
    }

    /// Checks one signature over a digest.
    ///
    /// # Errors
    /// [`Code::BadSignature`] also when it is no valid encoding.
    pub fn check(&self, digest: &Hash, signature: &Signature) -> Result<(), Code> {
        let signature = schnorrkel::Signature::from_bytes(&signature.0).map_err(|_| Code::BadSignature)?;
        self.0.verify(signing_context(CONTEXT).bytes(&digest.0), &signature).map_err(|_| Code::BadSignature)
    }
}

/// Checks many signatures at once, at less than half the cost of one by one. `rng` must be unpredictable: with weights that
/// an attacker can foresee, two invalid signatures can cancel.
///
/// # Errors
/// [`Code::BadSignature`] if any is invalid; which one, [`check`] tells.
pub fn check_batch<R: RngCore + CryptoRng>(items: &[(PublicKey, Hash, Signature)], rng: R) -> Result<(), Code> {
    let decoded =
        items.iter().map(|(author, digest, signature)| Some((VerifyingKey::decode(author)?, *digest, *signature)));
    check_batch_under(&decoded.collect::<Option<Vec<_>>>().ok_or(Code::BadSignature)?, rng)
}

/// [`check_batch`] under keys that were decoded before.
///
/// # Errors
/// [`Code::BadSignature`].
pub fn check_batch_under<R: RngCore + CryptoRng>(
    items: &[(VerifyingKey, Hash, Signature)],
    rng: R,
) -> Result<(), Code> {
    let mut transcripts = Vec::with_capacity(items.len());
    let mut signatures = Vec::with_capacity(items.len());
    let mut keys = Vec::with_capacity(items.len());
    for (author, digest, signature) in items {
        keys.push(author.0);
        signatures.push(schnorrkel::Signature::from_bytes(&signature.0).map_err(|_| Code::BadSignature)?);
        transcripts.push(signing_context(CONTEXT).bytes(&digest.0));
    }
    schnorrkel::verify_batch_rng(transcripts, &signatures, &keys, false, rng).map_err(|_| Code::BadSignature)
}

/// An operation with its payload, as a client posts it. The signature covers the payload's digest and length only, so that in a
/// transaction the payload can travel on another way than the operation ([`crate::Carried`]).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The signed operation.
    pub signed: Signed<crate::Operation>,
    /// The payload that a `Write` names by digest; empty for every other operation.
    #[serde(default)]
    pub payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn a_batch_names_its_bad_messages_and_lets_the_others_through() {
        let chain: ChainId = "here".parse().unwrap();
        let keypair = Keypair::generate_with(OsRng);
        let message = |round: u8, chain: &ChainId| {
            let operation = crate::Operation::Terminate { session: crate::SessionId([round; 32]) };
            Signed::sign(&keypair, chain.clone(), operation, OsRng)
        };
        let codes = |messages: Vec<Signed<crate::Operation>>| -> Vec<Option<Code>> {
            verify_all(messages, &chain, OsRng).into_iter().map(Result::err).collect()
        };
        assert_eq!(codes(vec![]), []);
        assert_eq!(codes(vec![message(1, &chain), message(2, &chain)]), [None, None]);
        let swapped = Signed { signature: message(4, &chain).signature, ..message(3, &chain) };
        let elsewhere = message(5, &"elsewhere".parse().unwrap());
        let no_key = Signed { author: PublicKey([255; 32]), ..message(6, &chain) };
        assert_eq!(
            codes(vec![message(1, &chain), swapped, message(2, &chain), elsewhere, no_key]),
            [None, Some(Code::BadSignature), None, Some(Code::WrongChain), Some(Code::BadSignature)]
        );
    }
}
