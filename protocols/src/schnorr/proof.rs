//! Schnorr's proof of knowledge of a discrete logarithm, made non-interactive.

use super::{
    encoding::{Point, decode_scalar, hash_to_scalar},
    equation::Equation,
};
use crate::{Seed, context::Context};
use curve25519_dalek::Scalar;

/// Length of an encoded proof.
pub(crate) const PROOF_BYTES: usize = 64;

/// A proof that party i knows x with X = xB, bound to (ctx, i, X): T = kB, c = H(ctx, i, X, T), z = k + c x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    commitment: [u8; 32],
    response: Scalar,
}

impl Proof {
    /// Proves knowledge of `secret`, the discrete logarithm of `public`. The nonce is PRF(seed, ctx, i, X): one for
    /// each statement, and the statement fixes the challenge.
    pub(crate) fn new(context: &Context, index: u16, secret: &Scalar, public: &Point, seed: &Seed) -> Self {
        let input = context.hash("schnorr/proof-nonce").value(&index).bytes(public.bytes()).finish();
        let nonce = seed.scalar(&input);
        let commitment = *Point::of_secret(&nonce).bytes();
        let response = *nonce + challenge(context, index, public, &commitment) * secret;
        Self { commitment, response }
    }

    /// What has to hold for party `index` to know the discrete logarithm of `public`: zB = T + cX. `None` if T is no proper point.
    pub(crate) fn equation<'a>(&self, context: &Context, index: u16, public: &'a Point) -> Option<Equation<'a>> {
        let commitment = Point::decode(&self.commitment)?;
        let factor = challenge(context, index, public, &self.commitment);
        Some(Equation { party: index, commitment, key: public, factor, response: self.response })
    }

    /// T, then z.
    pub(crate) fn encode(&self) -> [u8; PROOF_BYTES] {
        let mut bytes = [0; PROOF_BYTES];
        let (commitment, response) = bytes.split_at_mut(32);
        commitment.copy_from_slice(&self.commitment);
        response.copy_from_slice(self.response.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (commitment, response) = bytes.split_at_checked(32)?;
        Some(Self { commitment: commitment.try_into().ok()?, response: decode_scalar(response)? })
    }
}

fn challenge(context: &Context, index: u16, public: &Point, commitment: &[u8; 32]) -> Scalar {
    hash_to_scalar(context.hash("schnorr/proof").value(&index).bytes(public.bytes()).bytes(commitment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schnorr::equation::culprits;
    use client_sdk::protocol::Seat;
    use wire::{Hash, Program, SessionId};

    #[test]
    fn a_proof_holds_for_its_statement_alone() {
        let program = Program { name: "schnorr".into(), version: "1".into(), digest: Hash([0; 32]) };
        let (chain, list) = ("test-1".parse().unwrap(), Hash([2; 32]));
        let seat = Seat { chain, session: SessionId([1; 32]), list, parties: 3, index: 0 };
        let [context, other_context] = [1u8, 2].map(|e| Context::new("test", &seat, &program, &e).unwrap());
        let (secret, seed) = (Scalar::from(5u8), Seed::new([1; 32]));
        let public = Point::of_secret(&secret);
        let proof = Proof::new(&context, 1, &secret, &public, &seed);
        assert_eq!(Proof::decode(&proof.encode()), Some(proof.clone()));
        let holds = |context: &Context, index, public: &Point| {
            culprits(context, &[proof.equation(context, index, public).unwrap()]).is_empty()
        };
        assert!(holds(&context, 1, &public));
        assert!(!holds(&context, 2, &public));
        assert!(!holds(&other_context, 1, &public));
        assert!(!holds(&context, 1, &Point::of_secret(&Scalar::from(6u8))));
        let nothing = Point::of_secret(&Scalar::ZERO);
        let proof = Proof::new(&context, 1, &Scalar::ZERO, &nothing, &seed);
        assert!(culprits(&context, &[proof.equation(&context, 1, &nothing).unwrap()]).is_empty());
        assert_eq!(Point::decode(nothing.bytes()), None, "so it is the encoding that keeps the identity out");
    }
}
