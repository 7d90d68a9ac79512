//! A whole node in this process, which orders blocks by itself, and parties who talk to it over HTTP.

#![allow(unreachable_pub, dead_code, reason = "a part of several tests, each of which uses some of it")]

use node::{
    consensus::Consensus,
    executor::Executor,
    gateway::{Gateway, Parts},
    http::server::{ServerLimits, serve},
    solo::Solo,
    store::Store,
};
use rand_core::OsRng;
use reqwest::{Client, RequestBuilder, Response};
use schnorrkel::Keypair;
use std::sync::Arc;
use tokio::{net::TcpListener, task::JoinHandle};
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

impl Node {
    pub async fn start(parties: usize) -> Self {
        Self::with_limits(parties, ServerLimits::default()).await
    }

    pub async fn with_limits(parties: usize, limits: ServerLimits) -> Self {
        let identity = Keypair::generate_with(OsRng);
        let keys: Vec<Keypair> = (0..parties).map(|_| Keypair::generate_with(OsRng)).collect();
        let parameters = NetworkParameters {
            chain: chain(),
            nodes: vec![node::secrets::NodeSecrets::generate().record("solo".into(), &identity, &chain())],
            operators: vec![key(&keys[0])],
            creators: Creators::Operators,
            quotas: Quotas { live_sessions: 100, live_sessions_per_creator: 100, live_bytes: 1 << 40 },
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("board.sqlite")).await.unwrap();
        let executor = Arc::new(Executor::open(parameters.clone(), store.clone()).await.unwrap());
        let solo = Solo::start(Arc::clone(&executor));
        let mut head = executor.feed().head();
        let shutdown = CancellationToken::new();
        let rules = Arc::clone(&executor);
        let public = key(&identity);
        let gateway = Gateway::start(Parts {
            store,
            feed: Arc::clone(executor.feed()),
            consensus: Consensus::Solo(solo.client.clone()),
            check: Arc::new(move |operation| rules.check_operation(operation)),
            identity,
            parameters,
            name: "solo".into(),
            shutdown: shutdown.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener, gateway.router(), limits, shutdown.clone()));
        head.wait_for(Option::is_some).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { url, http, keys, identity: public, executor, shutdown, serving, solo: Some(solo), _folder: folder }
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
    pub async fn accept(&self, envelope: &Envelope) -> Receipt {
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
        session
    }

    /// The fact of a report that is the node's.
    pub fn believe<F: Fact>(&self, report: Report<F>) -> F {
        assert_eq!(report.author, self.identity);
        report.verify(&chain()).unwrap().into_body().fact
    }

    pub async fn read<F: Fact + serde::de::DeserializeOwned>(&self, path: &str) -> F {
        let response = self.get(path).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        self.believe(serde_json::from_str(&text).unwrap())
    }

    pub async fn mailbox(&self, mailbox: MailboxId, query: &str) -> MailboxFact {
        let MailboxId { session, kind, round } = mailbox;
        self.read(&format!("/v1/sessions/{session}/{kind}/{round}?{query}")).await
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
