//! `white-city pow solve` and `white-city pow verify`: proofs in files.

use super::{Shape, Subject, per_second, rate, threads};
use crate::{command::duration, error::Error, file, output::Output};
use ::pow::{Parameters, Puzzle, Solver};
use clap::Args;
use serde_json::json;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub(crate) struct Solve {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    shape: Shape,
    /// Where the proof goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Threads [default: as many as the processor has]
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// Keep what is done in this file, and go on from what it holds
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Time between two checkpoints
    #[arg(long, value_parser = duration, default_value = "5s", value_name = "DURATION")]
    checkpoint_every: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The proof; - for the standard input
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    shape: Shape,
}

pub(super) fn solve(command: &Solve, output: &Output) -> Result<(), Error> {
    let (parameters, puzzle) = (command.shape.parameters()?, command.subject.puzzle());
    file::check_free(&command.output)?;
    let solver = begin(parameters, puzzle, command.checkpoint.as_deref())?;
    let (start, before) = (Instant::now(), solver.done_hashes());
    let bar = output.bar("solving", parameters.total_hashes(), before);
    let saved = Mutex::new((Instant::now(), Ok(())));
    let progress = |done| {
        bar.now(done);
        let Some(path) = &command.checkpoint else { return };
        let mut saved = saved.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.0.elapsed() >= command.checkpoint_every {
            *saved = (Instant::now(), save(path, &solver.checkpoint()));
        }
    };
    let proof = solver.run(threads(command.threads), &progress, &AtomicBool::new(false));
    bar.finish();
    let proof = proof?;
    saved.into_inner().unwrap_or_else(PoisonError::into_inner).1?;
    file::write(&command.output, &proof)?;
    if let Some(path) = command.checkpoint.as_deref().filter(|path| path.exists()) {
        let failed = |source| Error::File { action: "remove", path: path.to_owned(), source };
        std::fs::remove_file(path).map_err(failed)?;
    }
    let hash_rate = per_second(parameters.total_hashes() - before, start.elapsed());
    let text = format!("{}: {} bytes, at {}", command.output.display(), proof.len(), rate(hash_rate));
    output.result(&text, &json!({ "output": command.output, "bytes": proof.len(), "hash_rate": hash_rate }))
}

pub(super) fn verify(command: &Verify, output: &Output) -> Result<(), Error> {
    let parameters = command.shape.parameters()?;
    let proof = file::read(&command.proof, parameters.max_proof_bytes() as u64)?;
    ::pow::verify(&parameters, &command.subject.puzzle(), &proof)?;
    let hashes = parameters.total_hashes();
    output.result(&format!("good: {hashes} hashes"), &json!({ "good": true, "total_hashes": hashes }))
}

fn begin(parameters: Parameters, puzzle: Puzzle, checkpoint: Option<&Path>) -> Result<Solver, Error> {
    match checkpoint.filter(|path| path.exists()) {
        Some(path) => {
            let bytes = file::read(path, parameters.memory_bytes())?;
            Ok(Solver::resume(parameters, puzzle, &bytes)?)
        }
        None => Ok(Solver::new(parameters, puzzle)),
    }
}

/// Beside the old one first: a device may lose power at any moment.
fn save(path: &Path, checkpoint: &[u8]) -> Result<(), Error> {
    let new = path.with_added_extension("new");
    file::write(&new, checkpoint)?;
    std::fs::rename(&new, path).map_err(|source| Error::File { action: "replace", path: path.to_owned(), source })
}
