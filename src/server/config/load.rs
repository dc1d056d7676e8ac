//! Reading the configuration: file, then environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::Deserialize;
use url::Url;

use crate::source_ip::Allowlist;

use super::Config;

/// The file that is read where no other is named.
const DEFAULT_FILE: &str = "mintage.toml";

/// What the configuration says cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there or not readable.
    #[error("the configuration file {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key is unknown, or its value is not what it has to be.
    #[error("{0}")]
    Value(String),
}

/// What the command line sets over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--issuer`
    pub issuer: Option<String>,
    /// `--store-url`
    pub store_url: Option<String>,
    /// `--keys-dir`
    pub keys_dir: Option<PathBuf>,
    /// `--socket`
    pub socket: Option<PathBuf>,
}

/// A list of CIDRs; in the environment also as one string with commas.
pub(super) fn cidrs<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Allowlist, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    let entries = match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(text) => text.split(',').map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect(),
        OneOrMore::More(entries) => entries,
    };
    Allowlist::parse_unbounded(entries).map_err(serde::de::Error::custom)
}

/// Variables of the same prefix that are not configuration: the credentials of the client side, the issuer that operators
/// administer, what the agent gives the
/// program that it runs, and what Kubernetes sets in every pod beside a service that is called mintage.
fn is_configuration(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let of_a_service = ["SERVICE_HOST", "SERVICE_PORT", "PORT"].iter().any(|part| {
        name.match_indices(part).any(|(at, _)| {
            let (before, after) = (name.get(..at).unwrap_or_default(), name.get(at + part.len()..).unwrap_or_default());
            // `SERVICE_HOST`, `ADMIN_SERVICE_PORT_HTTP`: words of their own, joined by single underscores.
            (before.is_empty() || before.ends_with('_') && !before.contains("__"))
                && (after.is_empty() || after.starts_with('_') && !after.starts_with("__"))
        })
    });
    let of_the_agent = name.starts_with("ACCESS_TOKEN") || name.starts_with("AGENT_");
    !(matches!(name.as_str(), "CLIENT_ID" | "CLIENT_SECRET" | "CONFIG" | "URL") || of_the_agent || of_a_service)
}

/// Reads and checks the configuration: `file` (or `mintage.toml` where it exists), `MINTAGE_…`, `overrides`.
///
/// # Errors
/// [`ConfigError`], which names the key.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
    let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    let mut figment = Figment::new();
    match std::fs::read_to_string(path) {
        Ok(text) => figment = figment.merge(Toml::string(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {}
        Err(error) => return Err(ConfigError::File { path: path.to_owned(), why: error.to_string() }),
    }
    figment = figment.merge(Env::prefixed("MINTAGE_").filter(|name| is_configuration(name.as_str())).split("__"));
    if let Some(listen) = overrides.listen {
        figment = figment.merge(Serialized::global("listen", listen));
    }
    if let Some(issuer) = &overrides.issuer {
        figment = figment.merge(Serialized::global("issuer", issuer));
    }
    if let Some(url) = &overrides.store_url {
        figment = figment.merge(Serialized::global("store.url", url));
    }
    if let Some(dir) = &overrides.keys_dir {
        figment = figment.merge(Serialized::global("keys.dir", dir));
    }
    if let Some(socket) = &overrides.socket {
        figment = figment.merge(Serialized::global("admin.socket", socket));
    }
    let config: Config = figment.extract().map_err(|error| ConfigError::Value(describe(error, path)))?;
    check(&config).map_err(ConfigError::Value)?;
    Ok(config)
}

/// figment's errors, each on a line with its key in front.
pub fn describe(errors: figment::Error, path: &Path) -> String {
    let describe_one = |error: figment::Error| {
        let from_environment = error.metadata.as_ref().is_some_and(|metadata| metadata.name.contains("environment"));
        let place = if from_environment { "the environment".to_owned() } else { path.display().to_string() };
        let mut keys = error.path.clone();
        // An unknown key is named by the error itself, its parents by the path.
        if let figment::error::Kind::UnknownField(field, expected) = &error.kind {
            if keys.last() != Some(field) {
                keys.push(field.clone());
            }
            let place = if from_environment {
                // As it was written; levels are easily joined by one underscore too few.
                format!(
                    "the environment, as MINTAGE_{}; levels are joined by two underscores",
                    keys.join("__").to_uppercase()
                )
            } else {
                place
            };
            return format!("{}: unknown key (in {place}); known here are: {}", keys.join("."), expected.join(", "));
        }
        format!("{}: {} (in {place})", keys.join("."), error.kind)
    };
    errors.into_iter().map(describe_one).collect::<Vec<_>>().join("\n")
}

/// What has to hold between keys.
fn check(config: &Config) -> Result<(), String> {
    match &config.issuer {
        None if !config.listen.ip().to_canonical().is_loopback() => {
            return Err(format!(
                "issuer: missing; {} is not a loopback address, so set the URL that clients know this service by, \
                 such as issuer = \"https://auth.example.com\"",
                config.listen
            ));
        }
        None => {}
        Some(issuer) => {
            let good = Url::parse(issuer).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none()
                    // What the route table could not tell from a parameter of its own.
                    && !url.path().split('/').any(|part| part.starts_with([':', '*']) || part.contains(['{', '}']))
            });
            if !good || issuer.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err("issuer: it has to be an http or https URL without user, query or fragment \
                     (RFC 8414 §2), and no part of its path may begin with : or *"
                    .to_owned());
            }
        }
    }
    let store = &config.store.url;
    match store.strip_prefix("redb:") {
        Some(path) if !path.is_empty() => {}
        _ if store.starts_with("postgres:") || store.starts_with("postgresql:") => {
            return Err("store.url: this build has no PostgreSQL; use redb:PATH".to_owned());
        }
        _ => return Err("store.url: it has to be redb:PATH, such as redb:data/mintage.redb".to_owned()),
    }
    let whole = |key: &str, span: super::Span| {
        if span.as_secs() == 0 || span.duration().subsec_nanos() != 0 {
            return Err(format!("{key}: it has to be whole seconds, at least \"1s\""));
        }
        Ok(())
    };
    whole("token.ttl", config.token.ttl)?;
    whole("token.ttl_max", config.token.ttl_max)?;
    whole("keys.rotate_after", config.keys.rotate_after)?;
    whole("keys.jwks_max_age", config.keys.jwks_max_age)?;
    whole("review.every", config.review.every)?;
    whole("review.unused_after", config.review.unused_after)?;
    whole("review.never_used_after", config.review.never_used_after)?;
    if config.token.ttl > config.token.ttl_max {
        return Err(format!("token.ttl: {} is more than token.ttl_max, {}", config.token.ttl, config.token.ttl_max));
    }
    config.audit.check()?;
    config.limits.check()?;
    tracing_subscriber::EnvFilter::try_new(&config.telemetry.log).map(drop).map_err(|error| {
        format!("telemetry.log: not a log filter, such as \"info\" or \"mintage=debug,warn\": {error}")
    })
}
