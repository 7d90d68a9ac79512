//! A node's settings, `node.toml`.

use crate::{NodeError, home, home::Home};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};
use wire::{TlsKey, limits::MAX_REPLICAS};

/// What orders the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// CometBFT, in a process of its own, together with the other nodes.
    Comet,
    /// This process alone.
    Solo,
}

/// For what kind of network CometBFT's timeouts are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Nodes a few milliseconds apart.
    Lan,
    /// Nodes up to some hundred milliseconds apart.
    Wan,
}

/// The settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's name, for people.
    pub name: String,
    /// What orders the blocks.
    pub consensus: Engine,
    /// Where the REST gateway listens.
    pub listen: SocketAddr,
    /// Settings of CometBFT; not read by a solo node.
    pub comet: Option<CometConfig>,
    /// Settings of the node channel; a node that is alone needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelConfig>,
    /// What makes of this home a read-only replica instead of a node, which then has no channel of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaConfig>,
}

/// A read-only replica's way to the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// Where the channels of all nodes are.
    pub nodes: Vec<ChannelPeer>,
    /// Base URLs of the nodes' gateways, for the error that tells clients where to write.
    #[serde(default)]
    pub writes_at: Vec<String>,
}

/// The node channel, which nodes have beside consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Where it listens for the other nodes. Who has none of the keys that genesis names is refused.
    pub listen: SocketAddr,
    /// The other nodes.
    pub peers: Vec<ChannelPeer>,
    /// Read-only replicas, which may ask for payloads and certificates, and for nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<KnownReplica>,
}

/// A read-only replica as a node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownReplica {
    /// For people.
    pub name: String,
    /// The key under which it calls.
    pub tls: TlsKey,
}

/// Where another node's channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPeer {
    /// Its name in genesis.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
}

/// From these CometBFT's own `config.toml` is written at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CometConfig {
    /// For what kind of network.
    pub profile: Profile,
    /// Where it listens for the other nodes' CometBFT.
    pub p2p_listen: SocketAddr,
    /// Where it listens for this node. Its RPC asks nobody who they are, so this must be a loopback address.
    pub rpc_listen: SocketAddr,
    /// All other nodes, `ID@HOST:PORT`.
    pub peers: Vec<String>,
    /// `error`, `info` or `debug`; its lines appear in the node's own log.
    #[serde(default = "quiet")]
    pub log_level: String,
    /// The program; looked for in `.tools/bin` and on the path if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
}

fn quiet() -> String {
    "error".to_owned()
}

impl Config {
    /// Reads the settings of the node in `home`.
    ///
    /// # Errors
    /// [`NodeError::File`], [`NodeError::FileFormat`], or [`NodeError::Invalid`] for an RPC that others could reach.
    pub fn load(home: &Home) -> Result<Self, NodeError> {
        const EXPECTED: &str = "a node's settings";
        let path = home.config();
        let content = home::read(&path, EXPECTED)?;
        let text = std::str::from_utf8(&content).map_err(|error| home::format_error(&path, EXPECTED, error))?;
        let config: Self =
            toml::from_str(text).map_err(|error| home::format_error(&path, EXPECTED, error.message()))?;
        match &config.comet {
            Some(comet) if !comet.rpc_listen.ip().is_loopback() => Err(NodeError::Invalid {
                what: "comet.rpc_listen in node.toml",
                reason: "it must be a loopback address, for CometBFT's RPC takes commands from anybody".to_owned(),
            }),
            _ if config.channel.as_ref().is_some_and(|channel| channel.replicas.len() > MAX_REPLICAS) => {
                let reason = format!("a node serves at most {MAX_REPLICAS} replicas");
                Err(NodeError::Invalid { what: "channel.replicas in node.toml", reason })
            }
            _ if config.replica.is_some() && (config.channel.is_some() || config.consensus == Engine::Solo) => {
                let reason = "a replica follows other nodes: it has consensus \"comet\" and no [channel]".to_owned();
                Err(NodeError::Invalid { what: "replica in node.toml", reason })
            }
            None if config.consensus == Engine::Comet => Err(NodeError::Invalid {
                what: "consensus in node.toml",
                reason: "comet needs a [comet] section; make the node with `white-city-node cluster create`".to_owned(),
            }),
            _ => Ok(config),
        }
    }

    /// Writes the settings of a new node.
    ///
    /// # Errors
    /// [`NodeError::Exists`] or [`NodeError::File`].
    pub fn save(&self, home: &Home) -> Result<(), NodeError> {
        let text = toml::to_string_pretty(self).expect("the settings are strings, numbers and lists of strings");
        home::write_new(&home.config(), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_disk_and_an_open_rpc_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path()).unwrap();
        let comet = CometConfig {
            profile: Profile::Lan,
            p2p_listen: "0.0.0.0:26601".parse().unwrap(),
            rpc_listen: "127.0.0.1:26701".parse().unwrap(),
            peers: vec!["aa@node1:26601".to_owned()],
            log_level: quiet(),
            program: None,
        };
        let peers = vec![ChannelPeer { name: "b".to_owned(), address: "node1:26802".to_owned() }];
        let replicas = vec![KnownReplica { name: "r".to_owned(), tls: TlsKey([7; 32]) }];
        let channel = Some(ChannelConfig { listen: "0.0.0.0:26801".parse().unwrap(), peers, replicas });
        let listen = "127.0.0.1:8101".parse().unwrap();
        let comet = Some(comet);
        let config = Config { name: "a".to_owned(), consensus: Engine::Comet, listen, comet, channel, replica: None };
        config.save(&home).unwrap();
        assert_eq!(Config::load(&home).unwrap(), config);
        let text = std::fs::read_to_string(home.config()).unwrap();
        std::fs::write(home.config(), text.replace("127.0.0.1:26701", "0.0.0.0:26701")).unwrap();
        assert!(matches!(Config::load(&home), Err(NodeError::Invalid { .. })));
        let replica = ReplicaConfig { nodes: vec![], writes_at: vec![] };
        let both = toml::to_string(&Config { replica: Some(replica), ..config }).unwrap();
        std::fs::write(home.config(), both).unwrap();
        assert!(matches!(Config::load(&home), Err(NodeError::Invalid { .. })), "a node or a replica");
    }
}
