//! One peer, called: the connection to it, made again whenever it ends.

use super::{ChannelError, MAX_ANSWER_BYTES, tls};
use axum::{
    body::{Body, Bytes, to_bytes},
    http::Request,
};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use wire::{Code, api::Problem};

/// For name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Before the next attempt: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After a connection that has lasted so long, the pauses begin from the first one again.
const GOOD_RUN: Duration = Duration::from_secs(5);
/// A connection on which nothing comes for so long is asked for a sign of life, and so long waited for it.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// What may be under way from the peer: of one answer, and of all.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Longest body of a refusal.
const MAX_REFUSAL_BYTES: usize = 16 * 1024;

/// The calling end of the connection to one peer.
pub(super) struct Link {
    peer: usize,
    state: watch::Receiver<State>,
}

#[derive(Default)]
struct State {
    /// How many connections there have been.
    connections: u64,
    /// The one that is open.
    sender: Option<SendRequest<Body>>,
}

struct Caller {
    name: String,
    address: String,
    connector: TlsConnector,
    state: watch::Sender<State>,
}

type Connection = http2::Connection<TokioIo<TlsStream<TcpStream>>, Body, TokioExecutor>;

impl Link {
    /// Connects, and again, until `stop`.
    pub(super) fn start(
        peer: usize,
        name: String,
        address: String,
        config: Arc<ClientConfig>,
        stop: CancellationToken,
    ) -> Self {
        let (sender, state) = watch::channel(State::default());
        let caller = Caller { name, address, connector: TlsConnector::from(config), state: sender };
        tokio::spawn(async move { stop.run_until_cancelled(caller.run()).await });
        Self { peer, state }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.borrow().sender.is_some()
    }

    /// `None` once the channel was stopped.
    pub(super) async fn connected(&self, after: u64) -> Option<u64> {
        let mut state = self.state.clone();
        let later = state.wait_for(|state| state.sender.is_some() && state.connections > after).await;
        later.ok().map(|state| state.connections)
    }

    pub(super) async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, ChannelError> {
        let peer = self.peer;
        let sender = self.state.borrow().sender.clone();
        let mut sender = sender.ok_or(ChannelError::Disconnected { peer })?;
        let request = Request::post(format!("https://node{path}")).body(Body::from(body));
        let request = request.map_err(|error| failed(peer, error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(peer, error))?;
        let is_success = response.status().is_success();
        let limit = if is_success { MAX_ANSWER_BYTES } else { MAX_REFUSAL_BYTES };
        let body = to_bytes(Body::new(response.into_body()), limit).await.map_err(|error| failed(peer, error))?;
        if is_success {
            return Ok(body);
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { code, detail, .. }) => ChannelError::Refused { peer, code, detail },
            Err(_) => {
                let detail = "a refusal that is no problem document".to_owned();
                ChannelError::Refused { peer, code: Code::Internal, detail }
            }
        })
    }
}

fn failed(peer: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ChannelError {
    ChannelError::Failed { peer, source: error.into() }
}

impl Caller {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let gauge = metrics::gauge!("white_city_channel_connected", "node" => self.name.clone());
        gauge.set(0);
        loop {
            match self.connect().await {
                Ok((sender, connection)) => {
                    let started = Instant::now();
                    gauge.set(1);
                    tracing::info!(node = self.name, "connected on the node channel");
                    self.state.send_modify(|state| {
                        *state = State { connections: state.connections.saturating_add(1), sender: Some(sender) };
                    });
                    let ended = connection.await;
                    self.state.send_modify(|state| state.sender = None);
                    gauge.set(0);
                    let reason = ended.err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
                    tracing::info!(node = self.name, reason, "disconnected on the node channel");
                    if started.elapsed() > GOOD_RUN {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(node = self.name, address = self.address, %error, "not the node that genesis names");
                }
                Err(error) => tracing::debug!(node = self.name, address = self.address, %error, "cannot connect"),
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn connect(&self) -> io::Result<(SendRequest<Body>, Connection)> {
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let stream = self.connector.connect(tls::any_name(), stream).await?;
            let handshake = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(true)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(TokioIo::new(stream));
            handshake.await.map_err(io::Error::other)
        };
        timeout(CONNECT_TIMEOUT, connect).await?
    }
}
