//! The review: what of clients and their secrets an operator should look at.
//!
//! Secrets that end unannounced take services down; clients and scopes that nobody uses are what an attacker would. A
//! review reads clients page by page, and holds up nobody.

use std::collections::HashMap;

use crate::api::{self, ClientStatus, Finding, FindingKind};
use crate::clock::{Rfc3339, UnixTime};
use crate::server::error::Error;
use crate::server::model::{Client, ClientUses, DigestKeyRecord, Kind, MAX_DIGEST_KEYS, SecretUse};
use crate::server::store::ClientSearch;

use super::cursor::PageRequest;
use super::entries::written;
use super::projects::SecretRules;
use super::{Caller, Service};

const DAY: u64 = 24 * 3600;

/// When something counts as ending or unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewSettings {
    /// How long before its end a secret is about to end, in seconds; what the policy of its project says, if left out.
    pub expiring_within: Option<u64>,
    /// How long a client or scope is not used before that is worth a look, in seconds.
    pub unused_for: u64,
    /// How long a client is there before its never having been used is, in seconds.
    pub never_used_for: u64,
}

impl Default for ReviewSettings {
    fn default() -> Self {
        Self { expiring_within: None, unused_for: 90 * DAY, never_used_for: 7 * DAY }
    }
}

/// What a review of one client finds.
struct Look<'a> {
    client: &'a Client,
    uses: &'a ClientUses,
    /// The last uses of its Digest keys, by their ids.
    digest_uses: &'a HashMap<String, SecretUse>,
    rules: SecretRules,
    settings: ReviewSettings,
    now: UnixTime,
}

