//! A whole node in this process, which orders blocks by itself, and parties who talk to it over HTTP.

#![allow(unreachable_pub, dead_code, reason = "a part of several tests, each of which uses some of it")]

#[path = "quorum.rs"]
mod quorum;

use bls::{Domain, Signature as BlsSignature};
use node::{
    bundler::Bundler,
    certified::{CertifiedBoard, CertifiedFeed},
    challenger::{self, Challenger},
    consensus::Consensus,
    executor::Executor,
    gateway::{Gateway, Parts},
    generator::Generator,
    http::server::{ServerLimits, serve},
    keeper::Keeper,
    participant::Participant,
    payloads::{self, Payloads},
    peers::Peers,
    secrets::NodeSecrets,
    seeds::Seeds,
    solo::Solo,
    store::{PayloadStore, Store},
};
use quorum::Quorum;
use rand_core::OsRng;
use reqwest::{Client, RequestBuilder, Response};
use schnorrkel::Keypair;
use std::{path::Path, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use wire::{api::*, *};

pub const CHAIN: &str = "gateway-test";

pub struct Node {
    pub url: String,
    pub http: Client,
    /// The operator and parties 0 to n - 1.
    pub keys: Vec<Keypair>,
    pub identity: PublicKey,
    pub executor: Arc<Executor>,
    pub certified: CertifiedFeed,
    pub gateway: Arc<Gateway>,
    /// False while blocks are to get no certificates.
    pub certifying: watch::Sender<bool>,
    quorum: Arc<Quorum>,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<()>,
    solo: Option<Solo>,
    _folder: tempfile::TempDir,
}

pub fn key(keypair: &Keypair) -> PublicKey {
    PublicKey(keypair.public.to_bytes())
}

pub fn chain() -> ChainId {
    CHAIN.parse().unwrap()
}

/// The only node's payloads, and what delivers them to it.
async fn beside(
    path: &Path,
    executor: &Arc<Executor>,
    board: &Store,
    (identity, secrets): (&Keypair, &Arc<NodeSecrets>),
    shutdown: &CancellationToken,
) -> (Payloads, Bundler) {
    let (checker, permitter, recorder) = (Arc::clone(executor), Arc::clone(executor), Arc::clone(executor));
    let parts = payloads::Parts {
        rows: PayloadStore::open(path).await.unwrap(),
        board: board.clone(),
        feed: Arc::clone(executor.feed()),
        check: Arc::new(move |operation| checker.check_operation(operation)),
        records: Arc::new(move |session| recorder.session(session)),
        verify: Arc::new(payloads::examiner::Task::verify),
        keeper: Keeper::new(executor.parameters().unwrap(), 0, Arc::clone(secrets)),
        identity: identity.clone(),
        parameters: executor.parameters().unwrap(),
    };
    let payloads = Payloads::start(parts, shutdown.clone()).await.unwrap();
    let permits_inline = Arc::new(move |session: &_| permitter.permits_inline(session));
    (payloads.clone(), Bundler::new(payloads, Peers::none(), 0, permits_inline))
}

/// What draws challenges alone.
fn challenger(
    (parameters, identity): (&NetworkParameters, &Keypair),
    store: &Store,
    executor: &Arc<Executor>,
    generator: &Generator,
) -> Challenger {
    Challenger::new(challenger::Parts {
        parameters: parameters.clone(),
        identity: identity.clone(),
        own: 0,
        store: store.clone(),
        feed: Arc::clone(executor.feed()),
        keyring: Arc::clone(generator.keyring()),
        peers: Peers::none(),
    })
}

impl Node {
    pub async fn start(parties: usize) -> Self {
        Self::with_limits(parties, ServerLimits::default()).await
    }

    pub async fn with_limits(parties: usize, limits: ServerLimits) -> Self {
        let mut node = Self::uncertified(parties, limits).await;
        node.certify().await;
        node
    }

    /// A node whose blocks get no certificates until [`Node::certify`].
    pub async fn uncertified(parties: usize, limits: ServerLimits) -> Self {
        let (identity, secrets) = (Keypair::generate_with(OsRng), Arc::new(NodeSecrets::generate()));
        let keys: Vec<Keypair> = (0..parties).map(|_| Keypair::generate_with(OsRng)).collect();
        let parameters = NetworkParameters {
            chain: chain(),
            nodes: vec![secrets.record("solo".into(), &identity, &chain())],
            operators: vec![key(&keys[0])],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 100, live_sessions_per_creator: 100, live_bytes: 1 << 40 },
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("board.sqlite")).await.unwrap();
        let executor = Arc::new(Executor::open(parameters.clone(), store.clone()).await.unwrap());
        let shutdown = CancellationToken::new();
        let certified = CertifiedFeed::start(executor.feed(), shutdown.clone());
        let quorum = Arc::new(Quorum { chain: chain(), identities: vec![identity.clone()] });
        let certifying = watch::Sender::new(false);
        let decided = executor.feed().decided();
        tokio::spawn(certify(Arc::clone(&quorum), decided, certified.clone(), certifying.subscribe()));
        let solo = Solo::start(Arc::clone(&executor));
        let participant = Arc::new(Participant::new(&parameters, 0, identity.clone(), Arc::clone(&secrets)));
        let seeds = Seeds::new(folder.path().join("seeds"));
        let generator = Generator::open(Arc::clone(&executor), participant, seeds).await.unwrap();
        let (mut newest, progress) = (generator.keyring().newest(), generator.progress());
        let challenger = challenger((&parameters, &identity), &store, &executor, &generator);
        tokio::spawn(challenger.run(Consensus::Solo(solo.client.clone()), shutdown.clone()));
        tokio::spawn(generator.run(Consensus::Solo(solo.client.clone()), shutdown.clone()));
        let rules = Arc::clone(&executor);
        let public = key(&identity);
        let path = folder.path().join("payloads.sqlite");
        let (payloads, bundler) = beside(&path, &executor, &store, (&identity, &secrets), &shutdown).await;
        let gateway = Gateway::start(Parts {
            store,
            feed: Arc::clone(executor.feed()),
            certified: certified.clone(),
            consensus: Consensus::Solo(solo.client.clone()),
            check: Arc::new(move |operation| rules.check_operation(operation)),
            bundler: Some(bundler),
            payloads,
            identity,
            parameters,
            name: "solo".into(),
            writes_at: Vec::new(),
            progress,
            shutdown: shutdown.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, gateway.router(), limits, shutdown.clone()));
        newest.wait_for(Option::is_some).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self {
            url,
            http,
            keys,
            identity: public,
            executor,
            certified,
            gateway,
            certifying,
            quorum,
            shutdown,
            serving,
            solo: Some(solo),
            _folder: folder,
        }
    }

    /// From now on blocks get certificates, also those that have none yet.
    pub async fn certify(&mut self) {
        self.certifying.send_replace(true);
        self.certified_at(self.executor.at().unwrap().unwrap().height).await;
    }

    /// Waits until a height is certified.
    pub async fn certified_at(&self, height: u64) {
        let mut newest = self.certified.newest();
        newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height >= height)).await.unwrap();
    }

    pub async fn stop_consensus(&mut self) {
        self.solo.take().unwrap().stop().await;
    }

    pub fn spec(&self) -> SessionSpec {
        SessionSpec {
            title: "a session".into(),
            program: Program { name: "test".into(), version: "1".into(), digest: Hash([1; 32]) },
            admission: Admission::Invited { keys: self.keys.iter().map(key).collect() },
            min_parties: 1,
            max_parties: u16::try_from(self.keys.len()).unwrap(),
            corruption_threshold: 0,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 4,
            max_message_bytes: 1_000_000,
            max_party_bytes: 10_000_000,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 3_600_000,
            running_ms: 3_600_000,
            retention_ms: 3_600_000,
            round_timeout_ms: None,
        }
    }

    pub fn sign(&self, author: usize, operation: Operation) -> Envelope {
        let signed = Signed::sign(&self.keys[author], chain(), operation, OsRng);
        Envelope { signed, payload: Bytes::default() }
    }

    pub fn write(&self, author: usize, mailbox: MailboxId, text: &[u8]) -> Envelope {
        let payload = Bytes(text.to_vec());
        let (digest, length) = (message_digest(text), payload.length());
        let signed = self.sign(author, Operation::Write { mailbox, digest, length, recipients: 0 }).signed;
        Envelope { signed, payload }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    pub async fn post(&self, operations: &[&Envelope]) -> Response {
        let submission = Submission { operations: operations.iter().map(|envelope| (*envelope).clone()).collect() };
        self.http.post(format!("{}/v1/operations", self.url)).json(&submission).send().await.unwrap()
    }

    /// Posts one operation that must be accepted.
    pub async fn hand_in(&self, envelope: &Envelope) -> Receipt {
        let response = self.post(&[envelope]).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        let answer: SubmissionOutcome = serde_json::from_str(&text).unwrap();
        let [OperationOutcome { operation, outcome: Outcome::Decided { receipt } }] = &answer.operations[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(*operation, envelope.id());
        let receipt = self.believe((**receipt).clone());
        assert_eq!((receipt.operation, receipt.code), (envelope.id(), Code::Accepted));
        receipt
    }

    /// Posts one operation that must be accepted, and waits until readers see it.
    pub async fn accept(&self, envelope: &Envelope) -> Receipt {
        let receipt = self.hand_in(envelope).await;
        self.certified_at(receipt.height).await;
        receipt
    }

    pub async fn open_session(&self, nonce: u8) -> SessionId {
        let (spec, nonce) = (Box::new(self.spec()), Hash([nonce; 32]));
        let session = spec.session_id(&chain(), &key(&self.keys[0]), &nonce);
        self.accept(&self.sign(0, Operation::CreateSession { spec, nonce })).await;
        session
    }

    /// A session that all parties have given their keys.
    pub async fn running_session(&self) -> SessionId {
        let session = self.open_session(1).await;
        let keys: Vec<Envelope> = (0..self.keys.len())
            .map(|party| self.write(party, MailboxId { session, kind: MailboxKind::Keying, round: 0 }, b"key"))
            .collect();
        let mut head = self.executor.feed().head();
        assert_eq!(self.post(&keys.iter().collect::<Vec<_>>()).await.status(), 200);
        // The block after starts the clock of the new phase; then the board is at rest.
        while self.executor.is_clock_pending().unwrap() {
            head.changed().await.unwrap();
        }
        self.certified_at(self.executor.at().unwrap().unwrap().height).await;
        session
    }

    /// The receipt in a report that is the node's.
    pub fn believe(&self, report: Report<Receipt>) -> Receipt {
        assert_eq!(report.author, self.identity);
        report.verify(&chain()).unwrap().into_body().fact
    }

    /// Checks a certificate and the paths from the fact to it.
    pub fn check<F: Provable>(&self, answer: Certified<F>) -> F {
        let Certified { certificate, fact, proofs } = answer;
        let message = certificate_message(&chain(), certificate.epoch, &certificate.at);
        let signature = BlsSignature::from_bytes(&certificate.signature.0).unwrap();
        self.quorum.public(1).group_key().verify(Domain::Certificate, &message.0, &signature).unwrap();
        let values = fact.values();
        assert_eq!(values.len(), proofs.len());
        for ((key, value), proof) in values.iter().zip(&proofs) {
            proof.verify(&certificate.at.root, key, value.as_ref().map(AsRef::as_ref)).unwrap();
        }
        fact
    }

    pub async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Reads a fact with its proof, which must be right.
    pub async fn read<F: Provable + serde::de::DeserializeOwned>(&self, path: &str) -> F {
        let separator = if path.contains('?') { '&' } else { '?' };
        self.check(self.json(&format!("{path}{separator}proof=true")).await)
    }

    pub async fn mailbox_refusal(&self, mailbox: MailboxId) -> Code {
        let MailboxId { session, kind, round } = mailbox;
        problem(self.get(&format!("/v1/sessions/{session}/{kind}/{round}?proof=true")).send().await.unwrap()).await.code
    }

    pub async fn mailbox(&self, mailbox: MailboxId, query: &str) -> MailboxFact {
        let MailboxId { session, kind, round } = mailbox;
        self.read(&format!("/v1/sessions/{session}/{kind}/{round}?{query}")).await
    }
}

/// Certifies every block, in order, while `certifying`.
async fn certify(
    quorum: Arc<Quorum>,
    mut decided: broadcast::Receiver<Arc<node::feed::DecidedBlock>>,
    certified: CertifiedFeed,
    mut certifying: watch::Receiver<bool>,
) {
    while let Ok(block) = decided.recv().await {
        if certifying.wait_for(|certifying| *certifying).await.is_err() {
            return;
        }
        let certificate = quorum.certificate(1, block.at);
        certified.publish(CertifiedBoard { certificate, snapshot: block.snapshot.clone() });
    }
}

/// The problem that a response is.
pub async fn problem(response: Response) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    problem
}
