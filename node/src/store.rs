//! The store: what a node serves, in one SQLite file. A decided block is one transaction, so a crash leaves all of a block or nothing.
//! [`PayloadStore`] is the other file, of the payloads that stand in no block. Nothing else knows SQL, apart from `migrations/`.

mod payloads;

pub use crate::stored::{AsOf, Beside, Loaded, MailboxPage, MailboxState, Pending, StoreError};
use crate::{
    feed::DecidedBlock,
    rows::{self, EntryRow, SummaryRow},
};
use ledger::{Event, StoredEntry, StoredSession};
pub use payloads::PayloadStore;
use sqlx::{
    QueryBuilder, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};
use wire::{
    BoardAt, Bytes, Generation, Hash, Link, MailboxHead, MailboxId, OperationId, Phase, Receipt, RoundState, SessionId,
    api::SessionSummary,
};

/// The receipts of refused operations are kept for so many blocks. Of the blocks only the newest has a row.
pub const KEPT_BLOCKS: u64 = 100_000;
/// Connections that read at the same time; further readers wait.
const READERS: u32 = 4;
/// Longest wait for a connection or for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows of one INSERT; a row binds at most 11 values and SQLite takes 32,766.
const INSERT_ROWS: usize = 1000;

/// The store of one node. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held as long as the store is open, so that no second process opens it.
    lock: Arc<File>,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            error => Self::Database { source: error.into() },
        }
    }
}

