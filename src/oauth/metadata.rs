//! Metadata of the authorization server (RFC 8414) and of the protected resource (RFC 9728).

use serde::{Deserialize, Serialize};
use url::Url;

/// The path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";
/// The path of introspection (RFC 7662).
pub const INTROSPECTION_PATH: &str = "/oauth/introspect";
/// The path of revocation (RFC 7009).
pub const REVOCATION_PATH: &str = "/oauth/revoke";
/// The path of the revocation feed.
pub const REVOCATION_FEED_PATH: &str = "/oauth/revocations";
/// The path of the key set.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";
/// The path of the metadata (RFC 8414 §3).
pub const AUTHORIZATION_SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
/// The path under which OpenID clients look for it.
pub const OPENID_CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// The path of the protected resource's metadata (RFC 9728 §3).
pub const PROTECTED_RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// The grant type of a client that asks with its own credentials (RFC 6749 §4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The grant type of who exchanges an API key for a token (RFC 8693 §2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// What is exchanged, and what for (RFC 8693 §3).
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The same of an API key, in a word of our own.
pub const API_KEY_TYPE: &str = "urn:mintage:params:oauth:token-type:api-key";

/// How a client authenticates at the endpoints under `/oauth/` (RFC 8414 §2).
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// The URL of `path` below `issuer`.
#[must_use]
pub fn endpoint(issuer: &str, path: &str) -> String {
    format!("{}{path}", issuer.trim_end_matches('/'))
}

/// The URL of the well-known `path` of `issuer`: it goes before the issuer's own path (RFC 8414 §3.1, RFC 9728 §3.1).
#[must_use]
pub fn well_known(issuer: &Url, path: &str) -> Url {
    let mut url = issuer.clone();
    url.set_path(&format!("{path}{}", issuer.path().trim_end_matches('/')));
    url
}

/// What a server says of itself (RFC 8414 §2).
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AuthorizationServerMetadata {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// Where tokens are.
    pub token_endpoint: String,
    /// Where keys are.
    pub jwks_uri: String,
    /// Where tokens are introspected (RFC 7662).
    pub introspection_endpoint: String,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_endpoint: String,
    /// Where revocations are published for verifiers: a member of our own.
    pub revocation_feed: String,
    /// `client_credentials` and the token exchange of API keys, said outright: left out it would mean authorization codes.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub grant_types_supported: [&'static str; 2],
    /// None, as there is no authorization endpoint.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub response_types_supported: [&'static str; 0],
    /// Basic and post.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub token_endpoint_auth_methods_supported: [&'static str; 2],
    /// The same.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// The same.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// Required by OpenID discovery; no subject but clients.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub subject_types_supported: [&'static str; 1],
    /// Required by OpenID discovery; the algorithms of the tokens.
    pub id_token_signing_alg_values_supported: Vec<String>,
}

impl AuthorizationServerMetadata {
    /// What the server of `issuer` says, whose tokens are signed with `algorithms`.
    #[must_use]
    pub fn new(issuer: &str, algorithms: Vec<String>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: endpoint(issuer, TOKEN_PATH),
            jwks_uri: endpoint(issuer, JWKS_PATH),
            introspection_endpoint: endpoint(issuer, INTROSPECTION_PATH),
            revocation_endpoint: endpoint(issuer, REVOCATION_PATH),
            revocation_feed: endpoint(issuer, REVOCATION_FEED_PATH),
            grant_types_supported: [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
            response_types_supported: [],
            token_endpoint_auth_methods_supported: AUTH_METHODS,
            introspection_endpoint_auth_methods_supported: AUTH_METHODS,
            revocation_endpoint_auth_methods_supported: AUTH_METHODS,
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
        }
    }
}

/// What a client reads of a server's metadata.
#[derive(Clone, Debug, Deserialize)]
pub struct DiscoveredMetadata {
    /// Has to be the issuer that was asked (RFC 8414 §3.3).
    pub issuer: String,
    /// Where tokens are.
    pub token_endpoint: Option<String>,
    /// How clients can authenticate there; Basic where nothing is said.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Where keys are.
    pub jwks_uri: Option<String>,
    /// Where tokens and API keys are introspected (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// Where revocations are published: a member of our own.
    pub revocation_feed: Option<String>,
}

/// What guards a resource (RFC 9728 §2).
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProtectedResourceMetadata {
    /// The audience of its tokens.
    pub resource: String,
    /// Who issues them.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub authorization_servers: [String; 1],
    /// Header alone.
    #[cfg_attr(feature = "server", schema(value_type = Vec<String>))]
    pub bearer_methods_supported: [&'static str; 1],
    /// Its scopes.
    pub scopes_supported: Vec<String>,
}

impl ProtectedResourceMetadata {
    /// Of the service's own routes: the audience is the issuer.
    #[must_use]
    pub fn of_issuer(issuer: &str) -> Self {
        Self::new(issuer, issuer, crate::scope::BUILT_IN.map(str::to_owned).into())
    }

    /// Of an API whose tokens `issuer` issues.
    #[must_use]
    pub fn new(issuer: &str, resource: &str, scopes: Vec<String>) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: [issuer.to_owned()],
            bearer_methods_supported: ["header"],
            scopes_supported: scopes,
        }
    }
}
