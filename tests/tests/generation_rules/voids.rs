//! Runs that come to nothing, and the keys after the first.

use crate::{assert_can_sign, assert_endorsed, kit::Cluster};
use bls::{Domain, GroupKey, Signature};
use ledger::{Block, Outcome, State, Submitted};
use std::collections::BTreeSet;
use white_city_tests::generation::newest;
use wire::{
    Code, ExchangeKey, Generation, GenerationPhase, GenerationStep, Operation,
    limits::{GENERATION_PHASE_MS, RENEWAL_PAUSE_MS},
};

/// A board on which one block follows the other.
pub struct Board {
    pub cluster: Cluster,
    pub state: State,
    pub now_ms: u64,
    done: Vec<(Block, Outcome)>,
}

impl Board {
    pub fn new(k: u16) -> Self {
        let cluster = Cluster::new(k);
        Self { state: cluster.genesis(), cluster, now_ms: 1_000, done: Vec::new() }
    }

    pub fn run(&self) -> &Generation {
        newest(&self.state)
    }

    /// A block of these operations, `after_ms` after the last.
    pub fn apply(&mut self, operations: Vec<Submitted>, after_ms: u64) -> Vec<Code> {
        self.now_ms += after_ms;
        let block = Block { height: self.state.height() + 1, time_ms: self.now_ms, operations };
        let outcome = self.state.apply(&block);
        let codes = outcome.receipts.iter().map(|receipt| receipt.code).collect();
        self.done.push((block, outcome));
        codes
    }

    /// A block in which these nodes do what is due.
    pub fn steps(&mut self, nodes: impl IntoIterator<Item = u16>) -> Vec<Code> {
        let run = self.run().clone();
        let due = |node| Some((node, self.cluster.nodes.due(node, &self.state)?));
        let due: Vec<(u16, GenerationStep)> = nodes.into_iter().filter_map(due).collect();
        let operations = due.into_iter().map(|(node, step)| self.cluster.nodes.submit(node, &run, step)).collect();
        self.apply(operations, 1)
    }

    /// One step of a node, in a block of its own.
    pub fn step(&mut self, node: u16, step: GenerationStep) -> Code {
        let run = self.run().clone();
        let operation = self.cluster.nodes.submit(node, &run, step);
        self.apply(vec![operation], 1)[0]
    }

    pub fn deal(&mut self, node: u16, victims: &[u16]) -> Code {
        let dealing = self.cluster.nodes.dealing(node, self.run(), &victims.iter().copied().collect::<BTreeSet<_>>());
        self.step(node, GenerationStep::Deal { dealing })
    }

    /// Lets the phase's deadline pass.
    pub fn pass_deadline(&mut self) {
        self.apply(vec![], 1);
        let deadline_ms = self.state.next_deadline().expect("a deadline runs");
        self.apply(vec![], deadline_ms - self.now_ms);
    }

    /// Everybody does everything until the key is there.
    pub fn finish(&mut self) {
        for _ in 0..4 {
            self.steps(0..self.cluster.nodes.count());
        }
        assert_eq!(self.run().phase, GenerationPhase::Done);
    }

    pub fn by(&mut self, node: u16, operation: Operation) -> Code {
        let operation = self.cluster.nodes.sign(node, operation);
        self.apply(vec![operation], 1)[0]
    }

    pub fn assert_restores_everywhere(&self) {
        (0..self.done.len()).for_each(|stop| self.cluster.assert_restores(&self.done, stop));
    }
}

#[test]
fn the_first_clock_of_a_chain_starts_with_the_second_block() {
    let mut board = Board::new(4);
    assert!(board.state.is_clock_pending());
    board.apply(vec![], 0);
    assert_eq!((board.run().deadline_ms, board.state.is_clock_pending()), (None, true));
    board.apply(vec![], 1_000_000);
    assert_eq!(board.run().deadline_ms, Some(board.now_ms + GENERATION_PHASE_MS));
    assert_eq!(board.state.next_deadline(), board.run().deadline_ms);
    board.assert_restores_everywhere();
}

#[test]
fn past_its_deadline_a_phase_waits_for_2f_plus_1_and_no_clock_runs() {
    let mut board = Board::new(4);
    board.steps([0, 1]);
    board.pass_deadline();
    assert_eq!((board.run().phase, board.run().overdue), (GenerationPhase::Dealing, true));
    assert_eq!((board.state.next_deadline(), board.state.is_clock_pending()), (None, false));
    board.apply(vec![], 1_000_000);
    assert_eq!(board.run().phase, GenerationPhase::Dealing);
    assert_eq!(board.steps([2]), [Code::Accepted]);
    assert_eq!((board.run().phase, board.run().overdue), (GenerationPhase::Checking, false));
    board.steps([1, 2]);
    board.pass_deadline();
    assert_eq!(board.run().phase, GenerationPhase::Checking);
    // Node 3 is late to deal, but checks and endorses.
    let late = board.cluster.nodes.dealing(3, board.run(), &BTreeSet::new());
    assert_eq!(board.step(3, GenerationStep::Deal { dealing: late }), Code::WrongStep);
    board.steps([3]);
    assert_eq!(board.run().phase, GenerationPhase::Endorsing, "nobody is accused, so that nobody has to answer");
    assert_eq!(board.run().qualified, [0, 1, 2]);
    board.apply(vec![], 1_000_000_000);
    assert_eq!(board.state.next_deadline(), None, "nodes vouch for it as long as it takes");
    board.finish();
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
    board.assert_restores_everywhere();
}

