//! Clients and their secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api;
use crate::api::ClientStatus;
use crate::clock::{Rfc3339, UnixTime};
use crate::crypto::entropy::{Entropy, NoEntropy};
use crate::id::{ClientId, Generation};
use crate::scope::ScopeSet;
use crate::secret::Environment;
use crate::source_ip::Allowlist;

use super::{AccountId, ClientUses, DigestKeyRecord, KeptHash, Owner, Place, Revocation, RevokedTarget};

/// The most secrets that one client has.
pub const MAX_SECRETS: usize = 5;

/// What a principal is, and so what it may authenticate with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A client: it proves itself at the endpoints under `/oauth/`.
    #[default]
    Client,
    /// An API key: its secret is presented as it is, and is never a client's.
    ApiKey,
}

impl Kind {
    /// What people call one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ApiKey => "API key",
        }
    }
}

/// A principal: a client, or an API key, which has the same members.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its identifier.
    pub client_id: ClientId,
    /// What it is. A record from before there were kinds is a client's.
    #[serde(default)]
    pub kind: Kind,
    /// What people call it.
    pub name: String,
    /// Its organization.
    pub organization: String,
    /// Its project.
    pub project: String,
    /// What it is used for.
    pub environment: Environment,
    /// The scopes it is granted.
    pub scopes: ScopeSet,
    /// The roles it is granted, by their names.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Where it may come from; anywhere if empty.
    pub ip_allowlist: Allowlist,
    /// How long its tokens live at most, in seconds.
    pub token_ttl: Option<u64>,
    /// How many requests it may make, where that is other than its project has it.
    #[serde(default)]
    pub limits: api::Limits,
    /// Whether it may authenticate.
    pub status: ClientStatus,
    /// Its secrets, the oldest first.
    pub secrets: Vec<SecretRecord>,
    /// Its key pairs for HTTP Digest, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digest_keys: Vec<DigestKeyRecord>,
    /// Generations of secrets that are gone while tokens of theirs may live: revoking the client has to reach them.
    pub past_generations: Vec<PastGeneration>,
    /// For people.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// For programs.
    pub labels: BTreeMap<String, String>,
    /// How much it may use.
    #[serde(default)]
    pub quotas: api::Quotas,
    /// All that was paid in for it, less what was taken off by hand; none where no balance is kept. What it has spent is
    /// in its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_in: Option<i64>,
    /// When it was registered.
    pub created_at: UnixTime,
    /// When it was last changed.
    pub updated_at: UnixTime,
    /// Counts its changes; a change names the one it was made from.
    pub revision: u64,
}

/// A secret, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Its identifier.
    pub id: String,
    /// Enough of it to tell it from others.
    pub prefix: String,
    /// What is kept of it.
    pub hash: KeptHash,
    /// What its tokens carry as `gen`.
    pub generation: Generation,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it ends.
    pub expires_at: Option<UnixTime>,
    /// What is remembered of it where another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// A secret that another took the place of. It may become the newest again, and ends sooner than it was made to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Replaced {
    /// How long it was made to live, in seconds; for ever if none.
    pub life: Option<u64>,
}

/// A generation whose secret is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PastGeneration {
    /// It.
    pub generation: Generation,
    /// When the last of its tokens has expired.
    pub until: UnixTime,
}

/// When and from where a secret was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// When.
    pub at: UnixTime,
    /// From where.
    pub from: IpAddr,
}

impl SecretRecord {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// How long it was made to live, in seconds; for ever if none. What an overlap took from it does not count.
    #[must_use]
    pub fn life(&self) -> Option<u64> {
        match self.replaced {
            Some(replaced) => replaced.life,
            None => self.expires_at.map(|end| end.since(self.created_at).as_secs()),
        }
    }

    /// Has it end then, unless it ends sooner.
    pub fn end_by(&mut self, end: UnixTime) {
        self.replaced = Some(Replaced { life: self.life() });
        self.expires_at = Some(self.expires_at.map_or(end, |own| own.min(end)));
    }
}

