//! Solutions at one node without consensus: what is verified, how often, in which order, and what is left of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/open.rs"]
mod open;

use axum::{Extension, body::Body, http::Request};
use futures::future::BoxFuture;
use ledger::{Event, Snapshot, StoredListing, StoredSession};
use node::{
    bundler::{self, Bundler},
    channel::{ChannelError, Peer},
    feed::{DecidedBlock, Feed},
    payloads::{Parts, Payloads, routes},
    peers::Peers,
    secrets::NodeSecrets,
    store::{PayloadStore, Store},
};
use open::{key, solve};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wire::*;

const NODES: usize = 4;
/// A proof that is right, as far as this test is concerned: one whose first byte is 1.
const SOUND: u8 = 1;
const WRONG: u8 = 0;
/// No places.
const NONE: [u16; 0] = [];

fn chain() -> ChainId {
    "solutions-test".parse().unwrap()
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What the test decides and sees of the thread that verifies.
#[derive(Clone)]
struct Thread {
    verified: Arc<AtomicUsize>,
    /// Its priority: the higher, the more it gives way.
    niceness: Arc<AtomicI32>,
    /// It verifies only while this is true.
    works: watch::Sender<bool>,
}

/// Node 0 of four, whose board is what the test says.
struct Bench {
    folder: tempfile::TempDir,
    identities: Vec<Keypair>,
    parameters: NetworkParameters,
    session: SessionId,
    record: Arc<Mutex<SessionRecord>>,
    board: Store,
    feed: Arc<Feed>,
    at: BoardAt,
    thread: Thread,
    stop: CancellationToken,
    payloads: Payloads,
}

impl Bench {
    async fn new() -> Self {
        let identities: Vec<Keypair> = (0..NODES).map(|_| Keypair::generate_with(OsRng)).collect();
        let record =
            |(i, keypair): (usize, &Keypair)| NodeSecrets::generate().record(format!("node{i}"), keypair, &chain());
        let parameters = NetworkParameters {
            chain: chain(),
            nodes: identities.iter().enumerate().map(record).collect(),
            operators: vec![key(&identities[0])],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 1 << 30 },
        };
        let folder = tempfile::tempdir().unwrap();
        let board = Store::open(&folder.path().join("board.db")).await.unwrap();
        let (feed, stop) = (Arc::new(Feed::new(None)), CancellationToken::new());
        let record = Arc::new(Mutex::new(solving(key(&identities[0]))));
        let thread = Thread { verified: Arc::default(), niceness: Arc::default(), works: watch::Sender::new(true) };
        let payloads = start(folder.path(), &board, &feed, &record, &thread, &identities[0], &parameters, &stop).await;
        let at = BoardAt { height: 0, time_ms: now_ms(), root: Hash([0; 32]) };
        let session = SessionId([1; 32]);
        let mut bench =
            Self { folder, identities, parameters, session, record, board, feed, at, thread, stop, payloads };
        bench.decide(vec![bench.changed()]).await;
        bench
    }

    async fn restart(&mut self) {
        self.stop.cancel();
        self.payloads.close().await;
        self.stop = CancellationToken::new();
        let Self { board, feed, record, thread, identities, parameters, stop, .. } = self;
        self.payloads = start(self.folder.path(), board, feed, record, thread, &identities[0], parameters, stop).await;
    }

    /// The session as it is now.
    fn changed(&self) -> Event {
        let record = self.record.lock().unwrap().clone();
        Event::Session { session: self.session, stored: Box::new(StoredSession { record, parties: vec![] }) }
    }

    async fn decide(&mut self, events: Vec<Event>) {
        self.at.height += 1;
        let (payloads, beside, snapshot) = (BTreeMap::new(), BTreeMap::new(), Snapshot::default());
        let block = DecidedBlock { at: self.at, receipts: vec![], events, payloads, beside, snapshot };
        self.board.commit(&block).await.unwrap();
        self.feed.publish(block);
    }

    /// A solution of `author`; what is in it beside the first byte makes it another one.
    fn solution(&self, author: &Keypair, first: u8, number: u8) -> Envelope {
        let proof = Bytes(vec![first, number]);
        let solution = Solution { chain: chain(), session: self.session, key: key(author), proof };
        solve(&chain(), self.session, author, solution.encode())
    }

    fn write(&self, author: &Keypair) -> Envelope {
        let payload = Bytes(vec![7; 100]);
        let mailbox = MailboxId { session: self.session, kind: MailboxKind::Broadcast, round: 0 };
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        Envelope { payload, ..open::sign(&chain(), author, operation) }
    }

    fn delivery(&self, gateway: usize, envelopes: &[&Envelope]) -> Delivery {
        Delivery {
            gateway: key(&self.identities[gateway]),
            expiry_ms: self.at.time_ms + 60_000,
            height: self.at.height,
            envelopes: envelopes.iter().map(|envelope| (*envelope).clone()).collect(),
        }
    }

    /// The places that the node refuses of a delivery.
    async fn refused(&self, gateway: usize, envelopes: &[&Envelope]) -> Vec<u16> {
        self.payloads.take(gateway, self.delivery(gateway, envelopes)).await.unwrap().body.refused
    }

    /// What the node that a client brings it to says.
    async fn examine(&self, envelope: &Envelope) -> Result<(), Code> {
        let (operation, payload) = envelope.clone().verify(&chain()).unwrap();
        self.payloads.examine(&operation, &payload).await
    }

    fn verified(&self) -> usize {
        self.thread.verified.load(Ordering::SeqCst)
    }

    async fn comes_to_drop(&self, envelope: &Envelope) {
        let look = async {
            while self.payloads.for_peer(&envelope.id()).await.unwrap().is_some() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(15), look).await.unwrap();
    }

    /// Files of the node in which the bytes stand.
    fn files_with(&self, bytes: &[u8]) -> usize {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| std::fs::read(path).unwrap().windows(bytes.len()).any(|part| part == bytes)).count()
    }
}

