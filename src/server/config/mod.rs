//! The configuration: its keys, their defaults, and what has to hold between them.
//!
//! Responsible for: what an operator can set. Never: reading it anywhere but in [`load`].

mod audit;
mod guard;
mod limits;
mod load;
mod review;
mod span;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::jose::Algorithm;
use crate::secret::KeyPrefix;
use crate::source_ip::{Allowlist, ClientIpHeader};

pub use audit::Audit;
pub use guard::{Guard, RequestFrom, Rule};
pub use limits::{FailedAuth, Limits, RateKeys};
pub use load::{ConfigError, Overrides, describe, load};
pub use review::{Review, Sensitive, Webhook};
pub use span::Span;

/// Everything that can be set. `docs/configuration.md` has the meanings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address of the public listener.
    pub listen: SocketAddr,
    /// The `iss` of every token, byte for byte; `http://<listen>` if left out.
    pub issuer: Option<String>,
    /// The store.
    pub store: Store,
    /// Signing keys.
    pub keys: Keys,
    /// Tokens.
    pub token: Token,
    /// API keys.
    pub api_keys: ApiKeys,
    /// Routes of our own.
    pub api: Api,
    /// Source addresses.
    pub network: Network,
    /// Local administration.
    pub admin: Admin,
    /// The audit log.
    pub audit: Audit,
    /// Limits.
    pub limits: Limits,
    /// What of clients is worth a look.
    pub review: Review,
    /// Whom to tell of it.
    pub webhook: Webhook,
    /// Logs.
    pub telemetry: Telemetry,
    /// Policies of forward-auth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<Guard>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            issuer: None,
            store: Store::default(),
            keys: Keys::default(),
            token: Token::default(),
            api_keys: ApiKeys::default(),
            api: Api::default(),
            network: Network::default(),
            admin: Admin::default(),
            audit: Audit::default(),
            limits: Limits::default(),
            review: Review::default(),
            webhook: Webhook::default(),
            telemetry: Telemetry::default(),
            guard: Vec::new(),
        }
    }
}

/// `store.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `redb:PATH`.
    pub url: String,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "redb:data/mintage.redb".to_owned() }
    }
}

/// `keys.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Where the private keys are.
    pub dir: PathBuf,
    /// What tokens are signed with.
    pub algorithm: SigningAlgorithm,
    /// How long a key signs before the next one takes over.
    pub rotate_after: Span,
    /// How long verifiers may keep the JWKS.
    pub jwks_max_age: Span,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("keys"),
            algorithm: SigningAlgorithm::ES256,
            rotate_after: Span::from_days(90),
            jwks_max_age: Span::from_secs(300),
        }
    }
}

/// The algorithms that tokens can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256.
    ES256,
    /// Ed25519.
    EdDSA,
    /// RSA PKCS#1 v1.5.
    RS256,
    /// RSA PSS.
    PS256,
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::ES256 => Self::ES256,
            SigningAlgorithm::EdDSA => Self::EdDSA,
            SigningAlgorithm::RS256 => Self::RS256,
            SigningAlgorithm::PS256 => Self::PS256,
        }
    }
}

/// `token.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// How long a token lives.
    pub ttl: Span,
    /// The most that `ttl` can be.
    pub ttl_max: Span,
}

impl Default for Token {
    fn default() -> Self {
        Self { ttl: Span::from_secs(3600), ttl_max: Span::from_secs(24 * 3600) }
    }
}

/// `api_keys.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKeys {
    /// What new ones begin with; those that are there stay as they are.
    pub prefix: KeyPrefix,
}

/// `api.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Whether the routes under `/api/v1/` take HTTP Digest as well.
    pub digest: bool,
}

/// `network.*`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The proxies whose header is believed.
    #[serde(deserialize_with = "load::cidrs")]
    pub trusted_proxies: Allowlist,
    /// The one header that is.
    pub client_ip_header: ClientIpHeader,
}

/// `admin.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// The socket of local administration.
    pub socket: PathBuf,
}

impl Default for Admin {
    fn default() -> Self {
        Self { socket: PathBuf::from("data/admin.sock") }
    }
}

/// `telemetry.*`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// What is logged: `info`, or a filter such as `mintage=debug,warn`.
    pub log: String,
    /// How.
    pub format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// How logs are written, always to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// Lines for programs.
    Json,
}

impl Config {
    /// The issuer, given the address that is really listened on (they differ where the port is 0).
    #[must_use]
    pub fn issuer_at(&self, listening: SocketAddr) -> String {
        self.issuer.clone().unwrap_or_else(|| format!("http://{listening}"))
    }

    /// The path of the redb store.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        PathBuf::from(self.store.url.strip_prefix("redb:").unwrap_or(&self.store.url))
    }

    /// The effective configuration as `key = value` lines of TOML, secrets redacted (there are none yet but in a store
    /// URL's user part).
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut shown = self.clone();
        shown.issuer = Some(self.issuer_at(self.listen));
        shown.store.url = redact_userinfo(&self.store.url);
        shown.limits = self.limits.said();
        let mut out = String::new();
        flatten("", &serde_json::to_value(&shown).unwrap_or_default(), &mut out);
        for guard in &shown.guard {
            tables("guard", &serde_json::to_value(guard).unwrap_or_default(), &mut out);
        }
        out
    }

    /// The effective configuration as JSON, secrets redacted.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut shown = self.clone();
        shown.issuer = Some(self.issuer_at(self.listen));
        shown.store.url = redact_userinfo(&self.store.url);
        shown.limits = self.limits.said();
        serde_json::to_value(shown).unwrap_or_default()
    }
}

fn redact_userinfo(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => {
            format!("{scheme}://redacted{}", url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

fn flatten(prefix: &str, value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, out);
            }
        }
        // Tables of their own, at the end.
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {}
        // JSON's strings, numbers and arrays of strings are TOML's.
        value => out.push_str(&format!("{prefix} = {value}\n")),
    }
}

/// An array's tables, each under its own heading.
fn tables(heading: &str, value: &serde_json::Value, out: &mut String) {
    out.push_str(&format!("\n[[{heading}]]\n"));
    flatten("", value, out);
    for (name, value) in value.as_object().into_iter().flatten() {
        for item in value.as_array().into_iter().flatten().filter(|item| item.is_object()) {
            tables(&format!("{heading}.{name}"), item, out);
        }
    }
}
