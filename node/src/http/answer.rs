//! Encodings of answers: JSON, or borsh if the client asks for it.

use crate::{certified::CertifiedBoard, gateway::Gateway, problem::Failure};
use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use borsh::BorshSerialize;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{Answer, BoardAt, Certified, Code, Provable, Receipt};

/// Media type of JSON.
pub const JSON: &str = "application/json";
/// Media type of borsh.
pub const BORSH: &str = "application/octet-stream";

/// Answers below this length are not counted: the number of connections bounds them.
const LONG: usize = 64 * 1024;

/// What an answer with a fact is: by itself, or with its proof.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Shown<F> {
    /// By itself: the node's word.
    Alone(Answer<F>),
    /// With the proof.
    Certified(Certified<F>),
}

/// An encoded answer. Clones share its bytes.
#[derive(Clone, Debug)]
pub struct Encoded {
    media_type: &'static str,
    bytes: Bytes,
}

impl Encoded {
    /// Length in bytes.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps `turn` until the last byte has left.
    pub(crate) fn keep(self, turn: OwnedSemaphorePermit) -> Self {
        Self { bytes: Bytes::from_owner(Weighed { bytes: self.bytes, _share: turn }), ..self }
    }
}

impl IntoResponse for Encoded {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type))], self.bytes).into_response()
    }
}

/// How the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// For everybody.
    Json,
    /// Half as long, for programs.
    Borsh,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accept.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
        let known = first.into_iter().find(|media_type| [JSON, BORSH].contains(media_type));
        if known == Some(BORSH) { Self::Borsh } else { Self::Json }
    }

    /// Encodes an answer.
    ///
    /// # Errors
    /// [`Code::Internal`]; no type of ours causes it.
    pub fn encode<T: Serialize + BorshSerialize>(self, answer: &T) -> Result<Encoded, Failure> {
        let internal = |error: String| {
            tracing::error!(error, "cannot encode an answer");
            Failure::from(Code::Internal)
        };
        let (media_type, bytes) = match self {
            Self::Json => (JSON, serde_json::to_vec(answer).map_err(|error| internal(error.to_string()))?),
            Self::Borsh => (BORSH, borsh::to_vec(answer).map_err(|error| internal(error.to_string()))?),
        };
        Ok(Encoded { media_type, bytes: bytes.into() })
    }

    /// Encodes a fact of a certified board, with its proofs if they are asked for. A long answer has its share of the memory for answers
    /// until its last byte has left, for a client may take its time.
    ///
    /// # Errors
    /// As [`Encoding::encode`]; [`Code::Overloaded`] if answers that have not left take all of that memory.
    pub fn fact<F: Provable + Serialize + BorshSerialize>(
        self,
        gateway: &Gateway,
        board: &CertifiedBoard,
        fact: F,
        with_proof: bool,
    ) -> Result<Encoded, Failure> {
        let answer =
            if with_proof { self.encode(&board.prove(fact))? } else { self.encode(&Answer { at: board.at(), fact })? };
        Ok(Encoded { bytes: weigh(answer.bytes, &gateway.answer_bytes)?, ..answer })
    }

    /// Signs a receipt, for which only this node's word stands, and encodes the report.
    ///
    /// # Errors
    /// As [`Encoding::encode`].
    pub fn receipt(self, gateway: &Gateway, at: BoardAt, receipt: Receipt) -> Result<Encoded, Failure> {
        self.encode(&gateway.reporter.report(at, receipt))
    }
}

/// Bytes of an answer and their share of the memory for answers.
struct Weighed {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn weigh(bytes: Bytes, memory: &Arc<Semaphore>) -> Result<Bytes, Failure> {
    if bytes.len() < LONG {
        return Ok(bytes);
    }
    let share =
        u32::try_from(bytes.len()).ok().and_then(|length| Arc::clone(memory).try_acquire_many_owned(length).ok());
    let overloaded = || Failure::new(Code::Overloaded, "too many long answers have not been taken yet");
    Ok(Bytes::from_owner(Weighed { bytes, _share: share.ok_or_else(overloaded)? }))
}

impl FromRequestParts<Arc<Gateway>> for Encoding {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_takes_memory_until_its_last_copy_is_gone() {
        let memory = Arc::new(Semaphore::new(5 * LONG / 2));
        let long = |memory| weigh(vec![7; LONG].into(), memory);
        let (first, second) = (long(&memory).unwrap(), long(&memory).unwrap());
        assert_eq!(first, vec![7; LONG]);
        assert_eq!(long(&memory).unwrap_err().code, Code::Overloaded);
        assert_eq!(weigh(vec![7; LONG - 1].into(), &memory).unwrap().len(), LONG - 1, "short ones do not count");
        let tail = second.slice(LONG - 1..);
        drop(second);
        assert!(long(&memory).is_err());
        drop(tail);
        assert!(long(&memory).is_ok());
    }

    #[test]
    fn json_unless_borsh_is_asked_for_first() {
        let encoding = |accept: &'static str| {
            Encoding::of(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        assert_eq!(Encoding::of(&HeaderMap::new()), Encoding::Json);
        assert_eq!(encoding("*/*"), Encoding::Json);
        assert_eq!(encoding("text/html, application/json;q=0.9, application/octet-stream"), Encoding::Json);
        assert_eq!(encoding("application/octet-stream"), Encoding::Borsh);
        assert_eq!(encoding("text/html,application/octet-stream;q=0.5"), Encoding::Borsh);
    }
}