impl Store {
    /// Opens or makes the database at `path`; beside it lie `path.lock` and SQLite's own files.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = || SqlitePoolOptions::new().acquire_timeout(BUSY_TIMEOUT).idle_timeout(None).max_lifetime(None);
        let writer = pool().max_connections(1).connect_with(options.clone()).await?;
        let migrated = sqlx::migrate!("./migrations").run(&writer).await;
        migrated.map_err(|error| StoreError::Migrate { source: error.into() })?;
        let readers = pool().max_connections(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers, lock: Arc::new(lock) })
    }

    /// Closes the files in order. Reads and writes after it fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        // Clones may live on for a moment, and another process may open the file now. Dropping the lock frees it, too.
        let _ = self.lock.unlock();
    }

    /// Reads everything from which the ledger's state is rebuilt.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Database`].
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        let mut tx = self.readers.begin().await?;
        let mut loaded = Loaded { at: newest(&mut tx).await?, ..Loaded::default() };
        let sql = "SELECT session, stored FROM sessions ORDER BY number";
        for (id, stored) in sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(sql).fetch_all(&mut *tx).await? {
            loaded.sessions.push((rows::session_id(&id)?, rows::stored_session(&stored)?));
        }
        let sql = "SELECT session, round, deadline_ms, closed FROM rounds ORDER BY session, round";
        for (id, round, deadline_ms, closed) in
            sqlx::query_as::<_, (Vec<u8>, i64, Option<i64>, i64)>(sql).fetch_all(&mut *tx).await?
        {
            let round = rows::unsigned(round, "round")?;
            loaded.rounds.push((rows::session_id(&id)?, round, rows::round_state((deadline_ms, closed))?));
        }
        let sql = "SELECT DISTINCT session, kind, round FROM entries ORDER BY session, kind, round";
        for (id, kind, round) in sqlx::query_as::<_, (Vec<u8>, i64, i64)>(sql).fetch_all(&mut *tx).await? {
            let round = rows::unsigned(round, "entry")?;
            let mailbox = MailboxId { session: rows::session_id(&id)?, kind: rows::kind(kind)?, round };
            loaded.entries.extend(entries(&mut tx, &mailbox, 0, u32::MAX).await?);
        }
        let sql = "SELECT epoch, stored FROM generations ORDER BY epoch";
        let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut *tx).await?;
        loaded.generations = found.into_iter().map(rows::generation).collect::<Result<_, _>>()?;
        Ok(loaded)
    }

    /// Writes all that a block has changed, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`] also when the block's height is there already.
    pub async fn commit(&self, block: &DecidedBlock) -> Result<(), StoreError> {
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let height = rows::number(block.at.height, "block")?;
        sqlx::query("INSERT INTO blocks (height, time_ms, root) VALUES (?, ?, ?)")
            .bind(height)
            .bind(rows::number(block.at.time_ms, "block")?)
            .bind(block.at.root.0.as_slice())
            .execute(&mut *tx)
            .await?;
        insert_receipts(&mut tx, &block.receipts).await?;
        insert_events(&mut tx, block).await?;
        sqlx::query("DELETE FROM blocks WHERE height < ?").bind(height).execute(&mut *tx).await?;
        let kept_from = rows::number(block.at.height.saturating_sub(KEPT_BLOCKS), "block")?;
        let sql = "DELETE FROM receipts WHERE code <> 0 AND height <= ?";
        sqlx::query(sql).bind(kept_from).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The newest block; `None` on a new node.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Database`], as for all reads below, which add [`StoreError::NoBlock`].
    pub async fn newest(&self) -> Result<Option<BoardAt>, StoreError> {
        newest(&mut *self.readers.acquire().await?).await
    }

    /// What the board did with an operation: the acceptance if there is one, else the newest refusal.
    pub async fn receipt(&self, operation: &OperationId) -> Result<AsOf<Option<Receipt>>, StoreError> {
        let (mut tx, at) = self.snapshot().await?;
        let sql = "SELECT operation, height, position, code FROM receipts WHERE operation = ?";
        let row = sqlx::query_as(sql).bind(operation.0.as_slice()).fetch_optional(&mut *tx).await?;
        Ok(AsOf { at, value: row.map(rows::receipt).transpose()? })
    }

    /// A session with its list of parties.
    pub async fn session(&self, session: &SessionId) -> Result<AsOf<Option<StoredSession>>, StoreError> {
        let (mut tx, at) = self.snapshot().await?;
        let sql = "SELECT stored FROM sessions WHERE session = ?";
        let stored: Option<Vec<u8>> =
            sqlx::query_scalar(sql).bind(session.0.as_slice()).fetch_optional(&mut *tx).await?;
        Ok(AsOf { at, value: stored.as_deref().map(rows::stored_session).transpose()? })
    }

    /// Sessions in order of creation with their numbers, from the one after number `after`.
    pub async fn sessions(&self, after: u64, limit: u32) -> Result<Vec<(u64, SessionSummary)>, StoreError> {
        let (mut tx, _) = self.snapshot().await?;
        let sql = "SELECT number, session, title, program, phase, parties, created FROM sessions
                   WHERE number > ? ORDER BY number LIMIT ?";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let found: Vec<SummaryRow> = sqlx::query_as(sql).bind(after).bind(limit).fetch_all(&mut *tx).await?;
        found.into_iter().map(rows::summary).collect()
    }

    /// The number of sessions that are not erased.
    pub async fn live_sessions(&self) -> Result<AsOf<u32>, StoreError> {
        let (mut tx, at) = self.snapshot().await?;
        let sql = "SELECT COUNT(*) FROM sessions WHERE phase < ?";
        let count = sqlx::query_scalar(sql).bind(rows::phase_number(Phase::Erased)).fetch_one(&mut *tx).await?;
        Ok(AsOf { at, value: rows::unsigned(count, "session")? })
    }

    /// The mailbox's chain from position `from` to before `until`, as far as it is there.
    pub async fn links(&self, mailbox: &MailboxId, from: u32, until: u32) -> Result<Vec<Link>, StoreError> {
        if from >= until {
            return Ok(Vec::new());
        }
        let sql = "SELECT sender, digest FROM entries
                   WHERE session = ? AND kind = ? AND round = ? AND position >= ? AND position < ? ORDER BY position";
        let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql)
            .bind(mailbox.session.0.as_slice())
            .bind(rows::kind_number(mailbox.kind))
            .bind(mailbox.round)
            .bind(from)
            .bind(until)
            .fetch_all(&mut *self.readers.acquire().await?)
            .await?;
        found.into_iter().map(rows::link).collect()
    }

    /// The mailbox and the position at which an accepted write stands; `None` for other operations, and once erased.
    pub async fn place(&self, operation: &OperationId) -> Result<Option<(MailboxId, u32)>, StoreError> {
        let sql = "SELECT session, kind, round, position FROM entries WHERE operation = ?";
        let found: Option<(Vec<u8>, i64, i64, i64)> = sqlx::query_as(sql)
            .bind(operation.0.as_slice())
            .fetch_optional(&mut *self.readers.acquire().await?)
            .await?;
        found.map(rows::place).transpose()
    }

    /// The newest `limit` mailboxes of a session that somebody has written to, by round.
    pub async fn mailboxes(
        &self,
        session: &SessionId,
        limit: u32,
    ) -> Result<AsOf<Vec<(MailboxId, MailboxHead)>>, StoreError> {
        let (mut tx, at) = self.snapshot().await?;
        // SQLite takes `head` from the row that has the greatest position.
        let sql = "SELECT kind, round, MAX(position), head FROM entries WHERE session = ?
                   GROUP BY kind, round ORDER BY round DESC, kind DESC LIMIT ?";
        let found: Vec<(i64, i64, i64, Vec<u8>)> =
            sqlx::query_as(sql).bind(session.0.as_slice()).bind(limit).fetch_all(&mut *tx).await?;
        let one = |(kind, round, position, head): (i64, i64, i64, Vec<u8>)| {
            let round = rows::unsigned(round, "entry")?;
            let mailbox = MailboxId { session: *session, kind: rows::kind(kind)?, round };
            Ok((mailbox, rows::mailbox_head((position, head))?))
        };
        let value: Result<_, StoreError> = found.into_iter().rev().map(one).collect();
        Ok(AsOf { at, value: value? })
    }

    /// At most `limit` entries of a mailbox from position `from` on; with `payload_bytes`, also their inline payloads, and no
    /// entry after the one that brings all payloads to that size. `None` if there is no such session.
    pub async fn mailbox(
        &self,
        mailbox: &MailboxId,
        from: u32,
        limit: u32,
        payload_bytes: Option<usize>,
    ) -> Result<AsOf<Option<MailboxPage>>, StoreError> {
        let (mut tx, at) = self.snapshot().await?;
        let Some(state) = mailbox_state(&mut tx, mailbox).await? else { return Ok(AsOf { at, value: None }) };
        let from_head = match from.checked_sub(1) {
            Some(before) => entries(&mut tx, mailbox, before, 1).await?.first().map(|entry| entry.head),
            None => None,
        };
        let mut page = MailboxPage {
            state,
            from_head,
            entries: entries(&mut tx, mailbox, from, limit).await?,
            payloads: BTreeMap::new(),
        };
        if let Some(target) = payload_bytes {
            let mut total = 0_usize;
            page.entries.retain(|entry| {
                let fits = total < target;
                total = total.saturating_add(entry.length as usize);
                fits
            });
            for entry in &page.entries {
                let payload = payload(&mut tx, &mailbox.session, &entry.digest).await?;
                page.payloads.extend(payload.map(|payload| (entry.digest, payload)));
            }
        }
        Ok(AsOf { at, value: Some(page) })
    }

    /// Begins a read transaction. All that is read in it is of one block, which is given with it.
    async fn snapshot(&self) -> Result<(Transaction<'static, Sqlite>, BoardAt), StoreError> {
        let mut tx = self.readers.begin().await?;
        let at = newest(&mut tx).await?.ok_or(StoreError::NoBlock)?;
        Ok((tx, at))
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.with_added_extension("lock");
    let open_error = |source| StoreError::Open { path: lock_path.display().to_string(), source };
    let file = File::options().create(true).write(true).truncate(false).open(&lock_path).map_err(open_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(open_error(source)),
    }
}

async fn newest(connection: &mut SqliteConnection) -> Result<Option<BoardAt>, StoreError> {
    let sql = "SELECT height, time_ms, root FROM blocks ORDER BY height DESC LIMIT 1";
    sqlx::query_as(sql).fetch_optional(connection).await?.map(rows::board_at).transpose()
}

async fn mailbox_state(
    connection: &mut SqliteConnection,
    mailbox: &MailboxId,
) -> Result<Option<MailboxState>, StoreError> {
    let session = mailbox.session.0.as_slice();
    let sql = "SELECT phase, parties FROM sessions WHERE session = ?";
    let found: Option<(i64, i64)> = sqlx::query_as(sql).bind(session).fetch_optional(&mut *connection).await?;
    let Some((phase, parties)) = found else { return Ok(None) };
    let sql = "SELECT position, head FROM entries WHERE session = ? AND kind = ? AND round = ?
               ORDER BY position DESC LIMIT 1";
    let kind = rows::kind_number(mailbox.kind);
    let last = sqlx::query_as(sql).bind(session).bind(kind).bind(mailbox.round);
    let head = last.fetch_optional(&mut *connection).await?.map(rows::mailbox_head).transpose()?;
    let sql = "SELECT deadline_ms, closed FROM rounds WHERE session = ? AND round = ?";
    let round = sqlx::query_as(sql).bind(session).bind(mailbox.round).fetch_optional(connection).await?;
    // Only running rounds have clocks; a keying round of the same number is another thing.
    let timed = mailbox.kind != wire::MailboxKind::Keying;
    Ok(Some(MailboxState {
        phase: rows::phase(phase)?,
        parties: rows::unsigned(parties, "session")?,
        head,
        round: round.map(rows::round_state).transpose()?.filter(|_| timed),
    }))
}

async fn entries(
    connection: &mut SqliteConnection,
    mailbox: &MailboxId,
    from: u32,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let sql = "SELECT position, operation, author, sender, digest, length, signature, head FROM entries
               WHERE session = ? AND kind = ? AND round = ? AND position >= ? ORDER BY position LIMIT ?";
    let found: Vec<EntryRow> = sqlx::query_as(sql)
        .bind(mailbox.session.0.as_slice())
        .bind(rows::kind_number(mailbox.kind))
        .bind(mailbox.round)
        .bind(from)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    found.into_iter().map(|row| rows::entry(*mailbox, row)).collect()
}

async fn payload(
    connection: &mut SqliteConnection,
    session: &SessionId,
    digest: &Hash,
) -> Result<Option<Bytes>, StoreError> {
    let sql = "SELECT payload FROM payloads WHERE session = ? AND digest = ?";
    let found: Option<Vec<u8>> =
        sqlx::query_scalar(sql).bind(session.0.as_slice()).bind(digest.0.as_slice()).fetch_optional(connection).await?;
    Ok(found.map(Bytes))
}

/// An acceptance is never replaced: a later copy of the operation is a duplicate, which says less. A refusal is, for the same
/// bytes may be accepted later.
async fn insert_receipts(connection: &mut SqliteConnection, receipts: &[Receipt]) -> Result<(), StoreError> {
    for chunk in receipts.chunks(INSERT_ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO receipts (operation, height, position, code) ");
        let heights: Vec<i64> =
            chunk.iter().map(|receipt| rows::number(receipt.height, "receipt")).collect::<Result<_, _>>()?;
        insert.push_values(chunk.iter().zip(heights), |mut row, (receipt, height)| {
            row.push_bind(receipt.operation.0.as_slice());
            row.push_bind(height).push_bind(receipt.position).push_bind(rows::code_number(receipt.code));
        });
        insert.push(
            " ON CONFLICT (operation) DO UPDATE SET height = excluded.height, position = excluded.position,
              code = excluded.code WHERE receipts.code <> 0",
        );
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_events(connection: &mut SqliteConnection, block: &DecidedBlock) -> Result<(), StoreError> {
    let mut erased = BTreeSet::new();
    let mut added = Vec::new();
    let mut rounds = Vec::new();
    for event in &block.events {
        match event {
            Event::Generation { generation } => upsert_generation(connection, generation).await?,
            Event::Session { session, stored } => upsert_session(connection, session, stored).await?,
            Event::Round { session, round, state } => rounds.push((session, *round, state)),
            Event::Entry(entry) => added.push(entry),
            Event::Listed(_) => {}
            Event::Erased { session } => {
                erased.insert(*session);
            }
        }
    }
    // What the same block adds and erases is never written.
    rounds.retain(|(session, ..)| !erased.contains(session));
    added.retain(|entry| !erased.contains(&entry.mailbox.session));
    for (session, round, state) in rounds {
        upsert_round(connection, session, round, state).await?;
    }
    for chunk in added.chunks(INSERT_ROWS) {
        insert_entries(connection, chunk).await?;
        insert_payloads(connection, chunk, &block.payloads).await?;
    }
    for session in &erased {
        for sql in [
            "DELETE FROM entries WHERE session = ?",
            "DELETE FROM rounds WHERE session = ?",
            "DELETE FROM payloads WHERE session = ?",
        ] {
            sqlx::query(sql).bind(session.0.as_slice()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn upsert_generation(connection: &mut SqliteConnection, generation: &Generation) -> Result<(), StoreError> {
    let stored = borsh::to_vec(generation).map_err(|_| StoreError::OutOfRange { what: "generation" })?;
    let sql = "INSERT INTO generations (epoch, stored) VALUES (?, ?)
               ON CONFLICT (epoch) DO UPDATE SET stored = excluded.stored";
    let epoch = rows::number(generation.epoch, "generation")?;
    sqlx::query(sql).bind(epoch).bind(stored).execute(connection).await?;
    Ok(())
}

async fn upsert_session(
    connection: &mut SqliteConnection,
    session: &SessionId,
    stored: &StoredSession,
) -> Result<(), StoreError> {
    let encoded = borsh::to_vec(stored).map_err(|_| StoreError::OutOfRange { what: "session" })?;
    let record = &stored.record;
    let sql = "INSERT INTO sessions (session, title, program, phase, parties, created, stored)
               VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (session) DO UPDATE SET phase = excluded.phase, stored = excluded.stored";
    sqlx::query(sql)
        .bind(session.0.as_slice())
        .bind(&record.spec.title)
        .bind(&record.spec.program.name)
        .bind(rows::phase_number(record.phase))
        .bind(record.parties)
        .bind(rows::number(record.created, "session")?)
        .bind(encoded)
        .execute(connection)
        .await?;
    Ok(())
}

async fn upsert_round(
    connection: &mut SqliteConnection,
    session: &SessionId,
    round: u32,
    state: &RoundState,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO rounds (session, round, deadline_ms, closed) VALUES (?, ?, ?, ?)
               ON CONFLICT (session, round) DO UPDATE SET deadline_ms = excluded.deadline_ms, closed = excluded.closed";
    sqlx::query(sql)
        .bind(session.0.as_slice())
        .bind(round)
        .bind(state.deadline_ms.map(|ms| rows::number(ms, "round")).transpose()?)
        .bind(state.closed)
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_entries(connection: &mut SqliteConnection, entries: &[&StoredEntry]) -> Result<(), StoreError> {
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO entries (session, kind, round, position, operation, author, sender, digest, length, signature, head) ",
    );
    insert.push_values(entries, |mut row, entry| {
        row.push_bind(entry.mailbox.session.0.as_slice()).push_bind(rows::kind_number(entry.mailbox.kind));
        row.push_bind(entry.mailbox.round).push_bind(entry.position);
        row.push_bind(entry.operation.0.as_slice()).push_bind(entry.author.0.as_slice()).push_bind(entry.sender);
        row.push_bind(entry.digest.0.as_slice()).push_bind(entry.length);
        row.push_bind(entry.signature.0.as_slice()).push_bind(entry.head.0.as_slice());
    });
    insert.build().execute(connection).await?;
    Ok(())
}

/// Two parties may write the same bytes, which are then kept once.
async fn insert_payloads(
    connection: &mut SqliteConnection,
    entries: &[&StoredEntry],
    payloads: &BTreeMap<Hash, Bytes>,
) -> Result<(), StoreError> {
    let inline = entries.iter().filter_map(|entry| Some((*entry, payloads.get(&entry.digest)?)));
    let found: Vec<(&StoredEntry, &Bytes)> = inline.collect();
    if found.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO payloads (session, digest, payload) ");
    insert.push_values(found, |mut row, (entry, payload)| {
        row.push_bind(entry.mailbox.session.0.as_slice()).push_bind(entry.digest.0.as_slice());
        row.push_bind(payload.0.as_slice());
    });
    insert.push(" ON CONFLICT (session, digest) DO NOTHING");
    insert.build().execute(connection).await?;
    Ok(())
}
