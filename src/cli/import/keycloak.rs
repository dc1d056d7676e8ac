//! A realm of Keycloak, as `kc.sh export` or the console's partial export writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::read::{Found, Wanted, What, is_uri, objects, text, texts};

/// Client scopes that every realm has from the start: claims about users, and nothing that an API would ask for.
const BUILT_IN: [&str; 15] = [
    "acr",
    "address",
    "basic",
    "email",
    "microprofile-jwt",
    "offline_access",
    "openid",
    "organization",
    "phone",
    "profile",
    "role_list",
    "roles",
    "saml_organization",
    "service_account",
    "web-origins",
];

/// A client scope of the realm.
struct RealmScope {
    audiences: BTreeSet<String>,
    /// Whether tokens name it.
    named: bool,
}

pub(super) fn read(documents: Vec<Value>) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for realm in objects(documents, &[])? {
        let Some(Value::Array(clients)) = realm.get("clients") else {
            return Err("there is a realm without a list of clients".to_owned());
        };
        let scopes = realm_scopes(&realm);
        for one in clients {
            let Value::Object(one) = one else { return Err("clients holds something else than clients".to_owned()) };
            found.push(client(one, &scopes));
        }
    }
    Ok(found)
}

fn realm_scopes(realm: &Map<String, Value>) -> BTreeMap<String, RealmScope> {
    let scopes = realm.get("clientScopes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let read = |scope: &Map<String, Value>| {
        let attribute = scope.get("attributes").and_then(|of| of.get("include.in.token.scope"));
        let named = attribute.and_then(Value::as_str) != Some("false");
        Some((text(scope, "name")?.to_owned(), RealmScope { audiences: audiences(scope), named }))
    };
    scopes.filter_map(read).collect()
}

/// What the audience mappers of a client or a client scope put into access tokens.
fn audiences(of: &Map<String, Value>) -> BTreeSet<String> {
    let mappers = of.get("protocolMappers").and_then(Value::as_array).into_iter().flatten();
    let mappers = mappers.filter(|mapper| mapper.get("protocolMapper") == Some(&Value::from("oidc-audience-mapper")));
    let configs = mappers.filter_map(|mapper| mapper.get("config")?.as_object());
    let configs = configs.filter(|config| text(config, "access.token.claim") != Some("false"));
    let named = |config: &Map<String, Value>| {
        // Where both are set, Keycloak takes the client.
        text(config, "included.client.audience").or_else(|| text(config, "included.custom.audience")).map(str::to_owned)
    };
    configs.filter_map(named).collect()
}

/// Why it is none that fetches tokens with a secret.
fn other_kind(client: &Map<String, Value>) -> Option<String> {
    let is = |member: &str| client.get(member) == Some(&Value::Bool(true));
    match text(client, "protocol") {
        None | Some("openid-connect") => {}
        Some(other) => return Some(format!("it speaks {other}")),
    }
    if is("bearerOnly") {
        return Some("it is bearer-only: it fetches no tokens".to_owned());
    }
    if is("publicClient") {
        return Some("it is public: it has no secret".to_owned());
    }
    if !is("serviceAccountsEnabled") {
        return Some("it has no service account (serviceAccountsEnabled): it acts for users alone".to_owned());
    }
    match text(client, "clientAuthenticatorType") {
        None | Some("client-secret") => None,
        Some(other) => Some(format!("it authenticates by {other}, not by a secret")),
    }
}

fn client(client: &Map<String, Value>, realm: &BTreeMap<String, RealmScope>) -> Found {
    let Some(id) = text(client, "clientId") else { return Found::refused("?", "it has no clientId") };
    if let Some(why) = other_kind(client) {
        return Found::skipped(id, why);
    }
    let export = "export the realm on the server, which writes it: kc.sh export --realm REALM --file FILE; \
                  or put it into the file by hand";
    let secret = match text(client, "secret") {
        None => return Found::refused(id, format!("the export has no secret of it; {export}")),
        Some(masked) if masked.bytes().all(|b| b == b'*') => {
            return Found::refused(id, format!("its secret is masked, as the console's export does; {export}"));
        }
        Some(secret) => secret,
    };
    let mut wanted = Wanted::default();
    wanted.set("client_id", id);
    wanted.set("name", text(client, "name").unwrap_or(id));
    wanted.set("description", text(client, "description").unwrap_or_default());
    if client.get("enabled") == Some(&Value::Bool(false)) {
        wanted.set("status", "disabled");
        wanted.notes.push("disabled, as it is there".to_owned());
    }
    // Always in the clear there, whatever it looks like.
    wanted.set("client_secret", secret);
    wanted.secret = "in the clear";
    let mut all = audiences(client);
    let mut built_in = Vec::new();
    for list in ["defaultClientScopes", "optionalClientScopes"] {
        for scope in texts(client.get(list)) {
            if BUILT_IN.contains(&scope.as_str()) {
                built_in.push(scope);
                continue;
            }
            let own = realm.get(&scope);
            let of_scope: Vec<_> = own.into_iter().flat_map(|own| &own.audiences).cloned().collect();
            if own.is_some_and(|own| !own.named) {
                wanted.notes.push(format!("without {scope}, which tokens do not name"));
            } else {
                let one = of_scope.first().filter(|one| of_scope.len() == 1 && is_uri(one));
                wanted.scopes.insert(scope, one.cloned());
            }
            all.extend(of_scope);
        }
    }
    if !built_in.is_empty() {
        wanted.notes.push(format!("without {}, which Keycloak has from the start", built_in.join(" ")));
    }
    wanted.audiences = all.into_iter().collect();
    Found { name: id.to_owned(), what: What::Wanted(wanted) }
}
