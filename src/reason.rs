//! The closed list of reasons: the stable, machine-readable word in every refusal.
//!
//! One table: what each is called, its status, its RFC code, what it means and what to do. `docs/errors.md` is checked
//! against it, and every renderer takes its status from it.

use http::StatusCode;
use serde::{Serialize, Serializer};

/// Whether it helps to send a refused request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again, whenever it is sent.
    No,
    /// Once with another token or credential.
    Renewed,
    /// Not until somebody else has changed something: an operator, mostly.
    Changed,
    /// At once, with the nonce of the answer.
    AtOnce,
    /// The same request, with growing pauses.
    Pauses,
    /// The same request, after as long as `Retry-After` says.
    Later,
}

impl Retry {
    /// In a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Renewed => "once, with a new token",
            Self::Changed => "no, until an operator has changed something",
            Self::AtOnce => "yes, at once, with the nonce of the answer",
            Self::Pauses => "yes, with growing pauses",
            Self::Later => "yes, after Retry-After",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $status:ident, $code:expr, $retry:ident, $title:literal, $action:literal;)+) => {
        /// Why something was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $variant,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status it is answered with, on every surface.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// The error code of RFC 6749 §5.2 (token endpoint) or RFC 6750 §3.1 (guarded routes) that goes with it.
            #[must_use]
            pub const fn rfc_code(self) -> Option<&'static str> {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means, in a few words: the `title` of a problem.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Whether the same request may do better later.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)+ }
            }

            /// What the caller is to do.
            #[must_use]
            pub const fn action(self) -> &'static str {
                match self { $(Self::$variant => $action,)+ }
            }
        }
    };
}

