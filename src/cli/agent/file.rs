//! A file that always holds a fresh token, whole: what programs read that speak no HTTP.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::Token;
use crate::crypto::entropy::SystemEntropy;
use crate::files;

use super::tokens::Named;

/// How often it is looked whether the file is there, or can be written by now.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps the token of `named`, and its file if it has one, for as long as it is run.
pub(super) async fn keep(named: Arc<Named>) {
    let mut changes = named.source.changes();
    let mut latest: Option<Token> = None;
    if let Some(path) = named.file.clone() {
        // Of an agent that was killed while it wrote.
        let removing = tokio::task::spawn_blocking(move || files::remove_unfinished(&path));
        if let Ok(Err(error)) = removing.await {
            tracing::debug!(%error, token = named.name, "what is left of killed writers is left");
        }
    }
    loop {
        // Waited for to its end, however often the file is looked at: after a refusal it is this that asks again.
        let mut changed = pin!(changes.changed());
        let token = loop {
            match timeout(LOOK, &mut changed).await {
                Ok(token) => break token,
                Err(_) => {
                    if let (Some(token), Some(path)) = (&latest, &named.file)
                        && (named.has_file_error() || !is_there(path).await)
                    {
                        write(&named, path.clone(), token.clone()).await;
                    }
                }
            }
        };
        match token {
            Ok(token) => {
                if let Some(path) = &named.file {
                    write(&named, path.clone(), token.clone()).await;
                }
                latest = Some(token);
            }
            Err(error) => {
                tracing::error!(%error, token = named.name, "the token is no longer renewed");
                return;
            }
        }
    }
}

/// Whether nobody took the file away, emptied it, or put something else in its place.
async fn is_there(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok_and(|found| found.is_file() && found.len() > 0)
}

async fn write(named: &Named, path: PathBuf, token: Token) {
    let shown = path.display().to_string();
    let writing = move || files::replace(&path, token.reveal().as_bytes(), 0o600, &SystemEntropy::new());
    let done = tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let why = done.err().map(|error| format!("{shown}: {error}"));
    match &why {
        None => tracing::debug!(token = named.name, file = shown, "written"),
        // Said once, and not each time that it is tried again.
        Some(error) if named.file_error() != why => {
            tracing::error!(token = named.name, error, "the token file could not be written");
        }
        Some(_) => {}
    }
    named.set_file_error(why);
}
