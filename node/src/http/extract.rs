//! Parts of requests, strictly: whatever is not as documented becomes a problem document.

use crate::{gateway::Gateway, http::answer, problem::Failure};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use borsh::BorshDeserialize;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{Code, limits::MAX_REQUEST_BYTES};

/// A request's body must have arrived after this time, unless the server says otherwise.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The time that a server gives bodies; an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub struct BodyTimeout(pub Duration);

impl Default for BodyTimeout {
    fn default() -> Self {
        Self(BODY_TIMEOUT)
    }
}

/// Query parameters; unknown ones are refused.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Gateway>> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, gateway).await;
        query.map(|Query(value)| Self(value)).map_err(|error| Failure::new(Code::Malformed, error.body_text()))
    }
}

/// What the path names.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Gateway>> for Named<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, gateway).await;
        path.map(|Path(value)| Self(value)).map_err(|error| Failure::new(Code::Malformed, error.body_text()))
    }
}

/// A body as it arrived, with its share of the memory for bodies.
pub struct RawBody {
    bytes: Vec<u8>,
    is_borsh: bool,
    _share: OwnedSemaphorePermit,
}

impl RawBody {
    /// Parses the body. It may be long: not for an async thread.
    ///
    /// # Errors
    /// [`Code::Malformed`]; [`Code::WrongShape`] for JSON that is something else than `T`.
    pub fn parse<T: DeserializeOwned + BorshDeserialize>(&self) -> Result<T, Failure> {
        if self.is_borsh {
            return borsh::from_slice(&self.bytes).map_err(|error| Failure::new(Code::Malformed, error.to_string()));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let code = if error.is_data() { Code::WrongShape } else { Code::Malformed };
            Failure::new(code, error.to_string())
        })
    }
}

impl FromRequest<Arc<Gateway>> for RawBody {
    type Rejection = Failure;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Failure> {
        let headers = request.headers();
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_borsh = match media_type.split(';').next().unwrap_or_default().trim() {
            answer::JSON => false,
            answer::BORSH => true,
            _ => return Err(Code::UnsupportedMediaType.into()),
        };
        let length: Option<usize> = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|length| length.parse().ok());
        if length.is_some_and(|length| length > MAX_REQUEST_BYTES) {
            return Err(Code::RequestTooLarge.into());
        }
        let BodyTimeout(patience) = request.extensions().get().copied().unwrap_or_default();
        let arriving = collect(request.into_body(), &gateway.body_bytes);
        let (bytes, share) =
            tokio::time::timeout(patience, arriving).await.map_err(|_| Failure::from(Code::RequestTimeout))??;
        Ok(Self { bytes, is_borsh, _share: share })
    }
}

/// Memory is taken as bytes arrive, not as they are announced, so that an announcement alone keeps nobody else out.
async fn collect(body: Body, memory: &Arc<Semaphore>) -> Result<(Vec<u8>, OwnedSemaphorePermit), Failure> {
    let take = |bytes: usize| {
        let bytes = u32::try_from(bytes).map_err(|_| Failure::from(Code::RequestTooLarge))?;
        Arc::clone(memory).try_acquire_many_owned(bytes).map_err(|_| Failure::from(Code::Overloaded))
    };
    let mut share = take(0)?;
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::new(Code::Malformed, "the body ended early"))?;
        if bytes.len().saturating_add(chunk.len()) > MAX_REQUEST_BYTES {
            return Err(Code::RequestTooLarge.into());
        }
        share.merge(take(chunk.len())?);
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, share))
}
