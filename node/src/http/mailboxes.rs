//! Mailboxes: pages of entries, and waiting for more.

use crate::{
    feed::DecidedBlock,
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding},
        extract::{Named, Parameters},
        waiting::Patience,
    },
    problem::Failure,
    stored::{AsOf, MailboxPage, MailboxState},
};
use axum::extract::State;
use ledger::{Event, StoredEntry};
use moka::future::Cache;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use utoipa::IntoParams;
use wire::{
    Answer, BoardAt, Body, Bytes, Code, Entry, Hash, MailboxFact, MailboxHead, MailboxId, MailboxKind, Phase,
    SessionId, Signed,
    limits::{MAX_PAGE_ENTRIES, TARGET_PAGE_BYTES},
};

/// Bytes of encoded pages that are kept, and for how long.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;
const CACHED: Duration = Duration::from_secs(10);

/// Which part of a mailbox, and how long to wait for it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MailboxQuery {
    /// Position of the first entry, from 0. Beyond the end of the mailbox, the answer begins at its end.
    #[serde(default)]
    from: u32,
    /// Wait until the mailbox has so many entries from `from` on, its round is closed, or its session has ended. The answer has
    /// as many entries as are there, up to 4096 and about 4 MiB of payload.
    #[serde(default)]
    count: u32,
    /// Wait so long at most, in milliseconds; more than 60000 counts as that.
    #[serde(default)]
    timeout_ms: u64,
    /// Private mailboxes only: index of the party whose items the answer shall carry.
    recipient: Option<u16>,
    /// False for entries without payloads.
    #[serde(default = "yes")]
    bodies: bool,
}

fn yes() -> bool {
    true
}

/// Reads a mailbox
///
/// Entries stand in the order of the board. `head` is a hash chain over all entries, so that a page can be checked as an extension of an
/// earlier one. `kind` is `keying`, `broadcast` or `private`.
#[utoipa::path(get, path = "/v1/sessions/{session}/{kind}/{round}", tag = "sessions", operation_id = "mailbox",
    params(("session" = SessionId, Path, description = "The session."),
           ("kind" = MailboxKind, Path, description = "What is written there."),
           ("round" = u32, Path, description = "The round, from 0."),
           MailboxQuery),
    responses((status = 200, description = "A part of the mailbox, signed by the node.", body = Signed<Answer<MailboxFact>>)))]
pub async fn mailbox(
    State(gateway): State<Arc<Gateway>>,
    Named((session, kind, round)): Named<(SessionId, String, u32)>,
    Parameters(query): Parameters<MailboxQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let kind: MailboxKind = kind.parse().map_err(|_| Failure::new(Code::NotFound, "no such kind of mailbox"))?;
    if query.recipient.is_some() && kind != MailboxKind::Private {
        return Err(Failure::new(Code::Malformed, "only private mailboxes have recipients"));
    }
    let mailbox = MailboxId { session, kind, round };
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    let wanted = query.from.saturating_add(query.count);
    let mut patient = true;
    let at = loop {
        let AsOf { at, value } = gateway.store.mailbox_state(&mailbox).await?;
        if is_enough(&value, wanted) || !patient {
            break at;
        }
        patient = patience.wait(|block| matters(block, &mailbox, wanted)).await;
    };
    drop(patience);
    let question = Question {
        mailbox,
        from: query.from,
        bodies: query.bodies,
        recipient: query.recipient,
        encoding,
        height: at.height,
    };
    if question.recipient.is_some() {
        return question.answer(&gateway).await;
    }
    let shared = gateway.pages.0.try_get_with(question, question.answer(&gateway)).await;
    shared.map_err(|failure| Failure::clone(&failure))
}

/// Pages that were read lately. When many parties wait for the same entries, the answer is read, signed and encoded once.
pub struct Pages(Cache<Question, Encoded>);

impl Default for Pages {
    fn default() -> Self {
        let weigh = |_: &Question, page: &Encoded| u32::try_from(page.length()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_live(CACHED).build())
    }
}

