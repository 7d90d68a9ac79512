//! Real nodes make their threshold key: killed after every step, with one of them silent, again on an operator's order, and with a lost
//! secret.

use bls::Seed;
use node::{dealer::Dealer, home::Home, identity, participant::Participant, secrets::NodeSecrets};
use rand_core::OsRng;
use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};
use white_city_tests::{
    binary::binary,
    cluster::{Cluster, READY},
};
use wire::{
    EndorsedKeyRecord, Generation, GenerationPhase, GenerationStep, NetworkParameters, Operation, PublicKey,
    Submission,
    api::{GenerationStatus, NodeStatus},
};

/// Between two looks at a node's status: a step stands on the board for longer than that before the next.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `node` says what the test waits for.
async fn until(cluster: &Cluster, node: usize, what: &str, look: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    let started = Instant::now();
    let mut last = None;
    loop {
        let url = format!("{}/v1/status", cluster.nodes[node].url);
        if let Ok(answer) = reqwest::get(url).await
            && let Ok(status) = answer.json::<NodeStatus>().await
        {
            if look(&status) {
                return status;
            }
            last = Some(status);
        }
        assert!(started.elapsed() < READY, "node {node} does not say: {what}; {last:?}");
        tokio::time::sleep(LOOK).await;
    }
}

fn generation(status: &NodeStatus, epoch: u64) -> Option<&GenerationStatus> {
    status.generation.as_ref().filter(|generation| generation.epoch == epoch)
}

fn in_force(status: &NodeStatus, epoch: u64) -> bool {
    generation(status, epoch).is_some_and(|generation| generation.phase == GenerationPhase::Done)
}

/// All nodes have the key of `epoch` in force, and their shares of it.
async fn assert_key(cluster: &Cluster, epoch: u64) {
    for (i, node) in cluster.nodes.iter().enumerate() {
        let status = until(cluster, i, "the key is in force", |status| status.ready && in_force(status, epoch)).await;
        assert_eq!(status.warnings, Vec::<String>::new());
        let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("white_city_key_share 1"), "{metrics}");
        assert!(metrics.contains(&format!("white_city_key_epoch {epoch}")), "{metrics}");
    }
    let first = keys(cluster, 0, epoch).await;
    let identities: Vec<PublicKey> = cluster.network.nodes.iter().map(|node| node.identity).collect();
    assert_eq!(first.check_endorsements(&cluster.network.chain, &identities), Ok(()));
    assert_eq!(first.previous.is_some(), epoch > 1);
    for node in 1..cluster.nodes.len() {
        assert_eq!(keys(cluster, node, epoch).await, first, "node {node} has another key");
    }
}

/// The record of an epoch's key as a node serves it: from a certified board, which may be some blocks behind.
async fn keys(cluster: &Cluster, node: usize, epoch: u64) -> EndorsedKeyRecord {
    let (url, started) = (format!("{}/v1/keys?from={epoch}", cluster.nodes[node].url), Instant::now());
    loop {
        let answer = reqwest::get(&url).await.unwrap();
        if answer.status().is_success()
            && let Some(record) = answer.json::<Vec<EndorsedKeyRecord>>().await.unwrap().into_iter().next()
        {
            return record;
        }
        assert!(started.elapsed() < READY, "{url} has no key");
        tokio::time::sleep(LOOK).await;
    }
}

/// A node that this test plays, from the files of its home.
struct Played {
    parameters: NetworkParameters,
    participant: Participant,
    index: u16,
}

impl Played {
    fn new(cluster: &Cluster, index: usize) -> Self {
        let home = Home::new(cluster.nodes[index].home()).unwrap();
        let parameters = node::genesis::load(&home).unwrap();
        let secrets = Arc::new(NodeSecrets::load(&home.keys()).unwrap());
        let index = u16::try_from(index).unwrap();
        let participant = Participant::new(&parameters, index, identity::load(&home.identity()).unwrap(), secrets);
        Self { parameters, participant, index }
    }

    fn deal(&self, epoch: u64) -> GenerationStep {
        let keys = self.parameters.nodes.iter().map(|node| node.keys.exchange).collect();
        let run = Generation::new(epoch, 0, keys);
        let genesis = self.parameters.digest();
        let dealer = Dealer::new(&genesis, &run, self.index, &Seed::new([7; 32])).unwrap();
        GenerationStep::Deal { dealing: dealer.dealing(&genesis, &run).unwrap() }
    }

