//! The generation of the nodes' threshold key, as the ledger has it: whatever up to f nodes do, and in whatever order everything comes, a
//! key comes out whose shares the honest nodes have; and a board that is restored at any point goes on as if nothing had been.

#[path = "generation_rules/cheat.rs"]
mod cheat;
#[path = "generation_rules/flood.rs"]
mod flood;
#[path = "generation_rules/kit.rs"]
mod kit;
#[path = "generation_rules/old.rs"]
mod old;
#[path = "generation_rules/refusals.rs"]
mod refusals;
#[path = "generation_rules/voids.rs"]
mod voids;
#[path = "generation_rules/zero.rs"]
mod zero;

use bls::{Domain, GroupKey, PartialSignature, PublicKeySet};
use kit::{Cluster, Fault};
use ledger::{Block, Outcome, State, Submitted};
use proptest::{collection::vec, prelude::*, sample::Index as Choice, strategy::ValueTree};
use std::collections::{BTreeMap, BTreeSet};
use white_city_tests::generation::{index, newest};
use wire::{Code, Generation, GenerationPhase};

/// So many blocks may pass between a step's being due and its being in one. At [`MAX_STEP_MS`] a block that is well within a phase.
const PATIENCE: usize = 3;
const MAX_STEP_MS: u64 = 2_000;
/// Longest history: three deadlines and all that goes round them.
const MAX_BLOCKS: usize = 80;

/// Plays honest and faulty nodes until the newest key is in force, in an order that `choices` make, and restores the board once.
struct Play<'a> {
    cluster: &'a mut Cluster,
    faults: &'a BTreeMap<u16, Fault>,
    state: State,
    choices: std::iter::Cycle<std::slice::Iter<'a, u16>>,
    waiting: BTreeMap<u16, usize>,
    now_ms: u64,
    done: Vec<(Block, Outcome)>,
}

impl Play<'_> {
    fn choose(&mut self, below: usize) -> usize {
        usize::from(*self.choices.next().unwrap()) % below.max(1)
    }

    /// The steps of the next block: an honest node's soon after it is due, a faulty one's if it wants to, all in any order.
    fn steps(&mut self) -> Vec<Submitted> {
        let mut operations = Vec::new();
        for node in 0..self.cluster.nodes.count() {
            let fault = self.faults.get(&node).cloned();
            let Some(step) = self.cluster.step(node, &self.state, fault.as_ref()) else {
                self.waiting.remove(&node);
                continue;
            };
            let waited = self.waiting.get(&node).copied().unwrap_or(0);
            let now = self.choose(2) == 0 || (fault.is_none() && waited >= PATIENCE);
            if now {
                let run = newest(&self.state).clone();
                let at = self.choose(operations.len() + 1);
                operations.insert(at, self.cluster.nodes.submit(node, &run, step));
                self.waiting.remove(&node);
            } else {
                self.waiting.insert(node, waited + 1);
            }
        }
        operations
    }

    fn block(&mut self) {
        let operations = self.steps();
        self.now_ms += self.choose(MAX_STEP_MS as usize) as u64;
        let block = Block { height: self.state.height() + 1, time_ms: self.now_ms, operations };
        let before = self.state.root();
        let outcome = self.state.apply(&block);
        assert_eq!(outcome.root == before, outcome.events.is_empty(), "the root changes with the board, and only then");
        self.done.push((block, outcome));
    }
}

fn play(cluster: &mut Cluster, faults: &BTreeMap<u16, Fault>, choices: &[u16]) -> (State, Vec<(Block, Outcome)>) {
    let state = cluster.genesis();
    let choices = choices.iter().cycle();
    let mut play = Play { cluster, faults, state, choices, waiting: BTreeMap::new(), now_ms: 1_000, done: vec![] };
    while newest(&play.state).phase != GenerationPhase::Done {
        assert!(play.done.len() < MAX_BLOCKS, "no key: {:?}", newest(&play.state).phase);
        play.block();
    }
    (play.state, play.done)
}

/// The keys of a finished run, from what a client is given and what the board holds.
fn keys(run: &Generation) -> PublicKeySet {
    let keys = ledger::public_keys(run).expect("an outcome");
    let record = &run.endorsed.as_ref().expect("an endorsed outcome").record;
    assert_eq!(*keys.group_key(), GroupKey::from_bytes(&record.group_key.0).unwrap());
    keys
}

