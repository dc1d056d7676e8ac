//! How [`IntrospectedKeys`] are made.

use std::path::PathBuf;
use std::sync::Arc;

use crate::credentials::{BadCredentials, CredentialSource, Credentials};
use crate::fetch::{FetchError, http_url};
use crate::resource::verifier::Verifier;
use crate::secret::{BadKeyPrefix, KeyPrefix};

use super::IntrospectedKeys;

/// Why keys cannot be introspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoIntrospection {
    /// The verifier follows no issuer that could be asked.
    #[error("only an issuer that is followed can be asked about API keys: make the verifier with Verifier::discover")]
    NotFollowed,
    /// The issuer has no introspection.
    #[error("the issuer's metadata names no introspection_endpoint (RFC 8414, 2)")]
    NoEndpoint,
    /// It has, at an address that cannot be asked.
    #[error("the issuer's introspection_endpoint cannot be asked: {0}")]
    Endpoint(FetchError),
    /// There is nothing to ask with.
    #[error(transparent)]
    Credentials(#[from] BadCredentials),
    /// What keys should begin with is no prefix.
    #[error(transparent)]
    Prefix(#[from] BadKeyPrefix),
}

/// Settings of [`IntrospectedKeys`].
#[derive(Debug)]
#[must_use]
pub struct IntrospectedKeysBuilder {
    verifier: Arc<Verifier>,
    credentials: Option<CredentialSource>,
    prefixes: Result<Vec<KeyPrefix>, BadKeyPrefix>,
}

impl IntrospectedKeysBuilder {
    pub(super) fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier, credentials: None, prefixes: Ok(vec![KeyPrefix::default()]) }
    }

    /// This service's own id and secret; those of `MINTAGE_CLIENT_ID` and `MINTAGE_CLIENT_SECRET` unless set. The client
    /// has to be an introspector of the API (`mintage api update … --add-introspector`), or to hold
    /// `mintage:tokens:introspect`: otherwise every key is unknown.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(CredentialSource::Given(credentials));
        self
    }

    /// A file with them ([`Credentials::from_file`]). It may be replaced at any time: it is looked at every ten seconds,
    /// and where the issuer does not take what it had.
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.credentials = Some(CredentialSource::File(path.into()));
        self
    }

    /// What API keys begin with, as the issuer's `api_keys.prefix` has it, and had it; `mtg_sk` unless set. Other bearer
    /// credentials are tokens.
    pub fn prefixes<'p>(mut self, prefixes: impl IntoIterator<Item = &'p str>) -> Self {
        self.prefixes = prefixes.into_iter().map(|prefix| KeyPrefix::try_from(prefix.to_owned())).collect();
        self
    }

    /// The keys. Asks nothing of the network.
    ///
    /// # Errors
    /// [`NoIntrospection`].
    pub fn build(self) -> Result<IntrospectedKeys, NoIntrospection> {
        let issuer = self.verifier.following.as_ref().ok_or(NoIntrospection::NotFollowed)?;
        let issuer = Arc::clone(&issuer.state);
        match issuer.introspection_endpoint() {
            Some(url) => drop(http_url(&url).map_err(NoIntrospection::Endpoint)?),
            // A snapshot may be older than the issuer's introspection; it is looked for when it is needed.
            None if issuer.is_reached() => return Err(NoIntrospection::NoEndpoint),
            None => {}
        }
        let credentials = match self.credentials {
            Some(credentials) => credentials,
            None => CredentialSource::Given(Credentials::from_env()?),
        };
        Ok(IntrospectedKeys::new(self.verifier, issuer, credentials, &self.prefixes?))
    }
}
