//! The node channel: what nodes say to each other beside consensus, over HTTP/2 and mutual TLS on a listener of its own.
//!
//! Each node keeps one connection to every other one and posts on it; the other's connection to it carries the other's posts.
//! Both ends are pinned to the Ed25519 keys of genesis ([`tls`]), so that whoever gets an answer, or is asked, knows by which
//! node. Nothing that consensus should carry goes here, and nothing waits for it that consensus needs.
//!
//! ```text
//! let router = Router::new().route("/greeting", post(|Extension(Peer(index)), body: Bytes| async move { .. }));
//! tokio::spawn(channel::server::serve(listener, router, &members, ServerLimits::default(), stop.clone()));
//! let channel = Channel::start(members, &stop)?;
//! let answer = channel.post(2, "/greeting", body, Duration::from_secs(1)).await?;
//! ```

mod link;
pub mod server;
pub mod tls;

use axum::body::Bytes;
use ed25519_dalek::SigningKey;
use link::Link;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use wire::Code;

/// Longest answer that is taken from a peer.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The node that is at the other end, by its place in genesis: an extension of every request that the channel's server hands on.
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
    /// This node's place.
    pub own: usize,
    /// This node's TLS secret.
    pub secret: SigningKey,
    /// All nodes, this one too.
    pub members: Vec<Member>,
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
    /// The name of a node, for people.
    pub fn name(&self, index: usize) -> &str {
        self.members.get(index).map_or("?", |member| member.name.as_str())
    }
}
