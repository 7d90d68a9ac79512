//! A session's specification from options, with defaults that suit programs secure against all but one party.

use crate::{
    command::{duration, milliseconds},
    error::Error,
    file,
    open::{Bound, Open},
};
use clap::Args;
use std::{path::PathBuf, time::Duration};
use wire::{
    Admission, Hash, OpenTerms, Program, PublicKey, SessionId, SessionRecord, SessionSpec,
    limits::{self, MAX_FILE_BYTES, MAX_PAYLOAD_BYTES},
    message_digest,
};

/// The options of `session create` that go into the specification.
#[derive(Args, Clone, Debug)]
pub(crate) struct Specification {
    /// What the parties agree to run, for example schnorr or statistics
    #[arg(long, value_name = "NAME")]
    program: String,
    /// Version of the program
    #[arg(long, default_value = "1", value_name = "VERSION")]
    program_version: String,
    /// A file that all parties agree on; its hash becomes part of the session's id
    #[arg(long, value_name = "FILE")]
    agreement: Option<PathBuf>,
    /// Title, for people
    #[arg(long, default_value = "")]
    title: String,
    /// Public key of a party, in order of the parties' indices; may be given many times
    #[arg(long = "party", value_name = "KEY", num_args = 1.., required_unless_present_any = ["parties", "open", "group"])]
    party: Vec<PublicKey>,
    /// File with one public key a line, or - for the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "party")]
    parties: Option<PathBuf>,
    /// The parties of an earlier session, by its id or an invitation to it, file or string: they use the keys that they have agreed on there
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["party", "parties", "open"])]
    pub(crate) group: Option<String>,
    #[command(flatten)]
    open: Open,
    /// t: so many parties may be corrupted, and t + 1 end the session when they are done [default: n - 1; of an open session the most
    /// identities that the adversary gets; of a group's as in the earlier session]
    #[arg(long, value_name = "T")]
    threshold: Option<u16>,
    /// So many parties can end the session by giving up
    #[arg(long, default_value_t = 1, value_name = "Q")]
    abort_quorum: u16,
    /// With fewer parties that registered, solved or gave a key in time the session expires [default: n; of an open session one more than
    /// the threshold]
    #[arg(long, value_name = "N")]
    min: Option<u16>,
    /// Most parties of an open session: the first that solve [default: 64, or --min if that is more]
    #[arg(long, value_name = "N", requires = "open")]
    max: Option<u16>,
    /// How long parties have to give their keys
    #[arg(long, default_value = "60s", value_parser = duration)]
    keying: Duration,
    /// How long the session may run after that
    #[arg(long, default_value = "1h", value_parser = duration)]
    running: Duration,
    /// How long messages stay readable after the end, unless all parties have acknowledged it
    #[arg(long, default_value = "1d", value_parser = duration)]
    retention: Duration,
    /// How long a round stays open after its first message [default: as long as the session]
    #[arg(long, value_parser = duration)]
    round_timeout: Option<Duration>,
    /// Number of rounds
    #[arg(long, default_value_t = 64, value_name = "ROUNDS")]
    max_rounds: u32,
    /// Longest message, or a party's private messages of a round together [default: 65536, more with many parties]
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<u32>,
    /// Most bytes that one party may write in the session [default: 16 of the longest messages]
    #[arg(long, value_name = "BYTES")]
    max_party_bytes: Option<u64>,
    /// Pad every private message to this size, so that lengths tell nothing
    #[arg(long, value_name = "BYTES")]
    padded_bytes: Option<u32>,
    /// Keep all messages out of the nodes' blocks, not private ones only, so that erasing the session erases them everywhere
    #[arg(long)]
    nothing_in_blocks: bool,
}

impl Specification {
    /// The specification, within its bounds, and what bounds the adversary of an open one. `parent`: the session whose group it is for, if it is.
    pub(crate) fn build(self, parent: Option<&Parent>) -> Result<(SessionSpec, Option<Bound>), Error> {
        let (seats, bound) = self.seats(parent)?;
        let Seats { admission, min_parties, max_parties: parties, corruption_threshold } = seats;
        // An item of a private set has 32 bytes of commitment, a tag, lengths, and the message.
        let roomy = (u32::from(parties) * 256).clamp(65_536, MAX_PAYLOAD_BYTES);
        let max_message_bytes = self.max_message_bytes.unwrap_or(roomy);
        let spec = SessionSpec {
            title: self.title,
            program: Program { name: self.program, version: self.program_version, digest: agreement(&self.agreement)? },
            admission,
            min_parties,
            max_parties: parties,
            corruption_threshold,
            abort_quorum: self.abort_quorum,
            keying_rounds: 1,
            max_rounds: self.max_rounds,
            max_message_bytes,
            max_party_bytes: self.max_party_bytes.unwrap_or(u64::from(max_message_bytes) * 16),
            padded_bytes: self.padded_bytes,
            inline_payloads: !self.nothing_in_blocks,
            keying_ms: milliseconds(self.keying),
            running_ms: milliseconds(self.running),
            retention_ms: milliseconds(self.retention),
            round_timeout_ms: self.round_timeout.map(milliseconds),
        };
        match first_fault(&spec) {
            Some(reason) => Err(Error::Usage { reason }),
            None => Ok((spec, bound)),
        }
    }

