//! What an agent keeps, and where it hands it out: `agent.toml`, or the arguments for a single token.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

use crate::cli::{Failure, source};
use crate::server::config::{Telemetry, describe};

/// The name of the token that the arguments describe.
const ONLY: &str = "default";
const TOKEN: &str = "another token's file";

/// `agent.toml`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// A loopback address.
    pub(super) listen: Option<SocketAddr>,
    /// The path of a Unix socket.
    pub(super) socket: Option<PathBuf>,
    /// The tokens.
    #[serde(rename = "token")]
    pub(super) tokens: Vec<Kept>,
    /// As in `mintage.toml`.
    pub(super) telemetry: Telemetry,
}

/// `[[token]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// What it is asked for by.
    pub(super) name: String,
    pub(super) issuer: Option<String>,
    pub(super) token_url: Option<String>,
    /// The file of the credentials; the environment's unless set.
    pub(super) credentials: Option<PathBuf>,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) resources: Vec<String>,
    /// Where the bare token is written.
    pub(super) file: Option<PathBuf>,
}

impl Kept {
    /// The same as arguments.
    pub(super) fn arguments(&self) -> source::Arguments {
        source::Arguments {
            issuer: self.issuer.clone(),
            token_url: self.token_url.clone(),
            scopes: self.scopes.clone(),
            resources: self.resources.clone(),
            credentials: self.credentials.clone(),
        }
    }
}

impl super::Place {
    /// The configuration that the arguments name, or that they are.
    pub(super) fn config(&self, source: &source::Arguments, file: Option<&Path>) -> Result<Config, Failure> {
        let given = source.issuer.is_some() || source.token_url.is_some();
        let environment = Env::prefixed("MINTAGE_").only(&["TELEMETRY__LOG", "TELEMETRY__FORMAT"]).split("__");
        let mut figment = Figment::new().merge(environment);
        if let Some(path) = &self.config {
            if given || file.is_some() || !source.is_empty() {
                return Err(Failure::usage("with --config, tokens are described by the file alone: [[token]]"));
            }
            let text =
                std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            figment = Figment::new().merge(Toml::string(&text)).merge(figment);
        }
        let path = self.config.as_deref().unwrap_or_else(|| Path::new("agent.toml"));
        let mut config: Config = figment.extract().map_err(|error| Failure::new(describe(error, path)))?;
        if given {
            config.tokens.push(Kept {
                name: ONLY.to_owned(),
                issuer: source.issuer.clone(),
                token_url: source.token_url.clone(),
                credentials: source.credentials.clone(),
                scopes: source.scopes.clone(),
                resources: source.resources.clone(),
                file: file.map(Path::to_owned),
            });
        }
        config.listen = self.listen.or(config.listen);
        config.socket = self.socket.clone().or(config.socket);
        check(&config, self.config.as_deref()).map_err(Failure::new)?;
        Ok(config)
    }
}

fn check(config: &Config, own: Option<&Path>) -> Result<(), String> {
    if let Some(address) = config.listen.filter(|address| !address.ip().to_canonical().is_loopback()) {
        return Err(format!(
            "listen: {address} is not a loopback address, and an agent gives its tokens to whoever asks: name \
             127.0.0.1:PORT, or a Unix socket"
        ));
    }
    let mut names = std::collections::BTreeSet::new();
    // What a token may not be written over.
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    taken.extend(own.map(|path| (resolved(path), "this configuration")));
    taken.extend(config.socket.as_deref().map(|path| (resolved(path), "the socket")));
    let credentials = config.tokens.iter().filter_map(|kept| kept.credentials.as_deref());
    taken.extend(credentials.map(|path| (resolved(path), "a file of credentials")));
    for kept in &config.tokens {
        let name = &kept.name;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(format!("token.name: {name:?} is not made of letters, digits, '-', '_' and '.'"));
        }
        if !names.insert(name) {
            return Err(format!("token.name: {name} is there twice"));
        }
        if kept.issuer.is_some() == kept.token_url.is_some() {
            return Err(format!("token {name}: set either issuer or token_url"));
        }
        if let Some(file) = &kept.file {
            let shown = file.display();
            if file.file_name().is_none() || file.as_os_str().as_encoded_bytes().ends_with(b"/") {
                return Err(format!("token.file: {shown:?} is the name of no file"));
            }
            match taken.insert(resolved(file), TOKEN) {
                None => {}
                Some(TOKEN) => return Err(format!("token.file: {shown} is there twice")),
                Some(what) => return Err(format!("token.file: {shown} is {what}, which the token would replace")),
            }
        }
    }
    Ok(())
}

/// The one path of all that lead to the same place, as far as its folder is there.
fn resolved(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let folder = std::fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}
