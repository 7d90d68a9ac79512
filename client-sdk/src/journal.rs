//! The journal: what a party must find again so that it may die at any instruction and never contradict itself (§V, P5.2).
//!
//! One file for each chain, party and session, in [`crate::Options::state`]. It holds the secret of the party's message in the handshake, and that
//! message as it was signed; the keys of its channels; what it writes without a program, and what it says to end the session. Of each
//! [`crate::Execution`] of a program it holds, in order: its name, its input and its seed; what each read has consumed (mailbox, count and head), before
//! anything is computed with it; each write as it was signed, before it is sent; which of those are proved to be on the board; that it came to its output; and
//! the greatest height that was found certified. Each is on the disk before the first byte that depends on it leaves. It is sealed under a key that follows
//! from the identity; one process has it open at a time.
//!
//! A program is a function of its messages, input and seed. So going on is running it again ([`crate::Execution::run`]): reads return what they returned then,
//! writes must be what they were, and what is sent again is sent from here, never computed from what the board shows now.
//!
//! Who starts again finds out by [`Session::unfinished`](crate::Session::unfinished) what there is to go on with, and goes on by
//! [`Session::resume`](crate::Session::resume). For that an application can also keep a note of its own of what it was about to do
//! ([`Session::begin_task`](crate::Session::begin_task)), before it has even registered.

mod executions;
mod log;
mod record;
mod replay;
mod unfinished;

pub(crate) use log::Owner;
pub(crate) use record::Record;
pub(crate) use replay::Step;
pub use unfinished::{Begun, Unfinished};

use crate::{Error, Identity, secrets::Secrets, state::State};
use borsh::BorshDeserialize;
use executions::Known;
use log::Log;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};
use wire::{Envelope, MailboxKind, Operation};
use zeroize::Zeroizing;

/// What errors call all that is written without a program.
pub(crate) const PLAIN: &str = "without a program";

/// A party's journal of one session.
pub(crate) struct Journal {
    /// None for who has no state directory: then it lasts as long as the process.
    log: Option<Log>,
    secrets: Option<Secrets>,
    executions: Vec<Known>,
    plain: Vec<Step>,
    votes: Vec<Envelope>,
    leaves: bool,
    tasks: BTreeMap<String, Zeroizing<Vec<u8>>>,
    running: BTreeSet<usize>,
    height: u64,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("executions", &self.executions.len()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the party's journal, or makes one.
    ///
    /// # Errors
    /// [`Error::JournalInUse`], [`Error::FileFormat`], [`Error::File`].
    pub(crate) fn open(state: &State, identity: &Identity) -> Result<Self, Error> {
        let path = state.journal();
        let (log, records) = Log::open(&path, identity, &state.owner())?;
        Ok(Self { log: Some(log), ..Self::of(records, &path)? })
    }

    /// What the journal of a file holds, which another process may have open, and whose it is. None if there is none of this identity.
    ///
    /// # Errors
    /// [`Error::FileFormat`], [`Error::File`].
    pub(crate) fn peek(path: &Path, identity: &Identity) -> Result<Option<(Owner, Self)>, Error> {
        let Some((owner, records)) = log::peek(path, identity)? else { return Ok(None) };
        Ok(Some((owner, Self::of(records, path)?)))
    }

    /// What this party's own journal of a session holds, as [`Journal::peek`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn peek_of(state: &State, identity: &Identity) -> Result<Option<Self>, Error> {
        let known = Self::peek(&state.journal(), identity)?;
        Ok(known.filter(|(owner, _)| *owner == state.owner()).map(|(_, journal)| journal))
    }

    fn of(records: log::Contents, path: &Path) -> Result<Self, Error> {
        let mut journal = Self::in_memory();
        for record in records {
            let decoded = Record::try_from_slice(&record).ok().and_then(|record| journal.take(record));
            decoded.ok_or_else(|| damaged(path))?;
        }
        Ok(journal)
    }

