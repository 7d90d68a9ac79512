//! The node channel: what nodes say to each other beside consensus, over HTTP/2 and mutual TLS on a listener of its own.
//!
//! Each node keeps one connection to every other one and posts on it; the other's connection to it carries the other's posts.
//! Both ends are pinned to the Ed25519 keys of genesis ([`tls`]), so that whoever gets an answer, or is asked, knows by which
//! node. Read-only replicas call, too, under keys that a node's own settings name, and reach other routes than nodes do. Nothing that consensus should carry goes here, and nothing waits for it that consensus needs.
//!
//! ```text
//! let router = Router::new().route("/greeting", post(|Extension(Peer(index)), body: Bytes| async move { .. }));
//! let routers = Routers { nodes: router, replicas: Router::new() };
//! tokio::spawn(channel::server::serve(listener, routers, members, ServerLimits::default(), stop.clone()));
//! let channel = Channel::start(members, &stop)?;
//! let answer = channel.post(2, "/greeting", body, Duration::from_secs(1)).await?;
//! ```

mod link;
pub mod server;
pub mod tls;

use crate::{
    NodeError,
    config::{ChannelConfig, ChannelPeer, KnownReplica},
    secrets::NodeSecrets,
};
use axum::body::Bytes;
use ed25519_dalek::SigningKey;
use link::Link;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use wire::{Code, NetworkParameters, NodeRecord};

/// Longest answer that is taken from a peer.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The node that is at the other end, by its place in genesis; replicas follow, in the order of the settings. An extension of every request that the
/// channel's server hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer(pub usize);

/// One node as the channel knows it.
#[derive(Clone, Debug)]
pub struct Member {
    /// For people.
    pub name: String,
    /// Its Ed25519 TLS key.
    pub key: [u8; 32],
    /// `HOST:PORT` of its channel; without one it is not called, but may call.
    pub address: Option<String>,
}

/// All nodes in the order of genesis, and who of them this one is.
#[derive(Clone)]
pub struct Members {
    /// This node's place; that after the last one for a replica.
    pub own: usize,
    /// This node's TLS secret.
    pub secret: SigningKey,
    /// All nodes, this one too.
    pub members: Vec<Member>,
    /// Read-only replicas, which may call this node.
    pub replicas: Vec<KnownReplica>,
}

