//! Key generation: one round.

use super::{
    Execution, KeyShare,
    encoding::Point,
    proof::{PROOF_BYTES, Proof},
};
use crate::{
    ProtocolError, Seed,
    context::Context,
    exchange::{Broadcasts, Pause, abort, blame, exchange, step},
};
use client_sdk::protocol::{Abort, Messages, Protocol, Seat, Step};
use curve25519_dalek::Scalar;
use std::fmt;
use wire::Program;
use zeroize::Zeroizing;

/// Distributed key generation (§VI): each party broadcasts X_i = x_i B and proves that it knows x_i; A = sum X_j.
///
/// The proof binds (ctx, i, X_i): nobody can repeat another party's X_j, nor choose an X_i that cancels the others' (a
/// rogue key), for it would have to know that point's discrete logarithm. Who speaks last can still choose among keys
/// that it knows, so A is not uniform; for Schnorr signatures that gives nothing. Whoever sends a wrong proof or no
/// proper point is named by everybody.
pub struct KeyGeneration {
    seat: Seat,
    round: u32,
    context: Context,
    secret: Zeroizing<Scalar>,
    own: [u8; 32 + PROOF_BYTES],
}

impl KeyGeneration {
    /// Prepares the session's key generation. x_i and the proof's nonce come from `seed` in separate domains.
    ///
    /// # Errors
    /// [`ProtocolError::Seat`].
    pub fn new(seat: Seat, program: &Program, seed: Seed) -> Result<Self, ProtocolError> {
        let execution = Execution::KeyGeneration;
        let context = Context::new("schnorr/context", &seat, program, &execution)?;
        let secret = seed.scalar(&context.hash("schnorr/secret").value(&seat.index).finish());
        let public = Point::of_secret(&secret);
        let proof = Proof::new(&context, seat.index, &secret, &public, &seed);
        let mut own = [0; 32 + PROOF_BYTES];
        own.iter_mut().zip(public.bytes().iter().chain(&proof.encode())).for_each(|(to, from)| *to = *from);
        Ok(Self { seat, round: execution.first_round()?, context, secret, own })
    }

    fn run(&self, messages: &Messages) -> Result<KeyShare, Pause> {
        let Broadcasts { data, .. } = exchange(&self.seat, messages, self.round, &self.own)?;
        let mut points = Vec::with_capacity(data.len());
        let mut culprits = Vec::new();
        for (index, message) in (0..self.seat.parties).zip(data) {
            match self.check(index, message) {
                Some(point) => points.push(point),
                None => culprits.push(index),
            }
        }
        blame("a public share without a valid proof of knowledge", culprits)?;
        let share = KeyShare::new(self.seat.list, self.seat.index, &self.secret, points);
        share.ok_or_else(|| abort("the public shares add up to no key", vec![]).into())
    }

    /// X_j, if it is a proper point and its proof holds.
    fn check(&self, index: u16, message: &[u8]) -> Option<Point> {
        let (public, proof) = message.split_at_checked(32)?;
        let public = Point::decode(public)?;
        Proof::decode(proof)?.verify(&self.context, index, &public).then_some(public)
    }
}

impl Protocol for KeyGeneration {
    type Output = KeyShare;

    fn next_message(&self, messages: &Messages) -> Result<Step<KeyShare>, Abort> {
        step(self.run(messages))
    }
}

impl fmt::Debug for KeyGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyGeneration").field("seat", &self.seat).finish_non_exhaustive()
    }
}
