//! Writes: operations come in, receipts go out.

use crate::{
    bundler::is_solution,
    gateway::{Gateway, SOLUTION_BYTES},
    http::{
        answer::{Encoded, Encoding},
        extract::{Named, Parameters, RawBody},
        page::Part,
        waiting::Patience,
    },
    problem::Failure,
    submit::{self, Fate},
};
use axum::extract::State;
use futures::future::try_join_all;
use rand_core::OsRng;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use utoipa::{IntoParams, ToSchema};
use wire::{
    Answer, BoardAt, Certified, Code, Envelope, MailboxFact, Operation, OperationId, Receipt, Signed, Submission,
    SubmissionOutcome, Verified,
    api::{OperationOutcome, Outcome},
    limits::{MAX_REQUEST_OPERATIONS, MAX_WAIT_MS},
    signed::verify_all,
};

/// How long a request waits for receipts unless it says otherwise.
const TIMEOUT_MS: u64 = 10_000;

/// What to wait for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Until the board has decided.
    #[default]
    Commit,
    /// Until consensus has the operations.
    None,
}

/// How long to wait, and for what.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SubmitQuery {
    /// `commit`: answer when the board has decided. `none`: answer when consensus has the operations.
    #[serde(default)]
    #[param(inline)]
    wait: Wait,
    /// Hand the operations in, again if needed, for so long, in milliseconds; 10000 if not given, more than 60000 counts as that.
    timeout_ms: Option<u64>,
}

/// What to show of an operation.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReceiptQuery {
    /// True for the proof that a write was accepted, instead of the receipt.
    #[serde(default)]
    proof: bool,
    /// With `proof`: wait so long at most for a certificate that covers the operation, in milliseconds; more than 60000 counts as that.
    #[serde(default)]
    timeout_ms: u64,
}

/// What is shown of an operation.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ShownOperation {
    /// What this node says that the board did.
    Receipt(Signed<Answer<Receipt>>),
    /// The part of the mailbox that has the entry, with its proof.
    Entry(Certified<MailboxFact>),
}

/// Hands in operations
///
/// The gateway checks them, hands them in, and answers with the receipts. A single operation that is refused, or not decided in time,
/// is answered with a problem document; with several, each has its own outcome in the answer. Handing in the same bytes again is always safe.
#[utoipa::path(post, path = "/v1/operations", tag = "operations", operation_id = "submit", params(SubmitQuery),
    request_body(content = Submission, description = "1 to 256 signed operations."),
    responses((status = 200, description = "What became of each operation.", body = SubmissionOutcome)))]
pub async fn submit(
    State(gateway): State<Arc<Gateway>>,
    Parameters(query): Parameters<SubmitQuery>,
    encoding: Encoding,
    body: RawBody,
) -> Result<Encoded, Failure> {
    gateway.submitter()?;
    let started = Instant::now();
    let until = started + Duration::from_millis(query.timeout_ms.unwrap_or(TIMEOUT_MS).min(MAX_WAIT_MS));
    let shared = Arc::clone(&gateway);
    let checked = gateway.checks.run(move || check(&shared, &body)).await?;
    // At the same time, for a solution is handed in only when its proof of work is verified.
    let hand_in = |Checked { operation, envelope, verdict }| {
        let progress = hand_in(&gateway, envelope, verdict, until, query.wait);
        async move { Ok::<_, Failure>((operation, progress.await?)) }
    };
    let progress = try_join_all(checked.into_iter().map(hand_in)).await?;
    let alone = progress.len() == 1;
    let mut operations = Vec::with_capacity(progress.len());
    for (operation, progress) in progress {
        let fate = match progress {
            Progress::Done(fate) => Some(fate),
            Progress::Waiting(fate) => timeout_at(until, fate).await.ok().and_then(Result::ok),
        };
        operations.push(outcome(&gateway, operation, fate, alone, query.wait)?);
    }
    if query.wait == Wait::Commit {
        metrics::histogram!("white_city_receipt_seconds").record(started.elapsed().as_secs_f64());
    }
    encoding.encode(&SubmissionOutcome { operations })
}

