//! The network's parameters and the node's status.

use crate::{
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding, Shown},
        extract::Parameters,
        health,
        sessions::ProofQuery,
    },
    problem::Failure,
};
use axum::extract::State;
use std::sync::Arc;
use wire::{NetworkParameters, api::NodeStatus};

/// What genesis fixed
///
/// Their digest stands in the network file.
#[utoipa::path(get, path = "/v1/network", tag = "network", operation_id = "network", params(ProofQuery),
    responses((status = 200, description = "The network's parameters; with `proof=true` a `Certified`.", body = Shown<NetworkParameters>)))]
pub async fn network(
    State(gateway): State<Arc<Gateway>>,
    Parameters(ProofQuery { proof }): Parameters<ProofQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    encoding.fact(&gateway, &*gateway.board()?, gateway.parameters.clone(), proof)
}

/// How the node is doing
///
/// For people: it has no proof.
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
        warnings: health::warnings(&gateway),
        generation: gateway.progress.borrow().generation.clone(),
    })
}
