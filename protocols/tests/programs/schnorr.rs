//! Key generation and signing among honest parties.

use crate::setup::{key_generation, outputs, program, run, seat, seed, shares, sign, signing};
use client_sdk::protocol::{Abort, Messages, Protocol, Step};
use protocols::{
    ProtocolError,
    local::{Ending, run_local},
    schnorr::{Execution, KeyGeneration, KeyShare, PublicKey, Signature, Signing},
};
use ring::signature::{ED25519, UnparsedPublicKey};
use std::collections::BTreeSet;
use wire::Hash;

fn accepted_elsewhere(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature.as_bytes()).is_ok()
}

#[test]
fn other_verifiers_accept_the_signature_and_refuse_a_changed_file() {
    for parties in [1, 2, 5, 16] {
        let shares = shares(parties);
        let key = shares[0].public_key();
        assert!(shares.iter().all(|share| share.public_key() == key));
        let message = format!("signed by {parties}").into_bytes();
        let signatures = sign(&shares, 0, &message, 1, u64::from(parties));
        assert!(signatures.iter().all(|signature| *signature == signatures[0]), "all parties have the same");
        assert_eq!(key.verify(&message, &signatures[0]), Ok(()));
        assert!(accepted_elsewhere(&key, &message, &signatures[0]));
        assert!(!accepted_elsewhere(&key, b"another file", &signatures[0]));
    }
}

#[test]
fn empty_and_long_messages_are_signed() {
    let shares = shares(2);
    for message in [vec![], vec![5; 1_000_000]] {
        let signature = sign(&shares, 0, &message, 2, 1)[0];
        assert!(accepted_elsewhere(&shares[0].public_key(), &message, &signature));
    }
}

#[test]
fn whatever_the_order_of_writes_all_parties_answer_one_challenge() {
    let shares = shares(5);
    let mut nonces = BTreeSet::new();
    for order in 0..12 {
        let signatures = sign(&shares, 0, b"m", 3, order);
        assert!(signatures.iter().all(|signature| *signature == signatures[0]), "order {order}");
        nonces.insert(signatures[0].as_bytes()[..32].to_vec());
    }
    assert!(nonces.len() > 1, "another order of the first round gives other nonces, though the seeds are the same");
}

#[test]
fn no_nonce_appears_twice() {
    let shares = shares(3);
    let mut nonces = BTreeSet::new();
    for purpose in 10..13 {
        for number in 0..3 {
            for message in [b"one", b"two"] {
                let signature = sign(&shares, number, message, purpose, 5)[0];
                assert!(nonces.insert(signature.as_bytes()[..32].to_vec()), "{purpose} {number} {message:?}");
            }
        }
    }
}

