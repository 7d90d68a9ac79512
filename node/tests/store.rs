//! The store against the ledger: what is committed comes back as the same state, whatever the blocks did.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ledger::{Block, Payload, State, Submitted};
use node::{
    feed::DecidedBlock,
    participant::Participant,
    secrets::NodeSecrets,
    store::{Loaded, Store, StoreError},
};
use rand_core::{OsRng, RngCore};
use schnorrkel::Keypair;
use std::{collections::BTreeMap, sync::Arc};
use wire::*;

const CHAIN: &str = "store-test";

fn key(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

/// A board with its store, and everything that was ever asked of it.
struct Board {
    keys: Vec<Keypair>,
    /// Of the only node, whose identity is the first key.
    secrets: Arc<NodeSecrets>,
    state: State,
    store: Store,
    at: BoardAt,
    folder: tempfile::TempDir,
}

impl Board {
    /// A board that has its key, for without one there are no sessions.
    async fn ready(parties: usize) -> Self {
        let mut board = Self::new(parties).await;
        let secrets = Arc::clone(&board.secrets);
        let participant = Participant::new(board.state.parameters(), 0, board.keys[0].clone(), secrets);
        let seed = bls::Seed::new([7; 32]);
        while board.state.newest_keys().is_none() {
            let run = board.state.generations()[&1].clone();
            let step = Box::new(participant.due(&run, Some(&seed), None, OsRng).unwrap());
            let generate = Operation::Generate { epoch: run.epoch, attempt: run.attempt, step };
            board.decide(1, vec![(0, generate, Bytes::default())]).await;
        }
        board
    }

    async fn new(parties: usize) -> Self {
        let keys: Vec<Keypair> = (0..parties).map(|_| Keypair::generate_with(OsRng)).collect();
        let secrets = Arc::new(NodeSecrets::generate());
        let parameters = NetworkParameters {
            chain: CHAIN.parse().unwrap(),
            nodes: vec![secrets.record("solo".into(), &keys[0], &CHAIN.parse().unwrap())],
            operators: vec![key(&keys[0])],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 100, live_sessions_per_creator: 100, live_bytes: 1 << 40 },
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("board.sqlite")).await.unwrap();
        let at = BoardAt { height: 0, time_ms: 1_000, root: Hash([0; 32]) };
        Self { keys, secrets, state: State::genesis(parameters).unwrap(), store, at, folder }
    }

    fn spec(&self) -> SessionSpec {
        SessionSpec {
            title: "a session".into(),
            program: Program { name: "test".into(), version: "1".into(), digest: Hash([1; 32]) },
            admission: Admission::Invited { keys: self.keys.iter().map(key).collect() },
            min_parties: 1,
            max_parties: u16::try_from(self.keys.len()).unwrap(),
            corruption_threshold: 1,
            abort_quorum: 2,
            keying_rounds: 1,
            max_rounds: 4,
            max_message_bytes: 10_000,
            max_party_bytes: 100_000,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 50,
            running_ms: 500,
            retention_ms: 100,
            round_timeout_ms: Some(60),
        }
    }

    /// Decides a block `later_ms` after the last one and stores it.
    async fn decide(&mut self, later_ms: u64, asked: Vec<(usize, Operation, Bytes)>) -> Vec<Receipt> {
        let chain: ChainId = CHAIN.parse().unwrap();
        let mut payloads = BTreeMap::new();
        let mut operations = Vec::new();
        for (author, operation, payload) in asked {
            let signed = Signed::sign(&self.keys[author], chain.clone(), operation, OsRng);
            if let Operation::Write { digest, .. } = &signed.body {
                payloads.insert(*digest, payload.clone());
            }
            let (verified, _) = Envelope { signed, payload }.verify(&chain).unwrap();
            operations.push(Submitted::Verified(verified, Payload::Inline));
        }
        let (height, time_ms) = (self.at.height + 1, self.at.time_ms + later_ms);
        let outcome = self.state.apply(&Block { height, time_ms, operations });
        self.at = BoardAt { height, time_ms, root: outcome.root };
        let receipts = outcome.receipts.clone();
        let snapshot = self.state.snapshot();
        let block = DecidedBlock {
            at: self.at,
            receipts: outcome.receipts,
            events: outcome.events,
            payloads,
            beside: BTreeMap::new(),
            snapshot,
        };
        self.store.commit(&block).await.unwrap();
        receipts
    }

    async fn open_session(&mut self, nonce: u8) -> SessionId {
        let (spec, nonce) = (Box::new(self.spec()), Hash([nonce; 32]));
        let session = spec.session_id(&CHAIN.parse().unwrap(), &key(&self.keys[0]), &nonce);
        self.decide(1, vec![(0, Operation::CreateSession { spec, nonce }, Bytes::default())]).await;
        session
    }

    /// The state as a node that starts now would have it.
    async fn restored(&self) -> State {
        let loaded = self.store.load().await.unwrap();
        assert_eq!(loaded.at, Some(self.at));
        let parameters = self.state.parameters().clone();
        let Loaded { sessions, rounds, entries, listings, backups, generations, .. } = loaded;
        State::restore(parameters, self.at.height, sessions, rounds, entries, listings, backups, generations).unwrap()
    }
}

