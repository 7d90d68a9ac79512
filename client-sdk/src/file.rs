//! Files that people keep: read with a bound, written for their owner alone, never overwritten.

use crate::Error;
use serde::de::DeserializeOwned;
use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    path::Path,
};
use wire::{Invitation, NetworkFile, limits::MAX_FILE_BYTES};
use zeroize::Zeroizing;

/// Reads a network file and checks its bounds.
///
/// # Errors
/// [`Error::File`], [`Error::FileFormat`], [`Error::NetworkFile`].
pub fn read_network(path: &Path) -> Result<NetworkFile, Error> {
    let file: NetworkFile = read_json(path, "a network file")?;
    crate::network::check(&file)?;
    Ok(file)
}

/// Reads an invitation.
///
/// # Errors
/// [`Error::File`], [`Error::FileFormat`].
pub fn read_invitation(path: &Path) -> Result<Invitation, Error> {
    let invitation: Invitation = read_json(path, "an invitation")?;
    invitation.check().map_err(|bad| format_error(path, "an invitation", bad.to_string()))?;
    Ok(invitation)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, Error> {
    let bytes = read(path, expected)?;
    serde_json::from_slice(&bytes).map_err(|error| format_error(path, expected, error.to_string()))
}

pub(crate) fn format_error(path: &Path, expected: &'static str, reason: String) -> Error {
    Error::FileFormat { path: path.display().to_string(), expected, reason }
}

fn read(path: &Path, expected: &'static str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::File { action: "read", path: path.display().to_string(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format_error(path, expected, format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Brings to the disk that there is a file of this name, or none any more: a name is there only when its directory is.
#[cfg(feature = "net")]
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(folder) if cfg!(unix) => {
            let failed = |source| Error::File { action: "write", path: path.display().to_string(), source };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
        }
        _ => Ok(()),
    }
}

/// Writes a new file that only its owner may read, and brings it to the disk. Where it cannot be written whole, it is removed.
///
/// # Errors
/// [`Error::FileExists`], [`Error::File`].
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source: std::io::Error| {
        let path = path.display().to_string();
        if source.kind() == ErrorKind::AlreadyExists {
            Error::FileExists { path }
        } else {
            Error::File { action: "write", path, source }
        }
    };
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| {
        drop(std::fs::remove_file(path));
        failed(source)
    })
}
