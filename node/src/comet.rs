//! Runs CometBFT beside the node: writes its settings, starts it, watches it, starts it again when it ends, stops it.
//!
//! CometBFT ends by itself when the node does, for it loses its ABCI connection.

use crate::{NodeError, comet_config, comet_program::Program, config::Config, home, home::Home, rpc::Client};
use std::{io, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// CometBFT gets so long to end when asked to, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between looks at a CometBFT that is starting, and at one that is running.
const STARTING: Duration = Duration::from_millis(50);
const RUNNING: Duration = Duration::from_millis(1000);
/// Before it is started again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so long a run, it is started again without a pause that earlier ends have earned.
const GOOD_RUN: Duration = Duration::from_secs(30);
/// So many starts in a row may fail before it has ever answered.
const FAILED_STARTS: u32 = 3;
/// Longer lines of its log are cut.
const LINE_CHARS: usize = 2000;

/// A CometBFT that is kept running.
pub struct Comet {
    /// The client of its RPC.
    pub client: Client,
    stop: CancellationToken,
    task: JoinHandle<Result<(), NodeError>>,
}

/// What the task that watches it needs.
struct Supervisor {
    program: Program,
    home: Home,
    client: Client,
    readiness: watch::Sender<Result<(), String>>,
    /// So many other nodes it must be connected to.
    needed: usize,
    words: Arc<Mutex<Words>>,
    answered: bool,
}

/// A port in use is waited for so long, and looked at so often.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_LOOK: Duration = Duration::from_millis(20);

/// What CometBFT has said, for the error message.
#[derive(Default)]
struct Words {
    /// The last line that tells why it ends.
    fatal: Option<String>,
    last: Option<String>,
}

impl Comet {
    /// Starts the CometBFT of the node in `home`, which is of use while it is connected to `needed` others. The node must already answer on its socket.
    ///
    /// # Errors
    /// [`NodeError::Listen`] for a port in use, [`NodeError::File`], [`NodeError::Invalid`].
    pub async fn start(home: &Home, config: &Config, program: Program, needed: usize) -> Result<Self, NodeError> {
        let Some(comet) = &config.comet else {
            return Err(NodeError::Invalid { what: "node.toml", reason: "it has no [comet] section".to_owned() });
        };
        crate::comet_program::end_stale(home).await?;
        for (what, address) in [("CometBFT's peers", comet.p2p_listen), ("CometBFT's RPC", comet.rpc_listen)] {
            let listen = |source| NodeError::Listen { what, address, source };
            wait_for_port(address).await.map_err(listen)?;
        }
        let text = comet_config::text(&config.name, comet, &home.socket(), config.replica.is_some());
        home::replace(&home.comet().join("config/config.toml"), text.as_bytes())?;
        let (readiness, receiver) = watch::channel(Err("CometBFT is starting".to_owned()));
        let client = Client::new(comet.rpc_listen, receiver).map_err(NodeError::Http)?;
        let supervisor = Supervisor {
            program,
            home: home.clone(),
            client: client.clone(),
            readiness,
            needed,
            words: Arc::default(),
            answered: false,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervisor.run(stop.clone()));
        Ok(Self { client, stop, task })
    }

    /// Waits until CometBFT cannot be kept running, and says why.
    pub async fn failed(&mut self) -> NodeError {
        match (&mut self.task).await {
            Ok(Err(error)) => error,
            _ => NodeError::CometFailed { reason: "its supervisor has ended".to_owned() },
        }
    }

    /// Ends CometBFT, and waits until it has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        if !self.task.is_finished() {
            let _ = self.task.await;
        }
    }
}