    /// Who may be a party, and how many there are.
    fn seats(&self, parent: Option<&Parent>) -> Result<(Seats, Option<Bound>), Error> {
        if let Some(Parent { session, record }) = parent {
            let present = usize::from(record.parties).saturating_sub(record.absent.len());
            return Ok((
                Seats {
                    admission: Admission::Group { parent: *session },
                    min_parties: self.min.unwrap_or(u16::try_from(present).unwrap_or(u16::MAX)),
                    max_parties: record.parties,
                    corruption_threshold: self.threshold.unwrap_or(record.spec.corruption_threshold),
                },
                None,
            ));
        }
        if self.open.open {
            return self.open_seats().map(|(seats, bound)| (seats, Some(bound)));
        }
        let keys = match &self.parties {
            Some(path) => {
                let text = file::read(path, MAX_FILE_BYTES)?;
                parse_keys(&String::from_utf8_lossy(&text)).map_err(|reason| Error::Shape {
                    path: path.clone(),
                    expected: "a list of public keys, one a line",
                    reason,
                })?
            }
            None => self.party.clone(),
        };
        let parties = u16::try_from(keys.len()).unwrap_or(u16::MAX);
        let seats = Seats {
            admission: Admission::Invited { keys },
            min_parties: self.min.unwrap_or(parties),
            max_parties: parties,
            corruption_threshold: self.threshold.unwrap_or(parties.saturating_sub(1)),
        };
        Ok((seats, None))
    }

    fn open_seats(&self) -> Result<(Seats, Bound), Error> {
        let (terms, bound) = self.open.terms()?;
        let identities = bound.identities;
        let corruption_threshold = self.threshold.unwrap_or(bound.threshold());
        let wrong = |reason: String| Err(Error::Usage { reason });
        if u64::from(corruption_threshold) < identities {
            return wrong(format!(
                "--threshold {corruption_threshold} is too small, for the adversary gets up to {identities} identities: raise it, let parties \
                 work longer (--work), or state a weaker --adversary"
            ));
        }
        let min_parties = self.min.unwrap_or(corruption_threshold.saturating_add(1));
        if min_parties <= corruption_threshold {
            return wrong(format!(
                "--min {min_parties} leaves room for no honest party, for the adversary gets up to {identities} identities and the threshold is \
                 {corruption_threshold}: raise it, let parties work longer (--work), or state a weaker --adversary"
            ));
        }
        let max_parties = self.max.unwrap_or(min_parties.max(64));
        Ok((Seats { admission: Admission::Open { terms }, min_parties, max_parties, corruption_threshold }, bound))
    }
}

/// An earlier session, whose parties go on.
pub(crate) struct Parent {
    /// Its id.
    pub session: SessionId,
    /// Its record.
    pub record: SessionRecord,
}

/// What of a specification says who may be a party.
struct Seats {
    admission: Admission,
    min_parties: u16,
    max_parties: u16,
    corruption_threshold: u16,
}

/// One key a line; empty lines and what follows a `#` count for nothing.
fn parse_keys(text: &str) -> Result<Vec<PublicKey>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| line.parse().map_err(|error| format!("line {}: {error}", at + 1)))
        .collect()
}

fn agreement(path: &Option<PathBuf>) -> Result<Hash, Error> {
    Ok(message_digest(&match path {
        Some(path) => file::read(path, MAX_FILE_BYTES)?,
        None => Vec::new(),
    }))
}

