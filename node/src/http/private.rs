//! What one recipient gets of private payloads. A sender's tree is built once, however many recipients ask.

use crate::{payloads::Payloads, stored::StoreError};
use ledger::StoredEntry;
use moka::future::Cache;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use wire::{
    Body, Hash, PrivateSet, PrivateTree, SessionId,
    limits::{MAX_PAYLOAD_BYTES, TARGET_PAGE_BYTES},
};

/// Bytes of trees that are kept.
const CACHE_BYTES: u64 = 256 * 1024 * 1024;
/// A tree that nobody has asked for so long is dropped.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of whole payloads that one answer may look at: a page that would need more ends early.
const MAX_LOOKED_AT: usize = 64 * MAX_PAYLOAD_BYTES as usize;

/// The senders' trees that were asked for lately.
pub struct Trees(Cache<(SessionId, Hash), Arc<PrivateTree>>);

impl Default for Trees {
    fn default() -> Self {
        let weigh = |_: &(SessionId, Hash), tree: &Arc<PrivateTree>| u32::try_from(tree.weight()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_idle(IDLE).build())
    }
}

impl Trees {
    /// What of the entries' payloads is for `recipient`, in the order of the entries, until the page is full. The session must
    /// have that party.
    ///
    /// # Errors
    /// [`StoreError::Erased`] if the payloads are gone since the entries were read, [`StoreError::MissingPayload`] if one has not come by
    /// `until`.
    pub async fn bodies(
        &self,
        payloads: &Payloads,
        entries: &[StoredEntry],
        recipient: u16,
        until: Instant,
    ) -> Result<Vec<Body>, StoreError> {
        let mut bodies = Vec::new();
        let (mut looked_at, mut answered) = (0_usize, 0_usize);
        for entry in entries {
            if answered >= TARGET_PAGE_BYTES || looked_at >= MAX_LOOKED_AT {
                break;
            }
            let tree = self.tree(payloads, entry, until).await?;
            let (item, path) = tree.item(recipient).ok_or(StoreError::Corrupt { what: "payload" })?;
            looked_at = looked_at.saturating_add(entry.length as usize);
            answered = answered.saturating_add(item.map_or(0, |item| item.ciphertext.0.len()));
            bodies.push(Body::Private { item: item.cloned(), path });
        }
        Ok(bodies)
    }

    async fn tree(
        &self,
        payloads: &Payloads,
        entry: &StoredEntry,
        until: Instant,
    ) -> Result<Arc<PrivateTree>, StoreError> {
        let (session, digest) = (entry.mailbox.session, entry.digest);
        let build = async {
            let payload = payloads.of_entry(entry, until).await?;
            let corrupt = || StoreError::Corrupt { what: "payload" };
            let built =
                tokio::task::spawn_blocking(move || PrivateSet::decode(&payload.0).map(PrivateTree::from)).await;
            Ok(Arc::new(built.map_err(|_| corrupt())?.map_err(|_| corrupt())?))
        };
        self.0.try_get_with((session, digest), build).await.map_err(StoreError::Shared)
    }
}
