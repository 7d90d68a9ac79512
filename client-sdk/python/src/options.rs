//! How a session is taken part in, as keyword arguments.

use crate::failure::Failure;
use client_sdk::Options;
use pyo3::prelude::*;
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// Seconds as Python counts them.
pub(crate) fn duration(seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| Failure::Argument(format!("{seconds} seconds: {error}")))
}

/// The SDK's options.
pub(crate) fn options(
    wait: Option<f64>,
    state: Option<PathBuf>,
    threads: Option<NonZeroUsize>,
    even_if_slow: bool,
    keep_keys: bool,
) -> PyResult<Options> {
    let wait = wait.map(duration).transpose()?;
    Ok(Options { wait, state, threads, even_if_slow, keep_keys })
}