/// Any f + 1 of `nodes` can sign under the run's key.
fn assert_can_sign(cluster: &Cluster, run: &Generation, nodes: &[u16]) {
    let (keys, message) = (keys(run), b"a root");
    let partial = |node: &u16| -> (bls::Index, PartialSignature) {
        let share = cluster.nodes.share(*node, run).unwrap_or_else(|| panic!("node {node} has no share"));
        (index(*node), share.partial_sign(Domain::Certificate, message))
    };
    let partials: Vec<_> = nodes.iter().map(partial).collect();
    let needed = cluster.nodes.faults() + 1;
    assert!(partials.len() >= needed);
    for some in partials.windows(needed) {
        let signature = keys.combine(Domain::Certificate, message, &some.iter().copied().collect()).unwrap();
        keys.group_key().verify(Domain::Certificate, message, &signature).unwrap();
    }
}

fn assert_endorsed(cluster: &Cluster, run: &Generation) {
    let endorsed = run.endorsed.as_ref().unwrap();
    endorsed.check_endorsements(&cluster.parameters.chain, &endorsed.record.identities).unwrap();
    assert_eq!(endorsed.endorsements.len(), cluster.nodes.faults() + 1);
    assert!(endorsed.endorsements.is_sorted_by_key(|endorsement| endorsement.node));
}

/// At most f faulty nodes of `k`, and what each does.
fn faults(k: u16) -> impl Strategy<Value = BTreeMap<u16, Fault>> {
    let most = wire::fault_tolerance(usize::from(k));
    vec((0..k, kit::fault(k)), 0..=most).prop_map(|faults| faults.into_iter().collect())
}

fn honest(k: u16, faults: &BTreeMap<u16, Fault>) -> Vec<u16> {
    (0..k).filter(|node| !faults.contains_key(node)).collect()
}

fn check(k: u16, faults: &BTreeMap<u16, Fault>, choices: &[u16], stop: Choice) {
    let mut cluster = Cluster::new(k);
    let (state, done) = play(&mut cluster, faults, choices);
    let (run, honest) = (newest(&state), honest(k, faults));
    assert_eq!(run.attempt, 0, "f nodes cannot make a run void");
    assert!(honest.iter().all(|node| run.qualified.contains(node)), "an honest dealer was disqualified");
    assert_can_sign(&cluster, run, &honest);
    assert_endorsed(&cluster, run);
    let refused =
        done.iter().flat_map(|(_, outcome)| &outcome.receipts).filter(|receipt| receipt.code != Code::Accepted);
    assert!(refused.count() <= faults.len() * MAX_BLOCKS + usize::from(k) * 4);
    cluster.assert_restores(&done, stop.index(done.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn four_nodes_make_a_key_whatever_one_of_them_does(
        faults in faults(4), choices in vec(any::<u16>(), 50..400), stop in any::<Choice>()
    ) {
        check(4, &faults, &choices, stop);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn seven_nodes_make_a_key_whatever_two_of_them_do(
        faults in faults(7), choices in vec(any::<u16>(), 50..400), stop in any::<Choice>()
    ) {
        check(7, &faults, &choices, stop);
    }
}

#[test]
fn clusters_of_one_two_and_sixteen_make_a_key() {
    for k in [1, 2, 16] {
        let mut cluster = Cluster::new(k);
        let (state, done) = play(&mut cluster, &BTreeMap::new(), &[1, 4, 0, 3, 2, 2, 5]);
        let run = newest(&state);
        assert_eq!(run.qualified, (0..k).collect::<Vec<_>>());
        assert_can_sign(&cluster, run, &(0..k).collect::<Vec<_>>());
        cluster.assert_restores(&done, done.len() / 2);
    }
}

/// The properties say little unless the faults come everywhere.
#[test]
fn the_faults_come_everywhere() {
    let mut seen = BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..40 {
        let faults = faults(4).new_tree(&mut runner).unwrap().current();
        let choices = vec(any::<u16>(), 50..400).new_tree(&mut runner).unwrap().current();
        let mut cluster = Cluster::new(4);
        let (state, done) = play(&mut cluster, &faults, &choices);
        let run = newest(&state);
        seen.extend((run.dealings.iter().flatten().count() < 4).then_some("somebody does not deal"));
        seen.extend((run.checks.iter().flatten().count() < 4).then_some("somebody does not check"));
        let disqualified = run.dealings.iter().flatten().count() > run.qualified.len();
        seen.extend(disqualified.then_some("somebody is disqualified"));
        let answered = |node: &u16| run.answers[usize::from(*node)].is_some();
        seen.extend(run.qualified.iter().any(answered).then_some("somebody answers"));
        let codes = done.iter().flat_map(|(_, outcome)| &outcome.receipts).map(|receipt| receipt.code.as_str());
        seen.extend(codes);
    }
    let expected = "somebody does not deal, somebody does not check, somebody is disqualified, somebody answers, accepted, \
        duplicate_same, wrong_step, bad_answer, bad_accusation, bad_dealing, bad_signature";
    let missing: Vec<&str> = expected.split(", ").filter(|word| !seen.contains(word)).collect();
    assert!(missing.is_empty(), "no history has come to {missing:?}: {seen:?}");
}
