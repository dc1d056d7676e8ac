//! The claims of an access token (RFC 9068 §2.2), as they are issued and as they are read.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::scope::{Scope, ScopeSet};
use crate::source_ip::Allowlist;

/// The claims of a token that is being issued, in the order in which they are written.
#[derive(Debug, Serialize)]
pub struct IssuedClaims<'a> {
    /// The issuer, byte for byte.
    pub iss: &'a str,
    /// The client: no user is involved (RFC 9068 §2.2).
    pub sub: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The APIs it is for.
    pub aud: Audience<'a>,
    /// When it ends.
    pub exp: UnixTime,
    /// When it was issued.
    pub iat: UnixTime,
    /// From when it is good.
    pub nbf: UnixTime,
    /// 128 random bits, base64url.
    pub jti: &'a str,
    /// The scopes; left out where there are none.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub scope: &'a str,
    /// The client's organization.
    pub org: &'a str,
    /// The client's project.
    pub project: &'a str,
    /// `live` or `test`.
    pub env: &'a str,
    /// The generation of the secret it was bought with.
    #[serde(rename = "gen")]
    pub generation: &'a str,
    /// The addresses it may be used from; left out where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_allowlist: Option<&'a Allowlist>,
}

/// `aud`: a string for one API, an array for several (RFC 7519 §4.1.3).
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Audience<'a> {
    /// One API.
    One(&'a str),
    /// Several.
    Many(Vec<&'a str>),
}

/// The claims of a token whose signature is good, typed, and not yet weighed.
#[derive(Clone, Debug)]
pub struct AccessTokenClaims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `client_id`.
    pub client_id: String,
    /// `aud`, never empty.
    pub audience: Vec<String>,
    /// `exp`.
    pub expires_at: UnixTime,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `nbf`, if it is there.
    pub not_before: Option<UnixTime>,
    /// `jti`.
    pub token_id: String,
    /// `scope`, and `scp`, which some issuers write in its place; empty where there is neither.
    pub scopes: ScopeSet,
    /// `org`.
    pub organization: Option<String>,
    /// `project`.
    pub project: Option<String>,
    /// `env`.
    pub environment: Option<String>,
    /// `gen`.
    pub generation: Option<String>,
    /// `ip_allowlist`; empty where any address will do.
    pub ip_allowlist: Allowlist,
    /// All members, the above among them.
    pub all: Map<String, Value>,
}

/// Why claims are refused. The text names the claim, never its value, but for the audience, which a caller needs to
/// see what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// A claim that RFC 9068 requires is not there.
    #[error("its {0} claim is missing")]
    Missing(&'static str),
    /// A claim is of another type than its definition.
    #[error("its {0} claim is not of the type that its definition has")]
    WrongType(&'static str),
    /// Another issuer.
    #[error("its issuer (iss) is not the one trusted here")]
    WrongIssuer,
    /// Another audience.
    #[error(
        "it is for another audience ({}); this is {wanted}: ask the token endpoint for it with resource={wanted}",
        found.join(" ")
    )]
    WrongAudience {
        /// What `aud` holds.
        found: Vec<String>,
        /// What is wanted here.
        wanted: String,
    },
    /// `exp` has passed.
    #[error("it expired at {0}")]
    Expired(UnixTime),
    /// `nbf` has not come.
    #[error("it is not valid before {0} (nbf)")]
    NotYetValid(UnixTime),
    /// `cnf`: a key has to be proven, which nobody here can check.
    #[error("it is bound to a key (cnf), and proof of it is not supported here")]
    KeyBound,
}

