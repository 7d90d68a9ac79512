//! Drops from memory what readers were given of a session's mailboxes, as soon as the session is erased.
//!
//! Nothing is put away of a session that the store has erased, and an erasure is announced when the store has it. So all that a sweep at the announcement can
//! miss was looked at just before it and put away just after: for that there is a second one.

use crate::{feed::DecidedBlock, gateway::Gateway};
use ledger::Event;
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::broadcast, time::sleep};
use tokio_util::sync::CancellationToken;
use wire::SessionId;

/// From the first sweep to the second.
const AGAIN: Duration = Duration::from_secs(2);

/// Follows the board until `shutdown`.
pub(crate) async fn follow(
    gateway: Weak<Gateway>,
    mut decided: broadcast::Receiver<Arc<DecidedBlock>>,
    shutdown: CancellationToken,
) {
    while let Some(next) = shutdown.run_until_cancelled(decided.recv()).await {
        let erased = match next {
            Ok(block) => Some(block.events.iter().filter_map(erased).collect::<BTreeSet<_>>()),
            // Of blocks that were missed nobody knows what they erased.
            Err(broadcast::error::RecvError::Lagged(_)) => None,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if erased.as_ref().is_some_and(BTreeSet::is_empty) {
            continue;
        }
        sweep(&gateway, erased.as_ref()).await;
        let gateway = Weak::clone(&gateway);
        tokio::spawn(async move {
            sleep(AGAIN).await;
            sweep(&gateway, erased.as_ref()).await;
        });
    }
}

async fn sweep(gateway: &Weak<Gateway>, sessions: Option<&BTreeSet<SessionId>>) {
    let Some(gateway) = gateway.upgrade() else { return };
    gateway.trees.forget(sessions).await;
    gateway.pages.forget(sessions).await;
}

fn erased(event: &Event) -> Option<SessionId> {
    match event {
        Event::Erased { session } => Some(*session),
        _ => None,
    }
}
