//! What happens to a session, as server-sent events.

use crate::{
    feed::DecidedBlock,
    gateway::Gateway,
    http::{extract::Named, waiting::Place},
    problem::Failure,
};
use axum::{
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures::{Stream, stream};
use ledger::{Event, StoredSession};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};
use tokio::sync::broadcast;
use utoipa::ToSchema;
use wire::{Code, MailboxKind, SessionId, api::SessionSummary};

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

/// Follows a session
///
/// Server-sent events: `session` with a SessionSummary when the session changes, `mailbox` with a MailboxEvent when somebody
/// has written. The first ones give the present state; after a gap they give it again. For people and for waking up: they are not
/// signed.
#[utoipa::path(get, path = "/v1/sessions/{session}/events", tag = "sessions", operation_id = "events",
    params(("session" = SessionId, Path, description = "The session.")),
    responses((status = 200, description = "A stream of events.", body = MailboxEvent, content_type = "text/event-stream")))]
pub async fn events(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Failure> {
    let place = Place::take(&gateway)?;
    let mut follower =
        Follower { decided: gateway.feed.decided(), gateway, session, shown: 0, next: VecDeque::new(), _place: place };
    follower.show_all().await?;
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Follower {
    gateway: Arc<Gateway>,
    decided: broadcast::Receiver<Arc<DecidedBlock>>,
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
                next = self.decided.recv() => next,
                () = shutdown.cancelled() => return None,
            };
            match next {
                Ok(block) if block.at.height > self.shown => self.show(&block)?,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.show_all().await.ok()?,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn show_all(&mut self) -> Result<(), Failure> {
        let stored = self.gateway.store.session(&self.session).await?;
        let session = stored.value.ok_or(Code::UnknownSession)?;
        self.push("session", &summary(&self.session, session))?;
        let mailboxes = self.gateway.store.mailboxes(&self.session, MAX_FIRST_MAILBOXES).await?;
        for (mailbox, head) in mailboxes.value {
            let event = MailboxEvent { kind: mailbox.kind, round: mailbox.round, count: head.count };
            self.push("mailbox", &event)?;
        }
        // The earlier of the two reads: what lies between is shown twice rather than never.
        self.shown = stored.at.height;
        Ok(())
    }

    fn show(&mut self, block: &DecidedBlock) -> Option<()> {
        self.shown = block.at.height;
        let mut counts = BTreeMap::new();
        for event in &block.events {
            match event {
                Event::Session { session, stored } if *session == self.session => {
                    self.push("session", &summary(session, (**stored).clone())).ok()?;
                }
                Event::Entry(entry) if entry.mailbox.session == self.session => {
                    counts.insert((entry.mailbox.kind, entry.mailbox.round), entry.position.saturating_add(1));
                }
                Event::Session { .. }
                | Event::Entry(_)
                | Event::Round { .. }
                | Event::Erased { .. }
                | Event::Generation { .. } => {}
            }
        }
        for ((kind, round), count) in counts {
            self.push("mailbox", &MailboxEvent { kind, round, count }).ok()?;
        }
        Some(())
    }

    fn push<T: Serialize>(&mut self, name: &str, data: &T) -> Result<(), Failure> {
        let event = sse::Event::default().event(name).json_data(data).map_err(|_| Failure::from(Code::Internal))?;
        self.next.push_back(event);
        Ok(())
    }
}

fn summary(session: &SessionId, stored: StoredSession) -> SessionSummary {
    let record = stored.record;
    SessionSummary {
        session: *session,
        title: record.spec.title,
        program: record.spec.program.name,
        phase: record.phase,
        parties: record.parties,
        created: record.created,
    }
}