/// Reads a receipt
///
/// The acceptance if the operation was ever accepted, else the newest refusal, signed by the node. Refusals are forgotten after 100000 blocks.
///
/// A receipt is one node's word. What proves that a write was accepted is its entry: with `proof=true` the answer is not the receipt, but the certified part
/// of the mailbox that has exactly this entry, without its payload. For other operations there is no such proof.
#[utoipa::path(get, path = "/v1/operations/{operation}", tag = "operations", operation_id = "receipt",
    params(("operation" = OperationId, Path, description = "The operation."), ReceiptQuery),
    responses((status = 200, description = "The receipt; with `proof=true` the mailbox with the entry.", body = ShownOperation)))]
pub async fn receipt(
    State(gateway): State<Arc<Gateway>>,
    Named(operation): Named<OperationId>,
    Parameters(ReceiptQuery { proof, timeout_ms }): Parameters<ReceiptQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    if proof {
        return entry(&gateway, &operation, timeout_ms, encoding).await;
    }
    let found = gateway.store.receipt(&operation).await?;
    encoding.receipt(&gateway, found.at, found.value.ok_or(Code::UnknownOperation)?)
}

/// The certified part of the mailbox that has the entry of an accepted write.
async fn entry(
    gateway: &Arc<Gateway>,
    operation: &OperationId,
    timeout_ms: u64,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let mut patience = Patience::new(gateway, timeout_ms)?;
    let receipt = gateway.store.receipt(operation).await?.value.ok_or(Code::UnknownOperation)?;
    if receipt.code != Code::Accepted {
        return Err(Failure::new(
            Code::NotCertifiable,
            format!("the board has refused the operation: {}", receipt.code),
        ));
    }
    let place = gateway.store.place(operation).await?;
    let (mailbox, from) = place
        .ok_or_else(|| Failure::new(Code::NotCertifiable, "the operation is no write, or its session is erased"))?;
    let board = loop {
        let board = gateway.board()?;
        if board.at().height >= receipt.height {
            break board;
        }
        if !patience.wait(|block| block.at.height >= receipt.height).await {
            let detail = format!("the operation is in block {}, which is not certified yet", receipt.height);
            return Err(Failure::new(Code::NotReady, detail));
        }
    };
    let part = Part { mailbox, from, limit: 1, bodies: false, recipient: None };
    let (board, fact) = part.read(gateway, board, true).await?;
    encoding.fact(gateway, &board, fact, true)
}

struct Checked {
    operation: OperationId,
    envelope: Envelope,
    /// What the gateway knows by itself.
    verdict: Verdict,
}

enum Verdict {
    /// Not what it claims to be.
    Unsound(Code),
    /// Sound; the second is what the rules say of it now.
    Sound(Box<Verified<Operation>>, Result<(), Code>),
}

enum Progress {
    Done(Fate),
    Waiting(oneshot::Receiver<Fate>),
}

/// Parses and checks a request's operations, the signatures in one batch.
fn check(gateway: &Gateway, body: &RawBody) -> Result<Vec<Checked>, Failure> {
    let Submission { operations } = body.parse()?;
    if !(1..=MAX_REQUEST_OPERATIONS).contains(&operations.len()) {
        let detail = format!("a request has 1 to {MAX_REQUEST_OPERATIONS} operations");
        return Err(Failure::new(Code::WrongShape, detail));
    }
    let sound = |envelope: &Envelope| {
        envelope.signed.body.check_shape()?;
        envelope.signed.body.check_payload(&envelope.payload)
    };
    let shapes: Vec<Result<(), Code>> = operations.iter().map(sound).collect();
    let signed = operations.iter().map(|envelope| envelope.signed.clone()).collect();
    let verified = verify_all(signed, gateway.chain(), OsRng);
    let checked = operations.into_iter().zip(shapes).zip(verified).map(|((envelope, shape), verified)| {
        let operation = envelope.id();
        let verdict = match shape.and(verified) {
            Ok(verified) => {
                let now = (gateway.check)(&verified);
                Verdict::Sound(Box::new(verified), now)
            }
            Err(code) => Verdict::Unsound(code),
        };
        Checked { operation, envelope, verdict }
    });
    Ok(checked.collect())
}

