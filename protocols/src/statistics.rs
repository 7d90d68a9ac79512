//! Sum, mean and variance of numbers that stay private, by additive sharing over the integers mod 2^128.
//!
//! | round | kind | what |
//! |---|---|---|
//! | 2e | private | party i splits (x_i, x_i²) into n random parts that add up to it, keeps one and sends party j one |
//! | 2e + 1 | broadcast | the sums of the parts that the party holds, its own included |
//!
//! All broadcasts add up to (Σx, Σx²).
//!
//! # What it hides, and what it does not promise
//!
//! The output is n, Σx and Σx², and nothing else is learnt: any n - 1 parties together see parts that are random but
//! for what the totals and their own inputs tell them. (With n = 2, or when n - 1 parties pool their inputs, the totals
//! say what the last input is: that is the function, not the program.) The result is right if all parties follow the
//! program (semi-honest). One that does not can shift it unseen, by lying about its input or about its sum, also after
//! it has read the others'. A private message or a sum that is missing or malformed is blamed on its sender; totals
//! that no inputs can have end the program without a culprit.

mod summary;

use crate::{
    ProtocolError, Seed,
    context::Context,
    exchange::{Pause, abort, blame, exchange, step},
};
use client_sdk::protocol::{Abort, Messages, Protocol, Round, Seat, Step};
use std::fmt;
use wire::{MailboxKind, Program, limits::MAX_ROUNDS};
use zeroize::Zeroizing;

pub use summary::{Fraction, MAX_DECIMALS, Summary};

/// Largest input: 2^52 - 1. With at most 2^12 parties Σx < 2^64, Σx² < 2^116, and n Σx², the largest number in a
/// variance, is below 2^128.
pub const MAX_INPUT: u64 = (1 << 52) - 1;

/// Length of both protocol messages in bytes. A party's private messages of the round leave together: n of them,
/// sealed.
pub const MESSAGE_BYTES: usize = 32;

/// A part of (x, x²), or a sum of parts.
type Pair = Zeroizing<[u128; 2]>;

/// One party's side of a computation of [`Summary`].
pub struct Statistics {
    seat: Seat,
    first_round: u32,
    context: Context,
    input: Zeroizing<u64>,
    seed: Seed,
}

impl Statistics {
    /// Prepares the computation with number `execution` in the session, which uses the rounds 2e and 2e + 1.
    ///
    /// # Errors
    /// [`ProtocolError::Seat`], [`ProtocolError::Execution`], or [`ProtocolError::InputTooLarge`] above [`MAX_INPUT`].
    pub fn new(seat: Seat, program: &Program, execution: u32, input: u64, seed: Seed) -> Result<Self, ProtocolError> {
        let context = Context::new("statistics/context", &seat, program, &execution)?;
        let first_round = execution.checked_mul(2).filter(|round| *round <= MAX_ROUNDS - 2);
        let first_round = first_round.ok_or(ProtocolError::Execution { execution })?;
        if input > MAX_INPUT {
            return Err(ProtocolError::InputTooLarge { input, limit: MAX_INPUT });
        }
        Ok(Self { seat, first_round, context, input: Zeroizing::new(input), seed })
    }

    fn run(&self, messages: &Messages) -> Result<Summary, Pause> {
        let held = self.share(messages)?;
        let own = encode(&held);
        let sums = exchange(&self.seat, messages, self.first_round.saturating_add(1), own.as_slice())?.data;
        let mut totals = Pair::default();
        let mut culprits = Vec::new();
        for (party, sum) in (0..self.seat.parties).zip(sums) {
            match decode(sum) {
                Some(sum) => add(&mut totals, &sum),
                None => culprits.push(party),
            }
        }
        blame("no sum of shares", culprits)?;
        let [sum, squares] = *totals;
        let summary = Summary::new(self.seat.parties, MAX_INPUT, sum, squares);
        summary.ok_or_else(|| abort("no inputs have these totals: somebody has shifted them", vec![]).into())
    }

    /// The private round. Returns the sum of the parts that this party holds.
    fn share(&self, messages: &Messages) -> Result<Pair, Pause> {
        let round = self.first_round;
        if let Some(to) = self.others().find(|to| messages.sent_private(round, *to).is_none()) {
            return Err(Pause::Step(Step::P2p { round, to, data: encode(&self.part(to)).to_vec() }));
        }
        let mut held = self.own_part();
        if self.seat.parties == 1 {
            return Ok(held);
        }
        let read = Step::Read { kind: MailboxKind::Private, round, count: self.seat.parties };
        let mailbox = messages.round(MailboxKind::Private, round);
        let from_others = |mailbox: &Round| mailbox.received.iter().filter(|m| m.sender != self.seat.index).count();
        let complete = |mailbox: &&Round| from_others(mailbox) >= usize::from(self.seat.parties) - 1;
        let Some(mailbox) = mailbox.filter(complete) else { return Err(Pause::Step(read)) };
        let mut culprits = Vec::new();
        let mut parts = vec![None; usize::from(self.seat.parties)];
        for message in &mailbox.received {
            if let Some(part) = parts.get_mut(usize::from(message.sender)) {
                *part = message.data.as_deref().and_then(decode);
            }
        }
        for (party, part) in (0..self.seat.parties).zip(&parts).filter(|(party, _)| *party != self.seat.index) {
            match part {
                Some(part) => add(&mut held, part),
                None => culprits.push(party),
            }
        }
        blame("no share for this party", culprits)?;
        Ok(held)
    }

    fn others(&self) -> impl Iterator<Item = u16> {
        (0..self.seat.parties).filter(|party| *party != self.seat.index)
    }

    /// The part for party j: random, drawn from PRF(seed, ctx, i, j, x). With x in it, even a seed that is used twice
    /// gives other parts for another input, whose differences tell nothing.
    fn part(&self, to: u16) -> Pair {
        let input = self.context.hash("statistics/share").value(&self.seat.index).value(&to).value(&*self.input);
        let random = self.seed.derive(&input.finish());
        let (first, _) = random.split_at(MESSAGE_BYTES);
        decode(first).expect("the first 32 of 64 bytes are 32 bytes")
    }

    /// (x, x²) minus all other parts.
    fn own_part(&self) -> Pair {
        let input = u128::from(*self.input);
        let mut own = Zeroizing::new([input, input * input]);
        for to in self.others() {
            let part = self.part(to);
            own.iter_mut().zip(part.iter()).for_each(|(own, part)| *own = own.wrapping_sub(*part));
        }
        own
    }
}

fn add(to: &mut Pair, part: &Pair) {
    to.iter_mut().zip(part.iter()).for_each(|(to, part)| *to = to.wrapping_add(*part));
}

/// Two little-endian numbers of 16 bytes.
fn encode(pair: &Pair) -> Zeroizing<[u8; MESSAGE_BYTES]> {
    let mut bytes = Zeroizing::new([0; MESSAGE_BYTES]);
    let [first, second] = **pair;
    let (low, high) = bytes.split_at_mut(16);
    low.copy_from_slice(&first.to_le_bytes());
    high.copy_from_slice(&second.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Pair> {
    let (first, second) = bytes.split_at_checked(16)?;
    let number = |half: &[u8]| Some(u128::from_le_bytes(half.try_into().ok()?));
    Some(Zeroizing::new([number(first)?, number(second)?]))
}

impl Protocol for Statistics {
    type Output = Summary;

    fn next_message(&self, messages: &Messages) -> Result<Step<Summary>, Abort> {
        step(self.run(messages))
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics")
            .field("seat", &self.seat)
            .field("first_round", &self.first_round)
            .finish_non_exhaustive()
    }
}
