//! The SDK's errors as exceptions: `white_city.errors` has the classes, this file says which is whose.

use crate::convert::Document;
use client_sdk::{Error, Tried};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
};
use std::{collections::BTreeMap, error::Error as _};

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the SDK says.
    Sdk(Error),
    /// An argument is not what it should be.
    Argument(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sdk(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sdk(error) => Python::attach(|py| exception(py, &error).unwrap_or_else(|broken| broken)),
            Failure::Argument(reason) => PyValueError::new_err(reason),
        }
    }
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let instance = py.import("white_city.errors")?.getattr(class(error))?.call1((words(error),))?;
    if let Error::Refused { code, .. } = error {
        instance.setattr("code", code.as_str())?;
    }
    if let Error::SessionEnded { reason, .. } = error {
        let reason = serde_json::to_value(reason).map_err(|broken| PyRuntimeError::new_err(broken.to_string()))?;
        instance.setattr("reason", reason.as_str())?;
    }
    if let Error::Missing { missing, seen, .. } | Error::StillInPhase { missing, seen, .. } = error {
        instance.setattr("missing", missing.clone())?;
        let seen: BTreeMap<u16, Document> = seen.iter().map(|(party, seen)| (*party, Document::of(seen))).collect();
        instance.setattr("seen", seen)?;
    }
    instance.setattr("culprits", error.culprits())?;
    instance.setattr("tried", tried(error).iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(PyErr::from_value(instance))
}

fn class(error: &Error) -> &'static str {
    match error {
        Error::FileExists { .. } | Error::File { .. } | Error::FileFormat { .. } | Error::Encryption { .. } => {
            "FileError"
        }
        Error::PassphraseNeeded { .. } | Error::PassphraseWrong { .. } => "PassphraseError",
        Error::NetworkFile { .. } => "NetworkFileError",
        Error::ForeignInvitation { .. } => "InvitationError",
        Error::NoAnswer { .. } => "NoAnswerError",
        Error::NotOnBoard { .. } => "NotOnBoardError",
        Error::Answer { .. } => "AnswerError",
        Error::Refused { .. } => "RefusedError",
        Error::SlotTaken { .. } | Error::SlotJournalled { .. } => "SlotTakenError",
        Error::NotAdmitted { .. } => "NotAdmittedError",
        Error::NotAParty { .. } => "NotAPartyError",
        Error::Absent { .. } => "AbsentError",
        Error::KeysLost { .. } => "KeysLostError",
        Error::Missing { .. } => "MissingError",
        Error::StillInPhase { .. } => "StillInPhaseError",
        Error::SessionEnded { .. } => "SessionEndedError",
        Error::NoChannels => "NoChannelsError",
        Error::CannotOpen { .. } => "CannotOpenError",
        Error::TooLong { .. } | Error::NoRecipient { .. } | Error::NoSuchRound { .. } => "MessageError",
        // Of programs and drivers, which this package does not run; and of whatever has no class of its own.
        _ => "WhiteCityError",
    }
}

fn tried(error: &Error) -> &[Tried] {
    match error {
        Error::NoAnswer { tried, .. }
        | Error::Refused { tried, .. }
        | Error::NotOnBoard { tried, .. }
        | Error::Missing { tried, .. }
        | Error::StillInPhase { tried, .. } => tried,
        _ => &[],
    }
}

/// The error and what is behind it.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