/// What is asked of a mailbox, in an answer no older than the block of `height`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    mailbox: MailboxId,
    from: u32,
    bodies: bool,
    recipient: Option<u16>,
    encoding: Encoding,
    height: u64,
}

impl Question {
    async fn answer(self, gateway: &Arc<Gateway>) -> Result<Encoded, Failure> {
        let (at, fact) = self.read(gateway).await?;
        let gateway = Arc::clone(gateway);
        let encoded = tokio::task::spawn_blocking(move || self.encoding.report(&gateway, at, fact));
        encoded.await.map_err(|_| Failure::from(Code::Internal))?
    }

    async fn read(self, gateway: &Gateway) -> Result<(BoardAt, MailboxFact), Failure> {
        let Self { mailbox, recipient, .. } = self;
        let is_private = mailbox.kind == MailboxKind::Private;
        let payload_bytes = (self.bodies && !is_private).then_some(TARGET_PAGE_BYTES);
        let AsOf { at, value } = gateway.store.mailbox(&mailbox, self.from, MAX_PAGE_ENTRIES, payload_bytes).await?;
        let MailboxPage { state, from_head, entries, payloads } = value.ok_or(Code::UnknownSession)?;
        if state.phase == Phase::Erased {
            return Err(Failure::new(Code::WrongPhase, "the session is erased"));
        }
        if recipient.is_some_and(|recipient| recipient >= state.parties) {
            return Err(Failure::new(Code::Malformed, format!("the session has {} parties", state.parties)));
        }
        let bodies = match recipient.filter(|_| self.bodies) {
            Some(recipient) => gateway.trees.bodies(&gateway.store, &entries, recipient).await?,
            None => entries.iter().map(|entry| body(&payloads, entry)).collect(),
        };
        let empty = MailboxHead::empty(gateway.chain(), &mailbox);
        let head = state.head.unwrap_or(empty);
        let from = self.from.min(head.count);
        let from_head = match from {
            0 => empty.head,
            _ if from == head.count => head.head,
            _ => from_head.unwrap_or(head.head),
        };
        let with_bodies = entries.into_iter().zip(bodies);
        let entries = with_bodies.map(|(entry, body)| Entry {
            sender: entry.sender,
            digest: entry.digest,
            length: entry.length,
            signature: entry.signature,
            body,
        });
        let entries = entries.collect();
        Ok((
            at,
            MailboxFact {
                mailbox,
                recipient,
                head,
                round: state.round,
                from,
                from_head,
                entries,
                rest: vec![],
                session: None,
            },
        ))
    }
}

/// True if waiting brings no more of what was asked for.
fn is_enough(state: &Option<MailboxState>, wanted: u32) -> bool {
    let Some(state) = state else { return wanted == 0 };
    let count = state.head.map_or(0, |head| head.count);
    count >= wanted
        || matches!(state.phase, Phase::Ended | Phase::Erased)
        || state.round.is_some_and(|round| round.closed)
}

/// True if a block may bring what [`is_enough`]. Thousands may wait for one mailbox: they ask the store only then.
fn matters(block: &DecidedBlock, mailbox: &MailboxId, wanted: u32) -> bool {
    block.events.iter().any(|event| match event {
        Event::Entry(entry) => entry.mailbox == *mailbox && entry.position.saturating_add(1) >= wanted,
        Event::Round { session, round, state } => {
            state.closed && (session, round) == (&mailbox.session, &mailbox.round)
        }
        Event::Session { session, stored } => {
            *session == mailbox.session && matches!(stored.record.phase, Phase::Ended | Phase::Erased)
        }
        Event::Erased { session } => *session == mailbox.session,
        Event::Generation { .. } => false,
    })
}

fn body(payloads: &BTreeMap<Hash, Bytes>, entry: &StoredEntry) -> Body {
    match payloads.get(&entry.digest) {
        Some(payload) => Body::Message { payload: payload.clone() },
        None => Body::Omitted,
    }
}
