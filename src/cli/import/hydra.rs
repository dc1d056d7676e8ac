//! Ory Hydra's OAuth2 clients: as its API shows them, or as rows of its table `hydra_client`, which alone has the hashes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::read::{Found, Wanted, What, objects, text};

/// Scopes of OpenID Connect and of refresh tokens: there is no user here, and nothing to refresh.
const NOT_SCOPES: [&str; 3] = ["openid", "offline", "offline_access"];

pub(super) fn read(documents: Vec<Value>) -> Result<Vec<Found>, String> {
    Ok(objects(documents, &["clients", "items"])?.iter().map(client).collect())
}

/// A list, as the API has it, or as text in a column: JSON in newer versions, `a|b` in older ones.
fn list(client: &Map<String, Value>, member: &str) -> Vec<String> {
    match client.get(member) {
        Some(Value::String(column)) => match serde_json::from_str::<Value>(column) {
            Ok(list @ Value::Array(_)) => super::read::texts(Some(&list)),
            _ => column.split('|').filter(|entry| !entry.is_empty()).map(str::to_owned).collect(),
        },
        list => super::read::texts(list),
    }
}

fn client(client: &Map<String, Value>) -> Found {
    let Some(id) = text(client, "client_id").or_else(|| text(client, "id")) else {
        return Found::refused("?", "it has neither a client_id nor an id");
    };
    let grants = list(client, "grant_types");
    if !grants.iter().any(|grant| grant == "client_credentials") {
        let has = if grants.is_empty() { "none".to_owned() } else { grants.join(" ") };
        return Found::skipped(id, format!("it has no grant client_credentials, but {has}"));
    }
    match text(client, "token_endpoint_auth_method") {
        None | Some("client_secret_basic" | "client_secret_post") => {}
        Some("none") => return Found::skipped(id, "it is public: it has no secret"),
        Some(other) => return Found::skipped(id, format!("it authenticates by {other}, not by a secret")),
    }
    let Some(secret) = text(client, "client_secret") else {
        return Found::refused(
            id,
            "the export has no client_secret of it, and Hydra's API gives none: export the rows of its database \
             (SELECT row_to_json(c) FROM hydra_client c), or add client_secret by hand",
        );
    };
    let mut wanted = Wanted::default();
    wanted.set("client_id", id);
    wanted.set("name", text(client, "client_name").unwrap_or(id));
    wanted.set("owner", text(client, "owner").unwrap_or_default());
    wanted.set_secret(secret);
    wanted.audiences = list(client, "audience");
    for scope in text(client, "scope").unwrap_or_default().split_whitespace() {
        if NOT_SCOPES.contains(&scope) {
            wanted.notes.push(format!("without {scope}, which is for users"));
            continue;
        }
        if scope.contains('*') {
            wanted.notes.push(format!("{scope} is taken as it stands, and covers no other"));
        }
        wanted.scopes.insert(scope.to_owned(), None);
    }
    labels(client, &mut wanted);
    if list(client, "rotated_secrets").iter().any(|old| !old.is_empty()) {
        wanted.notes.push("without its rotated secrets: the newest alone is taken".to_owned());
    }
    if client.get("client_credentials_grant_access_token_lifespan").is_some_and(|span| !span.is_null()) {
        wanted.notes.push("without its access token lifespan: set token_ttl if it should be shorter".to_owned());
    }
    Found { name: id.to_owned(), what: What::Wanted(wanted) }
}

/// What of the metadata is text.
fn labels(client: &Map<String, Value>, wanted: &mut Wanted) {
    let metadata = match client.get("metadata") {
        Some(Value::String(column)) => serde_json::from_str(column).unwrap_or_default(),
        Some(metadata) => metadata.clone(),
        None => Value::Null,
    };
    let Value::Object(metadata) = metadata else { return };
    let mut labels = BTreeMap::new();
    for (name, value) in metadata {
        match value {
            Value::String(text) => drop(labels.insert(name, text)),
            _ => wanted.notes.push(format!("without metadata.{name}, which is not text")),
        }
    }
    wanted.set("labels", labels.into_iter().map(|(name, text)| (name, Value::from(text))).collect::<Map<_, _>>());
}