    /// Puts a step on the board through the gateway of another node.
    async fn take(&self, cluster: &Cluster, through: usize, epoch: u64, step: GenerationStep) {
        let operation = Operation::Generate { epoch, attempt: 0, step: Box::new(step) };
        let operations = vec![self.participant.sign(operation, OsRng)];
        let url = format!("{}/v1/operations?wait=commit&timeout_ms=30000", cluster.nodes[through].url);
        let answer = reqwest::Client::new().post(url).json(&Submission { operations }).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}

async fn kill_and_start(cluster: &mut Cluster, node: usize) {
    cluster.nodes[node].kill();
    cluster.nodes[node].start();
    until(cluster, node, "it is back", |_| true).await;
}

/// In each epoch another node is killed after each of its four steps, while this test plays the next one, with which no phase ends
/// before the kill: its deal and its accusation come only then.
#[tokio::test(flavor = "multi_thread")]
async fn each_node_may_be_killed_after_each_step() {
    let mut cluster = Cluster::create(4, &[]);
    let mut kills = 0;
    for (epoch, victim) in (1..=4).zip(0..4usize) {
        let played = (victim + 1) % 4;
        if epoch == 1 {
            (0..4).filter(|node| *node != played).for_each(|node| cluster.nodes[node].start());
        } else {
            cluster.nodes[played].stop();
            renew(&cluster);
        }
        let player = Played::new(&cluster, played);
        let own = u16::try_from(victim).unwrap();
        let through = (victim + 2) % 4;

        let dealt = |status: &NodeStatus| generation(status, epoch).is_some_and(|run| run.dealt.contains(&own));
        until(&cluster, through, "the victim has dealt", dealt).await;
        kill_and_start(&mut cluster, victim).await;
        player.take(&cluster, through, epoch, player.deal(epoch)).await;

        let checked = |status: &NodeStatus| generation(status, epoch).is_some_and(|run| run.checked.contains(&own));
        until(&cluster, through, "the victim has checked", checked).await;
        kill_and_start(&mut cluster, victim).await;
        player.take(&cluster, through, epoch, GenerationStep::Check { accused: vec![own] }).await;

        let answered = |status: &NodeStatus| generation(status, epoch).is_some_and(|run| run.answered.contains(&own));
        until(&cluster, through, "the victim has answered", answered).await;
        kill_and_start(&mut cluster, victim).await;

        // Two of the three nodes are enough, so that the victim's word may come too late to be seen.
        let endorsed = |status: &NodeStatus| {
            generation(status, epoch)
                .is_some_and(|run| run.endorsed.contains(&own) || run.phase == GenerationPhase::Done)
        };
        until(&cluster, through, "the key is vouched for", endorsed).await;
        kill_and_start(&mut cluster, victim).await;

        kills += 4;
        cluster.nodes[played].start();
        assert_key(&cluster, epoch).await;
        let run = cluster.nodes[through].status().await.generation.unwrap();
        assert_eq!((run.attempt, run.dealt.len(), run.accused), (0, 4, vec![own]));
    }
    assert_eq!(kills, 16);
}

/// Orders the next key, as the operator does.
fn renew(cluster: &Cluster) {
    let mut command = Command::new(binary("white-city"));
    command.args(["renew-key", "--network"]).arg(cluster.network_file());
    command.arg("--identity").arg(cluster.operator_file());
    let done = command.output().expect("white-city starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_delays_the_key_and_has_its_share_when_it_comes() {
    let mut cluster = Cluster::create(4, &[]);
    for node in &mut cluster.nodes[..3] {
        node.start();
    }
    let waiting = until(&cluster, 0, "it waits for node 3", |status| {
        generation(status, 1).is_some_and(|run| run.dealt == [0, 1, 2])
    });
    let waiting = waiting.await;
    assert!(!waiting.ready);
    let expected = "the nodes are making their key: epoch 1, 3 of 4 have dealt, missing node3";
    assert!(waiting.reasons.iter().any(|reason| reason == expected), "{:?}", waiting.reasons);
    for node in 0..3 {
        until(&cluster, node, "the key is in force", |status| status.ready && in_force(status, 1)).await;
    }
    cluster.nodes[3].start();
    assert_key(&cluster, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_renews_the_key_and_a_node_that_lost_its_secret_has_a_share_again() {
    let mut cluster = Cluster::start(4, &[]).await;
    assert_key(&cluster, 1).await;
    renew(&cluster);
    assert_key(&cluster, 2).await;

    cluster.nodes[2].stop();
    let home = cluster.nodes[2].home().to_owned();
    let made = Command::new(binary("white-city-node")).args(["new-exchange-key", "--home"]).arg(home).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    cluster.nodes[2].start();
    let warned = |status: &NodeStatus| status.ready && status.warnings.iter().any(|one| one.contains("no share"));
    until(&cluster, 2, "it warns that it has no share", warned).await;
    let metrics = reqwest::get(format!("{}/metrics", cluster.nodes[2].url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("white_city_key_share 0"), "{metrics}");
    let named = |status: &NodeStatus| !status.warnings.iter().any(|one| one.contains("exchange key of this node"));
    until(&cluster, 2, "the others know its new key", named).await;
    renew(&cluster);
    assert_key(&cluster, 3).await;
}
