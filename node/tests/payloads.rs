//! A node's payloads without consensus: what is stored, what is confirmed, what is dropped, and what is fetched past liars.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use futures::future::BoxFuture;
use ledger::{Event, Snapshot, StoredEntry, StoredSession};
use node::{
    channel::ChannelError,
    feed::{DecidedBlock, Feed},
    keeper::Keeper,
    payloads::{Parts, Payloads, fetch::Fetcher},
    peers::Peers,
    secrets::NodeSecrets,
    store::{PayloadStore, Store},
    stored::StoreError,
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::*;

const NODES: usize = 4;
/// Stands in no other file by chance.
const SECRET: [u8; 64] = *b"what nobody else must read: this very text, and nothing like it.";

fn chain() -> ChainId {
    "payloads-test".parse().unwrap()
}

fn key(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One node of four, whose board is what the test says.
struct Bench {
    folder: tempfile::TempDir,
    identities: Vec<Keypair>,
    parameters: NetworkParameters,
    author: Keypair,
    session: SessionId,
    board: Store,
    feed: Arc<Feed>,
    at: BoardAt,
    /// How the rules answer.
    verdict: Arc<Mutex<Result<(), Code>>>,
    stop: CancellationToken,
    payloads: Payloads,
}

impl Bench {
    async fn new() -> Self {
        let identities: Vec<Keypair> = (0..NODES).map(|_| Keypair::generate_with(OsRng)).collect();
        let author = Keypair::generate_with(OsRng);
        let record =
            |(i, keypair): (usize, &Keypair)| NodeSecrets::generate().record(format!("node{i}"), keypair, &chain());
        let parameters = NetworkParameters {
            chain: chain(),
            nodes: identities.iter().enumerate().map(record).collect(),
            operators: vec![key(&author)],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 1 << 30 },
        };
        let folder = tempfile::tempdir().unwrap();
        let board = Store::open(&folder.path().join("board.db")).await.unwrap();
        let feed = Arc::new(Feed::new(None));
        let (verdict, stop) = (Arc::new(Mutex::new(Ok(()))), CancellationToken::new());
        let session = SessionId([1; 32]);
        let payloads = start(folder.path(), &board, &feed, &verdict, &identities[0], &parameters, &stop).await;
        let at = BoardAt { height: 0, time_ms: now_ms(), root: Hash([0; 32]) };
        let mut bench =
            Self { folder, identities, parameters, author, session, board, feed, at, verdict, stop, payloads };
        bench.decide(vec![bench.session(Phase::Running)], &[], 0).await;
        bench
    }

    /// Ends the node and starts it again.
    async fn restart(&mut self) {
        self.stop.cancel();
        self.payloads.close().await;
        self.stop = CancellationToken::new();
        let (identity, verdict) = (&self.identities[0], &self.verdict);
        self.payloads =
            start(self.folder.path(), &self.board, &self.feed, verdict, identity, &self.parameters, &self.stop).await;
    }

    fn session(&self, phase: Phase) -> Event {
        let parties = vec![key(&self.author)];
        let spec = SessionSpec {
            title: String::new(),
            program: Program { name: "test".into(), version: "1".into(), digest: Hash([0; 32]) },
            admission: Admission::Invited { keys: parties.clone() },
            min_parties: 1,
            max_parties: 1,
            corruption_threshold: 0,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 9,
            max_message_bytes: 1_000_000,
            max_party_bytes: 1 << 30,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 1,
            running_ms: 1,
            retention_ms: 1,
            round_timeout_ms: None,
        };
        let list = list_digest(&parties);
        let record = SessionRecord {
            spec,
            creator: key(&self.author),
            nonce: Hash([0; 32]),
            created: 1,
            phase,
            deadline_ms: None,
            registration: None,
            parties: 1,
            list,
            absent: vec![],
            terminated: vec![],
            aborted: vec![],
            end: None,
            acknowledged: vec![],
        };
        Event::Session { session: self.session, stored: Box::new(StoredSession { record, parties }) }
    }

    /// A block with these events, which accepts these writes. All nodes have confirmed them.
    async fn decide(&mut self, mut events: Vec<Event>, writes: &[&Envelope], later_ms: u64) {
        self.at.height += 1;
        self.at.time_ms += later_ms;
        events.extend(writes.iter().map(|envelope| Event::Entry(self.entry(envelope))));
        let holders: Vec<PublicKey> = self.identities.iter().map(key).collect();
        let beside = writes.iter().map(|envelope| (envelope.id(), holders.clone())).collect();
        let (payloads, snapshot) = (BTreeMap::new(), Snapshot::default());
        let block = DecidedBlock { at: self.at, receipts: vec![], events, payloads, beside, snapshot };
        self.board.commit(&block).await.unwrap();
        self.feed.publish(block);
    }

    fn entry(&self, envelope: &Envelope) -> StoredEntry {
        let Operation::Write { mailbox, digest, length, .. } = envelope.signed.body else { panic!("{envelope:?}") };
        StoredEntry {
            mailbox,
            position: 0,
            operation: envelope.id(),
            author: envelope.signed.author,
            sender: 0,
            digest,
            length,
            signature: envelope.signed.signature,
            head: Hash([0; 32]),
        }
    }

    /// A private message to the author itself.
    fn write(&self, round: u32, text: &[u8]) -> Envelope {
        let item = PrivateItem { commitment: Hash([7; 32]), ciphertext: Bytes(text.to_vec()) };
        let set = PrivateSet { items: vec![Some(item)] };
        let payload = set.encode();
        let mailbox = MailboxId { session: self.session, kind: MailboxKind::Private, round };
        let operation = Operation::Write { mailbox, digest: set.root(), length: payload.length(), recipients: 1 };
        Envelope { signed: Signed::sign(&self.author, chain(), operation, OsRng), payload }
    }

    fn delivery(&self, gateway: usize, envelopes: &[&Envelope], life_ms: u64) -> Delivery {
        Delivery {
            gateway: key(&self.identities[gateway]),
            expiry_ms: self.at.time_ms + life_ms,
            height: self.at.height,
            envelopes: envelopes.iter().map(|envelope| (*envelope).clone()).collect(),
        }
    }

    /// The places that the node refuses of a delivery.
    async fn refused(&self, gateway: usize, envelopes: &[&Envelope], life_ms: u64) -> Vec<u16> {
        let delivery = self.delivery(gateway, envelopes, life_ms);
        let bundle = delivery.bundle();
        let confirmation = self.payloads.take(gateway, delivery).await.unwrap();
        let confirmation = confirmation.verify(&chain()).unwrap();
        assert_eq!(confirmation.author(), key(&self.identities[0]));
        let Confirmation { bundle: digest, expiry_ms, refused } = confirmation.into_body();
        assert_eq!((digest, expiry_ms), (bundle.digest(&chain()), bundle.expiry_ms));
        refused
    }

    async fn has(&self, envelope: &Envelope) -> bool {
        let found = self.payloads.for_peer(&envelope.id()).await.unwrap();
        assert!(found.as_ref().is_none_or(|payload| *payload == envelope.payload));
        found.is_some()
    }

    /// The node follows the board in the background.
    async fn comes_to_have(&self, envelope: &Envelope, wanted: bool) {
        let look = async {
            while self.has(envelope).await != wanted {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(15), look).await.unwrap();
    }

    /// Files of the node in which the secret stands.
    fn files_with_secret(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let holds = |path: &PathBuf| std::fs::read(path).unwrap().windows(SECRET.len()).any(|part| part == SECRET);
        files.filter(holds).collect()
    }
}

async fn start(
    folder: &Path,
    board: &Store,
    feed: &Arc<Feed>,
    verdict: &Arc<Mutex<Result<(), Code>>>,
    identity: &Keypair,
    parameters: &NetworkParameters,
    stop: &CancellationToken,
) -> Payloads {
    let verdict = Arc::clone(verdict);
    let parts = Parts {
        rows: PayloadStore::open(&folder.join("payloads.db")).await.unwrap(),
        board: board.clone(),
        feed: Arc::clone(feed),
        check: Arc::new(move |_| *verdict.lock().unwrap()),
        records: Arc::new(|_| None),
        verify: Arc::new(|_| true),
        keeper: Keeper::new(parameters.clone(), 0, Arc::new(NodeSecrets::generate())),
        identity: identity.clone(),
        parameters: parameters.clone(),
    };
    Payloads::start(parts, stop.clone()).await.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(15)
}

#[tokio::test]
async fn only_what_is_good_is_stored_and_confirmed() {
    let bench = Bench::new().await;
    let (good, mut forged, mut stuffed) = (bench.write(0, b"a"), bench.write(1, b"b"), bench.write(2, b"c"));
    forged.signed.author = key(&bench.identities[1]);
    stuffed.payload.0.push(0);
    let vote = Operation::Terminate { session: bench.session };
    let vote = Envelope { signed: Signed::sign(&bench.author, chain(), vote, OsRng), payload: Bytes::default() };
    let rival = bench.write(0, b"another body for the same slot");
    assert_eq!(bench.refused(1, &[&forged, &good, &stuffed, &vote, &rival], 9000).await, [0, 2, 3, 4]);
    assert!(bench.has(&good).await && !bench.has(&forged).await && !bench.has(&rival).await);
    assert_eq!(bench.refused(2, &[&good, &rival], 9000).await, [1], "the same again is confirmed again");
    *bench.verdict.lock().unwrap() = Err(Code::WrongPhase);
    assert_eq!(bench.refused(1, &[&bench.write(3, b"d")], 9000).await, [0], "the rules would not take it");

    let foreign = bench.delivery(2, &[&good], 9000);
    assert_eq!(bench.payloads.take(1, foreign).await.unwrap_err(), Code::NotPermitted);
    for life_ms in [0, limits::MAX_BUNDLE_MS + 60_000] {
        let delivery = bench.delivery(1, &[&good], life_ms);
        assert_eq!(bench.payloads.take(1, delivery).await.unwrap_err(), Code::HeightOutOfRange);
    }
}

#[tokio::test]
async fn what_is_confirmed_outlives_the_process_and_an_orphan_its_expiry_by_no_block() {
    let mut bench = Bench::new().await;
    let (accepted, orphan) = (bench.write(0, b"a"), bench.write(1, b"b"));
    assert!(bench.refused(1, &[&accepted, &orphan], 9000).await.is_empty());
    bench.restart().await;
    assert!(bench.has(&accepted).await && bench.has(&orphan).await);
    bench.decide(vec![], &[&accepted], 8999).await;
    assert!(bench.refused(2, &[&orphan], 5001).await.is_empty(), "another gateway wants it for longer");
    bench.decide(vec![], &[], 5000).await;
    bench.restart().await;
    assert!(bench.has(&orphan).await, "its time is not over before a block says so");
    bench.decide(vec![], &[], 1).await;
    bench.comes_to_have(&orphan, false).await;
    bench.decide(vec![], &[], 1_000_000).await;
    bench.restart().await;
    assert!(bench.has(&accepted).await, "what the board has accepted is no orphan");
}

/// What a node is asked for, and by what it answers.
type Answer = fn(&Envelope) -> Result<Vec<u8>, Code>;

fn peers(envelopes: Vec<Envelope>, answers: [Answer; 3]) -> (Peers, Arc<[AtomicUsize; 3]>) {
    let asked: Arc<[AtomicUsize; 3]> = Arc::default();
    let counted = Arc::clone(&asked);
    let post = move |peer: usize, _: &'static str, body: axum::body::Bytes, _| {
        counted[peer - 1].fetch_add(1, Ordering::SeqCst);
        let wanted = envelopes.iter().find(|envelope| envelope.id().0 == *body).expect("what is missing is asked for");
        let answer = answers[peer - 1](wanted);
        let answer = answer.map(Into::into).map_err(|code| ChannelError::Refused { peer, code, detail: String::new() });
        let hangs = matches!(answer, Err(ChannelError::Refused { code: Code::RequestTimeout, .. }));
        let answer: BoxFuture<'static, Result<axum::body::Bytes, ChannelError>> =
            if hangs { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(answer)) };
        answer
    };
    (Peers::new(vec![1, 2, 3], Arc::new(post)), asked)
}

