//! Few parties: how long a write takes when nothing else happens, how long three parties take to sign, and how many small writes a cluster takes.

use crate::{
    figures::{Quantiles, Small, Writes},
    meter,
    parties::{MESSAGE_BYTES, join},
};
use client_sdk::{Client, Identity, identity_file};
use futures::{StreamExt, future::join_all, stream};
use rand_core::OsRng;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use std::time::{Duration, Instant};
use white_city_tests::{cluster::Cluster, signing};
use wire::{
    Bytes, Certificate, Code, Envelope, MailboxId, MailboxKind, Operation, SessionId, Submission, SubmissionOutcome,
    api::Outcome, limits::MAX_REQUEST_OPERATIONS, message_digest,
};

/// After a write the chain makes one more block for the new root. Then it is idle.
const REST: Duration = Duration::from_millis(150);
/// Authors of the load.
const AUTHORS: usize = 64;
/// So many requests of the load are under way at a time.
const REQUESTS: usize = 16;
/// Who is asked to come back does so after this.
const AGAIN: Duration = Duration::from_millis(20);
/// A write gets so long.
const PATIENCE: Duration = Duration::from_secs(60);
const BORSH: &str = "application/octet-stream";

/// How often each is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Writes on an idle chain.
    pub idle: u32,
    /// Signings of three parties.
    pub signings: u32,
    /// Small writes.
    pub writes: usize,
}

impl Effort {
    /// For figures.
    pub const FULL: Self = Self { idle: 200, signings: 40, writes: 40_000 };
    /// To see that it works.
    pub const QUICK: Self = Self { idle: 5, signings: 2, writes: 1_000 };
}

/// All of it, on an idle cluster.
///
/// # Panics
/// If anything fails.
pub async fn measure(cluster: &Cluster, effort: Effort) -> Small {
    let [receipt, certificate] = idle_writes(cluster, effort.idle).await;
    let three_sign = three_sign(cluster, effort.signings).await;
    let writes = writes(cluster, effort.writes).await;
    let (nodes, cores, optimised) = (cluster.nodes.len(), meter::cores(), !cfg!(debug_assertions));
    Small { nodes, cores, optimised, receipt, certificate, three_sign, writes }
}

