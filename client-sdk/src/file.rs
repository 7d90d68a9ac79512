//! Files that people keep: read with a bound, written for their owner alone, never overwritten.

use crate::Error;
use rand_core::{OsRng, RngCore};
use serde::de::DeserializeOwned;
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
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

/// Makes a directory with all above it that are not there, and brings them to the disk: what is in a new directory is there only when its name is.
///
/// # Errors
/// [`Error::File`].
#[cfg(feature = "net")]
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folder)?;
    match fs::create_dir(folder) {
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::File { action: "make", path: folder.display().to_string(), source }),
        Ok(()) => sync_folder(folder),
    }
}

/// Writes a new file that only its owner may read, and brings it to the disk. Whoever dies over that leaves no half of it under this name, at most a
/// draft beside it.
///
/// # Errors
/// [`Error::FileExists`], [`Error::File`].
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), Error> {
    let draft = draft(path, content)?;
    if put(&draft, path)? { Ok(()) } else { Err(Error::FileExists { path: path.display().to_string() }) }
}

/// Writes a file that only its owner may read in place of an older one of the same name, and brings it to the disk. There is the old one or the new one, whole,
/// whenever somebody dies over that.
///
/// # Errors
/// [`Error::File`].
#[cfg(feature = "net")]
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let draft = draft(path, content)?;
    fs::rename(&draft, path).map_err(|source| {
        drop(fs::remove_file(&draft));
        Error::File { action: "write", path: path.display().to_string(), source }
    })?;
    sync_folder(path)
}

/// Writes a new file beside `path`, of the same name and a random ending, that only its owner may read, and brings it to the disk. Where it cannot be written
/// whole, it is removed.
pub(crate) fn draft(path: &Path, content: &[u8]) -> Result<PathBuf, Error> {
    let mut random = [0; 8];
    OsRng.fill_bytes(&mut random);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(random)));
    let path = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source| Error::File { action: "write", path: path.display().to_string(), source };
    let mut file = options.open(&path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| {
        drop(fs::remove_file(&path));
        failed(source)
    })?;
    Ok(path)
}

/// Gives a draft its name, unless there is something of that name: then false. The draft is gone in either case.
fn put(draft: &Path, path: &Path) -> Result<bool, Error> {
    let failed = |source| Error::File { action: "write", path: path.display().to_string(), source };
    let made = match fs::hard_link(draft, path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        // Some systems, phones' among them, know no links. There nothing is in the way of two processes that come at the same instant.
        Err(_) if path.exists() => false,
        Err(_) => {
            fs::rename(draft, path).map_err(failed)?;
            return sync_folder(path).map(|()| true);
        }
    };
    fs::remove_file(draft).map_err(failed)?;
    sync_folder(path).map(|()| made)
}

/// Brings to the disk that there is a file of this name, or none any more: a name is there only when its directory is.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |source| Error::File { action: "write", path: path.display().to_string(), source };
    if cfg!(unix) { File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed) } else { Ok(()) }
}
