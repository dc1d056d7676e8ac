//! Parameters that several operations have.

use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use crate::api::{AuditKind, UsageBucket};
use crate::server::service::ClientFilter;

pub(super) const IF_MATCH: &str = "If-Match";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn moment() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn seconds() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0))
}

fn parameter(name: &str, place: ParameterIn, schema: ObjectBuilder, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .schema(Some(schema))
        .description(Some(description))
        .build()
}

fn in_query(name: &str, schema: ObjectBuilder, description: &str) -> Parameter {
    parameter(name, ParameterIn::Query, schema, description)
}

/// `Idempotency-Key`, which every POST of an operator takes.
pub(super) fn idempotency_key() -> Parameter {
    let key = text().min_length(Some(1)).max_length(Some(255)).pattern(Some("^[ -~]+$"));
    let description = "With it the request is carried out once within 24 hours: sent again with the same body it is \
                       answered as it was, without the secret; with another body it is refused.";
    parameter("Idempotency-Key", ParameterIn::Header, key, description)
}

macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $name:ident = $parameters:expr;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(in super::super) enum $name {}

            impl IntoParams for $name {
                fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                    $parameters
                }
            }
        )+
    };
}

parameters! {
    /// Which page of a list.
    Paging = vec![
        in_query(
            "limit",
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(1000)),
            "How many items at most; 100 if left out.",
        ),
        in_query("cursor", text(), "The next_cursor of the page before."),
    ];
    /// Whose it is.
    OfOrganization = vec![in_query("organization", text(), "The organization; the caller's if left out.")];
    /// Which clients.
    ClientFilters = ClientFilter::NAMES.iter().map(|name| client_filter(name)).collect();
    /// Which API keys.
    ApiKeyFilters = ClientFilter::OF_KEYS.iter().map(|name| client_filter(name)).collect();
    /// What the change has to be made from.
    IfMatch = vec![parameter(
        IF_MATCH,
        ParameterIn::Header,
        text().pattern(Some(r#"^(\*|[ ,]*((W/)?"[!#-~]*" *(,[ ,]*|$))*)$"#)),
        "ETags of what the change has to be made from; left out, it is made from whatever is there.",
    )];
    /// Which part of a client's figures.
    UsageSpan = vec![
        in_query("since", moment(), "From the hour or day on that this is in."),
        in_query("until", moment(), "To the hour or day before this; to now if left out."),
        in_query(
            "bucket",
            text().enum_values(Some([UsageBucket::Hour.as_str(), UsageBucket::Day.as_str()])),
            "What the figures are of.",
        ),
    ];
    /// When something counts as ending or unused.
    ReviewSpans = vec![
        in_query(
            "expiring_within",
            seconds(),
            "How long before its end a secret is about to end, in seconds; what its project says if left out.",
        ),
        in_query(
            "unused_for",
            seconds(),
            "How long a client or scope is not used before that is worth a look, in seconds.",
        ),
        in_query(
            "never_used_for",
            seconds(),
            "How long a client is there before its never having been used is, in seconds.",
        ),
    ];
    /// What of the audit log.
    AuditFilters = vec![
        in_query(
            "kind",
            text().enum_values(Some(AuditKind::ALL.map(AuditKind::as_str))),
            "The part; changes if left out.",
        ),
        in_query("actor", text(), "By this actor: `admin:1000`, `client:c_…`, `system`."),
        in_query("action", text(), "This action."),
        in_query("target", text(), "About this target."),
        in_query("client", text(), "About this client, or by it."),
        in_query("request_id", text(), "In the request of this name."),
        in_query("jti", text(), "The token of this `jti`."),
    ];
    /// When it was recorded.
    AuditSpan = vec![
        in_query("since", moment(), "Not before this."),
        in_query("until", moment(), "Before this."),
    ];
    /// What a proxy asks about.
    Forwarded = vec![
        in_query("scope", text().min_length(Some(1)), "The scopes that the request needs, separated by spaces."),
        in_query("audience", text(), "The audience that it needs; that of the scopes' API if left out."),
        in_query("status", text().enum_values(Some(["nginx"])), "Fold refusals into the statuses that nginx lets through."),
    ];
}

fn client_filter(name: &str) -> Parameter {
    let (schema, description) = match name {
        "organization" => (text(), "Of this organization."),
        "project" => (text(), "Of this project."),
        "name" => (text(), "Of this name; one that begins so, if it ends in *. A * anywhere else is refused."),
        "status" => (text().enum_values(Some(["active", "disabled"])), "Of this status."),
        "environment" => (text().enum_values(Some(["live", "test"])), "Of this environment."),
        "scope" => (text(), "Granted this scope itself, and not by a role."),
        "role" => (text(), "Granted this role."),
        "expiring_before" => (moment(), "With a secret that has not ended and does before this."),
        "unused_since" => (moment(), "There since before this, and not used since."),
        _ => (text(), ""),
    };
    in_query(name, schema, description)
}
