//! One private all-to-all round on a real cluster of four nodes on this machine: n parties, each with a message of 100 bytes for every
//! other, from the first write to the moment at which every party has read its own mail. Nothing is sealed or opened here: what is
//! timed is the cluster, at whose side the parties' work would otherwise take its share of the same cores.
//!
//! `scripts/bench private` builds the node in release first. `cargo bench ... --bench private -- 64 256` chooses the numbers of parties.

use client_sdk::{Identity, identity_file};
use futures::future::join_all;
use rand_core::OsRng;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use std::time::{Duration, Instant};
use white_city_tests::{cluster::Cluster, signing};
use wire::{
    Bytes, Code, Envelope, Hash, MailboxId, MailboxKind, NetworkFile, Operation, PrivateItem, PrivateSet, SessionId,
    SessionSpec, Submission, SubmissionOutcome, api::Outcome, message_digest,
};

const NODES: usize = 4;
const RUNS: usize = 3;
const BORSH: &str = "application/octet-stream";
const MESSAGE_BYTES: usize = 100;
/// What sealing adds to a message.
const SEAL_BYTES: usize = 40;
/// A new cluster gets so long to take sessions.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    network: NetworkFile,
    http: reqwest::Client,
}

impl Bench {
    /// What became of one operation at node `node`.
    async fn post(&self, node: usize, envelope: Envelope) -> Result<(), String> {
        let url = format!("{}/v1/operations?wait=commit&timeout_ms=60000", self.network.nodes[node % NODES].url);
        let body = borsh::to_vec(&Submission { operations: vec![envelope] }).expect("wire types are borsh");
        let request = self.http.post(url).header(CONTENT_TYPE, BORSH).header(ACCEPT, BORSH).body(body);
        let answer = request.send().await.expect("the node answers");
        if !answer.status().is_success() {
            return Err(answer.text().await.unwrap_or_default());
        }
        let bytes = answer.bytes().await.expect("an answer");
        let outcome: SubmissionOutcome = borsh::from_slice(&bytes).expect("outcomes");
        match &outcome.operations[0].outcome {
            Outcome::Decided { receipt } if receipt.body.fact.code == Code::Accepted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    async fn write(&self, session: SessionId, party: usize, writer: &Identity, kind: MailboxKind, payload: Payload) {
        let Payload { bytes, digest, recipients } = payload;
        let mailbox = MailboxId { session, kind, round: 0 };
        let operation = Operation::Write { mailbox, digest, length: bytes.length(), recipients };
        let envelope = writer.envelope(&self.network.chain, operation, bytes, OsRng);
        let started = Instant::now();
        // The node may be some milliseconds behind the one that has shown the session to be there.
        while let Err(error) = self.post(party, envelope.clone()).await {
            assert!(started.elapsed() < PATIENCE, "a write is not accepted: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads one party's mail, page by page as the gateway cuts it; the number of bytes.
    async fn read(&self, session: SessionId, party: usize, n: usize) -> usize {
        let node = &self.network.nodes[party % NODES].url;
        let url =
            format!("{node}/v1/sessions/{session}/private/0?count={n}&timeout_ms=60000&recipient={party}&bodies=true");
        loop {
            let answer = self.http.get(&url).header(ACCEPT, BORSH).send().await.expect("the node answers");
            let status = answer.status();
            let bytes = answer.bytes().await.expect("an answer");
            // Whoever is asked to come back does so.
            if status.as_u16() == 503 || status.as_u16() == 429 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
            assert!(bytes.len() >= n * (MESSAGE_BYTES + SEAL_BYTES), "only {} bytes of mail", bytes.len());
            return bytes.len();
        }
    }

    /// A session of `parties` that runs.
    async fn open(&self, operator: &Identity, parties: &[Identity]) -> SessionId {
        let keys = parties.iter().map(Identity::public).collect();
        let spec = SessionSpec { max_message_bytes: wire::limits::MAX_PAYLOAD_BYTES, ..signing::spec(keys) };
        let nonce = Hash(*Identity::generate(&mut OsRng).public().as_bytes());
        let session = spec.session_id(&self.network.chain, &operator.public(), &nonce);
        let creation = Operation::CreateSession { spec: Box::new(spec), nonce };
        let started = Instant::now();
        loop {
            let envelope = operator.envelope(&self.network.chain, creation.clone(), Bytes::default(), OsRng);
            match self.post(0, envelope).await {
                Ok(()) => break,
                Err(error) => assert!(started.elapsed() < PATIENCE, "no session: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let keying = |(i, party): (usize, _)| self.write(session, i, party, MailboxKind::Keying, Payload::message(32));
        join_all(parties.iter().enumerate().map(keying)).await;
        for node in &self.network.nodes {
            let url = format!("{}/v1/sessions/{session}?not_phase=keying&timeout_ms=60000", node.url);
            self.http.get(url).send().await.expect("the node answers");
        }
        session
    }

    /// Seconds to the last receipt, and to the last read.
    async fn round(&self, operator: &Identity, n: usize) -> [f64; 2] {
        let parties: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
        let session = self.open(operator, &parties).await;
        let payloads: Vec<Payload> = (0..n).map(|i| Payload::private(i, n)).collect();
        let started = Instant::now();
        let play = parties.iter().zip(payloads).enumerate().map(async |(i, (party, payload))| {
            self.write(session, i, party, MailboxKind::Private, payload).await;
            let written = started.elapsed().as_secs_f64();
            self.read(session, i, n).await;
            written
        });
        let written = join_all(play).await.into_iter().fold(0.0, f64::max);
        [written, started.elapsed().as_secs_f64()]
    }
}

struct Payload {
    bytes: Bytes,
    digest: Hash,
    recipients: u16,
}

impl Payload {
    fn message(length: usize) -> Self {
        let bytes = Bytes(vec![7; length]);
        Self { digest: message_digest(&bytes.0), bytes, recipients: 0 }
    }

    /// Sender i's messages for n parties.
    fn private(i: usize, n: usize) -> Self {
        let ciphertext = |j: usize| Bytes([i, j].iter().flat_map(|k| k.to_le_bytes()).cycle().take(140).collect());
        let item = |j| PrivateItem { commitment: Hash([3; 32]), ciphertext: ciphertext(j) };
        let set = PrivateSet { items: (0..n).map(|j| Some(item(j))).collect() };
        assert_eq!(MESSAGE_BYTES + SEAL_BYTES, 140);
        Self { digest: set.root(), bytes: set.encode(), recipients: u16::try_from(n).expect("few parties") }
    }
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![64, 256] } else { numbers };
    let cluster = Cluster::start(NODES, &[]).await;
    let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
    let bench = Bench { network: cluster.network.clone(), http: reqwest::Client::new() };
    println!("| private all-to-all round, {NODES} nodes, {MESSAGE_BYTES} bytes each | last receipt | last read |");
    println!("|---|---|---|");
    for n in numbers {
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(bench.round(&operator, n).await);
        }
        runs.sort_by(|a, b| a[1].total_cmp(&b[1]));
        let [written, read] = runs[RUNS / 2];
        println!("| {n} parties, median of {RUNS} | {written:.2} s | {read:.2} s |");
    }
}