/// Two boards that agree on the first round and differ in the commitments: what only nodes that lie together could show, to one
/// party at two times.
#[test]
fn a_run_that_is_shown_two_boards_answers_one_of_them() {
    let shares = shares(2);
    let party = signing(&shares[0], 0, b"m", 20);
    let [first, second] = [21, 22].map(|purpose| signing(&shares[1], 0, b"m", purpose));
    let on = |other: &Signing| run_local(&[&party as &dyn Protocol<Output = Signature>, other], 1).unwrap();
    outputs(on(&first));
    match &on(&second)[..] {
        [Ending::Aborted(abort), Ending::Waiting { round: 4, missing, .. }] => {
            assert!(abort.reason.contains("another challenge"), "{abort}");
            assert_eq!((abort.culprits.as_slice(), missing.as_slice()), (&[][..], &[0][..]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(outputs(on(&first)).len(), 2, "the board that was answered first still is");
}

#[test]
fn a_party_that_returns_with_another_seed_stops() {
    let shares = shares(2);
    let programs = [signing(&shares[0], 0, b"m", 30), signing(&shares[1], 0, b"m", 31)];
    let recorder = Recorder { inner: &programs[0], last: Default::default() };
    outputs(run_local(&[&recorder as &dyn Protocol<Output = Signature>, &programs[1]], 1).unwrap());
    let board = recorder.last.into_inner();
    assert!(matches!(programs[0].next_message(&board), Ok(Step::Output(_))), "with its own seed it has its output");
    let returned = signing(&shares[0], 0, b"m", 32);
    let abort = returned.next_message(&board).unwrap_err();
    assert!(abort.reason.contains("not what its seed gives") && abort.culprits.is_empty(), "{abort}");
}

/// Remembers what its program was last shown.
struct Recorder<'a> {
    inner: &'a Signing,
    last: std::cell::RefCell<Messages>,
}

impl Protocol for Recorder<'_> {
    type Output = Signature;

    fn next_message(&self, messages: &Messages) -> Result<Step<Signature>, Abort> {
        self.last.replace(messages.clone());
        self.inner.next_message(messages)
    }
}

/// Key generation and two signings one after the other over one board.
struct Sequence(u16);

impl Protocol for Sequence {
    type Output = (KeyShare, Vec<Signature>);

    fn next_message(&self, messages: &Messages) -> Result<Step<Self::Output>, Abort> {
        let share = match key_generation(3, self.0).next_message(messages)? {
            Step::Output(share) => share,
            step => return Ok(relabel(step)),
        };
        let mut signatures = Vec::new();
        for number in 0..2 {
            match signing(&share, number, b"m", 40).next_message(messages)? {
                Step::Output(signature) => signatures.push(signature),
                step => return Ok(relabel(step)),
            }
        }
        Ok(Step::Output((share, signatures)))
    }
}

fn relabel<A, B>(step: Step<A>) -> Step<B> {
    match step {
        Step::Broadcast { round, data } => Step::Broadcast { round, data },
        Step::P2p { round, to, data } => Step::P2p { round, to, data },
        Step::Read { kind, round, count } => Step::Read { kind, round, count },
        Step::Output(_) => panic!("an output is no step to relabel"),
    }
}

#[test]
fn executions_follow_each_other_in_one_session() {
    let finished = outputs(run(&[Sequence(0), Sequence(1), Sequence(2)], 9));
    let (share, signatures) = &finished[0];
    for signature in signatures {
        assert!(accepted_elsewhere(&share.public_key(), b"m", signature));
    }
    assert_ne!(signatures[0], signatures[1], "same message, same seeds, another execution: another nonce");
    assert_eq!(Execution::Signing(1).end_round(), Ok(9), "as many rounds as the session must allow");
}

#[test]
fn a_stored_share_signs_in_another_session_of_the_same_parties() {
    let shares: Vec<KeyShare> =
        shares(2).iter().map(|share| KeyShare::from_bytes(&share.to_bytes()).unwrap()).collect();
    let elsewhere = |share: &KeyShare| {
        let mut seat = seat(2, share.index());
        seat.session.0 = [77; 32];
        Signing::new(seat, &program(), 3, share.clone(), b"m".to_vec(), seed(50, share.index())).unwrap()
    };
    let programs: Vec<Signing> = shares.iter().map(elsewhere).collect();
    let signature = outputs(run(&programs, 2))[0];
    assert!(accepted_elsewhere(&shares[0].public_key(), b"m", &signature));
}

#[test]
fn a_share_serves_no_other_seat() {
    let share = shares(3).remove(1);
    let mut other_list = seat(3, 1);
    other_list.list = Hash([9; 32]);
    for (seat, index) in [(seat(3, 0), 0), (seat(4, 1), 1), (other_list, 1)] {
        let refused = Signing::new(seat, &program(), 0, share.clone(), vec![], seed(60, 1));
        assert_eq!(refused.map(|_| ()), Err(ProtocolError::ForeignShare { share: 1, seat: index }));
    }
    let refused = KeyGeneration::new(seat(3, 3), &program(), seed(60, 1));
    assert_eq!(refused.map(|_| ()), Err(ProtocolError::Seat { index: 3, parties: 3 }));
}

#[test]
fn printed_programs_show_no_secret() {
    let share = shares(2).remove(0);
    let text = format!("{:?} {:?} {:?}", key_generation(2, 0), signing(&share, 0, b"m", 100), seed(100, 0));
    assert!(!text.contains("secret") && !text.contains("nonce") && text.contains("Seed(..)"), "{text}");
}
