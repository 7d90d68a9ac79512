//! The lists of open sessions: who has asked to take part, and who has solved.

use crate::{
    certified::{CertifiedBlock, CertifiedBoard},
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding, Shown},
        extract::{Named, Parameters},
        sessions,
        waiting::Patience,
    },
    problem::Failure,
};
use axum::extract::State;
use ledger::Event;
use moka::future::Cache;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;
use wire::{Admission, Code, ListFact, ListHead, ListKind, Phase, SessionId, SessionRecord};

/// Bytes of encoded lists that are kept, and for how long.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const CACHED: Duration = Duration::from_secs(10);

/// Which part of a list, and how long to wait for it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct KeysQuery {
    /// Position of the first key, from 0. Beyond the end of the list, the answer begins at its end.
    #[serde(default)]
    from: u32,
    /// Wait until the list has so many keys from `from` on, or gets no more. The answer always has all keys from `from` on.
    #[serde(default)]
    count: u32,
    /// Wait so long at most, in milliseconds; more than 60000 counts as that.
    #[serde(default)]
    timeout_ms: u64,
    /// True for a `Certified` answer, also of an unknown session.
    #[serde(default)]
    proof: bool,
}

/// Who has asked to take part
///
/// The keys of those who asked in time to take part in an open session, in the order of the board. `head` is a hash chain over the whole list, so that
/// whoever holds the part before `from` can check the rest. The list is there until the session is erased.
#[utoipa::path(get, path = "/v1/sessions/{session}/registrants", tag = "sessions", operation_id = "registrants",
    params(("session" = SessionId, Path, description = "The session."), KeysQuery),
    responses((status = 200, description = "The list from `from` to its end; with `proof=true` a `Certified`.", body = Shown<ListFact>)))]
pub async fn registrants(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
    Parameters(query): Parameters<KeysQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    read(gateway, (session, ListKind::Registrants), query, encoding).await
}

/// Who has solved
///
/// The keys of those who solved the challenge in time, in the order of the board; the parties' list has them in another order. `head` is a hash chain over
/// the whole list, so that whoever holds the part before `from` can check the rest. The list is there until the session is erased.
#[utoipa::path(get, path = "/v1/sessions/{session}/solvers", tag = "sessions", operation_id = "solvers",
    params(("session" = SessionId, Path, description = "The session."), KeysQuery),
    responses((status = 200, description = "The list from `from` to its end; with `proof=true` a `Certified`.", body = Shown<ListFact>)))]
pub async fn solvers(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
    Parameters(query): Parameters<KeysQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    read(gateway, (session, ListKind::Solvers), query, encoding).await
}

async fn read(
    gateway: Arc<Gateway>,
    (session, list): (SessionId, ListKind),
    query: KeysQuery,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    let wanted = query.from.saturating_add(query.count);
    let mut patient = true;
    let board = loop {
        let board = gateway.board()?;
        if is_enough(&board, &session, list, wanted) || !patient {
            break board;
        }
        patient = patience.wait(|block| matters(block, &session, list, wanted)).await;
    };
    drop(patience);
    let KeysQuery { from, proof, .. } = query;
    let question = Question { session, list, from, proof, encoding, height: board.at().height };
    let shared = gateway.lists.0.try_get_with(question, question.answer(&gateway, board)).await;
    shared.map_err(|failure| Failure::clone(&failure))
}

/// Lists that were read lately. When many wait for the same list, the answer is read, proved and encoded once.
pub struct Lists(Cache<Question, Encoded>);

impl Default for Lists {
    fn default() -> Self {
        let weigh = |_: &Question, list: &Encoded| u32::try_from(list.length()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_live(CACHED).build())
    }
}

/// What is asked of a list, of the certified board of `height` or a later one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    session: SessionId,
    list: ListKind,
    from: u32,
    proof: bool,
    encoding: Encoding,
    height: u64,
}

impl Question {
    async fn answer(self, gateway: &Arc<Gateway>, mut board: Arc<CertifiedBoard>) -> Result<Encoded, Failure> {
        let fact = loop {
            let record = open(&board, self.session, self.proof)?;
            match self.fact(gateway, &board, record).await? {
                Some(fact) => break fact,
                // The store has erased the session since: a later board says so.
                None => board = gateway.board_after(board.at().height).await?,
            }
        };
        let gateway = Arc::clone(gateway);
        let encoded = tokio::task::spawn_blocking(move || self.encoding.fact(&gateway, &board, fact, self.proof));
        encoded.await.map_err(|_| Failure::from(Code::Internal))?
    }

    /// The list as `board` has it; `None` if the store has it no more.
    async fn fact(
        self,
        gateway: &Gateway,
        board: &CertifiedBoard,
        record: SessionRecord,
    ) -> Result<Option<ListFact>, Failure> {
        let Self { session, list, .. } = self;
        let empty = ListHead::empty(gateway.chain(), &session, list);
        let head = board.list(&session, list).unwrap_or(empty);
        let from = self.from.min(head.count);
        let page = gateway.store.list(&session, list, from, head.count).await?;
        let is_whole = u32::try_from(page.keys.len()) == Ok(head.count.saturating_sub(from));
        let from_head = if from == 0 { Some(empty.head) } else { page.from_head };
        let Some(from_head) = from_head.filter(|_| is_whole) else { return Ok(None) };
        let record = (head.count == 0).then(|| Box::new(record));
        Ok(Some(ListFact { session, list, head, from, from_head, keys: page.keys, record }))
    }
}

/// The record of an open session that is not erased.
///
/// # Errors
/// [`Code::UnknownSession`], [`Code::NotOpen`], [`Code::WrongPhase`].
fn open(board: &CertifiedBoard, session: SessionId, with_proof: bool) -> Result<SessionRecord, Failure> {
    let record = board.session(&session).ok_or_else(|| sessions::unknown(board, session, with_proof))?;
    match (&record.spec.admission, record.phase) {
        (_, Phase::Erased) => Err(Failure::new(Code::WrongPhase, "the session is erased")),
        (Admission::Open { .. }, _) => Ok(record),
        (Admission::Invited { .. } | Admission::Group { .. }, _) => Err(Code::NotOpen.into()),
    }
}

/// True if waiting brings no more of what was asked for.
fn is_enough(board: &CertifiedBoard, session: &SessionId, list: ListKind, wanted: u32) -> bool {
    board.list(session, list).map_or(0, |head| head.count) >= wanted
        || board.session(session).is_some_and(|record| is_final(record.phase, list))
}

/// True if the list gets no more keys.
fn is_final(phase: Phase, list: ListKind) -> bool {
    match list {
        ListKind::Registrants => phase > Phase::Registering,
        ListKind::Solvers => phase > Phase::Solving,
    }
}

/// True if a block may bring what [`is_enough`].
fn matters(block: &CertifiedBlock, wanted: &SessionId, list: ListKind, count: u32) -> bool {
    block.events.iter().any(|event| match event {
        Event::Listed(listing) => {
            (listing.session, listing.list) == (*wanted, list) && listing.position.saturating_add(1) >= count
        }
        Event::Session { session, stored } => session == wanted && is_final(stored.record.phase, list),
        Event::Erased { session } => session == wanted,
        Event::Entry(_) | Event::Round { .. } | Event::Generation { .. } => false,
    })
}
