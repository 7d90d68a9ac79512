//! A node's home folder: where each file is, and how files are read and written.

use crate::NodeError;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use wire::limits::MAX_FILE_BYTES;
use zeroize::Zeroizing;

/// The home folder of one node.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The folder at `path`, made absolute.
    ///
    /// # Errors
    /// [`NodeError::File`] if the working directory is gone.
    pub fn new(path: &Path) -> Result<Self, NodeError> {
        std::path::absolute(path).map(Self).map_err(|source| file_error("read", path, source))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The node's settings.
    pub fn config(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// The node's sr25519 identity.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.json")
    }

    /// The node's other secrets.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    /// What the node deals with while the threshold key is made.
    pub fn seeds(&self) -> PathBuf {
        self.0.join("seeds")
    }

    /// The network parameters that genesis fixes.
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The store.
    pub fn database(&self) -> PathBuf {
        self.0.join("board.db")
    }

    /// The newest certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("certificate.json")
    }

    /// The payloads that stand in no block.
    pub fn payloads(&self) -> PathBuf {
        self.0.join("payloads.db")
    }

    /// Where CometBFT reaches the node.
    pub fn socket(&self) -> PathBuf {
        self.0.join("abci.sock")
    }

    /// CometBFT's own home folder.
    pub fn comet(&self) -> PathBuf {
        self.0.join("cometbft")
    }

    /// Process id of the CometBFT that was started last.
    pub fn comet_pid(&self) -> PathBuf {
        self.0.join("cometbft.pid")
    }
}

/// Makes a folder, which must not be there, and those above it. Only its owner can look into it.
///
/// # Errors
/// [`NodeError::Exists`] unless it is an empty folder, [`NodeError::File`].
pub fn make_folder(path: &Path) -> Result<(), NodeError> {
    match fs::read_dir(path).map(Iterator::count) {
        Ok(0) => return Ok(()),
        Ok(_) => return Err(NodeError::Exists { path: path.display().to_string() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(file_error("make", path, source)),
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| file_error("make", path, source))
}

/// Writes a new file that everybody may read.
///
/// # Errors
/// [`NodeError::Exists`] or [`NodeError::File`].
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), NodeError> {
    write(OpenOptions::new().create_new(true).mode(0o644), path, content)
}

/// Writes a new file that only its owner may read (mode 0600).
///
/// # Errors
/// [`NodeError::Exists`] or [`NodeError::File`].
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), NodeError> {
    write(OpenOptions::new().create_new(true).mode(0o600), path, content)
}

/// Writes a file, replacing what was there: after a crash it is the old or the new one.
///
/// # Errors
/// [`NodeError::File`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), NodeError> {
    let new = path.with_added_extension("new");
    write(OpenOptions::new().create(true).truncate(true).mode(0o644), &new, content)?;
    fs::rename(&new, path).map_err(|source| file_error("write", path, source))
}

/// `value` as JSON for people.
pub fn to_json<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut json =
        serde_json::to_vec_pretty(value).expect("our file types have string keys only, and memory takes all");
    json.push(b'\n');
    Zeroizing::new(json)
}

/// Reads a JSON file.
///
/// # Errors
/// [`NodeError::File`] or [`NodeError::FileFormat`].
pub fn read_json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, NodeError> {
    serde_json::from_slice(&read(path, expected)?).map_err(|error| format_error(path, expected, error))
}

/// Reads a file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// [`NodeError::File`] or [`NodeError::FileFormat`].
pub fn read(path: &Path, expected: &'static str) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    let failed = |source| file_error("read", path, source);
    let mut content = Zeroizing::new(Vec::new());
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(format_error(path, expected, format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(content)
}

/// A [`NodeError::FileFormat`].
pub fn format_error(path: &Path, expected: &'static str, reason: impl ToString) -> NodeError {
    NodeError::FileFormat { path: path.display().to_string(), expected, reason: reason.to_string() }
}

fn write(options: &mut OpenOptions, path: &Path, content: &[u8]) -> Result<(), NodeError> {
    let mut file = options.write(true).open(path).map_err(|source| file_error("write", path, source))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| file_error("write", path, source))
}

pub(crate) fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> NodeError {
    let path = path.display().to_string();
    if source.kind() == ErrorKind::AlreadyExists {
        NodeError::Exists { path }
    } else {
        NodeError::File { action, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_private_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_secret(&path, b"1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(write_secret(&path, b"2"), Err(NodeError::Exists { .. })));
        assert_eq!(*read(&path, "a secret").unwrap(), b"1");
        assert!(matches!(make_folder(folder.path()), Err(NodeError::Exists { .. })));
        make_folder(&folder.path().join("a/b")).unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
    }
}