impl Client {
    /// All generations that tokens of this client may carry.
    pub fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.secrets.iter().map(|s| &s.generation).chain(self.past_generations.iter().map(|p| &p.generation))
    }

    /// Cuts off all its tokens: each secret has another generation from now on. Gives what that revokes, which has to
    /// be remembered until then.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn cut_off(&mut self, until: UnixTime, entropy: &dyn Entropy) -> Result<Vec<Revocation>, NoEntropy> {
        let revoked = self.generations().flat_map(|generation| self.revocations_of(generation, until)).collect();
        self.past_generations.clear();
        for secret in &mut self.secrets {
            secret.generation = Generation::generate(entropy)?;
        }
        Ok(revoked)
    }

    /// The same, and every secret but the newest ends for good. They stay in the record, under the generations that are
    /// revoked, so that whoever still uses one is told what became of it.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn cut_off_to_the_newest(
        &mut self,
        now: UnixTime,
        until: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<Vec<Revocation>, NoEntropy> {
        let generations: Vec<_> = self.secrets.iter().map(|secret| secret.generation.clone()).collect();
        let revoked = self.cut_off(until, entropy)?;
        if let Some((_, older)) = self.secrets.split_last_mut() {
            for (secret, generation) in older.iter_mut().zip(generations) {
                secret.end_by(now);
                secret.generation = generation;
            }
        }
        Ok(revoked)
    }

    /// What is kept of what it uses.
    #[must_use]
    pub fn account(&self) -> AccountId {
        AccountId { owner: Owner::Client(self.client_id.clone()), since: self.created_at }
    }

    /// What there is to revoke of a generation. Who holds the introspection of an API key knows its generation as the
    /// `jti`, so that it is told both.
    pub fn revocations_of(&self, generation: &Generation, until: UnixTime) -> Vec<Revocation> {
        let mut revoked = vec![Revocation::of_generation(generation, until)];
        if self.kind == Kind::ApiKey {
            let (client_id, jti) = (self.client_id.to_string(), generation.as_str().to_owned());
            revoked.push(Revocation { target: RevokedTarget::Token { client_id, jti }, until });
        }
        revoked
    }

    /// As a record of a change has it: what is shown, by what it is.
    #[must_use]
    pub fn recorded(&self, now: UnixTime) -> Value {
        match self.kind {
            Kind::Client => json!(self.shown(|_| None)),
            Kind::ApiKey => json!(self.shown_key(now, |_| None)),
        }
    }

    /// An API key as it is shown: `uses` gives the last use of a secret by its id. While it is rotated there are two; the
    /// newest is shown, the use of either, and besides it the older ones that are good at `now`.
    #[must_use]
    pub fn shown_key(&self, now: UnixTime, uses: impl Fn(&str) -> Option<SecretUse>) -> api::ApiKey {
        let (newest, older) =
            self.secrets.split_last().map_or((None, &[][..]), |(newest, older)| (Some(newest), older));
        let retiring = older.iter().filter(|secret| secret.is_live(now)).filter_map(|secret| {
            let last = uses(&secret.id);
            Some(api::RetiringKey {
                prefix: secret.prefix.clone(),
                created_at: Rfc3339(secret.created_at),
                expires_at: Rfc3339(secret.expires_at?),
                last_used_at: last.map(|last| Rfc3339(last.at)),
                last_used_from: last.map(|last| last.from.to_string()),
            })
        });
        let last = self.secrets.iter().filter_map(|secret| uses(&secret.id)).max_by_key(|used| used.at);
        api::ApiKey {
            id: self.client_id.to_string(),
            api_key: None,
            name: self.name.clone(),
            prefix: newest.map(|secret| secret.prefix.clone()).unwrap_or_default(),
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            environment: self.environment,
            status: self.status,
            ip_allowlist: self.ip_allowlist.entries(),
            limits: self.limits,
            quotas: self.quotas,
            organization: self.organization.clone(),
            project: self.project.clone(),
            description: self.description.clone(),
            owner: self.owner.clone(),
            labels: self.labels.clone(),
            created_at: Rfc3339(self.created_at),
            updated_at: Rfc3339(self.updated_at),
            expires_at: newest.and_then(|secret| secret.expires_at).map(Rfc3339),
            last_used_at: last.map(|last| Rfc3339(last.at)),
            last_used_from: last.map(|last| last.from.to_string()),
            retiring: retiring.collect(),
        }
    }

    /// Where it belongs.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::project(&self.organization, &self.project)
    }

    /// Whether it was there before `since` and was not used since.
    #[must_use]
    pub fn is_unused(&self, uses: Option<&ClientUses>, since: UnixTime) -> bool {
        self.created_at < since && uses.and_then(|uses| uses.used_at).is_none_or(|at| at < since)
    }

    /// What has a last use of its own: its secrets and its Digest keys, by their ids.
    pub fn used_ids(&self) -> impl Iterator<Item = &str> {
        let digest_keys = self.digest_keys.iter().map(|key| key.id.as_str());
        self.secrets.iter().map(|secret| secret.id.as_str()).chain(digest_keys)
    }

    /// As it is shown: `uses` gives the last use of a secret or of a Digest key by its id. That of the client itself, which
    /// outlives them, is for who has looked it up.
    #[must_use]
    pub fn shown(&self, uses: impl Fn(&str) -> Option<SecretUse>) -> api::Client {
        api::Client {
            client_id: self.client_id.to_string(),
            client_secret: None,
            name: self.name.clone(),
            organization: self.organization.clone(),
            project: self.project.clone(),
            environment: self.environment,
            scopes: self.scopes.iter().map(ToString::to_string).collect(),
            roles: self.roles.iter().cloned().collect(),
            effective_scopes: None,
            ip_allowlist: self.ip_allowlist.entries(),
            token_ttl: self.token_ttl,
            limits: self.limits,
            status: self.status,
            secrets: self
                .secrets
                .iter()
                .map(|secret| {
                    let last = uses(&secret.id);
                    api::Secret {
                        id: secret.id.clone(),
                        prefix: secret.prefix.clone(),
                        created_at: Rfc3339(secret.created_at),
                        expires_at: secret.expires_at.map(Rfc3339),
                        last_used_at: last.map(|l| Rfc3339(l.at)),
                        last_used_from: last.map(|l| l.from.to_string()),
                    }
                })
                .collect(),
            digest_keys: self.digest_keys.iter().map(|key| key.shown(uses(&key.id))).collect(),
            last_used_at: None,
            description: self.description.clone(),
            owner: self.owner.clone(),
            labels: self.labels.clone(),
            quotas: self.quotas,
            created_at: Rfc3339(self.created_at),
            updated_at: Rfc3339(self.updated_at),
        }
    }
}
