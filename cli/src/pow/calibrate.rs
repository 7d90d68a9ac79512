//! `white-city pow calibrate`: this device's hash rate.

use super::{per_second, rate, threads};
use crate::{
    command::duration,
    error::Error,
    output::{Output, table},
};
use ::pow::{Cancelled, Parameters, Puzzle, Solver, hashcash};
use clap::Args;
use serde_json::json;
use std::{
    cell::Cell,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// Threads [default: as many as the processor has]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// How long to measure, each thing
    #[arg(long, value_parser = duration, default_value = "3s", value_name = "DURATION")]
    time: Duration,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<(), Error> {
    let threads = threads(command.threads);
    let progress = output.progress();
    progress.now("measuring SHA-256");
    let bare = on_threads(threads, || bare_rate(command.time));
    progress.now("measuring the solver");
    let solver = solver_rate(threads, command.time)?;
    progress.finish();
    let rows = [
        vec![format!("bare SHA-256, {threads} threads"), rate(bare)],
        vec![format!("the solver, {threads} threads"), rate(solver)],
    ];
    let text =
        format!("{}\nA session whose slowest honest device is like this one has --hash-rate {solver}.", table(&rows));
    output.result(&text, &json!({ "threads": threads, "bare_hash_rate": bare, "solver_hash_rate": solver }))
}

/// The sum of what all threads measure at the same time.
fn on_threads(threads: usize, measure: impl Fn() -> u64 + Sync) -> u64 {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(&measure)).collect();
        let own = measure();
        others.into_iter().filter_map(|thread| thread.join().ok()).sum::<u64>() + own
    })
}

/// SHA-256 of messages that are independent of each other and fit into a block, which is what stamps are.
fn bare_rate(time: Duration) -> u64 {
    let (start, enough, hashes) = (Instant::now(), AtomicBool::new(false), Cell::new(0));
    let progress = |attempts| {
        hashes.set(attempts);
        enough.store(start.elapsed() >= time, Ordering::Relaxed);
    };
    // No nonce has so many zero bits.
    let found = hashcash::mint(&[0; 32], u8::MAX, 0, &progress, &enough);
    per_second(found.unwrap_or(hashes.get()), start.elapsed())
}

/// The solver as it works, on leaves of a usual length.
fn solver_rate(threads: usize, time: Duration) -> Result<u64, Error> {
    let solver = Solver::new(Parameters::new(4096, 26, 100)?, Puzzle { challenge: [0; 32], key: [0; 32] });
    let (start, enough) = (Instant::now(), AtomicBool::new(false));
    let progress = |_| enough.store(start.elapsed() >= time, Ordering::Relaxed);
    match solver.run(threads, &progress, &enough) {
        Ok(_) | Err(Cancelled) => Ok(per_second(solver.done_hashes(), start.elapsed())),
    }
}
