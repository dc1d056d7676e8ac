//! The policies of forward-auth that stand in the configuration: which rule covers a request, and what it needs.
//!
//! Responsible for: where method and path of a guarded request come from, how the path is read, and the rule for it.
//! Never: whether a token is good, and HTTP answers.

mod path;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::resource::{Control, Guard, RequireScopes};
use crate::scope::ScopeSet;
use crate::source_ip::Allowlist;

use super::config::{self, RequestFrom};

/// The guards of the configuration, by their names.
#[derive(Debug, Default)]
pub struct Guards(HashMap<String, ConfiguredGuard>);

/// No token is for such an audience.
const EMPTY_AUDIENCE: &str = "audience: it is empty; leave it out, or name an API";

/// A guard of the configuration.
#[derive(Debug)]
pub struct ConfiguredGuard {
    request: RequestFrom,
    /// Whether HTTP Digest is taken as well.
    pub digest: bool,
    routes: matchit::Router<Vec<Rule>>,
    /// What a request that no rule covers is measured by first.
    uncovered: Policy,
}

/// A rule of a guard.
#[derive(Debug)]
struct Rule {
    /// Any, where there are none.
    methods: Vec<Method>,
    policy: Policy,
}

/// What a request needs.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The scopes.
    pub scopes: ScopeSet,
    /// The audience; that of the scopes' APIs where there is none.
    pub audience: Option<Arc<str>>,
    /// The environment.
    pub environment: Option<Arc<str>>,
    /// The addresses that are let in; any if empty.
    pub allowlist: Allowlist,
    /// Controls that decide, log and count, but let through.
    pub shadow: Vec<Control>,
    /// What a request costs, in units of quotas and balances; 1 unless it is said.
    pub cost: Option<u32>,
}

impl Policy {
    /// What a request costs.
    #[must_use]
    pub fn cost(&self) -> u64 {
        u64::from(self.cost.unwrap_or(1))
    }

    /// A guard like `base` that asks for this, and for tokens for all of `audiences`.
    #[must_use]
    pub fn guard(&self, base: &Guard, audiences: &[Arc<str>]) -> Guard {
        let base = match audiences.is_empty() {
            // No rule covers the request, which is going to be refused.
            true => base.clone().any_audience(),
            false => base.clone().audiences(audiences.iter().cloned()),
        };
        let mut guard = base.allowlist(self.allowlist.clone()).shadow(self.shadow.iter().copied());
        if !self.scopes.is_empty() {
            guard = guard.scopes(RequireScopes::All(self.scopes.clone()));
        }
        if let Some(environment) = &self.environment {
            guard = guard.environment(Arc::clone(environment));
        }
        guard
    }
}

/// What was asked of the guarded service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedRequest {
    /// The method.
    pub method: Method,
    /// The path, decoded.
    pub path: String,
    /// Path and query as they came, byte for byte.
    pub target: String,
}

impl Guards {
    /// The guards of the configuration.
    ///
    /// # Errors
    /// What is wrong with one, and its key in front.
    pub fn new(configured: &[config::Guard]) -> Result<Self, String> {
        let mut guards = HashMap::new();
        for (index, guard) in configured.iter().enumerate() {
            let key = format!("guard[{index}]");
            let name = &guard.name;
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(good) || matches!(name.as_str(), "." | "..") {
                return Err(format!("{key}.name: 1 to 64 of the characters A-Z a-z 0-9 - _ ."));
            }
            let made = ConfiguredGuard::new(guard).map_err(|error| format!("{key}.{error}"))?;
            if guards.insert(name.clone(), made).is_some() {
                return Err(format!("{key}.name: there is a guard {name} already"));
            }
        }
        Ok(Self(guards))
    }

    /// The guard of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConfiguredGuard> {
        self.0.get(name)
    }
}

