//! The table: what each operation answers to each kind of credentials.

/// What an operation answers.
pub enum Expected {
    /// A status to each kind of credentials.
    Fixed([u16; 6]),
    /// An operators' route: what is answered to one of another organization, and to the right one. The rest is the same
    /// for all: 401, 400, 401, 403.
    Operators(u16, u16),
}

use Expected::{Fixed, Operators};

/// An operation of `/openapi.json`: method, path as it stands there, body (`{n}` is a number that was not used yet).
pub type Row = (&'static str, &'static str, &'static str, Expected);

const OPEN: Expected = Fixed([200; 6]);
/// They take a client's credentials: no bearer token is any.
const CLIENTS: Expected = Fixed([401; 6]);
const FORWARDED: Expected = Fixed([401, 400, 401, 403, 200, 200]);
const NO_GUARD: Expected = Fixed([404; 6]);
/// What one deletes, shows or changes that is another organization's is absent.
const ABSENT: u16 = 404;
/// What is to be made in another organization names one that is absent.
const FIELD: u16 = 400;

pub const TABLE: &[Row] = &[
    ("POST", "/oauth/token", "grant_type=client_credentials", CLIENTS),
    ("POST", "/oauth/introspect", "token=x", CLIENTS),
    ("POST", "/oauth/revoke", "token=x", CLIENTS),
    ("GET", "/oauth/revocations", "", OPEN),
    ("GET", "/.well-known/oauth-authorization-server", "", OPEN),
    ("GET", "/.well-known/openid-configuration", "", OPEN),
    ("GET", "/.well-known/oauth-protected-resource", "", OPEN),
    ("GET", "/.well-known/jwks.json", "", OPEN),
    ("GET", "/errors", "", OPEN),
    ("GET", "/errors/{reason}", "", OPEN),
    ("GET", "/healthz", "", OPEN),
    ("GET", "/readyz", "", OPEN),
    ("GET", "/openapi.json", "", OPEN),
    // Whoever asks from this machine, unless they bring something that will not do.
    ("GET", "/metrics", "", Fixed([200, 400, 401, 403, 200, 200])),
    // Any good token will do.
    ("GET", "/api/v1/whoami", "", Fixed([401, 400, 401, 200, 200, 200])),
    // The proxy's question about the caller's credentials, whatever the method.
    ("GET", "/forward-auth", "", FORWARDED),
    ("PUT", "/forward-auth", "", FORWARDED),
    ("POST", "/forward-auth", "", FORWARDED),
    ("DELETE", "/forward-auth", "", FORWARDED),
    ("OPTIONS", "/forward-auth", "", FORWARDED),
    ("HEAD", "/forward-auth", "", FORWARDED),
    ("PATCH", "/forward-auth", "", FORWARDED),
    ("TRACE", "/forward-auth", "", FORWARDED),
    ("GET", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("PUT", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("POST", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("DELETE", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("OPTIONS", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("HEAD", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("PATCH", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("TRACE", "/forward-auth/g/{guard}", "", NO_GUARD),
    ("GET", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("PUT", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("POST", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("DELETE", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("OPTIONS", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("HEAD", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("PATCH", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("TRACE", "/forward-auth/g/{guard}/", "", NO_GUARD),
    ("GET", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("PUT", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("POST", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("DELETE", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("OPTIONS", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("HEAD", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("PATCH", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    ("TRACE", "/forward-auth/g/{guard}/{rest}", "", NO_GUARD),
    // Who may change organizations may change all of them.
    ("GET", "/api/v1/organizations", "", Operators(200, 200)),
    ("POST", "/api/v1/organizations", r#"{"id":"o{n}"}"#, Operators(201, 201)),
    ("GET", "/api/v1/organizations/{id}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/organizations/{id}", r#"{"name":"n{n}"}"#, Operators(200, 200)),
    ("DELETE", "/api/v1/organizations/{id}", "", Operators(204, 204)),
    ("GET", "/api/v1/projects", "", Operators(200, 200)),
    ("POST", "/api/v1/projects", r#"{"id":"p{n}","organization":"acme"}"#, Operators(FIELD, 201)),
    ("GET", "/api/v1/projects/{id}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/projects/{id}", r#"{"name":"n{n}"}"#, Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/projects/{id}", "", Operators(ABSENT, 204)),
    ("GET", "/api/v1/apis", "", Operators(200, 200)),
    ("POST", "/api/v1/apis", r#"{"identifier":"https://a{n}.example","organization":"acme"}"#, Operators(FIELD, 201)),
    ("GET", "/api/v1/apis/{identifier}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/apis/{identifier}", r#"{"name":"n{n}"}"#, Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/apis/{identifier}", "", Operators(ABSENT, 204)),
    ("GET", "/api/v1/roles", "", Operators(200, 200)),
    ("POST", "/api/v1/roles", r#"{"name":"r{n}","organization":"acme"}"#, Operators(FIELD, 201)),
    ("GET", "/api/v1/roles/{name}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/roles/{name}", r#"{"description":"d{n}"}"#, Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/roles/{name}", "", Operators(ABSENT, 204)),
    ("GET", "/api/v1/clients", "", Operators(200, 200)),
    ("POST", "/api/v1/clients", r#"{"name":"n{n}","organization":"acme","project":"shop"}"#, Operators(FIELD, 201)),
    ("GET", "/api/v1/clients/{id}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/clients/{id}", r#"{"name":"n{n}"}"#, Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/clients/{id}", "", Operators(ABSENT, 204)),
    ("POST", "/api/v1/clients/{id}/revoke", "", Operators(ABSENT, 200)),
    ("GET", "/api/v1/clients/{id}/secrets", "", Operators(ABSENT, 200)),
    ("POST", "/api/v1/clients/{id}/secrets", "{}", Operators(ABSENT, 201)),
    ("POST", "/api/v1/clients/{id}/secrets/retire", "{}", Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/clients/{id}/secrets/{secret_id}", "", Operators(ABSENT, 200)),
    ("GET", "/api/v1/clients/{id}/digest-keys", "", Operators(ABSENT, 200)),
    ("POST", "/api/v1/clients/{id}/digest-keys", "{}", Operators(ABSENT, 201)),
    ("DELETE", "/api/v1/clients/{id}/digest-keys/{key_id}", "", Operators(ABSENT, 204)),
    ("GET", "/api/v1/projects/{id}/quotas", "", Operators(ABSENT, 200)),
    ("POST", "/api/v1/projects/{id}/balance", r#"{"add":{n}}"#, Operators(ABSENT, 200)),
    ("GET", "/api/v1/clients/{id}/quotas", "", Operators(ABSENT, 200)),
    ("POST", "/api/v1/clients/{id}/balance", r#"{"add":{n}}"#, Operators(ABSENT, 200)),
    ("GET", "/api/v1/api-keys/{id}/quotas", "", Operators(ABSENT, 200)),
    ("POST", "/api/v1/api-keys/{id}/balance", r#"{"add":{n}}"#, Operators(ABSENT, 200)),
    ("GET", "/api/v1/clients/{id}/usage", "", Operators(ABSENT, 200)),
    ("GET", "/api/v1/api-keys", "", Operators(200, 200)),
    ("POST", "/api/v1/api-keys", r#"{"name":"n{n}","organization":"acme","project":"shop"}"#, Operators(FIELD, 201)),
    ("GET", "/api/v1/api-keys/{id}", "", Operators(ABSENT, 200)),
    ("PATCH", "/api/v1/api-keys/{id}", r#"{"name":"n{n}"}"#, Operators(ABSENT, 200)),
    ("DELETE", "/api/v1/api-keys/{id}", "", Operators(ABSENT, 204)),
    ("POST", "/api/v1/api-keys/{id}/rotate", "{}", Operators(ABSENT, 200)),
    ("POST", "/api/v1/api-keys/{id}/revoke", "", Operators(ABSENT, 200)),
    ("GET", "/api/v1/bulk/clients", "", Operators(200, 200)),
    // Each is answered for itself: in another organization it fails as in one that there is not.
    (
        "POST",
        "/api/v1/bulk/clients",
        r#"{"clients":[{"name":"n{n}","organization":"acme","project":"shop"}]}"#,
        Operators(200, 200),
    ),
    ("GET", "/api/v1/review", "", Operators(200, 200)),
    ("GET", "/api/v1/audit", "", Operators(200, 200)),
    // A signature over the end of the chain, which says nothing of what is in it.
    ("GET", "/api/v1/audit/head", "", Operators(200, 200)),
    // Keys concern the instance.
    ("GET", "/api/v1/keys", "", Operators(200, 200)),
    ("POST", "/api/v1/keys/rotate", "{}", Operators(200, 200)),
    ("POST", "/api/v1/keys/{kid}/revoke", "", Operators(200, 200)),
];
