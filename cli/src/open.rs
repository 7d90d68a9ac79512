//! What `session create --open` asks of strangers, from options: the proof of work is chosen by the calculator of crate `pow`, and what it bounds
//! is said.

use crate::{
    command::{duration, milliseconds},
    error::Error,
    output::brief,
};
use clap::Args;
use pow::{Choice, Parameters, Terms, Wishes};
use std::time::Duration;
use wire::{OpenTerms, Work};

/// The options of `session create --open`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Open {
    /// Let strangers in: whoever registers in time and does the proof of work in time
    #[arg(long, help_heading = HEADING)]
    pub(crate) open: bool,
    /// How long requests are taken
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION", requires = "open", help_heading = HEADING)]
    registering: Duration,
    /// How long an honest device works at its proof
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "DURATION", requires = "open", help_heading = HEADING)]
    work: Duration,
    /// How much longer solutions are taken, for slow networks
    #[arg(long, default_value = "20s", value_parser = duration, value_name = "DURATION", requires = "open", help_heading = HEADING)]
    slack: Duration,
    /// How long the nodes may take to draw the challenge, which who corrupts a node may know so much earlier
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION", requires = "open", help_heading = HEADING)]
    head_start: Duration,
    /// The adversary's hash rate, as a multiple of an honest device's
    #[arg(long, default_value_t = 10, value_name = "T", requires = "open", help_heading = HEADING)]
    adversary: u32,
    /// An honest device's hash rate in hashes a second; `white-city pow calibrate` measures one. The default is meant for a phone that uses one core
    #[arg(long, default_value_t = 5_000_000, value_name = "H", requires = "open", help_heading = HEADING)]
    hash_rate: u64,
    /// Cheating on the proof of work succeeds with a probability of at most 2 to the minus this
    #[arg(long, default_value_t = 64, value_name = "BITS", requires = "open", help_heading = HEADING)]
    soundness: u16,
    /// Leading zero bits of the stamp that each request must show, against floods
    #[arg(long, default_value_t = 20, value_name = "BITS", requires = "open", help_heading = HEADING)]
    stamp_bits: u8,
    /// Longest proof
    #[arg(long, default_value_t = 32_768, value_name = "BYTES", requires = "open", help_heading = HEADING)]
    max_proof_bytes: usize,
    /// Most hashes that a node does to verify a proof
    #[arg(long, default_value_t = 500_000, value_name = "HASHES", requires = "open", help_heading = HEADING)]
    max_verifier_hashes: u64,
    /// The proof of work, instead of the one that is chosen: hashes in a leaf, logarithm of the number of leaves, openings
    #[arg(long, value_names = ["W", "LOG2_L", "M"], num_args = 3, requires = "open", help_heading = HEADING)]
    parameters: Option<Vec<u32>>,
}

const HEADING: &str = "Options of open sessions";

impl Open {
    /// The terms, and the most identities that the stated adversary gets.
    pub(crate) fn terms(&self) -> Result<(OpenTerms, Bound), Error> {
        let wishes = Wishes {
            adversary: self.adversary,
            hash_rate: self.hash_rate,
            work_ms: milliseconds(self.work),
            slack_ms: milliseconds(self.slack),
            head_start_ms: milliseconds(self.head_start),
            soundness_bits: self.soundness,
            max_proof_bytes: self.max_proof_bytes,
            max_verifier_hashes: self.max_verifier_hashes,
        };
        let chosen = match &self.parameters {
            Some(parameters) => given(parameters, &wishes),
            None => pow::choose(&wishes).map(|Choice { terms, identities, .. }| (terms, identities)),
        };
        let impossible = |error: pow::Error| Error::Usage { reason: format!("no such proof of work: {error}") };
        let (terms, identities) = chosen.map_err(impossible)?;
        let parameters = terms.parameters;
        let open = OpenTerms {
            registering_ms: milliseconds(self.registering),
            stamp_bits: self.stamp_bits,
            work: Work {
                version: pow::VERSION,
                leaf_hashes: parameters.leaf_hashes(),
                leaves_log2: parameters.leaves_log2(),
                openings: parameters.openings(),
            },
            hash_rate: terms.hash_rate,
            slack_ms: terms.slack_ms,
            head_start_ms: terms.head_start_ms,
            adversary: terms.adversary,
            soundness_bits: terms.soundness_bits,
        };
        Ok((open, Bound { terms, identities }))
    }
}

/// The parameters as they were given: W, the logarithm of L, M.
fn given(parameters: &[u32], wishes: &Wishes) -> Result<(Terms, u64), pow::Error> {
    let number = |place: usize| parameters.get(place).copied().unwrap_or(0);
    let leaves_log2 = u8::try_from(number(1)).unwrap_or(u8::MAX);
    let parameters = Parameters::new(number(0), leaves_log2, u16::try_from(number(2)).unwrap_or(u16::MAX))?;
    let Wishes { hash_rate, slack_ms, head_start_ms, adversary, soundness_bits, .. } = *wishes;
    let terms = Terms { parameters, hash_rate, slack_ms, head_start_ms, adversary, soundness_bits };
    Ok((terms, terms.identities()?))
}

/// What the proof of work of a session bounds, and what it costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    terms: Terms,
    /// The most identities that the stated adversary gets.
    pub identities: u64,
}

impl Bound {
    /// The least corruption threshold that the board accepts.
    pub(crate) fn threshold(&self) -> u16 {
        u16::try_from(self.identities).unwrap_or(u16::MAX)
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let Terms { parameters, hash_rate, adversary, soundness_bits, .. } = self.terms;
        let work_ms = u64::try_from(u128::from(parameters.total_hashes()) * 1000 / u128::from(hash_rate.max(1)));
        let time = |ms: u64| brief(Duration::from_millis(ms));
        format!(
            "of the parties, at most {} belong to an adversary with {adversary} times the hash rate of a device, who cheats on a proof with a probability \
             of 2^-{soundness_bits}; a device of {hash_rate} hashes a second works {} at its proof of at most {} bytes, and solutions are taken for {}",
            self.identities,
            time(work_ms.unwrap_or(u64::MAX)),
            parameters.max_proof_bytes(),
            time(self.terms.solving_ms()),
        )
    }
}
