//! Encodings of answers: JSON, or borsh if the client asks for it.

use crate::{gateway::Gateway, problem::Failure};
use axum::{
    body::Bytes,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use borsh::BorshSerialize;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc};
use wire::{BoardAt, Code, Fact};

/// Media type of JSON.
pub const JSON: &str = "application/json";
/// Media type of borsh.
pub const BORSH: &str = "application/octet-stream";

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

    /// Signs a fact and encodes the report.
    ///
    /// # Errors
    /// As [`Encoding::encode`].
    pub fn report<F: Fact + Serialize>(self, gateway: &Gateway, at: BoardAt, fact: F) -> Result<Encoded, Failure> {
        self.encode(&gateway.reporter.report(at, fact))
    }
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
