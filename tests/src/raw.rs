//! Parties that write and read over HTTP by hand, at a gateway of their choice, without the SDK's care.

use client_sdk::Identity;
use rand_core::OsRng;
use std::time::{Duration, Instant};
use wire::{
    Bytes, Code, Envelope, Hash, MailboxId, MailboxKind, NetworkFile, Operation, PrivateItem, PrivateSet, PublicKey,
    SessionId, SessionSpec, Submission, SubmissionOutcome, api::Outcome, message_digest,
};

/// A cluster gets so long to do what it must do at last.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(20);

/// The way to a cluster's gateways.
pub struct Raw {
    /// The cluster.
    pub network: NetworkFile,
    http: reqwest::Client,
}

impl Raw {
    /// Opens no connection yet.
    ///
    /// # Panics
    /// Never.
    pub fn new(network: NetworkFile) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { network, http }
    }

    /// Posts one operation to a node and waits for the receipt: whether it is on the board.
    ///
    /// # Errors
    /// What the node answers instead, or that it does not.
    pub async fn post(&self, node: usize, envelope: &Envelope) -> Result<(), String> {
        let url = format!("{}/v1/operations?wait=commit&timeout_ms=20000", self.network.nodes[node].url);
        let submission = Submission { operations: vec![envelope.clone()] };
        let answer = self.http.post(url).json(&submission).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let outcome: SubmissionOutcome = serde_json::from_str(&text).map_err(|_| text.clone())?;
        match &outcome.operations[0].outcome {
            Outcome::Decided { receipt } if receipt.body.fact.code == Code::Accepted => Ok(()),
            Outcome::Refused { code: Code::DuplicateSame } => Ok(()),
            _ => Err(text),
        }
    }

    /// Posts one operation again and again until it is on the board.
    ///
    /// # Panics
    /// If it does not come there.
    pub async fn insist(&self, node: usize, envelope: &Envelope) {
        let started = Instant::now();
        while let Err(error) = self.post(node, envelope).await {
            assert!(started.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A write with its payload.
    pub fn broadcast(&self, writer: &Identity, mailbox: MailboxId, payload: &[u8]) -> Envelope {
        let (digest, payload) = (message_digest(payload), Bytes(payload.to_vec()));
        let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients: 0 };
        writer.envelope(&self.network.chain, operation, payload, OsRng)
    }

    /// The same text, which nobody has sealed, for each of `n` parties.
    ///
    /// # Panics
    /// For more than 65535.
    pub fn private(&self, writer: &Identity, session: SessionId, round: u32, n: usize, text: &[u8]) -> Envelope {
        let item = PrivateItem { commitment: Hash([3; 32]), ciphertext: Bytes(text.to_vec()) };
        let set = PrivateSet { items: vec![Some(item); n] };
        let (digest, payload, recipients) = (set.root(), set.encode(), u16::try_from(n).expect("few parties"));
        let mailbox = MailboxId { session, kind: MailboxKind::Private, round };
        let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients };
        writer.envelope(&self.network.chain, operation, payload, OsRng)
    }

    /// Opens a session by an operator, and lets all parties give a key, so that it runs.
    ///
    /// # Panics
    /// If it does not come to run at every node.
    pub async fn open(&self, operator: &Identity, parties: &[Identity], spec: SessionSpec) -> SessionId {
        let nonce = Hash(Identity::generate(&mut OsRng).public().0);
        let session = spec.session_id(&self.network.chain, &operator.public(), &nonce);
        let creation = Operation::CreateSession { spec: Box::new(spec), nonce };
        self.insist(0, &operator.envelope(&self.network.chain, creation, Bytes::default(), OsRng)).await;
        for party in parties {
            let mailbox = MailboxId { session, kind: MailboxKind::Keying, round: 0 };
            self.insist(0, &self.broadcast(party, mailbox, &party.public().0)).await;
        }
        session
    }

    /// What one node shows of a private mailbox to one recipient, once there are `count` entries; `None` if it does not answer well.
    pub async fn read(&self, node: usize, session: SessionId, round: u32, count: u32) -> Option<String> {
        let query = format!("count={count}&recipient=0&timeout_ms=5000");
        let url = format!("{}/v1/sessions/{session}/private/{round}?{query}", self.network.nodes[node].url);
        let answer = self.http.get(url).send().await.ok()?;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    }

    /// Waits until a node shows `text` to party 0.
    ///
    /// # Panics
    /// If it does not.
    pub async fn comes_to_show(&self, node: usize, session: SessionId, round: u32, text: &[u8]) {
        let (started, wanted) = (Instant::now(), hex::encode(text));
        while !self.read(node, session, round, 1).await.is_some_and(|answer| answer.contains(&wanted)) {
            assert!(started.elapsed() < PATIENCE, "node {node} does not show what was written");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// New parties and their keys.
pub fn parties(n: usize) -> (Vec<Identity>, Vec<PublicKey>) {
    let parties: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
    let keys = parties.iter().map(Identity::public).collect();
    (parties, keys)
}
