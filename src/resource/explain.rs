//! What a guard would decide about a token, and why: each check in order, with what it saw. For people; a request is
//! decided by [`Guard::decide`], which stops at the first check that fails.

use std::net::IpAddr;

use serde::Serialize;

use crate::clock::UnixTime;
use crate::jose::claims::AccessTokenClaims;
use crate::jose::{CompactJws, JwsError, KeySet, TokenHeader, algorithm_name};
use crate::reason::Reason;
use crate::source_ip::{DecidedFrom, SourceAddress};

use super::guard::{Guard, RequireScopes};
use super::refusal::Refusal;
use super::source::{KeySource, RevocationSource};
use super::token::AccessToken;
use super::verifier::TokenError;

/// What a guard would decide, and why.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Whether the request would be let through.
    pub let_through: bool,
    /// The status of the refusal, or 200.
    pub status: u16,
    /// Why it would be refused: what the first check that fails is answered with.
    pub reason: Option<Reason>,
    /// Each check, in order.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Check {
    /// What is checked.
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What it saw.
    pub detail: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is good.
    Passed,
    /// It is not.
    Failed,
    /// There was nothing to check, or nothing to check it with.
    Skipped,
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The checks so far, and what the first that failed is answered with.
#[derive(Default)]
struct Report {
    checks: Vec<Check>,
    refusal: Option<Refusal>,
}

impl Report {
    fn passed(&mut self, check: &'static str, detail: impl Into<String>) {
        self.checks.push(Check { check, outcome: Outcome::Passed, detail: detail.into() });
    }

    fn skipped(&mut self, check: &'static str, detail: impl Into<String>) {
        self.checks.push(Check { check, outcome: Outcome::Skipped, detail: detail.into() });
    }

    fn failed(&mut self, check: &'static str, refusal: Refusal) {
        self.checks.push(Check { check, outcome: Outcome::Failed, detail: refusal.detail() });
        self.refusal.get_or_insert(refusal);
    }

    /// Notes how a check ended; whether it passed.
    fn note(
        &mut self,
        check: &'static str,
        good: impl Into<String>,
        result: Result<(), impl Into<TokenError>>,
    ) -> bool {
        match result {
            Ok(()) => self.passed(check, good),
            Err(error) => {
                self.failed(check, Refusal::Token(error.into()));
                return false;
            }
        }
        true
    }

    fn finish(self) -> Explanation {
        let reason = self.refusal.as_ref().map(Refusal::reason);
        let status = reason.map_or(200, |reason| reason.status().as_u16());
        Explanation { let_through: reason.is_none(), status, reason, checks: self.checks }
    }
}

impl Guard {
    /// What this guard would decide about a request with `token` from `source` at `now`. Where no source is named,
    /// allowlists are not checked. Controls in shadow are checked like the others.
    #[must_use]
    pub fn explain(&self, token: &str, source: Option<IpAddr>, now: UnixTime) -> Explanation {
        let mut report = Report::default();
        let verifier = &self.verifier;
        let jws = match CompactJws::parse(token) {
            Ok(jws) => jws,
            Err(error) => {
                report.failed("format", Refusal::Token(error.into()));
                return report.finish();
            }
        };
        report.passed("format", format!("a compact JWS of {} bytes", token.len()));
        match jws.access_token_header(&verifier.algorithms) {
            Ok(header) => {
                let named = format!("an access token (typ at+jwt), signed with {}", algorithm_name(header.algorithm));
                report.passed("header", named);
                self.explain_key(&jws, &header, now, &mut report);
            }
            Err(error) => report.failed("header", Refusal::Token(error.into())),
        }
        let claims = jws.claims().map_err(TokenError::from);
        match claims.and_then(|all| AccessTokenClaims::from_object(all).map_err(TokenError::from)) {
            Ok(claims) => {
                report.passed("claims", format!("those of RFC 9068, of the client {}", claims.client_id));
                self.explain_claims(claims, source, now, &mut report);
            }
            Err(error) => report.failed("claims", Refusal::Token(error)),
        }
        report.finish()
    }

