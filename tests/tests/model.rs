//! The ledger against a naive model, on random histories of several sessions: the same codes, phases, deadlines and messages;
//! and what must hold of any history: it can be repeated, checked ahead, and taken up again from what was stored.

#[path = "model/arbitrary.rs"]
mod arbitrary;
#[path = "model/kit.rs"]
mod kit;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/open.rs"]
mod open;
#[path = "model/stored.rs"]
mod stored;
#[path = "model/tampered.rs"]
mod tampered;
#[path = "model/travel.rs"]
mod travel;

use kit::{Cast, Store};
use ledger::{Block, Outcome, Payload, State, Submitted};
use naive::{Board, Kind, Rules};
use proptest::{collection::vec, prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::BTreeSet;
use travel::{CONFIRMERS, Travel, travel};
use wire::{
    Bytes, Code, Hash, MailboxHead, MailboxId, MailboxKind, Operation, OperationId, PrivateItem, PrivateSet, Quotas,
    SessionId, SessionSpec, message_digest,
};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
const OPERATORS: [&str; 2] = ["olga", "otto"];
const SESSIONS: usize = 4;

/// One thing that somebody does. Sessions are named by their number, people by their place in all names.
#[derive(Clone, Debug)]
enum Act {
    Create {
        session: usize,
        by: usize,
    },
    Write {
        session: usize,
        by: usize,
        kind: Kind,
        round: u32,
        token: u8,
        length: usize,
        extra_recipient: bool,
        travel: Travel,
    },
    Terminate {
        session: usize,
        by: usize,
    },
    Abort {
        session: usize,
        by: usize,
        reason: u8,
    },
    Ack {
        session: usize,
        by: usize,
        ago: u64,
    },
    Tick {
        by: usize,
        attempt: u32,
    },
    Unverified {
        code: Code,
    },
    EndBlock {
        after_ms: u64,
    },
}

/// What is fixed at the start of a history.
#[derive(Clone, Debug)]
struct World {
    rules: Vec<Rules>,
    quotas: (usize, usize, usize),
}

fn name(by: usize) -> &'static str {
    ["alice", "bob", "carol", "dave", "olga", "otto", "north", "mallory"][by]
}

fn rules() -> impl Strategy<Value = Rules> {
    let people = (Just(PEOPLE.map(str::to_owned).to_vec()).prop_shuffle(), 1..=PEOPLE.len())
        .prop_map(|(people, n)| people[..n].to_vec());
    let numbers = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::bool::weighted(0.8),
    );
    let party_bytes = prop_oneof![20_usize..200, 300_usize..1500];
    let bounds = (1_u32..3, 1_u32..4, 100_usize..500, party_bytes);
    let times = (10_u64..200, 20_u64..400, 10_u64..200, prop::option::of(5_u64..100));
    (people, numbers, bounds, times, 0..OPERATORS.len()).prop_map(|(people, at, bounds, times, creator)| Rules {
        creator: OPERATORS[creator].to_owned(),
        min_parties: at.0.index(people.len()) + 1,
        threshold: at.1.index(people.len()),
        abort_quorum: at.2.index(people.len()) + 1,
        people,
        keying_rounds: bounds.0,
        rounds: bounds.1,
        message_bytes: bounds.2,
        party_bytes: bounds.3,
        inline: at.3,
        keying_ms: times.0,
        running_ms: times.1,
        retention_ms: times.2,
        round_ms: times.3,
    })
}

fn world() -> impl Strategy<Value = World> {
    let quotas = (2_usize..=SESSIONS, 1_usize..=3, 4_000_usize..20_000);
    (vec(rules(), SESSIONS), quotas).prop_map(|(rules, quotas)| World { rules, quotas })
}

