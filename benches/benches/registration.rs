//! A thousand strangers hand in their proofs of work within 200 s on a real cluster of four nodes, each proof as costly to verify as one of a
//! minute of work: how long another session's writes take meanwhile, beside how long they take when nothing else happens.

use client_sdk::{Client, Identity, Options, Session, identity_file};
use futures::future::{join_all, try_join_all};
use pow::{Parameters, Puzzle};
use rand_core::OsRng;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::time::{interval, sleep};
use white_city_tests::{cluster::Cluster, signing};
use wire::{
    Admission, Bytes, ListKind, MailboxId, MailboxKind, OpenTerms, Operation, SessionId, SessionRecord, SessionSpec,
    Solution, Stamp, Submission, SubmissionOutcome, Work, api::Outcome, message_digest,
};

const NODES: usize = 4;
const REGISTRANTS: u16 = 1000;
const WINDOW: Duration = Duration::from_secs(200);
/// Writes of the other session come so often.
const PACE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(60);
/// 93 openings of chains of 4,096 hashes, as in a minute's proof; fewer leaves, so that one machine can solve for all.
const WORK: Work = Work { version: 1, leaf_hashes: 4096, leaves_log2: 9, openings: 93 };

fn spec() -> SessionSpec {
    let terms = OpenTerms {
        registering_ms: 60_000,
        stamp_bits: 10,
        work: WORK,
        hash_rate: 100_000,
        slack_ms: 900_000,
        head_start_ms: 30_000,
        adversary: 1,
        soundness_bits: 64,
    };
    SessionSpec {
        title: "a thousand strangers".to_owned(),
        admission: Admission::Open { terms },
        min_parties: REGISTRANTS,
        max_parties: REGISTRANTS,
        corruption_threshold: REGISTRANTS - 1,
        max_party_bytes: 1 << 20,
        ..signing::spec(vec![])
    }
}

