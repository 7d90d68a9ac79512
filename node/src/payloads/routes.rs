//! What other nodes ask of this node's payloads, over the node channel.

use super::{Payloads, fetch};
use crate::{bundler, channel::Peer, problem::Failure};
use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use wire::{
    Code, Delivery, OperationId,
    limits::{MAX_BUNDLE_SOLUTIONS, MAX_DELIVERY_BYTES, MAX_SOLUTIONS_DELIVERY_BYTES},
};

/// Requests of one node that are in memory at the same time; further ones wait.
const AT_ONCE: usize = 4;

/// Deliveries of solutions by one node that are being examined at the same time; further ones are refused. So few that each is done well before
/// whoever delivers it loses patience.
const SOLUTIONS_AT_ONCE: usize = 4;

struct Shared {
    payloads: Payloads,
    /// For each node, and for each replica after them.
    places: Vec<Semaphore>,
    /// For each node: proofs of work take long, and nothing else is to wait for them.
    solutions: Vec<Semaphore>,
}

/// The routes, to be served by [`crate::channel::server::serve`].
pub fn router(payloads: Payloads) -> Router {
    let places = |at_once| payloads.parameters().nodes.iter().map(|_| Semaphore::new(at_once)).collect();
    let (places, solutions) = (places(AT_ONCE), places(SOLUTIONS_AT_ONCE));
    Router::new()
        .route(bundler::ROUTE, post(deliver).layer(DefaultBodyLimit::disable()))
        .route(fetch::ROUTE, post(give))
        .with_state(Arc::new(Shared { payloads, places, solutions }))
}

/// The route of replicas, of which there are so many: what they ask for keeps no node waiting.
pub fn replica_router(payloads: Payloads, replicas: usize) -> Router {
    let callers = payloads.parameters().nodes.len().saturating_add(replicas);
    let places = (0..callers).map(|_| Semaphore::new(AT_ONCE)).collect();
    let shared = Shared { payloads, places, solutions: Vec::new() };
    Router::new().route(fetch::ROUTE, post(give)).with_state(Arc::new(shared))
}

async fn deliver(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(gateway)): Extension<Peer>,
    body: Body,
) -> Result<Vec<u8>, Failure> {
    // Before the body is read, so that what a node sends is in memory a few times only.
    let place = shared.places.get(gateway).ok_or(Code::NotPermitted)?.acquire().await;
    let place = place.map_err(|_| Failure::from(Code::Unavailable))?;
    let body = to_bytes(body, MAX_DELIVERY_BYTES).await.map_err(|_| Failure::from(Code::RequestTooLarge))?;
    let length = body.len();
    let delivery = Delivery::decode(&body)?;
    drop(body);
    let confirmation = if bundler::has_solutions(&delivery) {
        drop(place);
        let is_too_much = delivery.envelopes.len() > MAX_BUNDLE_SOLUTIONS;
        if is_too_much || !delivery.envelopes.iter().all(|envelope| bundler::is_solution(&envelope.signed.body)) {
            return Err(Code::Malformed.into());
        }
        if length > MAX_SOLUTIONS_DELIVERY_BYTES {
            return Err(Code::RequestTooLarge.into());
        }
        let place = shared.solutions.get(gateway).ok_or(Code::NotPermitted)?.try_acquire();
        let _place = place.map_err(|_| Failure::from(Code::Overloaded))?;
        shared.payloads.take(gateway, delivery).await?
    } else {
        let confirmation = shared.payloads.take(gateway, delivery).await?;
        drop(place);
        confirmation
    };
    borsh::to_vec(&confirmation).map_err(|_| Failure::from(Code::Internal))
}

async fn give(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Bytes,
) -> Result<Vec<u8>, Failure> {
    let operation = OperationId(body.as_ref().try_into().map_err(|_| Failure::from(Code::Malformed))?);
    let place = shared.places.get(peer).ok_or(Code::NotPermitted)?.acquire().await;
    let _place = place.map_err(|_| Failure::from(Code::Unavailable))?;
    Ok(shared.payloads.for_peer(&operation).await?.ok_or(Code::UnknownOperation)?.0)
}
