//! Whether the node lives, is ready, and what it counts.

use crate::{gateway::Gateway, problem, telemetry};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use wire::Code;

/// Whether the node can take writes now, or a replica can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// True if it can.
    pub ready: bool,
    /// Why not, for people; empty if it can.
    pub reasons: Vec<String>,
    /// What its operator should know though it takes writes.
    pub warnings: Vec<String>,
}

/// The process lives
///
/// Answers as long as the process can answer at all.
#[utoipa::path(get, path = "/livez", tag = "operation", operation_id = "livez",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain", example = "ok")))]
pub async fn livez() -> &'static str {
    "ok"
}

/// The node is ready for writes, a replica for reads
///
/// Not while it catches up, while its consensus engine is down, before its first block, before the nodes have made their threshold
/// key and certified a board with it, or when its database fails.
#[utoipa::path(get, path = "/readyz", tag = "operation", operation_id = "readyz",
    responses((status = 200, description = "It is ready.", body = Readiness),
              (status = 503, description = "It is not, and why.", body = Readiness)))]
pub async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    let reasons = reasons(&gateway).await;
    let readiness = Readiness { ready: reasons.is_empty(), reasons, warnings: warnings(&gateway) };
    let code = if readiness.ready { Code::Accepted } else { Code::Unavailable };
    problem::under(code, Json(readiness))
}

/// Counters for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")))]
pub async fn metrics() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render()).into_response()
}

/// Why the node cannot take writes now; empty if it can.
pub(crate) async fn reasons(gateway: &Gateway) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Err(reason) = gateway.consensus.ready() {
        reasons.push(reason);
    }
    match gateway.store.newest().await {
        Ok(Some(_)) => reasons.extend(waiting_for_key(gateway).or_else(|| waiting_for_certificate(gateway))),
        Ok(None) => reasons.push("there is no block yet".to_owned()),
        Err(error) => reasons.push(error.to_string()),
    }
    reasons
}

/// What the operator should know though the node takes writes.
pub(crate) fn warnings(gateway: &Gateway) -> Vec<String> {
    gateway.progress.borrow().warnings()
}

fn waiting_for_certificate(gateway: &Gateway) -> Option<String> {
    let is_certified = gateway.certified.newest().borrow().is_some();
    (!is_certified).then(|| "no certificate yet: f + 1 nodes must have executed the newest block".to_owned())
}

fn waiting_for_key(gateway: &Gateway) -> Option<String> {
    let names: Vec<&str> = gateway.parameters.nodes.iter().map(|node| node.name.as_str()).collect();
    gateway.progress.borrow().waiting_for(&names)
}
