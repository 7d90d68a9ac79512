//! A peer: CometBFT with its own example application, the kvstore, in memory, on four nodes. Each message is a transaction, as in the paper's
//! implementation; it is replicated, unsigned, and what a party reads is not proved to it.
//!
//! A party hands its transaction in with `broadcast_tx_sync` (`broadcast_tx_commit` holds a subscription, of which a node allows a hundred
//! clients) and then reads block after block until it has the transactions of all: a query for each key would be n² queries. CometBFT's
//! settings are those of our nodes.

use crate::{figures::Times, meter, parties::MESSAGE_BYTES};
use base64::{Engine, engine::general_purpose::STANDARD};
use node::{
    comet_config,
    comet_program::Program,
    config::{CometConfig, Profile},
};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use white_city_tests::{binary::free_ports, repository};

/// k.
const NODES: usize = 4;
/// The nodes get so long to make the first block.
const READY: Duration = Duration::from_secs(30);
/// An exchange gets so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether the nodes are there.
const LOOK: Duration = Duration::from_millis(20);
/// A party that waits for a block looks so often: hundreds ask the same few nodes.
const POLL: Duration = Duration::from_millis(100);

/// The broadcast exchange of `n` parties.
///
/// # Errors
/// What stood in its way; more than two minutes do, too.
pub async fn measure(n: usize) -> Result<Times, String> {
    let cluster = KvStore::start().await?;
    let height = cluster.ready().await?;
    let (started, servers, own) = (Instant::now(), cluster.cpu(), meter::own_cpu());
    let mut playing = JoinSet::new();
    for place in 0..n {
        let party = Party { http: cluster.http.clone(), url: cluster.nodes[place % NODES].url.clone(), place };
        playing.spawn(async move {
            party.write().await?;
            party.read(height + 1, n).await
        });
    }
    let played = tokio::time::timeout(PATIENCE, playing.join_all()).await;
    let wall = started.elapsed().as_secs_f64();
    played.map_err(|_| "it took too long".to_owned())?.into_iter().collect::<Result<(), String>>()?;
    Ok(Times { wall, server: cluster.cpu() - servers, parties: meter::own_cpu() - own })
}

struct KvStore {
    nodes: Vec<KvNode>,
    http: reqwest::Client,
    _folder: TempDir,
}

/// A process that is killed when this is dropped.
struct KvNode {
    process: Child,
    url: String,
}

impl Drop for KvNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl KvStore {
    async fn start() -> Result<Self, String> {
        let installed = repository::root().join(".tools/bin/cometbft");
        let program =
            Program::find(installed.is_file().then_some(&*installed)).await.map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let output = folder.path().to_string_lossy().into_owned();
        let count = NODES.to_string();
        comet(program.path(), &["testnet", "--v", &count, "--o", &output, "--populate-persistent-peers=false"])?;
        let ports = free_ports(2 * NODES);
        let (p2p, rpc) = ports.split_at(NODES);
        let homes: Vec<_> = (0..NODES).map(|i| folder.path().join(format!("node{i}"))).collect();
        let mut peers = Vec::new();
        for (home, port) in homes.iter().zip(p2p) {
            let id = comet(program.path(), &["show-node-id", "--home", &home.to_string_lossy()])?;
            peers.push(format!("{}@127.0.0.1:{port}", id.trim()));
        }
        let mut nodes = Vec::new();
        for (i, home) in homes.iter().enumerate() {
            let others = peers.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, peer)| peer.clone());
            let config = CometConfig {
                profile: Profile::Lan,
                p2p_listen: SocketAddr::from(([127, 0, 0, 1], p2p[i])),
                rpc_listen: SocketAddr::from(([127, 0, 0, 1], rpc[i])),
                peers: others.collect(),
                log_level: "error".to_owned(),
                program: None,
            };
            let text = comet_config::text(&format!("node{i}"), &config, Path::new("unused"), false);
            fs::write(home.join("config/config.toml"), text).map_err(|error| error.to_string())?;
            let mut command = Command::new(program.path());
            command.args(["start", "--proxy_app=kvstore", "--home"]).arg(home);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn().map_err(|error| error.to_string())?;
            nodes.push(KvNode { process, url: format!("http://{}", config.rpc_listen) });
        }
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Ok(Self { nodes, http, _folder: folder })
    }

    /// Waits until all nodes have the first blocks; the greatest height.
    async fn ready(&self) -> Result<u64, String> {
        let (started, mut height) = (Instant::now(), 0);
        for node in &self.nodes {
            loop {
                let status = call(&self.http, &node.url, "status", json!({})).await;
                let at = status
                    .as_ref()
                    .ok()
                    .and_then(|status| text(status, "/sync_info/latest_block_height")?.parse().ok());
                if let Some(at) = at.filter(|at: &u64| *at > 0) {
                    height = at.max(height);
                    break;
                }
                if started.elapsed() > READY {
                    return Err(format!("no first block: {status:?}"));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(height)
    }

    fn cpu(&self) -> f64 {
        self.nodes.iter().map(|node| meter::cpu(node.process.id())).sum()
    }
}

struct Party {
    http: reqwest::Client,
    url: String,
    place: usize,
}

impl Party {
    async fn write(&self) -> Result<(), String> {
        let value = "m".repeat(MESSAGE_BYTES);
        let transaction = STANDARD.encode(format!("party{}={value}", self.place));
        let done = call(&self.http, &self.url, "broadcast_tx_sync", json!({ "tx": transaction })).await?;
        if done["code"] == 0 { Ok(()) } else { Err(done.to_string()) }
    }

    /// Reads blocks from `height` on until they have had `n` transactions.
    async fn read(&self, mut height: u64, n: usize) -> Result<(), String> {
        let mut found = 0;
        while found < n {
            match call(&self.http, &self.url, "block", json!({ "height": height.to_string() })).await {
                Ok(block) => {
                    let transactions = block.pointer("/block/data/txs").and_then(Value::as_array);
                    let messages =
                        transactions.into_iter().flatten().filter_map(|one| STANDARD.decode(one.as_str()?).ok());
                    found += messages.filter(|message| message.len() > MESSAGE_BYTES).count();
                    height += 1;
                }
                // It is not made yet.
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
        Ok(())
    }
}

/// One call of CometBFT's JSON-RPC.
async fn call(http: &reqwest::Client, url: &str, method: &str, params: Value) -> Result<Value, String> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = http.post(url).json(&request).send().await.map_err(|error| error.to_string())?;
    let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    match answer.get("error") {
        None => Ok(answer["result"].take()),
        Some(error) => Err(error.to_string()),
    }
}

fn text<'v>(value: &'v Value, place: &str) -> Option<&'v str> {
    value.pointer(place)?.as_str()
}

/// What CometBFT prints when called so.
fn comet(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