impl Look<'_> {
    fn finding(&self, kind: FindingKind, detail: String) -> Finding {
        Finding {
            kind,
            client_id: self.client.client_id.to_string(),
            name: self.client.name.clone(),
            owner: self.client.owner.clone(),
            organization: self.client.organization.clone(),
            project: self.client.project.clone(),
            secret_id: None,
            digest_key_id: None,
            scope: None,
            expires_at: None,
            last_used_at: self.uses.used_at.map(Rfc3339),
            detail,
        }
    }

    /// The command that changes it, which says what it is.
    fn command(&self) -> &'static str {
        match self.client.kind {
            Kind::Client => "client",
            Kind::ApiKey => "api-key",
        }
    }

    fn is_older(&self, at: UnixTime, seconds: u64) -> bool {
        at <= self.now && self.now.since(at).as_secs() >= seconds
    }

    fn secrets(&self, findings: &mut Vec<Finding>) {
        let (id, command) = (&self.client.client_id, self.command());
        let live: Vec<_> = self.client.secrets.iter().filter(|secret| secret.is_live(self.now)).collect();
        let last_end = self.client.secrets.iter().filter_map(|secret| secret.expires_at).max();
        if let (true, Some(end)) = (live.is_empty(), last_end) {
            let detail = match self.live_digest_keys().next() {
                None => {
                    format!(
                        "it gets no tokens any more: give it a secret (mintage {command} rotate {id}), or delete it"
                    )
                }
                Some(_) => format!(
                    "it gets no tokens any more, and is served by its Digest keys alone: if it needs tokens, give it a \
                     secret (mintage {command} rotate {id})"
                ),
            };
            findings
                .push(Finding { expires_at: Some(Rfc3339(end)), ..self.finding(FindingKind::SecretsExpired, detail) });
        }
        let within = self.settings.expiring_within.unwrap_or(self.rules.warn_before);
        // A secret that another one outlives is on its way out as it was meant to be.
        let outlived = |end: UnixTime| live.iter().any(|other| other.expires_at.is_none_or(|longer| longer > end));
        for secret in &live {
            let Some(end) = secret.expires_at else { continue };
            if end.since(self.now).as_secs() <= within && !outlived(end) {
                let what = match self.client.kind {
                    Kind::Client => "give the client a new secret",
                    Kind::ApiKey => "replace the API key",
                };
                let detail = format!("{what} before then (mintage {command} rotate {id} --overlap 24h)");
                findings.push(Finding {
                    secret_id: Some(secret.id.clone()),
                    expires_at: Some(Rfc3339(end)),
                    ..self.finding(FindingKind::SecretExpiring, detail)
                });
            }
        }
        let Some(most) = self.rules.max_ttl else { return };
        for secret in &live {
            let beyond = secret.expires_at.is_none_or(|end| end.since(secret.created_at).as_secs() > most);
            if beyond {
                let detail = format!(
                    "new secrets of this project live {} at most, and this one was made before that was so: rotate it \
                     (mintage {command} rotate {id} --overlap 24h)",
                    written(most)
                );
                findings.push(Finding {
                    secret_id: Some(secret.id.clone()),
                    expires_at: secret.expires_at.map(Rfc3339),
                    ..self.finding(FindingKind::SecretBeyondPolicy, detail)
                });
            }
        }
    }

    fn live_digest_keys(&self) -> impl Iterator<Item = &DigestKeyRecord> {
        self.client.digest_keys.iter().filter(|key| key.is_live(self.now))
    }

    fn digest_use(&self, key: &DigestKeyRecord) -> Option<UnixTime> {
        self.digest_uses.get(&key.id).map(|used| used.at)
    }

    /// Whether a later one has taken the place of a Digest key that ends: it outlives it, and since then nobody used this
    /// one. Otherwise the two may well be of two programs.
    fn is_replaced(&self, key: &DigestKeyRecord, end: UnixTime) -> bool {
        let later = self.client.digest_keys.iter().skip_while(|other| other.id != key.id).skip(1);
        later.filter(|other| other.expires_at.is_none_or(|longer| longer > end)).any(|other| {
            // Of two things in the same second it is not known which came first; then it is rather in use.
            self.digest_use(key).is_none_or(|used| used < other.created_at)
        })
    }

    fn about(&self, kind: FindingKind, key: &DigestKeyRecord, detail: String) -> Finding {
        Finding {
            digest_key_id: Some(key.id.clone()),
            expires_at: key.expires_at.map(Rfc3339),
            last_used_at: self.digest_use(key).map(Rfc3339),
            ..self.finding(kind, detail)
        }
    }

    /// How another one is made in the place of this Digest key: nothing rotates one, since its user name goes with it.
    fn another(&self, key: &DigestKeyRecord) -> String {
        let id = &self.client.client_id;
        let room = match self.live_digest_keys().count() < MAX_DIGEST_KEYS {
            true => String::new(),
            false => format!("delete one that nobody uses (mintage client digest-key list {id} says which), "),
        };
        // Where one has to end it is said when: after as long as this one.
        let life = key.expires_at.filter(|_| self.rules.needs_ttl()).map(|end| end.since(key.created_at).as_secs());
        let ttl = life.map_or_else(String::new, |life| format!(" --ttl {}s", life.max(1)));
        format!("{room}make another (mintage client digest-key create {id}{ttl})")
    }

    fn digest_keys(&self, findings: &mut Vec<Finding>) {
        let id = &self.client.client_id;
        let replace = |key: &DigestKeyRecord| {
            let (another, public_key, key) = (self.another(key), &key.public_key, &key.id);
            format!(
                "{another}, give it to whoever uses {public_key}, then delete this one (mintage client digest-key delete \
                 {id} {key})"
            )
        };
        let within = self.settings.expiring_within.unwrap_or(self.rules.warn_before);
        for key in self.live_digest_keys() {
            let ends = key.expires_at.filter(|end| end.since(self.now).as_secs() <= within);
            if ends.is_some_and(|end| !self.is_replaced(key, end)) {
                findings.push(self.about(FindingKind::SecretExpiring, key, format!("before then, {}", replace(key))));
            }
            let lives = key.expires_at.map(|end| end.since(key.created_at).as_secs());
            if let Some(most) = self.rules.max_ttl.filter(|most| lives.is_none_or(|lives| lives > *most)) {
                let detail = format!(
                    "new Digest keys of this project live {most} seconds at most, and this one was made before that was \
                     so: {}",
                    replace(key)
                );
                findings.push(self.about(FindingKind::SecretBeyondPolicy, key, detail));
            }
        }
        let is_told = findings.iter().any(|finding| finding.kind == FindingKind::SecretsExpired);
        let last = self.client.digest_keys.iter().max_by_key(|key| key.expires_at);
        if let Some(last) = last.filter(|_| !is_told && self.live_digest_keys().next().is_none()) {
            let detail = format!(
                "none of its Digest keys is good any more: {}, or delete this one (mintage client digest-key delete {id} {})",
                self.another(last),
                last.id
            );
            findings.push(self.about(FindingKind::SecretsExpired, last, detail));
        }
    }

    fn uses(&self, findings: &mut Vec<Finding>) {
        let (id, command) = (&self.client.client_id, self.command());
        let served = self.uses.last_served();
        // Who asks with the right secret is there, and set up wrongly: that is none to delete.
        let refused = self.uses.used_at.filter(|at| !self.is_older(*at, self.settings.unused_for)).map(|at| {
            format!("it asks, at {at} last, and is refused although its secret is right: see why (mintage client usage {id})")
        });
        let Some(served_at) = served else {
            if self.is_older(self.client.created_at, self.settings.never_used_for) {
                let unknown = || format!("if nobody is about to use it, delete it (mintage {command} delete {id})");
                findings.push(self.finding(FindingKind::ClientNeverUsed, refused.unwrap_or_else(unknown)));
            }
            return;
        };
        if self.is_older(served_at, self.settings.unused_for) {
            let disable = if self.client.kind == Kind::Client { "disable" } else { "revoke" };
            let unmissed =
                || format!("if nobody misses it, disable it (mintage {command} {disable} {id}), and later delete it");
            findings.push(self.finding(FindingKind::ClientUnused, refused.unwrap_or_else(unmissed)));
            return;
        }
        // Of a key it is known that it was presented, and not for what; of a Digest key, too.
        let digest_uses = self.client.digest_keys.iter().filter_map(|key| self.digest_use(key)).max();
        let is_presented = digest_uses.is_some_and(|at| !self.is_older(at, self.settings.unused_for));
        for scope in self.client.scopes.iter().filter(|_| self.client.kind == Kind::Client && !is_presented) {
            let last = self.uses.scopes.get(scope.as_str()).copied();
            // Nothing is known of when it was granted: as long as the client is younger, it may have come today.
            if self.is_older(last.unwrap_or(self.client.created_at), self.settings.unused_for) {
                let detail =
                    format!("take it away if it is not needed (mintage {command} update {id} --remove-scope {scope})");
                findings.push(Finding {
                    scope: Some(scope.to_string()),
                    last_used_at: last.map(Rfc3339),
                    ..self.finding(FindingKind::ScopeUnused, detail)
                });
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        // Who is kept from authenticating needs neither secret nor use.
        if self.client.status == ClientStatus::Active {
            self.secrets(&mut findings);
            self.digest_keys(&mut findings);
            self.uses(&mut findings);
        }
        findings
    }
}

impl Service {
    /// A page of what is worth a look: that of as many clients, and API keys where the caller may see those, as the limit
    /// says. It can be empty, and yet not the last.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn review(
        &self,
        settings: ReviewSettings,
        page: &PageRequest,
        caller: &Caller,
    ) -> Result<api::Page<Finding>, Error> {
        let list = format!("review {settings:?}");
        let (after, limit) = self.cursors.start(&list, page)?;
        let bounds = caller.bounds();
        let search = ClientSearch {
            kind: (!caller.reads_keys()).then_some(Kind::Client),
            organization: bounds.as_ref().map(|bounds| bounds.organization.clone()),
            project: bounds.and_then(|bounds| bounds.project),
            after,
            limit,
            ..ClientSearch::default()
        };
        let (items, next) = self.look_at(search, settings).await?;
        Ok(api::Page { items, next_cursor: next.map(|next| self.cursors.seal(&list, &next)) })
    }

    /// What is worth a look of the clients that `search` finds, and where the next come from.
    pub(super) async fn look_at(
        &self,
        search: ClientSearch,
        settings: ReviewSettings,
    ) -> Result<(Vec<Finding>, Option<String>), Error> {
        let found = self.store.find_clients(search).await?;
        let ids = found.clients.iter().map(|client| client.client_id.clone()).collect();
        let uses = self.uses_of(ids).await?;
        let digest_keys = found.clients.iter().flat_map(|client| client.digest_keys.iter().map(|key| key.id.clone()));
        let digest_keys: Vec<_> = digest_keys.collect();
        let digest_uses = match digest_keys.is_empty() {
            true => HashMap::new(),
            false => self.last_uses(digest_keys).await?,
        };
        let (now, none) = (self.clock.now(), ClientUses::default());
        let findings = found.clients.iter().flat_map(|client| {
            let uses = uses.get(&client.client_id).unwrap_or(&none);
            let rules = self.secret_rules(&client.place());
            Look { client, uses, digest_uses: &digest_uses, rules, settings, now }.findings()
        });
        Ok((findings.collect(), found.next))
    }
}