/// [`SessionSpec::check`] says only that something is wrong; a person wants to know what.
fn first_fault(spec: &SessionSpec) -> Option<String> {
    let n = spec.max_parties;
    let fault = match &spec.admission {
        Admission::Invited { keys } => fault_of_keys(keys),
        Admission::Open { terms } => fault_of_terms(terms)
            .or_else(|| (n > limits::MAX_PARTIES).then(|| format!("--max {n} must be 1 to {}", limits::MAX_PARTIES))),
        Admission::Group { .. } => None,
    };
    if fault.is_some() {
        return fault;
    }
    if spec.corruption_threshold >= n {
        return Some(format!("--threshold {} must be below the number of parties, {n}", spec.corruption_threshold));
    }
    if !(1..=n).contains(&spec.min_parties) {
        return Some(format!("--min {} must be 1 to the number of parties, {n}", spec.min_parties));
    }
    if !(1..=n).contains(&spec.abort_quorum) {
        return Some(format!("--abort-quorum {} must be 1 to the number of parties, {n}", spec.abort_quorum));
    }
    beyond_bound(spec).or_else(|| spec.check().err().map(|code| code.meaning().to_owned()))
}

fn fault_of_keys(keys: &[PublicKey]) -> Option<String> {
    let mut sorted: Vec<&PublicKey> = keys.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        return pair.first().map(|key| format!("party {key} is named twice"));
    }
    let too_many = keys.is_empty() || keys.len() > usize::from(limits::MAX_PARTIES);
    too_many.then(|| format!("{} parties; a session has 1 to {}", keys.len(), limits::MAX_PARTIES))
}

fn fault_of_terms(terms: &OpenTerms) -> Option<String> {
    let numbers = [
        ("--registering", terms.registering_ms, limits::MAX_DURATION_MS),
        ("--slack", terms.slack_ms, limits::MAX_DURATION_MS),
        ("--head-start", terms.head_start_ms, limits::MAX_HEAD_START_MS),
        ("--hash-rate", terms.hash_rate, limits::MAX_HASH_RATE),
        ("--adversary", u64::from(terms.adversary), u64::from(limits::MAX_ADVERSARY)),
        ("--soundness", u64::from(terms.soundness_bits), u64::from(limits::MAX_SOUNDNESS_BITS)),
        ("--stamp-bits", u64::from(terms.stamp_bits) + 1, u64::from(limits::MAX_STAMP_BITS) + 1),
    ];
    let wrong = numbers.iter().find(|(_, value, most)| !(1..=*most).contains(value));
    wrong.map(|(option, _, most)| match *option {
        "--stamp-bits" => format!("{option} must be 0 to {}", most.saturating_sub(1)),
        "--registering" | "--slack" | "--head-start" => format!("{option} must be 1 to {most} ms"),
        option => format!("{option} must be 1 to {most}"),
    })
}

