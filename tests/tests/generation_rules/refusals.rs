//! What is refused, with its code, and changes nothing.

use crate::voids::Board;
use ledger::{LedgerError, State};
use std::collections::BTreeSet;
use white_city_tests::samples;
use wire::{
    Code, ExchangeKey, G1Bytes, G2Bytes, Generation, GenerationPhase, GenerationStep, Hash, Operation, PublishedShare,
    ScalarBytes, Signature, Signed,
};

impl Board {
    fn refuses(&mut self, node: u16, step: GenerationStep, code: Code) {
        let root = self.state.root();
        let run = self.run().clone();
        let operation = self.cluster.nodes.submit(node, &run, step);
        let ledger::Submitted::Verified(verified, _) = &operation else { panic!("it is signed") };
        assert_eq!(self.state.check(verified), Err(code));
        assert_eq!(self.apply(vec![operation], 0), [code]);
        assert_eq!(self.state.root(), root);
    }
}

/// A board on which the first clock runs, so that a block that refuses everything changes nothing.
fn begun(k: u16) -> Board {
    let mut board = Board::new(k);
    board.apply(vec![], 1);
    board.apply(vec![], 1);
    board
}

#[test]
fn strangers_have_no_say() {
    let mut board = begun(4);
    let chain = board.cluster.parameters.chain.clone();
    // These are no points: whoever decodes them says so.
    let mut dealing = board.cluster.nodes.dealing(0, board.run(), &BTreeSet::new());
    dealing.commitments.fill(G2Bytes([0xFF; 96]));
    let step = Box::new(GenerationStep::Deal { dealing });
    let key = ExchangeKey([1; 32]);
    for operation in [
        Operation::Generate { epoch: 1, attempt: 0, step },
        Operation::RenewKey { epoch: 2 },
        Operation::ReplaceExchangeKey { key },
    ] {
        let signed = Signed::sign(&samples::keypair(99), chain.clone(), operation, samples::rng());
        assert_eq!(board.state.check(&signed.verify(&chain).unwrap()), Err(Code::NotPermitted));
    }
    let other_run = |epoch, attempt| Generation { epoch, attempt, ..Generation::new(1, 0, vec![]) };
    for run in [other_run(0, 0), other_run(1, 1), other_run(2, 0)] {
        let step = board.cluster.nodes.due(0, &board.state).unwrap();
        let operation = board.cluster.nodes.submit(0, &run, step);
        assert_eq!(board.apply(vec![operation], 0), [Code::WrongGeneration]);
    }
}

#[test]
fn there_are_no_sessions_before_the_first_key() {
    let mut board = Board::new(4);
    let create = || Operation::CreateSession { spec: Box::new(samples::plain_spec()), nonce: samples::NONCE };
    assert_eq!(board.by(0, create()), Code::NotReady);
    board.steps(0..4);
    board.steps(0..4);
    assert_eq!((board.run().phase, board.by(0, create())), (GenerationPhase::Endorsing, Code::NotReady));
    board.finish();
    assert_eq!(board.by(0, create()), Code::Accepted);
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    assert_eq!(board.by(0, create()), Code::DuplicateSame);
    let other = Operation::CreateSession { spec: Box::new(samples::plain_spec()), nonce: Hash([9; 32]) };
    assert_eq!(board.by(0, other), Code::Accepted, "also while the next one is made");
}

#[test]
fn bad_dealings_are_refused() {
    let mut board = begun(4);
    let good = board.cluster.nodes.dealing(0, board.run(), &BTreeSet::new());
    let mut no_points = good.clone();
    no_points.commitments[1] = G2Bytes([0xFF; 96]);
    let mut identity = good.clone();
    identity.commitments[1].0 = [0; 96];
    identity.commitments[1].0[0] = 0xC0;
    let seven = crate::Cluster::new(7);
    let of_seven = seven.nodes.dealing(0, &Generation::new(1, 0, vec![ExchangeKey([0; 32]); 7]), &BTreeSet::new());
    let mut three = good.clone();
    three.shares.pop();
    three.commitments.pop();
    for dealing in [no_points, identity, of_seven] {
        board.refuses(0, GenerationStep::Deal { dealing }, Code::BadDealing);
    }
    board.refuses(0, GenerationStep::Deal { dealing: three }, Code::BadDealing);
    let mut long = good.clone();
    long.shares[0].0.push(0);
    board.refuses(0, GenerationStep::Deal { dealing: long }, Code::Malformed);
    board.refuses(0, GenerationStep::Check { accused: vec![] }, Code::WrongStep);
    assert_eq!(board.step(0, GenerationStep::Deal { dealing: good.clone() }), Code::Accepted);
    board.refuses(0, GenerationStep::Deal { dealing: good.clone() }, Code::DuplicateSame);
    let mut no_points = good.clone();
    no_points.commitments.fill(G2Bytes([0xFF; 96]));
    board.refuses(0, GenerationStep::Deal { dealing: no_points }, Code::DuplicateDifferent);
    let mut other = good;
    other.ephemeral = ExchangeKey([1; 32]);
    board.refuses(0, GenerationStep::Deal { dealing: other }, Code::DuplicateDifferent);
}

