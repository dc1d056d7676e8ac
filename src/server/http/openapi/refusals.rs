//! Refusals as answers of the description: an operation names the reasons that it can refuse for, and their statuses
//! follow from the list of reasons.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::problem;
use crate::reason::Reason;

/// How a refusal is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Surface {
    /// RFC 6749 §5.2.
    OAuth,
    /// RFC 9457.
    Problem,
}

/// The answers to what is refused for one of `reasons`.
pub(super) fn refusals(surface: Surface, reasons: &[Reason]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
    for reason in reasons {
        let of_status = by_status.entry(reason.status().as_u16()).or_default();
        if !of_status.contains(reason) {
            of_status.push(*reason);
        }
    }
    by_status
        .into_iter()
        .map(|(status, reasons)| (status.to_string(), answer(surface, status, &reasons).into()))
        .collect()
}

fn answer(surface: Surface, status: u16, reasons: &[Reason]) -> Response {
    let meanings: Vec<_> = reasons.iter().map(|r| format!("`{}`: {}", r.as_str(), r.title())).collect();
    let (media, schema) = match surface {
        Surface::OAuth => ("application/json", "ErrorResponse"),
        Surface::Problem => (problem::MEDIA_TYPE, "Problem"),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let answer = ResponseBuilder::new().description(meanings.join("; ")).content(media, content);
    let said = match status {
        401 => Some(("WWW-Authenticate", "What to authenticate with (RFC 6749, 5.2; RFC 6750, 3).")),
        429 | 503 => Some(("Retry-After", "In how many seconds to try again.")),
        _ => None,
    };
    match said {
        Some((name, description)) => answer.header(name, text_header(description)).build(),
        None => answer.build(),
    }
}

/// A header that is text.
pub(super) fn text_header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $surface:ident [$($reason:ident),+];)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug)]
            pub(in super::super) enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    refusals(Surface::$surface, &[$(Reason::$reason),+])
                }
            }
        )+
    };
}

kinds! {
    /// Of the token endpoint.
    AtTheToken = OAuth [
    MalformedRequest, UnsupportedGrantType, InvalidScope, InvalidTarget, InvalidSubjectToken, InvalidClient, IpNotAllowed, RateLimited, QuotaExceeded, RequestTimeout, BodyTooLarge, InternalError, Unavailable
    ];
    /// Of introspection.
    OfAToken = OAuth [
        MalformedRequest, InvalidClient, IpNotAllowed, RateLimited, RequestTimeout, BodyTooLarge, InternalError,
        Unavailable
    ];
    /// Of revocation.
    AtRevocation = OAuth [
        MalformedRequest, UnauthorizedClient, InvalidClient, IpNotAllowed, RateLimited, TooManyRevoked, RequestTimeout, BodyTooLarge,
        InternalError, Unavailable
    ];
    /// Of the revocation feed.
    AtTheFeed = OAuth [MalformedRequest];
    /// Of what a proxy asks for.
    OfAForwardedRequest = Problem [
        MalformedRequest, NoCredentials, TokenInvalid, TokenExpired, TokenRevoked, InsufficientScope, IpNotAllowed,
        WrongEnvironment, NoRuleMatches, RateLimited, QuotaExceeded, InsufficientBalance, Unavailable
    ];
    /// The same, where a guard is named.
    AtAGuard = Problem [
        MalformedRequest, NoCredentials, TokenInvalid, TokenExpired, TokenRevoked, DigestInvalid, DigestStale, InsufficientScope, IpNotAllowed,
        WrongEnvironment, NoRuleMatches, RateLimited, QuotaExceeded, InsufficientBalance, NotFound, Unavailable
    ];
    /// Where one at a time is done.
    AlreadyUnderWay = Problem [Conflict];
    /// Of what scrapes metrics.
    OfMetrics = Problem [
        MalformedRequest, NoCredentials, TokenInvalid, TokenExpired, TokenRevoked, InsufficientScope, IpNotAllowed,
        RateLimited, InternalError, Unavailable
    ];
    /// Where an API is named that there is not.
    NoSuchApi = Problem [NotFound];
    /// Where a reason is named that there is not.
    NoSuchReason = Problem [NotFound];
    /// Where no token could be issued.
    NotReady = Problem [Unavailable, InternalError];
}