/// f nodes are silent and f + 1 deal badly and do not answer: f dealings are left, of which nobody knows that one is an honest node's.
#[test]
fn a_run_with_too_few_good_dealings_is_void_and_the_next_begins_empty() {
    let mut board = Board::new(4);
    board.deal(0, &[1, 2]);
    board.deal(1, &[3]);
    board.steps([2]);
    board.pass_deadline();
    board.steps([2, 3]);
    assert_eq!(board.steps([1]), [Code::Accepted]);
    board.pass_deadline();
    assert_eq!(board.run().phase, GenerationPhase::Answering);
    assert!(!board.run().must_answer(0) && board.run().must_answer(1) && !board.run().must_answer(2));
    let before = board.run().clone();
    board.pass_deadline();
    let fresh = Generation::new(1, 1, before.exchange_keys.clone());
    assert_eq!(*board.run(), fresh);
    let late = board.cluster.nodes.due(0, &board.state).unwrap();
    let old = Generation { attempt: 0, ..fresh };
    let operation = board.cluster.nodes.submit(0, &old, late);
    assert_eq!(board.apply(vec![operation], 1), [Code::WrongGeneration]);
    board.finish();
    assert_eq!((board.run().attempt, board.run().epoch), (1, 1));
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
    board.assert_restores_everywhere();
}

/// Who answers counts, and its victims take what it has published.
#[test]
fn a_bad_dealer_that_answers_is_qualified_and_its_victims_have_their_shares() {
    let mut board = Board::new(4);
    board.deal(0, &[3]);
    board.steps(1..4);
    board.steps(0..4);
    assert_eq!(board.run().phase, GenerationPhase::Answering);
    assert_eq!(board.steps([0]), [Code::Accepted]);
    assert_eq!(board.run().qualified, [0, 1, 2, 3]);
    board.finish();
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
    board.assert_restores_everywhere();
}

/// The negative of a compressed point has the sign bit flipped. Nobody accuses, though shares of no polynomial can be right here.
#[test]
fn dealings_that_cancel_out_make_no_key() {
    let mut board = Board::new(2);
    let dealing = board.cluster.nodes.dealing(0, board.run(), &BTreeSet::new());
    let mut negative = dealing.clone();
    negative.commitments.iter_mut().for_each(|point| point.0[0] ^= 0x20);
    assert_eq!(board.step(0, GenerationStep::Deal { dealing }), Code::Accepted);
    assert_eq!(board.step(1, GenerationStep::Deal { dealing: negative }), Code::Accepted);
    for node in [0, 1] {
        assert_eq!(board.step(node, GenerationStep::Check { accused: vec![] }), Code::Accepted);
    }
    assert_eq!((board.run().attempt, board.run().phase), (1, GenerationPhase::Dealing));
    board.finish();
}

#[test]
fn the_next_key_follows_from_the_one_before() {
    let mut board = Board::new(4);
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::WrongGeneration, "the first is not there yet");
    board.finish();
    let first = board.state.newest_keys().unwrap().clone();
    for epoch in [0, 1, 3, u64::MAX] {
        assert_eq!(board.by(0, Operation::RenewKey { epoch }), Code::WrongGeneration);
    }
    let operation = Operation::ReplaceExchangeKey { key: ExchangeKey([77; 32]) };
    assert_eq!(board.by(3, operation.clone()), Code::Accepted);
    assert_eq!(board.by(3, operation), Code::DuplicateSame);
    assert_eq!(board.run().exchange_keys[3], ExchangeKey([3; 32]), "what was dealt was sealed to the old one");
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::WrongGeneration);
    assert_eq!(board.run().exchange_keys[3], ExchangeKey([77; 32]));
    board.steps(0..4);
    board.steps(0..4);
    let record = board.run().record.clone().unwrap();
    assert_eq!((record.epoch, record.first_height), (2, board.state.height() + 1));
    assert_eq!(board.state.newest_keys(), Some(&first), "it is in force once it is vouched for");
    // A node without a share of the key before vouches for the record alone, which is not enough.
    let run = board.run().clone();
    let GenerationStep::Endorse { signature, .. } = board.cluster.nodes.endorsement(3, &run, None) else { panic!() };
    assert_eq!(board.step(3, GenerationStep::Endorse { signature, partial: None }), Code::Accepted);
    board.steps([1]);
    assert_eq!(board.run().phase, GenerationPhase::Endorsing, "two words, but one share of the key before");
    board.steps([2]);
    assert_eq!(board.run().phase, GenerationPhase::Done);
    assert_endorsed(&board.cluster, board.run());
    let second = board.state.newest_keys().unwrap();
    assert_eq!(second.endorsements.iter().map(|endorsement| endorsement.node).collect::<Vec<_>>(), [1, 2]);
    let key = GroupKey::from_bytes(&first.record.group_key.0).unwrap();
    let signature = Signature::from_bytes(&second.previous.unwrap().0).unwrap();
    let message = record.succession_message(&board.cluster.parameters.chain);
    key.verify(Domain::KeyRecord, &message.0, &signature).unwrap();
    assert_ne!(second.record.group_key, first.record.group_key);
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
    board.assert_restores_everywhere();
}

#[test]
fn a_node_renews_only_a_key_that_has_been_in_force_for_a_while() {
    let mut board = Board::new(4);
    board.finish();
    assert_eq!(board.by(1, Operation::RenewKey { epoch: 2 }), Code::TooEarly);
    let deadline_ms = board.run().deadline_ms.unwrap();
    board.apply(vec![], deadline_ms - board.now_ms - 2);
    assert_eq!(board.by(1, Operation::RenewKey { epoch: 2 }), Code::TooEarly);
    assert!(deadline_ms > RENEWAL_PAUSE_MS);
    assert_eq!(board.state.next_deadline(), Some(deadline_ms), "an idle chain is brought to that time");
    assert_eq!(board.by(1, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    board.finish();
    assert_eq!(board.run().epoch, 2);
    board.assert_restores_everywhere();
}