impl ConfiguredGuard {
    fn new(configured: &config::Guard) -> Result<Self, String> {
        if configured.rule.is_empty() {
            return Err("rule: a guard without rules lets nothing through; add a [[guard.rule]]".to_owned());
        }
        let uncovered = Policy {
            scopes: ScopeSet::default(),
            audience: configured.audience.as_deref().map(Arc::from),
            environment: configured.environment.map(|environment| environment.as_str().into()),
            allowlist: configured.allowlist.clone(),
            shadow: configured.shadow.clone(),
            cost: configured.cost,
        };
        if configured.audience.as_deref() == Some("") {
            return Err(EMPTY_AUDIENCE.to_owned());
        }
        let mut by_path: Vec<(usize, &str, Vec<Rule>)> = Vec::new();
        for (index, rule) in configured.rule.iter().enumerate() {
            let key = |part: &str| format!("rule[{index}].{part}");
            let methods = rule
                .methods
                .iter()
                .map(|name| method(name).ok_or_else(|| format!("{}: {name:?} is no method", key("methods"))))
                .collect::<Result<Vec<_>, _>>()?;
            if rule.audience.as_deref() == Some("") {
                return Err(key(EMPTY_AUDIENCE));
            }
            if !rule.path.starts_with('/') {
                return Err(format!("{}: {:?} has to begin with /", key("path"), rule.path));
            }
            let policy = of_rule(rule, &uncovered);
            if policy.scopes.is_empty() && policy.audience.is_none() {
                return Err(format!("{}: name scopes, or an audience (here or for the guard)", key("scopes")));
            }
            let made = Rule { methods, policy };
            match by_path.iter_mut().find(|(_, path, _)| *path == rule.path) {
                Some((_, _, others)) if others.iter().any(|other| overlap(other, &made)) => {
                    return Err(format!("{}: another rule has this path and one of these methods", key("path")));
                }
                Some((_, _, others)) => others.push(made),
                None => by_path.push((index, &rule.path, vec![made])),
            }
        }
        let mut routes = matchit::Router::new();
        for (index, path, rules) in by_path {
            let bad = |error| format!("rule[{index}].path: {path:?} will not do: {error}");
            routes.insert(path, rules).map_err(bad)?;
        }
        Ok(Self { request: configured.request, digest: configured.digest, routes, uncovered })
    }

    /// What was asked of the guarded service, from the one place where this guard looks. `target` is what the request
    /// itself has behind the guard's name, with the query.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn request(&self, method: &Method, target: &str, headers: &HeaderMap) -> Result<GuardedRequest, String> {
        let (method, target) = match self.request {
            RequestFrom::Envoy => (method.clone(), target),
            RequestFrom::XForwarded => from_headers(headers, "x-forwarded-method", "x-forwarded-uri")?,
            RequestFrom::XOriginal => from_headers(headers, "x-original-method", "x-original-uri")?,
        };
        Ok(GuardedRequest { method, path: path::read(target)?, target: target.to_owned() })
    }

    /// What the request needs, if a rule covers it.
    #[must_use]
    pub fn policy(&self, request: &GuardedRequest) -> Option<&Policy> {
        let rules = self.routes.at(&request.path).ok()?.value;
        let names = |method: &Method| rules.iter().find(|rule| rule.methods.contains(method));
        // HEAD is GET without the body (RFC 9110 §9.3.2), unless a rule says otherwise.
        let of_get = || (request.method == Method::HEAD).then(|| names(&Method::GET)).flatten();
        let any = || rules.iter().find(|rule| rule.methods.is_empty());
        names(&request.method).or_else(of_get).or_else(any).map(|rule| &rule.policy)
    }

    /// What a request that no rule covers is measured by, before it is told so.
    #[must_use]
    pub fn uncovered(&self) -> &Policy {
        &self.uncovered
    }
}

/// What a rule asks for; what it leaves out is the guard's.
fn of_rule(rule: &config::Rule, guard: &Policy) -> Policy {
    Policy {
        scopes: rule.scopes.iter().cloned().collect(),
        audience: rule.audience.as_deref().map(Arc::from).or_else(|| guard.audience.clone()),
        environment: rule.environment.map(|own| own.as_str().into()).or_else(|| guard.environment.clone()),
        allowlist: if rule.allowlist.is_empty() { &guard.allowlist } else { &rule.allowlist }.clone(),
        shadow: guard.shadow.clone(),
        cost: rule.cost.or(guard.cost),
    }
}

fn method(name: &str) -> Option<Method> {
    Method::from_bytes(name.as_bytes()).ok().filter(|_| !name.bytes().any(|b| b.is_ascii_lowercase()))
}

fn overlap(one: &Rule, other: &Rule) -> bool {
    one.methods.is_empty() && other.methods.is_empty()
        || one.methods.iter().any(|method| other.methods.contains(method))
}

fn from_headers<'h>(headers: &'h HeaderMap, method_name: &str, path_name: &str) -> Result<(Method, &'h str), String> {
    let one = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        match (lines.next().and_then(|line| line.to_str().ok()), lines.next()) {
            (Some(text), None) => Ok(text),
            _ => Err(format!("the proxy has to send {name} once, in ASCII")),
        }
    };
    let named = method(one(method_name)?).ok_or_else(|| format!("{method_name} is no method"))?;
    Ok((named, one(path_name)?))
}
