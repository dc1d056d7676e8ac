//! The rules of the house: who may use whose rooms, how long a file may be, and a page for every reason.

use std::fs;
use std::path::{Path, PathBuf};

use mintage::reason::Reason;

/// Each room, and the rooms it may use besides itself. Downwards only; the three sides know each other through the
/// vocabulary, but for what `docs/ARCHITECTURE.md` allows.
const ROOMS: &[(&str, &[&str])] = &[
    ("crypto", &[]),
    ("clock", &[]),
    ("id", &["crypto"]),
    ("scope", &[]),
    ("secret", &["crypto", "id"]),
    ("source_ip", &[]),
    ("reason", &[]),
    ("limit", &["api", "clock"]),
    ("problem", &["id", "limit", "reason"]),
    ("backoff", &["crypto"]),
    ("files", &["crypto", "id"]),
    ("oauth", &["clock", "crypto", "id", "reason", "scope", "secret", "source_ip"]),
    ("api", &["clock", "id", "scope", "secret"]),
    ("jose", &["clock", "crypto", "scope", "source_ip"]),
    ("fetch", &["oauth"]),
    ("credentials", &["crypto", "secret"]),
    ("client", &["backoff", "clock", "credentials", "crypto", "fetch", "oauth", "scope", "secret"]),
    (
        "resource",
        &[
            "backoff",
            "clock",
            "credentials",
            "crypto",
            "fetch",
            "files",
            "id",
            "jose",
            "limit",
            "oauth",
            "problem",
            "reason",
            "scope",
            "secret",
            "source_ip",
        ],
    ),
    ("server::config", &["limit", "jose", "resource", "scope", "secret", "source_ip"]),
    ("server::guards", &["resource", "scope", "source_ip", "server::config"]),
    (
        "server::model",
        &["limit", "api", "clock", "crypto", "id", "jose", "scope", "secret", "source_ip", "server::config"],
    ),
    ("server::store", &["api", "clock", "crypto", "id", "scope", "secret", "server::model"]),
    // `resource` only for the trait by which the server is its own source of keys.
    (
        "server::keys",
        &["api", "clock", "crypto", "jose", "resource", "server::config", "server::model", "server::store"],
    ),
    (
        "server::error",
        &["limit", "api", "crypto", "id", "reason", "scope", "source_ip", "server::keys", "server::store"],
    ),
    (
        "server::service",
        &[
            "limit",
            "api",
            "clock",
            "crypto",
            "id",
            "jose",
            "oauth",
            "reason",
            "resource",
            "scope",
            "secret",
            "source_ip",
            // For how a duration is written.
            "server::config",
            "server::error",
            "server::keys",
            "server::model",
            "server::store",
        ],
    ),
    (
        "server::http",
        &[
            "limit",
            "api",
            "clock",
            "id",
            "oauth",
            "problem",
            "reason",
            "resource",
            "scope",
            "secret",
            "source_ip",
            "server::error",
            "server::guards",
            "server::model",
            "server::service",
        ],
    ),
    ("server::telemetry", &["server::config"]),
    ("server::webhook", &["backoff", "clock", "crypto", "fetch", "server::config", "server::error", "server::service"]),
    (
        "server::start",
        &[
            "clock",
            "crypto",
            "jose",
            "source_ip",
            "server::config",
            "server::guards",
            "server::http",
            "server::keys",
            "server::service",
            "server::store",
            "server::webhook",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "client",
            "clock",
            "credentials",
            "crypto",
            "fetch",
            "files",
            "id",
            "jose",
            "oauth",
            "scope",
            "secret",
            "source_ip",
            "server",
            "server::config",
            "server::guards",
            // The agent listens as the server does.
            "server::http",
            "server::service",
            "server::store",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 50);
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// `server/http/token.rs` is the module `server::http::token`.
fn module_of(path: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The absolute module paths that a source names: `crate::…` as it stands, `super::…` from where it stands.
fn named_paths(module: &[String], source: &str) -> Vec<Vec<String>> {
    let mut named = Vec::new();
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        for (start, marker) in ["crate::", "super::"].iter().flat_map(|m| line.match_indices(m)) {
            let before = line[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &line[start..];
            let mut path: Vec<String> = if marker == "crate::" { Vec::new() } else { module.to_vec() };
            rest = rest.strip_prefix("crate::").unwrap_or(rest);
            while let Some(after) = rest.strip_prefix("super::") {
                path.pop();
                rest = after;
            }
            let tail: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            path.extend(tail.split("::").filter(|p| !p.is_empty()).map(str::to_owned));
            named.push(path);
        }
    }
    named
}

/// The longest room name that `path` begins with.
fn room_of(path: &[String]) -> Option<&'static str> {
    ROOMS
        .iter()
        .map(|(name, _)| *name)
        .chain(["server"])
        .filter(|name| {
            let parts: Vec<_> = name.split("::").collect();
            path.len() >= parts.len() && parts.iter().zip(path).all(|(a, b)| a == b)
        })
        .max_by_key(|name| name.len())
}

#[test]
fn rooms_are_used_downwards_only() {
    let mut checked = 0;
    for (path, source) in all_sources() {
        let module = module_of(&path);
        let Some(own) = room_of(&module).filter(|room| *room != "server") else { continue };
        let allowed = ROOMS.iter().find(|(name, _)| *name == own).unwrap().1;
        // Tests may reach where they like.
        let code = source.split("#[cfg(test)]").next().unwrap();
        for named in named_paths(&module, code) {
            if let Some(used) = room_of(&named) {
                checked += 1;
                assert!(used == own || allowed.contains(&used), "{}: {own} uses {}", path.display(), named.join("::"));
            }
        }
    }
    assert!(checked > 200, "only {checked} uses were found");
}

#[test]
fn ring_is_known_in_one_place() {
    for (path, source) in all_sources() {
        let code = source.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let uses_ring =
            code.flat_map(|line| line.match_indices("ring::").map(move |(at, _)| &line[..at])).any(|before| {
                // Not the end of another word (`Ordering::`), nor a module that is called so (`crypto::ring::`).
                !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
        assert!(
            !uses_ring || path.starts_with("crypto") || path == Path::new("server/keys/mod.rs"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for (path, source) in all_sources() {
        assert!(source.lines().count() <= 400, "{} wants splitting", path.display());
    }
}

/// `docs/errors.md`, as the list of reasons has it.
fn errors_page() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         Every refusal carries a `reason`: a stable word to program against. The list is closed. At `/oauth/` errors are\n\
         RFC 6749 §5.2 JSON, elsewhere RFC 9457 problems; both have `reason` and `request_id`, under which the operator finds\n\
         the request in the service's log (stderr). The `type` of a problem resolves: the service answers `/errors/REASON`\n\
         with the entry below, and `/errors` with this page.\n\n\
         | reason | status | RFC code | cause | what to do | try the same again |\n|---|---|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            reason.as_str(),
            reason.status().as_u16(),
            reason.rfc_code().map_or_else(|| "none".to_owned(), |code| format!("`{code}`")),
            reason.title(),
            reason.action(),
            reason.retry().as_str()
        ));
    }
    page.push_str(
        "\n## By status\n\n\
         What a caller that knows no reasons does. `Retry-After` is true: who waits that long and is alone is served, and a\n\
         second earlier is not.\n\n\
         | status | what it is | try again |\n|---|---|---|\n\
         | 400 | the request, a scope, a resource or a member of it cannot be accepted | no: mend it first |\n\
         | 401 `invalid_client`, `digest_invalid` | wrong, ended or disabled credentials | no: the same ones fail again, and count against the address |\n\
         | 401 `token_…` | the token or API key is not good any more | once, with a new one |\n\
         | 401 `no_credentials` | nothing was sent | with credentials |\n\
         | 402 | the prepaid balance is used up | after a top-up |\n\
         | 403 `insufficient_scope`, `ip_not_allowed`, `wrong_environment`, … | the credential is good, and not for this | no: ask the operator, with the `request_id` |\n\
         | 403 `quota_exceeded` | a quota is used up | from `resets_at` on |\n\
         | 404, 405 | no such thing, no such method | no |\n\
         | 408 | the request came too slowly | yes |\n\
         | 409, 412 | somebody else was faster | after a look at what is there |\n\
         | 413 | the body is too large | no: send less |\n\
         | 422 | the `Idempotency-Key` was used for another body | with another key |\n\
         | 429 | a rate limit | yes, after `Retry-After` |\n\
         | 431 | the request's line and header fields are too large | no: send less |\n\
         | 500 | a fault of the service | yes, with growing pauses; tell the operator the `request_id` |\n\
         | 503 | the service cannot answer now | yes, after `Retry-After`, with growing pauses |\n\n\
         Behind nginx, which makes 500 of all but 401 and 403 of an `auth_request`, `status=nginx` folds the others into\n\
         these two; `X-Auth-Status` has the true one, `X-Auth-Reason` the reason.\n",
    );
    page
}

#[test]
fn every_reason_is_on_the_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, errors_page()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        errors_page(),
        "write it anew: UPDATE=1 cargo test --test it house::"
    );
}
