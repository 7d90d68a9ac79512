//! Keeps the payloads in step with the board: what it has accepted stays or is missing, what it has no use for goes.

use super::{Inner, shelf::Shelf};
use crate::{
    feed::DecidedBlock,
    stored::{StoreError, Wanted},
};
use ledger::Event;
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{Notify, broadcast},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use wire::{Code, OperationId, Phase, SessionId};

/// Between two attempts to empty the log after an erasure, while a reader is in the way.
const PURGE_AGAIN: Duration = Duration::from_millis(200);

impl Inner {
    /// Follows one block. Nobody waits for this: reads find a payload whatever the shelf says of it.
    pub(super) async fn settle(&self, block: &DecidedBlock) -> Result<(), StoreError> {
        let mut guard = self.shelf().await?;
        let Some(mut shelf) = guard.take() else { return Err(StoreError::Busy) };
        let erased: BTreeSet<_> = block.events.iter().filter_map(erased).collect();
        let mut is_missing = false;
        for event in &block.events {
            let Event::Entry(entry) = event else { continue };
            let holders = block.beside.get(&entry.operation).filter(|_| !erased.contains(&entry.mailbox.session));
            is_missing |= holders.is_some_and(|holders| shelf.settle(entry.into(), holders.clone()));
        }
        let (is_backup_missing, replaced) = settle_backups(block, &mut shelf);
        is_missing |= is_backup_missing;
        let mut useless = shelf.orphans(block.at.time_ms);
        let refused = block.receipts.iter().filter(|receipt| is_final(receipt.code));
        useless.extend(refused.filter_map(|receipt| shelf.withdraw(&receipt.operation)));
        metrics::counter!("white_city_payload_orphans_total").increment(useless.len() as u64);
        let is_solved = self.settle_solutions(block, &mut shelf, &mut useless);
        let is_replaced = !replaced.is_empty();
        useless.extend(replaced);
        let gone: Vec<_> = erased.into_iter().filter(|session| shelf.erase(session)).collect();
        if !useless.is_empty() || !gone.is_empty() {
            self.rows.erase(&useless, &gone).await?;
        }
        gauge(&shelf);
        *guard = Some(shelf);
        drop(guard);
        if is_missing {
            self.wanted.notify_one();
        }
        if !gone.is_empty() {
            self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
        }
        if is_solved || is_replaced || !gone.is_empty() {
            self.erasures.notify_one();
        }
        Ok(())
    }

    /// Drops solutions that the board has taken, for nobody needs them any more, and those of sessions that take no more of them. True if there
    /// is such a session.
    fn settle_solutions(&self, block: &DecidedBlock, shelf: &mut Shelf, useless: &mut Vec<OperationId>) -> bool {
        let (mut is_solved, mut has_changed) = (false, false);
        for event in &block.events {
            match event {
                Event::Listed(listing) => {
                    metrics::counter!("white_city_listed_total", "list" => listing.list.as_str()).increment(1);
                    useless.extend(shelf.withdraw(&listing.operation));
                }
                Event::Session { session, stored } => {
                    has_changed = true;
                    if stored.record.registration.is_some() && stored.record.phase == Phase::Keying {
                        is_solved = true;
                    }
                    if stored.record.phase != Phase::Solving {
                        let rest = shelf.close_solving(session);
                        is_solved |= !rest.is_empty();
                        useless.extend(rest);
                    }
                }
                Event::Entry(_)
                | Event::Round { .. }
                | Event::Generation { .. }
                | Event::Backup(_)
                | Event::Erased { .. } => {}
            }
        }
        if has_changed {
            self.forget_solved();
        }
        is_solved
    }
}

/// Keeps the newest backup of each party. Whether one is missing, and the payloads of those before, which are to be dropped.
fn settle_backups(block: &DecidedBlock, shelf: &mut Shelf) -> (bool, Vec<OperationId>) {
    let (mut is_missing, mut replaced) = (false, Vec::new());
    for event in &block.events {
        let Event::Backup(backup) = event else { continue };
        replaced.extend(shelf.replace_backup(backup));
        let (wanted, holders) = (Wanted::of_backup(backup), block.beside.get(&backup.record.operation));
        if let Some((wanted, holders)) = wanted.zip(holders) {
            is_missing |= shelf.settle(wanted, holders.clone());
        }
        metrics::counter!("white_city_backup_changes_total").increment(1);
    }
    (is_missing, replaced)
}

/// True if the board will never take the operation, whatever comes: its payload need not wait for the expiry of what was confirmed.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::DuplicateDifferent
            | Code::QuotaExceeded
            | Code::Absent
            | Code::RoundClosed
            | Code::AlreadyAcknowledged
            | Code::NotAParty
            | Code::NotRegistered
            | Code::SolvingClosed
            | Code::ListFull
            | Code::OutdatedBackup
    )
}

/// Empties the database's log after each erasure, so that nothing of what was erased is left in any file. It gives way to readers, and
/// nothing else waits for it.
pub(super) async fn purge(payloads: Weak<Inner>, erasures: Arc<Notify>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = erasures.notified() => {}
        }
        let Some(inner) = payloads.upgrade() else { return };
        match inner.rows.purge().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot empty the log of the payloads");
            }
        }
        drop(inner);
        erasures.notify_one();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(PURGE_AGAIN) => {}
        }
    }
}

fn erased(event: &Event) -> Option<SessionId> {
    match event {
        Event::Erased { session } => Some(*session),
        _ => None,
    }
}

pub(super) fn gauge(shelf: &Shelf) {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    metrics::gauge!("white_city_payloads_pending").set(count(shelf.waiting()));
    metrics::gauge!("white_city_payloads_missing").set(count(shelf.lacking()));
}

/// Follows the board block by block, and reads it anew after blocks that were missed.
pub(super) async fn follow(
    payloads: Weak<Inner>,
    mut decided: broadcast::Receiver<Arc<DecidedBlock>>,
    shutdown: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            () = shutdown.cancelled() => return,
            next = decided.recv() => next,
        };
        let Some(payloads) = payloads.upgrade() else { return };
        let done = match next {
            Ok(block) => payloads.settle(&block).await,
            Err(broadcast::error::RecvError::Lagged(_)) => {
                *payloads.shelf.lock().await = None;
                payloads.shelf().await.map(drop)
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Err(error) = done {
            // The shelf is gone and will be read anew.
            tracing::error!(error = &error as &dyn std::error::Error, "cannot follow the board");
            sleep(PURGE_AGAIN).await;
        }
    }
}
