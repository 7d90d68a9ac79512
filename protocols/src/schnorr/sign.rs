//! Signing: four rounds.

use super::{
    Execution, KeyShare, Signature,
    encoding::{Point, decode_scalar},
    equation::{Equation, culprits},
    sum,
};
use crate::{
    ProtocolError, Seed,
    context::Context,
    exchange::{Broadcasts, Pause, abort, blame, exchange, step, wait},
};
use client_sdk::protocol::{Abort, Messages, Protocol, Seat, Step};
use curve25519_dalek::Scalar;
use sha2::{Digest, Sha512};
use std::{fmt, sync::OnceLock};
use wire::{Hash, Program};
use zeroize::Zeroizing;

/// Distributed signing (§VI) of a message M by all n parties, any n - 1 of which may cheat.
///
/// | round | broadcast | when all are read |
/// |---|---|---|
/// | 1 agree | H(ctx, A, SHA-512(M)) | who differs from this party is named; no nonce exists yet |
/// | 2 commit | H(ctx, i, head of round 1, R_i), R_i = r_i B | who sends no hash is named |
/// | 3 reveal | R_i | who does not open its commitment to a proper point, or takes the sum out of the prime-order subgroup, is named |
/// | 4 sign | s_i = r_i + c x_i, c = SHA-512(R, A, M), R = sum R_j | who misses s_j B = R_j + c X_j, up to a component of small order, is named; (R, sum s_j) is verified strictly |
///
/// # Why no nonce answers two challenges
///
/// s = r + c x and s' = r + c' x with c != c' give x away. `next_message` is a function of what the board shows, so the
/// question is whether two different boards can make it answer two challenges with one r. The nonce is r_i = PRF(seed,
/// ctx, i, SHA-512(M), head of round 1), thus fixed by the seed and what the first round's head fixes.
///
/// 1. *A and M cannot differ.* They are in this party's own message of round 1, which is looked for under that head;
///    another A, M or ctx under the same head is a collision of the hash.
/// 2. *Reveals cannot differ.* c depends on nothing else but R_1 .. R_n. An R_j counts only if it opens party j's
///    commitment, and the commitment binds j, ctx, the head and R_j's only encoding. If `next_message` is called twice
///    with the same commitments and different reveals, then at most one of them opens the commitments and is answered;
///    the other names who is wrong. That the others' nonces are fixed before anybody's is shown also keeps a party from
///    choosing its own after seeing them, in any number of executions at once.
/// 3. *Commitments must not differ, and the nonce cannot see to it*: r_i exists before the others' commitments do.
///    Three things do. A mailbox takes one entry of each party, so only one content with n entries is ever complete,
///    and readers believe no other. One run reads round 2 once, when it is complete, and [`Messages`] keeps it; thus
///    even a board that all nodes forge gets one answer from one run. And a `Signing` remembers the first challenge
///    that it has answered, and refuses every other one: its only state, which never changes an answer but only
///    withholds it.
///
/// What remains is the caller's duty: a seed must not live in two runs that may be shown two boards. [`Seed`] is neither
/// cloned nor stored here. `client_sdk::Execution` stores it, and what each read returned before anything is computed
/// with that; on return it lets the program compute with that and not with what the board shows then. Without it a party
/// that is killed in the middle has lost its nonce, and all parties start a new execution, with a new number and new seeds.
/// A party that returns with another seed does not find its own messages on the board, and stops.
///
/// # Blame
///
/// Culprits are right as long as at most f nodes lie. A party named in round 1 has signed something else than this one,
/// which need not be malice: compare the messages. In the other rounds an honest party is never named.
pub struct Signing {
    seat: Seat,
    first_round: u32,
    context: Context,
    share: KeyShare,
    message: Vec<u8>,
    message_digest: [u8; 64],
    seed: Seed,
    answered: OnceLock<Scalar>,
}

/// What rounds 1 to 3 have fixed.
struct Prepared {
    nonce: Zeroizing<Scalar>,
    nonce_shares: Vec<Point>,
    nonce_sum: Point,
    challenge: Scalar,
}

impl Signing {
    /// Prepares the signing with number `number` in the session (see [`Execution`]), of `message`, with the key of
    /// `share`.
    ///
    /// # Errors
    /// [`ProtocolError::Seat`], [`ProtocolError::Execution`], or [`ProtocolError::ForeignShare`] if the share was made
    /// for another list of parties or another index.
    pub fn new(
        seat: Seat,
        program: &Program,
        number: u32,
        share: KeyShare,
        message: Vec<u8>,
        seed: Seed,
    ) -> Result<Self, ProtocolError> {
        let execution = Execution::Signing(number);
        let context = Context::new("schnorr/context", &seat, program, &execution)?;
        share.check_seat(&seat)?;
        let message_digest = Sha512::digest(&message).into();
        let first_round = execution.first_round()?;
        Ok(Self { seat, first_round, context, share, message, message_digest, seed, answered: OnceLock::new() })
    }

