//! Random histories of an open session against Functionality 4.2, written as plainly as it can be: two lists and two deadlines.

use super::{
    SIX,
    world::{HEAD_START_MS, NODES, REGISTERING_MS, SOLVING_MS, World, open_spec},
};
use crate::kit::Flaw;
use ledger::{Block, Payload, Submitted};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::BTreeSet;
use wire::{Bytes, Code, G1Bytes, ListKind, Operation, SessionId, SessionSpec, Stamp};

const LEAST: usize = 3;
const MOST: usize = 4;
const KEYING_MS: u64 = 1000;
const RETENTION_MS: u64 = 300;

#[derive(Clone, Debug)]
enum Act {
    /// Until when the stamp is said to be good, from the deadline; and whether it is one.
    Register {
        by: usize,
        past_ms: i64,
        good: bool,
    },
    Challenge {
        by: usize,
        good: bool,
    },
    Solve {
        by: usize,
        other: bool,
        stored: bool,
    },
    EndBlock {
        after_ms: u64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let by = || 0..SIX.len();
    let past_ms = prop_oneof![6 => Just(0_i64), 1 => Just(1), 1 => -6000_i64..0];
    let register = (by(), past_ms, prop::bool::weighted(0.9));
    let register = register.prop_map(|(by, past_ms, good)| Act::Register { by, past_ms, good });
    let challenge = (0..NODES.len() + 1, prop::bool::weighted(0.7));
    let challenge = challenge.prop_map(|(by, good)| Act::Challenge { by, good });
    let solve = (by(), prop::bool::weighted(0.1), prop::bool::weighted(0.7));
    let solve = solve.prop_map(|(by, other, stored)| Act::Solve { by, other, stored });
    let after_ms =
        prop_oneof![8 => 0..100_u64, 2 => Just(HEAD_START_MS), 2 => Just(SOLVING_MS), 1 => Just(REGISTERING_MS)];
    let all_register: Vec<Act> = (0..5).map(|by| Act::Register { by, past_ms: 0, good: true }).collect();
    let all_solve: Vec<Act> = (0..4).map(|by| Act::Solve { by, other: false, stored: true }).collect();
    // What hardly comes about by chance.
    let draw = [REGISTERING_MS, 0].map(|after_ms| Act::EndBlock { after_ms });
    let draw: Vec<Act> =
        draw.into_iter().chain([Act::Challenge { by: 1, good: true }, Act::EndBlock { after_ms: 0 }]).collect();
    let act = prop_oneof![
        2 => Just(draw.clone()),
        4 => register.prop_map(|act| vec![act]),
        2 => Just(all_register.clone()),
        3 => challenge.prop_map(|act| vec![act]),
        4 => solve.prop_map(|act| vec![act]),
        2 => Just(all_solve),
        7 => after_ms.prop_map(|after_ms| vec![Act::EndBlock { after_ms }]),
    ];
    let start = prop::option::weighted(0.6, Just([all_register, vec![Act::EndBlock { after_ms: 0 }], draw].concat()));
    (start, vec(act, 10..60)).prop_map(|(start, acts)| {
        let mut all = vec![Act::EndBlock { after_ms: 0 }];
        all.extend(start.into_iter().flatten());
        all.extend(acts.into_iter().flatten());
        all.push(Act::EndBlock { after_ms: 0 });
        all
    })
}

/// L and L', and what time it is for.
#[derive(Debug)]
struct Functionality {
    phase: &'static str,
    deadline: Option<u64>,
    asked: Vec<(usize, Stamp)>,
    solved: Vec<(usize, bool)>,
    drawn: bool,
    /// When the nodes could begin to draw.
    drawn_from: Option<u64>,
    liars: BTreeSet<usize>,
}

impl Functionality {
    fn enter(&mut self, phase: &'static str) {
        (self.phase, self.deadline) = (phase, None);
        if phase == "erased" {
            self.asked.clear();
            self.solved.clear();
        }
    }

