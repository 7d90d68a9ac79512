//! What a mailbox held when it was read.

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

/// The entries of a mailbox.
#[pyclass(frozen, module = "white_city")]
pub(crate) struct Reading {
    pub(crate) inner: client_sdk::Reading,
}

#[pymethods]
impl Reading {
    /// The messages by sender, in consensus order; `None` from who wrote this party nothing, or nothing that its keys open.
    #[getter]
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let messages = PyDict::new(py);
        for message in &self.inner.round.received {
            messages.set_item(message.sender, message.data.as_deref().map(|data| PyBytes::new(py, data)))?;
        }
        Ok(messages)
    }

    /// The head of the mailbox's hash chain after these entries, in hex: the same at all parties that read as many.
    #[getter]
    fn head(&self) -> String {
        self.inner.round.head.to_string()
    }

    /// Indices of the senders that wrote this party something that their keys do not open: they cheated.
    #[getter]
    fn unreadable(&self) -> Vec<u16> {
        self.inner.unreadable.clone()
    }

    /// Who wrote, and not what: that may be secret.
    fn __repr__(&self) -> String {
        let senders: Vec<u16> = self.inner.round.received.iter().map(|message| message.sender).collect();
        format!("<Reading from {senders:?}>")
    }
}
