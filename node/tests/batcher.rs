//! The batcher in front of a consensus engine that does as it is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use axum::{Json, Router, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use ledger::Snapshot;
use node::{
    bundler::Bundler,
    consensus::Consensus,
    feed::{DecidedBlock, Feed},
    payloads::{self, Payloads, Records},
    peers::Peers,
    rpc,
    store::{PayloadStore, Store},
    submit::{Check, Fate, Submitter},
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::*;

/// A batcher, its store and feed, and the transactions that the engine is handed.
struct Bench {
    submitter: Submitter,
    store: Store,
    feed: Arc<Feed>,
    handed: mpsc::UnboundedReceiver<Vec<Envelope>>,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

fn chain() -> ChainId {
    "batcher-test".parse().unwrap()
}

fn envelopes(transaction: Transaction) -> Vec<Envelope> {
    let inline = |item: TransactionItem| match item.payload {
        Carried::Inline { payload } => Envelope { signed: item.signed, payload },
        Carried::Beside { .. } => panic!("{item:?}"),
    };
    transaction.items.into_iter().map(inline).collect()
}

/// A bundler of the only node, whose key is new each time.
async fn bundler(
    folder: &tempfile::TempDir,
    store: &Store,
    feed: &Arc<Feed>,
    check: &Check,
    shutdown: &CancellationToken,
) -> Bundler {
    let identity = Keypair::generate_with(OsRng);
    let key = PublicKey(identity.public.to_bytes());
    let secrets = node::secrets::NodeSecrets::generate();
    let parameters = NetworkParameters {
        chain: chain(),
        nodes: vec![secrets.record("solo".into(), &identity, &chain())],
        operators: vec![key],
        creators: Creators::Operators,
        quotas: Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 1 },
    };
    let keeper = node::keeper::Keeper::new(parameters.clone(), 0, Arc::new(secrets));
    let parts = payloads::Parts {
        rows: PayloadStore::open(&folder.path().join("payloads.sqlite")).await.unwrap(),
        board: store.clone(),
        feed: Arc::clone(feed),
        check: Arc::clone(check),
        records: Arc::new(|_| None),
        verify: Arc::new(|_| true),
        keeper,
        identity,
        parameters,
    };
    let payloads = Payloads::start(parts, shutdown.clone()).await.unwrap();
    Bundler::new(payloads, Peers::none(), 0, Arc::new(|_| true))
}

impl Bench {
    /// The engine gives `reply` to everything.
    async fn new(reply: Value) -> Self {
        let (sender, handed) = mpsc::unbounded_channel();
        let rpc = async move |Json(call): Json<Value>| {
            let transaction = STANDARD.decode(call["params"]["tx"].as_str().unwrap()).unwrap();
            sender.send(envelopes(Transaction::decode(&transaction).unwrap())).unwrap();
            Json(reply)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, Router::new().route("/", post(rpc))).into_future());
        let (_, readiness) = watch::channel(Ok(()));
        let consensus = Consensus::Comet(rpc::Client::new(address, readiness).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("board.sqlite")).await.unwrap();
        let feed = Arc::new(Feed::new(None));
        let (check, shutdown): (Check, _) = (Arc::new(|_| Ok(())), CancellationToken::new());
        let bundler = bundler(&folder, &store, &feed, &check, &shutdown).await;
        let rules: (Check, Records) = (check, Arc::new(|_| None));
        let submitter = Submitter::start(store.clone(), &feed, consensus, rules, bundler, shutdown.clone());
        let mut bench = Self { submitter, store, feed, handed, shutdown, _folder: folder };
        bench.decide(1, vec![]).await;
        bench
    }

    async fn decide(&mut self, height: u64, receipts: Vec<Receipt>) -> BoardAt {
        let at = BoardAt { height, time_ms: height, root: Hash([0; 32]) };
        let (payloads, snapshot) = (BTreeMap::new(), Snapshot::default());
        let block = DecidedBlock { at, receipts, events: vec![], payloads, beside: BTreeMap::new(), snapshot };
        self.store.commit(&block).await.unwrap();
        self.feed.publish(block);
        at
    }

    async fn submit(&self, envelope: &Envelope, decided: bool) -> oneshot::Receiver<Fate> {
        let (verified, _) = envelope.clone().verify(&chain()).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        self.submitter.submit(verified, envelope.clone(), until, decided).await.unwrap()
    }
}

fn operation(number: u8) -> Envelope {
    let body = Operation::Terminate { session: SessionId([number; 32]) };
    let signed = Signed::sign(&Keypair::generate_with(OsRng), chain(), body, OsRng);
    Envelope { signed, payload: Bytes::default() }
}

async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(15), wanted).await.unwrap()
}

