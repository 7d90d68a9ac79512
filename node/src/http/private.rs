//! What one recipient gets of private payloads. A sender's tree is built once, however many recipients ask.

use crate::{
    payloads::Payloads,
    store::Store,
    stored::{MailboxPage, StoreError},
};
use ledger::StoredEntry;
use moka::future::Cache;
use std::{collections::BTreeSet, hash::Hash as Hashed, sync::Arc, time::Duration};
use tokio::time::Instant;
use wire::{
    Body, Hash, MailboxId, PrivateTree, SessionId,
    limits::{MAX_PAYLOAD_BYTES, TARGET_PAGE_BYTES},
};

/// Bytes of trees that are kept.
const CACHE_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of entries that are kept, and for how long when nobody asks for them.
const PAGES_BYTES: u64 = 16 * 1024 * 1024;
const PAGE_IDLE: Duration = Duration::from_secs(10);
/// A tree that nobody has asked for so long is dropped.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes of whole payloads that one answer may look at: a page that would need more ends early.
const MAX_LOOKED_AT: usize = 64 * MAX_PAYLOAD_BYTES as usize;

/// What recipients have asked for lately: the senders' trees, and the entries that are the same for all.
pub struct Trees {
    trees: Cache<(SessionId, Hash), Arc<PrivateTree>>,
    pages: Cache<(MailboxId, u32, u32), Arc<MailboxPage>>,
}

impl Default for Trees {
    fn default() -> Self {
        let weigh = |_: &(SessionId, Hash), tree: &Arc<PrivateTree>| u32::try_from(tree.weight()).unwrap_or(u32::MAX);
        let weigh_page = |_: &(MailboxId, u32, u32), page: &Arc<MailboxPage>| {
            u32::try_from(page.entries.len().saturating_mul(size_of::<StoredEntry>())).unwrap_or(u32::MAX)
        };
        Self {
            trees: Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_idle(IDLE).build(),
            pages: Cache::builder().max_capacity(PAGES_BYTES).weigher(weigh_page).time_to_idle(PAGE_IDLE).build(),
        }
    }
}

impl Trees {
    /// Drops what is kept of these sessions, or, without any, everything.
    pub(crate) async fn forget(&self, sessions: Option<&BTreeSet<SessionId>>) {
        let is_gone = |session: &SessionId| sessions.is_none_or(|sessions| sessions.contains(session));
        forget(&self.trees, |(session, _)| is_gone(session)).await;
        forget(&self.pages, |(mailbox, _, _)| is_gone(&mailbox.session)).await;
    }

    /// How many are kept.
    pub(crate) fn count(&self) -> usize {
        self.trees.iter().count().saturating_add(self.pages.iter().count())
    }

    /// `limit` entries from position `from` on, read once for all who ask, without payloads. They must have been on the board.
    ///
    /// # Errors
    /// [`StoreError::Erased`] if the store has not as many any more, [`StoreError::Database`].
    pub(crate) async fn page(
        &self,
        payloads: &Payloads,
        store: &Store,
        mailbox: &MailboxId,
        from: u32,
        limit: u32,
    ) -> Result<Arc<MailboxPage>, StoreError> {
        let read = async {
            let page = store.mailbox(mailbox, from, limit, None).await?.value.ok_or(StoreError::Erased)?;
            // Nothing is put away of what was erased meanwhile.
            payloads.check_kept(&mailbox.session).await?;
            if page.entries.len() == usize::try_from(limit).unwrap_or(usize::MAX) {
                Ok(Arc::new(page))
            } else {
                Err(StoreError::Erased)
            }
        };
        self.pages.try_get_with((*mailbox, from, limit), read).await.map_err(StoreError::Shared)
    }

    /// The trees of the first entries, of as many as one answer may look at.
    ///
    /// # Errors
    /// [`StoreError::Erased`] if the payloads are gone since the entries were read, [`StoreError::MissingPayload`] if one has not come by
    /// `until`.
    pub(crate) async fn of_entries(
        &self,
        payloads: &Payloads,
        entries: &[StoredEntry],
        until: Instant,
    ) -> Result<Vec<Arc<PrivateTree>>, StoreError> {
        let (mut trees, mut looked_at) = (Vec::with_capacity(entries.len()), 0_usize);
        for entry in entries {
            if looked_at >= MAX_LOOKED_AT {
                break;
            }
            looked_at = looked_at.saturating_add(entry.length as usize);
            trees.push(self.tree(payloads, entry, until).await?);
        }
        Ok(trees)
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
            let built = tokio::task::spawn_blocking(move || PrivateTree::decode(payload)).await;
            let tree = built.map_err(|_| corrupt())?.map_err(|_| corrupt())?;
            // Nothing is put away of what was erased meanwhile.
            payloads.check_kept(&session).await.map(|()| Arc::new(tree))
        };
        self.trees.try_get_with((session, digest), build).await.map_err(StoreError::Shared)
    }
}

/// What of the payloads is for `recipient`, in their order, until the page is full. The session must have that party.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(crate) fn bodies(trees: &[Arc<PrivateTree>], recipient: u16) -> Result<Vec<Body>, StoreError> {
    let (mut bodies, mut answered) = (Vec::with_capacity(trees.len()), 0_usize);
    for tree in trees {
        if answered >= TARGET_PAGE_BYTES {
            break;
        }
        let (item, path) = tree.item(recipient).ok_or(StoreError::Corrupt { what: "payload" })?;
        answered = answered.saturating_add(item.as_ref().map_or(0, |item| item.ciphertext.0.len()));
        bodies.push(Body::Private { item, path });
    }
    Ok(bodies)
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
