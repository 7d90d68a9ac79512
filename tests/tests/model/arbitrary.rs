//! No input makes the ledger panic, and whoever is refused has changed nothing: bytes of any kind as a transaction, and operations
//! that hold any numbers, in blocks of any height and time.

use crate::kit::{self, Cast, Flaw, Store};
use ledger::{Block, Event, Payload, State, Submitted};
use proptest::{collection::vec, prelude::*};
use white_city_tests::generation::Nodes;
use wire::{
    Admission, Bytes, Code, Dealing, Envelope, ExchangeKey, G1Bytes, G2Bytes, GenerationStep, Hash, MailboxId,
    MailboxKind, OpenTerms, Operation, OperationId, PublishedShare, Quotas, ScalarBytes, SessionId, SessionSpec,
    Signature, Stamp, Transaction, Work, challenge_message, message_digest,
};

const NAMES: [&str; 5] = ["alice", "bob", "olga", "north", "mallory"];

/// Numbers at which something ends.
fn number() -> impl Strategy<Value = u64> {
    let edges = vec![0, 1, 2, 3, 4_096, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 1 << 32, u64::MAX - 1, u64::MAX];
    prop_oneof![prop::sample::select(edges), 0_u64..5, any::<u64>()]
}

/// The first session is one of invited parties, the second an open one, the third is none.
fn session_id(cast: &mut Cast) -> [SessionId; 3] {
    let creator = cast.key("olga");
    let plain = plain_spec(cast);
    let id = |spec: SessionSpec| spec.session_id(&cast.chain, &creator, &Hash([1; 32]));
    [id(plain), id(open_spec()), SessionId([5; 32])]
}

/// Strangers need no stamp, and one is enough.
fn open_spec() -> SessionSpec {
    let terms = OpenTerms { stamp_bits: 0, registering_ms: 3, ..super::open::terms() };
    let admission = Admission::Open { terms };
    SessionSpec { admission, min_parties: 3, ..super::open::open_spec() }
}

fn plain_spec(cast: &mut Cast) -> SessionSpec {
    let keys = cast.keys(&["alice".to_owned(), "bob".to_owned()]);
    SessionSpec { round_timeout_ms: Some(10), min_parties: 1, ..kit::spec(keys) }
}

fn start(cast: &mut Cast) -> (State, Store) {
    let quotas = Quotas { live_sessions: 5, live_sessions_per_creator: 5, live_bytes: u64::MAX };
    let (mut state, mut store) = kit::ready(&cast.network(&["olga".to_owned()], quotas));
    let operations = [plain_spec(cast), open_spec()].map(|spec| {
        let create = Operation::CreateSession { spec: Box::new(spec), nonce: Hash([1; 32]) };
        Submitted::Verified(cast.submit("olga", create, Bytes::default()).unwrap(), Payload::Inline)
    });
    let outcome = state.apply(&Block { height: 1, time_ms: 0, operations: operations.into() });
    assert!(outcome.receipts.iter().all(|receipt| receipt.code == Code::Accepted));
    store.keep(&outcome.events);
    (state, store)
}

fn spec_of(cast: &mut Cast, n: &[u64; 8]) -> SessionSpec {
    let (short, long) = (|at: usize| n[at] as u16, |at: usize| n[at] as u32);
    SessionSpec {
        title: "x".repeat(usize::from(short(0) % 200)),
        min_parties: short(0),
        max_parties: short(1),
        corruption_threshold: short(2),
        abort_quorum: short(3),
        keying_rounds: long(4),
        max_rounds: long(5),
        max_message_bytes: long(6),
        max_party_bytes: n[7],
        keying_ms: n[0],
        running_ms: n[1],
        retention_ms: n[2],
        round_timeout_ms: Some(n[3]).filter(|ms| *ms > 4),
        padded_bytes: Some(long(4)).filter(|bytes| *bytes > 4),
        admission: admission_of(cast, n),
        ..plain_spec(cast)
    }
}