    fn round(&self, paper: u32) -> u32 {
        self.first_round.saturating_add(paper.saturating_sub(1))
    }

    fn run(&self, messages: &Messages) -> Result<Signature, Pause> {
        (1..=4).try_for_each(|paper| wait(&self.seat, messages, self.round(paper)))?;
        let head = self.agree(messages)?;
        let prepared = self.commit_and_reveal(messages, &head)?;
        self.sign(messages, prepared)
    }

    /// Round 1. Returns its head.
    fn agree(&self, messages: &Messages) -> Result<Hash, Pause> {
        let key = self.share.public_key();
        let own = self.context.hash("schnorr/agree").bytes(key.as_bytes()).bytes(self.message_digest).finish();
        let Broadcasts { head, data } = exchange(&self.seat, messages, self.round(1), &own.0)?;
        let differing = self.indices(data.iter().map(|value| *value != own.0.as_slice()));
        blame("another key or message than this party's", differing)?;
        Ok(head)
    }

    /// Rounds 2 and 3: no nonce is revealed before all are fixed.
    fn commit_and_reveal(&self, messages: &Messages, head: &Hash) -> Result<Prepared, Pause> {
        let input = self.context.hash("schnorr/nonce").value(&self.seat.index).bytes(self.message_digest).bytes(head.0);
        let nonce = self.seed.scalar(&input.finish());
        let own = Point::of_secret(&nonce);
        let commitment = self.commitment(self.seat.index, head, own.bytes());
        let commitments = exchange(&self.seat, messages, self.round(2), &commitment.0)?.data;
        blame("no commitment", self.indices(commitments.iter().map(|value| value.len() != commitment.0.len())))?;

        let reveals = exchange(&self.seat, messages, self.round(3), own.bytes())?.data;
        let mut nonce_shares = Vec::with_capacity(reveals.len());
        let mut wrong = Vec::new();
        for ((index, commitment), reveal) in (0..self.seat.parties).zip(commitments).zip(reveals) {
            let opens = self.commitment(index, head, reveal).0.as_slice() == commitment;
            match Point::decode(reveal).filter(|_| opens) {
                Some(point) => nonce_shares.push(point),
                None => wrong.push(index),
            }
        }
        blame("the revealed nonce is not the committed one, or no proper point", wrong)?;
        let nonce_sum = sum(&nonce_shares, "the nonces add up to nothing")?;
        let challenge = self.challenge(&nonce_sum);
        Ok(Prepared { nonce, nonce_shares, nonce_sum, challenge })
    }

    /// Round 4 and the output.
    fn sign(&self, messages: &Messages, prepared: Prepared) -> Result<Signature, Pause> {
        let Prepared { nonce, nonce_shares, nonce_sum, challenge } = prepared;
        if *self.answered.get_or_init(|| challenge) != challenge {
            return Err(abort("this run has already answered another challenge with its nonce", vec![]).into());
        }
        let own = *nonce + challenge * self.share.secret();
        let responses = exchange(&self.seat, messages, self.round(4), own.as_bytes())?.data;
        let decoded: Vec<Option<Scalar>> = responses.into_iter().map(decode_scalar).collect();
        blame("no partial signature", self.indices(decoded.iter().map(Option::is_none)))?;

        let parties = (0..self.seat.parties).zip(nonce_shares).zip(self.share.points()).zip(decoded.iter().flatten());
        let equation = |(((party, commitment), key), response): (((u16, Point), _), &Scalar)| Equation {
            party,
            commitment,
            key,
            factor: challenge,
            response: *response,
        };
        blame("a wrong partial signature", culprits(&self.context, &parties.map(equation).collect::<Vec<_>>()))?;

        let sum: Scalar = decoded.into_iter().flatten().sum();
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(nonce_sum.bytes().iter().chain(sum.as_bytes())).for_each(|(to, from)| *to = *from);
        let signature = Signature::from_bytes(bytes);
        let valid = self.share.public_key().verify(&self.message, &signature);
        valid.map_err(|error| abort(format!("the sum of right partial signatures is none: {error}"), vec![]))?;
        Ok(signature)
    }

    /// H(ctx, i, head of round 1, R_i).
    fn commitment(&self, index: u16, head: &Hash, nonce: &[u8]) -> Hash {
        self.context.hash("schnorr/commit").value(&index).bytes(head.0).bytes(nonce).finish()
    }

    /// SHA-512(R, A, M) mod l, as in RFC 8032 5.1.6.
    fn challenge(&self, nonce: &Point) -> Scalar {
        let hash = Sha512::new().chain_update(nonce.bytes()).chain_update(self.share.public_key().as_bytes());
        Scalar::from_hash(hash.chain_update(&self.message))
    }

