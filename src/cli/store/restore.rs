//! `mintage store restore FILE`

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::api::KeyState;
use crate::cli::admin::Admin;
use crate::cli::{Failure, Global, output};
use crate::clock::{Clock, SystemClock};
use crate::crypto::entropy::SystemEntropy;
use crate::files::{Unfinished, folder, remove_unfinished};
use crate::server::config::Overrides;
use crate::server::store::redb::{OpenError, Report, examine_file, lock};

use super::{blocking, counts, faults, shown, unusable};

pub(super) async fn run(global: &Global, file: PathBuf, replace: bool) -> Result<ExitCode, Failure> {
    let config = global.load(Overrides::default())?;
    if Admin::local(global)?.is_running().await? {
        return Err(Failure::new(
            "a server is running here: stop it first. A store is put in place while nobody has it",
        ));
    }
    let (store, from) = (config.store_path(), file.clone());
    let (report, kept) = blocking(move || place(&from, &store, replace)).await?;
    let missing = missing_keys(&config.keys.dir, &report);
    let store = config.store_path();
    if global.json {
        let mut answer = shown(&store, &report);
        if let Value::Object(members) = &mut answer {
            members.insert("kept".to_owned(), json!(kept));
            members.insert("missing_keys".to_owned(), json!(missing));
        }
        output::json(&answer)?;
    } else {
        output::print(&format!("{}\n{}", store.display(), counts(&report)))?;
        if let Some(kept) = kept {
            output::line(&format!("the store that was there is now {}", kept.display()))?;
        }
    }
    for key in &missing {
        output::note(&format!(
            "{} is not there, and the {} key {} is in it: put it back before you start the server",
            key.path.display(),
            key.state,
            key.kid
        ));
    }
    output::note(
        "What was changed after the backup is not in it: what was revoked since then is not revoked any more. Revoke it \
         again, or revoke the keys that signed it (mintage key revoke KID).",
    );
    Ok(ExitCode::SUCCESS)
}

/// A key whose file is not there.
#[derive(Debug, serde::Serialize)]
struct MissingKey {
    kid: String,
    state: &'static str,
    path: PathBuf,
}

/// The keys that the server cannot do without, and whose files are not there.
fn missing_keys(dir: &Path, report: &Report) -> Vec<MissingKey> {
    let needed =
        report.keys.iter().filter(|key| matches!(key.state, KeyState::Next | KeyState::Active | KeyState::Retiring));
    needed
        .map(|key| MissingKey { kid: key.kid.clone(), state: key.state.as_str(), path: dir.join(&key.file) })
        .filter(|key| !key.path.exists())
        .collect()
}

/// Copies the backup beside the store's place, looks the copy through, and puts it there. Gives what is in it, and the
/// new name of the store that was there.
fn place(backup: &Path, store: &Path, replace: bool) -> Result<(Report, Option<PathBuf>), Failure> {
    let failed = |error: io::Error| Failure::new(format!("{} cannot be written: {error}", store.display()));
    // Held until the end: nobody opens the old one meanwhile.
    let old = match lock(store) {
        Ok(old) if replace => Some(old),
        Ok(_) => {
            return Err(Failure::new(format!(
                "there is a store already, {}; with --replace it is kept under another name",
                store.display()
            )));
        }
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::new(error)),
    };
    let mut from = fs::File::open(backup)
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", backup.display())))?;
    if matches!(from.try_lock_shared(), Err(fs::TryLockError::WouldBlock)) {
        return Err(unusable(OpenError::InUse(backup.to_owned())));
    }
    make_folder(folder(store)).map_err(failed)?;
    remove_unfinished(store).map_err(failed)?;
    let unfinished = Unfinished::begin(store, 0o600, &SystemEntropy::new()).map_err(failed)?;
    io::copy(&mut from, &mut unfinished.file().map_err(failed)?).map_err(failed)?;
    let report = examine_file(backup, unfinished.file().map_err(failed)?).map_err(unusable)?;
    if report.damaged > 0 {
        return Err(Failure::new(faults(backup, &report)));
    }
    let Some(_old) = old else {
        unfinished.commit_new(&[]).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(format!("{} is there by now", store.display())),
            _ => failed(error),
        })?;
        return Ok((report, None));
    };
    let kept = keep(store).map_err(failed)?;
    // There is a store there at every moment: the old one, or the new one.
    unfinished.commit(&[]).map_err(failed)?;
    Ok((report, Some(kept)))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Gives the store that is there a second name, which it keeps.
fn keep(store: &Path) -> io::Result<PathBuf> {
    let stamp = SystemClock.now().to_string().replace(':', "");
    for again in 0..100 {
        let mut name = store.as_os_str().to_owned();
        name.push(format!(".{stamp}"));
        if again > 0 {
            name.push(format!(".{again}"));
        }
        let kept = PathBuf::from(name);
        match fs::hard_link(store, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => return linked.map(|()| kept),
        }
    }
    Err(io::Error::other("no name for the store that is there is to be had"))
}