    /// One that is gone with the process.
    pub(crate) fn in_memory() -> Self {
        Self {
            log: None,
            secrets: None,
            executions: Vec::new(),
            plain: Vec::new(),
            votes: Vec::new(),
            leaves: false,
            tasks: BTreeMap::new(),
            running: BTreeSet::new(),
            height: 0,
        }
    }

    /// The greatest height that was found certified before.
    pub(crate) fn height(&self) -> u64 {
        self.height
    }

    /// The secrets of the private channels, as far as they have come.
    pub(crate) fn secrets(&self) -> Option<&Secrets> {
        self.secrets.as_ref()
    }

    /// Keeps the secrets of the private channels: they are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`]; then this party's message of the handshake must not leave.
    pub(crate) fn put_secrets(&mut self, secrets: &Secrets) -> Result<(), Error> {
        self.append(vec![secrets.record()])
    }

    /// What this party has written to a slot without a program, or was about to.
    pub(crate) fn plain(&self, kind: MailboxKind, round: u32) -> Option<&Step> {
        self.plain.iter().find(|step| step.is_write(kind, round))
    }

    /// What this party has said, or was about to say, to end the session: the first of this kind, as it was signed.
    pub(crate) fn vote(&self, operation: &Operation) -> Option<&Envelope> {
        let kind = std::mem::discriminant(operation);
        self.votes.iter().find(|vote| std::mem::discriminant(&vote.signed.body) == kind)
    }

    /// True if this party has acknowledged the session's end, or was about to, and keeps nothing after that.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves
    }

    /// Says that a task is to be done, in place of one of the same name, or that it is done.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn put_task(&mut self, name: &str, task: Option<&[u8]>) -> Result<(), Error> {
        if self.tasks.get(name).map(|kept| kept.as_slice()) == task {
            return Ok(());
        }
        self.append(vec![Record::Task { name: name.to_owned(), task: task.map(<[u8]>::to_vec) }])
    }

    /// The tasks that are not done, by name.
    pub(crate) fn tasks(&self) -> BTreeMap<String, Vec<u8>> {
        self.tasks.iter().map(|(name, task)| (name.clone(), task.to_vec())).collect()
    }

    /// Adds records, which are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::SlotJournalled`] for a write to a slot for which the journal has one; [`Error::File`]. What was to depend on the records must then not
    /// happen.
    pub(crate) fn append(&mut self, records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        records.iter().try_for_each(|record| self.check_slot(record))?;
        if let Some(log) = &mut self.log {
            log.append(&encode(&records))?;
        }
        for record in records {
            self.take(record).expect("records are made for executions and steps that there are");
        }
        Ok(())
    }

    /// Drops all but the secrets of the channels, which a group's sessions need, and what this party has said to end the session. Nothing if an execution
    /// is running.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn keep_channels(&mut self, state: &State, identity: &Identity) -> Result<(), Error> {
        if !self.running.is_empty() {
            return Ok(());
        }
        let vote = |envelope: &Envelope| Record::Vote { envelope: envelope.clone(), leaves: false };
        let records = self.secrets.iter().map(Secrets::record).chain(self.votes.iter().map(vote));
        let records = encode(&records.collect::<Vec<_>>());
        if let Some(log) = &mut self.log {
            log.begin_anew(identity, &state.owner(), &records)?;
        }
        self.executions.clear();
        self.plain.clear();
        self.tasks.clear();
        Ok(())
    }

    /// Wipes the file, and the secrets of the channels in memory.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn wipe(&mut self) -> Result<bool, Error> {
        self.secrets = None;
        let Some(log) = &mut self.log else { return Ok(false) };
        log.wipe()?;
        self.log = None;
        Ok(true)
    }
}

/// Wipes a journal that nobody has open. True if there was one.
///
/// # Errors
/// [`Error::JournalInUse`], [`Error::File`].
pub(crate) fn forget(state: &State) -> Result<bool, Error> {
    log::remove(&state.journal())
}

fn encode(records: &[Record]) -> log::Contents {
    let one = |record| borsh::to_vec(record).expect("borsh to a vector fails only beyond u32 lengths");
    records.iter().map(one).map(Zeroizing::new).collect()
}