reasons! {
    /// Nothing to authenticate with was sent to a guarded route.
    NoCredentials = "no_credentials", UNAUTHORIZED, None, No,
        "The request carries no credentials", "Send the token as: Authorization: Bearer TOKEN.";
    /// The request cannot be read as what it should be.
    MalformedRequest = "malformed_request", BAD_REQUEST, Some("invalid_request"), No,
        "The request is malformed", "Mend the request as the detail says; the same one will fail again.";
    /// The token does not verify.
    TokenInvalid = "token_invalid", UNAUTHORIZED, Some("invalid_token"), Renewed,
        "The token does not verify", "Fetch a new token for this audience from this issuer; of an API key, check that it is whole.";
    /// The token has expired.
    TokenExpired = "token_expired", UNAUTHORIZED, Some("invalid_token"), Renewed,
        "The token has expired", "Fetch a new token; renew it before it expires.";
    /// The token was revoked, or its client or key was.
    TokenRevoked = "token_revoked", UNAUTHORIZED, Some("invalid_token"), Renewed,
        "The token was revoked", "Fetch a new token once; if that fails, or it is an API key, ask the operator about the client or key.";
    /// The token lacks a scope.
    InsufficientScope = "insufficient_scope", FORBIDDEN, Some("insufficient_scope"), Changed,
        "The token lacks a scope that is needed here", "Ask the operator to grant the client the scope, then fetch a new token.";
    /// The caller holds less than it would grant or change.
    BeyondCaller = "beyond_caller", FORBIDDEN, Some("access_denied"), Changed,
        "The caller holds less than it would grant or change",
        "Ask somebody who holds the scopes that lacking names, or the operator at the admin socket.";
    /// The token is of another environment than the route.
    WrongEnvironment = "wrong_environment", FORBIDDEN, Some("access_denied"), No,
        "The token is of another environment than this route", "Use a client of the environment that the detail names.";
    /// The guard has no rule for the method and path.
    NoRuleMatches = "no_rule_matches", FORBIDDEN, Some("access_denied"), Changed,
        "No rule of the guard covers this method and path", "Check method and path, or ask the operator to add a rule to the guard.";
    /// The address is not allowed; the credential is good.
    IpNotAllowed = "ip_not_allowed", FORBIDDEN, Some("access_denied"), Changed,
        "The address is not allowed; the credential itself is good",
        "Call from an allowed address, or ask the operator to add this one to the allowlist.";
    /// A limit on requests was reached.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, Some("temporarily_unavailable"), Later,
        "A rate limit was reached", "Wait as long as Retry-After says, then send the same request again; after wrong credentials, with right ones.";
    /// What was granted for a day, a month or altogether is used up.
    QuotaExceeded = "quota_exceeded", FORBIDDEN, Some("access_denied"), Changed,
        "The quota is used up", "Wait until the quota begins anew, where resets_at says when, or ask the operator for more.";
    /// The balance does not cover the request.
    InsufficientBalance = "insufficient_balance", PAYMENT_REQUIRED, Some("access_denied"), Changed,
        "The prepaid balance does not cover this request", "Top the balance up, or ask the operator to.";
    /// What a project or an organization demands of its credentials is not met.
    PolicyViolated = "policy_violated", FORBIDDEN, Some("access_denied"), No,
        "A policy of the project forbids this", "Meet the policy that the member policy names, or ask who may change it.";
    /// The token that was to be exchanged is not good (RFC 8693 §2.2.2).
    InvalidSubjectToken = "invalid_subject_token", BAD_REQUEST, Some("invalid_request"), No,
        "The subject_token is not good", "Send an API key that is in use as the subject_token.";
    /// Digest credentials that do not verify (RFC 7616).
    DigestInvalid = "digest_invalid", UNAUTHORIZED, None, No,
        "The Digest credentials do not verify", "Check user name and password, and answer the newest challenge.";
    /// A Digest nonce that is not in use, or was used before (RFC 7616 §3.3).
    DigestStale = "digest_stale", UNAUTHORIZED, None, AtOnce,
        "The Digest nonce is not good any more", "Answer the new challenge with the same user name and password.";
    /// Client authentication failed.
    InvalidClient = "invalid_client", UNAUTHORIZED, Some("invalid_client"), No,
        "The client could not be authenticated",
        "Check id and secret; the operator finds what really happened with: mintage explain REQUEST_ID.";
    /// The client may not do this to that token.
    UnauthorizedClient = "unauthorized_client", BAD_REQUEST, Some("unauthorized_client"), No,
        "The client may not revoke this token", "Revoke tokens of your own, or as a client that holds mintage:tokens:revoke and reaches the token's project.";
    /// So many tokens of one client are revoked that the client is better revoked itself.
    TooManyRevoked = "too_many_revoked", FORBIDDEN, Some("access_denied"), No,
        "Too many tokens of this client are revoked already", "Revoke the client, which cuts off every token it holds: mintage client revoke ID.";
    /// Another grant than `client_credentials`.
    UnsupportedGrantType = "unsupported_grant_type", BAD_REQUEST, Some("unsupported_grant_type"), No,
        "The grant type is not supported", "Send grant_type=client_credentials; or, to exchange an API key, that of RFC 8693.";
    /// A scope that the client was not granted, or that is not one.
    InvalidScope = "invalid_scope", BAD_REQUEST, Some("invalid_scope"), No,
        "A scope cannot be granted", "Ask for granted scopes only, or leave the parameter out.";
    /// A resource that no API has as its identifier, or of which the client holds nothing.
    InvalidTarget = "invalid_target", BAD_REQUEST, Some("invalid_target"), No,
        "A resource cannot be granted", "Send the identifier of a registered API that the client holds scopes of.";
    /// Another method than the route has.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Some("invalid_request"), No,
        "The method is not allowed here", "Use a method that the Allow header names.";
    /// The body is larger than the route takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, Some("invalid_request"), No,
        "The body is too large", "Send a smaller body.";
    /// The request's line and header fields are larger than what is read of them (RFC 6585 §5).
    HeadTooLarge = "head_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, Some("invalid_request"), No,
        "The request's head is too large", "Send fewer or shorter header fields, and a shorter URI.";
    /// The body took too long to arrive.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, Some("invalid_request"), Pauses,
        "The request took too long to arrive", "Send it again, without pauses.";
    /// Members of the body are not what they should be.
    InvalidField = "invalid_field", BAD_REQUEST, Some("invalid_request"), No,
        "The request has members that cannot be accepted", "Mend the members that errors names.";
    /// There is no such thing.
    NotFound = "not_found", NOT_FOUND, Some("invalid_request"), No,
        "There is nothing of that name", "Check the name; list what there is.";
    /// It exists already, or is in a state that does not allow this.
    Conflict = "conflict", CONFLICT, Some("invalid_request"), No,
        "It conflicts with what is there", "Look at what is there, then decide again.";
    /// What is there is not what the change was made from.
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, Some("invalid_request"), No,
        "It was changed by somebody else meanwhile", "Get it again, look at what it is now, and change that, with its ETag.";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, Some("invalid_request"), No,
        "The Idempotency-Key was used for another body", "Take a new key for a new request; send the same body to have the same request again.";
    /// The store cannot be reached or written, or there is no key to sign with.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, Some("temporarily_unavailable"), Later,
        "The service cannot answer for the moment", "Wait as long as Retry-After says, then try again.";
    /// Our own fault.
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, Some("server_error"), Pauses,
        "The service failed", "Try again later; tell the operator the request_id.";
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "server")]
impl utoipa::PartialSchema for Reason {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("The stable word of a refusal."))
            .enum_values(Some(Self::ALL.iter().map(|reason| reason.as_str())))
            .into()
    }
}

#[cfg(feature = "server")]
impl utoipa::ToSchema for Reason {}
