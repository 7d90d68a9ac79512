//! The network's parameters and the node's status.

use crate::{
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding},
        health,
    },
    problem::Failure,
    stored::StoreError,
};
use axum::extract::State;
use std::sync::Arc;
use wire::{Answer, NetworkParameters, Signed, api::NodeStatus};

/// What genesis fixed
///
/// Their digest stands in the network file.
#[utoipa::path(get, path = "/v1/network", tag = "network", operation_id = "network",
    responses((status = 200, description = "The network's parameters, signed by the node.", body = Signed<Answer<NetworkParameters>>)))]
pub async fn network(State(gateway): State<Arc<Gateway>>, encoding: Encoding) -> Result<Encoded, Failure> {
    let at = gateway.store.newest().await?.ok_or(StoreError::NoBlock)?;
    encoding.report(&gateway, at, gateway.parameters.clone())
}

/// How the node is doing
///
/// For people: it is not signed.
#[utoipa::path(get, path = "/v1/status", tag = "network", operation_id = "status",
    responses((status = 200, description = "The node's status.", body = NodeStatus)))]
pub async fn status(State(gateway): State<Arc<Gateway>>, encoding: Encoding) -> Result<Encoded, Failure> {
    let live = gateway.store.live_sessions().await?;
    let reasons = health::reasons(&gateway).await;
    encoding.encode(&NodeStatus {
        chain: gateway.chain().clone(),
        name: gateway.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        consensus: gateway.consensus.name().to_owned(),
        at: live.at,
        live_sessions: live.value,
        ready: reasons.is_empty(),
        reasons,
    })
}