/// One act, or a few that belong together: without those, random histories hardly leave keying.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let session = 0..SESSIONS;
    let by = prop_oneof![12 => 0_usize..4, 1 => 4_usize..8];
    let kind = prop_oneof![1 => Just(Kind::Key), 3 => Just(Kind::Broadcast), 3 => Just(Kind::P2p)];
    let length = prop_oneof![6 => 0_usize..20, 1 => 50_usize..400];
    let after_ms = prop_oneof![3 => 0_u64..10, 1 => 10_u64..120];
    let what = (kind, 0_u32..4, 0_u8..2, length, prop::bool::weighted(0.05));
    let write = (session.clone(), by.clone(), what, prop::option::weighted(0.15, travel())).prop_map(
        |(session, by, (kind, round, token, length, extra_recipient), travel)| Act::Write {
            session,
            by,
            kind,
            round,
            token,
            length,
            extra_recipient,
            travel: travel.unwrap_or(Travel::good(kind)),
        },
    );
    let key = |session, by, round| Act::Write {
        session,
        by,
        kind: Kind::Key,
        round,
        token: 0,
        length: 4,
        extra_recipient: false,
        travel: Travel::good(Kind::Key),
    };
    let keys = (session.clone(), prop::option::weighted(0.3, 0_usize..4)).prop_map(move |(session, without)| {
        let writers = (0..4).filter(|by| Some(*by) != without);
        writers.flat_map(|by| [key(session, by, 0), key(session, by, 1)]).collect()
    });
    let vote = (session.clone(), by.clone(), 0_u8..2);
    let terminate = vote.clone().prop_map(|(session, by, _)| Act::Terminate { session, by });
    let abort = vote.prop_map(|(session, by, reason)| Act::Abort { session, by, reason });
    let ack = (session.clone(), by, 0_u64..6).prop_map(|(session, by, ago)| Act::Ack { session, by, ago });
    let acks =
        session.clone().prop_map(|session| (0..4).map(|by| Act::Ack { session, by, ago: 1 }).collect::<Vec<_>>());
    // Who has acknowledged writes no more.
    let late = (session.clone(), 0_usize..4).prop_map(|(session, by)| {
        let (kind, round, token, length, extra_recipient) = (Kind::Broadcast, 3, 0, 4, false);
        let travel = Travel::Inline;
        let write = Act::Write { session, by, kind, round, token, length, extra_recipient, travel };
        vec![Act::Ack { session, by, ago: 1 }, write]
    });
    let tick = (4_usize..8, 0_u32..2).prop_map(|(by, attempt)| Act::Tick { by, attempt });
    let unverified = prop_oneof![Just(Code::BadSignature), Just(Code::Malformed)];
    let one = |act: Act| vec![act];
    prop_oneof![
        4 => (session, 0_usize..8).prop_map(|(session, by)| vec![Act::Create { session, by }]),
        20 => write.prop_map(one),
        3 => keys,
        2 => terminate.prop_map(one),
        1 => abort.prop_map(one),
        3 => ack.prop_map(one),
        2 => acks,
        1 => late,
        1 => tick.prop_map(one),
        1 => unverified.prop_map(|code| vec![Act::Unverified { code }]),
        14 => after_ms.prop_map(|after_ms| vec![Act::EndBlock { after_ms }]),
    ]
}

/// Every session is asked for at the start by its own creator, too.
fn history() -> impl Strategy<Value = (World, Vec<Act>)> {
    (world(), vec(acts(), 1..120)).prop_map(|(world, acts)| {
        let by = |rules: &Rules| (0..8).find(|by| name(*by) == rules.creator).unwrap();
        let creations = world.rules.iter().enumerate().map(|(session, rules)| Act::Create { session, by: by(rules) });
        let mut all: Vec<Act> = creations.collect();
        all.extend(acts.into_iter().flatten());
        all.push(Act::EndBlock { after_ms: 1 });
        (world, all)
    })
}

fn wire_kind(kind: Kind) -> MailboxKind {
    match kind {
        Kind::Key => MailboxKind::Keying,
        Kind::Broadcast => MailboxKind::Broadcast,
        Kind::P2p => MailboxKind::Private,
    }
}

fn private_set(data: &[Option<Vec<u8>>]) -> PrivateSet {
    let item = |data: &Vec<u8>| PrivateItem { commitment: Hash([3; 32]), ciphertext: Bytes(data.clone()) };
    PrivateSet { items: data.iter().map(|data| data.as_ref().map(item)).collect() }
}

fn payload_and_digest(kind: Kind, data: &[Option<Vec<u8>>]) -> (Bytes, Hash) {
    match kind {
        Kind::Key | Kind::Broadcast => {
            let payload = data[0].clone().unwrap();
            (Bytes(payload.clone()), message_digest(&payload))
        }
        Kind::P2p => (private_set(data).encode(), private_set(data).root()),
    }
}

