//! Sessions and their lists of parties.

use crate::{
    abci::now_ms,
    certified::{CertifiedBlock, CertifiedBoard},
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding, Shown},
        extract::{Named, Parameters},
        waiting::Patience,
    },
    problem::Failure,
};
use axum::extract::State;
use ledger::Event;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use wire::{
    Code, ListKind, NoSession, PartiesFact, Phase, SessionFact, SessionId, SessionRecord,
    api::{PhaseStatus, SessionPage},
};

/// Most sessions of one page.
const MAX_PAGE_SESSIONS: u32 = 200;
const PAGE_SESSIONS: u32 = 50;

/// Which part of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// `next` of the page before; none for the first page.
    cursor: Option<String>,
    /// Most sessions to list, 1 to 200; 50 if not given.
    limit: Option<u32>,
}

/// What to wait for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Wait so long, in milliseconds, for the session to exist and its phase to be another than `not_phase`; more than 60000
    /// counts as that.
    #[serde(default)]
    timeout_ms: u64,
    /// The phase that is not waited for.
    not_phase: Option<Phase>,
    /// True to wait, too, for the challenge of an open session, or for it to be past solving.
    #[serde(default)]
    challenge: bool,
    /// True for a `Certified` answer, also of an unknown session.
    #[serde(default)]
    proof: bool,
}

impl SessionQuery {
    /// True if the session has come as far as is waited for.
    fn is_met(&self, record: &SessionRecord) -> bool {
        let has_challenge = record.registration.is_some_and(|registration| registration.challenge.is_some());
        Some(record.phase) != self.not_phase && (!self.challenge || has_challenge || record.phase > Phase::Solving)
    }
}

/// How to answer.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// True for a `Certified` answer, also of an unknown session.
    #[serde(default)]
    pub proof: bool,
}

/// Lists sessions
///
/// In order of creation, for people: it has no proof.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", operation_id = "list_sessions", params(ListQuery),
    responses((status = 200, description = "A page of the list.", body = SessionPage)))]
pub async fn list(
    State(gateway): State<Arc<Gateway>>,
    Parameters(query): Parameters<ListQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let after = match query.cursor {
        Some(cursor) => cursor.parse().map_err(|_| Failure::new(Code::Malformed, "no such cursor"))?,
        None => 0,
    };
    let limit = query.limit.unwrap_or(PAGE_SESSIONS);
    if !(1..=MAX_PAGE_SESSIONS).contains(&limit) {
        return Err(Failure::new(Code::Malformed, format!("limit is 1 to {MAX_PAGE_SESSIONS}")));
    }
    let mut found = gateway.store.sessions(after, limit.saturating_add(1)).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| more).map(|(number, _)| number.to_string());
    encoding.encode(&SessionPage { sessions: found.into_iter().map(|(_, summary)| summary).collect(), next })
}

/// One session
///
/// Check that its `spec`, `creator` and `nonce` hash to the id. With `timeout_ms` the answer waits until the session exists and its
/// phase is another than `not_phase`, or the time is up. With `challenge=true` it waits, too, until the nodes have drawn the challenge, which then is
/// `registration.challenge`, or until there will be none any more.
#[utoipa::path(get, path = "/v1/sessions/{session}", tag = "sessions", operation_id = "session",
    params(("session" = SessionId, Path, description = "The session."), SessionQuery),
    responses((status = 200, description = "The session; with `proof=true` a `Certified`.", body = Shown<SessionFact>)))]
pub async fn session(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
    Parameters(query): Parameters<SessionQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    let mut patient = true;
    loop {
        let board = gateway.board()?;
        let record = board.session(&session);
        if record.as_ref().is_some_and(|record| query.is_met(record)) || !patient {
            let record = record.ok_or_else(|| unknown(&board, session, query.proof))?;
            return encoding.fact(&gateway, &board, SessionFact { session, record }, query.proof);
        }
        // When the time is up the session is read again: the answer is of now, not of when the wait began.
        patient = patience.wait(|block| changes(block, &session)).await;
    }
}

/// Where a session stands
///
/// Its phase, how long that lasts yet by this node's clock, and how many have asked to take part and solved. For people: it has no proof.
#[utoipa::path(get, path = "/v1/sessions/{session}/phase", tag = "sessions", operation_id = "phase",
    params(("session" = SessionId, Path, description = "The session.")),
    responses((status = 200, description = "Where it stands.", body = PhaseStatus)))]
pub async fn phase(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let board = gateway.board()?;
    let record = board.session(&session).ok_or_else(|| unknown(&board, session, false))?;
    let count = |list| board.list(&session, list).map_or(0, |head| head.count);
    encoding.encode(&PhaseStatus {
        at: board.at(),
        session,
        phase: record.phase,
        deadline_ms: record.deadline_ms,
        left_ms: record.deadline_ms.map(|deadline_ms| deadline_ms.saturating_sub(now_ms())),
        challenge: record.registration.is_some_and(|registration| registration.challenge.is_some()),
        registrants: count(ListKind::Registrants),
        solvers: count(ListKind::Solvers),
        parties: record.parties,
    })
}

/// A session's list of parties
///
/// A party's index is its place in the list. The list's digest is in the session's record. The list of an open session is empty until it is final, that is
/// as long as the session registers or solves, and stays so if it ended then.
#[utoipa::path(get, path = "/v1/sessions/{session}/parties", tag = "sessions", operation_id = "parties",
    params(("session" = SessionId, Path, description = "The session."), ProofQuery),
    responses((status = 200, description = "The list; with `proof=true` a `Certified`.", body = Shown<PartiesFact>)))]
pub async fn parties(
    State(gateway): State<Arc<Gateway>>,
    Named(session): Named<SessionId>,
    Parameters(ProofQuery { proof }): Parameters<ProofQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let board = gateway.board()?;
    let parties = board.parties(&session).ok_or_else(|| unknown(&board, session, proof))?;
    encoding.fact(&gateway, &board, PartiesFact { session, parties }, proof)
}

/// There is no such session on this board.
pub(crate) fn unknown(board: &CertifiedBoard, session: SessionId, with_proof: bool) -> Failure {
    let absence = with_proof.then(|| Box::new(board.prove(NoSession { session })));
    Failure { absence, ..Code::UnknownSession.into() }
}

fn changes(block: &CertifiedBlock, wanted: &SessionId) -> bool {
    block.events.iter().any(|event| matches!(event, Event::Session { session, .. } if session == wanted))
}
