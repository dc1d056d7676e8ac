//! The arguments that say which token: of whom, for what, with which credentials.

use std::path::PathBuf;

use crate::client::{TokenSource, TokenSourceBuilder};

#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "source")]
pub(super) struct Arguments {
    /// The issuer; its token endpoint is read from its metadata
    #[arg(long, value_name = "URL", group = "endpoint")]
    pub(super) issuer: Option<String>,
    /// The token endpoint
    #[arg(long, value_name = "URL", group = "endpoint")]
    pub(super) token_url: Option<String>,
    /// A scope to ask for; as often as there are scopes. Unless set: all that the
    /// client was granted, but mintage: scopes only if it has no others or --resource names the issuer
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
    /// The identifier of the API it is to be for; as often as there are APIs
    #[arg(long = "resource", value_name = "URI")]
    pub(super) resources: Vec<String>,
    /// Read the credentials from FILE: JSON, as `mintage client create --save` writes it
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,
}

impl Arguments {
    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.issuer.is_none()
            && self.token_url.is_none()
            && self.scopes.is_empty()
            && self.resources.is_empty()
            && self.credentials.is_none()
    }

    /// The source that they describe; `None` where they name no endpoint.
    pub(super) fn source(self) -> Option<TokenSourceBuilder> {
        let mut source = match (self.issuer, self.token_url) {
            (Some(issuer), _) => TokenSource::discover(issuer),
            (None, Some(url)) => TokenSource::token_url(url),
            (None, None) => return None,
        };
        if let Some(path) = self.credentials {
            source = source.credentials_file(path);
        }
        for resource in self.resources {
            source = source.resource(resource);
        }
        // `--scope "a b"` is two.
        Some(source.scopes(self.scopes.iter().flat_map(|scopes| scopes.split(' ').filter(|scope| !scope.is_empty()))))
    }
}