impl AccessTokenClaims {
    /// Types the claims of an access token: all that RFC 9068 requires has to be there, and what is there has to be of
    /// its type.
    ///
    /// # Errors
    /// [`ClaimError::Missing`], [`ClaimError::WrongType`], [`ClaimError::KeyBound`].
    pub fn from_object(all: Map<String, Value>) -> Result<Self, ClaimError> {
        if all.contains_key("cnf") {
            return Err(ClaimError::KeyBound);
        }
        let required = |name| required_text(&all, name);
        let audience = match all.get("aud").ok_or(ClaimError::Missing("aud"))? {
            Value::String(one) => vec![one.clone()],
            Value::Array(several) if !several.is_empty() => several
                .iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or(ClaimError::WrongType("aud"))?,
            _ => return Err(ClaimError::WrongType("aud")),
        };
        let scopes = scopes_of(&all)?;
        let ip_allowlist = match all.get("ip_allowlist") {
            None => Allowlist::default(),
            Some(list) => serde_json::from_value(list.clone()).map_err(|_| ClaimError::WrongType("ip_allowlist"))?,
        };
        Ok(Self {
            issuer: required("iss")?,
            subject: required("sub")?,
            client_id: required("client_id")?,
            audience,
            expires_at: numeric_date(&all, "exp")?.ok_or(ClaimError::Missing("exp"))?,
            issued_at: numeric_date(&all, "iat")?.ok_or(ClaimError::Missing("iat"))?,
            not_before: numeric_date(&all, "nbf")?,
            token_id: required("jti")?,
            scopes,
            organization: optional_text(&all, "org")?,
            project: optional_text(&all, "project")?,
            environment: optional_text(&all, "env")?,
            generation: optional_text(&all, "gen")?,
            ip_allowlist,
            all,
        })
    }

    /// Weighs the issuer: byte for byte.
    ///
    /// # Errors
    /// [`ClaimError::WrongIssuer`].
    pub fn check_issuer(&self, wanted: &str) -> Result<(), ClaimError> {
        if self.issuer == wanted { Ok(()) } else { Err(ClaimError::WrongIssuer) }
    }

    /// Weighs the audience: `wanted` has to be among those it names, byte for byte.
    ///
    /// # Errors
    /// [`ClaimError::WrongAudience`].
    pub fn check_audience(&self, wanted: &str) -> Result<(), ClaimError> {
        if self.audience.iter().any(|one| one == wanted) {
            return Ok(());
        }
        Err(ClaimError::WrongAudience { found: self.audience.clone(), wanted: wanted.to_owned() })
    }

    /// Weighs the times at `now`, with `leeway` for clocks that differ.
    ///
    /// # Errors
    /// [`ClaimError::Expired`], [`ClaimError::NotYetValid`].
    pub fn check_times(&self, now: UnixTime, leeway: Duration) -> Result<(), ClaimError> {
        if now >= self.expires_at.plus(leeway) {
            return Err(ClaimError::Expired(self.expires_at));
        }
        match self.not_before {
            Some(start) if start > now.plus(leeway) => Err(ClaimError::NotYetValid(start)),
            _ => Ok(()),
        }
    }
}

/// The scopes of `scope` (RFC 9068 §2.2.3) and of `scp`, which other issuers write in its place: a string or an array.
fn scopes_of(all: &Map<String, Value>) -> Result<ScopeSet, ClaimError> {
    let parse = |name, text: &str| ScopeSet::parse(text).map_err(|_| ClaimError::WrongType(name));
    let mut scopes = match all.get("scope") {
        None => ScopeSet::default(),
        Some(Value::String(text)) => parse("scope", text)?,
        Some(_) => return Err(ClaimError::WrongType("scope")),
    };
    match all.get("scp") {
        None => {}
        Some(Value::String(text)) => scopes.extend(&parse("scp", text)?),
        Some(Value::Array(several)) => {
            for one in several {
                let scope =
                    one.as_str().and_then(|text| Scope::parse(text).ok()).ok_or(ClaimError::WrongType("scp"))?;
                scopes.extend(&[scope].into_iter().collect());
            }
        }
        Some(_) => return Err(ClaimError::WrongType("scp")),
    }
    Ok(scopes)
}

fn required_text(all: &Map<String, Value>, name: &'static str) -> Result<String, ClaimError> {
    optional_text(all, name)?.filter(|text| !text.is_empty()).ok_or(ClaimError::Missing(name))
}

fn optional_text(all: &Map<String, Value>, name: &'static str) -> Result<Option<String>, ClaimError> {
    match all.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ClaimError::WrongType(name)),
    }
}

/// A `NumericDate` (RFC 7519 §2): a JSON number, which may have a fraction; whole seconds of it are kept.
fn numeric_date(all: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, ClaimError> {
    let Some(value) = all.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(ClaimError::WrongType(name)) };
    let seconds = number
        .as_i64()
        .or_else(|| number.as_u64().map(|_| i64::MAX))
        // A float cast saturates, so that a huge one stays huge.
        .or_else(|| number.as_f64().map(|f| f.floor() as i64))
        .ok_or(ClaimError::WrongType(name))?;
    Ok(Some(UnixTime::from_seconds(seconds)))
}
