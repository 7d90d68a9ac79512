//! A board in this process: one solo chain, served by as many nodes as a test wants, some of them faulty.

use axum::{
    body::{Body, Bytes as HttpBytes, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
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
    participant::Participant,
    secrets::NodeSecrets,
    seeds::Seeds,
    solo::Solo,
    store::Store,
    ticker::Ticker,
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wire::{
    Admission, Answer, BlockFact, BoardAt, Body as EntryBody, Certificate, Creators, G1Bytes, Hash, MailboxFact,
    MailboxHead, NetworkFile, NetworkParameters, NodeAddress, OperationId, Program, PublicKey, Quotas, Receipt, Report,
    SessionSpec, Signed, Submission, SubmissionOutcome,
    api::{OperationOutcome, Outcome},
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
    /// Shows every mailbox as empty, properly signed.
    Withholding,
    /// Shows other payloads, properly signed.
    Falsifying,
    /// Says that it has brought operations to the board, and throws them away.
    Swallowing,
    /// Says that there is hardly a block.
    Outdated,
}

/// A running board. Stops when it is dropped.
pub struct Board {
    pub network: NetworkFile,
    pub creator: Identity,
    /// How often a faulty node did its fault.
    pub faults: Arc<AtomicUsize>,
    /// While true, no node serves.
    pub outage: Arc<AtomicBool>,
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

struct Liar {
    outage: Arc<AtomicBool>,
    conduct: Conduct,
    identity: Keypair,
    faults: Arc<AtomicUsize>,
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
        let mut tasks = vec![tokio::spawn(show(executor.feed().decided(), certified.clone()))];
        let solo = Solo::start(Arc::clone(&executor));
        let consensus = Consensus::Solo(solo.client.clone());
        let outage = Arc::new(AtomicBool::new(false));
        tasks.push(tokio::spawn({
            let ticker = Ticker {
                executor: Arc::clone(&executor),
                consensus: consensus.clone(),
                identity: identities[0].clone(),
                chain: parameters.chain.clone(),
                index: 0,
            };
            let stop = stop.clone();
            async move {
                ticker.run(stop.clone()).await.unwrap();
                solo.stop().await;
            }
        }));
        let (mut nodes, mut keyrings) = (Vec::new(), Vec::new());
        for ((i, identity), conduct) in identities.into_iter().enumerate().zip(conducts) {
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
            let asked = Arc::clone(&executor);
            let gateway = Gateway::start(Parts {
                store: store.clone(),
                feed: Arc::clone(executor.feed()),
                certified: certified.clone(),
                consensus: consensus.clone(),
                check: Arc::new(move |operation| asked.check_operation(operation)),
                identity: identity.clone(),
                parameters: parameters.clone(),
                name,
                progress,
                shutdown: stop.clone(),
            });
            let liar = Arc::new(Liar {
                outage: Arc::clone(&outage),
                conduct: *conduct,
                identity,
                faults: Arc::clone(&faults),
            });
            let router = gateway.router().layer(from_fn_with_state(liar, misbehave));
            tasks.push(tokio::spawn(serve(listener, router, ServerLimits::default(), stop.clone())));
        }
        for keyring in keyrings {
            keyring.newest().wait_for(Option::is_some).await.unwrap();
        }
        let network =
            NetworkFile { chain: parameters.chain.clone(), genesis: parameters.digest(), nodes, keys: Vec::new() };
        Self { network, creator, faults, outage, stop, tasks, _folder: folder }
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

/// Shows every block, under no certificate that anybody believes.
async fn show(mut decided: broadcast::Receiver<Arc<DecidedBlock>>, certified: CertifiedFeed) {
    while let Ok(block) = decided.recv().await {
        let certificate = Certificate { epoch: 0, at: block.at, signature: G1Bytes([0; 48]) };
        certified.publish(CertifiedBoard { certificate, snapshot: block.snapshot.clone() });
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

async fn misbehave(State(liar): State<Arc<Liar>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_mailbox = ["/keying/", "/broadcast/", "/private/"].iter().any(|kind| path.contains(kind));
    let is_post = path == "/v1/operations";
    if liar.outage.load(Ordering::Relaxed) {
        liar.count();
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match liar.conduct {
        Conduct::Silent => {
            liar.count();
            tokio::time::sleep(Duration::from_secs(60)).await;
            ().into_response()
        }
        Conduct::Garbage => {
            liar.count();
            ([("content-type", "application/octet-stream")], vec![7u8; 100]).into_response()
        }
        Conduct::Swallowing if is_post => {
            let bytes = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            liar.swallow(&bytes)
        }
        Conduct::Outdated if path == "/v1/blocks/latest" => {
            liar.count();
            let at = BoardAt { height: 0, time_ms: 1, root: Hash([0; 32]) };
            let chain = "sdk-test".parse().unwrap();
            borsh_response(&Signed::sign(&liar.identity, chain, Answer { at, fact: BlockFact { block: at } }, OsRng))
        }
        Conduct::Withholding if is_mailbox => {
            liar.change(next.run(request).await, |page| {
                page.head = MailboxHead::empty(&"sdk-test".parse().unwrap(), &page.mailbox);
                let hides = !page.entries.is_empty();
                page.entries.clear();
                hides
            })
            .await
        }
        Conduct::Falsifying if is_mailbox => {
            liar.change(next.run(request).await, |page| {
                let mut changed = false;
                for entry in &mut page.entries {
                    if let EntryBody::Message { payload } = &mut entry.body {
                        payload.0.push(1);
                        changed = true;
                    }
                    if let EntryBody::Private { item, .. } = &mut entry.body {
                        changed |= item.is_some();
                        *item = None;
                    }
                }
                changed
            })
            .await
        }
        _ => next.run(request).await,
    }
}

impl Liar {
    fn count(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes a mailbox page and signs it again.
    async fn change(&self, response: Response, change: impl FnOnce(&mut MailboxFact) -> bool) -> Response {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let Ok(report) = Report::<MailboxFact>::try_from_slice(&bytes) else {
            return Response::from_parts(parts, Body::from(bytes));
        };
        let Signed { chain, body: Answer { at, mut fact }, .. } = report;
        if change(&mut fact) {
            self.count();
        }
        let lie = Signed::sign(&self.identity, chain, Answer { at, fact }, OsRng);
        borsh_response(&lie)
    }

    /// A false receipt for each operation.
    fn swallow(&self, request: &HttpBytes) -> Response {
        let Submission { operations } = borsh::from_slice(request).unwrap();
        self.count();
        let accepted = operations.iter().map(|envelope| {
            let operation: OperationId = envelope.id();
            let at = BoardAt { height: 1, time_ms: 1, root: Hash([0; 32]) };
            let fact = Receipt { operation, height: 1, position: 0, code: wire::Code::Accepted };
            let chain = envelope.signed.chain.clone();
            let receipt = Box::new(Signed::sign(&self.identity, chain, Answer { at, fact }, OsRng));
            OperationOutcome { operation, outcome: Outcome::Decided { receipt } }
        });
        borsh_response(&SubmissionOutcome { operations: accepted.collect() })
    }
}

fn borsh_response<T: borsh::BorshSerialize>(value: &T) -> Response {
    ([("content-type", "application/octet-stream")], borsh::to_vec(value).unwrap()).into_response()
}
