//! A board in this process: one solo chain, served by as many nodes as a test wants, some of them faulty.

use super::beside::beside;
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use bls::Domain;
use borsh::BorshDeserialize;
use client_sdk::{Client, Identity};
use node::{
    certified::{CertifiedBoard, CertifiedFeed},
    consensus::Consensus,
    executor::Executor,
    feed::DecidedBlock,
    gateway::{Gateway, Parts},
    generator::Generator,
    http::server::{ServerLimits, serve},
    keyring::Keyring,
    participant::Participant,
    secrets::NodeSecrets,
    seeds::Seeds,
    solo::{Clock, Solo},
    store::Store,
    ticker::Ticker,
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use white_city_tests::liar::{Liar, Lie};
use wire::{
    Admission, Certificate, Creators, Envelope, FactKey, G1Bytes, Hash, NetworkFile, NetworkParameters, NodeAddress,
    Program, PublicKey, Quotas, SessionSpec, Submission, certificate_message,
};

/// How a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As it should.
    Honest,
    /// Nobody listens.
    Down,
    /// Takes requests and never answers.
    Silent,
    /// Answers with bytes that mean nothing.
    Garbage,
    /// As it should, until [`Board::freeze`]: then it stays as it is, and shows nothing that comes.
    Freezing,
    /// Lies, and would sign its receipts properly.
    Lying(Lie),
}

