//! The lists of open sessions: who has asked to take part, and who has solved.

use super::Store;
use crate::{
    rows::{self, ListingRow},
    stored::StoreError,
};
use ledger::StoredListing;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use wire::{Hash, ListKind, PublicKey, SessionId};

impl Store {
    /// The first `count` keys of a list, as far as they are there, each with the head after it.
    pub async fn list(
        &self,
        session: &SessionId,
        list: ListKind,
        count: u32,
    ) -> Result<Vec<(PublicKey, Hash)>, StoreError> {
        let sql = "SELECT position, key, head FROM listings
                   WHERE session = ? AND list = ? AND position < ? ORDER BY position";
        let found: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(sql)
            .bind(session.0.as_slice())
            .bind(rows::list_number(list))
            .bind(count)
            .fetch_all(&mut *self.0.readers.acquire().await?)
            .await?;
        found.into_iter().map(|row| rows::listed(row).map(|(_, key, head)| (key, head))).collect()
    }
}

/// All lists, each in order.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<StoredListing>, StoreError> {
    let sql = "SELECT session, list, position, key, operation, head FROM listings ORDER BY session, list, position";
    let found: Vec<ListingRow> = sqlx::query_as(sql).fetch_all(connection).await?;
    found.into_iter().map(rows::listing).collect()
}

pub(super) async fn insert(connection: &mut SqliteConnection, listings: &[&StoredListing]) -> Result<(), StoreError> {
    let mut insert =
        QueryBuilder::<Sqlite>::new("INSERT INTO listings (session, list, position, key, operation, head) ");
    insert.push_values(listings, |mut row, listing| {
        row.push_bind(listing.session.0.as_slice()).push_bind(rows::list_number(listing.list));
        row.push_bind(listing.position).push_bind(listing.key.0.as_slice());
        row.push_bind(listing.operation.0.as_slice()).push_bind(listing.head.0.as_slice());
    });
    insert.build().execute(connection).await?;
    Ok(())
}
