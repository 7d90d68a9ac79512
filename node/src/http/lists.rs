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
    store::StoreError,
};
use axum::extract::State;
use ledger::Event;
use moka::future::Cache;
use serde::Deserialize;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use utoipa::IntoParams;
use wire::{Admission, Code, Hash, ListFact, ListHead, ListKind, Phase, PublicKey, SessionId, SessionRecord};

/// Bytes of encoded lists that are kept, and for how long.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const CACHED: Duration = Duration::from_secs(10);
/// The same of lists as they were read.
const WHOLE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a key with the head after it.
const KEY_BYTES: u32 = 64;
/// Answers that are read and encoded at the same time. Fewer than the store has readers, for other reads are not to wait for long lists.
const AT_ONCE: usize = 2;
/// So long does an answer wait for its turn.
const TURN: Duration = Duration::from_secs(2);

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
    let wanted = query.from.saturating_add(query.count);
    let is_enough = |board: &CertifiedBoard| is_enough(board, &session, list, wanted);
    let matters = |block: &CertifiedBlock| matters(block, &session, list, wanted);
    let board = Patience::new(&gateway, query.timeout_ms)?.board(&gateway, is_enough, matters).await?;
    let KeysQuery { from, proof, .. } = query;
    let question = Question { session, list, from, proof, encoding, height: board.at().height };
    let shared = gateway.lists.answers.try_get_with(question, question.answer(&gateway, board)).await;
    shared.map_err(|failure| Failure::clone(&failure))
}

/// Lists that were read lately. When many wait for the same list, it is read once whatever part of it they want, and the same part is proved and
/// encoded once.
pub struct Lists {
    answers: Cache<Question, Encoded>,
    /// None of those that the store has no more.
    whole: Cache<Version, Option<Whole>>,
    places: Semaphore,
}

/// A list that has this head: there is only one.
type Version = (SessionId, ListKind, Hash);

/// All keys of a list, each with the head after it.
type Whole = Arc<Vec<(PublicKey, Hash)>>;

impl Default for Lists {
    fn default() -> Self {
        let weigh = |_: &Question, list: &Encoded| u32::try_from(list.length()).unwrap_or(u32::MAX);
        let keys = |whole: &Option<Whole>| whole.as_ref().map_or(0, |whole| whole.len());
        let weigh_whole = move |_: &Version, whole: &Option<Whole>| {
            u32::try_from(keys(whole)).unwrap_or(u32::MAX).saturating_add(1).saturating_mul(KEY_BYTES)
        };
        Self {
            answers: Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_live(CACHED).build(),
            whole: Cache::builder().max_capacity(WHOLE_BYTES).weigher(weigh_whole).time_to_live(CACHED).build(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Lists {
    /// The turn to read and encode.
    ///
    /// # Errors
    /// [`Code::Overloaded`] if it does not come soon.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let overloaded = || Failure::new(Code::Overloaded, "too many lists are being read");
        let place = timeout(TURN, self.places.acquire()).await.map_err(|_| overloaded())?;
        place.map_err(|_| Failure::from(Code::Unavailable))
    }

    /// A list with this head, by `read` if it was not read lately; `None` if the store has it no more.
    async fn whole(
        &self,
        (session, list, head): (SessionId, ListKind, ListHead),
        read: impl Future<Output = Result<Vec<(PublicKey, Hash)>, StoreError>>,
    ) -> Result<Option<Whole>, Failure> {
        let read = async {
            let found = read.await.map_err(Failure::from)?;
            let is_whole = u32::try_from(found.len()) == Ok(head.count);
            Ok::<_, Failure>(is_whole.then(|| Arc::new(found)))
        };
        let whole = self.whole.try_get_with((session, list, head.head), read).await;
        whole.map_err(|failure| Failure::clone(&failure))
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
        loop {
            let record = open(&board, self.session, self.proof)?;
            let turn = gateway.lists.turn().await?;
            if let Some(fact) = self.fact(gateway, &board, record).await? {
                let gateway = Arc::clone(gateway);
                let encode = move || self.encoding.fact(&gateway, &board, fact, self.proof);
                return tokio::task::spawn_blocking(encode).await.map_err(|_| Failure::from(Code::Internal))?;
            }
            drop(turn);
            // The store has erased the session since: a later board says so.
            board = gateway.board_after(board.at().height).await?;
        }
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
        let read = gateway.store.list(&session, list, head.count);
        let whole = gateway.lists.whole((session, list, head), read).await?;
        Ok(whole.map(|whole| part(&whole, self, (empty, head), record)))
    }
}

/// What is asked for of a whole list with the second of the heads.
fn part(
    whole: &[(PublicKey, Hash)],
    question: Question,
    heads: (ListHead, ListHead),
    record: SessionRecord,
) -> ListFact {
    let (Question { session, list, .. }, (empty, head)) = (question, heads);
    let from = question.from.min(head.count);
    let (before, keys) = whole.split_at_checked(usize::try_from(from).unwrap_or(usize::MAX)).unwrap_or((whole, &[]));
    let from_head = before.last().map_or(empty.head, |(_, head)| *head);
    let keys = keys.iter().map(|(key, _)| *key).collect();
    ListFact { session, list, head, from, from_head, keys, record: (head.count == 0).then(|| Box::new(record)) }
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
        Event::Entry(_) | Event::Round { .. } | Event::Generation { .. } | Event::Backup(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_list_is_read_once_for_all_parts_and_all_heights() {
        let (lists, reads) = (Lists::default(), AtomicUsize::new(0));
        let session = SessionId([1; 32]);
        let mut head = ListHead { count: 0, head: Hash([9; 32]) };
        let rows: Vec<_> = (0..3_u8)
            .map(|number| {
                head.append(&PublicKey([number; 32]));
                (PublicKey([number; 32]), head.head)
            })
            .collect();
        let read = |list, count: usize| {
            let rows = rows.get(..count).unwrap_or_default().to_vec();
            let read = async {
                reads.fetch_add(1, Ordering::SeqCst);
                Ok(rows)
            };
            lists.whole((session, list, head), read)
        };
        for _ in 0..50 {
            let whole = read(ListKind::Solvers, 3).await.unwrap().unwrap();
            assert_eq!(*whole, rows);
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        assert_eq!(read(ListKind::Registrants, 2).await.unwrap(), None, "the store has erased some of it");
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn few_lists_are_read_at_once() {
        let lists = Lists::default();
        let held = [lists.turn().await.unwrap(), lists.turn().await.unwrap()];
        assert_eq!(lists.turn().await.unwrap_err().code, Code::Overloaded);
        drop(held);
        assert!(lists.turn().await.is_ok());
    }
}