fn admission_of(cast: &mut Cast, n: &[u64; 8]) -> Admission {
    let work = Work { version: 1, leaf_hashes: n[1] as u32, leaves_log2: n[2] as u8, openings: n[3] as u16 };
    match n[6] % 3 {
        0 => plain_spec(cast).admission,
        1 => Admission::Group { parent: session_id(cast)[(n[7] % 3) as usize] },
        _ => Admission::Open {
            terms: OpenTerms {
                registering_ms: n[4],
                stamp_bits: n[5] as u8,
                work: if n[6] > 5 { work } else { super::open::terms().work },
                hash_rate: n[0],
                slack_ms: n[7],
                head_start_ms: n[3],
                adversary: n[2] as u32,
                soundness_bits: n[1] as u16,
            },
        },
    }
}

/// The challenge of the open session, and one that is none.
fn challenge(cast: &mut Cast, state: &State, n: &[u64; 8]) -> Operation {
    let ids = session_id(cast);
    let session = ids[(n[0] % 4).min(2) as usize];
    let keypairs = vec![cast.keypair("north").clone()];
    let share = Nodes::new(state.parameters(), keypairs).share(0, &state.generations()[&1]).unwrap();
    let message = challenge_message(&cast.chain, &ids[1]);
    let mut signature = share.partial_sign(bls::Domain::Challenge, &message.0).to_bytes();
    signature[47] ^= n[1] as u8 & 1;
    Operation::Challenge { session, signature: G1Bytes(signature) }
}

fn operation(cast: &mut Cast, state: &State, kind: u8, session: usize, n: &[u64; 8]) -> Operation {
    let session = session_id(cast)[session];
    let kinds = [MailboxKind::Keying, MailboxKind::Broadcast, MailboxKind::Private];
    match kind {
        0 => Operation::CreateSession { spec: Box::new(spec_of(cast, n)), nonce: Hash([n[4] as u8; 32]) },
        1 => {
            let spec = SessionSpec { keying_ms: n[0], running_ms: n[1], max_party_bytes: n[2], ..plain_spec(cast) };
            Operation::CreateSession { spec: Box::new(spec), nonce: Hash([n[4] as u8; 32]) }
        }
        2 => Operation::Terminate { session },
        3 => Operation::Abort { session, reason: "r".repeat((n[0] % 400) as usize) },
        4 => Operation::Ack { session, height: n[0], root: Hash([n[1] as u8; 32]) },
        5 => Operation::Tick { deadline_ms: n[0], attempt: n[1] as u32 },
        6 => Operation::RenewKey { epoch: n[0] },
        7 => Operation::ReplaceExchangeKey { key: ExchangeKey([n[0] as u8; 32]) },
        11..=13 => Operation::Register { session, stamp: Stamp { expiry_ms: n[0], nonce: n[1] } },
        14 | 15 => challenge(cast, state, n),
        16..=18 => Operation::Solve { session, digest: Hash([n[0] as u8; 32]), length: n[1] as u32 },
        19 => Operation::Backup {
            session,
            number: n[0] as u32,
            digest: Hash([n[1] as u8; 32]),
            length: n[2] as u32,
            keep_ms: n[3],
        },
        20 => Operation::EraseBackup { session, number: n[0] as u32 },
        8..=10 => Operation::Generate { epoch: n[0] % 4, attempt: n[1] as u32 % 2, step: Box::new(step(n)) },
        _ => Operation::Write {
            mailbox: MailboxId { session, kind: kinds[(n[0] % 3) as usize], round: n[1] as u32 },
            digest: Hash([n[2] as u8; 32]),
            length: n[3] as u32,
            recipients: n[4] as u16,
        },
    }
}

/// Steps of a cluster of one node, in which sound and unsound parts come together.
fn step(n: &[u64; 8]) -> GenerationStep {
    let nodes = usize::from(n[3] as u8 % 3);
    let mut point = bls::Polynomial::from_seed(&bls::Seed::new([1; 32]), b"", 0).unwrap().commitments().to_bytes()[0];
    point[0] ^= n[4] as u8 & 0x20;
    point[95] ^= n[5] as u8 & 1;
    match n[2] % 4 {
        0 => GenerationStep::Deal {
            dealing: Dealing {
                commitments: vec![G2Bytes(point); nodes.max(1)],
                ephemeral: ExchangeKey([n[6] as u8; 32]),
                shares: vec![Bytes(vec![n[7] as u8; 48]); nodes],
            },
        },
        1 => GenerationStep::Check { accused: (0..nodes).map(|place| n[4 + place] as u16).collect() },
        2 => GenerationStep::Answer {
            shares: vec![PublishedShare { recipient: n[4] as u16, share: ScalarBytes([n[5] as u8; 32]) }; nodes],
        },
        _ => GenerationStep::Endorse {
            signature: Signature([n[4] as u8; 64]),
            partial: (nodes > 0).then_some(G1Bytes([n[5] as u8; 48])),
        },
    }
}

