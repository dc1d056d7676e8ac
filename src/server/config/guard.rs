//! `[[guard]]`: policies of forward-auth.

use serde::{Deserialize, Serialize};

use crate::resource::Control;
use crate::scope::Scope;
use crate::secret::Environment;
use crate::source_ip::Allowlist;

use super::load;

/// `[[guard]]`: what stands before the routes of somebody else's service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// What it is called in `/forward-auth/g/NAME/`.
    pub name: String,
    /// Where method and path of the guarded request come from.
    #[serde(default)]
    pub request: RequestFrom,
    /// The audience that tokens have to be for; that of the scopes' API where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The environment that tokens have to be of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The addresses that are let in; any if empty.
    #[serde(default, deserialize_with = "load::cidrs", skip_serializing_if = "Allowlist::is_empty")]
    pub allowlist: Allowlist,
    /// Controls that decide, log and count, but let through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<Control>,
    /// Whether HTTP Digest is taken as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digest: bool,
    /// What a request costs, in units of quotas and balances: 1 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// What is let through at all.
    #[serde(default)]
    pub rule: Vec<Rule>,
}

/// `[[guard.rule]]`: a method and a path, and what they need. What is left out is the guard's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The methods, with HEAD wherever GET is; any if empty.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The path: `{name}` is one segment, `{*rest}` at the end all that is left.
    pub path: String,
    /// The scopes, all of which are needed.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// The audience, in place of the guard's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The environment, in place of the guard's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The addresses, in place of the guard's.
    #[serde(default, deserialize_with = "load::cidrs", skip_serializing_if = "Allowlist::is_empty")]
    pub allowlist: Allowlist,
    /// What a request costs, in place of what the guard says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
}

/// The one set of headers that says what was asked of the guarded service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestFrom {
    /// The request itself, whose path goes on behind the guard's name: Envoy.
    #[default]
    Envoy,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`: Caddy, Traefik.
    XForwarded,
    /// `X-Original-Method` and `X-Original-URI`: nginx, as its configuration sets them.
    XOriginal,
}
