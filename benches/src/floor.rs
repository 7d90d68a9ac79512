//! The floor: what the parties' computation alone takes, in one process, without any network, encryption or proofs of the board.

use crate::meter::timed;
use client_sdk::{
    Identity,
    protocol::{Messages, Protocol, Received, Round, Seat, Step},
};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signing},
};
use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use white_city_tests::signing;
use wire::{Hash, MailboxKind, PublicKey, SessionId, Signature, signed};

/// Seconds of processor time for all parties together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// n.
    pub parties: usize,
    /// Key generation, checked in one batch by each party.
    pub generation: f64,
    /// Signing, likewise.
    pub signing: f64,
    /// Each party checks the signatures of all senders of one round, in one batch.
    pub signatures: f64,
}

impl Floor {
    /// Measures it with `n` parties.
    ///
    /// # Panics
    /// If anything fails.
    pub fn measure(n: usize) -> Self {
        let seats: Vec<Seat> = (0..n).map(|index| seat(index, n)).collect();
        let generation = |seat: &Seat| {
            KeyGeneration::new(seat.clone(), &signing::program(), Seed::random(&mut OsRng)).expect("a sound seat")
        };
        let (shares, generation) = timed(|| run(&seats.iter().map(generation).collect::<Vec<_>>()));
        let signer = |(seat, share): (&Seat, KeyShare)| {
            let seed = Seed::random(&mut OsRng);
            Signing::new(seat.clone(), &signing::program(), 0, share, b"a file".to_vec(), seed).expect("a sound seat")
        };
        let signers: Vec<Signing> = seats.iter().zip(shares).map(signer).collect();
        let (signatures, signing) = timed(|| run(&signers));
        assert!(signatures.windows(2).all(|pair| pair[0].as_bytes() == pair[1].as_bytes()), "all have the same");
        Self { parties: n, generation, signing, signatures: sender_signatures(n) }
    }
}

fn seat(index: usize, n: usize) -> Seat {
    let small = |number: usize| u16::try_from(number).expect("few parties");
    let chain = "floor".parse().expect("five lowercase letters are a chain id");
    Seat { chain, session: SessionId([1; 32]), list: Hash([2; 32]), parties: small(n), index: small(index) }
}

/// Lets programs of broadcast rounds run, in step: all write, then all read.
fn run<P: Protocol>(programs: &[P]) -> Vec<P::Output> {
    let mut parties: Vec<Messages> = programs.iter().map(|_| Messages::default()).collect();
    loop {
        let (mut round, mut sent, mut outputs) = (0, Vec::new(), Vec::new());
        for (program, messages) in programs.iter().zip(&mut parties) {
            match program.next_message(messages).expect("nobody cheats") {
                Step::Broadcast { round: at, data } => {
                    round = at;
                    messages.insert_broadcast(at, data.clone());
                    let sender = u16::try_from(sent.len()).expect("few parties");
                    sent.push(Received { sender, data: Some(data) });
                    assert!(matches!(program.next_message(messages), Ok(Step::Read { .. })), "it reads what it wrote");
                }
                Step::Output(output) => outputs.push(output),
                _ => panic!("a program of broadcast rounds"),
            }
        }
        if outputs.len() == programs.len() {
            return outputs;
        }
        assert_eq!(sent.len(), programs.len(), "all are in the same round");
        for messages in &mut parties {
            let received = Round { head: Hash([3; 32]), received: sent.clone() };
            messages.insert_round(MailboxKind::Broadcast, round, received);
        }
    }
}

/// Seconds of processor time to check the signatures of n senders n times.
///
/// # Panics
/// If one is bad.
pub fn sender_signatures(n: usize) -> f64 {
    let (chain, payload) = ("floor".parse().expect("a chain id"), wire::Bytes(vec![7; 96]));
    let entry = |_| {
        let mailbox = wire::MailboxId { session: SessionId([1; 32]), kind: MailboxKind::Broadcast, round: 0 };
        let digest = wire::message_digest(&payload.0);
        let operation = wire::Operation::Write { mailbox, digest, length: payload.length(), recipients: 0 };
        let signed = Identity::generate(&mut OsRng).sign(&chain, operation, OsRng);
        (signed.author, signed.digest(), signed.signature)
    };
    let entries: Vec<(PublicKey, Hash, Signature)> = (0..n).map(entry).collect();
    timed(|| (0..n).for_each(|_| signed::check_batch(&entries, OsRng).expect("all are valid"))).1
}
