//! The journal's file: sealed records, each bound to all before it, on the disk before [`Log::append`] returns.
//!
//! The file begins with its kind, a version, 32 random bytes (its id), and whose it is: chain, session and party, all of which are public. A record is its
//! length (4 bytes), a check of that under a secret key (8), a nonce (24) and the ciphertext with its tag. The keys are derived from the identity's seed and
//! this header; each record's associated data is a hash over everything before it. So nothing can be cut out, put elsewhere, or taken from another file. The
//! check makes a length that was changed differ from a record that was not written to its end: only the latter is dropped.
//!
//! Nonces are random, 192 bits. A counter would be used twice where a torn record is dropped and another one takes its place, and where an older copy of
//! the file is put back.

use crate::{
    Error, Identity, crash,
    file::{format_error, make_folder, sync_folder},
    state::failed,
};
use borsh::{BorshDeserialize, BorshSerialize};
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
use wire::{ChainId, Hash, PublicKey, SessionId, hash::TaggedHash};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"white-city-journal";
const VERSION: u8 = 2;
const ID_BYTES: usize = 32;
/// No header is shorter.
const SHORTEST: usize = MAGIC.len() + 1 + ID_BYTES;
const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
/// Longest journal: far above what a session's `max_party_bytes` come to.
const MAX_BYTES: u64 = 1 << 32;

/// Whose a journal is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Owner {
    pub(crate) chain: ChainId,
    pub(crate) session: SessionId,
    pub(crate) party: PublicKey,
}

impl Owner {
    fn header(&self, id: &[u8; ID_BYTES]) -> Vec<u8> {
        let owner = borsh::to_vec(self).expect("borsh to a vector fails only beyond u32 lengths");
        [MAGIC, &[VERSION], id, &owner].concat()
    }

    /// Whose a file is, and how long its header.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let mut owner = rest.get(ID_BYTES..)?;
        let read = Self::deserialize(&mut owner).ok()?;
        Some((read, bytes.len() - owner.len()))
    }
}

/// A journal's file, which this process alone has open.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    frames: Frames,
    /// True while the end of the file may be half a record.
    torn: bool,
}

/// The records of a file, as far as they go.
struct Frames {
    keys: Keys,
    length: u64,
    /// A hash over all that was written.
    head: Hash,
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

impl Frames {
    /// Those of a file, and whether half a record follows them. None if the file is damaged, or another identity's.
    fn scan(identity: &Identity, bytes: &[u8], header_bytes: usize) -> Option<(Self, Contents, bool)> {
        let (header, mut rest) = bytes.split_at_checked(header_bytes)?;
        let (head, length) = (TaggedHash::new("journal").bytes(header).finish(), u64::try_from(header_bytes).ok()?);
        let mut frames = Self { keys: Keys::new(identity, header), length, head };
        let mut records = Vec::new();
        loop {
            match frames.read(rest) {
                Found::Record { content, end } => {
                    let (frame, after) = rest.split_at_checked(end)?;
                    records.push(content);
                    frames.advance(frame);
                    rest = after;
                }
                Found::End => return Some((frames, records, !rest.is_empty())),
                Found::Damage => return None,
            }
        }
    }

    fn seal(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = XNonce::default();
        OsRng.fill_bytes(&mut nonce);
        let payload = Payload { msg: content, aad: &self.head.0 };
        let sealed = self.keys.cipher.encrypt(&nonce, payload).ok()?;
        let body = [nonce.as_slice(), &sealed].concat();
        let length = u32::try_from(body.len()).ok()?;
        let frame = [&length.to_le_bytes()[..], &self.keys.check(&self.head, length), &body].concat();
        (self.length.saturating_add(frame.len() as u64) <= MAX_BYTES).then_some(frame)
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

    fn advance(&mut self, frame: &[u8]) {
        self.head = TaggedHash::new("journal-record").bytes(self.head.0).bytes(frame).finish();
        self.length = self.length.saturating_add(frame.len() as u64);
    }
}

impl Log {
    /// Opens the file, which is made if it is not there, and returns its records. A last one that was not written to its end is dropped. All that is
    /// returned is on the disk: who wrote it may have been killed before that was so, and what was in the system's memory would be
    /// sent from here, and then lost with the power.
    ///
    /// # Errors
    /// [`Error::JournalInUse`] if it is open already; [`Error::FileFormat`] if it is damaged or another one's; [`Error::File`].
    pub(crate) fn open(path: &Path, identity: &Identity, owner: &Owner) -> Result<(Self, Contents), Error> {
        let mut file = open_alone(path)?;
        let mut bytes = read_whole(&file, path)?;
        if is_unbegun(&bytes, owner) {
            bytes = begin(&mut file, path, owner)?;
        }
        let (_, header_bytes) = Owner::read(&bytes).filter(|(other, _)| other == owner).ok_or_else(|| damaged(path))?;
        let (frames, records, torn) = Frames::scan(identity, &bytes, header_bytes).ok_or_else(|| damaged(path))?;
        let mut log = Self { file, path: path.to_owned(), frames, torn };
        log.mend()?;
        log.file.sync_all().map_err(|source| failed("write", path, source))?;
        sync_folder(path)?;
        Ok((log, records))
    }

