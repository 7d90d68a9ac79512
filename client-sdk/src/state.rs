//! What a party must find again after its device was off, in a directory of its choice: for each session the [`crate::journal`], which is only ever added
//! to; and while it solves a proof of work, how far that has come, which is replaced every second and may be lost.
//!
//! The latter is written whole beside its place, brought to the disk and only then put there, so that at any instant there is the old one or the
//! new one. It is for its owner alone (mode 0600), and encrypted and authenticated under the identity's seed together with what it is for: a copy
//! is worth nothing without the identity, and a file of another session or party is not taken for this one.

use crate::{
    Error, Identity,
    file::{self, format_error, make_folder, sync_folder},
    journal::{self, Owner},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand_core::{OsRng, RngCore};
use sha2::Sha256;
use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};
use wire::{ChainId, Hash, PublicKey, SessionId, hash::TaggedHash, limits::MAX_FILE_BYTES};
use zeroize::Zeroizing;

/// How the file is called that says how far the proof of work has come.
const WORK: &str = "work";
const MAGIC: &[u8] = b"white-city-state";
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// Longest file: the checkpoint of the greatest proof of work that there is stays far below.
const MAX_BYTES: u64 = 16 * MAX_FILE_BYTES;

/// One party's files for one session.
#[derive(Clone)]
pub(crate) struct State {
    folder: PathBuf,
    session: SessionId,
    party: PublicKey,
    chain: ChainId,
    key: Zeroizing<[u8; 32]>,
}

impl State {
    /// The files in `folder`, which is made when the first one is written.
    pub(crate) fn new(folder: &Path, chain: &ChainId, session: &SessionId, identity: &Identity) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let kdf = Hkdf::<Sha256>::new(None, identity.seed().as_slice());
        kdf.expand(b"white-city state files", key.as_mut()).expect("HKDF-SHA256 expands to up to 8160 bytes");
        Self { folder: folder.to_owned(), session: *session, party: identity.public(), chain: chain.clone(), key }
    }

    /// What the file holds, if there is one.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::FileFormat`].
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("read", &path, source)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|source| failed("read", &path, source))?;
        self.open(&bytes).map(Some).ok_or_else(|| {
            let reason = "it is damaged, or was written under another identity or for something else; move it away";
            format_error(&path, "a state file of this party and session", reason.to_owned())
        })
    }

    /// Writes a file, in place of the one that may be there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn replace(&self, content: &[u8]) -> Result<(), Error> {
        make_folder(&self.folder)?;
        file::replace(&self.path(), &self.seal(content))
    }

    /// Removes a file, and what who was killed in writing it has left behind. True if there was a whole one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn remove(&self) -> Result<bool, Error> {
        let path = self.path();
        let name = path.file_name().map(|name| format!("{}.", name.to_string_lossy())).unwrap_or_default();
        let files = fs::read_dir(&self.folder).map(|files| files.flatten().collect()).unwrap_or_else(|_| Vec::new());
        let drafts = files.into_iter().filter(|file| file.file_name().to_string_lossy().starts_with(&name));
        for draft in drafts.map(|file| file.path()) {
            fs::remove_file(&draft).map_err(|source| failed("remove", &draft, source))?;
        }
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&path).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed("remove", &path, source)),
        }
    }

    /// Removes all files of this party and session. True if there was one.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::JournalInUse`] if an execution may be running.
    pub(crate) fn forget(&self) -> Result<bool, Error> {
        let (journal, work) = (journal::forget(self)?, self.remove()?);
        Ok(journal || work)
    }

    /// One party has few sessions and one session few parties of one device: 8 bytes of each tell them apart for people, all 32 are
    /// authenticated.
    fn path(&self) -> PathBuf {
        self.named(WORK)
    }

    /// True if there is any file of this party and session.
    pub(crate) fn is_known(&self) -> bool {
        self.journal().exists() || self.path().exists()
    }

    /// Where the journal is.
    pub(crate) fn journal(&self) -> PathBuf {
        self.named("journal")
    }

    /// Whose the journal is.
    pub(crate) fn owner(&self) -> Owner {
        Owner { chain: self.chain.clone(), session: self.session, party: self.party }
    }

    fn named(&self, name: &str) -> PathBuf {
        let short = |bytes: &[u8; 32]| hex::encode(bytes.get(..8).unwrap_or(bytes));
        self.folder.join(format!("{}-{}.{}", short(&self.session.0), short(&self.party.0), name))
    }

    fn context(&self) -> Hash {
        let hash = TaggedHash::new("state-file").value(&self.chain).bytes(self.session.0).bytes(self.party.0);
        hash.bytes(WORK).finish()
    }

    fn seal(&self, content: &[u8]) -> Vec<u8> {
        let mut nonce = XNonce::default();
        OsRng.fill_bytes(&mut nonce);
        let payload = Payload { msg: content, aad: &self.context().0 };
        let cipher = XChaCha20Poly1305::new(self.key.as_slice().into());
        let sealed = cipher.encrypt(&nonce, payload).expect("a file is far shorter than 2^38 bytes");
        [MAGIC, &[VERSION], &nonce, &sealed].concat()
    }

    fn open(&self, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: sealed, aad: &self.context().0 };
        let cipher = XChaCha20Poly1305::new(self.key.as_slice().into());
        cipher.decrypt(XNonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
    }
}

pub(crate) fn failed(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { action, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn state(folder: &Path, seed: u8, session: u8) -> State {
        let identity = Identity::from_seed(Zeroizing::new([seed; 32]));
        State::new(folder, &"here".parse().unwrap(), &SessionId([session; 32]), &identity)
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_file_is_private_and_is_replaced_whole() {
        let folder = TempDir::new().unwrap();
        let inner = folder.path().join("of/me");
        let state = state(&inner, 1, 2);
        assert!(state.read().unwrap().is_none());
        state.replace(b"one secret").unwrap();
        assert_eq!(state.read().unwrap().unwrap().as_slice(), b"one secret");
        state.replace(b"another").unwrap();
        assert_eq!(state.read().unwrap().unwrap().as_slice(), b"another");
        let [path] = files(&inner).try_into().unwrap();
        assert!(!fs::read(&path).unwrap().windows(6).any(|bytes| bytes == b"anothe"), "it is encrypted");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        let draft = file::draft(&state.path(), b"left behind by who was killed").unwrap();
        assert!(draft.exists() && state.is_known() && state.read().unwrap().is_some());
        assert!(state.forget().unwrap() && !state.forget().unwrap());
        assert!(files(&inner).is_empty() && !state.is_known());
    }

    #[test]
    fn a_file_of_something_else_is_not_taken_for_this_one() {
        let folder = TempDir::new().unwrap();
        let mine = state(folder.path(), 1, 2);
        mine.replace(b"secret").unwrap();
        let text = fs::read(mine.path()).unwrap();
        for other in [state(folder.path(), 9, 2), state(folder.path(), 1, 9)] {
            fs::write(other.path(), &text).unwrap();
            let error = other.read().unwrap_err();
            assert!(matches!(error, Error::FileFormat { .. }) && error.to_string().contains("move it away"), "{error}");
        }
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            fs::write(mine.path(), &changed).unwrap();
            assert!(mine.read().is_err(), "byte {at}");
        }
        fs::write(mine.path(), &text[..20]).unwrap();
        assert!(mine.read().is_err());
    }
}