    fn begin_block(&mut self, now: u64) {
        self.liars.clear();
        if self.deadline.is_none() && self.phase != "erased" {
            let lasts = match self.phase {
                "registering" => REGISTERING_MS,
                "solving" if !self.drawn => HEAD_START_MS,
                "solving" => SOLVING_MS,
                "keying" => KEYING_MS,
                _ => RETENTION_MS,
            };
            if self.phase == "solving" && self.drawn_from.is_some_and(|from| now > from + HEAD_START_MS) {
                return self.enter("ended");
            }
            self.deadline = Some(now + lasts);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let next = match self.phase {
                "registering" if self.asked.len() >= LEAST => {
                    self.drawn_from = Some(now);
                    "solving"
                }
                "solving" if self.drawn && self.solved.len() >= LEAST => "keying",
                "ended" => "erased",
                // Nobody gives keys here.
                _ => "ended",
            };
            self.enter(next);
        }
    }

    fn register(&mut self, by: usize, stamp: Stamp, good: bool, now: u64) -> &'static str {
        let is_gathering = ["registering", "solving"].contains(&self.phase);
        if let Some((_, first)) = self.asked.iter().find(|(who, _)| *who == by && is_gathering) {
            return if *first == stamp { "duplicate_same" } else { "already_registered" };
        }
        match (self.phase, self.deadline) {
            ("registering", None) => "too_early",
            ("registering", Some(deadline)) if stamp.expiry_ms <= now || stamp.expiry_ms > deadline => "stamp_expired",
            ("registering", _) if !good => "bad_stamp",
            ("registering", _) => {
                self.asked.push((by, stamp));
                "accepted"
            }
            _ => "registration_closed",
        }
    }

    fn challenge(&mut self, by: usize, good: bool) -> &'static str {
        if self.liars.contains(&by) {
            return "bad_challenge";
        }
        match self.phase {
            _ if by >= NODES.len() => "not_permitted",
            _ if self.drawn && good => "duplicate_same",
            "solving" if !self.drawn && good => {
                self.drawn = true;
                self.deadline = None;
                "accepted"
            }
            "solving" if !self.drawn => {
                self.liars.insert(by);
                "bad_challenge"
            }
            _ => "wrong_phase",
        }
    }

    fn solve(&mut self, by: usize, other: bool, stored: bool) -> &'static str {
        if let Some((_, first)) = self.solved.iter().find(|(who, _)| *who == by) {
            return if *first == other { "duplicate_same" } else { "duplicate_different" };
        }
        match self.phase {
            "registering" | "solving" if self.asked.iter().all(|(who, _)| *who != by) => "not_registered",
            "registering" => "no_challenge",
            "solving" if !self.drawn => "no_challenge",
            "solving" if self.solved.len() == MOST => "list_full",
            "solving" if !stored => "not_stored",
            "solving" => {
                self.solved.push((by, other));
                "accepted"
            }
            _ => "solving_closed",
        }
    }
}

struct Pair {
    world: World,
    ideal: Functionality,
    id: SessionId,
    signature: G1Bytes,
    restarting: bool,
    seen: BTreeSet<String>,
}

impl Pair {
    fn new(restarting: bool) -> Self {
        let mut world = World::new(restarting);
        let (min_parties, max_parties) = (LEAST as u16, MOST as u16);
        let spec =
            SessionSpec { min_parties, max_parties, keying_ms: KEYING_MS, retention_ms: RETENTION_MS, ..open_spec() };
        let id = world.create("party", spec);
        let ideal = Functionality {
            phase: "registering",
            deadline: None,
            asked: vec![],
            solved: vec![],
            drawn: false,
            drawn_from: None,
            liars: BTreeSet::new(),
        };
        let signature = world.challenge(id, 1);
        Self { world, ideal, id, signature, restarting, seen: BTreeSet::new() }
    }

    fn play(&mut self, act: &Act) -> (Submitted, &'static str) {
        let (id, now) = (self.id, self.world.now);
        let (name, operation, code) = match *act {
            Act::Register { by, past_ms, good } => {
                let deadline = self.ideal.deadline.unwrap_or(now);
                let mut stamp = self.world.stamp(SIX[by], id, deadline.saturating_add_signed(past_ms));
                while !good && self.world.is_stamp(SIX[by], id, stamp.expiry_ms, stamp.nonce) {
                    stamp.nonce += 1;
                }
                let code = self.ideal.register(by, stamp, good, now);
                (SIX[by], Operation::Register { session: id, stamp }, code)
            }
            Act::Challenge { by, good } => {
                let signature = if good { self.signature } else { G1Bytes([0; 48]) };
                let name = NODES.get(by).copied().unwrap_or("mallory");
                (name, Operation::Challenge { session: id, signature }, self.ideal.challenge(by, good))
            }
            Act::Solve { by, other, stored } => {
                let solution = self.world.solution(SIX[by], id, &[u8::from(other)]);
                let nodes = if stored { 3 } else { 2 };
                let nodes: Vec<(&str, bool)> = NODES[..nodes].iter().map(|node| (*node, false)).collect();
                let payload = self.world.cast.stored(&solution, now + 1, &nodes, Flaw::None);
                return (Submitted::Verified(solution, payload), self.ideal.solve(by, other, stored));
            }
            Act::EndBlock { .. } => unreachable!("blocks are cut before they are played"),
        };
        let verified = self.world.cast.submit(name, operation, Bytes::default()).unwrap();
        (Submitted::Verified(verified, Payload::Inline), code)
    }

