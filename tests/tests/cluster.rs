//! The life of a cluster: made, started, hurt, started again, gone.

use std::{
    path::Path,
    time::{Duration, Instant},
};
use white_city_tests::{
    cluster::{Cluster, READY},
    node::Signal,
};

const LOOK: Duration = Duration::from_millis(20);

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// All nodes come to the same root at the same height. They are asked one after the other, and after a key has come into force the next
/// block starts the clock of its successor: so they are asked again until the chain has come to rest.
async fn assert_same_board(cluster: &Cluster) {
    let started = Instant::now();
    loop {
        let mut boards = Vec::new();
        for node in &cluster.nodes {
            let at = node.status().await.at;
            boards.push((at.height, at.root));
        }
        if boards.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        assert!(started.elapsed() < READY, "{boards:?}");
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn four_nodes_start_and_nothing_is_left_of_them() {
    let cluster = Cluster::start(4, &[]).await;
    assert_same_board(&cluster).await;
    let pids: Vec<u32> = cluster.nodes.iter().flat_map(|node| [node.pid(), node.comet_pid()]).flatten().collect();
    assert_eq!(pids.len(), 8, "four nodes and their CometBFT");
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_killed_node_and_a_killed_cometbft_come_back() {
    let mut cluster = Cluster::start(4, &[]).await;
    let killed = cluster.nodes[1].comet_pid().expect("it runs");
    assert!(cluster.nodes[1].signal_comet(Signal::KILL));
    cluster.nodes[3].kill();
    cluster.nodes[3].start();
    cluster.all_ready().await;
    assert_ne!(cluster.nodes[1].comet_pid(), Some(killed), "its node has started another");
    assert_same_board(&cluster).await;
    cluster.end_all(Signal::KILL);
    cluster.start_all();
    cluster.all_ready().await;
    assert_same_board(&cluster).await;
}

#[tokio::test]
async fn a_solo_node_needs_no_cometbft() {
    let mut cluster = Cluster::solo(&[]).await;
    assert_eq!(cluster.nodes[0].comet_pid(), None);
    let before = cluster.nodes[0].status().await.at;
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.nodes[0].ready(READY).await;
    let after = cluster.nodes[0].status().await.at;
    assert_eq!(before.root, after.root);
    assert!(after.height >= before.height);
}
