//! `/api/v1/audit`.

use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api;
use crate::api::AuditKind;
use crate::clock::Rfc3339;
use crate::server::error::Error;
use crate::server::service::{AuditFilter, ExportFilter, PageRequest};

use super::App;
use super::extract::Json;
use super::openapi::{AuditFilters, AuditSpan, Paging};
use super::operator::{Answer, Operator};
use super::render::Fault;

/// The query of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    kind: AuditKind,
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    client: Option<String>,
    since: Option<Rfc3339>,
    until: Option<Rfc3339>,
    request_id: Option<String>,
    jti: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The query of the export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    since: Option<Rfc3339>,
    until: Option<Rfc3339>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A query of named parameters, each sent once at most and none that the route does not know: a filter that is passed
/// over would show what was not asked for.
#[derive(Debug)]
pub(super) struct Query<T>(T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(query)| Self(query)).map_err(|error| {
            let detail = format!("the query is not what it should be: {}", error.body_text());
            Fault::new(app, Error::Malformed(detail)).repeating("the query cannot be read; its sender was told where")
        })
    }
}

/// Lists what the audit log has within reach, the newest first
#[utoipa::path(
    get, path = "/api/v1/audit",
    params(Paging, AuditFilters, AuditSpan),
    security(("client_credentials" = ["mintage:audit:read"])),
    responses((status = 200, description = "A page of it", body = api::Page<api::AuditEntry>)),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Operator,
    Query(query): Query<ListQuery>,
) -> Result<Answer<api::Page<api::AuditEntry>>, Fault> {
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action,
        target: query.target,
        client: query.client,
        since: query.since,
        until: query.until,
        request_id: query.request_id,
        jti: query.jti,
    };
    app.service
        .list_audit(query.kind, &filter, caller.0.bounds().as_ref(), &page)
        .await
        .map(Answer)
        .map_err(caller.fault(&app))
}

/// The audit log exactly as it is kept, to be verified elsewhere
#[utoipa::path(
    get, path = "/api/v1/audit/export",
    params(Paging, AuditSpan),
    responses((status = 200, description = "A page of records and segments", body = api::Page<api::AuditExport>)),
)]
pub(super) async fn export(
    State(app): State<App>,
    caller: Operator,
    Query(query): Query<ExportQuery>,
) -> Result<Answer<api::Page<api::AuditExport>>, Fault> {
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let filter = ExportFilter { since: query.since.map(|since| since.0), until: query.until.map(|until| until.0) };
    app.service.export_audit(&filter, &page).await.map(Answer).map_err(caller.fault(&app))
}

/// The end of the audit chain, signed
///
/// Kept elsewhere, it shows later whether anything before it was altered or taken away.
#[utoipa::path(
    get, path = "/api/v1/audit/head",
    security(("client_credentials" = ["mintage:audit:read"])),
    responses((status = 200, description = "It", body = api::AuditHead)),
)]
pub(super) async fn head(State(app): State<App>, caller: Operator) -> Result<Answer<api::AuditHead>, Fault> {
    app.service.audit_head(&caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// Whether the audit log is as it was written
#[utoipa::path(
    post, path = "/api/v1/audit/verify",
    request_body = api::VerifyAudit,
    responses((status = 200, description = "What was found", body = api::AuditVerdict)),
)]
pub(super) async fn verify(
    State(app): State<App>,
    caller: Operator,
    Json(request): Json<api::VerifyAudit>,
) -> Result<Answer<api::AuditVerdict>, Fault> {
    app.service.verify_audit(&request).await.map(Answer).map_err(caller.fault(&app))
}
