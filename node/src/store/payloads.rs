//! The payloads' database: what parties write beside consensus, in an SQLite file of its own. A commit is on the disk when it returns,
//! and what is deleted is overwritten.

use super::{
    INSERT_ROWS, Store, backups,
    database::{Database, set_patience},
    entries, newest, payload,
};
use crate::{
    rows::{self, PayloadRow},
    stored::{Beside, Pending, StoreError},
};
use sqlx::{
    QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use std::path::Path;
use wire::{Bytes, Hash, ListKind, MailboxId, OperationId, Phase, SessionId};

/// Rows of one INSERT; a row binds 9 values and SQLite takes 32,766.
const PAYLOAD_ROWS: usize = 64;

/// The payloads of one node. Clones share it.
#[derive(Clone)]
pub struct PayloadStore(Database);

impl PayloadStore {
    /// Opens or makes the database at `path`; beside it lie `path.lock` and SQLite's own files.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().synchronous(SqliteSynchronous::Full).pragma("secure_delete", "ON");
        Database::open(path, options, sqlx::migrate!("./migrations/payloads")).await.map(Self)
    }

    /// Closes the files in order. Reads and writes after it fail.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Everything but the payloads themselves.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Database`], as for all below.
    pub async fn load(&self) -> Result<Vec<Pending>, StoreError> {
        let sql = "SELECT operation, session, kind, round, author, gateway, expiry_ms, length FROM payloads";
        let found: Vec<PayloadRow> = sqlx::query_as(sql).fetch_all(&self.0.readers).await?;
        found.into_iter().map(rows::pending).collect()
    }

    /// One payload; `None` if it is not here.
    pub async fn payload(&self, operation: &OperationId) -> Result<Option<Bytes>, StoreError> {
        let sql = "SELECT payload FROM payloads WHERE operation = ?";
        let found: Option<Vec<u8>> =
            sqlx::query_scalar(sql).bind(operation.0.as_slice()).fetch_optional(&self.0.readers).await?;
        Ok(found.map(Bytes))
    }

    /// Keeps new payloads, and keeps old ones for longer: all or nothing, and on the disk once this returns.
    pub async fn keep(&self, new: &[(Pending, Bytes)], longer: &[Pending]) -> Result<(), StoreError> {
        if new.is_empty() && longer.is_empty() {
            return Ok(());
        }
        let mut tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        for chunk in new.chunks(PAYLOAD_ROWS) {
            insert(&mut tx, chunk).await?;
        }
        for row in longer {
            sqlx::query("UPDATE payloads SET gateway = ?, expiry_ms = ? WHERE operation = ?")
                .bind(row.gateway.0.as_slice())
                .bind(rows::number(row.expiry_ms, "payload")?)
                .bind(row.operation.0.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Drops single payloads, and all of some sessions but backups.
    pub async fn erase(&self, operations: &[OperationId], sessions: &[SessionId]) -> Result<(), StoreError> {
        let mut tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        for chunk in operations.chunks(INSERT_ROWS) {
            let mut delete = QueryBuilder::<Sqlite>::new("DELETE FROM payloads WHERE operation IN (");
            let mut list = delete.separated(", ");
            chunk.iter().for_each(|operation| {
                list.push_bind(operation.0.as_slice());
            });
            delete.push(")");
            delete.build().execute(&mut *tx).await?;
        }
        for session in sessions {
            let sql = "DELETE FROM payloads WHERE session = ? AND kind <> ?";
            sqlx::query(sql).bind(session.0.as_slice()).bind(rows::BACKUP).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Empties the write-ahead log, in which deleted payloads may still stand. False if a reader is in the way: try again later. Writers
    /// wait meanwhile, so it does not wait for readers itself.
    pub async fn purge(&self) -> Result<bool, StoreError> {
        let mut writer = self.0.writer.acquire().await?;
        set_patience(&mut writer, false).await?;
        let emptied = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
        set_patience(&mut writer, true).await?;
        let (busy, _, _): (i64, i64, i64) = emptied?;
        Ok(busy == 0)
    }
}

impl Store {
    /// One inline payload; `None` if there is none, or no longer.
    pub async fn payload(&self, session: &SessionId, digest: &Hash) -> Result<Option<Bytes>, StoreError> {
        payload(&mut *self.0.readers.acquire().await?, session, digest).await
    }

    /// What the board knows of payloads that travel beside consensus, of one moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Database`].
    pub async fn beside(&self) -> Result<Beside, StoreError> {
        let mut tx = self.0.readers.begin().await?;
        let mut beside = Beside { at: newest(&mut tx).await?, ..Beside::default() };
        let sql = "SELECT session FROM sessions WHERE phase < ?";
        let live: Vec<Vec<u8>> =
            sqlx::query_scalar(sql).bind(rows::phase_number(Phase::Erased)).fetch_all(&mut *tx).await?;
        beside.live = live.iter().map(|id| rows::session_id(id)).collect::<Result<_, _>>()?;
        let sql = "SELECT DISTINCT session, kind, round FROM entries AS e WHERE NOT EXISTS
                   (SELECT 1 FROM payloads AS p WHERE p.session = e.session AND p.digest = e.digest)";
        for (id, kind, round) in sqlx::query_as::<_, (Vec<u8>, i64, i64)>(sql).fetch_all(&mut *tx).await? {
            let round = rows::unsigned(round, "entry")?;
            let mailbox = MailboxId { session: rows::session_id(&id)?, kind: rows::kind(kind)?, round };
            for entry in entries(&mut tx, &mailbox, 0, u32::MAX).await? {
                let inline = "SELECT 1 FROM payloads WHERE session = ? AND digest = ?";
                let inline = sqlx::query(inline).bind(id.as_slice()).bind(entry.digest.0.as_slice());
                if inline.fetch_optional(&mut *tx).await?.is_none() {
                    beside.entries.push(entry);
                }
            }
        }
        beside.backups = backups::load(&mut tx).await?;
        let sql = "SELECT session FROM sessions WHERE phase = ?";
        let solving: Vec<Vec<u8>> =
            sqlx::query_scalar(sql).bind(rows::phase_number(Phase::Solving)).fetch_all(&mut *tx).await?;
        for id in &solving {
            beside.solving.insert(rows::session_id(id)?);
            let sql = "SELECT operation FROM listings WHERE session = ? AND list = ?";
            let solvers = sqlx::query_scalar(sql).bind(id.as_slice()).bind(rows::list_number(ListKind::Solvers));
            let solved: Vec<Vec<u8>> = solvers.fetch_all(&mut *tx).await?;
            for operation in solved {
                beside.solved.insert(OperationId(rows::fixed(&operation, "listing")?));
            }
        }
        Ok(beside)
    }
}

async fn insert(connection: &mut SqliteConnection, new: &[(Pending, Bytes)]) -> Result<(), StoreError> {
    let expiries: Vec<i64> =
        new.iter().map(|(row, _)| rows::number(row.expiry_ms, "payload")).collect::<Result<_, _>>()?;
    let mut insert = QueryBuilder::<Sqlite>::new(
        "INSERT INTO payloads (operation, session, kind, round, author, gateway, expiry_ms, length, payload) ",
    );
    insert.push_values(new.iter().zip(expiries), |mut values, ((row, payload), expiry_ms)| {
        let (kind, round) = rows::slot_numbers(&row.slot);
        values.push_bind(row.operation.0.as_slice()).push_bind(row.slot.session().0.to_vec());
        values.push_bind(kind).push_bind(round);
        values.push_bind(row.author.0.as_slice()).push_bind(row.gateway.0.as_slice());
        values.push_bind(expiry_ms).push_bind(row.length).push_bind(payload.0.as_slice());
    });
    insert.push(" ON CONFLICT (operation) DO NOTHING");
    insert.build().execute(connection).await?;
    Ok(())
}
