//! A client, as people see it.

use std::path::Path;

use crate::api::{Client, DigestKey, EffectiveScope};
use crate::cli::save::Made;
use crate::cli::{Failure, Global, limits, output, quotas, times};
use crate::credentials::{BadCredentials, Credentials};
use crate::server::config::Span;

impl Made for Client {
    const ID: &'static str = "client_id";
    const SECRET: &'static str = "client_secret";
    const NEW: &'static str = "secret";
    const ANOTHER: &'static str = "the secret of another client";

    fn id(&self) -> &str {
        &self.client_id
    }

    fn secret(&self) -> Option<&str> {
        self.client_secret.as_deref()
    }

    fn without_secret(self) -> Self {
        Self { client_secret: None, ..self }
    }

    fn whose(path: &Path) -> Result<String, BadCredentials> {
        Credentials::from_file(path).map(|credentials| credentials.client_id)
    }

    fn show(&self, global: &Global) -> Result<(), Failure> {
        show(global, self)
    }
}

/// What it is, and which secrets and Digest keys it has.
pub(super) fn show(global: &Global, client: &Client) -> Result<(), Failure> {
    print(global, client, "")
}

/// The same, with all scopes that it may ask for, and where each comes from.
pub(super) fn in_full(global: &Global, client: &Client) -> Result<(), Failure> {
    let scopes = client.effective_scopes.as_deref().unwrap_or_default();
    let scopes = if scopes.is_empty() { String::new() } else { format!("\n{}", effective(scopes)) };
    print(global, client, &scopes)
}

fn effective(scopes: &[EffectiveScope]) -> String {
    let row = |one: &EffectiveScope| {
        let from: Vec<_> = one.from.iter().map(|from| from.replacen("role:", "the role ", 1)).collect();
        let reach = one.level.map(|level| format!("its {}", level.as_str()));
        [one.scope.clone(), from.join(", "), output::or_dash(reach)]
    };
    output::table_of_what_is_said(["SCOPE", "FROM", "REACHES"], &scopes.iter().map(row).collect::<Vec<_>>())
}

fn digest_keys(keys: &[DigestKey]) -> String {
    let row = |key: &DigestKey| {
        [
            key.id.clone(),
            key.public_key.clone(),
            times::exact_or(key.expires_at, "never"),
            times::exact_or(key.last_used_at, "never"),
            output::or_dash(key.last_used_from.clone()),
        ]
    };
    let headings = ["DIGEST KEY", "PUBLIC KEY", "EXPIRES", "LAST USED", "FROM"];
    output::table(headings, &keys.iter().map(row).collect::<Vec<_>>())
}

fn print(global: &Global, client: &Client, scopes: &str) -> Result<(), Failure> {
    if global.json {
        return output::json(client);
    }
    let mut fields = vec![("client_id", client.client_id.clone())];
    if let Some(secret) = &client.client_secret {
        fields.push(("client_secret", secret.clone()));
    }
    fields.extend([
        ("name", client.name.clone()),
        ("project", format!("{}/{}", client.organization, client.project)),
        ("environment", client.environment.to_string()),
        ("status", client.status.as_str().to_owned()),
        ("scopes", output::or_dash(client.scopes.join(" "))),
    ]);
    if !client.roles.is_empty() {
        fields.push(("roles", client.roles.join(" ")));
    }
    fields.extend([
        ("ip_allowlist", output::or_dash(client.ip_allowlist.join(" "))),
        ("token_ttl", output::or_dash(client.token_ttl.map(|ttl| Span::from_secs(ttl).to_string()))),
    ]);
    if !client.limits.is_empty() {
        fields.push(("limits", limits::shown(&client.limits)));
    }
    for (name, value) in [("description", &client.description), ("owner", &client.owner)] {
        if !value.is_empty() {
            fields.push((name, value.clone()));
        }
    }
    if !client.labels.is_empty() {
        let labels: Vec<_> = client.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.push(("labels", labels.join(" ")));
    }
    fields.extend(quotas::fields(&client.quotas));
    fields.push(("created_at", client.created_at.0.to_string()));
    let rows: Vec<_> = client
        .secrets
        .iter()
        .map(|secret| {
            [
                secret.id.clone(),
                secret.prefix.clone(),
                secret.created_at.0.to_string(),
                times::exact_or(secret.expires_at, "never"),
                times::exact_or(secret.last_used_at, "never"),
                output::or_dash(secret.last_used_from.clone()),
            ]
        })
        .collect();
    let headings = ["SECRET", "PREFIX", "CREATED", "EXPIRES", "LAST USED", "FROM"];
    let mut text = format!("{}{scopes}\n{}", output::fields(&fields), output::table(headings, &rows));
    if !client.digest_keys.is_empty() {
        text.push_str(&format!("\n{}", digest_keys(&client.digest_keys)));
    }
    output::print(&text)?;
    if client.client_secret.is_some() {
        output::note("\nThe client_secret is shown this once, and cannot be had again: keep it now.");
    }
    Ok(())
}
