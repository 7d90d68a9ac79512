//! Problem documents (RFC 9457). This is the only file that knows HTTP status codes: one for each stable [`Code`].

use crate::{attempts, stored::StoreError};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use wire::{Certified, Code, NoSession, Receipt, Report, api::Problem};

/// When a client should come back, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why a request is not answered as it wished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What was wrong this time, for people.
    pub detail: String,
    /// The receipt, if the board itself refused.
    pub receipt: Option<Box<Report<Receipt>>>,
    /// The proof that there is no such session, if it was asked for.
    pub absence: Option<Box<Certified<NoSession>>>,
}

impl Failure {
    /// A failure without receipt.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), receipt: None, absence: None }
    }

    /// The problem document.
    pub fn document(self) -> Problem {
        Problem {
            kind: format!("https://white-city.invalid/problems/{}", self.code),
            title: self.code.meaning().to_owned(),
            status: status(self.code),
            code: self.code,
            detail: self.detail,
            receipt: self.receipt,
            absence: self.absence,
        }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, code.meaning())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Shared(error) => Self::from(&**error),
            StoreError::Erased => Self::new(Code::WrongPhase, "the session is erased"),
            StoreError::MissingPayload { .. } => {
                Self::new(Code::Unavailable, "a payload is being fetched from other nodes")
            }
            StoreError::NoBlock => Self::new(Code::Unavailable, "the node has no block yet"),
            StoreError::Busy => Self::new(Code::Overloaded, "too many readers"),
            error => {
                tracing::error!(error = error as &dyn std::error::Error, "the store failed");
                Self::from(Code::Internal)
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = self.code;
        let body = serde_json::to_vec(&self.document()).expect("a problem document has only string keys");
        let status = StatusCode::from_u16(status(code)).expect("the table in this file has only valid numbers");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if retries(code) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after(code)));
        }
        // For the log and the counters.
        response.extensions_mut().insert(code);
        response
    }
}

/// True if the same request may succeed after the time in `Retry-After`.
pub fn retries(code: Code) -> bool {
    matches!(status(code), 429 | 503)
}

/// When it may, in seconds.
fn retry_after(code: Code) -> u64 {
    if code == Code::TooManyAttempts { attempts::PAUSE.as_secs() } else { RETRY_AFTER_SECONDS }
}

/// The HTTP status of a code.
pub fn status(code: Code) -> u16 {
    match code {
        Code::Accepted | Code::DuplicateSame => 200,
        Code::Malformed => 400,
        Code::BadSignature | Code::NotAParty | Code::NotPermitted | Code::Absent | Code::NotRegistered => 403,
        Code::UnknownSession | Code::UnknownOperation | Code::UnknownHeight | Code::NotFound | Code::NoBackup => 404,
        Code::MethodNotAllowed => 405,
        Code::RequestTimeout => 408,
        Code::DuplicateDifferent
        | Code::SessionExists
        | Code::QuotaExceeded
        | Code::WrongPhase
        | Code::RoundClosed
        | Code::AlreadyAcknowledged
        | Code::HeightOutOfRange
        | Code::WrongGeneration
        | Code::WrongStep
        | Code::TooEarly
        | Code::NotOpen
        | Code::AlreadyRegistered
        | Code::RegistrationClosed
        | Code::SolvingClosed
        | Code::NoChallenge
        | Code::RequestsFull
        | Code::OutdatedBackup
        | Code::NoShare
        | Code::ListFull => 409,
        Code::PayloadTooLarge | Code::RequestTooLarge => 413,
        Code::UnsupportedMediaType => 415,
        Code::ReadOnly => 421,
        Code::WrongChain
        | Code::PayloadMismatch
        | Code::InvalidSpecification
        | Code::RoundOutOfRange
        | Code::WrongRecipients
        | Code::WrongShape
        | Code::BadDealing
        | Code::BadAccusation
        | Code::BadAnswer
        | Code::BadPartial
        | Code::NotCertifiable
        | Code::BadStamp
        | Code::StampExpired
        | Code::BadChallenge
        | Code::ForeignSolution
        | Code::StolenSolution
        | Code::BadSolution
        | Code::BadBackup
        | Code::WrongParent
        | Code::ThresholdTooSmall
        | Code::WeakWork => 422,
        Code::Overloaded | Code::TooManyAttempts => 429,
        Code::Internal => 500,
        Code::Unavailable | Code::NotStored | Code::NotReady => 503,
        Code::NotDecided => 504,
    }
}

/// Any answer under the status of `code`, for who looks at nothing else.
pub(crate) fn under(code: Code, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    *response.status_mut() = StatusCode::from_u16(status(code)).expect("the table in this file has only valid numbers");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_code_has_its_problem_document() {
        for code in Code::ALL {
            let response = Failure::from(*code).into_response();
            assert_eq!(response.status().as_u16(), status(*code));
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            let retry_after = response.headers().get(header::RETRY_AFTER).map(HeaderValue::as_bytes);
            let expected = match code {
                Code::Overloaded | Code::Unavailable | Code::NotStored | Code::NotReady => Some(b"1".as_slice()),
                Code::TooManyAttempts => Some(b"360".as_slice()),
                _ => None,
            };
            assert_eq!(retry_after, expected);
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let problem: Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((problem.code, problem.status), (*code, status(*code)));
            assert_eq!(problem.kind, format!("https://white-city.invalid/problems/{code}"));
            assert!(!problem.title.is_empty() && !problem.detail.is_empty());
        }
    }

    #[test]
    fn what_fails_is_never_called_a_success() {
        let successes = Code::ALL.iter().filter(|code| status(**code) < 400);
        assert_eq!(successes.collect::<Vec<_>>(), [&Code::Accepted, &Code::DuplicateSame]);
    }
}
