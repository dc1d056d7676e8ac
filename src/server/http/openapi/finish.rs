//! What operations of one kind have in common.

use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Scopes, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, RefOr, Response, ServerBuilder};

use crate::oauth::metadata::{AUTHORIZATION_SERVER_PATH, OPENID_CONFIGURATION_PATH, TOKEN_PATH, endpoint};
use crate::reason::Reason;
use crate::scope::BUILT_IN;

use super::Listener;
use super::params::{IF_MATCH, idempotency_key};
use super::refusals::{Surface, refusals, text_header};

/// The security scheme of operators' routes.
const TOKEN: &str = "client_credentials";
/// What has an entity tag.
const TAGGED: [&str; 7] = ["Organization", "Project", "Api", "ApiKey", "Role", "Client", "Balance"];

/// What one handler answers under several paths: the one it declares, another, and what tells their names apart.
const ALSO: [(&str, &str, &str); 3] = [
    (AUTHORIZATION_SERVER_PATH, OPENID_CONFIGURATION_PATH, "for_openid"),
    ("/forward-auth/g/{guard}/{rest}", "/forward-auth/g/{guard}/", "root"),
    ("/forward-auth/g/{guard}/{rest}", "/forward-auth/g/{guard}", "alone"),
];

/// What any request can be refused for before it reaches a route.
const UNREADABLE: &[Reason] = &[Reason::HeadTooLarge];
/// What every guarded route can refuse for before its handler is asked.
const GUARD: &[Reason] = &[
    Reason::MalformedRequest,
    Reason::NoCredentials,
    Reason::TokenInvalid,
    Reason::TokenExpired,
    Reason::TokenRevoked,
    Reason::DigestInvalid,
    Reason::DigestStale,
    Reason::IpNotAllowed,
    Reason::RateLimited,
    Reason::QuotaExceeded,
    Reason::InsufficientBalance,
    Reason::Unavailable,
];
/// What every operators' route can refuse for.
const OPERATORS: &[Reason] =
    &[Reason::MalformedRequest, Reason::InvalidField, Reason::InternalError, Reason::Unavailable];
/// What takes a scope.
const SCOPED: &[Reason] = &[Reason::InsufficientScope];
/// Where something is named in the path.
const NAMED: &[Reason] = &[Reason::NotFound];
/// Where a body is read.
const BODY: &[Reason] = &[Reason::RequestTimeout, Reason::BodyTooLarge];
/// Where something is changed.
const CHANGE: &[Reason] = &[Reason::Conflict];
/// Where something is changed that the caller may hold less than.
const BEYOND: &[Reason] = &[Reason::BeyondCaller];
/// Where credentials are made or changed, which a project can demand something of.
const POLICY: &[Reason] = &[Reason::PolicyViolated];
/// The paths where they are.
const OF_CREDENTIALS: [&str; 2] = ["/clients", "/api-keys"];
/// Where the change can insist on what it is made from.
const STALE: &[Reason] = &[Reason::PreconditionFailed];
/// Where it is carried out once: the answer to the first may be lost, or out of reach by now.
const ONCE: &[Reason] = &[Reason::IdempotencyKeyReused, Reason::Conflict, Reason::NotFound];

/// The document, without what it would say and not mean: serde's default of a whole object reads as if a member that is
/// left out were null, and a patch that leaves it out keeps what is there, while null takes it away.
pub(super) fn written(document: &OpenApi) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(document)?;
    without_null_defaults(&mut document);
    Ok(document)
}

fn without_null_defaults(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // No schema is null, so that no property called so is taken away.
            members.retain(|name, value| name != "default" || !value.is_null());
            members.values_mut().for_each(without_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// Adds to what the handlers declare.
pub(super) fn finish(document: &mut OpenApi, listener: Listener, issuer: &str) {
    document.info = InfoBuilder::new()
        .title("Mintage")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "An OAuth2 client-credentials token service: issues short-lived, scoped JWTs. A request whose head cannot be \
             read is refused with a problem, 400 or 431, whatever it asks for.",
        ))
        .build();
    if listener == Listener::Public {
        document.servers = Some(vec![ServerBuilder::new().url(issuer.trim_end_matches('/')).build()]);
        schemes(document.components.get_or_insert_with(Components::new), issuer);
    }
    for (described, also, suffix) in ALSO {
        if let Some(item) = document.paths.paths.get(described).cloned() {
            document.paths.paths.insert(also.to_owned(), under_another_path(item, also, suffix));
        }
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            name(operation, method);
            operation.responses.responses.extend(refusals(Surface::Problem, UNREADABLE));
            if path.starts_with("/api/v1/") {
                complete(operation, path, method, listener);
            }
        }
    }
}

