//! Key generation: one round.

use super::{
    Execution, KeyShare,
    encoding::Point,
    equation::culprits,
    proof::{PROOF_BYTES, Proof},
    sum,
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
        let mut shares = Vec::with_capacity(data.len());
        let mut malformed = Vec::new();
        for (index, message) in (0..self.seat.parties).zip(data) {
            match decode(message) {
                Some(share) => shares.push((index, share)),
                None => malformed.push(index),
            }
        }
        let mut equations = Vec::with_capacity(shares.len());
        for (index, (public, proof)) in &shares {
            match proof.equation(&self.context, *index, public) {
                Some(equation) => equations.push(equation),
                None => malformed.push(*index),
            }
        }
        let mut wrong = culprits(&self.context, &equations);
        wrong.append(&mut malformed);
        wrong.sort_unstable();
        blame("a public share without a valid proof of knowledge", wrong)?;

        let points: Vec<Point> = shares.into_iter().map(|(_, (public, _))| public).collect();
        let key = sum(&points, "the public shares add up to no key")?;
        let share = KeyShare::new(self.seat.list, self.seat.index, &self.secret, points, key);
        share.ok_or_else(|| abort("this party's public share is not that of its secret", vec![]).into())
    }
}

/// X_j and the proof for it.
fn decode(message: &[u8]) -> Option<(Point, Proof)> {
    let (public, proof) = message.split_at_checked(32)?;
    Some((Point::decode(public)?, Proof::decode(proof)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use client_sdk::protocol::{Received, Round};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use wire::{Hash, MailboxKind, SessionId};

    const PARTIES: u16 = 3;

    fn party(index: u16) -> KeyGeneration {
        let program = Program { name: "schnorr".into(), version: "1".into(), digest: Hash([0; 32]) };
        let (chain, session, list) = ("test-1".parse().unwrap(), SessionId([1; 32]), Hash([2; 32]));
        let seat = Seat { chain, session, list, parties: PARTIES, index };
        KeyGeneration::new(seat, &program, Seed::new([index.to_le_bytes()[0] + 1; 32])).unwrap()
    }

    /// X_i with a component of small order, and a proof for it that holds up to such components.
    fn strayed(party: &KeyGeneration, component: usize) -> Vec<u8> {
        let point = Point::of_secret(&party.secret).point() + EIGHT_TORSION[component];
        let public = Point::decode(&point.compress().0).unwrap();
        let seed = Seed::new([9; 32]);
        let proof = Proof::new(&party.context, party.seat.index, &party.secret, &public, &seed);
        [public.bytes().as_slice(), &proof.encode()].concat()
    }

    /// What party 0 makes of these broadcasts of the others.
    fn outcome(others: [Vec<u8>; 2]) -> Result<Step<KeyShare>, Abort> {
        let first = party(0);
        let mut messages = Messages::default();
        let Ok(Step::Broadcast { round, data }) = first.next_message(&messages) else { panic!("nothing to send") };
        let all = [vec![data.clone()], others.to_vec()].concat();
        let received = (0..).zip(all).map(|(sender, data)| Received { sender, data: Some(data) }).collect();
        messages.insert_broadcast(round, data);
        messages.insert_round(MailboxKind::Broadcast, round, Round { head: Hash([3; 32]), received });
        first.next_message(&messages)
    }

    #[test]
    fn who_takes_the_key_out_of_the_subgroup_is_named() {
        let [second, third] = [party(1), party(2)];
        let honest = third.own.to_vec();
        for component in 1..EIGHT_TORSION.len() {
            let abort = outcome([strayed(&second, component), honest.clone()]).unwrap_err();
            assert_eq!(abort.culprits, [1], "{abort}");
        }
        let abort = outcome([strayed(&second, 1), strayed(&third, 1)]).unwrap_err();
        assert_eq!(abort.culprits, [1, 2], "{abort}");
    }

    #[test]
    fn components_that_cancel_change_no_key() {
        let [second, third] = [party(1), party(2)];
        let key = |others| match outcome(others) {
            Ok(Step::Output(share)) => share.public_key(),
            other => panic!("{other:?}"),
        };
        let expected = key([second.own.to_vec(), third.own.to_vec()]);
        assert_eq!(key([strayed(&second, 3), strayed(&third, 5)]), expected);
    }
}
