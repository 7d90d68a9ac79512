//! Files within their bounds. Secrets, network files and invitations are read and written by the SDK.

use crate::error::Error;
use rand_core::{OsRng, RngCore};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// The bytes of a file of at most `limit` bytes; `-` is the standard input.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit { Err(Error::TooLarge { path: path.to_owned(), limit }) } else { Ok(bytes) }
}

/// Writes a file, in place of an older one of the same name. It is whole and on the disk when this returns: a journal may be wiped then that could make it
/// again.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    let older = fs::symlink_metadata(path).ok();
    match older {
        // Links, devices and pipes stay what they are.
        Some(older) if !older.is_file() => fs::write(path, bytes).map_err(failed),
        older => replace(path, bytes, older.map(|older| older.permissions())).map_err(failed),
    }
}

/// Writes a JSON file, in place of an older one of the same name.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Error::Encoding { reason: error.to_string() })?;
    text.push('\n');
    write(path, text.as_bytes())
}

fn replace(path: &Path, bytes: &[u8], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut random = [0; 8];
    OsRng.fill_bytes(&mut random);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(random)));
    let draft = PathBuf::from(name);
    let fill = |mut file: File| {
        file.write_all(bytes)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.sync_all()
    };
    let placed = File::create_new(&draft).and_then(fill).and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        drop(fs::remove_file(&draft));
    }
    placed?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder).and_then(|folder| folder.sync_all()) } else { Ok(()) }
}

/// Finds out before a long computation that its result could not be kept.
pub(crate) fn check_free(path: &Path) -> Result<(), Error> {
    if path.exists() { Err(Error::InTheWay { path: path.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_file_is_replaced_whole_and_what_is_no_file_stays_what_it_is() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("signature");
        for text in ["a long one", "short"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        }
        assert!(matches!(write(&folder.path().join("none/here"), b"x"), Err(Error::File { action: "write", .. })));
        let mut files = 1;
        #[cfg(unix)]
        {
            use std::os::unix::fs::{PermissionsExt, symlink};
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            write(&path, b"again").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            let link = folder.path().join("link");
            symlink(&path, &link).unwrap();
            write(&link, b"through it").unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&path).unwrap(), b"through it");
            files += 1;
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files, "no draft is left");
    }
}
