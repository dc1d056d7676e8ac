//! `mintage store backup FILE`

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::cli::admin::Admin;
use crate::cli::{Failure, Global, output};
use crate::crypto::entropy::SystemEntropy;
use crate::files::{Unfinished, remove_unfinished};
use crate::server::config::Overrides;
use crate::server::store::StoreError;
use crate::server::store::redb::{Report, build, dump, examine_file};

use super::{blocking, counts, faults, shown, unusable};

/// A server that sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pieces that wait to be written.
const WAITING: usize = 4;

type Piece = io::Result<Vec<u8>>;

pub(super) async fn run(global: &Global, file: PathBuf) -> Result<ExitCode, Failure> {
    let admin = Admin::local(global)?;
    if std::fs::symlink_metadata(&file).is_ok() {
        return Err(there_already(&file));
    }
    let (pieces, waiting) = mpsc::channel(WAITING);
    let path = file.clone();
    let runtime = Handle::current();
    let store = global.load(Overrides::default())?.store_path();
    let send = async {
        match admin.is_running().await? {
            true => receive(&admin, pieces).await,
            false => blocking(move || copy(&store, &pieces)).await,
        }
    };
    let write = blocking(move || write(&path, Pieces { runtime, waiting, rest: Vec::new().into_iter() }));
    let (sent, written) = tokio::join!(send, write);
    // Where what was sent broke off, so did the writing; and the other way round, where a disk is full, say.
    let report = match (sent, written) {
        (Ok(()), written) => written?,
        (Err(sent), Err(written)) if sent.why == NOT_TAKEN => return Err(written),
        (Err(sent), _) => return Err(sent),
    };
    if global.json {
        output::json(&shown(&file, &report))?;
    } else {
        output::print(&format!("{}\n{}", file.display(), counts(&report)))?;
        output::note(
            "\nIt holds what the store held, hashes of secrets among it: keep it as you keep the store. The signing keys \
             are not in it: back up the folder of keys as well.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

const NOT_TAKEN: &str = "the backup could not be written";

fn there_already(file: &Path) -> Failure {
    Failure::new(format!("{} is there already, and is left alone: name another file", file.display()))
}

/// Hands on what the server sends.
async fn receive(admin: &Admin, pieces: mpsc::Sender<Piece>) -> Result<(), Failure> {
    let mut response = admin.download("store/backup").await?;
    loop {
        let piece = match tokio::time::timeout(PATIENCE, response.chunk()).await {
            Ok(Ok(Some(piece))) => piece.to_vec(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(_)) => return Err(Failure::new("the server broke the backup off; its log says why")),
            Err(_) => return Err(Failure::new("the server sends no more of the backup")),
        };
        pieces.send(Ok(piece)).await.map_err(|_| Failure::new(NOT_TAKEN))?;
    }
}

/// Hands on what a store that no server has holds.
fn copy(store: &Path, pieces: &mpsc::Sender<Piece>) -> Result<(), Failure> {
    let mut taken = true;
    let dumped = dump(store, &mut |piece| {
        pieces.blocking_send(Ok(piece)).map_err(|_| {
            taken = false;
            StoreError::Unavailable(NOT_TAKEN.to_owned())
        })
    });
    match dumped {
        Err(_) if !taken => Err(Failure::new(NOT_TAKEN)),
        dumped => dumped.map_err(unusable),
    }
}

/// Makes the backup of the pieces, looks it through, and only then puts it in its place.
fn write(file: &Path, mut pieces: Pieces) -> Result<Report, Failure> {
    let failed = |error: io::Error| Failure::new(format!("{} cannot be written: {error}", file.display()));
    remove_unfinished(file).map_err(failed)?;
    let unfinished = Unfinished::begin(file, 0o600, &SystemEntropy::new()).map_err(failed)?;
    build(unfinished.file().map_err(failed)?, &mut pieces).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Failure::new("the backup was broken off"),
        _ => failed(error),
    })?;
    let report = examine_file(file, unfinished.file().map_err(failed)?).map_err(unusable)?;
    if report.damaged > 0 {
        return Err(Failure::new(faults(file, &report)));
    }
    unfinished.commit_new(&[]).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there_already(file),
        _ => failed(error),
    })?;
    Ok(report)
}

/// The pieces as one stream.
struct Pieces {
    runtime: Handle,
    waiting: mpsc::Receiver<Piece>,
    rest: std::vec::IntoIter<u8>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.len() == 0 {
            match self.runtime.block_on(self.waiting.recv()) {
                Some(piece) => self.rest = piece?.into_iter(),
                None => return Ok(0),
            }
        }
        let mut count = 0;
        for (to, from) in into.iter_mut().zip(self.rest.by_ref()) {
            *to = from;
            count += 1;
        }
        Ok(count)
    }
}
