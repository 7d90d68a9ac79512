//! Between Python's objects and ours: documents are JSON, sessions are named by id or by invitation.

use crate::failure::Failure;
use client_sdk::{Client, Error, file};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString},
};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use wire::{Invitation, NetworkFile, SessionId, SessionSpec};

/// A document of ours, which Python sees as dicts and lists.
pub(crate) struct Document(String);

impl Document {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("documents have string keys only, and serialize to memory"))
    }
}

impl<'py> IntoPyObject<'py> for Document {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        py.import("json")?.call_method1("loads", (self.0,))
    }
}

/// A network file, by its path or as a dict.
pub(crate) fn network(value: &Bound<'_, PyAny>) -> PyResult<NetworkFile> {
    document(value, "a network file", file::read_network)
}

/// A session's specification, by its file's path or as a dict.
pub(crate) fn specification(value: &Bound<'_, PyAny>) -> PyResult<SessionSpec> {
    document(value, "a specification", |path| {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| Error::File { action: "read", path: name(), source })?;
        serde_json::from_slice(&text).map_err(|error| Error::FileFormat {
            path: name(),
            expected: "a session's specification",
            reason: error.to_string(),
        })
    })
}

/// The session that an invitation is to, if it is for the client's network: given as its string, as its file's path or as a dict.
pub(crate) fn invitation(client: &Client, value: &Bound<'_, PyAny>) -> PyResult<SessionId> {
    let invitation = match value.cast::<PyString>().map(|text| text.to_string_lossy().into_owned()) {
        Ok(text) if Invitation::is_meant(&text) => {
            text.parse::<Invitation>().map_err(|bad| Failure::Argument(bad.to_string()))?
        }
        _ => document(value, "an invitation", file::read_invitation)?,
    };
    Ok(client.accept(&invitation).map_err(Failure::from)?)
}

/// A session, by its id or by an invitation.
pub(crate) fn session(client: &Client, value: &Bound<'_, PyAny>) -> PyResult<SessionId> {
    if let Ok(text) = value.cast::<PyString>()
        && let Ok(id) = text.to_string_lossy().parse()
    {
        return Ok(id);
    }
    invitation(client, value)
}

fn document<T: DeserializeOwned>(
    value: &Bound<'_, PyAny>,
    what: &str,
    read: impl FnOnce(&Path) -> Result<T, Error>,
) -> PyResult<T> {
    if value.is_instance_of::<PyDict>() {
        let text: String = value.py().import("json")?.call_method1("dumps", (value,))?.extract()?;
        return Ok(serde_json::from_str(&text).map_err(|error| Failure::Argument(format!("not {what}: {error}")))?);
    }
    let path: PathBuf =
        value.extract().map_err(|_| PyTypeError::new_err(format!("{what} is given as a dict or as a path")))?;
    Ok(read(&path).map_err(Failure::from)?)
}
