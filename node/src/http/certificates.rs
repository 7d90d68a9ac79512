//! Certificates and the keys under which they are.

use crate::{
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding},
        extract::Parameters,
        waiting::Patience,
    },
    problem::Failure,
};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use wire::{Certificate, Code, EndorsedKeyRecord};

/// Most epochs of one answer.
const MAX_EPOCHS: usize = 64;

/// Which certificate, and how long to wait for it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CertificateQuery {
    /// Wait for a certificate of this height or a later one.
    #[serde(default)]
    height: u64,
    /// Wait so long at most, in milliseconds; more than 60000 counts as that.
    #[serde(default)]
    timeout_ms: u64,
}

/// From which epoch on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct KeysQuery {
    /// The first epoch; 1 if not given.
    #[serde(default = "first")]
    from: u64,
}

fn first() -> u64 {
    1
}

/// The newest certificate
///
/// The block from which this node answers now: height, time and root, under the nodes' threshold key. With `timeout_ms` the answer waits until
/// `height` is reached.
#[utoipa::path(get, path = "/v1/certificate", tag = "network", operation_id = "certificate", params(CertificateQuery),
    responses((status = 200, description = "The certificate.", body = Certificate)))]
pub async fn certificate(
    State(gateway): State<Arc<Gateway>>,
    Parameters(query): Parameters<CertificateQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    loop {
        let certificate = gateway.board()?.certificate;
        if certificate.at.height >= query.height {
            return encoding.encode(&certificate);
        }
        if !patience.wait(|block| block.at.height >= query.height).await {
            let detail = format!("the newest certificate is of height {}", certificate.at.height);
            return Err(Failure::new(Code::UnknownHeight, detail));
        }
    }
}

/// The nodes' threshold keys
///
/// One for each epoch, oldest first, at most 64. Each follows from the one before by signatures, so that they need no other proof.
#[utoipa::path(get, path = "/v1/keys", tag = "network", operation_id = "keys", params(KeysQuery),
    responses((status = 200, description = "The keys with what they follow by.", body = Vec<EndorsedKeyRecord>)))]
pub async fn keys(
    State(gateway): State<Arc<Gateway>>,
    Parameters(query): Parameters<KeysQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let board = gateway.board()?;
    let keys: Vec<EndorsedKeyRecord> =
        (query.from.max(1)..).take(MAX_EPOCHS).map_while(|epoch| board.keys(epoch)).collect();
    encoding.encode(&keys)
}
