//! A declarative set-up as it is written down. A member that is left out stays what it is; one that is there is all there
//! is to be of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use toml::Spanned;

use crate::api::{ClientStatus, Level};
use crate::cli::{Failure, limits, quotas};
use crate::secret::Environment;
use crate::server::config::Span;

use super::wanted::{Kind, Wanted};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    organization: Vec<Spanned<Organization>>,
    project: Vec<Spanned<Project>>,
    api: Vec<Spanned<Api>>,
    role: Vec<Spanned<Role>>,
    client: Vec<Spanned<Client>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Organization {
    id: String,
    name: Option<String>,
    secret_max_ttl: Option<Limit>,
    secret_warn_before: Option<Limit>,
    limits: Option<toml::Table>,
    require_expiry: Option<bool>,
    require_allowlist: Option<bool>,
    max_keys: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    id: String,
    organization: Option<String>,
    name: Option<String>,
    secret_max_ttl: Option<Limit>,
    secret_warn_before: Option<Limit>,
    limits: Option<toml::Table>,
    quotas: Option<toml::Table>,
    require_expiry: Option<bool>,
    require_allowlist: Option<bool>,
    max_keys: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Api {
    identifier: String,
    organization: Option<String>,
    name: Option<String>,
    scopes: Option<Vec<Scope>>,
    token_ttl: Option<Limit>,
    introspectors: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    name: String,
    organization: Option<String>,
    level: Option<Level>,
    scopes: Option<Vec<String>>,
    description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    client_id: String,
    name: Option<String>,
    organization: Option<String>,
    project: Option<String>,
    environment: Option<Environment>,
    scopes: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    ip_allowlist: Option<Vec<String>>,
    token_ttl: Option<Limit>,
    limits: Option<toml::Table>,
    quotas: Option<toml::Table>,
    secret_ttl: Option<Limit>,
    description: Option<String>,
    owner: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    status: Option<ClientStatus>,
    save: Option<PathBuf>,
}

/// A span of whole seconds, or `none`.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u64>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes, such as \"10m\" or \"90d\", or \"none\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit, E> {
                match text {
                    "none" => Ok(Limit(None)),
                    text => Span::whole_seconds(text).map(|span| Limit(Some(span.as_secs()))).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A scope that an API defines: its name, or a table that describes it, too.
#[derive(Debug)]
struct Scope {
    name: String,
    description: Option<String>,
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: String,
            description: Option<String>,
        }
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Scope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scope in quotes, or { name = \"…\", description = \"…\" }")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Scope, E> {
                Ok(Scope { name: name.to_owned(), description: None })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Scope, A::Error> {
                let Table { name, description } =
                    Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Scope { name, description })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// All that the file at `path` names, in the order in which it can be made.
pub(super) fn read(path: &Path) -> Result<Vec<Wanted>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{shown}: {error}")))?;
    let file: File =
        toml::from_str(&text).map_err(|error| Failure::new(format!("{shown}: {}", error.to_string().trim_end())))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut all = Vec::new();
    let place = |start: usize| {
        let before = text.get(..start).unwrap_or(&text);
        format!("{shown}:{}", before.matches('\n').count() + 1)
    };
    for (at, item) in each(file.organization, place) {
        all.push(item.wanted(at)?);
    }
    for (at, item) in each(file.project, place) {
        all.push(item.wanted(at)?);
    }
    all.extend(each(file.api, place).map(|(at, item)| item.wanted(at)));
    all.extend(each(file.role, place).map(|(at, item)| item.wanted(at)));
    for (at, item) in each(file.client, place) {
        all.push(item.wanted(at, folder)?);
    }
    check(&all)?;
    Ok(all)
}

fn each<T>(items: Vec<Spanned<T>>, place: impl Fn(usize) -> String) -> impl Iterator<Item = (String, T)> {
    items.into_iter().map(move |item| (place(item.span().start), item.into_inner()))
}

/// Nothing is named twice, and no two secrets go into one file.
fn check(all: &[Wanted]) -> Result<(), Failure> {
    let mut names = BTreeMap::new();
    let mut files = BTreeMap::new();
    for wanted in all {
        if let Some(first) = names.insert(wanted.label(), &wanted.at) {
            return Err(Failure::new(format!("{}: {} is named already, at {first}", wanted.at, wanted.label())));
        }
        if let Some(file) = &wanted.save
            && let Some(first) = files.insert(file, &wanted.at)
        {
            let file = file.display();
            return Err(Failure::new(format!("{}: {file} is to have another client's secret, at {first}", wanted.at)));
        }
    }
    Ok(())
}

/// A limit that is said, as JSON has it.
fn limit(limit: Option<Limit>) -> Option<Value> {
    limit.map(|Limit(seconds)| json!(seconds))
}

/// What an organization or a project says of secrets and API keys.
struct Policy {
    max_ttl: Option<Limit>,
    warn_before: Option<Limit>,
    require_expiry: Option<bool>,
    require_allowlist: Option<bool>,
    max_keys: Option<u64>,
}

impl Policy {
    fn of(self, wanted: Wanted) -> Wanted {
        // 0 is no limit, as on the command line.
        let max_keys = self.max_keys.map(|most| json!(Some(most).filter(|most| *most > 0)));
        wanted
            .member("secret_policy.max_ttl", limit(self.max_ttl))
            .member("secret_policy.warn_before", limit(self.warn_before))
            .member("secret_policy.require_expiry", self.require_expiry)
            .member("secret_policy.require_allowlist", self.require_allowlist)
            .member("secret_policy.max_keys", max_keys)
    }
}

/// The same, with what the table of this name says, each as `read` has it from a command line: `token.per_minute=100`.
fn tabled(
    wanted: Wanted,
    name: &str,
    table: Option<&toml::Table>,
    read: impl Fn(&str) -> Result<(String, Value), String> + Copy,
) -> Result<Wanted, Failure> {
    fn walk(
        mut wanted: Wanted,
        name: &str,
        table: &toml::Table,
        prefix: &str,
        read: impl Fn(&str) -> Result<(String, Value), String> + Copy,
    ) -> Result<Wanted, Failure> {
        for (inner, value) in table {
            let path = format!("{prefix}{inner}");
            let text = match value {
                toml::Value::Table(table) => {
                    wanted = walk(wanted, name, table, &format!("{path}."), read)?;
                    continue;
                }
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::String(text) => text.clone(),
                _ => return Err(wanted.error(&format!("{name}.{path} has to be a whole number, or \"none\""))),
            };
            let (path, value) = read(&format!("{path}={text}")).map_err(|error| wanted.error(&error))?;
            wanted = wanted.member(&format!("{name}.{path}"), Some(value));
        }
        Ok(wanted)
    }
    match table {
        Some(table) => walk(wanted, name, table, "", read),
        None => Ok(wanted),
    }
}

fn limited(wanted: Wanted, table: Option<&toml::Table>) -> Result<Wanted, Failure> {
    tabled(wanted, "limits", table, |text| limits::limit(text).map(|limit| limit.member()))
}

fn with_quotas(wanted: Wanted, table: Option<&toml::Table>) -> Result<Wanted, Failure> {
    let read = |text: &str| quotas::quota(text).map(quotas::Quota::member).map_err(str::to_owned);
    tabled(wanted, "quotas", table, read)
}

impl Organization {
    fn wanted(self, at: String) -> Result<Wanted, Failure> {
        let wanted = Wanted::new(Kind::Organization, self.id, None, at).member("name", self.name);
        let policy = Policy {
            max_ttl: self.secret_max_ttl,
            warn_before: self.secret_warn_before,
            require_expiry: self.require_expiry,
            require_allowlist: self.require_allowlist,
            max_keys: self.max_keys,
        };
        limited(policy.of(wanted), self.limits.as_ref())
    }
}

impl Project {
    fn wanted(self, at: String) -> Result<Wanted, Failure> {
        let wanted = Wanted::new(Kind::Project, self.id, self.organization, at).member("name", self.name);
        let policy = Policy {
            max_ttl: self.secret_max_ttl,
            warn_before: self.secret_warn_before,
            require_expiry: self.require_expiry,
            require_allowlist: self.require_allowlist,
            max_keys: self.max_keys,
        };
        with_quotas(limited(policy.of(wanted), self.limits.as_ref())?, self.quotas.as_ref())
    }
}

impl Api {
    fn wanted(self, at: String) -> Wanted {
        let scope = |scope: &Scope| match &scope.description {
            Some(description) => json!({ "name": scope.name, "description": description }),
            None => json!({ "name": scope.name }),
        };
        let scopes = self.scopes.map(|scopes| scopes.iter().map(scope).collect::<Vec<_>>());
        Wanted::new(Kind::Api, self.identifier, self.organization, at)
            .member("name", self.name)
            .member("scopes", scopes)
            .member("token_ttl", limit(self.token_ttl))
            .member("introspectors", self.introspectors)
    }
}

impl Role {
    fn wanted(self, at: String) -> Wanted {
        Wanted::new(Kind::Role, self.name, self.organization, at)
            .fixed("level", self.level.map(Level::as_str))
            .member("scopes", self.scopes)
            .member("description", self.description)
    }
}

impl Client {
    fn wanted(self, at: String, folder: &Path) -> Result<Wanted, Failure> {
        let wanted = Wanted::new(Kind::Client, self.client_id, self.organization, at)
            .fixed("project", self.project)
            .fixed("environment", self.environment.map(|environment| environment.to_string()))
            .member("name", self.name)
            .member("status", self.status.map(ClientStatus::as_str))
            .member("scopes", self.scopes)
            .member("roles", self.roles)
            .member("ip_allowlist", self.ip_allowlist)
            .member("token_ttl", limit(self.token_ttl))
            .member("description", self.description)
            .member("owner", self.owner)
            .member("labels", self.labels.map(|labels| json!(labels)));
        let mut wanted = with_quotas(limited(wanted, self.limits.as_ref())?, self.quotas.as_ref())?;
        wanted.secret_ttl = self.secret_ttl.and_then(|Limit(seconds)| seconds);
        wanted.save = self.save.map(|file| folder.join(file));
        Ok(wanted)
    }
}