fn nothing(_: &Envelope) -> Result<Vec<u8>, Code> {
    Err(Code::UnknownOperation)
}

fn something_else(_: &Envelope) -> Result<Vec<u8>, Code> {
    Ok(b"something else".to_vec())
}

/// It never answers.
fn hangs(_: &Envelope) -> Result<Vec<u8>, Code> {
    Err(Code::RequestTimeout)
}

fn payload(envelope: &Envelope) -> Result<Vec<u8>, Code> {
    Ok(envelope.payload.0.clone())
}

#[tokio::test]
async fn what_is_missing_is_fetched_past_those_who_lie_and_they_are_asked_last_from_then_on() {
    let mut bench = Bench::new().await;
    let missing: Vec<Envelope> = (0..8).map(|round| bench.write(round, &[u8::try_from(round).unwrap(); 100])).collect();
    let (peers, asked) = peers(missing.clone(), [nothing, something_else, payload]);
    tokio::spawn(Fetcher::new(bench.payloads.clone(), peers).run(bench.stop.clone()));
    bench.decide(vec![], &missing[..4].iter().collect::<Vec<_>>(), 1).await;
    for envelope in &missing[..4] {
        let found = bench.payloads.of_entry(&bench.entry(envelope), soon()).await.unwrap();
        assert_eq!(found, envelope.payload, "a read waits for it");
    }
    let lies = || [0, 1].map(|liar| asked[liar].load(Ordering::SeqCst));
    let before = lies();
    assert!(before.iter().sum::<usize>() > 0, "somebody lied");
    bench.decide(vec![], &missing[4..].iter().collect::<Vec<_>>(), 1).await;
    for envelope in &missing[4..] {
        bench.payloads.of_entry(&bench.entry(envelope), soon()).await.unwrap();
    }
    let relapses: usize = std::iter::zip(lies(), before).map(|(after, before)| after - before).sum();
    // A liar that nobody has asked yet is found out once.
    assert!(relapses <= before.iter().filter(|count| **count == 0).count() * 8, "{before:?} then {:?}", lies());
    bench.restart().await;
    for envelope in &missing {
        assert!(bench.has(envelope).await, "what was fetched is stored");
    }
}

