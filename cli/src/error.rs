//! What can go wrong, what to do about it, and the exit code.

use client_sdk::{BadAnswer, Error as Sdk, NotAdmitted};
use std::{error::Error as _, io, path::PathBuf};
use wire::Code;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The SDK's own: network, board, parties, identity files.
    #[error(transparent)]
    Sdk {
        #[from]
        source: Sdk,
    },
    /// A program of the protocols crate cannot be set up, or a value of it cannot be read.
    #[error(transparent)]
    Protocol {
        #[from]
        source: protocols::ProtocolError,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A file is beyond its bound.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    /// A file is not what it should be.
    #[error("{} is not {expected}: {reason}", path.display())]
    Shape { path: PathBuf, expected: &'static str, reason: String },
    /// A file that nobody named is not in its usual place, either.
    #[error("no {what} file was named, and {usual} is not here")]
    Unnamed { what: &'static str, usual: &'static str, option: &'static str, variable: &'static str },
    /// A file that would be lost is in the way of an output.
    #[error("{} exists and is not overwritten", path.display())]
    InTheWay { path: PathBuf },
    /// The session is for another program.
    #[error("the parties of this session have agreed to run {agreed}, not {wanted} 1")]
    OtherProgram { agreed: String, wanted: &'static str },
    /// A saved answer proves nothing.
    #[error("the answer proves nothing: {source}")]
    NotProved {
        #[from]
        source: BadAnswer,
    },
    /// Parameters of a proof of work that cannot be, or a checkpoint of no use.
    #[error(transparent)]
    Pow {
        #[from]
        source: pow::Error,
    },
    /// A proof of work was given up.
    #[error(transparent)]
    GivenUp {
        #[from]
        source: pow::Cancelled,
    },
    /// A proof of work proves nothing.
    #[error("the proof of work is not good")]
    BadProof {
        #[from]
        source: pow::BadProof,
    },
    /// The options contradict each other or a bound.
    #[error("{reason}")]
    Usage { reason: String },
    /// A passphrase is needed, and there is nobody to ask.
    #[error("a passphrase is needed, and there is no terminal to ask for it")]
    NoTerminal { source: io::Error },
    /// A new passphrase was not the same twice, or empty.
    #[error("the passphrases are empty or differ")]
    PassphraseUnusable,
    /// A value cannot be encoded.
    #[error("cannot be encoded: {reason}")]
    Encoding { reason: String },
    /// The standard output does not take what is written.
    #[error("the standard output cannot be written")]
    Output { source: io::Error },
    /// No runtime for the network.
    #[error("the network cannot be used")]
    Runtime { source: io::Error },
}

impl Error {
    /// What to do, where more can be said than the error does.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Sdk { source } => sdk_hint(source),
            Self::Unnamed { option, variable, what, .. } => {
                Some(format!("name the {what} file with {option} FILE, or in the environment as {variable}"))
            }
            Self::OtherProgram { .. } => Some("is this the right invitation? See `white-city session show`".to_owned()),
            Self::InTheWay { .. } => Some("name another file, or move that one away".to_owned()),
            Self::NoTerminal { .. } => Some(
                "name a file that holds it with --passphrase-file; a new identity can do without by --no-passphrase"
                    .to_owned(),
            ),
            Self::Usage { .. } => Some("see the command with --help".to_owned()),
            Self::NotProved { source: BadAnswer::UnknownEpoch { .. } } => {
                Some("save the answer of /v1/keys, too, and name it with --keys".to_owned())
            }
            _ => None,
        }
    }

    /// The exit code, as `--help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Unnamed { .. } => 2,
            Self::Sdk { source } => match source {
                Sdk::Refused { .. }
                | Sdk::SlotTaken { .. }
                | Sdk::SlotJournalled { .. }
                | Sdk::NotAParty { .. }
                | Sdk::Absent { .. }
                | Sdk::NoBackup { .. } => 3,
                Sdk::NotAdmitted { why, .. } => match why {
                    NotAdmitted::TooSlow { .. } | NotAdmitted::UnknownWork { .. } => 1,
                    NotAdmitted::TooFewRegistered { .. } | NotAdmitted::TooFewSolved { .. } | NotAdmitted::NotDrawn => {
                        4
                    }
                    _ => 3,
                },
                Sdk::Invitation { .. } => 2,
                Sdk::NoAnswer { .. }
                | Sdk::NotOnBoard { .. }
                | Sdk::Missing { .. }
                | Sdk::StillInPhase { .. }
                | Sdk::BackupShares { .. } => 4,
                source if !source.culprits().is_empty() => 5,
                _ => 1,
            },
            Self::Protocol { source: protocols::ProtocolError::BadSignature }
            | Self::NotProved { .. }
            | Self::BadProof { .. } => 5,
            _ => 1,
        }
    }

    /// True if whoever read the standard output has stopped: nothing that needs to be told.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output { source } if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The error and its causes on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

