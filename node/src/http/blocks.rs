//! Blocks: height, time and root.

use crate::{
    gateway::Gateway,
    http::{
        answer::{Encoded, Encoding},
        extract::{Named, Parameters},
        waiting::Patience,
    },
    problem::Failure,
    stored::StoreError,
};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use wire::{Answer, BlockFact, Code, Signed};

/// How long to wait for a block.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BlockQuery {
    /// Wait so long for the block to be there, in milliseconds; more than 60000 counts as that.
    #[serde(default)]
    timeout_ms: u64,
}

/// The newest block
#[utoipa::path(get, path = "/v1/blocks/latest", tag = "blocks", operation_id = "latest_block",
    responses((status = 200, description = "The block, signed by the node.", body = Signed<Answer<BlockFact>>)))]
pub async fn latest(State(gateway): State<Arc<Gateway>>, encoding: Encoding) -> Result<Encoded, Failure> {
    let at = gateway.board()?.at();
    encoding.report(&gateway, at, BlockFact { block: at })
}

/// One block
///
/// A node keeps the newest 100000 blocks. With `timeout_ms` the answer waits until the block is there.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "blocks", operation_id = "block",
    params(("height" = u64, Path, description = "Height of the block."), BlockQuery),
    responses((status = 200, description = "The block, signed by the node.", body = Signed<Answer<BlockFact>>)))]
pub async fn block(
    State(gateway): State<Arc<Gateway>>,
    Named(height): Named<u64>,
    Parameters(query): Parameters<BlockQuery>,
    encoding: Encoding,
) -> Result<Encoded, Failure> {
    let mut patience = Patience::new(&gateway, query.timeout_ms)?;
    loop {
        let at = match gateway.store.block(height).await {
            Ok(found) => match found.value {
                Some(block) => return encoding.report(&gateway, found.at, BlockFact { block }),
                None => Some(found.at),
            },
            Err(StoreError::NoBlock) => None,
            Err(error) => return Err(error.into()),
        };
        let to_come = at.is_none_or(|at| at.height < height);
        if !to_come || !patience.wait(|block| block.at.height >= height).await {
            let newest = at.map_or(0, |at| at.height);
            return Err(Failure::new(Code::UnknownHeight, format!("the newest block has height {newest}")));
        }
    }
}
