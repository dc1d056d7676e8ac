//! `GET /api/v1/clients/{id}/usage`.

use axum::extract::State;

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::server::error::Error;
use crate::server::model::Per;
use crate::server::service::UsageRange;

use super::App;
use super::extract::Segment;
use super::openapi::UsageSpan;
use super::operator::{Answer, Operator};
use super::query::Query;
use super::render::Fault;

/// What a client has used: tokens, secrets, scopes, and what it was refused for
#[utoipa::path(
    get, path = "/api/v1/clients/{id}/usage",
    params(("id" = String, Path, description = "Its identifier"), UsageSpan),
    security(("client_credentials" = ["mintage:usage:read"])),
    responses((status = 200, description = "The figures", body = api::Usage)),
)]
pub(super) async fn show(
    State(app): State<App>,
    caller: Operator,
    Segment(id): Segment,
    query: Query,
) -> Result<Answer<api::Usage>, Fault> {
    let range = range(query).map_err(caller.fault(&app))?;
    app.service.usage(&id, &range, &caller.0).await.map(Answer).map_err(caller.fault(&app))
}

/// `since`, `until` (RFC 3339) and `bucket`.
fn range(mut query: Query) -> Result<UsageRange, Error> {
    let mut moment = |name: &str| query.take(name).map(|value| time(name, &value)).transpose();
    let (since, until) = (moment("since")?, moment("until")?);
    let per = match query.take("bucket").as_deref() {
        None => None,
        Some("hour") => Some(Per::Hour),
        Some("day") => Some(Per::Day),
        Some(_) => return Err(Error::field("bucket", "it has to be hour or day")),
    };
    query.done(&["since", "until", "bucket"])?;
    Ok(UsageRange { since, until, per })
}

fn time(key: &str, value: &str) -> Result<UnixTime, Error> {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as ValueError, StrDeserializer};
    let value: StrDeserializer<'_, ValueError> = value.into_deserializer();
    Rfc3339::deserialize(value).map(|time| time.0).map_err(|error| Error::field(key, error))
}