/// The first option whose value is beyond a bound of the system.
fn beyond_bound(spec: &SessionSpec) -> Option<String> {
    let durations = [
        ("--keying", spec.keying_ms),
        ("--running", spec.running_ms),
        ("--retention", spec.retention_ms),
        ("--round-timeout", spec.round_timeout_ms.unwrap_or(1)),
    ];
    let days = limits::MAX_DURATION_MS / 86_400_000;
    let is_wrong = |ms: &u64| !(1..=limits::MAX_DURATION_MS).contains(ms);
    if let Some((option, _)) = durations.iter().find(|(_, ms)| is_wrong(ms)) {
        return Some(format!("{option} must be 1ms to {days}d"));
    }
    let message = u64::from(spec.max_message_bytes);
    let numbers = [
        ("--max-rounds", u64::from(spec.max_rounds), u64::from(limits::MAX_ROUNDS)),
        ("--max-message-bytes", message, u64::from(MAX_PAYLOAD_BYTES)),
        ("--max-party-bytes", spec.max_party_bytes, limits::MAX_PARTY_BYTES),
        ("--padded-bytes", spec.padded_bytes.map_or(1, u64::from), message),
    ];
    let wrong = numbers.iter().find(|(_, value, most)| !(1..=*most).contains(value));
    if let Some((option, value, most)) = wrong {
        return Some(format!("{option} {value} must be 1 to {most}"));
    }
    let names =
        [("--title", &spec.title), ("--program", &spec.program.name), ("--program-version", &spec.program.version)];
    let long = names.iter().find(|(_, name)| name.len() > limits::MAX_NAME_BYTES);
    long.map(|(option, _)| format!("{option} is longer than {} bytes", limits::MAX_NAME_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        specification: Specification,
    }

    fn key(byte: u8) -> String {
        hex::encode([byte; 32])
    }

    fn build(options: &[&str]) -> Result<SessionSpec, Error> {
        let (a, b, c) = (key(1), key(2), key(3));
        let line = ["test", "--program", "p", "--party", &a, &b, "--party", &c];
        Line::parse_from(line.iter().chain(options)).specification.build(None).map(|(spec, _)| spec)
    }

    fn open(options: &[&str]) -> Result<(SessionSpec, Bound), Error> {
        let line = ["test", "--program", "p", "--open"];
        let built = Line::parse_from(line.iter().chain(options)).specification.build(None);
        built.map(|(spec, bound)| (spec, bound.unwrap()))
    }

    #[test]
    fn an_open_session_holds_out_against_the_adversary_that_is_named() {
        let (spec, bound) = open(&["--adversary", "4"]).unwrap();
        let Admission::Open { terms } = spec.admission else { panic!("not open") };
        assert!((4..=16).contains(&bound.identities), "{bound:?}");
        assert_eq!((terms.adversary, terms.soundness_bits, terms.registering_ms), (4, 64, 300_000));
        assert_eq!(u64::from(spec.corruption_threshold), bound.identities);
        assert_eq!((spec.min_parties, spec.max_parties), (spec.corruption_threshold + 1, 64));
        let words = bound.describe();
        assert!(words.contains(&format!("at most {} belong", bound.identities)), "{words}");
        let few = open(&["--adversary", "4", "--threshold", "3"]).unwrap_err().to_string();
        assert!(
            few.contains(&format!("--threshold 3 is too small, for the adversary gets up to {}", bound.identities)),
            "{few}"
        );
        let small = open(&["--adversary", "4", "--min", "3"]).unwrap_err().to_string();
        assert!(small.contains("--min 3 leaves room for no honest party"), "{small}");
    }

    #[test]
    fn terms_of_an_open_session_have_bounds() {
        let fault = |options: &[&str]| open(options).unwrap_err().to_string();
        assert_eq!(fault(&["--stamp-bits", "49"]), "--stamp-bits must be 0 to 48");
        assert_eq!(fault(&["--head-start", "11m", "--work", "2h"]), "--head-start must be 1 to 600000 ms");
        assert!(fault(&["--max-proof-bytes", "10"]).contains("no such proof of work"));
        assert!(fault(&["--parameters", "0", "8", "4"]).contains("a leaf takes 1 to"));
        let by_hand =
            ["--parameters", "512", "10", "40", "--adversary", "1", "--hash-rate", "100000", "--soundness", "20"];
        let (spec, _) = open(&by_hand).unwrap();
        let Admission::Open { terms } = spec.admission else { panic!("not open") };
        assert_eq!((terms.work.leaf_hashes, terms.work.leaves_log2, terms.work.openings), (512, 10, 40));
    }

    #[test]
    fn defaults_are_for_n_of_n() {
        let spec = build(&[]).unwrap();
        let Admission::Invited { keys } = &spec.admission else { panic!("not invited") };
        assert_eq!(keys.iter().map(|key| key.0[0]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((spec.min_parties, spec.max_parties), (3, 3));
        assert_eq!((spec.corruption_threshold, spec.abort_quorum), (2, 1));
        assert_eq!((spec.keying_ms, spec.retention_ms), (60_000, 86_400_000));
        assert!(spec.inline_payloads && !build(&["--nothing-in-blocks"]).unwrap().inline_payloads);
    }

    #[test]
    fn a_contradiction_is_named() {
        let fault = |options: &[&str]| build(options).unwrap_err().to_string();
        assert!(fault(&["--threshold", "3"]).contains("--threshold 3"));
        assert!(fault(&["--min", "4"]).contains("--min 4"));
        assert!(fault(&["--abort-quorum", "0"]).contains("--abort-quorum 0"));
        assert!(fault(&["--party", &key(1)]).contains("named twice"));
        assert_eq!(fault(&["--keying", "0s"]), "--keying must be 1ms to 366d");
        assert_eq!(fault(&["--running", "367d"]), "--running must be 1ms to 366d");
        assert_eq!(fault(&["--max-rounds", "0"]), "--max-rounds 0 must be 1 to 65536");
        assert_eq!(fault(&["--padded-bytes", "70000"]), "--padded-bytes 70000 must be 1 to 65536");
        assert_eq!(fault(&["--title", &"x".repeat(129)]), "--title is longer than 128 bytes");
    }

    #[test]
    fn a_list_of_keys_has_comments_and_line_numbers() {
        let text = format!("{} # Ann\n\n# nobody\n  {}\n", key(1), key(2));
        assert_eq!(parse_keys(&text).unwrap().len(), 2);
        assert!(parse_keys(&format!("{}\nzz\n", key(1))).unwrap_err().starts_with("line 2"));
    }
}
