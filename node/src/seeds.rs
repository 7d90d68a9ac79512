//! The journal of what this node deals with: one secret seed for each run, on disk before anything that is made of it leaves the node.

use crate::{NodeError, home};
use bls::Seed;
use rand_core::{OsRng, RngCore};
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const EXPECTED: &str = "a seed of 32 bytes";
const SUFFIX: &str = "seed";
/// What is being written has another name, so that a seed is there whole or not at all.
const UNFINISHED: &str = "unfinished";

/// The folder of the seeds.
#[derive(Clone, Debug)]
pub struct Seeds(PathBuf);

impl Seeds {
    /// Those in `folder`, which is made with the first.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The seed of a run; none if none was made, or it was removed.
    ///
    /// # Errors
    /// [`NodeError::File`] or [`NodeError::FileFormat`].
    pub fn load(&self, epoch: u64, attempt: u32) -> Result<Option<Seed>, NodeError> {
        let path = self.path(epoch, attempt);
        if !path.try_exists().map_err(|source| home::file_error("read", &path, source))? {
            return Ok(None);
        }
        let content = home::read(&path, EXPECTED)?;
        let bytes: Result<[u8; 32], _> = content.as_slice().try_into();
        let bytes = bytes.map(Zeroizing::new);
        let bytes = bytes.map_err(|_| home::format_error(&path, EXPECTED, "it is not 32 bytes long"))?;
        Ok(Some(Seed::new(*bytes)))
    }

    /// The seed of a run, made now if there is none. When this returns, file and folder are on disk.
    ///
    /// # Errors
    /// [`NodeError::File`] or [`NodeError::FileFormat`].
    pub fn load_or_make(&self, epoch: u64, attempt: u32) -> Result<Seed, NodeError> {
        if let Some(seed) = self.load(epoch, attempt)? {
            return Ok(seed);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(bytes.as_mut());
        let path = self.path(epoch, attempt);
        self.write(&path, bytes.as_slice()).map_err(|source| home::file_error("write", &path, source))?;
        Ok(Seed::new(*bytes))
    }

    /// Removes the seeds of all runs but `kept`: what they made is in use or void, and they are as secret as the shares.
    ///
    /// # Errors
    /// [`NodeError::File`].
    pub fn keep_only(&self, kept: Option<(u64, u32)>) -> Result<(), NodeError> {
        let kept = kept.map(|(epoch, attempt)| self.path(epoch, attempt));
        let failed = |source| home::file_error("write", &self.0, source);
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let ours = path.extension().is_some_and(|suffix| suffix == SUFFIX || suffix == UNFINISHED);
            if ours && Some(&path) != kept.as_ref() {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        if !self.0.try_exists()? {
            fs::DirBuilder::new().mode(0o700).create(&self.0)?;
            self.0.parent().map_or(Ok(()), |home| File::open(home)?.sync_all())?;
        }
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(&self.0)?.sync_all()
    }

    fn path(&self, epoch: u64, attempt: u32) -> PathBuf {
        self.0.join(format!("{epoch}-{attempt}.{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_seed_is_kept_until_its_run_is_over_and_no_two_runs_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seeds");
        let seeds = Seeds::new(path.clone());
        assert!(seeds.load(1, 0).unwrap().is_none());
        seeds.keep_only(None).unwrap();
        let first = *seeds.load_or_make(1, 0).unwrap().as_bytes();
        assert_eq!(*seeds.load_or_make(1, 0).unwrap().as_bytes(), first);
        let second = *seeds.load_or_make(1, 1).unwrap().as_bytes();
        assert_ne!(first, second);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("1-1.seed")).unwrap().permissions().mode() & 0o777, 0o600);

        seeds.keep_only(Some((1, 1))).unwrap();
        assert!(seeds.load(1, 0).unwrap().is_none());
        assert_eq!(*seeds.load(1, 1).unwrap().unwrap().as_bytes(), second);
        seeds.keep_only(None).unwrap();
        assert!(seeds.load(1, 1).unwrap().is_none());
    }

    /// A node that is killed while it writes leaves a part, from which it has dealt nothing yet.
    #[test]
    fn half_a_seed_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let seeds = Seeds::new(folder.path().to_owned());
        fs::write(folder.path().join("1-0.unfinished"), [1; 7]).unwrap();
        assert!(seeds.load(1, 0).unwrap().is_none());
        let made = *seeds.load_or_make(1, 0).unwrap().as_bytes();
        assert_eq!(*seeds.load(1, 0).unwrap().unwrap().as_bytes(), made);
        fs::write(folder.path().join("2-0.seed"), [1; 7]).unwrap();
        assert!(matches!(seeds.load(2, 0), Err(NodeError::FileFormat { .. })));
    }
}
