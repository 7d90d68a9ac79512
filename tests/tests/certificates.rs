//! Every real node has the newest certificate, on a chain at rest: after a partition, after it was away for hundreds of blocks, after it has lost everything but its
//! keys, and after all have been killed.

#[path = "certificates/links.rs"]
mod links;

use client_sdk::{Identity, Verifier, identity_file};
use links::{Links, Way};
use node::{config::Config, home::Home};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    node::{Node, Signal},
    raw::{Raw, parties},
    signing,
};
use wire::{
    BoardAt, Certificate, EndorsedKeyRecord, Envelope, MailboxId, MailboxKind, SessionId, Submission,
    SubmissionOutcome, api::Outcome,
};

const LOOK: Duration = Duration::from_millis(50);
/// So many writes, one after the other, make at least as many blocks.
const WRITES: u32 = 150;

/// One party that writes on and on, so that there are blocks.
struct Writer {
    raw: Raw,
    party: Identity,
    session: SessionId,
    round: u32,
}

impl Writer {
    async fn new(cluster: &Cluster) -> Self {
        let operator = identity_file::load(&cluster.operator_file(), None).unwrap();
        let (parties, keys) = parties(1);
        let raw = Raw::new(cluster.network.clone());
        let session = raw.open(&operator, &parties, signing::spec(keys)).await;
        Self { raw, party: parties.into_iter().next().unwrap(), session, round: 0 }
    }

    fn next(&mut self) -> Envelope {
        let mailbox = MailboxId { session: self.session, kind: MailboxKind::Broadcast, round: self.round };
        self.round += 1;
        self.raw.broadcast(&self.party, mailbox, &self.round.to_le_bytes())
    }

    async fn write(&mut self, node: usize, times: u32) {
        for _ in 0..times {
            let write = self.next();
            self.raw.insist(node, &write).await;
        }
    }
}

/// Hands a write in at a node, which takes it and cannot have it decided.
async fn assert_undecided(cluster: &Cluster, node: usize, write: &Envelope) {
    let url = format!("{}/v1/operations?wait=commit&timeout_ms=3000", cluster.nodes[node].url);
    let submission = Submission { operations: vec![write.clone()] };
    let answer = reqwest::Client::new().post(url).json(&submission).send().await.unwrap();
    let text = answer.text().await.unwrap();
    if let Ok(outcome) = serde_json::from_str::<SubmissionOutcome>(&text) {
        assert!(matches!(outcome.operations[0].outcome, Outcome::Pending), "{text}");
    }
}

async fn heights(cluster: &Cluster) -> Vec<u64> {
    let mut heights = Vec::new();
    for node in &cluster.nodes {
        heights.push(node.status().await.at.height);
    }
    heights
}

/// The newest board and certificate of a node, if it has both.
async fn newest(node: &Node) -> Option<(BoardAt, Certificate)> {
    let answer = reqwest::get(format!("{}/v1/certificate", node.url)).await.ok()?;
    let certificate = answer.error_for_status().ok()?.json().await.ok()?;
    let answer = reqwest::get(format!("{}/v1/status", node.url)).await.ok()?;
    let status: wire::api::NodeStatus = answer.json().await.ok()?;
    Some((status.at, certificate))
}

