//! What is answered where there is no route, and the pages that the `type` of a problem points to.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::CONTENT_TYPE;

use crate::reason::Reason;
use crate::server::error::Error;

use super::App;
use super::extract::Segment;
use super::openapi::NoSuchReason;
use super::render::Fault;

/// No such route.
pub(super) async fn not_found(State(app): State<App>, uri: Uri) -> Fault {
    Fault::new(&app, Error::NotFound { what: "route", name: uri.path().to_owned() })
}

/// No such method there; axum adds `Allow`.
pub(super) async fn method_not_allowed(State(app): State<App>) -> Fault {
    Fault::new(&app, Error::MethodNotAllowed)
}

/// The page of all reasons, as it is in `docs/`.
const PAGE: &str = include_str!("../../../docs/errors.md");

/// All reasons, and what to do
#[utoipa::path(
    get, path = "/errors",
    responses((status = 200, description = "For people", body = String, content_type = "text/markdown")),
)]
pub(super) async fn list() -> Response {
    ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], PAGE).into_response()
}

/// What a reason means, and what to do
#[utoipa::path(
    get, path = "/errors/{reason}",
    params(("reason" = Reason, Path, description = "The word")),
    responses((status = 200, description = "For people", body = String, content_type = "text/plain"), NoSuchReason),
)]
pub(super) async fn show(State(app): State<App>, Segment(name): Segment) -> Response {
    let Some(reason) = Reason::ALL.iter().find(|reason| reason.as_str() == name) else {
        return Fault::new(&app, Error::NotFound { what: "reason", name }).into_response();
    };
    let page = format!(
        "{}\n\nstatus: {}\nerror code (RFC 6749, RFC 6750): {}\n\n{}.\n\nWhat to do: {}\nTry the same again: {}.\n",
        reason.as_str(),
        reason.status().as_u16(),
        reason.rfc_code().unwrap_or("none"),
        reason.title(),
        reason.action(),
        reason.retry().as_str(),
    );
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], page).into_response()
}
