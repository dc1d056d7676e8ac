//! `mintage api-key rotate`

use std::path::PathBuf;

use crate::api::{ApiKey, RotateApiKey};
use crate::cli::admin::{Admin, segment};
use crate::cli::save::{Saving, keep};
use crate::cli::times::Life;
use crate::cli::{Failure, Global, output};
use crate::server::config::Span;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// Its id
    id: String,
    /// How long the old one goes on, such as 24h; not at all unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    overlap: Option<Span>,
    /// How long the new one lives, such as 90d, or none for ever; as long as the old one was made to live unless set.
    /// Where the project's policy is shorter, a duration is refused, and what is not one is cut to it
    #[arg(long, value_name = "DURATION|none", value_parser = Life::read)]
    ttl: Option<Life>,
    /// Write the key and its id to FILE, for its owner alone, instead of showing it; a file of this key's is replaced
    /// whole, and any other left alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Replaces an API key by a new one.
pub(super) async fn run(global: &Global, admin: &Admin, rotate: Rotate) -> Result<(), Failure> {
    let saving = rotate.save.map(|file| Saving::of(file, &rotate.id)).transpose()?;
    let how = RotateApiKey {
        overlap: rotate.overlap.map(Span::as_secs).unwrap_or_default(),
        ttl: rotate.ttl.map(Life::as_secs),
    };
    let key: ApiKey = admin.post(&path(&rotate.id), &how).await?;
    // Where the first answer was lost, so was the key, and the second has none.
    let key = match key.api_key {
        Some(_) => key,
        None => another(admin, &rotate.id, &how).await?,
    };
    keep(global, key, saving)?;
    output::note(&match rotate.overlap {
        Some(overlap) => format!("\nThe old key goes on for {overlap}."),
        None => "\nThe old key is cut off.".to_owned(),
    });
    Ok(())
}

/// The key was lost with the connection: another takes its place.
pub(super) async fn another(admin: &Admin, id: &str, how: &RotateApiKey) -> Result<ApiKey, Failure> {
    output::note("The connection broke when the key was on its way; it is replaced by another.");
    admin.post(&path(id), how).await
}

fn path(id: &str) -> String {
    format!("api-keys/{}/rotate", segment(id))
}