/// Ledger and model side by side.
struct Pair {
    cast: Cast,
    world: World,
    specs: Vec<SessionSpec>,
    board: Board,
    state: State,
    store: Store,
    now: u64,
    done: Vec<(Block, Outcome)>,
}

impl Pair {
    fn new(world: World) -> Self {
        let mut cast = Cast::new();
        let (live_sessions, each, bytes) = world.quotas;
        let quotas = Quotas {
            live_sessions: live_sessions as u32,
            live_sessions_per_creator: each as u32,
            live_bytes: bytes as u64,
        };
        let operators = OPERATORS.map(str::to_owned);
        let (state, store) = kit::ready(&cast.network_of(&CONFIRMERS[..4], &operators, quotas));
        let board = Board {
            operators: operators.to_vec(),
            max_sessions: live_sessions,
            max_sessions_each: each,
            max_bytes: bytes,
            ..Board::default()
        };
        let specs = world.rules.iter().map(|rules| spec(&mut cast, rules)).collect();
        Self { cast, world, specs, board, state, store, now: 1_000, done: vec![] }
    }

    fn id(&mut self, session: usize) -> SessionId {
        let creator = self.cast.key(&self.world.rules[session].creator);
        self.specs[session].session_id(&self.cast.chain, &creator, &nonce(session))
    }

    /// What the act is as an operation, and what the model says of it.
    fn play(&mut self, act: &Act) -> (Submitted, &'static str) {
        let height = self.board.height;
        let mut way = &Travel::Inline;
        let (by, operation, payload, code) = match *act {
            Act::Create { session, by } => {
                // Another operator's creation is another session, which this test does not follow.
                let other = OPERATORS.contains(&name(by)) && name(by) != self.world.rules[session].creator;
                let by = if other { 7 } else { by };
                let spec = Box::new(self.specs[session].clone());
                let code = self.board.create(session, name(by), &self.world.rules[session]);
                (by, Operation::CreateSession { spec, nonce: nonce(session) }, Bytes::default(), code)
            }
            Act::Write { session, by, kind, round, token, length, extra_recipient, ref travel } => {
                way = travel;
                let n = self.world.rules[session].people.len();
                let data: Vec<Option<Vec<u8>>> = match kind {
                    Kind::Key | Kind::Broadcast => vec![Some(vec![token; length])],
                    Kind::P2p => (0..n + usize::from(extra_recipient))
                        .map(|j| (j % 2 == 0).then(|| vec![token; length]))
                        .collect(),
                };
                let (payload, digest) = payload_and_digest(kind, &data);
                let mailbox = MailboxId { session: self.id(session), kind: wire_kind(kind), round };
                let recipients = if kind == Kind::P2p { data.len() as u16 } else { 0 };
                let told = self.board.write(session, name(by), (kind, round), &data, payload.0.len(), &travel.way());
                let write = Operation::Write { mailbox, digest, length: payload.length(), recipients };
                (by, write, payload, told.err().unwrap_or("accepted"))
            }
            Act::Terminate { session, by } => {
                let told = self.board.vote(session, name(by), false);
                let operation = Operation::Terminate { session: self.id(session) };
                (by, operation, Bytes::default(), told.err().unwrap_or("accepted"))
            }
            Act::Abort { session, by, reason } => {
                let told = self.board.vote(session, name(by), true);
                let operation = Operation::Abort { session: self.id(session), reason: format!("reason {reason}") };
                (by, operation, Bytes::default(), told.err().unwrap_or("accepted"))
            }
            Act::Ack { session, by, ago } => {
                let read = height.saturating_sub(ago);
                let told = self.board.acknowledge(session, name(by), read);
                let operation = Operation::Ack { session: self.id(session), height: read, root: Hash([9; 32]) };
                (by, operation, Bytes::default(), told.err().unwrap_or("accepted"))
            }
            Act::Tick { by, attempt } => {
                let code = if name(by) == "north" { "accepted" } else { "not_permitted" };
                (by, Operation::Tick { deadline_ms: self.now, attempt }, Bytes::default(), code)
            }
            Act::Unverified { code } => {
                return (Submitted::Refused { operation: OperationId([4; 32]), code }, code.as_str());
            }
            Act::EndBlock { .. } => unreachable!("blocks are cut before they are played"),
        };
        let verified = self.cast.submit(name(by), operation, payload).unwrap();
        let payload = match way {
            Travel::Inline => Payload::Inline,
            Travel::Beside { early, flaw, .. } => {
                self.cast.stored(&verified, self.now + early, &way.confirmers(), *flaw)
            }
        };
        (Submitted::Verified(verified, payload), code)
    }

