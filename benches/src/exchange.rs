//! The broadcast exchange alone: each party writes one message and reads those of all, with proof that the certified board has exactly
//! these, but does not check the signatures of the senders, as the peers that it is compared with have none.
//!
//! The SDK has no way to leave them out. What is done here instead is what it does for the same read, by its own public parts.

use crate::phase::Seen;
use client_sdk::{
    BadAnswer, Client, Identity, PartyKeys, Traffic, Verifier,
    mailbox::{Position, Slot},
};
use futures::future::join_all;
use rand_core::OsRng;
use reqwest::{
    RequestBuilder,
    header::{ACCEPT, CONTENT_TYPE},
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use wire::{
    Body, Bytes, Certified, Code, Entry, MailboxFact, MailboxId, MailboxKind, NetworkFile, Operation, SessionId,
    Submission, SubmissionOutcome, api::Outcome, message_digest,
};

const BORSH: &str = "application/octet-stream";
/// Who is asked to come back does so after this.
const AGAIN: Duration = Duration::from_millis(20);
/// Everything takes less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Parties that share the connections to a cluster and what they know of its certificates.
pub struct Exchange {
    network: NetworkFile,
    http: reqwest::Client,
    verifier: Mutex<Verifier>,
    traffic: Mutex<Traffic>,
}

/// One round of a session and those who write and read it.
pub struct Round<'a> {
    /// The session, which runs.
    pub session: SessionId,
    /// All parties' keys, in the order of the list.
    pub keys: &'a PartyKeys,
    /// The round, in which nobody has written.
    pub round: u32,
    /// Length of each message.
    pub bytes: usize,
}

impl Exchange {
    /// At the cluster of this client.
    ///
    /// # Panics
    /// If it does not give its keys.
    pub async fn new(client: &Client) -> Self {
        let keys = client.keys().await.expect("the cluster has a key");
        let network = NetworkFile { keys, ..client.network().clone() };
        let mut verifier = Verifier::new(&network).expect("a sound network file");
        verifier.has_reached(client.height());
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { network, http, verifier: Mutex::new(verifier), traffic: Mutex::default() }
    }

    /// What all parties have sent and received so far.
    pub fn seen(&self) -> Seen {
        Seen { traffic: *locked(&self.traffic), height: locked(&self.verifier).height() }
    }

    /// All of `parties`, which stand in the order of the list, write, and read what all have written.
    ///
    /// # Panics
    /// If a write is not accepted, or an answer is not proved.
    pub async fn run(&self, round: &Round<'_>, parties: &[&Identity]) {
        let play = parties.iter().enumerate().map(async |(place, identity)| {
            self.write(round, place, identity).await;
            self.read(round, place).await;
        });
        join_all(play).await;
    }

    async fn write(&self, round: &Round<'_>, place: usize, identity: &Identity) {
        let payload = Bytes(place.to_le_bytes().into_iter().cycle().take(round.bytes).collect());
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Write { mailbox: round.mailbox(), digest, length, recipients: 0 };
        let operations = vec![identity.envelope(&self.network.chain, operation, payload, OsRng)];
        let body = borsh::to_vec(&Submission { operations }).expect("wire types are borsh");
        let url = format!("{}/v1/operations?wait=commit&timeout_ms=60000", self.gateway(place));
        let started = Instant::now();
        loop {
            let request = self.http.post(&url).header(CONTENT_TYPE, BORSH).body(body.clone());
            match self.ask::<SubmissionOutcome>(request, body.len()).await.map(|answer| answer.operations) {
                Ok(outcomes) => match &outcomes[0].outcome {
                    Outcome::Decided { receipt } if receipt.body.fact.code == Code::Accepted => return,
                    other => panic!("a write is not accepted: {other:?}"),
                },
                // Its receipt was lost.
                Err(said) if said.contains(Code::DuplicateSame.as_str()) => return,
                Err(said) => assert!(started.elapsed() < PATIENCE, "{said}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reads page after page until the messages of all are there, each as the board has it.
    async fn read(&self, round: &Round<'_>, place: usize) {
        let (mailbox, n) = (round.mailbox(), u32::try_from(round.keys.len()).expect("few parties"));
        let slot = Slot { chain: &self.network.chain, mailbox, keys: round.keys, recipient: None };
        let mut held = Position::start(&slot);
        let started = Instant::now();
        while held.head.count < n {
            assert!(started.elapsed() < PATIENCE, "{} of {n} messages have come", held.head.count);
            let (gateway, from) = (self.gateway(place), held.head.count);
            let MailboxId { session, kind, round } = mailbox;
            let query = format!("from={from}&count={}&timeout_ms=20000&proof=true", n - from);
            let request = self.http.get(format!("{gateway}/v1/sessions/{session}/{kind}/{round}?{query}"));
            let since = locked(&self.verifier).height();
            let answer = match self.ask::<Certified<MailboxFact>>(request, 0).await {
                Ok(answer) => answer,
                Err(said) => {
                    assert!(started.elapsed() < PATIENCE, "{said}");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            let board = match locked(&self.verifier).check_certificate(&answer.certificate, since) {
                // Another node was faster.
                Err(BadAnswer::Stale { .. }) => continue,
                board => board.expect("a certificate under the cluster's key"),
            };
            board.mailbox(&slot, &held, &answer).expect("the whole mailbox, proved");
            answer.fact.entries.iter().for_each(check_payload);
            held.advance(&answer.fact.entries);
        }
    }

    /// One request and its answer, or what the node says instead.
    async fn ask<T: borsh::BorshDeserialize>(&self, request: RequestBuilder, sent: usize) -> Result<T, String> {
        let answer = request.header(ACCEPT, BORSH).send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| error.to_string())?;
        let mut traffic = locked(&self.traffic);
        traffic.requests += 1;
        traffic.operations += u64::from(sent > 0);
        traffic.bytes_sent += sent as u64;
        traffic.bytes_received += bytes.len() as u64;
        drop(traffic);
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&bytes)));
        }
        borsh::from_slice(&bytes).map_err(|error| error.to_string())
    }

    /// Each party has its own node, as strangers would.
    fn gateway(&self, place: usize) -> &str {
        &self.network.nodes[place % self.network.nodes.len()].url
    }
}

impl Round<'_> {
    fn mailbox(&self) -> MailboxId {
        MailboxId { session: self.session, kind: MailboxKind::Broadcast, round: self.round }
    }
}

fn check_payload(entry: &Entry) {
    let Body::Message { payload } = &entry.body else { panic!("a broadcast has its payload") };
    assert_eq!((entry.digest, entry.length), (message_digest(&payload.0), payload.length()), "what was signed");
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