/// The calling side. Clones share the connections.
#[derive(Clone)]
pub struct Channel {
    /// In the order of genesis; `None` for this node itself and for those without address.
    links: Arc<[Option<Link>]>,
}

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// There is no such node, it has no address, or it is this one.
    #[error("node {peer} is not on the channel")]
    NoSuchPeer {
        /// The node's place in genesis.
        peer: usize,
    },
    /// There is no connection now.
    #[error("node {peer} is not connected")]
    Disconnected {
        /// The node's place in genesis.
        peer: usize,
    },
    /// No whole answer came in time.
    #[error("node {peer} gave no answer in {timeout:?}")]
    TimedOut {
        /// The node's place in genesis.
        peer: usize,
        /// The time that it had.
        timeout: Duration,
    },
    /// The connection failed while it was used, or the answer was longer than [`MAX_ANSWER_BYTES`].
    #[error("asking node {peer} failed")]
    Failed {
        /// The node's place in genesis.
        peer: usize,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The peer refused.
    #[error("node {peer} refused, {code}: {detail}")]
    Refused {
        /// The node's place in genesis.
        peer: usize,
        /// Why.
        code: Code,
        /// In its words.
        detail: String,
    },
    /// This node's own key is of no use.
    #[error("the TLS key cannot be used")]
    Key(#[from] rustls::Error),
}

impl Channel {
    /// Starts to connect to all others, and connects again whenever a connection ends, until `stop`.
    ///
    /// # Errors
    /// [`ChannelError::Key`].
    pub fn start(members: &Members, stop: &CancellationToken) -> Result<Self, ChannelError> {
        let link = |(peer, member): (usize, &Member)| match &member.address {
            Some(address) if peer != members.own => {
                let config = tls::client(&members.secret, &member.key)?;
                Ok(Some(Link::start(peer, member.name.clone(), address.clone(), config, stop.clone())))
            }
            _ => Ok(None),
        };
        let links = members.members.iter().enumerate().map(link).collect::<Result<_, rustls::Error>>()?;
        Ok(Self { links })
    }

    /// All nodes that can be called.
    pub fn peers(&self) -> impl Iterator<Item = usize> {
        self.links.iter().enumerate().filter_map(|(peer, link)| link.as_ref().map(|_| peer))
    }

    /// Posts `body` to a peer and gives its answer. It does not wait for a connection, and at most `timeout` for the answer.
    ///
    /// # Errors
    /// [`ChannelError`], not `Key`.
    pub async fn post(&self, peer: usize, path: &str, body: Bytes, timeout: Duration) -> Result<Bytes, ChannelError> {
        let answered = tokio::time::timeout(timeout, self.link(peer)?.post(path, body)).await;
        answered.unwrap_or(Err(ChannelError::TimedOut { peer, timeout }))
    }

    /// True if there is a connection to the peer now.
    pub fn is_connected(&self, peer: usize) -> bool {
        self.link(peer).is_ok_and(Link::is_connected)
    }

    /// Waits until the peer is connected by a later connection than number `after`, and gives its number. They count from 1.
    ///
    /// # Errors
    /// [`ChannelError::NoSuchPeer`]; [`ChannelError::Disconnected`] when the channel was stopped.
    pub async fn connected(&self, peer: usize, after: u64) -> Result<u64, ChannelError> {
        self.link(peer)?.connected(after).await.ok_or(ChannelError::Disconnected { peer })
    }

    fn link(&self, peer: usize) -> Result<&Link, ChannelError> {
        self.links.get(peer).and_then(Option::as_ref).ok_or(ChannelError::NoSuchPeer { peer })
    }
}

impl Members {
    /// The nodes of genesis at the addresses of `config`, as node number `own` sees them.
    ///
    /// # Errors
    /// [`NodeError::Invalid`] for settings that do not name each other node once.
    pub fn new(
        own: usize,
        secrets: &NodeSecrets,
        parameters: &NetworkParameters,
        config: Option<&ChannelConfig>,
    ) -> Result<Self, NodeError> {
        let peers = config.map_or(&[][..], |config| &config.peers);
        let replicas = config.map_or_else(Vec::new, |config| config.replicas.clone());
        let members = Self::named(own, secrets, parameters, peers, "[channel] in node.toml")?;
        Ok(Self { replicas, ..members })
    }

    /// The nodes of genesis at the addresses of `nodes`, as a replica sees them.
    ///
    /// # Errors
    /// [`NodeError::Invalid`] for settings that do not name each node once.
    pub fn of_replica(
        secrets: &NodeSecrets,
        parameters: &NetworkParameters,
        nodes: &[ChannelPeer],
    ) -> Result<Self, NodeError> {
        Self::named(parameters.nodes.len(), secrets, parameters, nodes, "[replica] in node.toml")
    }

    fn named(
        own: usize,
        secrets: &NodeSecrets,
        parameters: &NetworkParameters,
        peers: &[ChannelPeer],
        what: &'static str,
    ) -> Result<Self, NodeError> {
        let invalid = |reason| NodeError::Invalid { what, reason };
        let member = |(index, node): (usize, &NodeRecord)| {
            let mut named = peers.iter().filter(|peer| peer.name == node.name);
            let address = match (named.next(), named.next()) {
                (found, None) if found.is_some() != (index == own) => found.map(|peer| peer.address.clone()),
                _ => {
                    return Err(invalid(format!(
                        "it must name each other node once, which is not so of {}",
                        node.name
                    )));
                }
            };
            Ok(Member { name: node.name.clone(), key: node.keys.tls.0, address })
        };
        let members = parameters.nodes.iter().enumerate().map(member).collect::<Result<Vec<_>, _>>()?;
        if peers.len() != members.iter().filter(|member| member.address.is_some()).count() {
            return Err(invalid("it names somebody whom genesis does not".to_owned()));
        }
        Ok(Self { own, secret: secrets.tls().clone(), members, replicas: Vec::new() })
    }

    /// The name of a node or replica, for people.
    pub fn name(&self, index: usize) -> &str {
        let replica =
            || self.replicas.get(index.saturating_sub(self.members.len())).map(|replica| replica.name.as_str());
        self.members.get(index).map(|member| member.name.as_str()).or_else(replica).unwrap_or("?")
    }

    /// Who holds a key; this node itself does not count.
    fn holder(&self, key: &[u8; 32]) -> Option<Peer> {
        let others = self.members.iter().enumerate().filter(|(index, _)| *index != self.own);
        let node = others.into_iter().find(|(_, member)| member.key == *key).map(|(index, _)| index);
        let replica = || self.replicas.iter().position(|replica| replica.tls.0 == *key);
        node.or_else(|| Some(self.members.len() + replica()?)).map(Peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{self, ClusterPlan, DEFAULT_PORTS},
        config::{ChannelPeer, Config, Engine, Profile},
        genesis,
        home::Home,
    };
    use std::net::Ipv4Addr;

    #[test]
    fn the_settings_name_each_other_node_once() {
        let folder = tempfile::tempdir().unwrap();
        let plan = ClusterPlan {
            chain: "test".parse().unwrap(),
            nodes: 3,
            consensus: Engine::Comet,
            profile: Profile::Lan,
            creators: vec![],
            ports: DEFAULT_PORTS,
            listen_host: Ipv4Addr::LOCALHOST.into(),
            url_host: "127.0.0.1".to_owned(),
            p2p_host: "node{}".to_owned(),
            replicas: 1,
        };
        let made = cluster::create(&plan, &folder.path().join("made")).unwrap();
        let made_replica = made.replicas[0].clone();
        let home = Home::new(&made.homes[1]).unwrap();
        let (parameters, config) = (genesis::load(&home).unwrap(), Config::load(&home).unwrap().channel.unwrap());
        let secrets = NodeSecrets::load(&home.keys()).unwrap();
        let members = |peers: Vec<ChannelPeer>| {
            let config = ChannelConfig { peers, ..config.clone() };
            Members::new(1, &secrets, &parameters, Some(&config))
        };
        let addresses = |members: &Members| -> Vec<Option<String>> {
            members.members.iter().map(|member| member.address.clone()).collect()
        };
        let made = members(config.peers.clone()).unwrap();
        assert_eq!(addresses(&made), [Some("node0:26801".to_owned()), None, Some("node2:26803".to_owned())]);
        assert_eq!(made.members[1].key, secrets.tls().verifying_key().to_bytes());
        let named = |names: &[&str]| {
            names.iter().map(|name| ChannelPeer { name: (*name).to_owned(), address: "a:1".to_owned() }).collect()
        };
        for wrong in [&["node0"][..], &["node0", "node1"], &["node0", "node0", "node2"], &["node0", "node2", "node3"]] {
            assert!(matches!(members(named(wrong)), Err(NodeError::Invalid { .. })), "{wrong:?}");
        }
        assert!(Members::new(1, &secrets, &parameters, None).is_err());

        let home = Home::new(&made_replica).unwrap();
        let (own, settings) = (NodeSecrets::load(&home.keys()).unwrap(), Config::load(&home).unwrap().replica.unwrap());
        let replica = Members::of_replica(&own, &parameters, &settings.nodes).unwrap();
        assert_eq!((replica.own, addresses(&replica).iter().flatten().count()), (3, 3));
        assert!(Members::of_replica(&own, &parameters, &settings.nodes[1..]).is_err());
        let members = members(config.peers.clone()).unwrap();
        assert_eq!(members.holder(&own.tls().verifying_key().to_bytes()), Some(Peer(3)));
        assert_eq!((members.name(3), members.name(4)), ("replica0", "?"));
        assert_eq!(members.holder(&members.members[2].key), Some(Peer(2)));
        assert_eq!(members.holder(&members.members[1].key), None, "itself");
    }
}
