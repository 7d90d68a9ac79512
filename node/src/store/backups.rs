//! What the board knows of parties' backups. Their payloads lie beside those of writes.

use crate::{rows, stored::StoreError};
use ledger::StoredBackup;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_as};

/// All of them.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<StoredBackup>, StoreError> {
    let sql = "SELECT session, party, stored FROM backups ORDER BY session, party";
    let found: Vec<(Vec<u8>, i64, Vec<u8>)> = query_as::<Sqlite, _>(sql).fetch_all(connection).await?;
    found.into_iter().map(rows::backup).collect()
}

/// Puts these in place of those before. No party may stand there twice.
pub(super) async fn upsert(connection: &mut SqliteConnection, backups: &[&StoredBackup]) -> Result<(), StoreError> {
    let stored =
        backups.iter().map(|backup| borsh::to_vec(backup).map_err(|_| StoreError::OutOfRange { what: "backup" }));
    let stored: Vec<Vec<u8>> = stored.collect::<Result<_, _>>()?;
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO backups (session, party, stored) ");
    insert.push_values(backups.iter().zip(stored), |mut row, (backup, stored)| {
        row.push_bind(backup.session.0.as_slice()).push_bind(backup.party).push_bind(stored);
    });
    insert.push(" ON CONFLICT (session, party) DO UPDATE SET stored = excluded.stored");
    insert.build().execute(connection).await?;
    Ok(())
}
