//! One node of a test's cluster: a process of `white-city-node`, and below it a CometBFT.

use crate::{binary::binary, repository};
use rustix::process::{Pid, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use wire::api::NodeStatus;

pub use rustix::process::Signal;

/// Between two looks at something that tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(25);
/// A process gets so long to end when asked to, before it is killed.
const END: Duration = Duration::from_secs(20);
/// So much of a log's end is shown.
const SHOWN_BYTES: usize = 6000;

/// One node, running or not.
pub struct Node {
    /// Base URL of its gateway.
    pub url: String,
    home: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Node {
    pub(crate) fn new(url: String, home: PathBuf, log: PathBuf) -> Self {
        Self { url, home, log, process: None }
    }

    /// The node's home folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Starts the node; what it says is added to its log.
    ///
    /// # Panics
    /// If it runs already or cannot be started.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.url);
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let mut command = Command::new(binary("white-city-node"));
        command.args(["run", "--home"]).arg(&self.home).current_dir(repository::root());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("white-city-node starts"));
    }

    /// True if the node was started and has not been waited for.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// The node's process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The process of the node's CometBFT, if it runs.
    pub fn comet_pid(&self) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.home.join("cometbft.pid")).ok()?.trim().parse().ok()?;
        let folder = self.home.join("cometbft");
        // The number alone may have gone to another process.
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = arguments.split(|byte| *byte == 0).any(|one| one == folder.as_os_str().as_encoded_bytes());
        ours.then_some(pid)
    }

    /// Sends `signal` to the node, if it runs.
    pub fn signal(&self, signal: Signal) {
        self.pid().into_iter().for_each(|pid| send(pid, signal));
    }

    /// Sends `signal` to the node's CometBFT. True if there was one.
    pub fn signal_comet(&self, signal: Signal) -> bool {
        let pid = self.comet_pid();
        pid.into_iter().for_each(|pid| send(pid, signal));
        pid.is_some()
    }

    /// Waits until the node has ended; kills it if that takes too long.
    pub fn wait(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if !wait_until(END, || ended(&mut process).is_some()) {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    /// Asks the node to end, and waits until it has.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Waits until the node takes writes.
    ///
    /// # Panics
    /// If it does not within `patience`, or ends, with the end of its log.
    pub async fn ready(&mut self, patience: Duration) {
        let (url, started) = (format!("{}/readyz", self.url), Instant::now());
        loop {
            let answer = reqwest::get(&url).await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            if let Some(status) = self.process.as_mut().and_then(ended) {
                panic!("{} has ended ({status}):\n{}", self.url, self.last_words());
            }
            if started.elapsed() > patience {
                let reason = match answer {
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                panic!("{} is not ready after {patience:?}: {reason}\n{}", self.url, self.last_words());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the node says of itself.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn status(&self) -> NodeStatus {
        let answer = reqwest::get(format!("{}/v1/status", self.url)).await.expect("the node answers");
        answer.json().await.expect("a status")
    }

    /// All that the node has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of the node's log.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN_BYTES)..]).into_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() && self.process.is_some() {
            eprintln!("---- log of {} ends ----\n{}", self.url, self.last_words());
        }
        self.stop();
        // A node that was killed leaves its CometBFT, which ends by itself unless it hangs.
        if !wait_until(END, || self.comet_pid().is_none()) {
            self.signal_comet(Signal::KILL);
        }
    }
}

fn send(pid: u32, signal: Signal) {
    // That the process has ended meanwhile is no fault of the test.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn ended(process: &mut Child) -> Option<ExitStatus> {
    process.try_wait().ok().flatten()
}

/// True once `look` is, false if it is not within `patience`.
fn wait_until(patience: Duration, mut look: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !look() {
        if started.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}
