//! Backups that parties have left at the nodes (§V-E d), and this node's part in restoring them.

use crate::{
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding, Shown},
        extract::{Named, Parameters, RawBody},
        sessions::{self, ProofQuery},
    },
    payloads::READ_PATIENCE,
    problem::Failure,
};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use tokio::time::{Instant, timeout};
use utoipa::IntoParams;
use wire::{
    BackupFact, BackupRecord, Code, ExchangeKeysFact, Lock, PublicKey, RestoreAnswer, RestoreQuestion, RestoreRequest,
    SessionId, signed,
};

/// Questions of those who restore that are being answered at the same time; further ones wait for so long.
pub const RESTORES_AT_ONCE: usize = 2;
const TURN: std::time::Duration = std::time::Duration::from_secs(2);

/// What to show of a backup.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BackupQuery {
    /// True to get the payload, too.
    #[serde(default)]
    payload: bool,
    /// True for a `Certified` answer, also of an unknown session.
    #[serde(default)]
    proof: bool,
}

/// A party's backup
///
/// What the board knows of it, which outlives session and backup; with `payload=true` also the payload, as long as it is kept. It is encrypted, and only
/// its owner can open it, with the help of f + 1 nodes.
#[utoipa::path(get, path = "/v1/sessions/{session}/backups/{party}", tag = "backups", operation_id = "backup",
    params(("session" = SessionId, Path, description = "The session."),
           ("party" = u16, Path, description = "Index of the party."), BackupQuery),
    responses((status = 200, description = "The backup; with `proof=true` a `Certified`.", body = Shown<BackupFact>)))]
pub async fn backup(
    State(gateway): State<Arc<Gateway>>,
    Named((session, party)): Named<(SessionId, u16)>,
    Parameters(query): Parameters<BackupQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let board = gateway.board()?;
    if board.session(&session).is_none() {
        return Err(sessions::unknown(&board, session, query.proof));
    }
    let record = board.backup(&session, party);
    let kept = record.filter(|record| query.payload && record.kept.is_some());
    let payload = match kept {
        Some(record) => Some(gateway.payloads.of_backup(&record.operation, Instant::now() + READ_PATIENCE).await?),
        None => None,
    };
    encoding.fact(&gateway, &board, BackupFact { session, party, record, payload }, query.proof)
}

/// The nodes' exchange keys
///
/// Those to which owners of backups seal shares, by node; null if all nodes have the ones of genesis, which stand in the network's parameters.
#[utoipa::path(get, path = "/v1/exchange-keys", tag = "backups", operation_id = "exchange_keys", params(ProofQuery),
    responses((status = 200, description = "The keys; with `proof=true` a `Certified`.", body = Shown<ExchangeKeysFact>)))]
pub async fn exchange_keys(
    State(gateway): State<Arc<Gateway>>,
    Parameters(ProofQuery { proof }): Parameters<ProofQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let board = gateway.board()?;
    encoding.fact(&gateway, &board, ExchangeKeysFact { keys: board.exchange_keys() }, proof)
}

/// Asks this node for its part in restoring
///
/// The answer is the blinded input to the power of this node's share: it says nothing to anybody but who has blinded the input. A backup that opens with
/// its owner's identity takes that one's signature; one that opens with a passphrase takes none, but each node answers only ten times in a row, and then
/// once in six minutes.
#[utoipa::path(post, path = "/v1/sessions/{session}/backups/{party}/evaluations", tag = "backups", operation_id = "evaluate",
    params(("session" = SessionId, Path, description = "The session."),
           ("party" = u16, Path, description = "Index of the party.")),
    request_body(content = RestoreQuestion, description = "Which backup, and the blinded input."),
    responses((status = 200, description = "This node's part.", body = RestoreAnswer)))]
pub async fn evaluate(
    State(gateway): State<Arc<Gateway>>,
    Named((session, party)): Named<(SessionId, u16)>,
    encoding: Encoding,
    body: RawBody,
) -> Result<Encoded, Failure> {
    // A replica has no share.
    gateway.submitter()?;
    let question: RestoreQuestion = body.parse()?;
    let answer = answer(&gateway, (session, party), question).await;
    let code = answer.as_ref().map_or_else(|failure| failure.code, |_| Code::Accepted);
    metrics::counter!("white_city_restore_questions_total", "code" => code.as_str()).increment(1);
    encoding.encode(&answer?)
}

async fn answer(
    gateway: &Gateway,
    (session, party): (SessionId, u16),
    question: RestoreQuestion,
) -> Result<RestoreAnswer, Failure> {
    let board = gateway.board()?;
    let record = board.backup(&session, party).filter(|record| is_asked_for(record, &question));
    let record = record.ok_or(Code::NoBackup)?;
    let owner = board.parties(&session).and_then(|parties| parties.get(usize::from(party)).copied());
    let owner = owner.ok_or(Code::NoBackup)?;
    // Before anything is read or calculated: a signature tells at once, and whoever has none is a stranger.
    let is_owner = is_signed(gateway, session, &owner, &question)?;
    if !is_owner && !gateway.attempts.is_left(question.backup, question.point, Instant::now()) {
        return Err(Code::TooManyAttempts.into());
    }
    // Nobody has a place while it waits for a payload, and no attempt is used up before there is both.
    let payload = gateway.payloads.of_backup(&record.operation, Instant::now() + READ_PATIENCE).await?;
    let place = timeout(TURN, gateway.restores.acquire()).await.map_err(|_| Failure::from(Code::Overloaded))?;
    let _place = place.map_err(|_| Failure::from(Code::Unavailable))?;
    let backup = gateway.payloads.keeper().decode(&payload.0, &session, &owner)?;
    match (backup.lock, is_owner) {
        (Lock::Identity, true) => {}
        (Lock::Identity, false) => return Err(Failure::new(Code::BadSignature, "this backup's owner must sign")),
        // Whoever has stolen the identity is to guess no faster.
        (Lock::Passphrase { .. }, _) => attempt(gateway, &question)?,
    }
    let (keeper, point) = (gateway.payloads.keeper().clone(), question.point);
    let partial = tokio::task::spawn_blocking(move || keeper.evaluate(&backup, &point));
    Ok(RestoreAnswer { partial: partial.await.map_err(|_| Failure::from(Code::Internal))?? })
}

fn is_asked_for(record: &BackupRecord, question: &RestoreQuestion) -> bool {
    record.kept.is_some() && record.operation == question.backup
}

/// True if the owner has signed the question for this node.
///
/// # Errors
/// [`Code::BadSignature`] for another's signature.
fn is_signed(
    gateway: &Gateway,
    session: SessionId,
    owner: &PublicKey,
    question: &RestoreQuestion,
) -> Result<bool, Failure> {
    let Some(signature) = &question.signature else { return Ok(false) };
    let RestoreQuestion { backup, point, .. } = *question;
    let node = gateway.payloads.keeper().identity().ok_or(Code::Internal)?;
    let request = RestoreRequest { session, backup, node, point };
    signed::check(owner, &signed::digest(gateway.chain(), owner, &request), signature)?;
    Ok(true)
}

/// # Errors
/// [`Code::TooManyAttempts`].
fn attempt(gateway: &Gateway, question: &RestoreQuestion) -> Result<(), Failure> {
    let is_left = gateway.attempts.take(question.backup, question.point, Instant::now());
    if is_left { Ok(()) } else { Err(Code::TooManyAttempts.into()) }
}
