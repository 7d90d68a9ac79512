//! The REST interface. Each module has the handlers of one kind of resource.

#![allow(unused_qualifications, reason = "the code that utoipa generates qualifies every type")]

pub mod answer;
pub mod backups;
pub mod certificates;
pub mod checking;
pub(crate) mod erasure;
pub mod events;
pub mod extract;
pub mod fresh;
pub mod health;
pub mod lists;
pub mod mailboxes;
pub mod network;
pub mod observe;
pub mod operations;
mod page;
pub mod private;
pub mod server;
pub mod sessions;
pub mod waiting;

use crate::{gateway::Gateway, openapi, problem::Failure};
use axum::{Router, http::Uri, middleware};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;
use wire::Code;

/// All routes with their descriptions, as far as the handlers know them; [`openapi::complete`] adds the rest.
pub(crate) fn routes() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(operations::submit))
        .routes(routes!(operations::receipt))
        .routes(routes!(network::network))
        .routes(routes!(network::status))
        .routes(routes!(certificates::certificate))
        .routes(routes!(certificates::keys))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::session))
        .routes(routes!(sessions::phase))
        .routes(routes!(sessions::parties))
        .routes(routes!(lists::registrants))
        .routes(routes!(lists::solvers))
        .routes(routes!(backups::backup))
        .routes(routes!(backups::evaluate))
        .routes(routes!(backups::exchange_keys))
        .routes(routes!(mailboxes::mailbox))
        .routes(routes!(events::events))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The whole interface of one gateway.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    let (router, api) = routes().split_for_parts();
    router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::complete(api)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), fresh::catch_up))
        .layer(middleware::from_fn(observe::observe))
        .with_state(gateway)
}

async fn not_found(uri: Uri) -> Failure {
    Failure::new(Code::NotFound, format!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(uri: Uri) -> Failure {
    Failure::new(Code::MethodNotAllowed, format!("{} does not know this method", uri.path()))
}