/// A running board. Stops when it is dropped.
pub struct Board {
    pub network: NetworkFile,
    pub creator: Identity,
    /// How often a faulty node did its fault.
    pub faults: Arc<AtomicUsize>,
    /// While true, freezing nodes see no new board.
    pub freeze: Arc<AtomicBool>,
    /// While true, no node serves.
    pub outage: Arc<AtomicBool>,
    /// So many milliseconds is the board's clock ahead of the machine's.
    pub ahead_ms: Arc<AtomicU64>,
    /// All that was handed in at any node, also what was refused.
    pub heard: Arc<Mutex<Vec<Envelope>>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Misbehaviour {
    outage: Arc<AtomicBool>,
    conduct: Conduct,
    liar: Option<Liar>,
    faults: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<Envelope>>>,
}

fn parameters(identities: &[Keypair], secrets: &[Arc<NodeSecrets>], operator: PublicKey) -> NetworkParameters {
    let chain: wire::ChainId = "sdk-test".parse().unwrap();
    let record = |(i, keypair): (usize, &Keypair)| secrets[i].record(format!("node{i}"), keypair, &chain);
    NetworkParameters {
        nodes: identities.iter().enumerate().map(record).collect(),
        chain: chain.clone(),
        operators: vec![operator],
        creators: Creators::Operators,
        quotas: Quotas { live_sessions: 100, live_sessions_per_creator: 100, live_bytes: 1 << 40 },
    }
}

fn network(parameters: &NetworkParameters, nodes: Vec<NodeAddress>) -> NetworkFile {
    let (chain, genesis) = (parameters.chain.clone(), parameters.digest());
    NetworkFile { chain, genesis, nodes, replicas: Vec::new(), keys: Vec::new() }
}

/// Brings deadlines to pass, and ends consensus when that ends.
async fn tick(executor: Arc<Executor>, solo: Solo, identity: Keypair, stop: CancellationToken) {
    let (consensus, chain) = (Consensus::Solo(solo.client.clone()), "sdk-test".parse().unwrap());
    Ticker { executor, consensus, identity, chain, index: 0 }.run(stop).await.unwrap();
    solo.stop().await;
}

async fn take_part(generator: Generator, consensus: Consensus, stop: CancellationToken) {
    generator.run(consensus, stop).await.unwrap();
}

/// A node's part in making the threshold key.
async fn generator(executor: &Arc<Executor>, participant: Participant, folder: &Path) -> Generator {
    let seeds = Seeds::new(folder.join(format!("seeds{}", participant.index())));
    Generator::open(Arc::clone(executor), Arc::new(participant), seeds).await.unwrap()
}

impl Board {
    /// Starts a board with a node for each conduct.
    pub async fn start(conducts: &[Conduct]) -> Self {
        let folder = TempDir::new().unwrap();
        let creator = Identity::generate(&mut OsRng);
        let identities: Vec<Keypair> = conducts.iter().map(|_| Keypair::generate_with(OsRng)).collect();
        let secrets: Vec<_> = conducts.iter().map(|_| Arc::new(NodeSecrets::generate())).collect();
        let parameters = parameters(&identities, &secrets, creator.public());
        let store = Store::open(&folder.path().join("board.db")).await.unwrap();
        let executor = Arc::new(Executor::open(parameters.clone(), store.clone()).await.unwrap());
        let (stop, faults) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let certified = CertifiedFeed::start(executor.feed(), stop.clone());
        let (decided, mut tasks) = (executor.feed().decided(), Vec::new());
        let ahead_ms = Arc::default();
        let solo = Solo::by_clock(Arc::clone(&executor), clock(&ahead_ms));
        let consensus = Consensus::Solo(solo.client.clone());
        let (outage, freeze, heard) = (Arc::default(), Arc::default(), Arc::<Mutex<Vec<Envelope>>>::default());
        tasks.push(tokio::spawn(tick(Arc::clone(&executor), solo, identities[0].clone(), stop.clone())));
        let (mut nodes, mut keyrings) = (Vec::new(), Vec::new());
        let beside = beside(folder.path(), &identities, &parameters, (&executor, &store), &stop).await;
        let members = identities.into_iter().zip(beside).enumerate();
        for ((i, (identity, (payloads, bundler))), conduct) in members.zip(conducts) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (name, url) = (format!("node{i}"), format!("http://{}", listener.local_addr().unwrap()));
            nodes.push(NodeAddress { name: name.clone(), url, identity: PublicKey(identity.public.to_bytes()) });
            let part = Participant::new(&parameters, u16::try_from(i).unwrap(), identity.clone(), secrets[i].clone());
            let generator = generator(&executor, part, folder.path()).await;
            let (progress, keyring) = (generator.progress(), Arc::clone(generator.keyring()));
            keyrings.push(keyring);
            tasks.push(tokio::spawn(take_part(generator, consensus.clone(), stop.clone())));
            if *conduct == Conduct::Down {
                continue;
            }
            let seen = match conduct {
                Conduct::Freezing => freezing(&executor, &certified, &freeze, &stop),
                _ => certified.clone(),
            };
            let asked = Arc::clone(&executor);
            let gateway = Gateway::start(Parts {
                store: store.clone(),
                feed: Arc::clone(executor.feed()),
                certified: seen,
                consensus: consensus.clone(),
                check: Arc::new(move |operation| asked.check_operation(operation)),
                bundler: Some(bundler),
                payloads,
                identity: identity.clone(),
                parameters: parameters.clone(),
                name,
                writes_at: Vec::new(),
                progress,
                shutdown: stop.clone(),
            });
            let misbehaviour = Arc::new(Misbehaviour {
                outage: Arc::clone(&outage),
                conduct: *conduct,
                liar: match conduct {
                    Conduct::Lying(lie) => Some(Liar::with_identity(*lie, parameters.chain.clone(), identity)),
                    _ => None,
                },
                faults: Arc::clone(&faults),
                heard: Arc::clone(&heard),
            });
            let router = gateway.router().layer(from_fn_with_state(misbehaviour, misbehave));
            tasks.push(tokio::spawn(serve(listener, router, ServerLimits::default(), stop.clone())));
        }
        let mut newest = certified.newest();
        tasks.push(tokio::spawn(certify(keyrings, decided, certified)));
        newest.wait_for(Option::is_some).await.unwrap();
        let network = network(&parameters, nodes);
        Self { network, creator, faults, freeze, outage, ahead_ms, heard, stop, tasks, _folder: folder }
    }

    /// A board of one honest node.
    pub async fn solo() -> Self {
        Self::start(&[Conduct::Honest]).await
    }

    /// A client of its own, as another process would have.
    pub fn client(&self) -> Client {
        Client::new(self.network.clone()).unwrap()
    }
}

/// The machine's clock, put forward.
fn clock(ahead_ms: &Arc<AtomicU64>) -> Clock {
    let ahead_ms = Arc::clone(ahead_ms);
    Arc::new(move || {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        u64::try_from(now).unwrap() + ahead_ms.load(Ordering::Relaxed)
    })
}

