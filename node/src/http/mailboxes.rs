//! Mailboxes: pages of entries, and waiting for more.

use crate::{
    feed::DecidedBlock,
    gateway::Gateway,
    http::{
        answer::Encoding,
        extract::{Named, Parameters},
        waiting::Patience,
    },
    problem::Failure,
    stored::{AsOf, MailboxPage, MailboxState},
};
use axum::{extract::State, response::Response};
use ledger::{Event, StoredEntry};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use utoipa::IntoParams;
use wire::{
    Answer, Body, Bytes, Code, Entry, Hash, MailboxFact, MailboxHead, MailboxId, MailboxKind, Phase, SessionId, Signed,
    limits::{MAX_PAGE_ENTRIES, TARGET_PAGE_BYTES},
};

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
) -> Result<Response, Failure> {
    let kind: MailboxKind = kind.parse().map_err(|_| Failure::new(Code::NotFound, "no such kind of mailbox"))?;
    if query.recipient.is_some() && kind != MailboxKind::Private {
        return Err(Failure::new(Code::Malformed, "only private mailboxes have recipients"));
    }
    let mailbox = MailboxId { session, kind, round };
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    let wanted = query.from.saturating_add(query.count);
    while !is_enough(&gateway.store.mailbox_state(&mailbox).await?.value, wanted) {
        if !patience.wait(|block| changes(block, &mailbox)).await {
            break;
        }
    }
    drop(patience);
    let (at, fact) = read(&gateway, mailbox, &query).await?;
    let shared = Arc::clone(&gateway);
    let encoded = tokio::task::spawn_blocking(move || encoding.report(&shared, at, fact));
    encoded.await.map_err(|_| Failure::from(Code::Internal))?
}

/// True if waiting brings no more of what was asked for.
fn is_enough(state: &Option<MailboxState>, wanted: u32) -> bool {
    let Some(state) = state else { return wanted == 0 };
    let count = state.head.map_or(0, |head| head.count);
    count >= wanted
        || matches!(state.phase, Phase::Ended | Phase::Erased)
        || state.round.is_some_and(|round| round.closed)
}

fn changes(block: &DecidedBlock, mailbox: &MailboxId) -> bool {
    block.events.iter().any(|event| match event {
        Event::Entry(entry) => entry.mailbox == *mailbox,
        Event::Round { session, round, .. } => (session, round) == (&mailbox.session, &mailbox.round),
        Event::Session { session, .. } | Event::Erased { session } => *session == mailbox.session,
    })
}

async fn read(
    gateway: &Gateway,
    mailbox: MailboxId,
    query: &MailboxQuery,
) -> Result<(wire::BoardAt, MailboxFact), Failure> {
    let is_private = mailbox.kind == MailboxKind::Private;
    let payload_bytes = (query.bodies && !is_private).then_some(TARGET_PAGE_BYTES);
    let AsOf { at, value } = gateway.store.mailbox(&mailbox, query.from, MAX_PAGE_ENTRIES, payload_bytes).await?;
    let MailboxPage { state, from_head, entries, payloads } = value.ok_or(Code::UnknownSession)?;
    if state.phase == Phase::Erased {
        return Err(Failure::new(Code::WrongPhase, "the session is erased"));
    }
    if query.recipient.is_some_and(|recipient| recipient >= state.parties) {
        return Err(Failure::new(Code::Malformed, format!("the session has {} parties", state.parties)));
    }
    let bodies = match query.recipient.filter(|_| query.bodies) {
        Some(recipient) => gateway.trees.bodies(&gateway.store, &entries, recipient).await?,
        None => entries.iter().map(|entry| body(&payloads, entry)).collect(),
    };
    let empty = MailboxHead::empty(gateway.chain(), &mailbox);
    let head = state.head.unwrap_or(empty);
    let from = query.from.min(head.count);
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
    Ok((at, MailboxFact { mailbox, recipient: query.recipient, head, round: state.round, from, from_head, entries }))
}

fn body(payloads: &BTreeMap<Hash, Bytes>, entry: &StoredEntry) -> Body {
    match payloads.get(&entry.digest) {
        Some(payload) => Body::Message { payload: payload.clone() },
        None => Body::Omitted,
    }
}
