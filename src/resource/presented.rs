//! What a request presents to be let through: the one `Authorization` header, and who can say what it stands for.

use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Uri};
use zeroize::Zeroizing;

use crate::oauth::form;
use crate::source_ip::SourceAddress;

use super::control::Refused;
use super::guard::Guard;
use super::refusal::{DigestFailure, Refusal};
use super::source::{ApiKeyAnswer, Asked};

/// The text of a credential.
#[derive(Clone, Copy)]
pub(super) enum Credential<'h> {
    /// Of `Bearer` (RFC 6750 §2.1).
    Bearer(&'h str),
    /// Of `Digest` (RFC 7616 §3.4), not yet read.
    Digest(&'h str),
}

/// Where what a credential stands for comes from.
pub(super) enum Found<'h> {
    /// It says so itself.
    Jwt(&'h str),
    /// Somebody was asked, who answers in a while.
    Asked(ApiKeyAnswer<'static>),
}

impl Guard {
    /// The text of the one bearer credential, and where the request came from.
    pub(super) fn bearer<'h>(
        &self,
        uri: &Uri,
        headers: &'h HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<(&'h str, Option<SourceAddress>), Refused> {
        match self.credential(uri, headers, peer)? {
            (Credential::Bearer(token), source) => Ok((token, source)),
            (Credential::Digest(_), source) => {
                Err(Refused { source, ..Refused::of(Refusal::Malformed(BEARER.to_owned())) })
            }
        }
    }

    /// The one credential of a kind that the guard takes, and where the request came from.
    pub(super) fn credential<'h>(
        &self,
        uri: &Uri,
        headers: &'h HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<(Credential<'h>, Option<SourceAddress>), Refused> {
        let source = peer.map(|peer| self.sources.decide(peer, headers)).transpose();
        let credential = presented(uri, headers, self.digest.is_some())
            .map_err(|refusal| Refused { source: source.unwrap_or_default(), ..Refused::of(refusal) })?;
        Ok((credential, source.map_err(|bad| Refused::of(bad.into()))?))
    }

    /// Who says what a credential stands for. The answer holds all that it needs.
    pub(super) fn ask<'h>(
        &self,
        credential: Credential<'h>,
        asked: impl FnOnce() -> Option<Asked>,
        source: Option<SourceAddress>,
    ) -> Found<'h> {
        let source = source.map(|source| source.ip);
        match (credential, &self.api_keys, &self.digest) {
            (Credential::Bearer(bearer), Some(keys), _) if keys.is_key(bearer) => {
                let (keys, key) = (Arc::clone(keys), Zeroizing::new(bearer.to_owned()));
                Found::Asked(Box::pin(async move { keys.introspect(&key, source).await }))
            }
            (Credential::Bearer(bearer), _, _) => Found::Jwt(bearer),
            (Credential::Digest(text), _, Some(digest)) => match asked() {
                Some(asked) => {
                    let (digest, text) = (Arc::clone(digest), text.to_owned());
                    Found::Asked(Box::pin(async move { digest.resolve(&text, &asked, source).await }))
                }
                None => Found::Asked(Box::pin(ready(Err(Refusal::Malformed(BEARER.to_owned()).into())))),
            },
            (Credential::Digest(_), _, None) => {
                Found::Asked(Box::pin(ready(Err(Refusal::Malformed(BEARER.to_owned()).into()))))
            }
        }
    }

    /// What of Digest is to be answered, one line each: to who brought nothing, and to who failed with it.
    pub(super) fn digest_challenges(&self, refusal: &Refusal) -> Vec<String> {
        let stale = match refusal {
            Refusal::NoCredentials | Refusal::Digest(DigestFailure::Invalid) => false,
            Refusal::Digest(DigestFailure::Stale) => true,
            _ => return Vec::new(),
        };
        self.digest.as_ref().map(|digest| digest.challenges(stale)).unwrap_or_default()
    }
}

/// Puts challenges before the one that is there: programs that know Digest alone have been seen to read no further than
/// the first.
pub(super) fn put_before(headers: &mut HeaderMap, challenges: Vec<String>) {
    let challenges: Vec<_> = challenges.into_iter().filter_map(|line| HeaderValue::try_from(line).ok()).collect();
    if challenges.is_empty() {
        return;
    }
    let there = headers.remove(WWW_AUTHENTICATE);
    for line in challenges.into_iter().chain(there) {
        headers.append(WWW_AUTHENTICATE, line);
    }
}

/// What is said where it is none of those.
const BEARER: &str = "the Authorization header has to be: Bearer, a space, and one token";
const EITHER: &str = "the Authorization header has to be: Bearer, a space, and one token; or Digest and its parameters";

/// The credential of the one `Authorization` header.
fn presented<'h>(uri: &Uri, headers: &'h HeaderMap, takes_digest: bool) -> Result<Credential<'h>, Refusal> {
    let malformed = |detail: &str| Refusal::Malformed(detail.to_owned());
    if uri.query().is_some_and(|query| form::names_any(query.as_bytes(), &["access_token"])) {
        return Err(malformed("a token goes into the Authorization header, never into the query, where logs keep it"));
    }
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().ok_or(Refusal::NoCredentials)?;
    if lines.next().is_some() {
        return Err(malformed("there are two Authorization headers; send one"));
    }
    let shape = if takes_digest { EITHER } else { BEARER };
    let (scheme, text) = line.to_str().ok().and_then(|line| line.split_once(' ')).ok_or_else(|| malformed(shape))?;
    let text = text.trim_start_matches(' ');
    if takes_digest && scheme.eq_ignore_ascii_case("digest") {
        Ok(Credential::Digest(text))
    } else if scheme.eq_ignore_ascii_case("bearer") && is_b64token(text) {
        Ok(Credential::Bearer(text))
    } else {
        Err(malformed(shape))
    }
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}
