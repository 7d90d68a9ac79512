//! The journal's file: sealed records, each bound to all before it, on the disk before [`Log::append`] returns.
//!
//! The file begins with its kind, a version and 32 random bytes, its id. A record is its length (4 bytes), a check of that under a secret key (8), a nonce
//! (24) and the ciphertext with its tag. The key is derived from the identity's seed, the id and what the file is for; each record's associated data is a hash
//! over everything before it. So nothing can be cut out, put elsewhere, or taken from another file. The check makes a length that was changed differ from
//! a record that was not written to its end: only the latter is dropped.
//!
//! Nonces are random, 192 bits. A counter would be used twice where a torn record is dropped and another one takes its place, and where an older copy of
//! the file is put back.

use crate::{
    Error, Identity, crash,
    file::{format_error, sync_folder},
    state::failed,
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand_core::{OsRng, RngCore};
use sha2::Sha256;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use wire::{Hash, hash::TaggedHash};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"white-city-journal";
const VERSION: u8 = 1;
const ID_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 1 + ID_BYTES;
const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
/// Longest journal: far above what a session's `max_party_bytes` come to.
const MAX_BYTES: u64 = 1 << 32;

/// A journal's file, which this process alone has open.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    length: u64,
    keys: Keys,
    /// A hash over all that was written.
    head: Hash,
    /// True while the end of the file may be half a record.
    torn: bool,
}

struct Keys {
    cipher: XChaCha20Poly1305,
    check: Zeroizing<[u8; 32]>,
}

impl Keys {
    fn new(identity: &Identity, header: &[u8]) -> Self {
        let kdf = Hkdf::<Sha256>::new(Some(header), identity.seed().as_slice());
        let mut keys = [b"encryption", b"length-key"].map(|info| {
            let mut key = Zeroizing::new([0; 32]);
            kdf.expand(info, key.as_mut()).expect("HKDF-SHA256 expands to up to 8160 bytes");
            key
        });
        let cipher = XChaCha20Poly1305::new(keys[0].as_slice().into());
        Self { cipher, check: std::mem::take(&mut keys[1]) }
    }

    fn check(&self, head: &Hash, length: u32) -> [u8; CHECK_BYTES] {
        let hash = TaggedHash::new("journal-length").bytes(*self.check).bytes(head.0).value(&length).finish();
        *hash.0.first_chunk().expect("a hash is longer than a check")
    }
}

/// What each record says, in order.
pub(super) type Contents = Vec<Zeroizing<Vec<u8>>>;

/// What is read at a place of the file.
enum Found {
    Record {
        content: Zeroizing<Vec<u8>>,
        end: usize,
    },
    /// Nothing, or a record that was not written to its end.
    End,
    Damage,
}

