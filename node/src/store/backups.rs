//! What the board knows of parties' backups. Their payloads lie beside those of writes.

use crate::{rows, stored::StoreError};
use ledger::StoredBackup;
use sqlx::{Sqlite, SqliteConnection, query_as};

/// All of them.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<StoredBackup>, StoreError> {
    let sql = "SELECT session, party, stored FROM backups ORDER BY session, party";
    let found: Vec<(Vec<u8>, i64, Vec<u8>)> = query_as::<Sqlite, _>(sql).fetch_all(connection).await?;
    found.into_iter().map(rows::backup).collect()
}

pub(super) async fn upsert(connection: &mut SqliteConnection, backup: &StoredBackup) -> Result<(), StoreError> {
    let stored = borsh::to_vec(backup).map_err(|_| StoreError::OutOfRange { what: "backup" })?;
    let sql = "INSERT INTO backups (session, party, stored) VALUES (?, ?, ?)
               ON CONFLICT (session, party) DO UPDATE SET stored = excluded.stored";
    sqlx::query(sql).bind(backup.session.0.as_slice()).bind(backup.party).bind(stored).execute(connection).await?;
    Ok(())
}