    fn block(&mut self, acts: &[Act], after_ms: u64) {
        let height = self.board.height + 1;
        let before = self.now;
        self.now += after_ms;
        self.board.begin_block(height, self.now);
        let (operations, codes): (Vec<_>, Vec<_>) = acts.iter().map(|act| self.play(act)).unzip();
        for submitted in &operations {
            let Submitted::Verified(operation, payload) = submitted else { continue };
            let alone = Block { height, time_ms: before, operations: vec![submitted.clone()] };
            let said = self.state.check_with(operation, payload, before).err().unwrap_or(Code::Accepted);
            assert_eq!(
                said,
                self.state.clone().apply(&alone).receipts[0].code,
                "check and apply differ on {operation:?}"
            );
        }
        let block = Block { height, time_ms: self.now, operations };
        let outcome = self.state.apply(&block);
        for ((receipt, code), (act, position)) in outcome.receipts.iter().zip(codes).zip(acts.iter().zip(0..)) {
            assert_eq!((receipt.code.as_str(), receipt.height, receipt.position), (code, height, position), "{act:?}");
        }
        self.store.keep(&outcome.events);
        self.done.push((block, outcome));
        self.compare();
    }

    fn compare(&mut self) {
        let sessions = self.board.sessions.clone();
        for (number, expected) in &sessions {
            let id = self.id(*number);
            let record = self.state.session(&id).unwrap();
            assert_eq!(record, &self.store.sessions[&id].record, "events tell of every change");
            assert_eq!(format!("{:?}", record.phase).to_lowercase(), expected.phase);
            assert_eq!(record.deadline_ms, expected.deadline);
            let end = record.end.map(|end| (format!("{:?}", end.reason), end.height, format!("{:?}", end.phase)));
            let end = end.map(|(reason, height, phase)| (reason.to_lowercase(), height, phase.to_lowercase()));
            assert_eq!(end, expected.end.map(|(reason, height, phase)| (reason.to_owned(), height, phase.to_owned())));
            let indices = |list: &[u16]| list.iter().map(|i| usize::from(*i)).collect::<Vec<_>>();
            assert_eq!(indices(&record.absent), expected.absent);
            assert_eq!(indices(&record.terminated), expected.done);
            assert_eq!(record.aborted.iter().map(|vote| usize::from(vote.party)).collect::<Vec<_>>(), expected.gave_up);
            assert_eq!(indices(&record.acknowledged), expected.read);
            self.compare_mailboxes(id, expected);
        }
        let deadlines = self.board.live().flat_map(|session| {
            let rounds =
                session.rounds.iter().filter(|(_, _, closed)| !closed).filter_map(|(_, deadline, _)| *deadline);
            rounds.chain(session.deadline)
        });
        let generation = self.state.generations().values().next_back().unwrap();
        let of_generation = generation.deadline_ms.filter(|_| !generation.overdue);
        assert_eq!(self.state.next_deadline(), deadlines.chain(of_generation).min());
        assert_eq!(self.state.live_sessions() as usize, self.board.live().count());
        let restored = self.store.restore(self.state.parameters(), self.state.height()).unwrap();
        assert_eq!(restored.root(), self.state.root(), "a restored state has the same root");
    }

    fn compare_mailboxes(&self, session: SessionId, expected: &naive::Session) {
        for (kind, round) in
            [Kind::Key, Kind::Broadcast, Kind::P2p].into_iter().flat_map(|k| (0..4).map(move |r| (k, r)))
        {
            let mailbox = MailboxId { session, kind: wire_kind(kind), round };
            let mut head = MailboxHead::empty(&self.cast.chain, &mailbox);
            let messages = expected.read(kind, round);
            for ((sender, data), entry) in messages.iter().zip(self.store.mailbox(mailbox)) {
                assert_eq!(usize::from(entry.sender), *sender);
                assert_eq!(entry.digest, payload_and_digest(kind, data).1);
                head.append(entry.sender, &entry.digest);
                assert_eq!(entry.head, head.head);
            }
            assert_eq!(self.store.mailbox(mailbox).count(), messages.len());
            assert_eq!(self.state.mailbox(&mailbox), (head.count > 0).then_some(head));
            let clock = expected.rounds.iter().find(|(r, _, _)| *r == round && kind == Kind::Broadcast);
            if let Some((_, deadline, closed)) = clock {
                let state = self.state.round(&session, round).unwrap();
                assert_eq!((state.deadline_ms, state.closed), (*deadline, *closed));
            }
        }
    }
}

