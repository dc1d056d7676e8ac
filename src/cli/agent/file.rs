//! A file that always holds a fresh token, whole: what programs read that speak no HTTP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::Token;
use crate::crypto::entropy::SystemEntropy;
use crate::files;

use super::tokens::Named;

/// How often it is looked whether the file is still there.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps the token of `named`, and its file if it has one, for as long as it is run.
pub(super) async fn keep(named: Arc<Named>) {
    let mut changes = named.source.changes();
    let mut latest: Option<Token> = None;
    let mut written = false;
    loop {
        match timeout(LOOK, changes.changed()).await {
            Ok(Ok(token)) => {
                latest = Some(token);
                written = false;
            }
            Ok(Err(error)) => {
                tracing::error!(%error, token = named.name, "the token is no longer renewed");
                return;
            }
            // Somebody took it away, or there was no room for it.
            Err(_) => written = written && named.file.as_ref().is_none_or(|path| path.exists()),
        }
        if let (Some(token), Some(path), false) = (&latest, &named.file, written) {
            written = write(&named, path.clone(), token.clone()).await;
        }
    }
}

async fn write(named: &Named, path: PathBuf, token: Token) -> bool {
    let shown = path.display().to_string();
    let writing = move || files::replace(&path, token.reveal().as_bytes(), 0o600, &SystemEntropy::new());
    let done = tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    match done {
        Ok(()) => {
            tracing::debug!(token = named.name, file = shown, "written");
            named.set_file_error(None);
            true
        }
        Err(error) => {
            tracing::error!(token = named.name, file = shown, %error, "the token file could not be written");
            named.set_file_error(Some(format!("{shown}: {error}")));
            false
        }
    }
}