fn write(session: SessionId, kind: MailboxKind, round: u32, text: &[u8]) -> (Operation, Bytes) {
    let payload = Bytes(text.to_vec());
    let mailbox = MailboxId { session, kind, round };
    (Operation::Write { mailbox, digest: message_digest(text), length: payload.length(), recipients: 0 }, payload)
}

#[tokio::test]
async fn any_blocks_come_back_as_the_same_state() {
    for _ in 0..4 {
        let mut board = Board::ready(4).await;
        let sessions = [board.open_session(1).await, board.open_session(2).await, board.open_session(3).await];
        let mut rng = OsRng;
        let mut pick = |below: u32| rng.next_u32() % below;
        for _ in 0..40 {
            let mut asked = Vec::new();
            for _ in 0..pick(12) {
                let session = sessions[pick(3) as usize];
                let kind = if pick(2) == 0 { MailboxKind::Keying } else { MailboxKind::Broadcast };
                let (operation, payload) = match pick(10) {
                    0 => (Operation::Terminate { session }, Bytes::default()),
                    1 => (Operation::Ack { session, height: board.at.height, root: board.at.root }, Bytes::default()),
                    _ => write(session, kind, pick(3), &[u8::try_from(pick(3)).unwrap(); 5]),
                };
                asked.push((pick(4) as usize, operation, payload));
            }
            board.decide(u64::from(pick(40)), asked).await;
            assert_eq!(board.restored().await.root(), board.state.root());
        }
        // The clocks are restored, too: both states go on in the same way.
        let mut restored = board.restored().await;
        let next = Block { height: board.at.height + 1, time_ms: board.at.time_ms + 10_000, operations: vec![] };
        assert_eq!(restored.apply(&next), board.state.apply(&next));
    }
}

#[tokio::test]
async fn pages_are_as_long_as_asked_for_and_linked() {
    let mut board = Board::ready(5).await;
    let session = board.open_session(1).await;
    let writes = (0..5).map(|party| {
        let (operation, payload) = write(session, MailboxKind::Keying, 0, &[u8::try_from(party).unwrap(); 100]);
        (party, operation, payload)
    });
    board.decide(1, writes.collect()).await;
    let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
    let head = board.state.mailbox(&mailbox);
    let page =
        async |from, limit, bytes| board.store.mailbox(&mailbox, from, limit, bytes).await.unwrap().value.unwrap();

    let all = page(0, 100, Some(usize::MAX)).await;
    assert_eq!(all.state.head, head);
    assert_eq!((all.entries.len(), all.payloads.len(), all.from_head), (5, 5, None));
    assert_eq!(all.payloads[&all.entries[3].digest], Bytes(vec![3; 100]));
    let part = page(2, 2, None).await;
    assert_eq!(part.from_head, Some(all.entries[1].head));
    assert_eq!(part.entries, all.entries[2..4]);
    assert!(part.payloads.is_empty());
    assert_eq!(page(0, 100, Some(150)).await.entries.len(), 2, "ends once the payloads have reached the size");
    assert_eq!(page(9, 100, None).await.entries, []);
    assert_eq!(board.store.mailboxes(&session, 10).await.unwrap().value, [(mailbox, head.unwrap())]);
    let nowhere = MailboxId { session: SessionId([9; 32]), ..mailbox };
    assert_eq!(board.store.mailbox(&nowhere, 0, 1, None).await.unwrap().value, None);
}

