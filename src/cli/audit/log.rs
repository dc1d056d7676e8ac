//! Where the audit log is read: of the running server, or, where none runs, of the store itself.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::api::{AuditEntry, AuditExport, AuditKind, Page};
use crate::cli::admin::{Admin, segment};
use crate::cli::{Failure, Global};
use crate::server::config::Overrides;
use crate::server::service::{AuditFilter, ExportFilter, ExportFrom, Position, audit_page, export_audit};
use crate::server::store::redb::AuditFile;

/// The most that is asked for at once.
const PAGE: usize = 1000;

/// The audit log.
#[derive(Debug)]
pub(super) enum Log {
    /// Of the server.
    Server(Admin),
    /// Of a store that no server runs on.
    File(AuditFile),
}

/// Where an export goes on.
pub(super) enum Cursor {
    /// Of the server's list.
    Server(String),
    /// In a file.
    Place(ExportFrom),
}

/// The path of a store.
fn path_of(url: &str) -> Result<PathBuf, Failure> {
    let path = url.strip_prefix("redb:").unwrap_or(url);
    if path.is_empty() || path.contains("://") {
        return Err(Failure::usage("--store has to be redb:PATH"));
    }
    Ok(PathBuf::from(path))
}

/// Whether nobody listens on the socket. Anything else is for the request to find out.
fn nobody_listens(socket: &Path) -> bool {
    matches!(
        UnixStream::connect(socket).map_err(|error| error.kind()),
        Err(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    )
}

impl Log {
    /// The log of this store, or else of the server, or where none runs, of the configured store.
    pub(super) fn open(global: &Global, store: Option<&str>) -> Result<Self, Failure> {
        if let Some(url) = store {
            return AuditFile::open(&path_of(url)?).map(Self::File).map_err(Failure::new);
        }
        if Admin::is_remote(global) {
            return Admin::connect(global).map(Self::Server);
        }
        let config = global.load(Overrides::default())?;
        if !nobody_listens(&config.admin.socket) {
            return Admin::connect(global).map(Self::Server);
        }
        match AuditFile::open(&config.store_path()) {
            Ok(file) => Ok(Self::File(file)),
            // Neither a server nor a store: that there is no server is what has to be said.
            Err(_) if !config.store_path().exists() => Admin::connect(global).map(Self::Server),
            Err(error) => Err(Failure::new(error)),
        }
    }

    /// Entries of one kind, the newest first, at most `limit`.
    pub(super) async fn entries(
        &self,
        kind: AuditKind,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Failure> {
        let mut entries = Vec::new();
        match self {
            Self::Server(admin) => {
                let mut cursor = None;
                while entries.len() < limit {
                    let wanted = PAGE.min(limit - entries.len());
                    let path = format!("audit?{}", query(kind, filter, wanted, cursor.as_deref()));
                    let page: Page<AuditEntry> = admin.get(&path).await?;
                    entries.extend(page.items);
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
            Self::File(file) => {
                let mut from = Some(Position::NEWEST);
                while let Some(position) = from.filter(|_| entries.len() < limit) {
                    let limit = PAGE.min(limit - entries.len());
                    let (items, next) =
                        audit_page(file, kind, filter, None, position, limit).await.map_err(Failure::new)?;
                    entries.extend(items);
                    from = next;
                }
            }
        }
        Ok(entries)
    }

    /// A part of the export, and where it goes on.
    pub(super) async fn export(
        &self,
        filter: &ExportFilter,
        from: Cursor,
    ) -> Result<(Vec<AuditExport>, Option<Cursor>), Failure> {
        match (self, from) {
            (Self::Server(admin), from) => {
                let mut parameters = url::form_urlencoded::Serializer::new(String::new());
                parameters.append_pair("limit", &PAGE.to_string());
                for (name, at) in [("since", filter.since), ("until", filter.until)] {
                    at.map(|at| parameters.append_pair(name, &at.to_string()));
                }
                if let Cursor::Server(cursor) = &from {
                    parameters.append_pair("cursor", cursor);
                }
                let page: Page<AuditExport> = admin.get(&format!("audit/export?{}", parameters.finish())).await?;
                Ok((page.items, page.next_cursor.map(Cursor::Server)))
            }
            (Self::File(file), Cursor::Place(place)) => {
                let (items, next) = export_audit(file, filter, place, PAGE).await.map_err(Failure::new)?;
                Ok((items, next.map(Cursor::Place)))
            }
            (Self::File(_), Cursor::Server(_)) => Ok((Vec::new(), None)),
        }
    }
}

fn query(kind: AuditKind, filter: &AuditFilter, limit: usize, cursor: Option<&str>) -> String {
    let mut parameters = vec![format!("kind={}", kind.as_str()), format!("limit={limit}")];
    let moment = |at: Option<crate::clock::Rfc3339>| at.map(|at| at.0.to_string());
    let named = [
        ("actor", filter.actor.clone()),
        ("action", filter.action.clone()),
        ("target", filter.target.clone()),
        ("client", filter.client.clone()),
        ("since", moment(filter.since)),
        ("until", moment(filter.until)),
        ("request_id", filter.request_id.clone()),
        ("jti", filter.jti.clone()),
        ("cursor", cursor.map(str::to_owned)),
    ];
    for (name, value) in named {
        parameters.extend(value.map(|value| format!("{name}={}", segment(&value))));
    }
    parameters.join("&")
}