    fn explain_key(&self, jws: &CompactJws<'_>, header: &TokenHeader, now: UnixTime, report: &mut Report) {
        let verifier = &self.verifier;
        let keys: KeySet = verifier.keys.keys();
        let revoked = verifier.revocations.key_is_revoked(&header.kid);
        let found = keys.find(&header.kid, header.algorithm);
        if revoked {
            report.failed("key", Refusal::Token(TokenError::Revoked));
        } else if !KeySource::is_fresh(&*verifier.keys, now) {
            report.failed("key", Refusal::Token(TokenError::Undecidable("its keys")));
        } else {
            let published = format!("{}, one of {} that the issuer publishes", header.kid, keys.len());
            report.note("key", published, found.map(drop).ok_or(JwsError::UnknownKey));
        }
        match found {
            Some(key) => drop(report.note("signature", "made with that key", jws.verify_signature(key))),
            None => report.skipped("signature", "there is no key to check it with; what follows is not proven"),
        }
    }

    fn explain_claims(&self, claims: AccessTokenClaims, source: Option<IpAddr>, now: UnixTime, report: &mut Report) {
        let verifier = &self.verifier;
        report.note("issuer", claims.issuer.clone(), claims.check_issuer(&verifier.issuer));
        let own = [verifier.audience.as_str().into()];
        let audiences = self.audiences.as_deref().unwrap_or(&own);
        if audiences.is_empty() {
            report.skipped("audience", format!("none was asked for; it is for {}", claims.audience.join(" ")));
        } else {
            let checked = audiences.iter().try_for_each(|audience| claims.check_audience(audience));
            report.note("audience", audiences.join(" "), checked);
        }
        let life = format!(
            "good from {} to {}, looked at {now} with {} s for clocks that differ",
            claims.not_before.unwrap_or(claims.issued_at),
            claims.expires_at,
            verifier.leeway.as_secs()
        );
        report.note("times", life, claims.check_times(now, verifier.leeway));
        let token = AccessToken { claims: claims.into(), is_whole: false };
        self.explain_revocation(&token, now, report);
        self.explain_address(&token, source, report);
        match self.check_environment(&token) {
            Err(refusal) => report.failed("environment", refusal),
            Ok(()) if self.environment.is_none() => {
                report.skipped("environment", format!("none was asked for; it is of {}", or_none(token.environment())));
            }
            Ok(()) => report.passed("environment", or_none(token.environment())),
        }
        match self.scopes.check(token.scopes()) {
            Err(refusal) => report.failed("scope", refusal),
            Ok(()) if matches!(self.scopes, RequireScopes::None) => {
                report.skipped(
                    "scope",
                    format!("none was asked for; it has {}", or_none(Some(&token.scopes().to_string()))),
                );
            }
            Ok(()) => report.passed("scope", format!("it has {}", token.scopes())),
        }
    }

    fn explain_revocation(&self, token: &AccessToken, now: UnixTime, report: &mut Report) {
        let revocations = &self.verifier.revocations;
        let claims = token.claims();
        let by_generation = claims.generation.as_deref().filter(|own| revocations.token_is_revoked("", Some(own)));
        if by_generation.is_some() {
            report.failed("revocation", Refusal::Token(TokenError::Revoked));
            if let Some(check) = report.checks.last_mut() {
                check.detail = "every token of this generation of the client's secret was revoked: the client was \
                     revoked, disabled or deleted, lost a scope or an address, or the secret was withdrawn"
                    .to_owned();
            }
        } else if revocations.token_is_revoked(&claims.token_id, None) {
            report.failed("revocation", Refusal::Token(TokenError::Revoked));
            if let Some(check) = report.checks.last_mut() {
                check.detail = format!("this token (jti {}) was revoked", claims.token_id);
            }
        } else if !RevocationSource::is_fresh(&**revocations, now) {
            report.failed("revocation", Refusal::Token(TokenError::Undecidable("what is revoked")));
        } else {
            report.passed("revocation", "neither the token nor its generation is revoked");
        }
    }

    fn explain_address(&self, token: &AccessToken, source: Option<IpAddr>, report: &mut Report) {
        let own = &token.claims().ip_allowlist;
        let lists = [(own, "token"), (&self.allowlist, "route")];
        let shown: Vec<_> = lists
            .iter()
            .filter(|(list, _)| !list.is_empty())
            .map(|(list, whose)| format!("the {whose}'s has {list}"))
            .collect();
        let source = source.map(|ip| SourceAddress { ip: ip.to_canonical(), from: DecidedFrom::Peer });
        match source {
            _ if shown.is_empty() => report.passed("address", "any will do: there is no allowlist"),
            None => report.skipped("address", format!("none was named to check; {}", shown.join(", "))),
            Some(source) => match self.check_address(token, Some(source)) {
                Ok(()) => report.passed("address", format!("{} is allowed; {}", source.ip, shown.join(", "))),
                Err(refusal) => report.failed("address", refusal),
            },
        }
    }
}

fn or_none(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("none").to_owned()
}