#[tokio::test]
async fn an_acceptance_stays_and_a_refusal_gives_way() {
    let mut board = Board::ready(2).await;
    let session = board.open_session(1).await;
    let (operation, payload) = write(session, MailboxKind::Broadcast, 0, b"too early");
    let early = board.decide(1, vec![(0, operation.clone(), payload.clone())]).await[0];
    let stored = board.store.receipt(&early.operation).await.unwrap();
    assert_eq!((stored.at, stored.value), (board.at, Some(early)));
    assert_eq!(early.code, Code::WrongPhase);

    let keys = [0, 1].map(|party| (party, write(session, MailboxKind::Keying, 0, b"key")));
    board.decide(1, keys.map(|(party, (operation, payload))| (party, operation, payload)).into()).await;
    let accepted = board.decide(1, vec![(0, operation.clone(), payload.clone())]).await[0];
    assert_eq!(accepted.code, Code::Accepted);
    let again = board.decide(1, vec![(0, operation, payload)]).await[0];
    assert_eq!(again.code, Code::DuplicateSame);
    assert_eq!(board.store.receipt(&early.operation).await.unwrap().value, Some(accepted));
    assert_eq!(board.store.receipt(&OperationId([0; 32])).await.unwrap().value, None);
}

#[tokio::test]
async fn an_erased_session_leaves_its_record_and_nothing_else() {
    let mut board = Board::ready(2).await;
    let session = board.open_session(1).await;
    let (operation, payload) = write(session, MailboxKind::Keying, 0, b"key");
    let digest = message_digest(b"key");
    board.decide(1, vec![(1, operation, payload)]).await;
    assert!(board.store.payload(&session, &digest).await.unwrap().is_some());
    for _ in 0..6 {
        board.decide(1_000, vec![]).await;
    }
    assert_eq!(board.state.session(&session).unwrap().phase, Phase::Erased);
    assert_eq!(board.store.payload(&session, &digest).await.unwrap(), None);
    let loaded = board.store.load().await.unwrap();
    assert_eq!((loaded.sessions.len(), loaded.entries.len(), loaded.rounds.len()), (1, 0, 0));
    assert_eq!(board.store.live_sessions().await.unwrap().value, 0);
    let listed = board.store.sessions(0, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].1.session, listed[0].1.phase), (session, Phase::Erased));
    assert_eq!(board.store.sessions(listed[0].0, 10).await.unwrap(), []);
}

#[tokio::test]
async fn one_process_at_a_time_and_no_block_twice() {
    let mut board = Board::new(1).await;
    let path = board.folder.path().join("board.sqlite");
    assert!(matches!(Store::open(&path).await, Err(StoreError::InUse { .. })));
    assert!(matches!(board.store.live_sessions().await, Err(StoreError::NoBlock)));
    assert_eq!(board.store.newest().await.unwrap(), None);
    board.decide(1, vec![]).await;
    assert_eq!(board.store.newest().await.unwrap(), Some(board.at));
    let (payloads, snapshot) = (BTreeMap::new(), board.state.snapshot());
    let block =
        DecidedBlock { at: board.at, receipts: vec![], events: vec![], payloads, beside: BTreeMap::new(), snapshot };
    assert!(matches!(board.store.commit(&block).await, Err(StoreError::Database { .. })));
    board.store.close().await;
    let at = board.at;
    drop(board.store);
    assert_eq!(Store::open(&path).await.unwrap().newest().await.unwrap(), Some(at));
}
