//! Read-only replicas on real processes: they serve what the nodes have certified, take no writes, erase what the board erases, and cost their readers
//! a failover at most when they die, hang or stay behind.

use client_sdk::{Client, Identity, Verifier, identity_file};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    disk::files_with,
    node::{Node, Signal},
    raw::{Raw, parties},
    signing,
};
use wire::{
    Bytes, Certificate, Code, EndorsedKeyRecord, MailboxId, MailboxKind, NetworkFile, NodeAddress, Operation,
    SessionSpec, Submission, api::Problem,
};

const LOOK: Duration = Duration::from_millis(50);
/// Stands in no file by chance.
const SECRET: &[u8] = b"what only one party may read: this very text, and nothing like it.";
/// So many blocks, at least, follow each other as fast as they can.
const BLOCKS: u32 = 150;
/// The number that [`Raw`] knows the replica by.
const REPLICA: usize = 4;

/// The replica as one more gateway, for those who ask by hand.
fn with_replica(network: &NetworkFile) -> NetworkFile {
    let replica = network.replicas[0].clone();
    let identity = Identity::generate(&mut rand_core::OsRng).public();
    let mut network = network.clone();
    network.nodes.push(NodeAddress { name: replica.name, url: replica.url, identity });
    network
}

/// How many mailboxes a node or replica has given to readers.
async fn mailboxes_read(node: &Node) -> f64 {
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
    let of_mailboxes = metrics.lines().filter(|line| {
        line.starts_with("white_city_requests_total") && line.contains("{kind}") && line.contains("\"200\"")
    });
    of_mailboxes.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until the replica shows the certificate of the board that `node` shows, and checks it as a client does.
async fn catches_up(cluster: &Cluster, node: usize) {
    let newest = async |node: &Node| -> Option<Certificate> {
        reqwest::get(format!("{}/v1/certificate", node.url)).await.ok()?.error_for_status().ok()?.json().await.ok()
    };
    let started = Instant::now();
    let certificate = loop {
        let (there, here) = (newest(&cluster.nodes[node]).await, newest(&cluster.replicas[0]).await);
        if let Some(certificate) = here.filter(|_| here == there) {
            break certificate;
        }
        assert!(started.elapsed() < READY, "the replica stays behind: {here:?}, and not {there:?}");
        tokio::time::sleep(LOOK).await;
    };
    let keys = reqwest::get(format!("{}/v1/keys?from=1", cluster.replicas[0].url)).await.unwrap();
    let keys: Vec<EndorsedKeyRecord> = keys.json().await.unwrap();
    let mut verifier = Verifier::new(&cluster.network).unwrap();
    keys.iter().for_each(|key| verifier.learn(key).unwrap());
    verifier.check_certificate(&certificate, 0).unwrap();
}

fn holds_secret(home: &Path) -> bool {
    !files_with(home, &[SECRET]).is_empty()
}

async fn comes_true(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < READY, "{what}");
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_serves_what_is_certified_takes_no_writes_and_erases() {
    let cluster = Cluster::start_with_replicas(4, 1, &[]).await;
    // Parties who are given the network file and nothing else.
    let (_, mut parties_of_key) = signing::seat(&cluster.network, &cluster.operator_file(), 3).await.unwrap();
    signing::generate_key(&mut parties_of_key).await.unwrap();
    signing::sign(&parties_of_key, 0, b"a file").await.unwrap();
    let mut at_nodes = 0.0;
    for node in &cluster.nodes {
        at_nodes += mailboxes_read(node).await;
    }
    let at_replica = mailboxes_read(&cluster.replicas[0]).await;
    println!("mailboxes read: {at_replica} at the replica, {at_nodes} at the nodes");
    assert!(at_replica > at_nodes, "reads go to the replica first");

    // A private message, which no block holds, comes to the replica, and goes with its session.
    let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
    let raw = Raw::new(with_replica(&cluster.network));
    let (parties, keys) = parties(1);
    let session = raw.open(&operator, &parties, SessionSpec { max_rounds: 10 + BLOCKS, ..signing::spec(keys) }).await;
    let write = raw.private(&parties[0], session, 0, 1, SECRET);
    refused_at_replica(&cluster, &write).await;
    raw.insist(0, &write).await;
    raw.comes_to_show(REPLICA, session, 0, SECRET).await;
    assert!(holds_secret(cluster.replicas[0].home()), "it has the payload itself");
    for round in 0..BLOCKS {
        let mailbox = MailboxId { session, kind: MailboxKind::Broadcast, round };
        raw.insist(round as usize % 4, &raw.broadcast(&parties[0], mailbox, &round.to_le_bytes())).await;
    }
    catches_up(&cluster, 0).await;
    let sign = |operation| parties[0].envelope(&raw.network.chain, operation, Bytes::default(), rand_core::OsRng);
    raw.insist(1, &sign(Operation::Terminate { session })).await;
    let at = cluster.nodes[1].status().await.at;
    raw.insist(1, &sign(Operation::Ack { session, height: at.height, root: at.root })).await;
    comes_true("what was erased stands in a file of the replica", || !holds_secret(cluster.replicas[0].home())).await;
}

async fn refused_at_replica(cluster: &Cluster, write: &wire::Envelope) {
    let url = format!("{}/v1/operations", cluster.replicas[0].url);
    let submission = Submission { operations: vec![write.clone()] };
    let answer = reqwest::Client::new().post(url).json(&submission).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 421);
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.code, Code::ReadOnly);
    assert!(cluster.network.nodes.iter().all(|node| problem.detail.contains(&node.url)), "{}", problem.detail);
}

