//! What happens to a session, as server-sent events.

use crate::{
    certified::CertifiedBlock,
    gateway::Gateway,
    http::{extract::Named, sessions, waiting::Place},
    problem::Failure,
};
use axum::{
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures::{Stream, stream};
use ledger::Event;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};
use tokio::sync::broadcast;
use utoipa::ToSchema;
use wire::{Code, ListKind, MailboxKind, SessionId, SessionRecord, api::SessionSummary};

/// The first events tell of so many mailboxes at most, the newest.
const MAX_FIRST_MAILBOXES: u32 = 1000;

/// Data of a `mailbox` event: somebody has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxEvent {
    /// What is written there.
    pub kind: MailboxKind,
    /// The round.
    pub round: u32,
    /// Number of entries now.
    pub count: u32,
}

/// Data of a `list` event: somebody has asked to take part in an open session, or has solved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEvent {
    /// The list.
    pub list: ListKind,
    /// Number of keys now.
    pub count: u32,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SessionEvent {
    /// `session`: the session has changed.
    Session(SessionSummary),
    /// `list`: somebody has asked to take part in it, or has solved.
    List(ListEvent),
    /// `mailbox`: somebody has written.
    Mailbox(MailboxEvent),
}

impl SessionEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::List(_) => "list",
            Self::Mailbox(_) => "mailbox",
        }
    }
}

/// Follows a session
///
/// Server-sent events: `session` with a SessionSummary when the session changes, `list` with a ListEvent when somebody has asked to take part or solved,
/// `mailbox` with a MailboxEvent when somebody has written. The first ones give the present state; after a gap they give it again. An event comes once a certificate covers it, so that what it
/// tells of can be read with its proof. For people and for waking up: events themselves have none.
#[utoipa::path(get, path = "/v1/sessions/{session}/events", tag = "sessions", operation_id = "events",
    params(("session" = SessionId, Path, description = "The session.")),
    responses((status = 200, description = "A stream of events.", body = SessionEvent, content_type = "text/event-stream")))]
pub async fn events(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Failure> {
    let place = Place::take(&gateway)?;
    let mut follower = Follower {
        blocks: gateway.certified.blocks(),
        gateway,
        session,
        shown: 0,
        next: VecDeque::new(),
        _place: place,
    };
    follower.show_all().await?;
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Follower {
    gateway: Arc<Gateway>,
    blocks: broadcast::Receiver<Option<Arc<CertifiedBlock>>>,
    session: SessionId,
    /// Height up to which everything is shown or waits to be.
    shown: u64,
    next: VecDeque<sse::Event>,
    _place: Place,
}

impl Follower {
    /// The next event; none once the node stops or its store fails.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(event);
            }
            let shutdown = self.gateway.shutdown.clone();
            let next = tokio::select! {
                next = self.blocks.recv() => next,
                () = shutdown.cancelled() => return None,
            };
            match next {
                Ok(Some(block)) if block.at.height > self.shown => self.show(&block)?,
                Ok(Some(_)) => {}
                Ok(None) | Err(broadcast::error::RecvError::Lagged(_)) => self.show_all().await.ok()?,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn show_all(&mut self) -> Result<(), Failure> {
        let board = self.gateway.board()?;
        let record = board.session(&self.session).ok_or_else(|| sessions::unknown(&board, self.session, false))?;
        self.push(&SessionEvent::Session(summary(&self.session, &record)))?;
        for list in [ListKind::Registrants, ListKind::Solvers] {
            if let Some(head) = board.list(&self.session, list) {
                self.push(&SessionEvent::List(ListEvent { list, count: head.count }))?;
            }
        }
        // The store may be ahead: it says which mailboxes there are, the board how far they have come.
        let mailboxes = self.gateway.store.mailboxes(&self.session, MAX_FIRST_MAILBOXES).await?;
        for (mailbox, _) in mailboxes.value {
            let Some(head) = board.mailbox(&mailbox) else { continue };
            let event = MailboxEvent { kind: mailbox.kind, round: mailbox.round, count: head.count };
            self.push(&SessionEvent::Mailbox(event))?;
        }
        self.shown = board.at().height;
        Ok(())
    }

    fn show(&mut self, block: &CertifiedBlock) -> Option<()> {
        self.shown = block.at.height;
        let (mut counts, mut lists) = (BTreeMap::new(), BTreeMap::new());
        for event in &block.events {
            match event {
                Event::Session { session, stored } if *session == self.session => {
                    self.push(&SessionEvent::Session(summary(session, &stored.record))).ok()?;
                }
                Event::Entry(entry) if entry.mailbox.session == self.session => {
                    counts.insert((entry.mailbox.kind, entry.mailbox.round), entry.position.saturating_add(1));
                }
                Event::Listed(listing) if listing.session == self.session => {
                    lists.insert(listing.list, listing.position.saturating_add(1));
                }
                Event::Session { .. }
                | Event::Entry(_)
                | Event::Listed(_)
                | Event::Round { .. }
                | Event::Backup(_)
                | Event::Erased { .. }
                | Event::Generation { .. } => {}
            }
        }
        for (list, count) in lists {
            self.push(&SessionEvent::List(ListEvent { list, count })).ok()?;
        }
        for ((kind, round), count) in counts {
            self.push(&SessionEvent::Mailbox(MailboxEvent { kind, round, count })).ok()?;
        }
        Some(())
    }

    fn push(&mut self, data: &SessionEvent) -> Result<(), Failure> {
        let event = sse::Event::default().event(data.name()).json_data(data);
        let event = event.map_err(|_| Failure::from(Code::Internal))?;
        self.next.push_back(event);
        Ok(())
    }
}

fn summary(session: &SessionId, record: &SessionRecord) -> SessionSummary {
    SessionSummary {
        session: *session,
        title: record.spec.title.clone(),
        program: record.spec.program.name.clone(),
        phase: record.phase,
        parties: record.parties,
        created: record.created,
    }
}