    fn indices(&self, wrong: impl Iterator<Item = bool>) -> Vec<u16> {
        (0..self.seat.parties).zip(wrong).filter(|(_, wrong)| *wrong).map(|(index, _)| index).collect()
    }
}

impl Protocol for Signing {
    type Output = Signature;

    fn next_message(&self, messages: &Messages) -> Result<Step<Signature>, Abort> {
        step(self.run(messages))
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing")
            .field("seat", &self.seat)
            .field("first_round", &self.first_round)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client_sdk::protocol::{Received, Round};
    use curve25519_dalek::constants::EIGHT_TORSION;
    use wire::{MailboxKind, SessionId};

    fn pair() -> [Signing; 2] {
        let secrets = [Scalar::from(5u8), Scalar::from(6u8)];
        let points: Vec<Point> = secrets.iter().map(Point::of_secret).collect();
        let key = Point::sum(&points).unwrap();
        let program = Program { name: "schnorr".into(), version: "1".into(), digest: Hash([0; 32]) };
        [0u16, 1].map(|index| {
            let (chain, list) = ("test-1".parse().unwrap(), Hash([2; 32]));
            let seat = Seat { chain, session: SessionId([1; 32]), list, parties: 2, index };
            let share = KeyShare::new(list, index, &secrets[usize::from(index)], points.clone(), key).unwrap();
            Signing::new(seat, &program, 0, share, b"m".to_vec(), Seed::new([index.to_le_bytes()[0] + 1; 32])).unwrap()
        })
    }

    /// Lets party 0 send what it wants to in `round`, and read `other` there beside it.
    fn exchange_with(party: &Signing, board: &mut Messages, round: u32, other: &[u8]) {
        let Ok(Step::Broadcast { round: at, data }) = party.next_message(board) else { panic!("nothing to send") };
        assert_eq!(at, round);
        let entry = |sender, data: &[u8]| Received { sender, data: Some(data.to_vec()) };
        let received = vec![entry(1, other), entry(0, &data)];
        board.insert_broadcast(round, data);
        board.insert_round(MailboxKind::Broadcast, round, Round { head: Hash([7; 32]), received });
    }

    /// Party 1 commits to `nonce` and opens its commitment.
    fn board_with_nonce(party: &Signing, nonce: &[u8]) -> Messages {
        let mut board = Messages::default();
        let Ok(Step::Broadcast { data: agreed, .. }) = party.next_message(&board) else { panic!("nothing to send") };
        exchange_with(party, &mut board, 1, &agreed);
        exchange_with(party, &mut board, 2, &party.commitment(1, &Hash([7; 32]), nonce).0);
        exchange_with(party, &mut board, 3, nonce);
        board
    }

    #[test]
    fn a_committed_nonce_must_still_be_a_proper_point() {
        let [party, _] = pair();
        for torsion in EIGHT_TORSION {
            let mixed = *Point::of_secret(&Scalar::from(9u8)).point() + torsion;
            let proper = torsion == EIGHT_TORSION[0];
            for nonce in [torsion.compress(), mixed.compress()] {
                let step = party.next_message(&board_with_nonce(&party, nonce.as_bytes()));
                match step {
                    Err(abort) => assert_eq!(abort.culprits, [1]),
                    Ok(step) => assert!(proper && nonce == mixed.compress(), "{step:?}"),
                }
            }
        }
    }

    /// The nonces are a pair of opposites, which only a party that broke the commitment could arrange.
    #[test]
    fn nonces_that_cancel_are_not_answered() {
        let [party, _] = pair();
        let first = board_with_nonce(&party, Point::of_secret(&Scalar::ONE).bytes());
        let own = Point::decode(first.sent_broadcast(3).unwrap()).unwrap();
        let opposite = (-own.point()).compress();
        let abort = party.next_message(&board_with_nonce(&party, opposite.as_bytes())).unwrap_err();
        assert!(abort.culprits.is_empty() && abort.reason.contains("nothing"), "{abort}");
    }

    /// What step 2 of the argument above says: same commitments, other reveals.
    #[test]
    fn other_reveals_under_the_same_commitments_are_not_answered() {
        let [party, _] = pair();
        let proper = Point::of_secret(&Scalar::from(9u8));
        let mut board = board_with_nonce(&party, proper.bytes());
        assert!(matches!(party.next_message(&board), Ok(Step::Broadcast { round: 4, .. })));
        let mut reveals = board.round(MailboxKind::Broadcast, 3).unwrap().clone();
        reveals.received[0].data = Some(Point::of_secret(&Scalar::from(10u8)).bytes().to_vec());
        board.insert_round(MailboxKind::Broadcast, 3, reveals);
        assert_eq!(party.next_message(&board).unwrap_err().culprits, [1]);
    }
}
