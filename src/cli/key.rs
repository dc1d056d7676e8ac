//! `mintage key list|rotate|revoke`

use std::process::ExitCode;

use serde_json::json;

use crate::api::{Key, KeyState, Page, RotateKeys, Rotation};

use super::admin::{Admin, segment};
use super::{Failure, Global, output, times};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the signing keys
    List,
    /// Make the next key the active one, as soon as every verifier has had time to see it
    Rotate {
        /// Do not wait: verifiers that have not seen the next key refuse its tokens until they fetch the keys again
        #[arg(long)]
        now: bool,
    },
    /// For emergencies: take a key out of use at once; every token signed with it is refused
    Revoke {
        /// Its kid
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

pub(super) async fn run(global: &Global, command: &Command) -> Result<ExitCode, Failure> {
    let admin = Admin::connect(global)?;
    match command {
        Command::List => show(global, admin.get("keys").await?)?,
        Command::Rotate { now } => {
            let rotation: Rotation = admin.post("keys/rotate", &RotateKeys { now: *now }).await?;
            if global.json {
                output::json(&rotation)?;
            } else {
                let at = rotation.activates_at.0;
                output::line(&if rotation.rotated {
                    format!("rotated at {at}: the next key signs now\n")
                } else {
                    format!(
                        "the next key takes over at {at}, when it has been published long enough (--now does not wait)\n"
                    )
                })?;
                output::print(&table(&rotation.keys))?;
            }
        }
        Command::Revoke { kid } => {
            let page: Page<Key> = admin.post(&format!("keys/{}/revoke", segment(kid)), &json!({})).await?;
            let signs = page.items.iter().any(|key| key.state == KeyState::Active);
            show(global, page)?;
            if !signs {
                output::note(
                    "\nThere is no active key now, and no token can be signed: put a new key into the folder of keys \
                     (openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072); it is taken in within seconds.",
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(global: &Global, page: Page<Key>) -> Result<(), Failure> {
    if global.json { output::json(&page) } else { output::print(&table(&page.items)) }
}

fn table(keys: &[Key]) -> String {
    let now = times::now();
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                key.kid.clone(),
                key.algorithm.clone(),
                key.state.as_str().to_owned(),
                times::relative(key.created_at.0, now),
                times::relative_or(key.activates_at, now, "-"),
                times::relative_or(key.retires_at, now, "-"),
            ]
        })
        .collect();
    output::table(["KID", "ALG", "STATE", "CREATED", "ACTIVATES", "RETIRES"], &rows)
}
