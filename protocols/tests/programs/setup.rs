//! Seats, seeds, and programs wrapped so that they cheat or are asked twice.

use client_sdk::protocol::{Abort, Messages, Protocol, Seat, Step};
use protocols::{
    Seed,
    local::{Ending, run_local},
    schnorr::{KeyGeneration, KeyShare, Signature, Signing},
};
use std::{cell::RefCell, fmt::Debug};
use wire::{Hash, MailboxKind, Program, SessionId};

pub(crate) fn program() -> Program {
    Program { name: "test".into(), version: "1".into(), digest: Hash([3; 32]) }
}

pub(crate) fn seat(parties: u16, index: u16) -> Seat {
    Seat { chain: "test-1".parse().unwrap(), session: SessionId([1; 32]), list: Hash([2; 32]), parties, index }
}

/// A seed for one purpose of one party.
pub(crate) fn seed(purpose: u8, index: u16) -> Seed {
    let mut bytes = [purpose; 32];
    bytes[..2].copy_from_slice(&index.to_le_bytes());
    Seed::new(bytes)
}

/// Runs programs of one type, each asked several times for every step.
pub(crate) fn run<P: Protocol>(programs: &[P], order: u64) -> Vec<Ending<P::Output>>
where
    P::Output: PartialEq + Debug,
{
    let programs: Vec<Repeated<'_, P>> = programs.iter().map(Repeated).collect();
    let parties: Vec<&dyn Protocol<Output = P::Output>> = programs.iter().map(|program| program as _).collect();
    run_local(&parties, order).unwrap()
}

pub(crate) fn outputs<O: Debug>(endings: Vec<Ending<O>>) -> Vec<O> {
    let output = |ending| match ending {
        Ending::Output(output) => output,
        other => panic!("no output: {other:?}"),
    };
    endings.into_iter().map(output).collect()
}

pub(crate) fn key_generation(parties: u16, index: u16) -> KeyGeneration {
    KeyGeneration::new(seat(parties, index), &program(), seed(100, index)).unwrap()
}

pub(crate) fn shares(parties: u16) -> Vec<KeyShare> {
    let programs: Vec<KeyGeneration> = (0..parties).map(|index| key_generation(parties, index)).collect();
    outputs(run(&programs, 7))
}

pub(crate) fn signing(share: &KeyShare, number: u32, message: &[u8], purpose: u8) -> Signing {
    let parties = u16::try_from(share.public_shares().len()).unwrap();
    let index = share.index();
    Signing::new(seat(parties, index), &program(), number, share.clone(), message.to_vec(), seed(purpose, index))
        .unwrap()
}

pub(crate) fn sign(shares: &[KeyShare], number: u32, message: &[u8], purpose: u8, order: u64) -> Vec<Signature> {
    let programs: Vec<Signing> = shares.iter().map(|share| signing(share, number, message, purpose)).collect();
    outputs(run(&programs, order))
}

/// A program that is asked three times for each step and must say the same.
struct Repeated<'a, P>(&'a P);

impl<P: Protocol> Protocol for Repeated<'_, P>
where
    P::Output: PartialEq + Debug,
{
    type Output = P::Output;

    fn next_message(&self, messages: &Messages) -> Result<Step<P::Output>, Abort> {
        let step = self.0.next_message(messages);
        for _ in 0..2 {
            assert_eq!(self.0.next_message(messages), step);
        }
        step
    }
}

/// A party that changes what it sends and goes on as if it had not: `tamper` maps (private recipient, round, data) to what is sent.
pub(crate) struct Cheater<P, F> {
    inner: P,
    index: u16,
    tamper: F,
    honest: RefCell<Messages>,
    rounds: RefCell<Vec<u32>>,
}

impl<P, F> Cheater<P, F> {
    pub(crate) fn new(inner: P, index: u16, tamper: F) -> Self {
        Self { inner, index, tamper, honest: RefCell::default(), rounds: RefCell::default() }
    }
}

impl<P: Protocol, F: Fn(Option<u16>, u32, &[u8]) -> Vec<u8>> Protocol for Cheater<P, F> {
    type Output = P::Output;

    fn next_message(&self, messages: &Messages) -> Result<Step<P::Output>, Abort> {
        let mut view = messages.clone();
        for round in self.rounds.borrow().iter().copied() {
            let honest = self.honest.borrow().sent_broadcast(round).unwrap().to_vec();
            if let Some(mut mailbox) = messages.round(MailboxKind::Broadcast, round).cloned() {
                let own = mailbox.received.iter_mut().find(|message| message.sender == self.index).unwrap();
                own.data = Some(honest.clone());
                view.insert_round(MailboxKind::Broadcast, round, mailbox);
            }
            view.insert_broadcast(round, honest);
        }
        Ok(match self.inner.next_message(&view)? {
            Step::Broadcast { round, data } => {
                let sent = (self.tamper)(None, round, &data);
                self.rounds.borrow_mut().push(round);
                self.honest.borrow_mut().insert_broadcast(round, data);
                Step::Broadcast { round, data: sent }
            }
            Step::P2p { round, to, data } => Step::P2p { round, to, data: (self.tamper)(Some(to), round, &data) },
            step => step,
        })
    }
}

/// Asserts that every party but the culprits has named exactly the culprits.
pub(crate) fn assert_blamed<O: Debug>(endings: &[Ending<O>], culprits: &[u16], case: &str) {
    for (index, ending) in (0u16..).zip(endings).filter(|(index, _)| !culprits.contains(index)) {
        match ending {
            Ending::Aborted(abort) => assert_eq!(abort.culprits, culprits, "{case}, at party {index}: {abort}"),
            other => panic!("{case}, at party {index}: {other:?}"),
        }
    }
}