impl Log {
    /// Opens the file, which is made if it is not there, and returns its records. A last one that was not written to its end is dropped.
    ///
    /// # Errors
    /// [`Error::JournalInUse`] if it is open already; [`Error::FileFormat`] if it is damaged or not `context`'s; [`Error::File`].
    pub(crate) fn open(path: &Path, identity: &Identity, context: &Hash) -> Result<(Self, Contents), Error> {
        let mut file = open_alone(path)?;
        let mut bytes = Vec::new();
        let too_long = |_| format_error(path, EXPECTED, format!("it is longer than {MAX_BYTES} bytes"));
        let length = file.metadata().map_err(|source| failed("read", path, source))?.len();
        let limit = if length <= MAX_BYTES { Ok(length) } else { Err(()) }.map_err(too_long)?;
        (&file).take(limit).read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
        if bytes.len() < HEADER_BYTES {
            bytes = begin(&mut file, path)?;
        }
        let damaged = || {
            let reason = "it is damaged, or of another identity or session; put the right one back, or wipe it with forget \
                          and take part in another session";
            format_error(path, EXPECTED, reason.to_owned())
        };
        let (header, _) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        header.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&[VERSION])).ok_or_else(damaged)?;
        let head = TaggedHash::new("journal").bytes(context.0).bytes(header).finish();
        let (keys, length) = (Keys::new(identity, header), u64::try_from(HEADER_BYTES).unwrap_or(0));
        let mut log = Self { file, path: path.to_owned(), length, keys, head, torn: false };
        let (mut records, mut at) = (Vec::new(), HEADER_BYTES);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match log.read(rest) {
                Found::Record { content, end } => {
                    records.push(content);
                    log.advance(rest.get(..end).unwrap_or_default());
                    at += end;
                }
                Found::End => break log.torn = !rest.is_empty(),
                Found::Damage => return Err(damaged()),
            }
        }
        log.mend()?;
        Ok((log, records))
    }

    /// Adds records. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`]; what was to depend on the records must then not happen.
    pub(crate) fn append(&mut self, records: &[Zeroizing<Vec<u8>>]) -> Result<(), Error> {
        self.mend()?;
        let (head, length) = (self.head, self.length);
        let mut bytes = Vec::new();
        for record in records {
            let frame = self.seal(record)?;
            self.advance(&frame);
            bytes.extend(frame);
        }
        (self.torn, self.head, self.length) = (true, head, length);
        crash::point();
        for part in crash::torn(&bytes) {
            self.file.write_all(part).map_err(|source| failed("write", &self.path, source))?;
            crash::point();
        }
        self.file.sync_data().map_err(|source| failed("write", &self.path, source))?;
        crash::point();
        self.torn = false;
        let mut rest = bytes.as_slice();
        while let Some(frame) = self.frame(rest) {
            self.advance(frame);
            rest = rest.get(frame.len()..).unwrap_or_default();
        }
        Ok(())
    }

    /// Overwrites the file and removes it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn wipe(mut self) -> Result<(), Error> {
        overwrite(&mut self.file, &self.path)
    }

    fn seal(&self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let too_long = || failed("write", &self.path, io::Error::other("the journal is full"));
        let mut nonce = XNonce::default();
        OsRng.fill_bytes(&mut nonce);
        let payload = Payload { msg: content, aad: &self.head.0 };
        let sealed = self.keys.cipher.encrypt(&nonce, payload).map_err(|_| too_long())?;
        let body = [nonce.as_slice(), &sealed].concat();
        let length = u32::try_from(body.len()).map_err(|_| too_long())?;
        let frame = [&length.to_le_bytes()[..], &self.keys.check(&self.head, length), &body].concat();
        if self.length.saturating_add(frame.len() as u64) > MAX_BYTES { Err(too_long()) } else { Ok(frame) }
    }

    fn read(&self, rest: &[u8]) -> Found {
        let Some((length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Found::End };
        let Some((check, after)) = after.split_first_chunk::<CHECK_BYTES>() else { return Found::End };
        let length = u32::from_le_bytes(*length);
        if *check != self.keys.check(&self.head, length) {
            // A file system may have made the file longer and then not filled it.
            return if rest.iter().all(|byte| *byte == 0) { Found::End } else { Found::Damage };
        }
        let Some(body) = usize::try_from(length).ok().and_then(|length| after.get(..length)) else { return Found::End };
        let Some((nonce, sealed)) = body.split_at_checked(NONCE_BYTES) else { return Found::Damage };
        let payload = Payload { msg: sealed, aad: &self.head.0 };
        match self.keys.cipher.decrypt(XNonce::from_slice(nonce), payload) {
            Ok(content) => {
                let end = LENGTH_BYTES + CHECK_BYTES + body.len();
                Found::Record { content: Zeroizing::new(content), end }
            }
            Err(_) => Found::Damage,
        }
    }

    /// The first of sound frames.
    fn frame<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
        bytes.get(..LENGTH_BYTES + CHECK_BYTES + length)
    }

    fn advance(&mut self, frame: &[u8]) {
        self.head = TaggedHash::new("journal-record").bytes(self.head.0).bytes(frame).finish();
        self.length = self.length.saturating_add(frame.len() as u64);
    }

    /// Cuts off what was not written to its end.
    fn mend(&mut self) -> Result<(), Error> {
        let write = |source| failed("write", &self.path, source);
        if self.torn {
            self.file.set_len(self.length).and_then(|()| self.file.sync_all()).map_err(write)?;
        }
        self.file.seek(SeekFrom::Start(self.length)).map_err(write)?;
        self.torn = false;
        Ok(())
    }
}

const EXPECTED: &str = "a journal of this party and session";

/// Removes a journal that nobody has open, whatever it holds. True if there was one.
///
/// # Errors
/// [`Error::JournalInUse`], [`Error::File`].
pub(crate) fn remove(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    let mut file = open_alone(path)?;
    overwrite(&mut file, path).map(|()| true)
}

fn open_alone(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| failed("make", folder, source))?;
    }
    let file = options.open(path).map_err(|source| failed("write", path, source))?;
    let in_use = || Error::JournalInUse { path: path.display().to_string() };
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_use(),
        TryLockError::Error(source) => failed("lock", path, source),
    })?;
    // Who had it open before may just have removed it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let here = file.metadata().map_err(|source| failed("read", path, source))?.ino();
        if fs::metadata(path).map_or(true, |there| there.ino() != here) {
            return Err(in_use());
        }
    }
    Ok(file)
}

/// Writes a new file's beginning. Returns it.
fn begin(file: &mut File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut id = [0; ID_BYTES];
    OsRng.fill_bytes(&mut id);
    let header = [MAGIC, &[VERSION], &id].concat();
    crash::point();
    let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(&header));
    let write = |source| failed("write", path, source);
    written.and_then(|()| file.sync_all()).map_err(write)?;
    sync_folder(path)?;
    crash::point();
    Ok(header)
}

fn overwrite(file: &mut File, path: &Path) -> Result<(), Error> {
    let write = |source| failed("write", path, source);
    let length = file.metadata().map_err(write)?.len();
    file.seek(SeekFrom::Start(0)).map_err(write)?;
    io::copy(&mut io::repeat(0).take(length), file).and_then(|_| file.sync_all()).map_err(write)?;
    fs::remove_file(path).map_err(|source| failed("remove", path, source))?;
    sync_folder(path)
}
