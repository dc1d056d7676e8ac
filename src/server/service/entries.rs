//! What organizations, projects and roles have in common: names, policies, and how one is changed.

use crate::api::{Limits, MAX_UNITS, OrganizationPatch, Quotas, SecretPolicy, SecretPolicyPatch};
use crate::limit::{BadRate, MAX_REQUESTS, Rate};
use crate::server::config::Span;
use crate::server::error::{Error, FieldError};
use crate::server::model::EntityTag;
use crate::server::store::{CutOff, Entry, StoreError};

use super::Service;
use super::apis::MAX_TEXT;
use super::clients::secrets::MAX_SECRET_TTL;

/// The longest id of an organization or a project, and the longest name of a role.
const MAX_ID: usize = 64;

/// The most API keys that a policy can speak of.
const MAX_KEYS: u64 = 1_000_000;

/// Something that is shown, and the tag of the record that it is shown from.
#[derive(Clone, Debug)]
pub struct Tagged<T> {
    /// What a change can insist on having been made from.
    pub tag: EntityTag,
    /// As it is shown.
    pub value: T,
}

/// The id of an organization or a project, or the name of a role.
pub(super) fn check_id(field: &str, id: &str, errors: &mut Vec<FieldError>) {
    let good = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        // In a URL's path they mean this folder and the one above.
        && !matches!(id, "." | "..");
    if !good {
        errors.push(FieldError::new(field, format!("1 to {MAX_ID} of the characters A-Z a-z 0-9 . _ -")));
    }
}

/// What people call it: `name`, or else its id.
pub(super) fn name_or(id: &str, name: Option<String>, errors: &mut Vec<FieldError>) -> String {
    let name = name.unwrap_or_else(|| id.to_owned());
    check_name(&name, errors);
    name
}

/// What people call it.
pub(super) fn check_name(name: &str, errors: &mut Vec<FieldError>) {
    if name.trim().is_empty() || name.len() > MAX_TEXT {
        errors.push(FieldError::new("name", format!("1 to {MAX_TEXT} bytes")));
    }
}

/// So many seconds, as people type a duration and as the API counts one.
pub(super) fn written(seconds: u64) -> String {
    format!("{} ({seconds} seconds)", Span::from_secs(seconds))
}

/// A policy as it is to be.
pub(super) fn check_policy(policy: &SecretPolicy, errors: &mut Vec<FieldError>) {
    for (member, value) in [("max_ttl", policy.max_ttl), ("warn_before", policy.warn_before)] {
        if value.is_some_and(|seconds| seconds == 0 || seconds > MAX_SECRET_TTL) {
            errors
                .push(FieldError::new(format!("secret_policy.{member}"), format!("1s to {}", written(MAX_SECRET_TTL))));
        }
    }
    if policy.max_keys.is_some_and(|most| most == 0 || most > MAX_KEYS) {
        let detail = format!("1 to {MAX_KEYS}; null takes the limit away");
        errors.push(FieldError::new("secret_policy.max_keys", detail));
    }
}

/// Limits as they are to be.
pub(super) fn check_limits(limits: &Limits, errors: &mut Vec<FieldError>) {
    for (member, rate) in limits.rates() {
        let field = |name: &str| format!("limits.{member}.{name}");
        let values = [
            ("per_minute", rate.per_minute),
            ("burst", rate.burst),
            ("per_day", rate.per_day),
            ("concurrent", rate.concurrent),
        ];
        for (name, _) in values.iter().filter(|(_, value)| value.is_some_and(|value| value > MAX_REQUESTS)) {
            errors.push(FieldError::new(field(name), format!("at most {MAX_REQUESTS}; 0 is unlimited")));
        }
        if rate.burst == Some(0) {
            let detail = "at least 1; leave it out to have as many as per_minute, or set per_minute to 0 for no limit";
            errors.push(FieldError::new(field("burst"), detail));
        }
        if let (Some(per_minute), Some(burst)) = (rate.per_minute, rate.burst)
            && let Err(error @ BadRate::Endless { .. }) = (Rate { per_minute, burst, ..Rate::UNLIMITED }).checked()
        {
            errors.push(FieldError::new(field("burst"), error.to_string()));
        }
    }
}

/// Quotas as they are to be.
pub(super) fn check_quotas(quotas: &Quotas, errors: &mut Vec<FieldError>) {
    for (measure, of) in [("tokens", quotas.tokens), ("requests", quotas.requests)] {
        for (period, quota) in [("day", of.day), ("month", of.month), ("total", of.total)] {
            if quota.is_some_and(|quota| quota > MAX_UNITS) {
                errors.push(FieldError::new(format!("quotas.{measure}.{period}"), format!("at most {MAX_UNITS}")));
            }
        }
    }
}

/// Puts what the patch of an organization or a project names in its place (RFC 7396).
pub(super) fn apply(
    patch: &OrganizationPatch,
    name: &mut String,
    policy: &mut SecretPolicy,
    limits: &mut Limits,
) -> Result<(), Error> {
    let mut errors = Vec::new();
    if let Some(new) = &patch.name {
        check_name(new, &mut errors);
        name.clone_from(new);
    }
    if let Some(new) = &patch.secret_policy {
        *policy = patched(policy, new);
        check_policy(policy, &mut errors);
    }
    if let Some(new) = &patch.limits {
        *limits = limits.patched(new);
        check_limits(limits, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::InvalidFields(errors)) }
}

/// A policy as the merge patch makes it (RFC 7396).
fn patched(policy: &SecretPolicy, patch: &Option<SecretPolicyPatch>) -> SecretPolicy {
    let Some(patch) = patch else { return SecretPolicy::default() };
    SecretPolicy {
        max_ttl: patch.max_ttl.unwrap_or(policy.max_ttl),
        warn_before: patch.warn_before.unwrap_or(policy.warn_before),
        require_expiry: patch.require_expiry.unwrap_or(policy.require_expiry),
        require_allowlist: patch.require_allowlist.unwrap_or(policy.require_allowlist),
        max_keys: patch.max_keys.unwrap_or(policy.max_keys),
    }
}

impl Service {
    /// Saves an entry, and takes it in. False where somebody else was faster, or what it rests on is not there any more.
    pub(super) async fn save_entry(
        &self,
        entry: Entry,
        expected: Option<u64>,
        cut: Option<CutOff>,
        change: crate::server::model::Change,
    ) -> Result<bool, Error> {
        let cuts = cut.is_some();
        let mut done = self.store.save_entry(entry, expected, cut, change).await;
        match &done {
            Ok(cut) => cut.clients.iter().for_each(|id| self.clients.forget(id)),
            Err(StoreError::Conflict) => {}
            // Who they are is not known, nor whether they were changed.
            Err(_) if cuts => self.clients.forget_all(),
            Err(_) => {}
        }
        let revoked = done.as_mut().map(|cut| std::mem::take(&mut cut.revoked)).unwrap_or_default();
        self.settle(&done, revoked);
        self.refresh_catalog().await;
        match done {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an entry out. False where somebody else was faster, or something still belongs to it.
    pub(super) async fn delete_entry(&self, entry: Entry, change: crate::server::model::Change) -> Result<bool, Error> {
        let done = self.store.delete_entry(entry, change).await;
        self.settle(&done, []);
        self.refresh_catalog().await;
        match done {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
