//! A part of a mailbox as the certified board has it: how far it has come from the board's facts, entries and payloads from the store, which only
//! ever adds to a mailbox until it erases the whole session.

use crate::{
    certified::CertifiedBoard,
    gateway::Gateway,
    http::{private::bodies, sessions},
    payloads::READ_PATIENCE,
    problem::Failure,
    stored::{MailboxPage, StoreError},
};
use ledger::StoredEntry;
use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};
use tokio::time::Instant;
use wire::{
    Body, Bytes, Code, Entry, Hash, Link, MailboxFact, MailboxHead, MailboxId, MailboxKind, Phase, SessionRecord,
    limits::TARGET_PAGE_BYTES,
};

/// Which part of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub(crate) mailbox: MailboxId,
    /// Position of the first entry.
    pub(crate) from: u32,
    /// Most entries.
    pub(crate) limit: u32,
    /// With payloads, as far as they are for everybody or for the recipient.
    pub(crate) bodies: bool,
    pub(crate) recipient: Option<u16>,
}

impl Part {
    /// What `board` has of the part; if the store has erased the session since, a later board, which says so. An unknown session's absence
    /// comes `with_proof` if that is asked for.
    ///
    /// # Errors
    /// [`Code::UnknownSession`], [`Code::WrongPhase`] of an erased one, [`Code::Malformed`] for a recipient that is no party.
    pub(crate) async fn read(
        self,
        gateway: &Gateway,
        mut board: Arc<CertifiedBoard>,
        with_proof: bool,
    ) -> Result<(Arc<CertifiedBoard>, MailboxFact), Failure> {
        loop {
            let record = board.session(&self.mailbox.session);
            let record = record.ok_or_else(|| sessions::unknown(&board, self.mailbox.session, with_proof))?;
            if record.phase == Phase::Erased {
                return Err(Failure::new(Code::WrongPhase, "the session is erased"));
            }
            if self.recipient.is_some_and(|recipient| recipient >= record.parties) {
                return Err(Failure::new(Code::Malformed, format!("the session has {} parties", record.parties)));
            }
            match self.stored(gateway, &board, record).await {
                Ok(fact) => return Ok((board, fact)),
                Err(error) if is_erased(&error) => board = gateway.board_after(board.at().height).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn stored(
        self,
        gateway: &Gateway,
        board: &CertifiedBoard,
        record: SessionRecord,
    ) -> Result<MailboxFact, StoreError> {
        let Self { mailbox, recipient, .. } = self;
        let empty = MailboxHead::empty(gateway.chain(), &mailbox);
        let head = board.mailbox(&mailbox).unwrap_or(empty);
        let from = self.from.min(head.count);
        let limit = self.limit.min(head.count.saturating_sub(from));
        let until = Instant::now() + READ_PATIENCE;
        let page = self.page(gateway, from, limit, until).await?;
        let bodies = match recipient.filter(|_| self.bodies) {
            Some(recipient) => {
                bodies(&gateway.trees.of_entries(&gateway.payloads, &page.entries, until).await?, recipient)?
            }
            None => page.entries.iter().map(|entry| body(&page.payloads, entry)).collect(),
        };
        let entries: Vec<Entry> = page.entries.iter().zip(bodies).map(|(entry, body)| shown(entry, body)).collect();
        let after = from.saturating_add(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        let rest: Vec<Link> = gateway.store.links(&mailbox, after, head.count).await?;
        if rest.len() != usize::try_from(head.count.saturating_sub(after)).unwrap_or(usize::MAX) {
            return Err(StoreError::Erased);
        }
        let from_head = if from == 0 { empty.head } else { page.from_head.ok_or(StoreError::Erased)? };
        // Of an empty mailbox only the record says that it is not erased.
        let session = (head.count == 0).then(|| Box::new(record));
        let round = board.round(&mailbox);
        Ok(MailboxFact { mailbox, recipient, head, round, from, from_head, entries, rest, session })
    }

    /// # Errors
    /// [`StoreError::Erased`] if the store has not as many entries any more, [`StoreError::MissingPayload`] if one has not come by `until`.
    async fn page(
        self,
        gateway: &Gateway,
        from: u32,
        limit: u32,
        until: Instant,
    ) -> Result<Arc<MailboxPage>, StoreError> {
        let is_private = self.mailbox.kind == MailboxKind::Private;
        if is_private && self.bodies {
            return gateway.trees.page(&gateway.payloads, &gateway.store, &self.mailbox, from, limit).await;
        }
        let payload_bytes = (self.bodies && !is_private).then_some(TARGET_PAGE_BYTES);
        let page = gateway.store.mailbox(&self.mailbox, from, limit, payload_bytes).await?;
        let mut page = page.value.filter(|page| page.state.phase != Phase::Erased).ok_or(StoreError::Erased)?;
        if payload_bytes.is_some() {
            for entry in &page.entries {
                if let btree_map::Entry::Vacant(place) = page.payloads.entry(entry.digest) {
                    place.insert(gateway.payloads.of_entry(entry, until).await?);
                }
            }
        }
        Ok(Arc::new(page))
    }
}

fn shown(entry: &StoredEntry, body: Body) -> Entry {
    let StoredEntry { sender, digest, length, signature, .. } = *entry;
    Entry { sender, digest, length, signature, body }
}

fn body(payloads: &BTreeMap<Hash, Bytes>, entry: &StoredEntry) -> Body {
    match payloads.get(&entry.digest) {
        Some(payload) => Body::Message { payload: payload.clone() },
        None => Body::Omitted,
    }
}

fn is_erased(error: &StoreError) -> bool {
    match error {
        StoreError::Erased => true,
        StoreError::Shared(error) => is_erased(error),
        _ => false,
    }
}