/// New parties, who have the network file and know nothing of who serves well, meet, make a key and sign.
async fn strangers_sign(cluster: &Cluster, what: &str) {
    let started = Instant::now();
    let (_, mut parties) = signing::seat(&cluster.network, &cluster.operator_file(), 3).await.unwrap();
    signing::generate_key(&mut parties).await.unwrap();
    signing::sign(&parties, 0, b"a file").await.unwrap();
    println!("{what}: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(30), "{what}");
}

/// How many requests a replica has answered, of any kind.
async fn answered(node: &Node) -> f64 {
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
    let all =
        metrics.lines().filter(|line| line.starts_with("white_city_requests_total") && line.contains("/v1/sessions"));
    all.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_hangs_or_stays_behind_costs_its_readers_little() {
    let mut cluster = Cluster::start_with_replicas(4, 1, &[]).await;
    strangers_sign(&cluster, "whole").await;
    cluster.replicas[0].kill();
    strangers_sign(&cluster, "dead").await;
    cluster.replicas[0].start();
    cluster.replicas[0].ready(READY).await;
    catches_up(&cluster, 1).await;
    assert_eq!(answered(&cluster.replicas[0]).await, 0.0, "it has begun anew");

    cluster.replicas[0].signal(Signal::STOP);
    let (client, started) = (Client::new(cluster.network.clone()).unwrap(), Instant::now());
    client.latest_block().await.unwrap();
    let waited = started.elapsed();
    assert!(waited > LOOK && waited < Duration::from_secs(5), "the replica was asked first, for a while: {waited:?}");
    strangers_sign(&cluster, "hanging").await;
    cluster.replicas[0].signal(Signal::CONT);
    catches_up(&cluster, 2).await;
    let asked = answered(&cluster.replicas[0]).await;

    assert!(cluster.replicas[0].signal_comet(Signal::STOP));
    let before = cluster.replicas[0].status().await.at;
    strangers_sign(&cluster, "staying behind").await;
    assert_eq!(cluster.replicas[0].status().await.at, before, "it did stay behind");
    assert!(answered(&cluster.replicas[0]).await > asked, "it was asked while it stayed behind");
    cluster.replicas[0].signal_comet(Signal::CONT);
    catches_up(&cluster, 3).await;
    strangers_sign(&cluster, "again").await;
}
