//! `mintage client digest-key create|list|delete`

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zeroize::Zeroizing;

use crate::api::{DigestKey, GivenSecret, NewDigestKey, Page};
use crate::cli::admin::{Admin, segment};
use crate::cli::{Failure, Global, output, times};
use crate::server::config::Span;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// Give a client a key pair for HTTP Digest, whose private key is shown once; or take one that there is already
    Create(Create),
    /// List the Digest keys of a client, and when they were last used
    List {
        /// The client's client_id
        id: String,
    },
    /// Take a Digest key from a client at once
    Delete {
        /// The client's client_id
        id: String,
        /// The key's id, as `mintage client digest-key list` has it
        key_id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// The client's client_id
    id: String,
    /// How long it lives, such as 90d; for ever unless set
    #[arg(long, value_name = "DURATION", value_parser = Span::whole_seconds)]
    ttl: Option<Span>,
    /// The public key of a pair that there is already, which is the user name of Digest
    #[arg(long, value_name = "KEY", requires = "private_key")]
    public_key: Option<String>,
    /// The file with its private key, which is the password; - reads it from stdin
    #[arg(long, value_name = "FILE", requires = "public_key")]
    private_key: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, admin: &Admin, command: Command) -> Result<ExitCode, Failure> {
    let path = |id: &str| format!("clients/{}/digest-keys", segment(id));
    match command {
        Command::Create(create) => {
            let new = NewDigestKey {
                public_key: create.public_key,
                private_key: create.private_key.map(private_key).transpose()?,
                ttl: create.ttl.map(Span::as_secs),
            };
            show(global, &made(admin, &path(&create.id), &new).await?)?;
        }
        Command::List { id } => {
            let page: Page<DigestKey> = admin.get(&path(&id)).await?;
            if global.json { output::json(&page)? } else { output::print(&table(&page.items))? }
        }
        Command::Delete { id, key_id } => {
            admin.delete::<()>(&format!("{}/{}", path(&id), segment(&key_id))).await?;
            if global.json {
                output::json(&json!({ "id": key_id, "deleted": true }))?;
            } else {
                output::line(&output::harmless(&format!(
                    "the Digest key {key_id} is deleted, and refused from now on"
                )))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a key that is known. Where the first answer was lost, so was the private key, and the second has none: it is
/// taken away, and another made.
async fn made(admin: &Admin, path: &str, new: &NewDigestKey) -> Result<DigestKey, Failure> {
    let key: DigestKey = admin.post(path, new).await?;
    if key.private_key.is_some() || new.private_key.is_some() {
        return Ok(key);
    }
    output::note("The connection broke when the key was on its way; it is replaced by another.");
    admin.delete::<()>(&format!("{path}/{}", segment(&key.id))).await?;
    admin.post(path, new).await
}

/// The private key in a file, without the end of its line.
fn private_key(file: PathBuf) -> Result<GivenSecret, Failure> {
    let mut text = Zeroizing::new(String::new());
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        let refused = |error| Failure::new(format!("{}: {error}", file.display()));
        std::fs::File::open(&file).and_then(|mut opened| opened.read_to_string(&mut text)).map_err(refused)?;
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
}

fn table(items: &[DigestKey]) -> String {
    let now = times::now();
    let rows: Vec<_> = items
        .iter()
        .map(|key| {
            [
                key.id.clone(),
                key.public_key.clone(),
                key.prefix.clone(),
                key.created_at.0.to_string(),
                times::relative_or(key.expires_at, now, "never"),
                times::relative_or(key.last_used_at, now, "never"),
                output::or_dash(key.last_used_from.clone()),
            ]
        })
        .collect();
    output::table(["ID", "PUBLIC KEY", "PRIVATE KEY", "CREATED", "EXPIRES", "LAST USED", "FROM"], &rows)
}

fn show(global: &Global, key: &DigestKey) -> Result<(), Failure> {
    if global.json {
        return output::json(key);
    }
    let mut fields = vec![("id", key.id.clone()), ("public_key", key.public_key.clone())];
    fields.extend(key.private_key.clone().map(|text| ("private_key", text)));
    fields.extend([
        ("created_at", key.created_at.0.to_string()),
        ("expires_at", times::exact_or(key.expires_at, "never")),
    ]);
    output::print(&output::fields(&fields))?;
    if key.private_key.is_some() {
        output::note("\nThe private_key is shown this once, and cannot be had again: keep it now.");
    }
    Ok(())
}
