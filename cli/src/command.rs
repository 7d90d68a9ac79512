//! The command line.

use crate::{
    backup, error::Error, forget, identity, join, network, output::Output, pow, read, renew_key, report, resume,
    schnorr, session, statistics, verify, write,
};
use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;
use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Strangers compute together over White-City nodes: sessions, messages, and MPC programs
#[derive(Debug, Parser)]
#[command(name = "white-city", version, after_help = EXIT_CODES)]
pub(crate) struct Command {
    #[command(flatten, next_help_heading = "Options of every command")]
    pub options: Options,
    #[command(subcommand)]
    pub noun: Noun,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 refused by the board, \
4 not there in time (parties missing or nodes out of reach), 5 a party, a signature or an answer is wrong";

/// What every command knows.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Network file: chain, node URLs and the nodes' keys [default: ./network.json, or what the nodes of an invitation show, whose digest is in it]
    #[arg(long, global = true, env = "WHITE_CITY_NETWORK", value_name = "FILE")]
    pub network: Option<PathBuf>,
    /// Identity file: your secret key [default: ./identity.json]
    #[arg(long, global = true, env = "WHITE_CITY_IDENTITY", value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Read the identity's passphrase from a file instead of asking for it
    #[arg(long, global = true, env = "WHITE_CITY_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Longest wait for the board or for other parties [default: as long as the session gives them, or 30s]
    #[arg(long, global = true, value_parser = duration, value_name = "DURATION")]
    pub timeout: Option<Duration>,
    /// Write results as JSON, one document a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Show what happens underneath; twice for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The state directory in which `white-city resume` found the command that it runs again.
    #[arg(skip)]
    pub state: Option<PathBuf>,
    /// All that was typed after the command's name.
    #[arg(skip)]
    pub arguments: Vec<OsString>,
    /// The identity's passphrase, once it was asked for.
    #[arg(skip)]
    pub asked: Arc<OnceLock<SecretString>>,
}

impl Options {
    /// How long to wait for the board where no session says it.
    pub(crate) fn patience(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(30))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Show the network's nodes, whether they are ready, and eight words by which people know that they mean the same network
    Network(network::Command),
    /// Check a saved answer of a node (`...?proof=true`) offline, and say what it proves
    Verify(verify::Command),
    /// Make and show identities: the keys under which you are known
    #[command(subcommand)]
    Identity(identity::Command),
    /// Create, show, watch and end sessions
    #[command(subcommand)]
    Session(session::Command),
    /// Register if strangers can, agree on keys with the other parties, show your seat, and leave
    Join(join::Command),
    /// Go on with what was begun and not finished, after a crash or a loss of power: shows it, and runs each command again where it was typed
    Resume(resume::Command),
    /// Wipe what is kept of a session: its journal with the secrets of its channels, which sessions of its group need, too, and work that was not handed in
    Forget(forget::Command),
    /// Leave a file at the nodes, encrypted, for the day on which you lose this device; or let them erase it
    Backup(backup::Backup),
    /// Get back what you have backed up, with your identity or a passphrase, whatever f of the nodes do
    Restore(backup::Restore),
    /// Broadcast a message in a round
    Write(write::Command),
    /// Read the messages of a round
    Read(read::Command),
    /// Sign with a key that nobody holds: threshold Schnorr signatures, valid as Ed25519
    #[command(subcommand)]
    Schnorr(schnorr::Command),
    /// Sum, mean and variance of the parties' numbers, which stay secret
    Statistics(statistics::Command),
    /// The proof of work of open registration: measure this device, choose terms, solve and verify
    #[command(subcommand)]
    Pow(pow::Command),
    /// Order a new threshold key of the nodes, as their operator: a node that has lost its share gets one again
    RenewKey(renew_key::Command),
    /// Show what a computation cost, from the files that its parties wrote by --report
    Report(report::Command),
}

/// Runs a command to its end.
pub(crate) fn run(command: Command, output: &Output) -> Result<(), Error> {
    let options = Options { arguments: std::env::args_os().skip(1).collect(), ..command.options };
    start_log(options.verbose);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Error::Runtime { source })?.block_on(dispatch(command.noun, &options, output))
}

/// Runs what was asked for.
pub(crate) async fn dispatch(noun: Noun, options: &Options, output: &Output) -> Result<(), Error> {
    match noun {
        Noun::Network(command) => network::run(&command, options, output).await,
        Noun::Verify(command) => verify::run(&command, options, output),
        Noun::RenewKey(command) => renew_key::run(&command, options, output).await,
        Noun::Report(command) => report::run(&command, output),
        Noun::Pow(command) => pow::run(&command, output),
        Noun::Identity(command) => identity::run(command, options, output),
        Noun::Session(command) => session::run(command, options, output).await,
        Noun::Join(command) => join::run(command, options, output).await,
        Noun::Resume(command) => resume::run(command, options, output).await,
        Noun::Forget(command) => forget::run(&command, options, output).await,
        Noun::Backup(command) => backup::back_up(&command, options, output).await,
        Noun::Restore(command) => backup::restore(&command, options, output).await,
        Noun::Write(command) => write::run(command, options, output).await,
        Noun::Read(command) => read::run(command, options, output).await,
        Noun::Schnorr(command) => schnorr::run(command, options, output).await,
        Noun::Statistics(command) => statistics::run(command, options, output).await,
    }
}

/// A duration as people write it: `90s`, `5m`, `1h 30m`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s, 5m, 1h 30m or 250ms"))
}

/// A duration in the milliseconds of the wire; longer ones than it can hold are beyond every limit.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = format!("{level},hyper=warn,reqwest=warn,rustls=warn,h2=warn");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("1h 30m").map(milliseconds), Ok(5_400_000));
        assert_eq!(duration("250ms").map(milliseconds), Ok(250));
        assert!(duration("10").unwrap_err().contains("write it like"));
    }
}
