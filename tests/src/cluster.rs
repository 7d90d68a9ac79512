//! Real nodes for tests: processes of `white-city-node`, each with its CometBFT, in a folder that is gone afterwards.

use crate::{
    binary::{binary, free_base},
    node::{Node, Signal},
    repository,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;
use wire::{NetworkFile, PublicKey};

/// A cluster gets so long to take writes after a start.
pub const READY: Duration = Duration::from_secs(60);

/// A cluster of nodes on loopback. When it is dropped, its processes end and its files are removed.
pub struct Cluster {
    /// All nodes, in the network file's order.
    pub nodes: Vec<Node>,
    /// Read-only replicas, in the network file's order.
    pub replicas: Vec<Node>,
    /// What clients are given.
    pub network: NetworkFile,
    // Dropped after the nodes, which write in it.
    folder: TempDir,
}

impl Cluster {
    /// Makes and starts `nodes` nodes, and waits until all take writes. `creators` may create sessions beside the operator.
    ///
    /// # Panics
    /// If they do not, with the end of their logs.
    pub async fn start(nodes: usize, creators: &[PublicKey]) -> Self {
        let mut cluster = Self::create(nodes, creators);
        cluster.start_all();
        cluster.all_ready().await;
        cluster
    }

    /// Makes and starts one node that orders blocks itself, without CometBFT.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub async fn solo(creators: &[PublicKey]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let home = folder.path().join("cluster");
        make(&["init", "--consensus", "solo", "--home"], &home, 1, creators);
        let mut cluster = Self::made(folder, vec![home], Vec::new());
        cluster.start_all();
        cluster.all_ready().await;
        cluster
    }

    /// Makes `nodes` nodes and starts none.
    ///
    /// # Panics
    /// If `white-city-node cluster create` fails.
    pub fn create(nodes: usize, creators: &[PublicKey]) -> Self {
        Self::create_with_replicas(nodes, 0, creators)
    }

    /// Makes `nodes` nodes and `replicas` read-only replicas, and starts none.
    ///
    /// # Panics
    /// As [`Cluster::create`].
    pub fn create_with_replicas(nodes: usize, replicas: usize, creators: &[PublicKey]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let output = folder.path().join("cluster");
        let numbers = [nodes, replicas].map(|number| number.to_string());
        let arguments = ["cluster", "create", "--nodes", &numbers[0], "--replicas", &numbers[1], "--output"];
        make(&arguments, &output, nodes + replicas, creators);
        let homes = |name: &str, count| (0..count).map(|i| output.join(format!("{name}{i}"))).collect();
        Self::made(folder, homes("node", nodes), homes("replica", replicas))
    }

    /// Makes and starts nodes and read-only replicas, and waits until the ones take writes and the others serve.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub async fn start_with_replicas(nodes: usize, replicas: usize, creators: &[PublicKey]) -> Self {
        let mut cluster = Self::create_with_replicas(nodes, replicas, creators);
        cluster.start_all();
        cluster.all_ready().await;
        cluster
    }

    fn made(folder: TempDir, homes: Vec<PathBuf>, replicas: Vec<PathBuf>) -> Self {
        let text = std::fs::read(folder.path().join("cluster/network.json")).expect("a network file is made");
        let network: NetworkFile = serde_json::from_slice(&text).expect("it is one");
        network.check().expect("it is sound");
        let logs = (0..).map(|i| folder.path().join(format!("node{i}.log")));
        let parts = network.nodes.iter().zip(homes).zip(logs);
        let nodes = parts.map(|((address, home), log)| Node::new(address.url.clone(), home, log)).collect();
        let logs = (0..).map(|i| folder.path().join(format!("replica{i}.log")));
        let parts = network.replicas.iter().zip(replicas).zip(logs);
        let replicas = parts.map(|((address, home), log)| Node::new(address.url.clone(), home, log)).collect();
        Self { nodes, replicas, network, folder }
    }

    /// The network file's path.
    pub fn network_file(&self) -> PathBuf {
        self.folder.path().join("cluster/network.json")
    }

    /// The path of an identity that may create sessions.
    pub fn operator_file(&self) -> PathBuf {
        self.folder.path().join("cluster/operator.json")
    }

    /// A folder for the test's own files, removed with the rest.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts every node and replica that does not run.
    pub fn start_all(&mut self) {
        self.nodes.iter_mut().chain(&mut self.replicas).filter(|node| !node.is_running()).for_each(Node::start);
    }

    /// Ends every node with `signal`, and waits until all have ended.
    pub fn end_all(&mut self, signal: Signal) {
        self.nodes.iter().for_each(|node| node.signal(signal));
        self.nodes.iter_mut().for_each(Node::wait);
    }

    /// Waits until all nodes take writes, and all replicas serve.
    ///
    /// # Panics
    /// If one does not within [`READY`], or ends.
    pub async fn all_ready(&mut self) {
        for node in self.nodes.iter_mut().chain(&mut self.replicas) {
            node.ready(READY).await;
        }
    }
}

/// `white-city-node` with `arguments`, of which the last takes `output`.
fn make(arguments: &[&str], output: &Path, nodes: usize, creators: &[PublicKey]) {
    let mut command = Command::new(binary("white-city-node"));
    command.args(arguments).arg(output).args(["--base-port", &free_base(nodes).to_string()]);
    command.args(creators.iter().flat_map(|key| ["--creator".to_owned(), key.to_string()]));
    let made = command.current_dir(repository::root()).output().expect("white-city-node starts");
    assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
}
