//! Identities, whose seeds Python never sees.

use crate::failure::Failure;
use client_sdk::identity_file;
use pyo3::prelude::*;
use rand_core::OsRng;
use secrecy::SecretString;
use std::path::PathBuf;

/// The key under which a party signs. It has no way out but `save`.
#[pyclass(frozen, module = "white_city")]
pub(crate) struct Identity {
    pub(crate) inner: client_sdk::Identity,
}

#[pymethods]
impl Identity {
    /// A new identity.
    #[staticmethod]
    fn generate() -> Self {
        Self { inner: client_sdk::Identity::generate(&mut OsRng) }
    }

    /// Reads an identity file; an encrypted one needs its passphrase.
    #[staticmethod]
    #[pyo3(signature = (path, passphrase = None))]
    fn load(py: Python<'_>, path: PathBuf, passphrase: Option<String>) -> PyResult<Self> {
        let passphrase = passphrase.map(SecretString::from);
        let inner = py.detach(|| identity_file::load(&path, passphrase.as_ref())).map_err(Failure::from)?;
        Ok(Self { inner })
    }

    /// Writes a new file that only its owner may read, encrypted if there is a passphrase. An existing file is not overwritten.
    #[pyo3(signature = (path, passphrase = None))]
    fn save(&self, py: Python<'_>, path: PathBuf, passphrase: Option<String>) -> PyResult<()> {
        let passphrase = passphrase.map(SecretString::from);
        Ok(py.detach(|| identity_file::save(&self.inner, &path, passphrase.as_ref())).map_err(Failure::from)?)
    }

    /// The public key in hex: the identity's name to everybody else.
    #[getter]
    fn public(&self) -> String {
        self.inner.public().to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Identity {}>", self.inner.public())
    }
}