/// What a node sees of certified boards until it freezes.
fn freezing(
    executor: &Executor,
    certified: &CertifiedFeed,
    freeze: &Arc<AtomicBool>,
    stop: &CancellationToken,
) -> CertifiedFeed {
    let seen = CertifiedFeed::start(executor.feed(), stop.clone());
    let (mut newest, freeze, shown) = (certified.newest(), Arc::clone(freeze), seen.clone());
    tokio::spawn(async move {
        while newest.changed().await.is_ok() {
            let board = newest.borrow_and_update().clone();
            if !freeze.load(Ordering::Relaxed) {
                board.into_iter().for_each(|board| shown.publish(CertifiedBoard::clone(&board)));
            }
        }
    });
    seen
}

/// Certifies every block from the first on that has a key.
async fn certify(
    keyrings: Vec<Arc<Keyring>>,
    mut decided: broadcast::Receiver<Arc<DecidedBlock>>,
    certified: CertifiedFeed,
) {
    while let Ok(block) = decided.recv().await {
        if block.snapshot.value(&FactKey::Keys(1)).is_none() {
            continue;
        }
        let mut partials = BTreeMap::new();
        let message = certificate_message(&"sdk-test".parse().unwrap(), 1, &block.at);
        for keyring in &keyrings {
            let mut newest = keyring.newest();
            let keys = newest.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            let share = keys.share.as_ref().unwrap();
            partials.insert(share.index(), share.partial_sign(Domain::Certificate, &message.0));
            if let Ok(signature) = keys.public.combine(Domain::Certificate, &message.0, &partials) {
                let certificate = Certificate { epoch: 1, at: block.at, signature: G1Bytes(signature.to_bytes()) };
                certified.publish(CertifiedBoard { certificate, snapshot: block.snapshot.clone() });
                break;
            }
        }
    }
}

/// n identities, and a specification that invites them.
pub fn invited(n: u16) -> (Vec<Identity>, SessionSpec) {
    let parties: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
    let spec = SessionSpec {
        title: "a test".to_owned(),
        program: Program { name: "test".to_owned(), version: "1".to_owned(), digest: Hash([0; 32]) },
        admission: Admission::Invited { keys: parties.iter().map(Identity::public).collect() },
        min_parties: n,
        max_parties: n,
        corruption_threshold: n - 1,
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 16,
        max_message_bytes: 65_536,
        max_party_bytes: 1 << 20,
        padded_bytes: None,
        inline_payloads: true,
        keying_ms: 60_000,
        running_ms: 120_000,
        retention_ms: 60_000,
        round_timeout_ms: None,
    };
    (parties, spec)
}

async fn misbehave(State(node): State<Arc<Misbehaviour>>, request: Request, next: Next) -> Response {
    if node.outage.load(Ordering::Relaxed) {
        node.count();
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let request = node.listen(request).await;
    match (node.conduct, &node.liar) {
        (Conduct::Silent, _) => {
            node.count();
            tokio::time::sleep(Duration::from_secs(60)).await;
            ().into_response()
        }
        (Conduct::Garbage, _) => {
            node.count();
            borsh_response(vec![7u8; 100])
        }
        (_, Some(liar)) => {
            let told = liar.told();
            let response = lie(liar, request, next).await;
            node.faults.fetch_add(liar.told().saturating_sub(told), Ordering::Relaxed);
            response
        }
        _ => next.run(request).await,
    }
}

async fn lie(liar: &Liar, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if parts.method == Method::POST
        && let Some(answer) = liar.receive(&body)
    {
        return borsh_response(answer);
    }
    let reads = parts.method == Method::GET;
    parts.uri = liar.ask(&path).parse().unwrap();
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !reads || !response.status().is_success() {
        return response;
    }
    let truth = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    borsh_response(liar.answer(&path, truth.into()))
}

impl Misbehaviour {
    /// Takes down what is handed in.
    async fn listen(&self, request: Request) -> Request {
        if request.method() != Method::POST {
            return request;
        }
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        if let Ok(submission) = Submission::try_from_slice(&body) {
            self.heard.lock().unwrap().extend(submission.operations);
        }
        Request::from_parts(parts, Body::from(body))
    }

    fn count(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }
}

fn borsh_response(bytes: Vec<u8>) -> Response {
    ([("content-type", "application/octet-stream")], bytes).into_response()
}