#[test]
fn bad_accusations_and_answers_are_refused() {
    let mut board = begun(4);
    board.deal(0, &[1]);
    board.deal(1, &[]);
    board.deal(2, &[]);
    board.pass_deadline();
    board.apply(vec![], 1);
    for accused in [vec![2], vec![3], vec![4], vec![0, u16::MAX]] {
        let by = if accused == [2] { 2 } else { 1 };
        board.refuses(by, GenerationStep::Check { accused }, Code::BadAccusation);
    }
    board.refuses(1, GenerationStep::Check { accused: vec![2, 0] }, Code::Malformed);
    assert_eq!(board.steps(0..4), [Code::Accepted; 4]);
    board.apply(vec![], 1);
    assert_eq!(board.run().phase, GenerationPhase::Answering);
    let right = board.cluster.nodes.answers(0, board.run());
    let share = |recipient, share: ScalarBytes| PublishedShare { recipient, share };
    let wrong = ScalarBytes([0x42; 32]);
    for shares in [
        vec![share(1, wrong)],
        vec![share(2, right[0].share)],
        vec![share(1, ScalarBytes([0; 32]))],
        vec![share(1, ScalarBytes([0xFF; 32]))],
        vec![share(1, right[0].share), share(2, wrong)],
    ] {
        board.refuses(0, GenerationStep::Answer { shares }, Code::BadAnswer);
    }
    board.refuses(0, GenerationStep::Answer { shares: vec![] }, Code::Malformed);
    board.refuses(2, GenerationStep::Answer { shares: right }, Code::WrongStep);
    board.refuses(2, GenerationStep::Check { accused: vec![] }, Code::DuplicateSame);
    board.refuses(2, GenerationStep::Check { accused: vec![0] }, Code::DuplicateDifferent);
}

#[test]
fn bad_endorsements_are_refused() {
    let mut board = begun(4);
    board.steps(0..4);
    board.steps(0..4);
    let run = board.run().clone();
    let word = |board: &mut Board, node| {
        let GenerationStep::Endorse { signature, .. } = board.cluster.nodes.endorsement(node, &run, None) else {
            panic!()
        };
        signature
    };
    let (own, others) = (word(&mut board, 0), word(&mut board, 1));
    for signature in [others, Signature([0; 64])] {
        board.refuses(0, GenerationStep::Endorse { signature, partial: None }, Code::BadSignature);
    }
    let partial = Some(G1Bytes([0x99; 48]));
    board.refuses(0, GenerationStep::Endorse { signature: own, partial }, Code::BadPartial);
    assert_eq!(board.step(0, GenerationStep::Endorse { signature: own, partial: None }), Code::Accepted);
    board.refuses(0, GenerationStep::Endorse { signature: own, partial: None }, Code::DuplicateSame);
    board.refuses(0, GenerationStep::Endorse { signature: own, partial }, Code::DuplicateDifferent);
    board.finish();
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    board.steps(0..4);
    board.steps(0..4);
    let (run, before) = (board.run().clone(), board.state.generations()[&1].clone());
    let mut step = |node| board.cluster.nodes.endorsement(node, &run, Some(&before));
    let (GenerationStep::Endorse { signature, .. }, GenerationStep::Endorse { partial, .. }) = (step(0), step(1))
    else {
        panic!()
    };
    board.refuses(0, GenerationStep::Endorse { signature, partial }, Code::BadPartial);
}

#[test]
fn stored_generations_that_cannot_be_are_not_taken() {
    let mut board = Board::new(4);
    board.finish();
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    let stored: Vec<Generation> = board.state.generations().values().cloned().collect();
    let restore = |generations: Vec<Generation>| {
        State::restore(board.cluster.parameters.clone(), 9, [], [], [], [], [], generations).map(drop)
    };
    assert_eq!(restore(stored.clone()), Ok(()));
    let wrong = |epoch| Err(LedgerError::WrongGeneration { epoch });
    let (first, second) = (stored[0].clone(), stored[1].clone());
    assert_eq!(restore(vec![second.clone()]), wrong(2));
    assert_eq!(restore(vec![first.clone(), first.clone()]), wrong(1));
    assert_eq!(restore(vec![Generation { epoch: 1, ..second.clone() }, second.clone()]), wrong(2));
    assert_eq!(restore(vec![Generation { endorsed: None, ..first.clone() }]), wrong(1));
    assert_eq!(restore(vec![Generation { record: None, ..first.clone() }]), wrong(1));
    assert_eq!(restore(vec![Generation { public_shares: vec![G2Bytes([0; 96]); 4], ..first.clone() }]), wrong(1));
    assert_eq!(restore(vec![Generation { checks: vec![], ..first }]), wrong(1));
}