#[tokio::test]
async fn an_undecided_operation_is_handed_in_again_and_all_who_wait_are_told() {
    let mut bench = Bench::new(json!({ "result": { "code": 0 } })).await;
    let (kept, dropped) = (operation(1), operation(2));
    let (one, two) = (bench.submit(&kept, true).await, bench.submit(&kept, true).await);
    let withdrawn = bench.submit(&dropped, true).await;
    let mut handed = Vec::new();
    while handed.len() < 2 {
        handed.extend(soon(bench.handed.recv()).await.unwrap());
    }
    assert_eq!(handed, [kept.clone(), dropped], "the same operation is handed in once");
    drop(withdrawn);
    let again = soon(bench.handed.recv()).await.unwrap();
    assert_eq!(again, std::slice::from_ref(&kept), "nobody waits for the other any more");
    let receipt = Receipt { operation: kept.id(), height: 2, position: 0, code: Code::Accepted };
    let at = bench.decide(2, vec![receipt]).await;
    assert_eq!(soon(one).await.unwrap(), Fate::Decided { at, receipt });
    assert_eq!(soon(two).await.unwrap(), Fate::Decided { at, receipt });
}

#[tokio::test]
async fn operations_that_come_together_travel_together() {
    let mut bench = Bench::new(json!({ "result": { "code": 0 } })).await;
    let mut fates = Vec::new();
    for number in 0..=255 {
        fates.push(bench.submit(&operation(number), false).await);
    }
    for fate in fates {
        assert_eq!(soon(fate).await.unwrap(), Fate::HandedIn);
    }
    let (mut transactions, mut operations) = (0, 0);
    while operations < 256 {
        transactions += 1;
        operations += soon(bench.handed.recv()).await.unwrap().len();
    }
    assert_eq!(operations, 256);
    assert!(transactions < 64, "{transactions}");
}

/// A party that signs many messages for one slot would else fill blocks with what the board refuses.
#[tokio::test]
async fn one_operation_for_a_slot_is_on_its_way_at_a_time() {
    let mut bench = Bench::new(json!({ "result": { "code": 0 } })).await;
    let author = Keypair::generate_with(OsRng);
    let abort = |reason: &str| {
        let body = Operation::Abort { session: SessionId([1; 32]), reason: reason.to_owned() };
        Envelope { signed: Signed::sign(&author, chain(), body, OsRng), payload: Bytes::default() }
    };
    let (first, second, other) = (abort("one"), abort("two"), operation(1));
    let told = bench.submit(&first, true).await;
    let held = bench.submit(&second, true).await;
    let _other = bench.submit(&other, true).await;
    let mut handed = Vec::new();
    while !handed.contains(&other) {
        handed.extend(soon(bench.handed.recv()).await.unwrap());
    }
    assert_eq!(handed, [first.clone(), other]);
    let receipt = Receipt { operation: first.id(), height: 2, position: 0, code: Code::Accepted };
    let at = bench.decide(2, vec![receipt]).await;
    assert_eq!(soon(told).await.unwrap(), Fate::Decided { at, receipt });
    // These rules would take it, so that it has its turn.
    while !handed.contains(&second) {
        handed.extend(soon(bench.handed.recv()).await.unwrap());
    }
    let receipt = Receipt { operation: second.id(), height: 3, position: 0, code: Code::DuplicateSame };
    let at = bench.decide(3, vec![receipt]).await;
    assert_eq!(soon(held).await.unwrap(), Fate::Decided { at, receipt });
}

#[tokio::test]
async fn a_duplicate_gets_the_receipt_of_the_original() {
    let reply = json!({ "error": { "message": "Internal error", "data": "tx already exists in cache" } });
    let mut bench = Bench::new(reply).await;
    let known = operation(1);
    let receipt = Receipt { operation: known.id(), height: 2, position: 0, code: Code::Accepted };
    let at = bench.decide(2, vec![receipt]).await;
    assert_eq!(soon(bench.submit(&known, true).await).await.unwrap(), Fate::Decided { at, receipt });
    let again = operation(2);
    let fate = bench.submit(&again, true).await;
    let original = Receipt { operation: again.id(), ..receipt };
    bench.decide(3, vec![Receipt { height: 3, ..original }]).await;
    let at = bench.decide(4, vec![Receipt { height: 4, code: Code::DuplicateSame, ..original }]).await;
    let Fate::Decided { at: told, receipt } = soon(fate).await.unwrap() else { panic!() };
    assert!(told <= at);
    assert_eq!((receipt.height, receipt.code), (3, Code::Accepted));
}

#[tokio::test]
async fn what_is_not_taken_is_said_at_once() {
    let refused = async |bench: &Bench| match soon(bench.submit(&operation(1), true).await).await.unwrap() {
        Fate::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let full = Bench::new(json!({ "error": { "message": "Internal error", "data": "mempool is full: 5000" } })).await;
    assert_eq!(refused(&full).await, Code::Overloaded);
    let failing = Bench::new(json!({ "error": { "message": "Internal error", "data": "no" } })).await;
    assert_eq!(refused(&failing).await, Code::Unavailable);
    let refusing = Bench::new(json!({ "result": { "code": 14 } })).await;
    assert_eq!(refused(&refusing).await, Code::WrongPhase);
    let stopping = Bench::new(json!({ "result": { "code": 0 } })).await;
    let fate = stopping.submit(&operation(1), true).await;
    stopping.shutdown.cancel();
    assert!(matches!(soon(fate).await.unwrap(), Fate::Refused { code: Code::Unavailable, .. }));
}
