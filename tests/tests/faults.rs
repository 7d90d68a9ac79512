//! kill -9 of a node, of its CometBFT, and of all nodes, at random moments while parties sign: the cluster goes on or comes back with
//! the same board, no operation that had a receipt is lost, and the parties finish.

use client_sdk::{Client, Identity, Options, Session, identity_file};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use rand_core::OsRng;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    node::Signal,
    signing,
};
use wire::{
    Bytes, Code, MailboxId, MailboxKind, NetworkFile, Operation, Receipt, Report, SessionId, Submission,
    SubmissionOutcome, api::Outcome, message_digest,
};

const KILLS: usize = 20;
/// A kill comes at a random moment within this time after the cluster was whole again: a signing takes about as long.
const MOMENT_MS: u64 = 500;

#[derive(Clone, Copy)]
enum Target {
    Node,
    CometBft,
    AllNodes,
}

/// Kills once, at a random place. True if something was there to be killed.
async fn kill(cluster: &mut Cluster, target: Target, rng: &mut ChaCha20Rng) -> bool {
    let node = usize::try_from(rng.next_u32()).unwrap() % cluster.nodes.len();
    match target {
        Target::Node => {
            let was_running = cluster.nodes[node].is_running();
            cluster.nodes[node].kill();
            cluster.nodes[node].start();
            was_running
        }
        Target::CometBft => {
            let before = cluster.nodes[node].comet_pid();
            let killed = cluster.nodes[node].signal_comet(Signal::KILL);
            // Its node starts another; without this, a node that has not noticed yet would still call itself ready.
            let started = Instant::now();
            while cluster.nodes[node].comet_pid().is_none_or(|pid| Some(pid) == before) {
                assert!(started.elapsed() < READY, "the node has not started another CometBFT");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            killed
        }
        Target::AllNodes => {
            let all = cluster.nodes.iter().all(|node| node.is_running());
            cluster.end_all(Signal::KILL);
            cluster.start_all();
            all
        }
    }
}

/// Signs again and again until told to stop; returns the number of signings.
async fn sign_on(network: NetworkFile, mut parties: Vec<signing::Party>, stop: Arc<AtomicBool>) -> u32 {
    assert_eq!(network.faults(), 1);
    signing::generate_key(&mut parties).await.unwrap();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) && number < signing::MAX_SIGNINGS {
        let message = format!("message {number}");
        signing::sign(&parties, number, message.as_bytes()).await.unwrap_or_else(|e| panic!("signing {number}: {e}"));
        number += 1;
    }
    number
}

/// Writes one small broadcast after the other, at one gateway after the other, and keeps every receipt that it is given.
async fn keep_receipts(
    network: NetworkFile,
    session: SessionId,
    writer: Identity,
    stop: Arc<AtomicBool>,
) -> Vec<Receipt> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut receipts = Vec::new();
    for round in 0..4000 {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let payload = Bytes(round.to_string().into_bytes());
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let mailbox = MailboxId { session, kind: MailboxKind::Broadcast, round };
        let operation = Operation::Write { mailbox, digest, length, recipients: 0 };
        let operations = vec![writer.envelope(&network.chain, operation, payload, OsRng)];
        let node = &network.nodes[usize::try_from(round).unwrap() % network.nodes.len()];
        let url = format!("{}/v1/operations?wait=commit&timeout_ms=4000", node.url);
        let Ok(answer) = http.post(url).json(&Submission { operations }).send().await else {
            // A gateway that has just been killed refuses at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(outcome) = answer.json::<SubmissionOutcome>().await else { continue };
        if let Outcome::Decided { receipt } = &outcome.operations[0].outcome {
            let receipt = receipt.as_ref().clone().verify(&network.chain).unwrap().into_body().fact;
            assert_eq!(receipt.code, Code::Accepted);
            receipts.push(receipt);
        }
    }
    receipts
}

/// All nodes come to show the same block.
async fn assert_same_block(cluster: &Cluster) {
    let started = Instant::now();
    loop {
        let mut blocks = Vec::new();
        for node in &cluster.nodes {
            blocks.push(node.status().await.at);
        }
        if blocks.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        assert!(started.elapsed() < READY, "the nodes do not come together: {blocks:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_kept(cluster: &Cluster, receipts: &[Receipt]) {
    for node in &cluster.nodes {
        for receipt in receipts {
            let url = format!("{}/v1/operations/{}", node.url, receipt.operation);
            let answer: Report<Receipt> = reqwest::get(url).await.unwrap().json().await.unwrap();
            assert_eq!(answer.body.fact, *receipt, "{} has lost an operation that had a receipt", node.url);
        }
    }
}

async fn endure(target: Target, seed: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut cluster = Cluster::start(4, &[]).await;
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let (_, parties) = signing::seat(&cluster.network, &cluster.operator_file(), 5).await.unwrap();
    // The writer is a session's only party, so that nobody waits for it.
    let writer = Identity::generate(&mut OsRng);
    let client = Client::new(cluster.network.clone()).unwrap();
    let alone = client.create(&operator, signing::spec(vec![writer.public()])).await.unwrap();
    Session::join(&client, &writer, &alone, Options::default()).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let signing = tokio::spawn(sign_on(cluster.network.clone(), parties, stop.clone()));
    let writing = tokio::spawn(keep_receipts(cluster.network.clone(), alone, writer, stop.clone()));
    let mut kills = 0;
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(rng.next_u64() % MOMENT_MS)).await;
        kills += usize::from(kill(&mut cluster, target, &mut rng).await);
        assert!(!signing.is_finished(), "the parties have given up");
        cluster.all_ready().await;
    }
    stop.store(true, Ordering::SeqCst);
    let (signings, receipts) = (signing.await.unwrap(), writing.await.unwrap());
    assert_eq!(kills, KILLS, "every kill has hit");
    assert!(signings > 0 && receipts.len() > KILLS, "{signings} signings, {} receipts", receipts.len());
    println!("{kills} kills, {signings} signings, {} receipts", receipts.len());
    assert_same_block(&cluster).await;
    assert_kept(&cluster, &receipts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_finish_while_nodes_are_killed() {
    endure(Target::Node, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_finish_while_cometbft_is_killed() {
    endure(Target::CometBft, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_finish_while_all_nodes_are_killed() {
    endure(Target::AllNodes, 3).await;
}