/// Waits until all of these nodes have come to rest at one board, and each has its certificate, which is checked as a client checks it.
async fn all_have_the_newest(cluster: &Cluster, nodes: &[usize]) -> BoardAt {
    let started = Instant::now();
    let found = loop {
        let mut found = Vec::new();
        for node in nodes {
            found.push(newest(&cluster.nodes[*node]).await);
        }
        let first = found[0].map(|(at, _)| at);
        let same = |one: &Option<(BoardAt, Certificate)>| {
            one.is_some_and(|(at, certificate)| Some(at) == first && certificate.at == at)
        };
        if found.iter().all(same) {
            break found.into_iter().flatten().collect::<Vec<_>>();
        }
        assert!(started.elapsed() < READY, "not all have the newest certificate: {found:?}");
        tokio::time::sleep(LOOK).await;
    };
    let mut verifier = Verifier::new(&cluster.network).unwrap();
    let keys = reqwest::get(format!("{}/v1/keys?from=1", cluster.nodes[nodes[0]].url)).await.unwrap();
    let keys: Vec<EndorsedKeyRecord> = keys.json().await.unwrap();
    keys.iter().for_each(|key| verifier.learn(key).unwrap());
    for (at, certificate) in &found {
        assert_eq!(verifier.check_certificate(certificate, 0).unwrap().at(), *at);
    }
    found[0].0
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_partition_every_node_has_the_newest_certificate() {
    let mut cluster = Cluster::create(4, &[]);
    let links = Links::lay(&cluster).await;
    cluster.start_all();
    cluster.all_ready().await;
    let mut writer = Writer::new(&cluster).await;
    for how in [Way::Silent, Way::Closed] {
        all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
        links.cut(|from, to| (from < 2) != (to < 2), how);
        // What was said before the cut may still make a block. Then there is none.
        let (west, east) = (writer.next(), writer.next());
        assert_undecided(&cluster, 0, &west).await;
        let before = heights(&cluster).await;
        assert_undecided(&cluster, 2, &east).await;
        assert_eq!(heights(&cluster).await, before, "neither half goes on alone");
        assert!(links.hit() > 0, "the cut has hit something");
        let healed = Instant::now();
        links.heal();
        for write in [&west, &east] {
            writer.raw.insist(1, write).await;
            writer.raw.insist(3, write).await;
        }
        let after = all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
        assert!(before.iter().all(|height| after.height > *height));
        println!("{how:?}: {} connections hit, together again after {:?}", links.hit(), healed.elapsed());
    }
}

/// The node's operator sees that this has happened.
async fn assert_counted(node: &Node, what: &str) {
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
    let counted = metrics.lines().find_map(|line| line.strip_prefix(what)?.trim().parse::<f64>().ok());
    assert!(counted.is_some_and(|counted| counted > 0.0), "{what} is {counted:?}");
}

/// Lets a node's CometBFT say what it does.
fn talkative(node: &Node) {
    let home = Home::new(node.home()).unwrap();
    let mut config = Config::load(&home).unwrap();
    config.comet.as_mut().unwrap().log_level = "info".to_owned();
    fs::remove_file(home.config()).unwrap();
    config.save(&home).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// How often a CometBFT has brought in hundred blocks from others, without taking part in deciding them.
fn hundreds_synced(node: &Node) -> usize {
    node.log().matches("Block Sync Rate").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_or_has_lost_its_board_has_the_newest_certificate() {
    let mut cluster = Cluster::create(4, &[]);
    talkative(&cluster.nodes[3]);
    let (home, new) = (cluster.nodes[3].home().to_owned(), cluster.folder().join("new"));
    copy(&home, &new);
    cluster.start_all();
    cluster.all_ready().await;
    let mut writer = Writer::new(&cluster).await;
    let mut synced = 0;
    for lost in [false, true] {
        let before = all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
        cluster.nodes[3].stop();
        if lost {
            // All but what it was made with, and that is its keys.
            fs::remove_dir_all(&home).unwrap();
            copy(&new, &home);
        }
        writer.write(0, WRITES).await;
        let without = all_have_the_newest(&cluster, &[0, 1, 2]).await;
        assert!(without.height >= before.height + u64::from(WRITES));
        assert_counted(&cluster.nodes[0], "white_city_missing_shares_total{node=\"node3\"}").await;
        assert_counted(&cluster.nodes[0], "white_city_certificate_seconds_count").await;
        cluster.nodes[3].start();
        let started = Instant::now();
        let together = all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
        assert_eq!(together.root, without.root, "nobody had to write for it");
        println!("lost: {lost}; {} blocks in {:?}", without.height - before.height, started.elapsed());
        let all = hundreds_synced(&cluster.nodes[3]);
        assert!(all > synced, "it has synced blocks, and not decided them");
        synced = all;
        // It signs again: without another one, nothing is decided or certified unless it does its part.
        cluster.nodes[1].stop();
        writer.write(3, 1).await;
        all_have_the_newest(&cluster, &[0, 2, 3]).await;
        cluster.nodes[1].start();
    }
    let before = all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
    cluster.end_all(Signal::KILL);
    cluster.start_all();
    let after = all_have_the_newest(&cluster, &[0, 1, 2, 3]).await;
    assert_eq!(after.root, before.root);
    assert!(after.height >= before.height);
}