fn under_another_path(mut item: PathItem, path: &str, suffix: &str) -> PathItem {
    for (_, operation) in operations(&mut item) {
        if let Some(id) = &mut operation.operation_id {
            *id = format!("{id}_{suffix}");
        }
        if let Some(parameters) = &mut operation.parameters {
            parameters.retain(|one| match one {
                RefOr::T(one) => one.parameter_in != ParameterIn::Path || path.contains(&format!("{{{}}}", one.name)),
                RefOr::Ref(_) => true,
            });
        }
    }
    item
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("options", &mut item.options),
        ("head", &mut item.head),
        ("patch", &mut item.patch),
        ("trace", &mut item.trace),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Handlers are called alike in several modules, and one can answer several methods.
fn name(operation: &mut Operation, method: &str) {
    let room = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    if let Some(id) = &mut operation.operation_id {
        *id = match room.as_str() {
            "forward_auth" => format!("{room}_{id}_{method}"),
            _ => format!("{room}_{id}"),
        };
    }
}

/// An operation under `/api/v1/`: the guard, the faults that any of its kind has, and the headers of its kind.
fn complete(operation: &mut Operation, path: &str, method: &str, listener: Listener) {
    let scoped = operation
        .security
        .iter()
        .flatten()
        .any(|own| serde_json::to_value(own).is_ok_and(|own| own.get(TOKEN).is_some()));
    let has = |operation: &Operation, name: &str| {
        operation
            .parameters
            .iter()
            .flatten()
            .any(|one| matches!(one, RefOr::T(Parameter { name: own, .. }) if own == name))
    };
    let mut reasons: Vec<Reason> = Vec::new();
    if listener == Listener::Public {
        reasons.extend(GUARD);
    } else {
        operation.security = None;
    }
    if scoped || listener == Listener::Local {
        reasons.extend(OPERATORS);
    }
    let changes = method != "get" && scoped;
    if scoped && listener == Listener::Public {
        reasons.extend(SCOPED);
        if changes {
            reasons.extend(BEYOND);
        }
    }
    if path.contains('{') {
        reasons.extend(NAMED);
    }
    if operation.request_body.is_some() {
        reasons.extend(BODY);
    }
    if changes {
        reasons.extend(CHANGE);
    }
    if changes && OF_CREDENTIALS.iter().any(|own| path.contains(own)) {
        reasons.extend(POLICY);
    }
    if has(operation, IF_MATCH) {
        reasons.extend(STALE);
    }
    let once = changes && method == "post";
    if once {
        reasons.extend(ONCE);
        reasons.extend(BODY);
        operation.parameters.get_or_insert_default().push(idempotency_key().into());
    }
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer {
            succeed(answer, status, once);
        }
    }
    operation.responses.responses.extend(refusals(Surface::Problem, &reasons));
}

/// The headers of what went well.
fn succeed(answer: &mut Response, status: &str, once: bool) {
    let shape = answer.content.values().next().and_then(|content| match content {
        RefOr::T(content) => content.schema.as_ref(),
        RefOr::Ref(_) => None,
    });
    let tagged = matches!(shape, Some(RefOr::Ref(shape)) if TAGGED.iter().any(|name| shape.ref_location.ends_with(&format!("/{name}"))));
    let mut say = |name: &str, what: &str| {
        answer.headers.insert(name.to_owned(), text_header(what).into());
    };
    if tagged {
        say("ETag", "What If-Match takes (RFC 9110, 8.8.3).");
    }
    if status == "201" {
        say("Location", "Where it is from now on; left out where it is no resource of its own.");
    }
    if once {
        say("Idempotency-Replayed", "`true` where this is the answer to an earlier request, without the secret in it.");
    }
}

fn schemes(components: &mut Components, issuer: &str) {
    let scopes: Scopes = BUILT_IN.iter().map(|scope| ((*scope).to_owned(), what(scope))).collect();
    let flow = Flow::ClientCredentials(ClientCredentials::new(endpoint(issuer, TOKEN_PATH), scopes));
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.bearer_format = Some("JWT".to_owned());
    bearer.description = Some("A token of this service, or an API key, in the Authorization header alone.".to_owned());
    let mut basic = Http::new(HttpAuthScheme::Basic);
    basic.description = Some("client_id and client_secret; both form-encoded (RFC 6749, 2.3.1).".to_owned());
    components.add_security_scheme(TOKEN, SecurityScheme::OAuth2(OAuth2::new([flow])));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut digest = Http::new(HttpAuthScheme::Digest);
    digest.description = Some(
        "A Digest key (RFC 7616: SHA-256 or SHA-512-256, qop=auth), where the configuration asks for it.".to_owned(),
    );
    components.add_security_scheme("digest", SecurityScheme::Http(digest));
    components.add_security_scheme("basic", SecurityScheme::Http(basic));
}

/// `mintage:clients:read` in words.
fn what(scope: &str) -> String {
    let mut parts = scope.split(':').skip(1);
    match (parts.next(), parts.next()) {
        (Some(subject), Some(verb)) => format!("To {verb} {subject}"),
        _ => scope.to_owned(),
    }
}
