//! `GET /api/v1/clients/{id}/usage`.

use axum::Json;
use axum::extract::State;
use http::Uri;

use crate::api;
use crate::clock::{Rfc3339, UnixTime};
use crate::server::error::Error;
use crate::server::model::Per;
use crate::server::service::UsageRange;

use super::App;
use super::extract::{AdminCaller, Segment};
use super::render::Fault;

pub(super) async fn show(
    State(app): State<App>,
    caller: AdminCaller,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<api::Usage>, Fault> {
    let usage = match range(&uri) {
        Ok(range) => app.service.usage(&id, &range).await,
        Err(error) => Err(error),
    };
    usage.map(Json).map_err(caller.fault(&app))
}

/// `since`, `until` (RFC 3339) and `bucket`.
pub(super) fn range(uri: &Uri) -> Result<UsageRange, Error> {
    let mut range = UsageRange::default();
    for (key, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let again = match &*key {
            "since" => range.since.replace(time(&key, &value)?).is_some(),
            "until" => range.until.replace(time(&key, &value)?).is_some(),
            "bucket" => {
                let per = match &*value {
                    "hour" => Per::Hour,
                    "day" => Per::Day,
                    _ => return Err(Error::field(&key, "it has to be hour or day")),
                };
                range.per.replace(per).is_some()
            }
            _ => return Err(Error::field(&key, "this route knows only since, until and bucket")),
        };
        if again {
            return Err(Error::field(&key, "it is sent more than once"));
        }
    }
    Ok(range)
}

fn time(key: &str, value: &str) -> Result<UnixTime, Error> {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as ValueError, StrDeserializer};
    let value: StrDeserializer<'_, ValueError> = value.into_deserializer();
    Rfc3339::deserialize(value).map(|time| time.0).map_err(|error| Error::field(key, error))
}
