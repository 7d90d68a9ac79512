//! One request to one node: bounded in time and size, borsh in both directions.

use crate::{BadAnswer, Error, progress::Counters};
use borsh::BorshDeserialize;
use reqwest::{
    Method, RequestBuilder, Response,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use wire::{Certified, Code, NoSession, api::Problem, limits::TARGET_PAGE_BYTES};

/// Longest answer that is read. A page's payloads, the paths and signatures of its entries and one more payload fit.
const MAX_ANSWER_BYTES: usize = 4 * TARGET_PAGE_BYTES;
/// Longest problem document that is read.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;
/// Longest text of a node that is shown to a person.
const MAX_SAID_CHARACTERS: usize = 300;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for a request beyond what the node was asked to wait and what its bytes may take.
const REQUEST: Duration = Duration::from_secs(3);
/// Slowest line that a request or an answer may come over: a phone far from its mast. A node that answers more slowly is left.
const MIN_BYTES_PER_SECOND: usize = 32 * 1024;
/// Longest time that a node's `Retry-After` is heeded, before another one is asked anyway.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);
/// Names the greatest height that the client has seen: see the interface's description.
const HEIGHT: &str = "white-city-height";
const BORSH: &str = "application/octet-stream";

/// Why one request brought no answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: Option<Code>,
    pub(crate) said: String,
    pub(crate) retry_after: Option<Duration>,
    /// What is wrong with the answer that it brought.
    pub(crate) bad: Option<Box<BadAnswer>>,
    /// The proof of a refusal.
    pub(crate) absence: Option<Box<Certified<NoSession>>>,
}

impl From<BadAnswer> for Failure {
    fn from(bad: BadAnswer) -> Self {
        Self { said: bad.to_string(), bad: Some(Box::new(bad)), ..Self::new("") }
    }
}

impl Failure {
    pub(crate) fn new(said: impl Into<String>) -> Self {
        Self { code: None, said: said.into(), retry_after: None, bad: None, absence: None }
    }
}

#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    pub(crate) counters: Counters,
}

impl Transport {
    /// For requests to these base URLs.
    pub(crate) fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("white-city/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT);
        // A cluster on this machine is not behind the proxy that this machine has for the rest of the world.
        let local = urls.into_iter().all(is_loopback);
        let builder = if local { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| Error::NetworkFile { reason: error.to_string() })?;
        Ok(Self { http, counters: Counters::default() })
    }

    /// Gets a value that the node may take up to `wait` to answer with. One that has not come so far as `height` is asked to catch up first.
    pub(crate) async fn get<T: BorshDeserialize>(&self, url: &str, wait: Duration, height: u64) -> Result<T, Failure> {
        let request = self.http.request(Method::GET, url);
        self.request(if height > 0 { request.header(HEIGHT, height) } else { request }, wait).await
    }

    /// Posts bytes, and gets a value that the node may take up to `wait` to answer with.
    pub(crate) async fn post<T: BorshDeserialize>(
        &self,
        url: &str,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<T, Failure> {
        Counters::add(&self.counters.bytes_sent, body.len());
        let wait = wait.saturating_add(time_for(body.len()));
        let request = self.http.request(Method::POST, url).header(CONTENT_TYPE, BORSH).body(body);
        self.request(request, wait).await
    }

    async fn request<T: BorshDeserialize>(&self, request: RequestBuilder, wait: Duration) -> Result<T, Failure> {
        Counters::add(&self.counters.requests, 1);
        let sent = request.header(ACCEPT, BORSH).send();
        let response = timeout(wait.saturating_add(REQUEST), sent).await.map_err(|_| late())?;
        let response = response.map_err(|error| Failure::new(describe(&error)))?;
        if !response.status().is_success() {
            return Err(self.problem(response).await);
        }
        if response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != BORSH) {
            return Err(Failure::new("it answered in another format than was asked for"));
        }
        let bytes = self.body(response, MAX_ANSWER_BYTES).await?;
        borsh::from_slice(&bytes).map_err(|_| Failure::new("its answer is not of the documented shape"))
    }

    async fn problem(&self, response: Response) -> Failure {
        let status = response.status();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        let bytes = self.body(response, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(Problem { code, detail, absence, .. }) => {
                Failure { code: Some(code), retry_after, absence, ..Failure::new(printable(&detail)) }
            }
            Err(_) => Failure { retry_after, ..Failure::new(format!("HTTP status {status}")) },
        }
    }

    /// Reads an answer's body as long as it comes fast enough.
    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
        let started = Instant::now();
        let mut bytes = Vec::new();
        loop {
            let due = started + REQUEST + time_for(bytes.len());
            let chunk = timeout_at(due, response.chunk()).await.map_err(|_| late())?;
            let Some(chunk) = chunk.map_err(|error| Failure::new(describe(&error)))? else {
                Counters::add(&self.counters.answers, 1);
                return Ok(bytes);
            };
            Counters::add(&self.counters.bytes_received, chunk.len());
            if bytes.len().saturating_add(chunk.len()) > limit {
                return Err(Failure::new(format!("its answer is longer than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}

/// How long so many bytes may take.
pub(crate) fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(u64::try_from(bytes / MIN_BYTES_PER_SECOND).unwrap_or(u64::MAX))
}

fn late() -> Failure {
    Failure::new("no answer in time")
}

/// What went wrong, down to the system's own words, without the URL, which the node's name stands for.
fn describe(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let kind = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection failed"
    };
    format!("{kind}: {}", printable(&innermost.to_string()))
}

/// A node's words may end up on a terminal: no control characters, and not too many.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SAID_CHARACTERS).collect()
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost:", "localhost/", "[::1]"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    const CHUNKS: usize = 5;
    const CHUNK_BYTES: usize = 4 * MIN_BYTES_PER_SECOND;

    /// Serves one answer: a borsh vector in `CHUNKS` chunks, each after a pause.
    async fn serve(pause: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let body = borsh::to_vec(&vec![7_u8; CHUNKS * CHUNK_BYTES - 4]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {BORSH}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            for chunk in body.chunks(CHUNK_BYTES) {
                tokio::time::sleep(pause).await;
                // The reader may have left.
                let _ = stream.write_all(chunk).await;
            }
        });
        url
    }

    async fn read(pause: Duration) -> (Result<Vec<u8>, Failure>, Duration) {
        let transport = Transport::new([]).unwrap();
        let (url, started) = (serve(pause).await, Instant::now());
        (transport.get(&url, Duration::ZERO, 0).await, started.elapsed())
    }

    #[tokio::test]
    async fn a_slow_line_is_waited_for_and_a_stalled_one_is_not() {
        let ((slow, took), (stalled, gave_up)) =
            tokio::join!(read(Duration::from_secs(1)), read(Duration::from_secs(60)));
        assert_eq!(slow.unwrap().len(), CHUNKS * CHUNK_BYTES - 4);
        assert!(took > REQUEST, "the answer took longer than a request that moves nothing may");
        assert_eq!(stalled.unwrap_err().said, "no answer in time");
        assert!(gave_up < REQUEST * 3, "{gave_up:?}");
    }
}