async fn hand_in(
    gateway: &Gateway,
    envelope: Envelope,
    verdict: Verdict,
    until: Instant,
    wait: Wait,
) -> Result<Progress, Failure> {
    let refused = |code: Code| Progress::Done(Fate::Refused { code, detail: code.meaning().to_owned() });
    let (verified, now) = match verdict {
        Verdict::Unsound(code) => return Ok(refused(code)),
        Verdict::Sound(verified, now) => (*verified, now),
    };
    if let Err(code) = now {
        // What was accepted before would be refused now, and its author wants the receipt.
        let found = gateway.store.receipt(&OperationId(verified.digest().0)).await?;
        match found.value {
            Some(receipt) if submit::is_settled(receipt.code) => {
                return Ok(Progress::Done(Fate::Decided { at: found.at, receipt }));
            }
            // Executed, but its block is not stored yet: the receipt is about to come.
            _ if code == Code::DuplicateSame => {}
            _ => return Ok(refused(code)),
        }
    } else if is_solution(verified.body()) {
        match examine(gateway, &verified, &envelope, until).await {
            Ok(()) | Err(Code::DuplicateSame) => {}
            Err(code) => return Ok(refused(code)),
        }
    } else if let Err(code) = gateway.payloads.examine_backup(&verified, &envelope.payload).await {
        return Ok(refused(code));
    }
    Ok(match gateway.submitter()?.submit(verified, envelope, until, wait == Wait::Commit).await {
        Ok(fate) => Progress::Waiting(fate),
        Err(code) => refused(code),
    })
}

/// Waits until a solution's proof of work is verified. What takes too long goes on, and is known when the same bytes come again.
async fn examine(
    gateway: &Gateway,
    verified: &Verified<Operation>,
    envelope: &Envelope,
    until: Instant,
) -> Result<(), Code> {
    let bytes = u32::try_from(envelope.payload.0.len().max(SOLUTION_BYTES)).map_err(|_| Code::PayloadTooLarge)?;
    let _place = gateway.solution_bytes.try_acquire_many(bytes).map_err(|_| Code::Overloaded)?;
    let examined = timeout_at(until, gateway.payloads.examine(verified, &envelope.payload)).await;
    examined.unwrap_or(Err(Code::NotDecided))
}

/// # Errors
/// What becomes a problem document, if the operation is the request's only one.
fn outcome(
    gateway: &Gateway,
    operation: OperationId,
    fate: Option<Fate>,
    alone: bool,
    wait: Wait,
) -> Result<OperationOutcome, Failure> {
    let outcome = match fate {
        Some(Fate::Decided { at, receipt }) => decided(gateway, at, receipt, alone)?,
        // Nothing is lost, so it is no problem; there is no receipt, for the board has one for the first only.
        Some(Fate::Refused { code, detail }) if alone && code != Code::DuplicateSame => {
            return Err(Failure::new(code, detail));
        }
        Some(Fate::Refused { code, .. }) => Outcome::Refused { code },
        Some(Fate::HandedIn) => Outcome::Pending,
        None if alone && wait == Wait::Commit => return Err(Code::NotDecided.into()),
        None => Outcome::Pending,
    };
    Ok(OperationOutcome { operation, outcome })
}

fn decided(gateway: &Gateway, at: BoardAt, receipt: Receipt, alone: bool) -> Result<Outcome, Failure> {
    let code = receipt.code;
    let report = Box::new(gateway.reporter.report(at, receipt));
    if alone && !submit::is_settled(code) {
        return Err(Failure { receipt: Some(report), ..code.into() });
    }
    Ok(Outcome::Decided { receipt: report })
}