impl Supervisor {
    async fn run(mut self, stop: CancellationToken) -> Result<(), NodeError> {
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        loop {
            let started = Instant::now();
            let mut child = self.spawn()?;
            let watched = tokio::select! {
                () = stop.cancelled() => None,
                status = self.watch(&mut child) => Some(status),
            };
            let Some(status) = watched else {
                end(&mut child).await;
                let _ = std::fs::remove_file(self.home.comet_pid());
                return Ok(());
            };
            let _ = self.readiness.send_replace(Err("CometBFT has ended and is being started again".to_owned()));
            metrics::counter!("white_city_comet_restarts_total").increment(1);
            tracing::warn!(%status, "CometBFT has ended");
            failures = if self.answered { 0 } else { failures + 1 };
            if failures >= FAILED_STARTS {
                return Err(NodeError::CometFailed { reason: self.last_words().await });
            }
            pause = if started.elapsed() > GOOD_RUN { FIRST_PAUSE } else { pause };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(pause) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn spawn(&self) -> Result<Child, NodeError> {
        let mut child = Command::new(self.program.path())
            .arg("start")
            .arg("--home")
            .arg(self.home.comet())
            .env_remove("CMTHOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for the node, which then ends CometBFT in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| NodeError::System { what: "starting CometBFT", source })?;
        if let Some(pid) = child.id() {
            home::replace(&self.home.comet_pid(), pid.to_string().as_bytes())?;
            tracing::info!(pid, program = %self.program.path().display(), "CometBFT started");
        }
        if let Some(output) = child.stdout.take() {
            tokio::spawn(log(output, self.words.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(log(output, self.words.clone()));
        }
        Ok(child)
    }

    /// Looks at the running process until it ends.
    async fn watch(&mut self, child: &mut Child) -> String {
        let mut interval = STARTING;
        loop {
            tokio::select! {
                status = child.wait() => {
                    return status.map_or_else(|error| error.to_string(), |status| status.to_string());
                }
                () = sleep(interval) => {}
            }
            let readiness = self.look().await;
            interval = if readiness.is_ok() { RUNNING } else { STARTING };
            if *self.readiness.borrow() != readiness {
                match &readiness {
                    Ok(()) => tracing::info!("CometBFT is ready"),
                    Err(reason) => tracing::info!(reason, "CometBFT is not ready"),
                }
                let _ = self.readiness.send_replace(readiness);
            }
        }
    }

    async fn look(&mut self) -> Result<(), String> {
        let status = self.client.status().await?;
        self.answered = true;
        if status.peers < self.needed {
            Err(format!("connected to {} other nodes, and needs {}", status.peers, self.needed))
        } else if status.catching_up {
            Err(format!("catching up, at block {}", status.height))
        } else if status.height == 0 {
            Err("the first block is not decided yet".to_owned())
        } else {
            Ok(())
        }
    }

    /// What CometBFT said before it ended.
    async fn last_words(&self) -> String {
        let Words { fatal, last } = std::mem::take(&mut *self.words.lock().await);
        fatal.or(last).unwrap_or_else(|| "it ends without a word".to_owned())
    }
}

/// Asks the process to end, and kills it if it does not.
async fn end(child: &mut Child) {
    if let Some(pid) = child.id() {
        crate::comet_program::terminate(pid);
    }
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!("CometBFT does not end and is killed");
        let _ = child.kill().await;
    }
}

/// Puts CometBFT's lines into the node's log.
async fn log(output: impl AsyncRead + Unpin, words: Arc<Mutex<Words>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line: String = line.chars().take(LINE_CHARS).collect();
        if line.contains(r#""level":"debug""#) || line.contains(r#""level":"info""#) {
            tracing::info!(target: "cometbft", "{line}");
        } else {
            tracing::warn!(target: "cometbft", "{line}");
        }
        let mut words = words.lock().await;
        if ["panic:", "ERROR:", "Error:"].iter().any(|start| line.starts_with(start)) {
            words.fatal = Some(line.clone());
        }
        words.last = Some(line);
    }
}

/// Waits until nobody listens on a port. The threads of a CometBFT that was killed with its node end one after the other, and the last
/// of them frees its ports, a moment after the process is gone by name.
async fn wait_for_port(address: SocketAddr) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && started.elapsed() < PORT_PATIENCE => {
                sleep(PORT_LOOK).await;
            }
            bound => return bound.map(drop),
        }
    }
}
