//! The two lists of an open session in memory: who has asked to take part, and who has solved (P4.5 steps 1 to 3 and 6 to 8).

use crate::{StoredListing, session::Session};
use std::collections::BTreeMap;
use wire::{ChainId, ListHead, ListKind, OperationId, PublicKey, SessionId};

/// One list: how far it has come, and by which operation each key came on it. The order is in the hash chain.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) head: ListHead,
    pub(crate) keys: BTreeMap<PublicKey, OperationId>,
}

impl Session {
    /// The operation that put the key on the list.
    pub(crate) fn listed(&self, list: ListKind, key: &PublicKey) -> Option<OperationId> {
        self.lists.get(&list)?.keys.get(key).copied()
    }

    /// Number of keys on the list.
    pub(crate) fn list_length(&self, list: ListKind) -> u32 {
        self.lists.get(&list).map_or(0, |list| list.head.count)
    }

    /// Forgets who has asked, once it can make no difference any more, and says how many they were. The list's head stays.
    pub(crate) fn forget_requests(&mut self) -> u32 {
        let requests = self.lists.get_mut(&ListKind::Registrants).map(|list| std::mem::take(&mut list.keys));
        requests.map_or(0, |keys| u32::try_from(keys.len()).unwrap_or(u32::MAX))
    }

    /// The row that appends a key to a list.
    pub(crate) fn listing(
        &self,
        (chain, session): (&ChainId, SessionId),
        list: ListKind,
        key: PublicKey,
        operation: OperationId,
    ) -> StoredListing {
        let before = self.lists.get(&list);
        let mut head = before.map_or_else(|| ListHead::empty(chain, &session, list), |list| list.head);
        let position = head.count;
        head.append(&key);
        StoredListing { session, list, position, key, operation, head: head.head }
    }

    /// Appends a key, whose row is that of [`Session::listing`].
    pub(crate) fn enlist(&mut self, listing: &StoredListing) {
        let head = ListHead { count: listing.position.saturating_add(1), head: listing.head };
        let list = self.lists.entry(listing.list).or_insert_with(|| List { head, keys: BTreeMap::new() });
        list.head = head;
        list.keys.insert(listing.key, listing.operation);
    }
}
