//! `white-city pow`: the proof of work by itself, to choose a session's terms and to try them out.

mod calibrate;
mod parameters;
mod solve;

use crate::{error::Error, output::Output};
use ::pow::{Parameters, Puzzle};
use clap::{Args, Subcommand};
use std::{num::NonZeroUsize, time::Duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure how many hashes a second this device makes: the slowest honest one decides a session's hash rate
    Calibrate(calibrate::Command),
    /// Choose parameters and show what they cost and how many identities an adversary gets
    Parameters(parameters::Command),
    /// Solve a puzzle; goes on from its checkpoint, if there is one
    Solve(solve::Solve),
    /// Check a proof
    Verify(solve::Verify),
}

/// Parameters of the proof of work.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Hashes of a leaf: w
    #[arg(long, value_name = "HASHES")]
    leaf_hashes: u32,
    /// Logarithm of the number of leaves: 18 for 2^18
    #[arg(long, value_name = "LOG2")]
    leaves_log2: u8,
    /// How many leaves the proof opens
    #[arg(long, value_name = "COUNT")]
    openings: u16,
}

impl Shape {
    fn parameters(self) -> Result<Parameters, Error> {
        Ok(Parameters::new(self.leaf_hashes, self.leaves_log2, self.openings)?)
    }
}

/// What a proof is made for.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Subject {
    /// The session's challenge, 32 bytes as hex
    #[arg(long, value_name = "HEX", value_parser = bytes)]
    challenge: [u8; 32],
    /// The public key that registers, 32 bytes as hex
    #[arg(long, value_name = "HEX", value_parser = bytes)]
    key: [u8; 32],
}

impl Subject {
    fn puzzle(self) -> Puzzle {
        Puzzle { challenge: self.challenge, key: self.key }
    }
}

/// `white-city pow`.
pub(crate) fn run(command: &Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::Calibrate(command) => calibrate::run(command, output),
        Command::Parameters(command) => parameters::run(command, output),
        Command::Solve(command) => solve::solve(command, output),
        Command::Verify(command) => solve::verify(command, output),
    }
}

/// As many threads as were asked for, or one for each of the processor's.
fn threads(wanted: Option<NonZeroUsize>) -> usize {
    wanted.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

fn bytes(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "32 bytes are 64 hex digits".to_owned())
}

/// Hashes a second.
fn per_second(hashes: u64, time: Duration) -> u64 {
    let nanoseconds = time.as_nanos().max(1);
    u64::try_from(u128::from(hashes) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

/// Hashes a second, in the unit that people use.
fn rate(hashes: u64) -> String {
    format!("{}.{:02} MH/s", hashes / 1_000_000, hashes / 10_000 % 100)
}
