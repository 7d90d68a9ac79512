//! The other nodes, as whoever has something to post to them sees them: the node channel, or in a test whatever answers instead.

use crate::channel::{Channel, ChannelError};
use axum::body::Bytes;
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};

type Post =
    dyn Fn(usize, &'static str, Bytes, Duration) -> BoxFuture<'static, Result<Bytes, ChannelError>> + Send + Sync;

/// A way to all other nodes. Clones share it.
#[derive(Clone)]
pub struct Peers {
    others: Arc<[usize]>,
    post: Arc<Post>,
}

impl Peers {
    /// The others, by their places in genesis, and what posts to them.
    pub fn new(others: Vec<usize>, post: Arc<Post>) -> Self {
        Self { others: others.into(), post }
    }

    /// Nobody: this node is alone.
    pub fn none() -> Self {
        let nobody = |peer, _, _, _| -> BoxFuture<'static, Result<Bytes, ChannelError>> {
            Box::pin(std::future::ready(Err(ChannelError::NoSuchPeer { peer })))
        };
        Self::new(Vec::new(), Arc::new(nobody))
    }

    /// Their places in genesis.
    pub fn others(&self) -> impl Iterator<Item = usize> {
        self.others.iter().copied()
    }

    /// Posts to one of them; see [`Channel::post`].
    ///
    /// # Errors
    /// [`ChannelError`].
    pub async fn post(
        &self,
        peer: usize,
        path: &'static str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Bytes, ChannelError> {
        (self.post)(peer, path, body, limit).await
    }
}

impl From<Channel> for Peers {
    fn from(channel: Channel) -> Self {
        let others = channel.peers().collect();
        let post = move |peer, path, body, limit| -> BoxFuture<'static, Result<Bytes, ChannelError>> {
            let channel = channel.clone();
            Box::pin(async move { channel.post(peer, path, body, limit).await })
        };
        Self::new(others, Arc::new(post))
    }
}
