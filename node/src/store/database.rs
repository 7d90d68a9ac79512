//! One SQLite file: how it is opened, locked against other processes, brought up to date and closed.

use crate::stored::StoreError;
use sqlx::{
    AssertSqlSafe, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Connections that read at the same time; further readers wait.
const READERS: u32 = 4;
/// Longest wait for a connection or for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to one SQLite file: one that writes, some that read, and one that reads what other nodes wait for.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// One connection more for reads that must not wait for clients'.
    pub(super) reserved: SqlitePool,
    /// Held as long as the file is open, so that no second process opens it.
    lock: Arc<File>,
}

impl Database {
    /// Opens or makes the file at `path` with `options`, and brings it up to date.
    pub(super) async fn open(
        path: &Path,
        options: SqliteConnectOptions,
        migrations: Migrator,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let options = options
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = || SqlitePoolOptions::new().acquire_timeout(BUSY_TIMEOUT).idle_timeout(None).max_lifetime(None);
        let writer = pool().max_connections(1).connect_with(options.clone()).await?;
        migrations.run(&writer).await.map_err(|error| StoreError::Migrate { source: error.into() })?;
        let options = options.read_only(true);
        let readers = pool().max_connections(READERS).connect_with(options.clone()).await?;
        let reserved = pool().max_connections(1).connect_lazy_with(options);
        Ok(Self { writer, readers, reserved, lock: Arc::new(lock) })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.reserved.close().await;
        self.writer.close().await;
        // Clones may live on for a moment, and another process may open the file now. Dropping the lock frees it, too.
        let _ = self.lock.unlock();
    }
}

/// Whether statements on a connection wait for locks.
pub(super) async fn set_patience(connection: &mut SqliteConnection, patient: bool) -> Result<(), StoreError> {
    let timeout_ms = if patient { BUSY_TIMEOUT.as_millis() } else { 0 };
    let sql = AssertSqlSafe(format!("PRAGMA busy_timeout = {timeout_ms}"));
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            error => Self::Database { source: error.into() },
        }
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
