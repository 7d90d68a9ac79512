//! Files within their bounds. Secrets, network files and invitations are read and written by the SDK.

use crate::error::Error;
use serde::Serialize;
use std::{fs::File, io::Read, path::Path};

/// The bytes of a file of at most `limit` bytes; `-` is the standard input.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit { Err(Error::TooLarge { path: path.to_owned(), limit }) } else { Ok(bytes) }
}

/// Writes a file, in place of an older one of the same name.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    std::fs::write(path, bytes).map_err(failed)
}

/// Writes a JSON file, in place of an older one of the same name.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Encoding { reason: error.to_string() })?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// Finds out before a long computation that its result could not be kept.
pub(crate) fn check_free(path: &Path) -> Result<(), Error> {
    if path.exists() { Err(Error::InTheWay { path: path.to_owned() }) } else { Ok(()) }
}