fn damaged(path: &Path) -> Error {
    let reason = "it holds records that this program does not know".to_owned();
    crate::file::format_error(path, "a journal", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Difference;
    use proptest::prelude::*;
    use rand_core::OsRng;
    use std::fs;
    use tempfile::TempDir;
    use wire::{Bytes, Hash, MailboxHead, MailboxId, SessionId, message_digest};

    fn identity(seed: u8) -> Identity {
        Identity::from_seed(Zeroizing::new([seed; 32]))
    }

    fn state(folder: &Path, seed: u8, session: u8) -> State {
        State::new(folder, &"here".parse().unwrap(), &SessionId([session; 32]), &identity(seed))
    }

    fn open(folder: &Path) -> Result<Journal, Error> {
        Journal::open(&state(folder, 1, 2), &identity(1))
    }

    fn write(round: u32) -> Record {
        let mailbox = MailboxId { session: SessionId([2; 32]), kind: MailboxKind::Broadcast, round };
        let payload = Bytes(vec![7; 40]);
        let digest = message_digest(&payload.0);
        let operation = Operation::Write { mailbox, digest, length: payload.length(), recipients: 0 };
        let envelope = identity(1).envelope(&"here".parse().unwrap(), operation, payload, OsRng);
        Record::Write { execution: 0, envelope }
    }

    fn read(round: u32) -> Record {
        let head = MailboxHead { count: 2, head: Hash([9; 32]) };
        Record::Read { execution: 0, kind: MailboxKind::Broadcast, round, head, height: 70 + u64::from(round) }
    }

    /// A journal of one execution and four steps, record by record: the file's length after each.
    fn filled(folder: &Path) -> Vec<usize> {
        let mut journal = open(folder).unwrap();
        let path = state(folder, 1, 2).journal();
        let length = || fs::read(&path).unwrap().len();
        let mut ends = vec![length()];
        journal.begin("sign", b"input").unwrap();
        ends.push(length());
        for record in [write(0), read(0), Record::Certified { execution: 0, step: 0, height: 80 }, write(1), read(1)] {
            journal.append(vec![record]).unwrap();
            ends.push(length());
        }
        ends
    }

    fn bytes(folder: &Path) -> Vec<u8> {
        fs::read(state(folder, 1, 2).journal()).unwrap()
    }

    fn put(folder: &Path, bytes: &[u8]) {
        fs::write(state(folder, 1, 2).journal(), bytes).unwrap();
    }

    fn is_damaged(result: Result<Journal, Error>) -> bool {
        matches!(result, Err(Error::FileFormat { .. }))
    }

    #[test]
    fn a_journal_comes_back_as_it_was_and_is_the_owners_alone() {
        let folder = TempDir::new().unwrap();
        filled(folder.path());
        let mut journal = open(folder.path()).unwrap();
        assert_eq!((journal.steps(0), journal.height()), (4, 80));
        assert!(matches!(journal.step(0, 0), Some(Step::Write { certified: true, round: 0, .. })));
        assert!(matches!(journal.step(0, 2), Some(Step::Write { certified: false, round: 1, .. })));
        assert!(matches!(journal.step(0, 3), Some(Step::Read { round: 1, head, .. }) if head.count == 2));
        let (_, seed) = journal.begin("sign", b"input").unwrap();
        let (other, another) = journal.begin("another", b"input").unwrap();
        assert!(other == 1 && *seed != *another && *seed != [0; 32]);
        drop(journal);
        assert_eq!(*open(folder.path()).unwrap().begin("another", b"input").unwrap().1, *another);
        let text = bytes(folder.path());
        assert!(!text.windows(4).any(|window| window == b"sign") && !text.windows(8).any(|window| window == [7; 8]));
        #[cfg(unix)]
        {
            let path = state(folder.path(), 1, 2).journal();
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_record_that_was_not_written_to_its_end_is_dropped_and_replaced() {
        let folder = TempDir::new().unwrap();
        let ends = filled(folder.path());
        let whole = bytes(folder.path());
        for length in 0..whole.len() {
            put(folder.path(), &whole[..length]);
            let journal = open(folder.path()).unwrap();
            let records = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
            // The first is that the execution began, the fourth a mark: neither is a step.
            assert_eq!(journal.steps(0), [0, 0, 1, 2, 2, 3][records], "{length} bytes");
        }
        // A file that was made longer and not filled, and then another record in the place of the lost one.
        put(folder.path(), &[&whole[..ends[5]], &[0; 500][..]].concat());
        let mut journal = open(folder.path()).unwrap();
        assert_eq!(bytes(folder.path()).len(), ends[5]);
        journal.append(vec![read(8)]).unwrap();
        drop(journal);
        assert!(matches!(open(folder.path()).unwrap().step(0, 3), Some(Step::Read { round: 8, .. })));
        let nonce = |file: &[u8]| file[ends[5] + 12..ends[5] + 36].to_vec();
        assert_ne!(nonce(&bytes(folder.path())), nonce(&whole), "no nonce serves two records of one place");
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let folder = TempDir::new().unwrap();
        filled(folder.path());
        let whole = bytes(folder.path());
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            put(folder.path(), &changed);
            assert!(is_damaged(open(folder.path())), "byte {at}");
        }
    }

    #[test]
    fn records_keep_their_places_and_files_their_owners() {
        let folder = TempDir::new().unwrap();
        let ends = filled(folder.path());
        let whole = bytes(folder.path());
        let record = |at: usize| &whole[ends[at]..ends[at + 1]];
        let header = &whole[..ends[0]];
        for order in [&[0, 2, 1, 3, 4, 5][..], &[0, 2, 3, 4, 5], &[1, 2, 3], &[0, 1, 1, 2], &[0, 1, 2, 3, 4, 5, 5]] {
            let records = order.iter().map(|at| record(*at));
            let moved: Vec<u8> = [header].into_iter().chain(records).collect::<Vec<_>>().concat();
            put(folder.path(), &moved);
            assert!(is_damaged(open(folder.path())), "{order:?}");
        }
        let elsewhere = TempDir::new().unwrap();
        filled(elsewhere.path());
        let theirs = bytes(elsewhere.path());
        put(folder.path(), &[&whole[..ends[1]], &theirs[ends[1]..]].concat());
        assert!(is_damaged(open(folder.path())), "records of another journal of the same party and session");
        for (seed, session) in [(1, 3), (4, 2)] {
            fs::write(state(folder.path(), seed, session).journal(), &whole).unwrap();
            assert!(is_damaged(Journal::open(&state(folder.path(), seed, session), &identity(seed))));
        }
        put(folder.path(), &whole);
        assert!(is_damaged(Journal::open(&state(folder.path(), 1, 2), &identity(4))), "another identity");
    }

    #[test]
    fn a_slot_has_one_message_whoever_writes_it() {
        let folder = TempDir::new().unwrap();
        filled(folder.path());
        let mut journal = open(folder.path()).unwrap();
        journal.begin("another", b"").unwrap();
        let Record::Write { envelope, .. } = write(1) else { panic!() };
        for record in [Record::Write { execution: 1, envelope: envelope.clone() }, Record::Plain { envelope }] {
            let error = journal.append(vec![record]).unwrap_err();
            let named = matches!(&error, Error::SlotJournalled { round: 1, execution, .. } if execution == "sign");
            assert!(named, "{error}");
        }
        let Record::Write { envelope, .. } = write(2) else { panic!() };
        journal.append(vec![Record::Plain { envelope: envelope.clone() }]).unwrap();
        let error = journal.append(vec![Record::Write { execution: 1, envelope }]).unwrap_err();
        assert!(error.to_string().contains("without a program"), "{error}");
    }

    #[test]
    fn a_journal_is_open_once_and_forgetting_leaves_nothing() {
        let folder = TempDir::new().unwrap();
        filled(folder.path());
        let mut journal = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(Error::JournalInUse { .. })));
        let mine = state(folder.path(), 1, 2);
        assert!(matches!(forget(&mine), Err(Error::JournalInUse { .. })));
        assert!(journal.wipe().unwrap());
        assert!(!mine.journal().exists() && !forget(&mine).unwrap());
        filled(folder.path());
        put(folder.path(), b"damaged");
        assert!(forget(&mine).unwrap() && !mine.journal().exists());
    }

    #[test]
    fn of_a_groups_parent_only_the_channels_stay() {
        let folder = TempDir::new().unwrap();
        filled(folder.path());
        let (mine, mut journal) = (state(folder.path(), 1, 2), open(folder.path()).unwrap());
        let own = crate::handshake::Ephemeral::generate(&mut OsRng);
        let Record::Write { envelope, .. } = write(9) else { panic!() };
        journal.put_secrets(&Secrets::Offered(own.clone(), Box::new(envelope))).unwrap();
        journal.put_task("sign", Some(b"all of it")).unwrap();
        let (number, _) = journal.begin("sign", b"input").unwrap();
        journal.keep_channels(&mine, &identity(1)).unwrap();
        assert_eq!(journal.steps(number), 4, "not while it runs");
        journal.release(number);
        // Somebody has died over that before.
        fs::write(folder.path().join(mine.journal().with_extension("journal.new")), [9; 300]).unwrap();
        journal.keep_channels(&mine, &identity(1)).unwrap();
        assert!(matches!(open(folder.path()), Err(Error::JournalInUse { .. })), "it is still this one's alone");
        drop(journal);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut journal = open(folder.path()).unwrap();
        assert!(journal.begun().is_empty() && journal.tasks().is_empty());
        let Some(Secrets::Offered(kept, _)) = journal.secrets() else { panic!() };
        assert_eq!(kept.message(), own.message());
        journal.begin("another", b"").unwrap();
        drop(journal);
        assert_eq!(open(folder.path()).unwrap().begun().len(), 1, "it is a journal as any other");
    }

    #[test]
    fn what_is_done_again_must_be_the_same() {
        let Record::Write { envelope, .. } = write(3) else { panic!() };
        let mut written = Step::write(envelope.clone()).unwrap();
        let broadcast = MailboxKind::Broadcast;
        assert_eq!(written.as_write(broadcast, 3, &[7; 40]).unwrap(), (envelope.clone(), false));
        written.certify().unwrap();
        assert_eq!(
            written.as_write(broadcast, 3, &[7; 40]).unwrap(),
            (envelope, true),
            "byte for byte, signature and all"
        );
        let difference = written.as_write(broadcast, 3, &[8; 40]).unwrap_err();
        assert!(matches!(difference, Difference::Message { round: 3, .. }), "{difference}");
        for other in [
            written.as_write(broadcast, 4, &[7; 40]).unwrap_err(),
            written.as_write(MailboxKind::Private, 3, &[7; 40]).unwrap_err(),
            written.as_read(broadcast, 3, 2).unwrap_err(),
            written.as_end(),
        ] {
            assert!(matches!(&other, Difference::Step { .. }) && other.to_string().contains("wrote broadcast round 3"));
        }
        let head = MailboxHead { count: 2, head: Hash([9; 32]) };
        let mut seen = Step::Read { kind: broadcast, round: 3, head };
        assert_eq!(seen.as_read(broadcast, 3, 2), Ok(head));
        assert!(seen.as_read(broadcast, 3, 3).is_err() && seen.as_read(broadcast, 2, 2).is_err());
        assert!(seen.as_write(broadcast, 3, &[7; 40]).is_err() && seen.certify().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_is_put_in_place_of_a_journal_is_an_error_or_a_beginning_of_it(
            cut in any::<prop::sample::Index>(), tail in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let folder = TempDir::new().unwrap();
            let ends = filled(folder.path());
            let whole = bytes(folder.path());
            let cut = ends[0] + cut.index(whole.len() - ends[0]);
            put(folder.path(), &[&whole[..cut], &tail].concat());
            if let Ok(journal) = open(folder.path()) {
                let now = bytes(folder.path());
                prop_assert!(whole.starts_with(&now) && journal.steps(0) <= 4);
            }
        }
    }
}
