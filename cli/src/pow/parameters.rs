//! `white-city pow parameters`: the calculator.

use super::rate;
use crate::{
    command::{duration, milliseconds},
    error::Error,
    output::{Output, table},
};
use ::pow::{Choice, FRACTION_BITS, Wishes, choose};
use clap::Args;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The adversary's hash rate in honest devices: t; several give several rows
    #[arg(long, value_delimiter = ',', default_value = "1,4,10,50", value_name = "COUNT")]
    adversary: Vec<u32>,
    /// Hashes a second of the slowest honest device: see `white-city pow calibrate`
    #[arg(long, default_value_t = 10_000_000, value_name = "HASHES")]
    hash_rate: u64,
    /// How long that device works
    #[arg(long, value_parser = duration, default_value = "60s", value_name = "DURATION")]
    work: Duration,
    /// Instead: as long as it takes to keep the adversary to t identities, as the paper's Theorem 4.6 does
    #[arg(long, conflicts_with = "work")]
    theorem: bool,
    /// What devices have beyond their work for messages to arrive: T_sol
    #[arg(long, value_parser = duration, default_value = "10s", value_name = "DURATION")]
    slack: Duration,
    /// How long before the block from which the time runs the adversary may know the challenge
    #[arg(long, value_parser = duration, default_value = "2s", value_name = "DURATION")]
    head_start: Duration,
    /// Cheating succeeds with a probability of at most 2 to minus this
    #[arg(long, default_value_t = 64, value_name = "BITS")]
    soundness: u16,
    /// The most bytes of a proof
    #[arg(long, default_value_t = 32 << 10, value_name = "BYTES")]
    proof_bytes: usize,
    /// The most hashes of a verification
    #[arg(long, default_value_t = 1 << 19, value_name = "HASHES")]
    verifier_hashes: u64,
}

impl Command {
    fn choices(&self) -> Result<Vec<Choice>, Error> {
        let choice = |adversary: &u32| choose(&self.wishes(*adversary)).map_err(Error::from);
        self.adversary.iter().map(choice).collect()
    }

    fn wishes(&self, adversary: u32) -> Wishes {
        let (slack_ms, head_start_ms) = (milliseconds(self.slack), milliseconds(self.head_start));
        let least = Wishes::paper_work_ms(adversary, slack_ms, head_start_ms);
        Wishes {
            adversary,
            hash_rate: self.hash_rate,
            // At the least work, one identity more is just within reach.
            work_ms: if self.theorem { least.saturating_add(least / 100) } else { milliseconds(self.work) },
            slack_ms,
            head_start_ms,
            soundness_bits: self.soundness,
            max_proof_bytes: self.proof_bytes,
            max_verifier_hashes: self.verifier_hashes,
        }
    }
}

pub(super) fn run(command: &Command, output: &Output) -> Result<(), Error> {
    let choices = command.choices()?;
    let text = format!(
        "{}\n\nHonest devices: {}. Beyond their work: {}. Adversary's head start: {}.",
        table(&rows(&choices)),
        rate(command.hash_rate),
        humantime::format_duration(command.slack),
        humantime::format_duration(command.head_start),
    );
    output.result(&text, &choices.iter().map(value).collect::<Vec<_>>())
}

/// The table that `docs/proof-of-work.md` holds, too.
fn rows(choices: &[Choice]) -> Vec<Vec<String>> {
    let head = [
        "t",
        "identities",
        "xi",
        "work",
        "leaf hashes",
        "leaves",
        "openings",
        "error",
        "proof",
        "verifying",
        "memory",
        "solving time",
    ];
    let row = |choice: &Choice| {
        let (terms, parameters) = (&choice.terms, &choice.terms.parameters);
        let work_ms = terms.solving_ms().saturating_sub(terms.slack_ms);
        let verifier_ms = (parameters.verifier_hashes() * 1000).div_ceil(terms.hash_rate);
        vec![
            terms.adversary.to_string(),
            choice.identities.to_string(),
            permille(choice),
            format!("{} s", tenths(work_ms / 100)),
            parameters.leaf_hashes().to_string(),
            format!("2^{}", parameters.leaves_log2()),
            parameters.openings().to_string(),
            format!("2^-{}", tenths(error_tenths(choice))),
            format!("{} KB", tenths(parameters.max_proof_bytes() as u64 / 100)),
            format!("{verifier_ms} ms"),
            format!("{} MB", tenths(parameters.memory_bytes().div_ceil(100_000))),
            format!("{} s", tenths(terms.solving_ms() / 100)),
        ]
    };
    [head.map(str::to_owned).to_vec()].into_iter().chain(choices.iter().map(row)).collect()
}

fn value(choice: &Choice) -> Value {
    let (terms, parameters) = (&choice.terms, &choice.terms.parameters);
    json!({
        "adversary": terms.adversary,
        "identities": choice.identities,
        "hash_rate": terms.hash_rate,
        "slack_ms": terms.slack_ms,
        "head_start_ms": terms.head_start_ms,
        "soundness_bits": terms.soundness_bits,
        "leaf_hashes": parameters.leaf_hashes(),
        "leaves_log2": parameters.leaves_log2(),
        "openings": parameters.openings(),
        "total_hashes": parameters.total_hashes(),
        "tolerated_hashes": choice.tolerated_hashes,
        "solving_ms": terms.solving_ms(),
        "verifier_hashes": parameters.verifier_hashes(),
        "max_proof_bytes": parameters.max_proof_bytes(),
        "memory_bytes": parameters.memory_bytes(),
    })
}

/// The part of the work that is not enough for an identity.
fn permille(choice: &Choice) -> String {
    let part = u128::from(choice.tolerated_hashes) * 1000 / u128::from(choice.terms.parameters.total_hashes());
    format!("0.{part:03}")
}

/// Tenths of bits, rounded down.
fn error_tenths(choice: &Choice) -> u64 {
    let bits = choice.terms.parameters.error_bits(choice.tolerated_hashes);
    u64::try_from((bits >> (FRACTION_BITS - 10)) * 10 / 1024).unwrap_or(u64::MAX)
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        command: Command,
    }

    /// The document's tables are what the command says that stands above them.
    #[test]
    fn the_document_shows_what_the_calculator_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/proof-of-work.md");
        let document = std::fs::read_to_string(path).expect("the document");
        let marker = "    white-city pow parameters";
        let mut tables = 0;
        for part in document.split(marker).skip(1) {
            let (options, rest) = part.split_once('\n').expect("a table below it");
            let line =
                Line::try_parse_from(["parameters"].into_iter().chain(options.split_whitespace())).expect("options");
            let rows = rows(&line.command.choices().expect("choices"));
            let mut wanted: Vec<String> = rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
            wanted.insert(1, format!("|{}", "---|".repeat(rows[0].len())));
            let wanted = wanted.join("\n");
            assert!(rest.trim_start().starts_with(&wanted), "below `{marker}{options}` belongs:\n{wanted}\n");
            tables += 1;
        }
        assert!(tables >= 2);
    }
}
