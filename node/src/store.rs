//! The store: what a node serves, in one SQLite file. A decided block is one transaction, so a crash leaves all of a block or nothing.
//! [`PayloadStore`] is the other file, of the payloads that stand in no block. Nothing else knows SQL, apart from `migrations/`.

mod backups;
mod changes;
mod database;
mod lists;
mod payloads;

pub use crate::stored::{AsOf, Beside, Loaded, MailboxPage, MailboxState, Pending, Slot, StoreError, Wanted};
use crate::{
    feed::DecidedBlock,
    rows::{self, EntryRow, SummaryRow},
};
use database::Database;
use ledger::{StoredEntry, StoredSession};
pub use payloads::PayloadStore;
use sqlx::{
    Sqlite, SqliteConnection, Transaction,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use std::{collections::BTreeMap, path::Path};
use wire::{
    BoardAt, Bytes, Hash, Link, MailboxHead, MailboxId, OperationId, Phase, Receipt, SessionId, api::SessionSummary,
};

/// The receipts of refused operations are kept for so many blocks. Of the blocks only the newest has a row.
pub const KEPT_BLOCKS: u64 = 100_000;
/// Rows of one INSERT; a row binds at most 11 values and SQLite takes 32,766.
const INSERT_ROWS: usize = 1000;

/// The store of one node. Clones share it.
#[derive(Clone)]
pub struct Store(Database);

impl Store {
    /// Opens or makes the database at `path`; beside it lie `path.lock` and SQLite's own files.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().synchronous(SqliteSynchronous::Normal).foreign_keys(true);
        Database::open(path, options, sqlx::migrate!("./migrations")).await.map(Self)
    }

    /// Closes the files in order. Reads and writes after it fail.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Reads everything from which the ledger's state is rebuilt.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Database`].
    pub async fn load(&self) -> Result<Loaded, StoreError> {
        let mut tx = self.0.readers.begin().await?;
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
        loaded.listings = lists::load(&mut tx).await?;
        loaded.backups = backups::load(&mut tx).await?;
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
        let mut tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        let height = rows::number(block.at.height, "block")?;
        sqlx::query("INSERT INTO blocks (height, time_ms, root) VALUES (?, ?, ?)")
            .bind(height)
            .bind(rows::number(block.at.time_ms, "block")?)
            .bind(block.at.root.0.as_slice())
            .execute(&mut *tx)
            .await?;
        changes::insert_receipts(&mut tx, &block.receipts).await?;
        changes::insert_events(&mut tx, block).await?;
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
        newest(&mut *self.0.readers.acquire().await?).await
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
        Ok(AsOf { at, value: stored_session(&mut tx, session).await? })
    }

    /// As [`Store::session`], for what other nodes wait for: it waits for no client's read.
    pub async fn session_for_nodes(&self, session: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        stored_session(&mut *self.0.reserved.acquire().await?, session).await
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

    /// The sessions in a phase, in order of creation.
    pub async fn in_phase(&self, phase: Phase) -> Result<Vec<(SessionId, StoredSession)>, StoreError> {
        let sql = "SELECT session, stored FROM sessions WHERE phase = ? ORDER BY number";
        let found: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(sql)
            .bind(rows::phase_number(phase))
            .fetch_all(&mut *self.0.reserved.acquire().await?)
            .await?;
        found.iter().map(|(id, stored)| Ok((rows::session_id(id)?, rows::stored_session(stored)?))).collect()
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
            .fetch_all(&mut *self.0.readers.acquire().await?)
            .await?;
        found.into_iter().map(rows::link).collect()
    }

    /// The mailbox and the position at which an accepted write stands; `None` for other operations, and once erased.
    pub async fn place(&self, operation: &OperationId) -> Result<Option<(MailboxId, u32)>, StoreError> {
        let sql = "SELECT session, kind, round, position FROM entries WHERE operation = ?";
        let found: Option<(Vec<u8>, i64, i64, i64)> = sqlx::query_as(sql)
            .bind(operation.0.as_slice())
            .fetch_optional(&mut *self.0.readers.acquire().await?)
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
        let mut tx = self.0.readers.begin().await?;
        let at = newest(&mut tx).await?.ok_or(StoreError::NoBlock)?;
        Ok((tx, at))
    }
}

async fn newest(connection: &mut SqliteConnection) -> Result<Option<BoardAt>, StoreError> {
    let sql = "SELECT height, time_ms, root FROM blocks ORDER BY height DESC LIMIT 1";
    sqlx::query_as(sql).fetch_optional(connection).await?.map(rows::board_at).transpose()
}

async fn stored_session(
    connection: &mut SqliteConnection,
    session: &SessionId,
) -> Result<Option<StoredSession>, StoreError> {
    let sql = "SELECT stored FROM sessions WHERE session = ?";
    let stored: Option<Vec<u8>> = sqlx::query_scalar(sql).bind(session.0.as_slice()).fetch_optional(connection).await?;
    stored.as_deref().map(rows::stored_session).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn what_nodes_wait_for_is_read_while_clients_hold_all_readers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("board.db")).await.unwrap();
        let mut held = Vec::new();
        while let Ok(reader) = timeout(Duration::from_millis(200), store.0.readers.acquire()).await {
            held.push(reader.unwrap());
        }
        assert!(!held.is_empty());
        let read = async {
            let session = store.session_for_nodes(&SessionId([1; 32])).await.unwrap();
            (session, store.in_phase(Phase::Solving).await.unwrap())
        };
        let read = timeout(Duration::from_secs(3), read).await.expect("they wait for nobody");
        assert_eq!(read, (None, vec![]));
    }
}
