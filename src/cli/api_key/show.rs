//! An API key, as people see it.

use std::path::Path;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::api::{ApiKey, RetiringKey};
use crate::cli::save::Made;
use crate::cli::{Failure, Global, limits, output, quotas, times};
use crate::credentials::{self, BadCredentials};

/// All but the key itself, unless it was just made.
pub(super) fn show(global: &Global, key: &ApiKey) -> Result<(), Failure> {
    if global.json {
        return output::json(key);
    }
    let mut fields = vec![("id", key.id.clone())];
    fields.extend(key.api_key.clone().map(|text| ("api_key", text)));
    fields.extend([
        ("name", key.name.clone()),
        ("prefix", key.prefix.clone()),
        ("status", key.status.as_str().to_owned()),
        ("environment", key.environment.to_string()),
        ("organization", key.organization.clone()),
        ("project", key.project.clone()),
        ("scopes", output::or_dash(key.scopes.join(" "))),
        ("ip_allowlist", output::or_dash(key.ip_allowlist.join(" "))),
    ]);
    if !key.limits.is_empty() {
        fields.push(("limits", limits::shown(&key.limits)));
    }
    fields.extend(quotas::fields(&key.quotas));
    for (name, value) in [("description", &key.description), ("owner", &key.owner)] {
        if !value.is_empty() {
            fields.push((name, value.clone()));
        }
    }
    if !key.labels.is_empty() {
        let labels: Vec<_> = key.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.push(("labels", labels.join(" ")));
    }
    fields.extend([
        ("created_at", key.created_at.0.to_string()),
        ("expires_at", times::exact_or(key.expires_at, "never")),
        ("last_used_at", times::exact_or(key.last_used_at, "never")),
    ]);
    fields.extend(key.last_used_from.clone().map(|from| ("last_used_from", from)));
    fields.extend(key.retiring.iter().map(|older| ("retiring", goes_on(older))));
    output::print(&output::fields(&fields))?;
    if key.api_key.is_some() {
        output::note("\nThe api_key is shown this once, and cannot be had again: keep it now.");
    }
    Ok(())
}

/// Until when an older one is taken, and whether anybody still comes with it.
fn goes_on(older: &RetiringKey) -> String {
    let used = match (older.last_used_at, &older.last_used_from) {
        (Some(at), Some(from)) => format!("last used {} from {from}", at.0),
        (Some(at), None) => format!("last used {}", at.0),
        (None, _) => "never used".to_owned(),
    };
    format!("{} goes on until {}, {used}", older.prefix, older.expires_at.0)
}

/// What `--save` has written.
#[derive(Deserialize)]
struct File {
    id: String,
    api_key: Zeroizing<String>,
}

impl Made for ApiKey {
    const ID: &'static str = "id";
    const SECRET: &'static str = "api_key";
    const NEW: &'static str = "API key";
    const ANOTHER: &'static str = "another API key";

    fn id(&self) -> &str {
        &self.id
    }

    fn secret(&self) -> Option<&str> {
        self.api_key.as_deref()
    }

    fn without_secret(self) -> Self {
        Self { api_key: None, ..self }
    }

    fn whose(path: &Path) -> Result<String, BadCredentials> {
        let file: File = credentials::read(path, [Self::ID, Self::SECRET], |file: &File| [&file.id, &file.api_key])?;
        Ok(file.id)
    }

    fn show(&self, global: &Global) -> Result<(), Failure> {
        show(global, self)
    }
}
