//! A peer: an unreplicated, unsigned board of messages in memory, Redis streams. Nothing there is proved, replicated, or written to a disk.

use crate::{
    figures::{Streams, Times},
    meter,
    parties::MESSAGE_BYTES,
};
use redis::{AsyncConnectionConfig, Value, aio::MultiplexedConnection, cmd};
use std::{
    io,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use white_city_tests::binary::free_ports;

/// Each exchange is done so often; the median counts.
const TIMES: usize = 3;
/// The server gets so long to listen.
const READY: Duration = Duration::from_secs(10);
/// Between two looks at whether it does.
const LOOK: Duration = Duration::from_millis(20);

/// Messages of 100 bytes through a server of our own, with a connection for each of `n` parties; `None` if there is no `redis-server`.
///
/// # Panics
/// If the server fails.
pub async fn measure(n: usize) -> Option<Streams> {
    let server = match Server::start() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        server => server.expect("redis-server starts"),
    };
    let mut parties = Vec::with_capacity(n);
    for _ in 0..n {
        parties.push(server.connect().await);
    }
    let (mut broadcast, mut private) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        broadcast.push(server.exchange(&parties, |party, place| all_to_one_stream(party, time, place, n)).await);
        private.push(server.exchange(&parties, |party, place| all_to_all_streams(party, time, place, n)).await);
    }
    let median = |mut times: Vec<Times>| {
        times.sort_by(|one, other| one.wall.total_cmp(&other.wall));
        times[TIMES / 2]
    };
    Some(Streams { broadcast: median(broadcast), private: median(private) })
}

/// A process that is killed when this is dropped.
struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    /// On a loopback port of its own, keeping nothing.
    fn start() -> io::Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_ports(1)[0]);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--maxclients", "20000"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { process: command.spawn()?, port, _folder: folder })
    }

    async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(("127.0.0.1", self.port)).expect("an address");
        let started = Instant::now();
        loop {
            // A read that blocks is answered when there is something.
            match client.get_multiplexed_async_connection_with_config(&AsyncConnectionConfig::new()).await {
                Ok(connection) => return connection,
                Err(error) => assert!(started.elapsed() < READY, "redis-server does not listen: {error}"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All parties at once.
    async fn exchange<W: Future<Output = ()> + Send + 'static>(
        &self,
        parties: &[MultiplexedConnection],
        play: impl Fn(MultiplexedConnection, usize) -> W,
    ) -> Times {
        let (started, server, own) = (Instant::now(), meter::cpu(self.process.id()), meter::own_cpu());
        let mut playing = JoinSet::new();
        for (place, party) in parties.iter().enumerate() {
            playing.spawn(play(party.clone(), place));
        }
        playing.join_all().await;
        let wall = started.elapsed().as_secs_f64();
        Times { wall, server: meter::cpu(self.process.id()) - server, parties: meter::own_cpu() - own }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn all_to_one_stream(mut party: MultiplexedConnection, time: usize, place: usize, n: usize) {
    let stream = format!("all:{time}");
    let added = cmd("XADD").arg(&stream).arg("*").arg(place).arg(message(place, place)).exec_async(&mut party).await;
    added.expect("redis takes it");
    read(&mut party, &stream, n).await;
}

async fn all_to_all_streams(mut party: MultiplexedConnection, time: usize, place: usize, n: usize) {
    let mut messages = redis::pipe();
    for to in (0..n).filter(|to| *to != place) {
        messages.cmd("XADD").arg(format!("{to}:{time}")).arg("*").arg(place).arg(message(place, to)).ignore();
    }
    messages.exec_async(&mut party).await.expect("redis takes them");
    read(&mut party, &format!("{place}:{time}"), n - 1).await;
}

/// Reads a stream until `n` messages have come.
async fn read(party: &mut MultiplexedConnection, stream: &str, n: usize) {
    let (mut last, mut count) = ("0".to_owned(), 0);
    while count < n {
        let mut read = cmd("XREAD");
        read.arg("BLOCK").arg(0).arg("STREAMS").arg(stream).arg(&last);
        let answer: Value = read.query_async(party).await.expect("redis answers");
        let (more, newest) = messages(&answer).expect("messages of one stream");
        count += more;
        last = newest;
    }
    assert_eq!(count, n, "a message of each");
}

/// How many messages an XREAD of one stream has brought, and the id of the last: [[stream, [[id, [field, value]], ...]]].
fn messages(answer: &Value) -> Option<(usize, String)> {
    let [Value::Array(stream)] = array(answer)? else { return None };
    let [_, entries] = stream.as_slice() else { return None };
    let entries = array(entries)?;
    let whole = |entry: &&Value| {
        let fields = array(entry).and_then(|entry| array(entry.get(1)?));
        matches!(fields, Some([_, Value::BulkString(value)]) if value.len() == MESSAGE_BYTES)
    };
    let Value::BulkString(id) = array(entries.last()?)?.first()? else { return None };
    Some((entries.iter().filter(whole).count(), String::from_utf8_lossy(id).into_owned()))
}

fn array(value: &Value) -> Option<&[Value]> {
    if let Value::Array(values) = value { Some(values) } else { None }
}

fn message(from: usize, to: usize) -> Vec<u8> {
    [from.to_le_bytes(), to.to_le_bytes()].concat().into_iter().cycle().take(MESSAGE_BYTES).collect()
}