/// A session whose challenge is drawn.
fn solving(creator: PublicKey) -> SessionRecord {
    SessionRecord {
        spec: open::spec(open::terms(1000, 1000), 3, 100),
        creator,
        nonce: Hash([0; 32]),
        created: 1,
        phase: Phase::Solving,
        deadline_ms: None,
        registration: Some(RegistrationState { epoch: 1, challenge: Some(G1Bytes([7; 48])), drawn_from_ms: None }),
        parties: 0,
        list: list_digest(&[]),
        absent: vec![],
        terminated: vec![],
        aborted: vec![],
        end: None,
        acknowledged: vec![],
    }
}

#[expect(clippy::too_many_arguments, reason = "all that a node is made of")]
async fn start(
    folder: &Path,
    board: &Store,
    feed: &Arc<Feed>,
    record: &Arc<Mutex<SessionRecord>>,
    thread: &Thread,
    identity: &Keypair,
    parameters: &NetworkParameters,
    stop: &CancellationToken,
) -> Payloads {
    let (checked, record, thread) = (Arc::clone(record), Arc::clone(record), thread.clone());
    let parts = Parts {
        rows: PayloadStore::open(&folder.join("payloads.db")).await.unwrap(),
        board: board.clone(),
        feed: Arc::clone(feed),
        check: Arc::new(move |_| match checked.lock().unwrap().phase {
            Phase::Solving => Ok(()),
            _ => Err(Code::SolvingClosed),
        }),
        records: Arc::new(move |_| Some(record.lock().unwrap().clone())),
        verify: Arc::new(move |task| {
            let mut works = thread.works.subscribe();
            futures::executor::block_on(works.wait_for(|works| *works)).unwrap();
            thread.niceness.store(rustix::process::getpriority_process(None).unwrap(), Ordering::SeqCst);
            thread.verified.fetch_add(1, Ordering::SeqCst);
            task.proof.0.first() == Some(&SOUND)
        }),
        keeper: node::keeper::Keeper::new(parameters.clone(), 0, Arc::new(NodeSecrets::generate())),
        identity: identity.clone(),
        parameters: parameters.clone(),
    };
    Payloads::start(parts, stop.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solution_is_verified_once_however_many_bring_it() {
    let mut bench = Bench::new().await;
    let author = Keypair::generate_with(OsRng);
    let solution = bench.solution(&author, SOUND, 0);
    bench.thread.works.send_replace(false);
    let only = [&solution];
    let (by_client, first, second) = (bench.examine(&solution), bench.refused(1, &only), bench.refused(2, &only));
    let go = async {
        tokio::task::yield_now().await;
        bench.thread.works.send_replace(true);
    };
    let (by_client, first, second, ()) = tokio::join!(by_client, first, second, go);
    assert_eq!((by_client, first, second), (Ok(()), vec![], vec![]));
    assert_eq!(bench.refused(3, &[&solution]).await, NONE);
    assert_eq!(bench.verified(), 1);
    if cfg!(target_os = "linux") {
        let own = rustix::process::getpriority_process(None).unwrap();
        let niceness = bench.thread.niceness.load(Ordering::SeqCst);
        assert_eq!(niceness, (own + 10).min(19), "it gives way to everything else");
    }
    bench.restart().await;
    assert_eq!(bench.refused(3, &[&solution]).await, NONE);
    assert_eq!((bench.examine(&solution).await, bench.verified()), (Ok(()), 1), "what is stored was verified");
    let rival = bench.solution(&author, SOUND, 1);
    assert_eq!(bench.refused(3, &[&rival]).await, [0], "one for each key");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_brings_wrong_solutions_makes_a_node_verify_one() {
    let mut bench = Bench::new().await;
    let (wrong, honest) = (Keypair::generate_with(OsRng), Keypair::generate_with(OsRng));
    let attempts: Vec<Envelope> = (0..20).map(|number| bench.solution(&wrong, WRONG, number)).collect();
    for (number, attempt) in attempts.iter().enumerate() {
        let expected = if number == 0 { Code::BadSolution } else { Code::QuotaExceeded };
        assert_eq!(bench.examine(attempt).await, Err(expected), "{number}");
        assert_eq!(bench.refused(1, &[attempt]).await, [0]);
    }
    assert_eq!(bench.verified(), 1);
    assert_eq!(bench.examine(&bench.solution(&wrong, WRONG, 0)).await, Err(Code::BadSolution), "signed again");
    assert_eq!(bench.refused(1, &[&bench.solution(&honest, SOUND, 0), &attempts[0]]).await, [1], "others may go on");
    let stolen = solve(&chain(), bench.session, &honest, bench.solution(&wrong, SOUND, 0).payload);
    assert_eq!(bench.examine(&stolen).await, Err(Code::StolenSolution));
    assert_eq!(bench.verified(), 2, "what is no solution for its author is not looked at");

    // What is known of a session is forgotten when it takes no more.
    bench.record.lock().unwrap().phase = Phase::Keying;
    bench.decide(vec![bench.changed()]).await;
    bench.comes_to_drop(&bench.solution(&honest, SOUND, 0)).await;
    assert_eq!(bench.examine(&attempts[0]).await, Err(Code::SolvingClosed));
    bench.record.lock().unwrap().phase = Phase::Solving;
    assert_eq!(bench.examine(&attempts[0]).await, Err(Code::BadSolution));
    assert_eq!(bench.verified(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_solution_that_is_signed_again_is_the_same_one() {
    let bench = Bench::new().await;
    let author = Keypair::generate_with(OsRng);
    let [first, again] = [(); 2].map(|()| bench.solution(&author, SOUND, 0));
    assert_ne!(first.signed.signature, again.signed.signature);
    assert_eq!((bench.examine(&first).await, bench.examine(&again).await), (Ok(()), Ok(())));
    assert_eq!(bench.refused(1, &[&again]).await, NONE);
    assert_eq!(bench.verified(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_few_solutions_at_once_and_nothing_else_among_them() {
    let bench = Bench::new().await;
    let router = routes::router(bench.payloads.clone()).layer(Extension(Peer(1)));
    let answer = async |envelopes: &[Envelope]| {
        let delivery = bench.delivery(1, &envelopes.iter().collect::<Vec<_>>());
        let request = Request::post(bundler::ROUTE).body(Body::from(delivery.encode().0)).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    let authors: Vec<Keypair> = (0..=limits::MAX_BUNDLE_SOLUTIONS).map(|_| Keypair::generate_with(OsRng)).collect();
    let mut solutions: Vec<Envelope> = authors.iter().map(|author| bench.solution(author, SOUND, 0)).collect();
    assert_eq!(answer(&solutions).await, 400, "one too many");
    solutions.pop();
    let write = bench.write(&authors[0]);
    assert_eq!(answer(&[solutions[0].clone(), write]).await, 400, "a write among them");
    assert_eq!(bench.verified(), 0);
    assert_eq!(answer(&solutions).await, 200);
    assert_eq!(bench.verified(), limits::MAX_BUNDLE_SOLUTIONS);
}

/// Consensus may stand still across the deadline, and the board still be that of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_by_the_nodes_own_clock_is_let_through_only_if_it_was_here_before() {
    let bench = Bench::new().await;
    let [first, second] = [(); 2].map(|()| bench.solution(&Keypair::generate_with(OsRng), SOUND, 0));
    let drawn_from = |ms| {
        let mut record = bench.record.lock().unwrap();
        record.registration.iter_mut().for_each(|registration| registration.drawn_from_ms = Some(ms));
        ledger::solutions_until_ms(&record).unwrap() - ms
    };
    let lasts = drawn_from(now_ms());
    assert_eq!(bench.examine(&first).await, Ok(()));
    drawn_from(now_ms() - lasts);
    assert_eq!(bench.examine(&second).await, Err(Code::SolvingClosed));
    assert_eq!(bench.refused(1, &[&second, &first]).await, [0], "who was in time may come again");
    assert_eq!(bench.verified(), 1);
    drawn_from(now_ms());
    assert_eq!(bench.examine(&second).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_waits_for_proofs_of_work_and_those_that_wait_are_bounded() {
    let bench = Bench::new().await;
    bench.thread.works.send_replace(false);
    let router = routes::router(bench.payloads.clone()).layer(Extension(Peer(1)));
    let authors: Vec<Keypair> = (0..40).map(|_| Keypair::generate_with(OsRng)).collect();
    let post = |delivery: Delivery| {
        let request = Request::post(bundler::ROUTE).body(Body::from(delivery.encode().0)).unwrap();
        router.clone().oneshot(request)
    };
    let mut stuck: Vec<_> = Vec::new();
    let mut refused = 0;
    for author in &authors {
        let answer = tokio::spawn(post(bench.delivery(1, &[&bench.solution(author, SOUND, 0)])));
        stuck.push(answer);
    }
    let overloaded = async {
        while refused == 0 {
            refused = stuck.iter().filter(|answer| answer.is_finished()).count();
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(15), overloaded).await.expect("too many at the same time are refused");
    let write = post(bench.delivery(1, &[&bench.write(&authors[0])]));
    let written = timeout(Duration::from_secs(15), write).await.expect("a write does not wait").unwrap();
    assert_eq!(written.status(), 200);
    assert_eq!(bench.verified(), 0, "none was verified meanwhile");
    bench.thread.works.send_replace(true);
    let mut good = 0;
    for answer in stuck {
        let status = answer.await.unwrap().unwrap().status();
        assert!(status == 200 || status == 429, "{status}");
        good += usize::from(status == 200);
    }
    assert!(good > 0 && good < authors.len(), "{good}");
    assert_eq!(bench.verified(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_proofs_nothing_remains() {
    let mut bench = Bench::new().await;
    let authors: Vec<Keypair> = (0..4).map(|_| Keypair::generate_with(OsRng)).collect();
    let solutions: Vec<Envelope> = authors.iter().map(|author| bench.solution(author, SOUND, 0)).collect();
    assert_eq!(bench.refused(1, &solutions.iter().collect::<Vec<_>>()).await, NONE);
    assert!(bench.files_with(&solutions[3].payload.0) > 0, "the search finds it while it is there");
    let listing = |envelope: &Envelope, position| StoredListing {
        session: bench.session,
        list: ListKind::Solvers,
        position,
        key: envelope.signed.author,
        operation: envelope.id(),
        head: Hash([0; 32]),
    };
    // One is taken; another one while the node was away from its payloads.
    let (first, second) = (listing(&solutions[0], 0), listing(&solutions[1], 1));
    bench.decide(vec![Event::Listed(first)]).await;
    bench.comes_to_drop(&solutions[0]).await;
    bench.stop.cancel();
    bench.decide(vec![Event::Listed(second)]).await;
    bench.restart().await;
    bench.comes_to_drop(&solutions[1]).await;
    assert!(bench.payloads.for_peer(&solutions[2].id()).await.unwrap().is_some(), "that one waits yet");

    bench.record.lock().unwrap().phase = Phase::Keying;
    bench.decide(vec![bench.changed()]).await;
    bench.comes_to_drop(&solutions[2]).await;
    let gone = async {
        while solutions.iter().any(|solution| bench.files_with(&solution.payload.0) > 0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(15), gone).await.expect("they are in no file");
    assert_eq!(bench.refused(2, &[&solutions[3]]).await, [0]);
    bench.stop.cancel();
    bench.payloads.close().await;
    let rows = PayloadStore::open(&bench.folder.path().join("payloads.db")).await.unwrap();
    assert_eq!(rows.load().await.unwrap(), []);
}

/// Node 1 never has time for solutions, and nodes 2 and 3 confirm all.
fn peers(bench: &Bench, asked: watch::Sender<usize>) -> Peers {
    let identities = bench.identities.clone();
    let post = move |peer: usize, _: &'static str, body: axum::body::Bytes, _| {
        let (identity, asked) = (identities[peer].clone(), asked.clone());
        let answer: BoxFuture<'static, Result<axum::body::Bytes, ChannelError>> = Box::pin(async move {
            let delivery = Delivery::decode(&body).unwrap();
            if peer == 1 && bundler::has_solutions(&delivery) {
                asked.send_modify(|asked| *asked += 1);
                return std::future::pending().await;
            }
            let bundle = delivery.bundle().digest(&chain());
            let confirmation = Confirmation { bundle, expiry_ms: delivery.expiry_ms, refused: vec![] };
            Ok(borsh::to_vec(&Signed::sign(&identity, chain(), confirmation, OsRng)).unwrap().into())
        });
        answer
    };
    Peers::new(vec![1, 2, 3], Arc::new(post))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_slow_with_solutions_delays_nobody_and_gets_its_writes() {
    let bench = Bench::new().await;
    let asked = watch::Sender::new(0);
    let bundler = Bundler::new(bench.payloads.clone(), peers(&bench, asked.clone()), 0, Arc::new(|_| false));
    let deliver = async |envelope: Envelope| {
        let (operation, _) = envelope.clone().verify(&chain()).unwrap();
        assert!(bundler.travels_beside(operation.body()));
        let delivered = timeout(Duration::from_secs(15), bundler.deliver(vec![(operation, envelope)])).await;
        delivered.expect("nobody waits for the slow one").unwrap()
    };
    let authors: Vec<Keypair> = (0..12).map(|_| Keypair::generate_with(OsRng)).collect();
    for author in &authors {
        let delivered = deliver(bench.solution(author, SOUND, 0)).await;
        assert_eq!((delivered.stored, delivered.bundle.confirmations.len()), (vec![true], 3));
    }
    let mut given = asked.subscribe();
    timeout(Duration::from_secs(15), given.wait_for(|given| *given == 4)).await.expect("it is given a few").unwrap();
    let written = deliver(bench.write(&authors[0])).await;
    assert_eq!(written.stored, [true]);
    assert_eq!(*asked.borrow(), 4, "and then no more");
}