/// Applies a block and checks what must hold after any.
fn apply(state: &mut State, store: &mut Store, block: &Block) {
    let before = state.root();
    let outcome = state.apply(block);
    assert_eq!(outcome.receipts.len(), block.operations.len());
    let stored = store.clone();
    store.keep(&outcome.events);
    assert_eq!(outcome.root == before, *store == stored, "the root changes with the board, and only then");
    let accepted = outcome.receipts.iter().filter(|receipt| receipt.code == Code::Accepted).count();
    let entries = outcome.events.iter().filter(|event| matches!(event, Event::Entry(_))).count();
    let listings = outcome.events.iter().filter(|event| matches!(event, Event::Listed(_))).count();
    assert!(entries + listings <= accepted);
    let restored = store.restore(state.parameters(), state.height()).unwrap();
    assert_eq!((restored.root(), restored.next_deadline()), (state.root(), state.next_deadline()));
}

proptest! {
    /// Signed by hand, so that the shape is for the ledger to check.
    #[test]
    fn no_operation_makes_the_ledger_panic(
        blocks in vec((number(), number(), vec((0..NAMES.len(), 0_u8..24, 0_usize..3, [(); 8].map(|()| number())), 0..12)), 1..8)
    ) {
        let mut cast = Cast::new();
        let (mut state, mut store) = start(&mut cast);
        for (height, time_ms, all) in blocks {
            let mut operations = vec![];
            for (by, kind, session, numbers) in all {
                let operation = operation(&mut cast, &state, kind, session, &numbers);
                let signed = cast.sign(NAMES[by], operation);
                let verified = signed.verify(&cast.chain).unwrap();
                let _ = state.check(&verified);
                let payload = match verified.body() {
                    Operation::Solve { .. } => cast.stored(&verified, u64::MAX, &[("north", false)], Flaw::None),
                    _ => Payload::Inline,
                };
                operations.push(Submitted::Verified(verified, payload));
            }
            apply(&mut state, &mut store, &Block { height, time_ms, operations });
        }
    }

    /// A sound transaction with some bytes changed, cut off or added, and bytes that were never one.
    #[test]
    fn no_bytes_make_the_ledger_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        noise in vec(any::<u8>(), 0..64),
        only_noise in prop::bool::weighted(0.1),
    ) {
        let mut cast = Cast::new();
        let (mut state, mut store) = start(&mut cast);
        let mailbox = MailboxId { session: session_id(&mut cast)[0], kind: MailboxKind::Keying, round: 0 };
        let write = Operation::Write { mailbox, digest: message_digest(b"key"), length: 3, recipients: 0 };
        let abort = Operation::Abort { session: mailbox.session, reason: "no".to_owned() };
        let envelopes = [("alice", write, b"key".to_vec()), ("bob", abort, vec![])]
            .map(|(by, operation, payload)| Envelope { signed: cast.sign(by, operation), payload: Bytes(payload) });
        let mut bytes = Transaction::inline(envelopes).encode().0;
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
            bytes.extend(&noise);
        }
        let bytes = if only_noise { noise } else { bytes };
        let Ok(transaction) = Transaction::decode(&bytes) else { return Ok(()) };
        let submit = |item: wire::TransactionItem| {
            let operation = OperationId(item.signed.digest().0);
            let wire::Carried::Inline { payload } = item.payload else {
                return Submitted::Refused { operation, code: Code::NotStored };
            };
            match (Envelope { signed: item.signed, payload }).verify(&cast.chain) {
                Ok((verified, _)) => Submitted::Verified(verified, Payload::Inline),
                Err(code) => Submitted::Refused { operation, code },
            }
        };
        let operations = transaction.items.into_iter().map(submit).collect();
        apply(&mut state, &mut store, &Block { height: 2, time_ms: 5, operations });
    }
}
