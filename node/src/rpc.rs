//! The client of CometBFT's RPC: hands in transactions, asks how it is doing.

use crate::consensus::SubmitError;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::sync::watch;
use wire::{Bytes, Code};

/// CometBFT closes a connection that was idle for ten seconds; ours are given up before.
const IDLE: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one CometBFT on loopback. Clones share connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    readiness: watch::Receiver<Result<(), String>>,
}

/// How CometBFT is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its newest block.
    pub height: u64,
    /// True while it fetches blocks that others have decided.
    pub catching_up: bool,
    /// How many other nodes it is connected to.
    pub peers: usize,
}

#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Taken {
    code: u32,
}

#[derive(Deserialize)]
struct StatusReply {
    sync_info: SyncInfo,
}

#[derive(Deserialize)]
struct SyncInfo {
    latest_block_height: String,
    catching_up: bool,
}

#[derive(Deserialize)]
struct NetInfo {
    n_peers: String,
}

impl Client {
    /// A client of the RPC at `address`. `readiness` says what its supervisor knows.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn new(address: SocketAddr, readiness: watch::Receiver<Result<(), String>>) -> reqwest::Result<Self> {
        let http =
            reqwest::Client::builder().no_proxy().tcp_nodelay(true).pool_idle_timeout(IDLE).timeout(TIMEOUT).build()?;
        Ok(Self { http, url: format!("http://{address}/"), readiness })
    }

    /// Hands in a transaction.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, transaction: Bytes) -> Result<(), SubmitError> {
        let parameters = json!({ "tx": STANDARD.encode(&transaction.0) });
        let taken: Taken = match self.call("broadcast_tx_sync", parameters).await {
            Ok(taken) => taken,
            Err(CallError::Refused { reason }) if reason.contains("already exists in cache") => {
                return Err(SubmitError::AlreadyKnown);
            }
            Err(CallError::Refused { reason }) if reason.contains("mempool is full") => return Err(SubmitError::Full),
            Err(CallError::Refused { reason } | CallError::Unreachable { reason }) => {
                return Err(SubmitError::Unavailable { reason });
            }
        };
        match code_of(taken.code) {
            Code::Accepted => Ok(()),
            code => Err(SubmitError::Refused { code }),
        }
    }

    /// Whether transactions can be decided now, as the supervisor last saw it.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn ready(&self) -> Result<(), String> {
        self.readiness.borrow().clone()
    }

    /// Asks how CometBFT is doing.
    ///
    /// # Errors
    /// Why it does not answer, for people.
    pub async fn status(&self) -> Result<Status, String> {
        let explain = |error: CallError| error.to_string();
        let status: StatusReply = self.call("status", json!({})).await.map_err(explain)?;
        let net: NetInfo = self.call("net_info", json!({})).await.map_err(explain)?;
        Ok(Status {
            height: status.sync_info.latest_block_height.parse().map_err(|_| "status names no height".to_owned())?,
            catching_up: status.sync_info.catching_up,
            peers: net.n_peers.parse().map_err(|_| "net_info names no number of peers".to_owned())?,
        })
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, parameters: Value) -> Result<T, CallError> {
        let request = json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": parameters });
        let unreachable = |error: reqwest::Error| CallError::Unreachable { reason: error.without_url().to_string() };
        let reply = self.http.post(&self.url).json(&request).send().await.map_err(unreachable)?;
        let reply: Reply<T> = reply.json().await.map_err(unreachable)?;
        match (reply.result, reply.error) {
            (Some(result), _) => Ok(result),
            (None, Some(failure)) => {
                Err(CallError::Refused { reason: format!("{}: {}", failure.message, failure.data) })
            }
            (None, None) => {
                Err(CallError::Unreachable { reason: "an answer with neither result nor error".to_owned() })
            }
        }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("CometBFT answers: {reason}")]
    Refused { reason: String },
    #[error("CometBFT does not answer: {reason}")]
    Unreachable { reason: String },
}

/// The stable code that a CheckTx answer carries as a number.
fn code_of(number: u32) -> Code {
    Code::ALL.iter().copied().find(|code| u32::from(*code as u8) == number).unwrap_or(Code::Internal)
}