/// Of `count` writes the milliseconds from POST to receipt, and from the same POST to the answer with a certificate of its block, for which
/// the node is asked as soon as there is a receipt.
///
/// # Panics
/// If anything fails.
pub async fn idle_writes(cluster: &Cluster, count: u32) -> [Quantiles; 2] {
    let writers = Writers::seat(cluster, 1).await;
    let (mut receipts, mut certificates) = (Vec::new(), Vec::new());
    for round in 0..count {
        let operations = vec![writers.write(0, round)];
        let node = &cluster.network.nodes[round as usize % cluster.nodes.len()].url;
        tokio::time::sleep(REST).await;
        let request = writers.http.post(format!("{node}/v1/operations?wait=commit")).json(&Submission { operations });
        let started = Instant::now();
        let outcome: SubmissionOutcome =
            request.send().await.expect("the node answers").json().await.expect("with outcomes");
        receipts.push(started.elapsed().as_secs_f64() * 1000.0);
        let height = height(&outcome).expect("the write is accepted");
        writers.certified(node, height).await;
        certificates.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    [Quantiles::of(receipts), Quantiles::of(certificates)]
}

/// Milliseconds of `count` signings of three parties who have a key.
async fn three_sign(cluster: &Cluster, count: u32) -> Quantiles {
    let seated = signing::seat(&cluster.network, &cluster.operator_file(), 3).await;
    let (_, mut parties) = seated.expect("the parties are listed");
    signing::generate_key(&mut parties).await.expect("nobody cheats");
    let mut times = Vec::new();
    for number in 0..count {
        let started = Instant::now();
        signing::sign(&parties, number, b"a file").await.expect("nobody cheats");
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Quantiles::of(times)
}

/// `count` writes of many authors, signed before the clock starts.
async fn writes(cluster: &Cluster, count: usize) -> Writes {
    let writers = Writers::seat(cluster, AUTHORS).await;
    let slot = |i: usize| (i % AUTHORS, u32::try_from(i / AUTHORS).expect("few rounds"));
    let writes: Vec<Envelope> = (0..count).map(slot).map(|(author, round)| writers.write(author, round)).collect();
    let bodies: Vec<Vec<u8>> = writes
        .chunks(MAX_REQUEST_OPERATIONS)
        .map(|operations| borsh::to_vec(&Submission { operations: operations.to_vec() }).expect("wire types are borsh"))
        .collect();
    let nodes = &cluster.network.nodes;
    let started = Instant::now();
    let post = |(i, body): (usize, Vec<u8>)| writers.insist(&nodes[i % nodes.len()].url, body);
    stream::iter(bodies.into_iter().enumerate()).map(post).buffer_unordered(REQUESTS).collect::<()>().await;
    let committed = started.elapsed().as_secs_f64();
    let newest =
        join_all(cluster.nodes.iter().map(|node| node.status())).await.into_iter().map(|status| status.at.height);
    writers.certified(&nodes[0].url, newest.max().expect("there are nodes")).await;
    let certified = started.elapsed().as_secs_f64();
    let rate = |seconds: f64| count as f64 / seconds;
    Writes { count, per_request: MAX_REQUEST_OPERATIONS, committed: rate(committed), certified: rate(certified) }
}

/// Parties of a session that runs.
struct Writers {
    identities: Vec<Identity>,
    chain: wire::ChainId,
    session: SessionId,
    http: reqwest::Client,
}

impl Writers {
    async fn seat(cluster: &Cluster, n: usize) -> Self {
        let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
        let client = Client::new(cluster.network.clone()).expect("the network file is sound");
        let identities: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
        let spec = signing::spec(identities.iter().map(Identity::public).collect());
        let session = client.create(&operator, spec).await.expect("the operator may");
        join(&client, &session, identities.clone()).await;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { identities, chain: cluster.network.chain.clone(), session, http }
    }

    fn write(&self, author: usize, round: u32) -> Envelope {
        let payload = Bytes(vec![7; MESSAGE_BYTES]);
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let mailbox = MailboxId { session: self.session, kind: MailboxKind::Broadcast, round };
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        self.identities[author].envelope(&self.chain, operation, payload, OsRng)
    }

    /// Hands writes in until all are on the board.
    async fn insist(&self, node: &str, body: Vec<u8>) {
        let started = Instant::now();
        loop {
            let request = self.http.post(format!("{node}/v1/operations?wait=commit&timeout_ms=20000"));
            let request = request.header(CONTENT_TYPE, BORSH).header(ACCEPT, BORSH).body(body.clone());
            let answer = request.send().await.expect("the node answers");
            let (status, bytes) = (answer.status(), answer.bytes().await.expect("an answer"));
            let outcome: Option<SubmissionOutcome> = borsh::from_slice(&bytes).ok().filter(|_| status.is_success());
            if outcome.as_ref().and_then(height).is_some() {
                return;
            }
            let said = outcome.map_or_else(|| String::from_utf8_lossy(&bytes).into_owned(), |said| format!("{said:?}"));
            assert!(started.elapsed() < PATIENCE, "{status}: {said}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn certified(&self, node: &str, height: u64) {
        let request = self.http.get(format!("{node}/v1/certificate?height={height}&timeout_ms=20000"));
        let certificate: Certificate =
            request.send().await.expect("the node answers").json().await.expect("with a certificate");
        assert!(certificate.at.height >= height, "{certificate:?}");
    }
}

/// The height of the last of operations that are all accepted; 0 for those that were before.
fn height(outcome: &SubmissionOutcome) -> Option<u64> {
    let height = |outcome: &Outcome| match outcome {
        Outcome::Decided { receipt } if receipt.body.fact.code == Code::Accepted => Some(receipt.body.fact.height),
        Outcome::Refused { code: Code::DuplicateSame } => Some(0),
        _ => None,
    };
    outcome.operations.iter().map(|one| height(&one.outcome)).try_fold(0, |most, one| Some(most.max(one?)))
}