    /// What the ledger says of an operation without a block is what it says in one of its own, at the last block's time, unless a clock
    /// waits for that block. A board that was built anew does not know the last block's time.
    fn ask_ahead(&self, operations: &[Submitted], time_ms: u64) {
        let state = &self.world.state;
        for submitted in operations.iter().filter(|_| !state.is_clock_pending() && !self.restarting) {
            let Submitted::Verified(operation, payload) = submitted else { continue };
            let alone = Block { height: state.height() + 1, time_ms, operations: vec![submitted.clone()] };
            let said = state.check_with(operation, payload, time_ms).err().unwrap_or(Code::Accepted);
            assert_eq!(said, state.clone().apply(&alone).receipts[0].code, "{operation:?}");
        }
    }

    fn block(&mut self, acts: &[Act], after_ms: u64) {
        let last = self.world.now;
        self.world.now += after_ms;
        self.ideal.begin_block(self.world.now);
        let (operations, codes): (Vec<_>, Vec<_>) = acts.iter().map(|act| self.play(act)).unzip();
        self.ask_ahead(&operations, last);
        let outcome = self.world.apply(operations);
        for ((receipt, code), act) in outcome.receipts.iter().zip(codes).zip(acts) {
            assert_eq!(receipt.code.as_str(), code, "{act:?} in {:?}", self.ideal);
            self.seen.insert(code.to_owned());
        }
        let record = self.world.state.session(&self.id).unwrap();
        assert_eq!((record.phase.as_str(), record.deadline_ms), (self.ideal.phase, self.ideal.deadline));
        let end = record.end.map(|end| format!("ended in {}", end.phase.as_str()));
        self.seen.extend(end.into_iter().chain([self.ideal.phase.to_owned()]));
        let count = |list| self.world.state.list(&self.id, list).map_or(0, |head| head.count as usize);
        let lists = (count(ListKind::Registrants), count(ListKind::Solvers));
        assert_eq!(lists, (self.ideal.asked.len(), self.ideal.solved.len()));
        let parties = self.world.state.parties(&self.id).unwrap().to_vec();
        if self.ideal.phase == "keying" {
            let solvers: BTreeSet<_> = self.ideal.solved.iter().map(|(by, _)| self.world.cast.key(SIX[*by])).collect();
            assert_eq!(parties.len(), solvers.len());
            assert!(parties.iter().all(|key| solvers.contains(key)));
        }
    }
}

fn play(acts: &[Act], restarting: bool) -> Pair {
    let mut pair = Pair::new(restarting);
    for block in acts.split_inclusive(|act| matches!(act, Act::EndBlock { .. })) {
        if let Some((Act::EndBlock { after_ms }, acts)) = block.split_last() {
            pair.block(acts, *after_ms);
        }
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_ledger_coordinates_as_the_functionality_says(acts in acts()) {
        let roots = play(&acts, false).world.roots;
        prop_assert_eq!(roots, play(&acts, true).world.roots, "also for a node that restarts after every block");
    }
}

/// The property above says little unless the histories come everywhere.
#[test]
fn the_histories_come_everywhere() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.extend(play(&acts().new_tree(&mut runner).unwrap().current(), false).seen);
    }
    let expected = "accepted, duplicate_same, duplicate_different, already_registered, stamp_expired, bad_stamp, \
        registration_closed, not_permitted, bad_challenge, wrong_phase, not_registered, no_challenge, list_full, not_stored, \
        solving_closed, registering, solving, keying, ended, erased, ended in registering, ended in solving, ended in keying";
    let missing: Vec<&str> = expected.split(", ").filter(|word| !seen.contains(*word)).collect();
    assert!(missing.is_empty(), "no history has come to {missing:?}");
}
