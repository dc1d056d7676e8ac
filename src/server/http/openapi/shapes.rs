//! Shapes that are written or read without a Rust type of their own.
#![expect(dead_code, reason = "they are described, and never made")]

use utoipa::ToSchema;

use crate::api::Level;
use crate::reason::Reason;
use crate::scope::Scope;
use crate::server::error::FieldError;

/// A refusal (RFC 9457): a [`crate::problem::Problem`] with what its reason carries.
#[derive(ToSchema)]
pub(super) struct Problem {
    /// A URI for the kind of problem, which resolves.
    #[schema(format = "uri")]
    r#type: String,
    /// What the kind means.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, and what to do.
    detail: String,
    /// The stable word.
    reason: Reason,
    /// The request's name in the logs.
    request_id: String,
    /// `invalid_field`: each member that cannot be accepted.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
    /// `beyond_caller`: what the caller would have to hold.
    #[schema(nullable = false)]
    lacking: Option<Vec<Lacking>>,
    /// `insufficient_scope`: what is needed.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// `ip_not_allowed`: the address that the request came from.
    source_address: Option<String>,
    /// `ip_not_allowed`: how that was decided.
    source_address_from: Option<String>,
    /// `ip_not_allowed`: whose allowlist does not have it.
    #[schema(nullable = false)]
    allowlist: Option<String>,
    /// `policy_violated`: the policy, by the name that it is set by.
    #[schema(nullable = false)]
    policy: Option<String>,
}

/// A scope that a caller would have to hold.
#[derive(ToSchema)]
pub(super) struct Lacking {
    /// It.
    scope: Scope,
    /// How far it would have to reach.
    level: Level,
}

/// A token request (RFC 6749 §4.4.2). The client authenticates with Basic or in here, never both. Or an exchange of an API
/// key for a token (RFC 8693 §2.1), which takes no credentials but that key.
#[derive(ToSchema)]
pub(in super::super) struct NewToken {
    /// `client_credentials`, or the token exchange.
    #[schema(pattern = "^(client_credentials|urn:ietf:params:oauth:grant-type:token-exchange)$")]
    grant_type: String,
    /// The API key that is to be exchanged.
    #[schema(nullable = false)]
    subject_token: Option<String>,
    /// What that is: `urn:mintage:params:oauth:token-type:api-key`, or `urn:ietf:params:oauth:token-type:access_token`.
    #[schema(nullable = false)]
    subject_token_type: Option<String>,
    /// What it is to be exchanged for: `urn:ietf:params:oauth:token-type:access_token`, as if left out.
    #[schema(nullable = false)]
    requested_token_type: Option<String>,
    /// Scopes, separated by spaces; all that are granted if left out.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// The APIs that it is to be for (RFC 8707).
    #[schema(nullable = false)]
    resource: Option<Vec<String>>,
    /// An alias of `resource`.
    #[schema(nullable = false)]
    audience: Option<Vec<String>>,
    /// Who asks, where Basic does not say.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// Its secret, where Basic does not say.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// A token that is asked about (RFC 7662 §2.1) or revoked (RFC 7009 §2.1). The client authenticates as at the token
/// endpoint.
#[derive(ToSchema)]
pub(in super::super) struct TokenInForm {
    /// The token.
    #[schema(min_length = 1)]
    token: String,
    /// Not looked at: there is one kind.
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// Who asks, where Basic does not say.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// Its secret, where Basic does not say.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// The public keys (RFC 7517 §5).
#[derive(ToSchema)]
pub(in super::super) struct JwkSet {
    /// Them.
    keys: Vec<PublicJwk>,
}

/// A public key (RFC 7517 §4).
#[derive(ToSchema)]
pub(super) struct PublicJwk {
    /// `EC`, `OKP` or `RSA`.
    #[schema(pattern = "^(EC|OKP|RSA)$")]
    kty: String,
    /// Its RFC 7638 thumbprint.
    kid: String,
    /// What it signs with.
    alg: String,
    /// `sig`.
    r#use: String,
    /// The curve, of `EC` and `OKP`.
    #[schema(nullable = false)]
    crv: Option<String>,
    /// Of `EC` and `OKP`.
    #[schema(nullable = false)]
    x: Option<String>,
    /// Of `EC`.
    #[schema(nullable = false)]
    y: Option<String>,
    /// The modulus, of `RSA`.
    #[schema(nullable = false)]
    n: Option<String>,
    /// The exponent, of `RSA`.
    #[schema(nullable = false)]
    e: Option<String>,
}
