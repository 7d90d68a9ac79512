//! One round in which every party broadcasts once and reads all.

use client_sdk::protocol::{Abort, Messages, Round, Seat, Step};
use std::convert::Infallible;
use wire::{Hash, MailboxKind};

/// Why a program has no output yet. With it a program reads like the protocol on paper: `?` wherever it must wait.
#[derive(Debug)]
pub(crate) enum Pause {
    /// Something must be done first; it is no output.
    Step(Step<Infallible>),
    /// The program cannot go on.
    Abort(Abort),
}

impl From<Abort> for Pause {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}

/// Turns a paused or finished run into the answer of `next_message`.
pub(crate) fn step<O>(run: Result<O, Pause>) -> Result<Step<O>, Abort> {
    match run {
        Ok(output) => Ok(Step::Output(output)),
        Err(Pause::Step(step)) => Ok(match step {
            Step::Broadcast { round, data } => Step::Broadcast { round, data },
            Step::P2p { round, to, data } => Step::P2p { round, to, data },
            Step::Read { kind, round, count } => Step::Read { kind, round, count },
            Step::Output(never) => match never {},
        }),
        Err(Pause::Abort(abort)) => Err(abort),
    }
}

/// An abort; culprits are given in ascending order.
pub(crate) fn abort(reason: impl Into<String>, culprits: Vec<u16>) -> Abort {
    Abort { reason: reason.into(), culprits }
}

/// Ends with `reason` if anybody is to blame.
pub(crate) fn blame(reason: &str, culprits: Vec<u16>) -> Result<(), Abort> {
    if culprits.is_empty() { Ok(()) } else { Err(abort(reason, culprits)) }
}

/// The broadcasts of all parties in one round.
#[derive(Debug)]
pub(crate) struct Broadcasts<'a> {
    /// The mailbox's head: as a mailbox takes one entry of each party, no other content of it is complete.
    pub(crate) head: Hash,
    /// In index order, exactly n.
    pub(crate) data: Vec<&'a [u8]>,
}

/// Broadcasts `own` in `round` and reads what all parties broadcast there, this one included.
///
/// That this party's own entry is what its seed gives is checked both before and after, for a party that meets another
/// value of its own runs a second time: with another seed it can go on only wrongly, with the same seed it must not.
pub(crate) fn exchange<'a>(
    seat: &Seat,
    messages: &'a Messages,
    round: u32,
    own: &[u8],
) -> Result<Broadcasts<'a>, Pause> {
    let foreign = || abort(format!("this party's broadcast of round {round} is not what its seed gives"), vec![]);
    match messages.sent_broadcast(round) {
        None => return Err(Pause::Step(Step::Broadcast { round, data: own.to_vec() })),
        Some(sent) if sent != own => return Err(foreign().into()),
        Some(_) => {}
    }
    let Some(mailbox) = complete(seat, messages, round) else { return Err(Pause::Step(read(seat, round))) };
    let mut slots: Vec<Option<&[u8]>> = vec![None; usize::from(seat.parties)];
    for message in &mailbox.received {
        let data = message.data.as_deref().unwrap_or_default();
        match slots.get_mut(usize::from(message.sender)) {
            Some(slot @ None) => *slot = Some(data),
            _ => return Err(abort(format!("the mailbox of round {round} is not one entry a party"), vec![]).into()),
        }
    }
    let data: Vec<&[u8]> = slots.into_iter().flatten().collect();
    if data.get(usize::from(seat.index)).is_none_or(|mine| *mine != own) {
        return Err(foreign().into());
    }
    Ok(Broadcasts { head: mailbox.head, data })
}

/// Goes on waiting, without checking again what came before, if this party has broadcast in `round` and others have not.
pub(crate) fn wait(seat: &Seat, messages: &Messages, round: u32) -> Result<(), Pause> {
    let waiting = messages.sent_broadcast(round).is_some() && complete(seat, messages, round).is_none();
    if waiting { Err(Pause::Step(read(seat, round))) } else { Ok(()) }
}

fn complete<'a>(seat: &Seat, messages: &'a Messages, round: u32) -> Option<&'a Round> {
    let mailbox = messages.round(MailboxKind::Broadcast, round)?;
    (mailbox.received.len() >= usize::from(seat.parties)).then_some(mailbox)
}

fn read(seat: &Seat, round: u32) -> Step<Infallible> {
    Step::Read { kind: MailboxKind::Broadcast, round, count: seat.parties }
}
