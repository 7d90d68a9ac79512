//! What a decided block changes in the store.

use super::{INSERT_ROWS, backups, lists};
use crate::{feed::DecidedBlock, rows, stored::StoreError};
use ledger::{Event, StoredEntry, StoredSession};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use wire::{Bytes, Generation, Hash, Receipt, RoundState, SessionId};

/// An acceptance is never replaced: a later copy of the operation is a duplicate, which says less. A refusal is, for the same
/// bytes may be accepted later.
pub(super) async fn insert_receipts(connection: &mut SqliteConnection, receipts: &[Receipt]) -> Result<(), StoreError> {
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

pub(super) async fn insert_events(connection: &mut SqliteConnection, block: &DecidedBlock) -> Result<(), StoreError> {
    let mut erased = BTreeSet::new();
    let mut added = Vec::new();
    let mut listed = Vec::new();
    let mut rounds = Vec::new();
    let mut kept = Vec::new();
    for event in &block.events {
        match event {
            Event::Generation { generation } => upsert_generation(connection, generation).await?,
            Event::Session { session, stored } => upsert_session(connection, session, stored).await?,
            Event::Round { session, round, state } => rounds.push((session, *round, state)),
            Event::Entry(entry) => added.push(entry),
            Event::Listed(listing) => listed.push(listing),
            Event::Backup(backup) => kept.push(backup),
            Event::Erased { session } => {
                erased.insert(*session);
            }
        }
    }
    // What the same block adds and erases is never written.
    rounds.retain(|(session, ..)| !erased.contains(session));
    added.retain(|entry| !erased.contains(&entry.mailbox.session));
    listed.retain(|listing| !erased.contains(&listing.session));
    for (session, round, state) in rounds {
        upsert_round(connection, session, round, state).await?;
    }
    for chunk in added.chunks(INSERT_ROWS) {
        insert_entries(connection, chunk).await?;
        insert_payloads(connection, chunk, &block.payloads).await?;
    }
    for chunk in listed.chunks(INSERT_ROWS) {
        lists::insert(connection, chunk).await?;
    }
    for chunk in kept.chunks(INSERT_ROWS) {
        backups::upsert(connection, chunk).await?;
    }
    for session in &erased {
        for sql in [
            "DELETE FROM entries WHERE session = ?",
            "DELETE FROM listings WHERE session = ?",
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
               ON CONFLICT (session) DO UPDATE SET phase = excluded.phase, parties = excluded.parties,
                                                   stored = excluded.stored";
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
