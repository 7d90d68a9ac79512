//! CometBFT's `config.toml`, written anew at each start from the node's settings. Keys that are not here keep CometBFT's defaults.

use crate::config::{CometConfig, Profile};
use std::path::Path;
use wire::limits::{MAX_BLOCK_BYTES, MAX_REPLICAS, MAX_TRANSACTION_BYTES};

/// Most transactions that wait in the mempool, and most bytes of them.
const MEMPOOL_TRANSACTIONS: usize = 4096;
const MEMPOOL_BYTES: usize = 32 * MAX_BLOCK_BYTES;
/// So many transactions are remembered as known.
const MEMPOOL_CACHE: usize = 16_384;
/// Bytes a second to or from each peer.
const PEER_RATE: u64 = 100 * 1024 * 1024;
/// A transaction in an RPC request is base64 in JSON.
const RPC_BODY_BYTES: usize = 2 * MAX_TRANSACTION_BYTES;

/// What depends on how far the nodes are apart.
struct Timeouts {
    propose: &'static str,
    propose_delta: &'static str,
    vote: &'static str,
    vote_delta: &'static str,
    commit: &'static str,
    gossip_sleep_ms: usize,
    flush_throttle: &'static str,
}

/// With all nodes up nobody waits for a timeout; they bound what a node that is down costs.
const LAN: Timeouts = Timeouts {
    propose: "500ms",
    propose_delta: "250ms",
    vote: "50ms",
    vote_delta: "50ms",
    commit: "0s",
    gossip_sleep_ms: 1,
    flush_throttle: "1ms",
};

const WAN: Timeouts = Timeouts {
    propose: "3s",
    propose_delta: "500ms",
    vote: "1s",
    vote_delta: "500ms",
    commit: "0s",
    gossip_sleep_ms: 10,
    flush_throttle: "10ms",
};

/// The file's text for the node `name`, which answers ABCI calls at `socket`. A replica passes no transactions on.
pub fn text(name: &str, config: &CometConfig, socket: &Path, is_replica: bool) -> String {
    let passes_on = !is_replica;
    let Timeouts { propose, propose_delta, vote, vote_delta, commit, gossip_sleep_ms, flush_throttle } =
        match config.profile {
            Profile::Lan => LAN,
            Profile::Wan => WAN,
        };
    let CometConfig { p2p_listen, rpc_listen, peers, log_level, .. } = config;
    // Beside the other nodes there may be replicas, and a few strangers.
    let connections = peers.len().saturating_add(MAX_REPLICAS).saturating_add(8);
    // CometBFT looks for news for each peer three times in each such interval, also when nothing happens: at 1 ms and three peers that took a
    // tenth of a core. So the interval grows with their number, for a node not to take more of its machine in a larger cluster.
    let gossip_sleep_ms = gossip_sleep_ms.max(peers.len() / 3);
    let [name, log_level, peers, socket] =
        [name, log_level, &peers.join(","), &format!("unix://{}", socket.display())].map(quoted);
    format!(
        r#"# Written by white-city-node at each start: change node.toml instead.
proxy_app = {socket}
abci = "socket"
moniker = {name}
log_level = {log_level}
log_format = "json"

[rpc]
laddr = "tcp://{rpc_listen}"
max_body_bytes = {RPC_BODY_BYTES}

[p2p]
laddr = "tcp://{p2p_listen}"
persistent_peers = {peers}
pex = false
addr_book_strict = false
allow_duplicate_ip = true
max_num_inbound_peers = {connections}
max_num_outbound_peers = {connections}
persistent_peers_max_dial_period = "1s"
flush_throttle_timeout = "{flush_throttle}"
send_rate = {PEER_RATE}
recv_rate = {PEER_RATE}

[mempool]
type = "flood"
broadcast = {passes_on}
recheck = true
size = {MEMPOOL_TRANSACTIONS}
max_txs_bytes = {MEMPOOL_BYTES}
max_tx_bytes = {MAX_TRANSACTION_BYTES}
cache_size = {MEMPOOL_CACHE}
keep-invalid-txs-in-cache = false

[consensus]
timeout_propose = "{propose}"
timeout_propose_delta = "{propose_delta}"
timeout_prevote = "{vote}"
timeout_prevote_delta = "{vote_delta}"
timeout_precommit = "{vote}"
timeout_precommit_delta = "{vote_delta}"
timeout_commit = "{commit}"
skip_timeout_commit = true
create_empty_blocks = false
peer_gossip_sleep_duration = "{gossip_sleep_ms}ms"

[tx_index]
indexer = "null"

[instrumentation]
prometheus = false
"#
    )
}

fn quoted(text: &str) -> toml::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_toml_even_with_a_strange_name() {
        let config = CometConfig {
            profile: Profile::Wan,
            p2p_listen: "[::1]:1".parse().unwrap(),
            rpc_listen: "127.0.0.1:2".parse().unwrap(),
            peers: vec!["a@b:1".to_owned(), "c@d:2".to_owned()],
            log_level: "error".to_owned(),
            program: None,
        };
        let text = text("a \"quoted\" name", &config, Path::new("/home/abci.sock"), false);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["consensus"]["peer_gossip_sleep_duration"].as_str(), Some("10ms"));
        assert_eq!(table["moniker"].as_str(), Some("a \"quoted\" name"));
        assert_eq!(table["p2p"]["persistent_peers"].as_str(), Some("a@b:1,c@d:2"));
        assert_eq!(table["proxy_app"].as_str(), Some("unix:///home/abci.sock"));
    }
}