async fn when(client: &Client, session: &SessionId, ready: impl Fn(&SessionRecord) -> bool) -> SessionRecord {
    loop {
        let record = client.session(session).await.expect("the cluster answers");
        assert!(record.end.is_none(), "{record:?}");
        if ready(&record) {
            return record;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Another session, and who writes in it.
struct Writer<'a> {
    cluster: &'a Cluster,
    identity: Identity,
    session: SessionId,
    http: reqwest::Client,
    round: u32,
}

impl Writer<'_> {
    /// Milliseconds from POST to receipt, at a steady pace until `over`.
    async fn write(&mut self, over: impl Fn(usize) -> bool) -> Vec<f64> {
        let (mut times, mut pace) = (Vec::new(), interval(PACE));
        while !over(times.len()) {
            pace.tick().await;
            let payload = Bytes(vec![7; 200]);
            let (digest, length) = (message_digest(&payload.0), payload.length());
            let mailbox = MailboxId { session: self.session, kind: MailboxKind::Broadcast, round: self.round };
            let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
            let operations = vec![self.identity.envelope(&self.cluster.network.chain, operation, payload, OsRng)];
            let node = &self.cluster.network.nodes[usize::try_from(self.round).expect("few writes") % NODES];
            self.round += 1;
            let url = format!("{}/v1/operations?wait=commit", node.url);
            let started = Instant::now();
            let answer = self.http.post(url).json(&Submission { operations }).send().await.expect("the node answers");
            let outcome: SubmissionOutcome = answer.json().await.expect("with outcomes");
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            assert!(matches!(outcome.operations[0].outcome, Outcome::Decided { .. }), "{outcome:?}");
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Solves for all, on all cores.
fn solve(challenge: [u8; 32], identities: &[Identity]) -> Vec<Vec<u8>> {
    let parameters = Parameters::new(WORK.leaf_hashes, WORK.leaves_log2, WORK.openings).expect("sound work");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let one = |identity: &Identity| {
        let puzzle = Puzzle { challenge, key: identity.public().0 };
        pow::solve(&parameters, &puzzle, cores, &|_| {}, &AtomicBool::new(false)).expect("nobody gives up")
    };
    identities.iter().map(one).collect()
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(NODES, &[]).await;
    let (chain, client) = (&cluster.network.chain, Client::new(cluster.network.clone()).expect("a sound network file"));
    let operator = identity_file::load(&cluster.operator_file(), None).expect("cluster create writes one");
    let identity = Identity::generate(&mut OsRng);
    let other = client.create(&operator, signing::spec(vec![identity.public()])).await.expect("the operator may");
    Session::join(&client, &identity, &other, Options::default()).await.expect("the writer is listed");
    let mut writer = Writer { cluster: &cluster, identity, session: other, http: reqwest::Client::new(), round: 0 };

    let session = client.create(&operator, spec()).await.expect("the operator may");
    let record = when(&client, &session, |record| record.deadline_ms.is_some()).await;
    let expiry_ms = record.deadline_ms.unwrap_or_default();
    let identities: Vec<Identity> = (0..REGISTRANTS).map(|_| Identity::generate(&mut OsRng)).collect();
    let requests = identities.iter().map(async |identity| {
        let context = Stamp::context(chain, &session, &identity.public(), expiry_ms);
        let nonce = pow::hashcash::mint(&context.0, 10, 0, &|_| {}, &AtomicBool::new(false)).expect("there is one");
        let operation = Operation::Register { session, stamp: Stamp { expiry_ms, nonce } };
        client.submit(&identity.envelope(chain, operation, Bytes::default(), OsRng), PATIENCE).await
    });
    let started = Instant::now();
    try_join_all(requests).await.expect("all register in time");
    println!("{REGISTRANTS} requests to take part, certified: {:.1} s", started.elapsed().as_secs_f64());

    let record =
        when(&client, &session, |record| record.registration.is_some_and(|state| state.challenge.is_some())).await;
    let challenge = wire::challenge(&record.registration.and_then(|state| state.challenge).expect("it is drawn")).0;
    let started = Instant::now();
    let proofs = solve(challenge, &identities);
    let bytes = proofs.iter().map(Vec::len).sum::<usize>() / proofs.len();
    println!("{REGISTRANTS} proofs of {bytes} bytes solved: {:.1} s", started.elapsed().as_secs_f64());

    let idle = writer.write(|writes| writes >= 200).await;
    let done = AtomicUsize::new(0);
    let solutions = identities.iter().zip(proofs).zip(0_u32..).map(async |((identity, proof), place)| {
        sleep(WINDOW * place / u32::from(REGISTRANTS)).await;
        let payload = Solution { chain: chain.clone(), session, key: identity.public(), proof: Bytes(proof) }.encode();
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Solve { session, digest, length };
        let outcome = client.submit(&identity.envelope(chain, operation, payload, OsRng), PATIENCE).await;
        done.fetch_add(1, Ordering::Relaxed);
        outcome
    });
    let started = Instant::now();
    let all = || done.load(Ordering::Relaxed) == usize::from(REGISTRANTS);
    let (outcomes, busy) = tokio::join!(join_all(solutions), writer.write(|_| all()));
    let took = started.elapsed().as_secs_f64();
    outcomes.into_iter().for_each(|outcome| outcome.expect("the solution is on the board"));
    let solved = client.list(&session, ListKind::Solvers).await.expect("the cluster answers").len();
    println!("{solved} solutions handed in over {} s, the last certified after {took:.1} s\n", WINDOW.as_secs());

    println!("| POST to receipt in another session | writes | p50 | p90 | p99 |");
    println!("|---|---|---|---|---|");
    let quantile = |times: &[f64], q: usize| times[(times.len() - 1) * q / 100];
    for (what, times) in [("idle", &idle), ("while solutions come", &busy)] {
        let [p50, p90, p99] = [50, 90, 99].map(|q| quantile(times, q));
        println!("| {what} | {} | {p50:.1} ms | {p90:.1} ms | {p99:.1} ms |", times.len());
    }
    let [p50, p90, p99] = [50, 90, 99].map(|q| quantile(&busy, q) / quantile(&idle, q));
    println!("| ratio | | {p50:.2} | {p90:.2} | {p99:.2} |");
}