fn sdk_hint(error: &Sdk) -> Option<String> {
    let hint = match error {
        Sdk::Refused { code: Code::UnknownSession, .. } => {
            "is the invitation for this network, and the session not long over?"
        }
        Sdk::Refused { code: Code::NotPermitted, .. } => {
            "sessions are created by operators and the keys that the network names: use --identity with one of theirs"
        }
        Sdk::Invitation { .. } => "the session's creator prints it anew with `white-city session invite`",
        Sdk::PassphraseWrong { .. } => "try again, or check --passphrase-file",
        Sdk::NoAnswer { .. } | Sdk::NotOnBoard { .. } => {
            "are the nodes' URLs in the network file right, and do they answer at /readyz? Then run the command again"
        }
        Sdk::Missing { .. } | Sdk::StillInPhase { .. } => {
            "are the missing parties running? `white-city session show` tells what they have done; --timeout waits longer"
        }
        Sdk::NotAdmitted { why: NotAdmitted::TooSlow { .. }, .. } => {
            "close what else this device does, give more --threads, or try --even-if-slow; `white-city pow calibrate` measures again"
        }
        Sdk::KeysLost { .. } => {
            "was another --state directory or identity used when the session was joined? A group's parent must have been left with --keep-keys"
        }
        Sdk::NothingBegun { .. } => "give the --state directory and the identity that it was begun with",
        Sdk::JournalMissing { .. } | Sdk::JournalBehind { .. } => {
            "give the --state directory that this party has used last, or another --execution or session"
        }
        Sdk::ReplayDiffers { .. } => {
            "run the very command that was begun, with the same files; for other input take another --execution or session"
        }
        Sdk::OtherLock { .. } => {
            "a passphrase is asked for with --passphrase, or read with --backup-passphrase-file; without either your identity is used"
        }
        Sdk::BackupUnopened { lock: "passphrase", .. } => {
            "mind capitals and spaces; each node answers ten tries in a row, and then one in six minutes"
        }
        Sdk::BackupShares { .. } => {
            "run the command again when more nodes are there; one that has had too many tries answers again in six minutes"
        }
        Sdk::SlotTaken { .. } | Sdk::SlotJournalled { .. } => {
            "a slot is written once: take another round, execution number or session"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_in_order() {
        let gone = || io::Error::other("gone");
        let error = Error::File { action: "read", path: "x".into(), source: gone() };
        assert_eq!(error.chain(), "cannot read x: gone");
        let error = Error::from(Sdk::File { action: "read", path: "y".into(), source: gone() });
        assert_eq!(error.chain(), "cannot read y: gone");
    }

    #[test]
    fn a_cheater_has_an_exit_code_of_its_own() {
        let abort = client_sdk::protocol::Abort { reason: "wrong proof".into(), culprits: vec![2] };
        let error = Error::from(Sdk::Aborted { source: abort });
        assert_eq!(error.exit_code(), 5);
        assert_eq!(error.chain(), "the program stopped: wrong proof (party 2)");
    }

    #[test]
    fn who_cannot_create_sessions_is_told_who_can() {
        let refused = Sdk::Refused { operation: None, code: Code::NotPermitted, tried: vec![] };
        let error = Error::from(refused);
        assert_eq!(error.exit_code(), 3);
        assert!(error.hint().unwrap().contains("--identity"));
    }
}
