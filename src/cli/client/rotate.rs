//! `mintage client rotate`

use std::path::PathBuf;

use crate::api::{Client, NewSecret, RetireSecrets, Secret, UNUSED_FOR};
use crate::cli::admin::{Admin, segment};
use crate::cli::save::{Saving, keep};
use crate::cli::times::Life;
use crate::cli::{Failure, Global, output};
use crate::server::config::Span;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// Its client_id
    pub(super) id: String,
    /// How long the old secrets go on; 0s ends them now. They end on a whole second, which may be up to one earlier
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds, default_value = "24h")]
    overlap: Span,
    /// How long the new secret lives, such as 90d, or none for ever; as long as the newest was made to live unless set.
    /// Where the project's policy is shorter, a duration is refused, and what is not one is cut to it
    #[arg(long, value_name = "DURATION|none", value_parser = Life::read)]
    secret_ttl: Option<Life>,
    /// Write the credentials to FILE, for its owner alone, instead of showing the secret; a file of this client's is
    /// replaced whole, and any other left alone
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Make no new secret, but end the rotation: every secret but the newest ends now, and its tokens live on until they
    /// expire. Refused while an older one is in use, or the newest never was
    #[arg(long, conflicts_with_all = ["overlap", "secret_ttl", "save"])]
    finish: bool,
    /// With --finish: how long the older secrets have to have been unused; longer than the tokens live
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds, requires = "finish",
          default_value_t = Span::from_secs(UNUSED_FOR))]
    unused_for: Span,
    /// With --finish: end them although they are in use
    #[arg(long, requires = "finish")]
    force: bool,
}

/// Rotates the secrets of the client at `path`.
pub(super) async fn run(global: &Global, admin: &Admin, path: &str, rotate: Rotate) -> Result<(), Failure> {
    if rotate.finish {
        return finish(global, admin, path, &rotate).await;
    }
    let saving = rotate.save.map(|file| Saving::of(file, &rotate.id)).transpose()?;
    let new = NewSecret {
        overlap: Some(rotate.overlap.as_secs()),
        secret_ttl: rotate.secret_ttl.map(Life::as_secs),
        ..NewSecret::default()
    };
    keep(global, rotated(admin, path, &new).await?, saving)
}

/// Gives the client at `path` a secret that is known. Where the first answer was lost, so was the secret, and the second
/// has none: it is taken away, and another made.
async fn rotated(admin: &Admin, path: &str, new: &NewSecret) -> Result<Client, Failure> {
    let client: Client = admin.post(&format!("{path}/secrets"), new).await?;
    let (None, Some(lost)) = (&client.client_secret, client.secrets.last()) else { return Ok(client) };
    output::note("The connection broke when the secret was on its way; it is replaced by another.");
    admin.delete::<Client>(&format!("{path}/secrets/{}", segment(&lost.id))).await?;
    // As long as the lost one, whose own model may be gone by now.
    let again = NewSecret { overlap: new.overlap, secret_ttl: Some(life(lost)), ..NewSecret::default() };
    admin.post(&format!("{path}/secrets"), &again).await
}

/// How long a secret that was just made lives, in seconds; for ever if none.
pub(super) fn life(secret: &Secret) -> Option<u64> {
    Some(secret.expires_at?.0.since(secret.created_at.0).as_secs())
}

async fn finish(global: &Global, admin: &Admin, path: &str, rotate: &Rotate) -> Result<(), Failure> {
    let before: Client = admin.get(path).await?;
    let how = RetireSecrets { unused_for: rotate.unused_for.as_secs(), force: rotate.force };
    let after: Client = admin.post(&format!("{path}/secrets/retire"), &how).await?;
    super::show(global, &after)?;
    let is_gone = |id: &&str| after.secrets.iter().all(|left| left.id != *id);
    let gone: Vec<_> = before.secrets.iter().map(|secret| secret.id.as_str()).filter(is_gone).collect();
    output::note(&match &gone[..] {
        [] => "\nThere is nothing to finish: the client has no secret but its newest.".to_owned(),
        [one] => format!("\nThe secret {one} is gone; the tokens that were bought with it live on until they expire."),
        all => format!(
            "\nThe secrets {} are gone; the tokens that were bought with them live on until they expire.",
            all.join(" ")
        ),
    });
    Ok(())
}