#[tokio::test]
async fn a_node_that_hangs_keeps_nobody_waiting_for_long_and_is_asked_last_from_then_on() {
    let mut bench = Bench::new().await;
    let missing: Vec<Envelope> =
        (0..24).map(|round| bench.write(round, &[u8::try_from(round).unwrap(); 100])).collect();
    let (peers, asked) = peers(missing.clone(), [something_else, hangs, payload]);
    tokio::spawn(Fetcher::new(bench.payloads.clone(), peers).run(bench.stop.clone()));
    for envelope in &missing {
        bench.decide(vec![], &[envelope], 1).await;
        assert_eq!(bench.payloads.of_entry(&bench.entry(envelope), soon()).await.unwrap(), envelope.payload);
    }
    // A third of all begin with it, and it has kept nobody waiting but the first of them.
    assert_eq!(asked[1].load(Ordering::SeqCst), 1);
    assert_eq!(asked[2].load(Ordering::SeqCst), 24);
}

#[tokio::test]
async fn a_read_gets_the_right_payload_or_none() {
    let mut bench = Bench::new().await;
    let (missing, entry) = (bench.write(0, b"a"), bench.entry(&bench.write(0, b"a")));
    let (peers, asked) = peers(vec![missing.clone()], [nothing, something_else, something_else]);
    tokio::spawn(Fetcher::new(bench.payloads.clone(), peers).run(bench.stop.clone()));
    bench.decide(vec![], &[&missing], 1).await;
    let until = Instant::now() + Duration::from_millis(500);
    let told = bench.payloads.of_entry(&entry, until).await.unwrap_err();
    assert!(matches!(told, StoreError::MissingPayload { operation } if operation == missing.id()), "{told}");
    assert!(asked.iter().all(|asked| asked.load(Ordering::SeqCst) > 0), "all were asked");
    // Its author brings it to a gateway again, which delivers it.
    *bench.verdict.lock().unwrap() = Err(Code::DuplicateSame);
    assert!(bench.refused(1, &[&missing], 9000).await.is_empty());
    assert_eq!(bench.payloads.of_entry(&entry, soon()).await.unwrap(), missing.payload);
    bench.decide(vec![bench.session(Phase::Erased), Event::Erased { session: bench.session }], &[], 1).await;
    bench.comes_to_have(&missing, false).await;
    let told = bench.payloads.of_entry(&entry, soon()).await.unwrap_err();
    assert!(matches!(told, StoreError::Erased), "{told}");
}

#[tokio::test]
async fn a_restart_finds_again_what_is_missing() {
    let mut bench = Bench::new().await;
    let missing = bench.write(0, b"a");
    bench.decide(vec![], &[&missing], 1).await;
    bench.restart().await;
    let (peers, _) = peers(vec![missing.clone()], [payload, nothing, something_else]);
    tokio::spawn(Fetcher::new(bench.payloads.clone(), peers).run(bench.stop.clone()));
    bench.comes_to_have(&missing, true).await;
}

#[tokio::test]
async fn what_is_erased_stands_in_no_file() {
    let mut bench = Bench::new().await;
    let (accepted, pending) = (bench.write(0, &SECRET), bench.write(1, &SECRET));
    assert!(bench.refused(1, &[&accepted, &pending], 9000).await.is_empty());
    bench.decide(vec![], &[&accepted], 1).await;
    assert!(!bench.files_with_secret().is_empty(), "the search finds it while it is there");
    bench.decide(vec![bench.session(Phase::Erased), Event::Erased { session: bench.session }], &[], 1).await;
    let look = async {
        while !bench.files_with_secret().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(15), look).await.expect("it is gone");
    assert!(!bench.has(&accepted).await && !bench.has(&pending).await);
}
