//! The CometBFT program: finding it, checking its version, and ending one that an earlier node left running.

use crate::{NodeError, home::Home};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{process::Command, time::sleep};

/// The versions that speak the ABCI of this node.
const VERSION: &str = "0.38.";
/// Where `scripts/install-cometbft` puts it, in the project's folder.
const INSTALLED: &str = ".tools/bin/cometbft";
/// A CometBFT whose node is gone gets so long to end by itself, and then as long again to end when asked to.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// A CometBFT program of the right version.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

impl Program {
    /// The program at `named`, or else the first of: `.tools/bin/cometbft` in the working directory or one above it; `cometbft`
    /// on the path.
    ///
    /// # Errors
    /// [`NodeError::CometMissing`], [`NodeError::CometNotThere`], [`NodeError::CometVersion`].
    pub async fn find(named: Option<&Path>) -> Result<Self, NodeError> {
        let path = match named {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(NodeError::CometNotThere { path: path.display().to_string() }),
            None => installed().or_else(on_path).ok_or(NodeError::CometMissing)?,
        };
        let output = Command::new(&path)
            .arg("version")
            .output()
            .await
            .map_err(|source| NodeError::System { what: "asking CometBFT for its version", source })?;
        let found: String = String::from_utf8_lossy(&output.stdout).trim().chars().take(40).collect();
        if found.trim_start_matches('v').starts_with(VERSION) {
            Ok(Self(path))
        } else {
            Err(NodeError::CometVersion { path: path.display().to_string(), found })
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Ends the CometBFT of this home that a node which was killed has left, if it is still there: it would hold ports and data.
///
/// # Errors
/// [`NodeError::CometFailed`] if it does not end.
pub async fn end_stale(home: &Home) -> Result<(), NodeError> {
    let Some(pid) = stale(home) else { return Ok(()) };
    tracing::warn!(pid, "an earlier CometBFT of this home still runs");
    let signals: [fn(u32); 3] = [|_| {}, terminate, kill];
    for signal in signals {
        signal(pid);
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            if stale(home).is_none() {
                return Ok(());
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
    }
    Err(NodeError::CometFailed { reason: format!("process {pid}, an earlier one of this home, cannot be ended") })
}

/// Asks a process to end.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    // That it has ended meanwhile is what was wanted.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The process in the pid file, if it is a CometBFT of this home. The number alone may have gone to another process. One that is
/// about to end has no arguments any more, but still its ports.
fn stale(home: &Home) -> Option<u32> {
    let pid: u32 = fs::read_to_string(home.comet_pid()).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let folder = home.comet();
    let ours = command.split(|byte| *byte == 0).any(|argument| argument == folder.as_os_str().as_encoded_bytes());
    (ours || command.is_empty() && is_ending_comet(pid)).then_some(pid)
}

/// True for a CometBFT that is ending and not yet a zombie, which is when the kernel has closed its files (proc(5), `stat`).
fn is_ending_comet(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((name, state)) = stat.rsplit_once(") ") else { return false };
    name.ends_with("(cometbft") && !state.starts_with(['Z', 'X'])
}

fn installed() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join(INSTALLED)).find(|path| path.is_file())
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join("cometbft")).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[tokio::test]
    async fn a_program_of_another_version_is_refused() {
        let echo = Program::find(Some(Path::new("/bin/echo"))).await;
        assert!(matches!(echo, Err(NodeError::CometVersion { found, .. }) if found == "version"));
        let none = Program::find(Some(Path::new("/nowhere/cometbft"))).await;
        assert!(matches!(none, Err(NodeError::CometNotThere { .. })));
    }

    #[tokio::test]
    async fn only_a_process_of_this_home_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path()).unwrap();
        let mut other = Command::new("sleep").arg("60").stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        fs::write(home.comet_pid(), other.id().unwrap().to_string()).unwrap();
        assert_eq!(stale(&home), None);
        end_stale(&home).await.unwrap();
        assert!(other.try_wait().unwrap().is_none(), "a stranger's process goes on");
        other.kill().await.unwrap();
    }
}