    /// Adds records. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`]; what was to depend on the records must then not happen.
    pub(crate) fn append(&mut self, records: &[Zeroizing<Vec<u8>>]) -> Result<(), Error> {
        self.mend()?;
        let (head, length) = (self.frames.head, self.frames.length);
        let mut bytes = Vec::new();
        for record in records {
            let Some(frame) = self.frames.seal(record) else {
                (self.frames.head, self.frames.length) = (head, length);
                return Err(failed("write", &self.path, io::Error::other("the journal is full")));
            };
            self.frames.advance(&frame);
            bytes.extend(frame);
        }
        let after = (self.frames.head, self.frames.length);
        (self.torn, self.frames.head, self.frames.length) = (true, head, length);
        crash::point();
        for part in crash::torn(&bytes) {
            self.file.write_all(part).map_err(|source| failed("write", &self.path, source))?;
            crash::point();
        }
        self.file.sync_data().map_err(|source| failed("write", &self.path, source))?;
        crash::point();
        (self.torn, self.frames.head, self.frames.length) = (false, after.0, after.1);
        Ok(())
    }

    /// Puts a new file that has only these records in this one's place, and overwrites this one. At any instant there is one of them, whole.
    ///
    /// # Errors
    /// [`Error::File`]; then the old one is still there, or the new one is.
    pub(crate) fn begin_anew(
        &mut self,
        identity: &Identity,
        owner: &Owner,
        records: &[Zeroizing<Vec<u8>>],
    ) -> Result<(), Error> {
        let path = draft_of(&self.path);
        let mut file = open_alone(&path)?;
        let header = begin(&mut file, &path, owner)?;
        let (frames, ..) = Frames::scan(identity, &header, header.len()).ok_or_else(|| damaged(&path))?;
        let mut anew = Self { file, path, frames, torn: false };
        anew.append(records)?;
        fs::rename(&anew.path, &self.path).map_err(|source| failed("write", &self.path, source))?;
        sync_folder(&self.path)?;
        crash::point();
        anew.path.clone_from(&self.path);
        let mut old = std::mem::replace(self, anew);
        zero(&mut old.file, &old.path)
    }

    /// Overwrites the file and removes it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn wipe(&mut self) -> Result<(), Error> {
        overwrite(&mut self.file, &self.path)
    }

    /// Cuts off what was not written to its end.
    fn mend(&mut self) -> Result<(), Error> {
        let write = |source| failed("write", &self.path, source);
        if self.torn {
            self.file.set_len(self.frames.length).and_then(|()| self.file.sync_all()).map_err(write)?;
        }
        self.file.seek(SeekFrom::Start(self.frames.length)).map_err(write)?;
        self.torn = false;
        Ok(())
    }
}

/// What a file holds, which another process may have open, and whose it is; a record that is being written is not seen. None if there is none, or
/// only its beginning.
///
/// # Errors
/// [`Error::FileFormat`] if it is damaged; [`Error::File`].
pub(crate) fn peek(path: &Path, identity: &Identity) -> Result<Option<(Owner, Contents)>, Error> {
    let bytes = match File::open(path) {
        Ok(file) => read_whole(&file, path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    let Some((owner, header_bytes)) = Owner::read(&bytes) else {
        let unbegun = bytes.len() < SHORTEST || is_wiped(&bytes) || bytes.starts_with(&[MAGIC, &[VERSION]].concat());
        return if unbegun { Ok(None) } else { Err(damaged(path)) };
    };
    if owner.party != identity.public() {
        return Ok(None);
    }
    let (_, records, _) = Frames::scan(identity, &bytes, header_bytes).ok_or_else(|| damaged(path))?;
    Ok(Some((owner, records)))
}

const EXPECTED: &str = "a journal of this party and session";

fn damaged(path: &Path) -> Error {
    let reason = "it is damaged, or of another identity or session; put the right one back, or wipe it with forget and take part in \
                  another session";
    format_error(path, EXPECTED, reason.to_owned())
}

fn read_whole(file: &File, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| failed("read", path, source);
    if file.metadata().map_err(failed)?.len() > MAX_BYTES {
        return Err(format_error(path, EXPECTED, format!("it is longer than {MAX_BYTES} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// True if who made the file, or wiped it, died over that.
fn is_unbegun(bytes: &[u8], owner: &Owner) -> bool {
    bytes.len() < owner.header(&[0; ID_BYTES]).len() || is_wiped(bytes)
}

/// Wiping begins at the beginning.
fn is_wiped(bytes: &[u8]) -> bool {
    bytes.iter().take(SHORTEST).all(|byte| *byte == 0)
}

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
        make_folder(folder)?;
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
fn begin(file: &mut File, path: &Path, owner: &Owner) -> Result<Vec<u8>, Error> {
    let mut id = [0; ID_BYTES];
    OsRng.fill_bytes(&mut id);
    let header = owner.header(&id);
    crash::point();
    let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(&header));
    let write = |source| failed("write", path, source);
    written.and_then(|()| file.sync_all()).map_err(write)?;
    sync_folder(path)?;
    crash::point();
    Ok(header)
}

/// Where a journal is written that is to take another one's place.
fn draft_of(path: &Path) -> PathBuf {
    path.with_extension("journal.new")
}

fn overwrite(file: &mut File, path: &Path) -> Result<(), Error> {
    zero(file, path)?;
    for path in [draft_of(path).as_path(), path] {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed("remove", path, source)),
            _ => sync_folder(path)?,
        }
    }
    crash::point();
    Ok(())
}

fn zero(file: &mut File, path: &Path) -> Result<(), Error> {
    let write = |source| failed("write", path, source);
    let length = file.metadata().map_err(write)?.len();
    // First the beginning: from then on there is no journal, however far the rest comes.
    for length in [length.min(SHORTEST as u64), length] {
        file.seek(SeekFrom::Start(0)).map_err(write)?;
        io::copy(&mut io::repeat(0).take(length), file).and_then(|_| file.sync_all()).map_err(write)?;
        crash::point();
    }
    Ok(())
}
