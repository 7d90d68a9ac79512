//! What one recipient gets of private payloads. A sender's tree is built once, however many recipients ask.

use crate::{payloads::Payloads, stored::StoreError};
use ledger::StoredEntry;
use moka::future::Cache;
use std::{collections::BTreeSet, hash::Hash as Hashed, sync::Arc, time::Duration};
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
    /// Drops what is kept of these sessions, or, without any, everything.
    pub(crate) async fn forget(&self, sessions: Option<&BTreeSet<SessionId>>) {
        forget(&self.0, |(session, _)| sessions.is_none_or(|sessions| sessions.contains(session))).await;
    }

    /// How many are kept.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().count()
    }

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
            let tree = built.map_err(|_| corrupt())?.map_err(|_| corrupt())?;
            // Nothing is put away of what was erased meanwhile.
            payloads.check_kept(&session).await.map(|()| Arc::new(tree))
        };
        self.0.try_get_with((session, digest), build).await.map_err(StoreError::Shared)
    }
}

/// Drops what a cache has under keys that `is_gone` names, at once.
pub(crate) async fn forget<K: Hashed + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static>(
    cache: &Cache<K, V>,
    is_gone: impl Fn(&K) -> bool,
) {
    let gone: Vec<_> = cache.iter().map(|(key, _)| key).filter(|key| is_gone(key)).collect();
    for key in &gone {
        cache.invalidate(&**key).await;
    }
    // Until then the cache holds on to what it has dropped, and that may be long where nobody reads.
    cache.run_pending_tasks().await;
}
