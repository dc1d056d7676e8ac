//! The tokens that an agent keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cli::Failure;
use crate::client::{Health, TokenCache, TokenSource};

use super::config::{Config, Kept};

/// The most kinds of tokens, those that are asked for with a scope of their own among them.
const MOST_KINDS: u64 = 1000;

/// All of them, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Tokens(Vec<Arc<Named>>);

/// One of them.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) source: TokenSource,
    pub(super) file: Option<PathBuf>,
    /// Why the file is not what it should be; `None` also where there is none.
    file_error: watch::Sender<Option<String>>,
    described: Kept,
}

/// How it goes with one of them: what `GET /status` has in `tokens`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Status {
    pub(super) name: String,
    /// The issuer, or the token endpoint.
    pub(super) endpoint: String,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) file: Option<String>,
    pub(super) file_error: Option<String>,
    #[serde(flatten)]
    pub(super) health: Health,
}

/// What `GET /status` answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Statuses {
    pub(super) tokens: Vec<Status>,
}

impl Tokens {
    /// Nothing is asked of the network yet.
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let cache = TokenCache::with_capacity(MOST_KINDS);
        let named = config.tokens.iter().map(|kept| {
            let fail = |why: &dyn std::fmt::Display| Failure::new(format!("token {}: {why}", kept.name));
            let source = kept.arguments().source().ok_or_else(|| fail(&"it names neither issuer nor token_url"))?;
            Ok(Arc::new(Named {
                name: kept.name.clone(),
                source: source.cache(&cache).build().map_err(|error| fail(&error))?,
                file: kept.file.clone(),
                file_error: watch::Sender::new(kept.file.as_ref().map(|file| not_yet(file))),
                described: kept.clone(),
            }))
        });
        named.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.0.iter()
    }

    /// The one of that name, or the only one there is.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<Named>> {
        match (name, self.0.as_slice()) {
            (Some(name), all) => all.iter().find(|named| named.name == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    pub(super) fn names(&self) -> String {
        self.0.iter().map(|named| named.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn statuses(&self) -> Statuses {
        Statuses { tokens: self.0.iter().map(|named| named.status()).collect() }
    }
}

impl Named {
    /// The scopes of its tokens.
    pub(super) fn scopes(&self) -> &[String] {
        &self.described.scopes
    }

    /// The APIs that its tokens are for.
    pub(super) fn resources(&self) -> &[String] {
        &self.described.resources
    }

    pub(super) fn set_file_error(&self, error: Option<String>) {
        self.file_error.send_replace(error);
    }

    pub(super) fn file_error(&self) -> Option<String> {
        self.file_error.borrow().clone()
    }

    pub(super) fn has_file_error(&self) -> bool {
        self.file_error.borrow().is_some()
    }

    /// Waits until the file, where there is to be one, has a token.
    pub(super) async fn file_is_good(&self) {
        // Its sender is in `self`.
        drop(self.file_error.subscribe().wait_for(Option::is_none).await);
    }

    pub(super) fn status(&self) -> Status {
        let kept = &self.described;
        Status {
            name: self.name.clone(),
            endpoint: kept.issuer.clone().or_else(|| kept.token_url.clone()).unwrap_or_default(),
            // `"a b"` is two, here as in the request.
            scopes: kept.scopes.iter().flat_map(|scopes| scopes.split_whitespace()).map(str::to_owned).collect(),
            resources: kept.resources.clone(),
            file: self.file.as_ref().map(|file| file.display().to_string()),
            file_error: self.file_error(),
            health: self.source.health(),
        }
    }
}

impl Status {
    /// Whether all is as it should be for those who use the token now.
    pub(super) fn is_good(&self) -> bool {
        self.health.valid && self.file_error.is_none()
    }

    /// Why it is not, or will not be for long.
    pub(super) fn what_is_wrong(&self) -> Option<&str> {
        self.health.last_error.as_deref().or(self.file_error.as_deref())
    }
}

fn not_yet(file: &Path) -> String {
    format!("{}: not written yet", file.display())
}
