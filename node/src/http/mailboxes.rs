//! Mailboxes: pages of entries, and waiting for more.

use crate::{
    certified::{CertifiedBlock, CertifiedBoard},
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding, Shown},
        extract::{Named, Parameters},
        page::Part,
        private::forget,
        waiting::Patience,
    },
    problem::Failure,
};
use axum::extract::State;
use ledger::Event;
use moka::future::Cache;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::timeout;
use utoipa::IntoParams;
use wire::{Code, MailboxFact, MailboxId, MailboxKind, Phase, SessionId, limits::MAX_PAGE_ENTRIES};

/// Bytes of encoded pages that are kept, and for how long.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;
const CACHED: Duration = Duration::from_secs(10);
/// So many private answers are made and sent at the same time. When all parties of a round ask at once, the others' need no memory yet.
pub(crate) const TURNS: usize = 64;
/// Who has waited so long is answered all the same: those before may be slow to take theirs.
const TURN: Duration = Duration::from_secs(2);

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
    /// True for a `Certified` answer, also of an unknown session.
    #[serde(default)]
    proof: bool,
}

fn yes() -> bool {
    true
}

/// Reads a mailbox
///
/// Entries stand in the order of the board. `head` is a hash chain over all entries, and `rest` is what of it follows the entries of the answer, so that any page can be
/// checked by itself. `kind` is `keying`, `broadcast` or `private`.
#[utoipa::path(get, path = "/v1/sessions/{session}/{kind}/{round}", tag = "sessions", operation_id = "mailbox",
    params(("session" = SessionId, Path, description = "The session."),
           ("kind" = MailboxKind, Path, description = "What is written there."),
           ("round" = u32, Path, description = "The round, from 0."),
           MailboxQuery),
    responses((status = 200, description = "A part of the mailbox; with `proof=true` a `Certified`.", body = Shown<MailboxFact>)))]
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
    let wanted = query.from.saturating_add(query.count);
    let is_enough = |board: &CertifiedBoard| is_enough(board, &mailbox, wanted);
    let matters = |block: &CertifiedBlock| matters(block, &mailbox, wanted);
    let board = Patience::new(&gateway, query.timeout_ms)?.board(&gateway, is_enough, matters).await?;
    let MailboxQuery { from, bodies, recipient, proof, .. } = query;
    let part = Part { mailbox, from, limit: MAX_PAGE_ENTRIES, bodies, recipient };
    let question = Question { part, proof, encoding, height: board.at().height };
    if recipient.is_some() {
        let turn = timeout(TURN, Arc::clone(&gateway.turns).acquire_owned()).await;
        let answer = question.answer(&gateway, board).await?;
        return Ok(match turn {
            Ok(Ok(turn)) => answer.keep(turn),
            _ => answer,
        });
    }
    let answer = async {
        let answer = question.answer(&gateway, board).await?;
        // Nothing is put away of what was erased meanwhile.
        gateway.payloads.check_kept(&session).await?;
        Ok(answer)
    };
    gateway.pages.0.try_get_with(question, answer).await.map_err(|failure| Failure::clone(&failure))
}

/// Pages that were read lately. When many parties wait for the same entries, the answer is read, proved and encoded once.
pub struct Pages(Cache<Question, Encoded>);

impl Default for Pages {
    fn default() -> Self {
        let weigh = |_: &Question, page: &Encoded| u32::try_from(page.length()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_live(CACHED).build())
    }
}

impl Pages {
    /// Drops what is kept of these sessions, or, without any, everything.
    pub(crate) async fn forget(&self, sessions: Option<&BTreeSet<SessionId>>) {
        let is_gone =
            |question: &Question| sessions.is_none_or(|sessions| sessions.contains(&question.part.mailbox.session));
        forget(&self.0, is_gone).await;
    }

    /// How many are kept.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().count()
    }
}

/// What is asked of a mailbox, of the certified board of `height` or a later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    part: Part,
    proof: bool,
    encoding: Encoding,
    height: u64,
}

impl Question {
    async fn answer(self, gateway: &Arc<Gateway>, board: Arc<CertifiedBoard>) -> Result<Encoded, Failure> {
        let (board, fact) = self.part.read(gateway, board, self.proof).await?;
        let gateway = Arc::clone(gateway);
        let encoded = tokio::task::spawn_blocking(move || self.encoding.fact(&gateway, &board, fact, self.proof));
        encoded.await.map_err(|_| Failure::from(Code::Internal))?
    }
}

/// True if waiting brings no more of what was asked for.
fn is_enough(board: &CertifiedBoard, mailbox: &MailboxId, wanted: u32) -> bool {
    board.mailbox(mailbox).map_or(0, |head| head.count) >= wanted
        || board.round(mailbox).is_some_and(|round| round.closed)
        || board.session(&mailbox.session).is_some_and(|record| matches!(record.phase, Phase::Ended | Phase::Erased))
}

/// True if a block may bring what [`is_enough`]. Thousands may wait for one mailbox: they look at the board only then.
fn matters(block: &CertifiedBlock, mailbox: &MailboxId, wanted: u32) -> bool {
    block.events.iter().any(|event| match event {
        Event::Entry(entry) => entry.mailbox == *mailbox && entry.position.saturating_add(1) >= wanted,
        Event::Round { session, round, state } => {
            state.closed && (session, round) == (&mailbox.session, &mailbox.round)
        }
        Event::Session { session, stored } => {
            *session == mailbox.session && matches!(stored.record.phase, Phase::Ended | Phase::Erased)
        }
        Event::Erased { session } => *session == mailbox.session,
        Event::Listed(_) | Event::Generation { .. } | Event::Backup(_) => false,
    })
}