fn nonce(session: usize) -> Hash {
    Hash([session as u8; 32])
}

fn spec(cast: &mut Cast, rules: &Rules) -> SessionSpec {
    SessionSpec {
        min_parties: rules.min_parties as u16,
        corruption_threshold: rules.threshold as u16,
        abort_quorum: rules.abort_quorum as u16,
        keying_rounds: rules.keying_rounds,
        max_rounds: rules.rounds,
        max_message_bytes: rules.message_bytes as u32,
        max_party_bytes: rules.party_bytes as u64,
        inline_payloads: rules.inline,
        keying_ms: rules.keying_ms,
        running_ms: rules.running_ms,
        retention_ms: rules.retention_ms,
        round_timeout_ms: rules.round_ms,
        ..kit::spec(cast.keys(&rules.people))
    }
}

fn play(world: World, acts: &[Act]) -> Pair {
    let mut pair = Pair::new(world);
    for block in acts.split_inclusive(|act| matches!(act, Act::EndBlock { .. })) {
        if let Some((Act::EndBlock { after_ms }, acts)) = block.split_last() {
            pair.block(acts, *after_ms);
        }
    }
    pair
}

proptest! {
    #[test]
    fn the_ledger_does_what_the_functionality_says((world, acts) in history()) {
        play(world, &acts);
    }

    #[test]
    fn a_history_can_be_repeated_and_taken_up_anywhere((world, acts) in history(), at in any::<prop::sample::Index>()) {
        let played = play(world.clone(), &acts);
        prop_assert_eq!(&played.done, &play(world, &acts).done, "the same seed gives the same outcomes");
        let stop = at.index(played.done.len());
        let (mut state, mut store) = kit::ready(played.state.parameters());
        for (index, (block, outcome)) in played.done.iter().enumerate() {
            if index == stop {
                let height = state.height();
                state = store.restore(played.state.parameters(), height).unwrap();
            }
            prop_assert_eq!(&state.apply(block), outcome, "block {} after a restart before {}", index, stop);
            store.keep(&outcome.events);
        }
    }
}

/// The properties above say little unless the histories come everywhere.
#[test]
fn the_histories_come_everywhere() {
    let mut seen = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let (world, acts) = history().new_tree(&mut runner).unwrap().current();
        let played = play(world, &acts);
        let decided =
            |(block, outcome): &(Block, Outcome)| std::iter::zip(block.operations.clone(), outcome.receipts.clone());
        for (submitted, receipt) in played.done.iter().flat_map(decided) {
            let is_write =
                matches!(&submitted, Submitted::Verified(o, _) if matches!(o.body(), Operation::Write { .. }));
            seen.insert(receipt.code.as_str().to_owned());
            seen.extend(
                (is_write && receipt.code == Code::QuotaExceeded).then(|| "quota_exceeded by a write".to_owned()),
            );
        }
        for (_, session) in &played.board.sessions {
            seen.insert(session.phase.to_owned());
            seen.extend(session.end.map(|(reason, _, phase)| format!("{reason} in {phase}")));
        }
    }
    let expected = "accepted, duplicate_same, duplicate_different, unknown_session, not_a_party, not_permitted, \
        session_exists, quota_exceeded, quota_exceeded by a write, wrong_phase, absent, round_out_of_range, round_closed, already_acknowledged, \
        height_out_of_range, wrong_recipients, payload_too_large, not_stored, bad_signature, malformed, keying, running, ended, erased, \
        terminated in keying, terminated in running, aborted in keying, aborted in running, expired in keying, \
        expired in running";
    let missing: Vec<&str> = expected.split(", ").filter(|word| !seen.contains(*word)).collect();
    assert!(missing.is_empty(), "no history has come to {missing:?}");
}
