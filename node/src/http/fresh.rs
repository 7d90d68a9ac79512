//! Answers that are no older than what the client has seen: a node or replica that is a moment behind another one waits that moment, so that
//! the client need not go elsewhere.

use crate::gateway::Gateway;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// The header that names the greatest height that the client has seen certified.
pub const HEIGHT: &str = "white-city-height";
/// What is further behind answers with what it has.
const PATIENCE: Duration = Duration::from_millis(500);

/// Waits for the board that the request names, if it names one.
pub async fn catch_up(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let named = request.headers().get(HEIGHT).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(height) = named {
        let mut newest = gateway.certified.newest();
        let reached = newest.wait_for(|board| board.as_ref().is_some_and(|board| board.at().height >= height));
        // Too late or not, the answer says of which board it is.
        let _ = timeout(PATIENCE, reached).await.map(drop);
    }
    next.run(request).await
}
