//! How far the chain is known to have come, kept over restarts: a client that starts again believes no board that is older (§V-E b).
//!
//! It is one small file for each network in a directory of a party's, whatever sessions that has: kind, version, digest of the network file, height. Nothing in it is secret.
//! One directory's is brought to the disk about once a second while there is something new, and all when the client is dropped: who is killed has lost as many
//! seconds of it as the client has directories. Several
//! clients, also in several processes, may have the same directory: a height is never replaced by a lower one, but for those that two of them write at the same instant.

use crate::{Error, file, state::failed};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;
use wire::{Hash, hash::TaggedHash};

/// Between two times that something is brought to the disk.
const PAUSE: Duration = Duration::from_secs(1);
/// A file that could not be written is not tried again sooner, so that it keeps nothing from the others.
const RETRY: Duration = Duration::from_secs(60);
const KIND: &str = "white-city-height";
const VERSION: u32 = 1;
const EXPECTED: &str = "the height that the chain of this network has reached";
/// So many bytes of the network's digest tell networks apart for people; all 32 are compared.
const NAME_BYTES: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    version: u32,
    network: Hash,
    height: u64,
    /// A hash of the rest, so that a damaged file is told from a sound one.
    check: Hash,
}

/// The files in which one client keeps its network's height, and what stands in each.
#[derive(Debug)]
pub(crate) struct Reached {
    network: Hash,
    files: BTreeMap<PathBuf, u64>,
    written: Option<Instant>,
    /// When a file could not be written, the last time.
    failed: BTreeMap<PathBuf, Instant>,
}

impl Reached {
    pub(crate) fn new(network: Hash) -> Self {
        Self { network, files: BTreeMap::new(), written: None, failed: BTreeMap::new() }
    }

    /// Keeps the height in `folder`, too, from now on. Returns what is kept there; 0 if nothing is.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::FileFormat`].
    pub(crate) fn open(&mut self, folder: &Path) -> Result<u64, Error> {
        let name: &[u8] = self.network.0.get(..NAME_BYTES).unwrap_or(&self.network.0);
        let path = folder.join(format!("network-{}.height", hex::encode(name)));
        if let Some(known) = self.files.get(&path) {
            return Ok(*known);
        }
        let height = self.read(&path)?;
        self.files.insert(path, height);
        Ok(height)
    }

    /// Takes in that the chain has reached `height`. At most one file is written in a while, the one that is furthest behind. That it cannot be is no reason not to
    /// go on: it is tried again later, after the others.
    pub(crate) fn note(&mut self, height: u64) {
        if self.written.is_some_and(|written| written.elapsed() < PAUSE) {
            return;
        }
        let rests = |path: &PathBuf| self.failed.get(path).is_some_and(|failed| failed.elapsed() < RETRY);
        let behind = self.files.iter().filter(|(path, known)| **known < height && !rests(path));
        let Some(path) = behind.min_by_key(|(_, known)| **known).map(|(path, _)| path.clone()) else { return };
        let now = Instant::now();
        self.written = Some(now);
        if self.write(&path, height).is_ok() {
            self.failed.remove(&path);
            self.files.insert(path, height);
        } else {
            self.failed.insert(path, now);
        }
    }

    /// The same for all files at once.
    pub(crate) fn settle(&mut self, height: u64) {
        for (path, known) in &self.files {
            if *known < height {
                // Nobody is left to hear of it.
                let _ = self.write(path, height);
            }
        }
    }

    fn check(&self, height: u64) -> Hash {
        TaggedHash::new("height-file").bytes(self.network.0).value(&height).finish()
    }

    fn read(&self, path: &Path) -> Result<u64, Error> {
        if !path.try_exists().map_err(|source| failed("read", path, source))? {
            return Ok(0);
        }
        let stored: Stored = file::read_json(path, EXPECTED)?;
        let Stored { kind, version, network, height, check } = stored;
        let is_sound = kind == KIND && version == VERSION && network == self.network && check == self.check(height);
        let reason =
            || "it is damaged, or of another network; move it away, and an old board may be believed".to_owned();
        if is_sound { Ok(height) } else { Err(file::format_error(path, EXPECTED, reason())) }
    }

    fn write(&self, path: &Path, height: u64) -> Result<(), Error> {
        // Another client may be further.
        if self.read(path)? >= height {
            return Ok(());
        }
        let (network, check) = (self.network, self.check(height));
        let stored = Stored { kind: KIND.to_owned(), version: VERSION, network, height, check };
        let content = serde_json::to_vec_pretty(&stored).expect("it has no keys but strings");
        if let Some(folder) = path.parent() {
            file::make_folder(folder)?;
        }
        file::replace(path, &content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const NETWORK: Hash = Hash([5; 32]);

    fn kept(folder: &Path) -> Result<u64, Error> {
        Reached::new(NETWORK).open(folder)
    }

    #[test]
    fn the_greatest_height_outlives_the_client() {
        let folder = TempDir::new().unwrap();
        let inner = folder.path().join("of/me");
        let mut first = Reached::new(NETWORK);
        assert_eq!(first.open(&inner).unwrap(), 0);
        first.note(7);
        assert_eq!(kept(&inner).unwrap(), 7, "the first one is written at once");
        first.note(9);
        assert_eq!(kept(&inner).unwrap(), 7, "those that follow soon are written together");
        let mut second = Reached::new(NETWORK);
        assert_eq!(second.open(&inner).unwrap(), 7);
        second.settle(12);
        first.settle(9);
        assert_eq!(kept(&inner).unwrap(), 12, "who is behind does not put it back");
        assert_eq!(Reached::new(Hash([6; 32])).open(&inner).unwrap(), 0, "another network has a file of its own");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_damaged_or_of_another_network_is_told() {
        let folder = TempDir::new().unwrap();
        let mut reached = Reached::new(NETWORK);
        reached.open(folder.path()).unwrap();
        reached.note(70);
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let other = NETWORK.to_string().replacen("05", "06", 1);
        for changed in [text.replace("70", "71"), text.replace(&NETWORK.to_string(), &other), text[..20].to_owned()] {
            fs::write(&path, &changed).unwrap();
            let error = kept(folder.path()).unwrap_err();
            assert!(matches!(error, Error::FileFormat { .. }), "{error}");
        }
    }

    /// Many parties of one process share a client, and each has a directory.
    #[test]
    fn of_many_directories_the_one_that_is_furthest_behind_is_next() {
        let folder = TempDir::new().unwrap();
        let folders: Vec<PathBuf> = (0..3).map(|i| folder.path().join(i.to_string())).collect();
        let mut reached = Reached::new(NETWORK);
        for folder in &folders {
            reached.open(folder).unwrap();
        }
        for height in 1..=3 {
            reached.written = None;
            reached.note(height);
        }
        let mut heights: Vec<u64> = folders.iter().map(|folder| kept(folder).unwrap()).collect();
        heights.sort_unstable();
        assert_eq!(heights, [1, 2, 3]);
        // One that cannot be written any more, and is the furthest behind, keeps nothing from the others.
        let lost = folders.iter().find(|folder| kept(folder).unwrap() == 1).unwrap();
        let height = fs::read_dir(lost).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(&height).unwrap();
        fs::create_dir(&height).unwrap();
        for height in 4..=6 {
            reached.written = None;
            reached.note(height);
        }
        let others = folders.iter().filter(|folder| *folder != lost);
        assert!(others.clone().all(|folder| kept(folder).unwrap() >= 4));
        fs::remove_dir(&height).unwrap();
        reached.settle(7);
        assert!(folders.iter().all(|folder| kept(folder).unwrap() == 7));
    }
}
