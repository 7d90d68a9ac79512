//! The called side of the node channel. Nobody but a node of genesis, or a replica that the settings name, gets past the handshake, and each has one
//! connection.

use super::{ChannelError, Members, Peer, tls};
use crate::problem::Failure;
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::IntoResponse,
};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Code, limits::MAX_NODES};

/// Longest body of a request, unless its route has a [`DefaultBodyLimit`] of its own.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the server allows.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections on which nobody has proved to be a node yet; further ones are closed at once.
    pub strangers: usize,
    /// As many of them from one address.
    pub strangers_per_address: usize,
    /// From a connection's start to the end of its handshake.
    pub handshake_timeout: Duration,
    /// From a request's head to the start of its answer.
    pub request_timeout: Duration,
    /// Requests of one node at the same time.
    pub streams: u32,
    /// A connection on which nothing comes for so long is asked for a sign of life, and closed if none comes for as long again.
    pub ping_interval: Duration,
    /// For answers under way when the server is told to stop.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            strangers: 512,
            strangers_per_address: MAX_NODES,
            handshake_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(30),
            streams: 64,
            ping_interval: Duration::from_secs(5),
            grace: Duration::from_secs(1),
        }
    }
}

/// Longest list of a request's headers.
const MAX_HEADER_BYTES: u32 = 8 * 1024;
/// What may be under way from a peer: of one request, and of all.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What is served to whom.
pub struct Routers {
    /// To the nodes of genesis.
    pub nodes: Router,
    /// To read-only replicas, which reach nothing of the other.
    pub replicas: Router,
}

struct Server {
    acceptor: TlsAcceptor,
    routers: Routers,
    limits: ServerLimits,
    members: Members,
    /// For each node and replica what ends its connection.
    current: Vec<Mutex<CancellationToken>>,
    strangers: Strangers,
}

/// Serves `routers` to the other nodes and to replicas until `stop`. Handlers get [`Peer`] as an extension, and refuse with [`Failure`].
///
/// # Errors
/// [`ChannelError::Key`] before anything is served.
pub fn serve(
    listener: TcpListener,
    routers: Routers,
    members: Members,
    limits: ServerLimits,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static, ChannelError> {
    let others = members.members.iter().enumerate().filter(|(index, _)| *index != members.own);
    let replicas = members.replicas.iter().map(|replica| replica.tls.0);
    let config = tls::server(&members.secret, others.map(|(_, member)| member.key).chain(replicas).collect())?;
    let server = Arc::new(Server {
        acceptor: TlsAcceptor::from(config),
        routers: Routers {
            nodes: bounded(routers.nodes, limits.request_timeout),
            replicas: bounded(routers.replicas, limits.request_timeout),
        },
        limits,
        current: (0..members.members.len() + members.replicas.len()).map(|_| Mutex::default()).collect(),
        members,
        strangers: Strangers::default(),
    });
    Ok(server.run(listener, stop))
}

fn bounded(router: Router, limit: Duration) -> Router {
    let in_time = move |request: Request, next: Next| async move {
        let answer = timeout(limit, next.run(request)).await;
        answer.unwrap_or_else(|_| Failure::from(Code::RequestTimeout).into_response())
    };
    router
        .fallback(|| async { Failure::from(Code::NotFound) })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(in_time))
}

impl Server {
    async fn run(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let open = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let (stream, address) = match accepted {
                Ok((stream, from)) => (stream, from.ip()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection on the node channel");
                    // Out of file descriptors, most likely: they come back as connections end.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(stranger) = Stranger::admit(&self, address) else {
                metrics::counter!("white_city_channel_refused_total", "reason" => "too many").increment(1);
                continue;
            };
            let (server, stop) = (Arc::clone(&self), stop.clone());
            open.spawn(async move { server.receive(stream, stranger, stop).await });
        }
        drop(listener);
        open.close();
        if timeout(self.limits.grace, open.wait()).await.is_err() {
            tracing::debug!("some answers on the node channel were cut off");
        }
    }

    async fn receive(&self, stream: TcpStream, stranger: Stranger, stop: CancellationToken) {
        let handshake = timeout(self.limits.handshake_timeout, self.recognise(stream));
        let (stream, peer) = match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(known))) => known,
            Some(refused) => {
                let reason = if refused.is_err() { "too slow" } else { "no node" };
                metrics::counter!("white_city_channel_refused_total", "reason" => reason).increment(1);
                if let Ok(Err(error)) = refused {
                    tracing::debug!(address = %stranger.address, %error, "not a node of genesis");
                }
                return;
            }
            None => return,
        };
        drop(stranger);
        let replaced = self.replace(peer);
        let is_node = peer.0 < self.members.members.len();
        let router = if is_node { &self.routers.nodes } else { &self.routers.replicas };
        let service = TowerToHyperService::new(router.clone().layer(Extension(peer)));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(self.limits.ping_interval)
            .keep_alive_timeout(self.limits.ping_interval)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = replaced.cancelled() => return,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.limits.grace, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(node = self.members.name(peer.0), %error, "a connection on the node channel ended early");
        }
    }

    /// Does the handshake, after which the other end is a node of genesis, or a replica.
    async fn recognise(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Peer)> {
        stream.set_nodelay(true)?;
        let stream = self.acceptor.accept(stream).await?;
        let key = tls::proved_key(stream.get_ref().1.peer_certificates());
        let peer = key.and_then(|key| self.members.holder(&key));
        Ok((stream, peer.ok_or_else(|| io::Error::other("a key that is no node's"))?))
    }

    /// Ends the connection that the node has had, and gives what will end its new one.
    fn replace(&self, peer: Peer) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(current) = self.current.get(peer.0) {
            let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, token.clone()).cancel();
        }
        token
    }
}

/// How many connections are open on which nobody has proved anything, by address.
#[derive(Default)]
struct Strangers(Mutex<BTreeMap<IpAddr, usize>>);

/// The place of one of them, until it is dropped.
struct Stranger {
    address: IpAddr,
    server: Arc<Server>,
}

impl Stranger {
    fn admit(server: &Arc<Server>, address: IpAddr) -> Option<Self> {
        let mut places = server.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = places.values().sum();
        let here = places.get(&address).copied().unwrap_or_default();
        if all >= server.limits.strangers || here >= server.limits.strangers_per_address {
            return None;
        }
        places.insert(address, here + 1);
        Some(Self { address, server: Arc::clone(server) })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut places = self.server.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.address);
            }
        }
    }
}
