//! What every request gets: a number in the log, counters, and headers for browsers and caches.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use tracing::Instrument;
use wire::Code;

/// Wraps a request.
pub async fn observe(request: Request, next: Next) -> Response {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", number, method = %request.method(), path = request.uri().path());
    let started = Instant::now();
    let mut response = if *request.method() == Method::OPTIONS {
        ([(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"), (header::ACCESS_CONTROL_ALLOW_HEADERS, "*")], ())
            .into_response()
    } else {
        next.run(request).instrument(span.clone()).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert("x-request-id", HeaderValue::from(number));
    let status = response.status();
    let code = response.extensions().get::<Code>().map(ToString::to_string);
    let elapsed = started.elapsed();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), code, ms = elapsed.as_millis(), "answered"));
    let labels = [("route", route.clone()), ("status", status.as_str().to_owned())];
    metrics::counter!("white_city_requests_total", &labels).increment(1);
    metrics::histogram!("white_city_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    response
}
