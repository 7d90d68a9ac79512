//! A server for length-delimited protobuf on a unix socket. It knows no message type.
//!
//! It answers every request that has already arrived and only then writes, once: a client that sends a request and a flush
//! gets both answers in one packet. That, and a socket without Nagle's algorithm, is what makes a call cheap.

use prost::{
    Message,
    bytes::{Buf, BytesMut},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Longest request in bytes: a block and what surrounds it.
pub const MAX_FRAME_BYTES: usize = 4 * wire::limits::MAX_BLOCK_BYTES;
/// Most connections at once. CometBFT opens four.
pub const MAX_CONNECTIONS: usize = 16;

/// Answers are written once they reach this many bytes, even if more requests have arrived.
const FLUSH_BYTES: usize = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Longest encoding of a `u64` as a varint.
const MAX_VARINT_BYTES: usize = 10;

/// A running server. Dropping it stops it.
pub struct Server {
    path: PathBuf,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    /// A second handle of each open connection, to shut it down from another thread.
    open: Mutex<BTreeMap<u64, UnixStream>>,
}

impl Server {
    /// Listens at `path`, replacing a socket that an earlier process left, and serves each connection in a thread of its own
    /// with a clone of `handler`. A handler that answers `None` closes its connection.
    ///
    /// # Errors
    /// Those of binding the socket; its path has at most 107 bytes on Linux.
    pub fn start<Q, A, H>(path: &Path, handler: H) -> io::Result<Self>
    where
        Q: Message + Default,
        A: Message,
        H: FnMut(Q) -> Option<A> + Clone + Send + 'static,
    {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        let shared = Arc::new(Shared::default());
        let acceptor = thread::Builder::new().name("socket-accept".to_owned()).spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared, &handler)
        })?;
        Ok(Self { path: path.to_owned(), shared, acceptor: Some(acceptor) })
    }

    /// Stops accepting, closes every connection and returns when all its threads have ended. A request that is being handled
    /// is handled to its end; its answer is lost.
    pub fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The acceptor sees the flag when a connection wakes it.
        let woken = UnixStream::connect(&self.path).is_ok();
        for stream in self.shared.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if woken {
            let _ = acceptor.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a connection for good when its thread ends, also by a panic: the second handle would keep it open.
struct Connection {
    number: u64,
    stream: UnixStream,
    shared: Arc<Shared>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.open().remove(&self.number);
    }
}

fn accept<Q, A, H>(listener: &UnixListener, shared: &Arc<Shared>, handler: &H)
where
    Q: Message + Default,
    A: Message,
    H: FnMut(Q) -> Option<A> + Clone + Send + 'static,
{
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for (number, stream) in (0..).zip(listener.incoming()) {
        if shared.stopped.load(Ordering::SeqCst) {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let opened = stream.and_then(|stream| {
            if threads.len() >= MAX_CONNECTIONS {
                return Err(io::Error::other("too many connections"));
            }
            shared.open().insert(number, stream.try_clone()?);
            let mut connection = Connection { number, stream, shared: shared.clone() };
            let handler = handler.clone();
            thread::Builder::new().name(format!("socket-{number}")).spawn(move || {
                if let Err(error) = serve(&mut connection.stream, handler) {
                    tracing::warn!(%error, "connection failed");
                }
            })
        });
        match opened {
            Ok(thread) => threads.push(thread),
            Err(error) => tracing::warn!(%error, "connection refused"),
        }
    }
    for stream in shared.open().values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Serves one connection until the other side closes it.
fn serve<Q, A, H>(stream: &mut UnixStream, mut handler: H) -> io::Result<()>
where
    Q: Message + Default,
    A: Message,
    H: FnMut(Q) -> Option<A>,
{
    let mut input = BytesMut::new();
    let mut output = Vec::new();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        while let Some(request) = take_frame::<Q>(&mut input)? {
            let Some(answer) = handler(request) else { return Ok(()) };
            answer.encode_length_delimited(&mut output).map_err(io::Error::other)?;
            if output.len() >= FLUSH_BYTES {
                stream.write_all(&output)?;
                output = Vec::new();
            }
        }
        stream.write_all(&output)?;
        output.clear();
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes one message off the front of `input`, if it is there as a whole.
fn take_frame<Q: Message + Default>(input: &mut BytesMut) -> io::Result<Option<Q>> {
    let mut rest: &[u8] = input;
    let length = match prost::decode_length_delimiter(&mut rest) {
        Ok(length) if length > MAX_FRAME_BYTES => return Err(invalid("frame too long")),
        Ok(length) => length,
        Err(_) if input.len() < MAX_VARINT_BYTES => return Ok(None),
        Err(error) => return Err(invalid(error)),
    };
    if rest.len() < length {
        return Ok(None);
    }
    let header = input.len() - rest.len();
    input.advance(header);
    Q::decode(input.split_to(length).freeze()).map(Some).map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
