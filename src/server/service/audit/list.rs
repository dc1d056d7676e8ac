//! What the audit log has, the newest first.

use serde::Deserialize;
use serde_json::Value;

use crate::api;
use crate::api::{AuditActor, AuditChange, AuditEntry, AuditIssuance, AuditKind, AuditRefusal};
use crate::clock::{Rfc3339, UnixTime};
use crate::server::error::Error;
use crate::server::model::{AuditHead, Issuance, Place, RefusalRecord, Segment};
use crate::server::service::{PageRequest, Service};
use crate::server::store::{AuditReader, StoreError};

/// How many records are read at once.
const BATCH: usize = 500;
/// The most that one page looks through: a page may have less than it could, or nothing, and another one follow.
const MAX_SCANNED: usize = 20_000;
/// How far the times of neighbours may be out of order: a clock was set back.
const DISORDER: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is asked for. What is left out may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditFilter {
    /// `admin`, `admin:1000`, `client:c_…`, or a client's id. Of changes.
    pub actor: Option<String>,
    /// An action, or what several begin with: `client` for `client.create` and all others. Of changes.
    pub action: Option<String>,
    /// Of changes.
    pub target: Option<String>,
    /// A client: as actor or target of a change, or of an issuance or a refusal.
    pub client: Option<String>,
    /// Not before this moment.
    pub since: Option<Rfc3339>,
    /// Before this moment.
    pub until: Option<Rfc3339>,
    /// Of changes and refusals.
    pub request_id: Option<String>,
    /// Of issuances, and of changes that revoke a token.
    pub jti: Option<String>,
}

/// Where a list goes on: behind the entry of this number, and within it, behind this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    number: u64,
    line: u64,
}

impl Position {
    /// At the newest.
    pub const NEWEST: Self = Self { number: u64::MAX, line: 0 };

    fn text(self) -> String {
        format!("{} {}", self.number, self.line)
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, line) = text.split_once(' ')?;
        Some(Self { number: number.parse().ok()?, line: line.parse().ok()? })
    }
}

/// A record of the chain, as far as it is shown.
#[derive(Deserialize)]
struct Record {
    at: Option<UnixTime>,
    actor: AuditActor,
    action: String,
    target: String,
    request_id: Option<String>,
    source: Option<String>,
    organization: Option<String>,
    project: Option<String>,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    after: Value,
}

fn change(sequence: u64, bytes: &[u8]) -> AuditChange {
    let hash = AuditHead::hash_of(bytes);
    // One that cannot be read any more is shown as what it is, and not left out.
    let record = serde_json::from_slice(bytes).unwrap_or_else(|_| Record {
        at: None,
        actor: AuditActor { kind: "unreadable".to_owned(), ..AuditActor::default() },
        action: "unreadable".to_owned(),
        target: String::from_utf8_lossy(bytes).into_owned(),
        request_id: None,
        source: None,
        organization: None,
        project: None,
        before: Value::Null,
        after: Value::Null,
    });
    AuditChange {
        sequence,
        hash,
        recorded_at: record.at.map(Rfc3339),
        actor: record.actor,
        action: record.action,
        target: record.target,
        request_id: record.request_id,
        source_address: record.source,
        organization: record.organization,
        project: record.project,
        before: record.before,
        after: record.after,
    }
}

fn issuance(segment: u64, line: u64, issuance: Issuance) -> AuditIssuance {
    AuditIssuance {
        segment,
        line,
        recorded_at: Rfc3339(issuance.at),
        client_id: issuance.client_id,
        organization: issuance.place.organization,
        project: issuance.place.project,
        secret_id: issuance.secret_id,
        jti: issuance.jti,
        scope: issuance.scope,
        audience: issuance.audience,
        source_address: issuance.source.to_string(),
        expires_in: issuance.ttl,
    }
}

fn refusal(number: u64, record: RefusalRecord) -> AuditRefusal {
    AuditRefusal {
        number,
        recorded_at: Rfc3339(record.at),
        request_id: record.request_id,
        reason: record.reason,
        cause: record.cause,
        detail: record.detail,
        client_id: record.client_id,
        public_key: record.public_key,
        organization: record.place.as_ref().map(|place| place.organization.clone()),
        project: record.place.and_then(|place| place.project),
        source_address: record.source.map(|ip| ip.to_string()),
        unrecorded: record.unrecorded,
        unrecorded_by_reason: record.unrecorded_by_reason,
    }
}

/// Whether `found` is what `wanted` asks for.
fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

/// Whether what is in this organization and project is within `place`.
fn within(place: Option<&Place>, organization: Option<&str>, project: Option<&str>) -> bool {
    place.is_none_or(|place| organization == Some(&*place.organization) && is(place.project.as_deref(), project))
}

impl AuditFilter {
    /// What has no time may be from any.
    fn takes_time(&self, at: Option<Rfc3339>) -> bool {
        let Some(at) = at else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }

    /// Whether nothing that is older than `at` can be wanted.
    fn ends_at(&self, at: Option<Rfc3339>) -> bool {
        at.zip(self.since).is_some_and(|(at, since)| at.0.plus(DISORDER) < since.0)
    }

    fn takes(&self, entry: &AuditEntry, place: Option<&Place>) -> bool {
        self.takes_time(entry.recorded_at())
            && match entry {
                AuditEntry::Change(change) => self.takes_change(change, place),
                AuditEntry::Issuance(issuance) => {
                    within(place, Some(&issuance.organization), issuance.project.as_deref())
                        && is(self.client.as_deref(), Some(&issuance.client_id))
                        && is(self.jti.as_deref(), Some(&issuance.jti))
                        && self.is_of_changes_alone()
                        && self.request_id.is_none()
                }
                // Where the client belonged when it was refused: another one may have its id by now.
                AuditEntry::Refusal(refusal) => {
                    within(place, refusal.organization.as_deref(), refusal.project.as_deref())
                        && is(self.client.as_deref(), refusal.client_id.as_deref())
                        && is(self.request_id.as_deref(), refusal.request_id.as_deref())
                        && self.is_of_changes_alone()
                        && self.jti.is_none()
                }
            }
    }

    /// Whether nothing is asked that only a change can have.
    fn is_of_changes_alone(&self) -> bool {
        self.actor.is_none() && self.action.is_none() && self.target.is_none()
    }

    fn takes_change(&self, change: &AuditChange, place: Option<&Place>) -> bool {
        let own_id = change.actor.client_id.as_deref();
        let is_actor = |wanted: &String| {
            *wanted == change.actor.kind || *wanted == change.actor.word() || Some(wanted.as_str()) == own_id
        };
        let is_action = |wanted: &String| {
            change.action.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let concerns = |client: &String| {
            Some(client.as_str()) == own_id || (change.action.starts_with("client.") && *client == change.target)
        };
        within(place, change.organization.as_deref(), change.project.as_deref())
            && self.actor.as_ref().is_none_or(is_actor)
            && self.action.as_ref().is_none_or(is_action)
            && is(self.target.as_deref(), Some(&change.target))
            && self.client.as_ref().is_none_or(concerns)
            && is(self.request_id.as_deref(), change.request_id.as_deref())
            && self
                .jti
                .as_deref()
                .is_none_or(|jti| change.target == jti || change.after.get("jti") == Some(&jti.into()))
    }
}

/// What one look into the store gave: entries, each with where the list goes on behind it; and where it goes on behind
/// all of them, if there was anything.
struct Batch {
    entries: Vec<(Position, AuditEntry)>,
    end: Option<Position>,
}

/// The entries behind `from`, the newest first, a batch of them.
async fn batch(reader: &dyn AuditReader, kind: AuditKind, from: Position) -> Result<Batch, StoreError> {
    let behind = |number: u64| Position { number, line: 0 };
    Ok(match kind {
        AuditKind::Changes => {
            let records = reader.audit_back(from.number, BATCH).await?;
            let entry =
                |(number, bytes): &(u64, Vec<u8>)| (behind(*number), AuditEntry::Change(change(*number, bytes)));
            let end = records.last().map(|(number, _)| behind(*number));
            Batch { end, entries: records.iter().map(entry).collect() }
        }
        AuditKind::Refusals => {
            let records = reader.refusals_back(from.number, BATCH).await?;
            let end = records.last().map(|(number, _)| behind(*number));
            let entry = |(number, record)| (behind(number), AuditEntry::Refusal(refusal(number, record)));
            Batch { end, entries: records.into_iter().map(entry).collect() }
        }
        AuditKind::Issuances => {
            // The segment that the list is in the middle of comes along; from its first line on there is nothing left.
            let in_the_middle = from.line > 0;
            let before = if in_the_middle { from.number.saturating_add(1) } else { from.number };
            let segments = reader.segments_back(before).await?;
            let mut entries = Vec::new();
            for (number, bytes) in &segments {
                let lines: Vec<_> = (0..).zip(Segment::lines(bytes)).collect();
                for (line, text) in lines.into_iter().rev() {
                    if in_the_middle && *number == from.number && line >= from.line {
                        continue;
                    }
                    // What is altered beyond reading is for `verify` to name.
                    if let Ok(record) = serde_json::from_slice(text) {
                        let entry = AuditEntry::Issuance(issuance(*number, line, record));
                        entries.push((Position { number: *number, line }, entry));
                    }
                }
            }
            Batch { end: segments.last().map(|(number, _)| behind(*number)), entries }
        }
    })
}

/// At most `limit` entries of one kind that `filter` takes and that are within `place`, the newest first, behind
/// `from`; and where the list goes on, if it may.
///
/// # Errors
/// What the store says.
pub async fn page(
    reader: &dyn AuditReader,
    kind: AuditKind,
    filter: &AuditFilter,
    place: Option<&Place>,
    mut from: Position,
    limit: usize,
) -> Result<(Vec<AuditEntry>, Option<Position>), StoreError> {
    let (mut items, mut scanned) = (Vec::new(), 0);
    while scanned < MAX_SCANNED {
        let batch = batch(reader, kind, from).await?;
        let Some(end) = batch.end else { return Ok((items, None)) };
        for (position, entry) in batch.entries {
            scanned += 1;
            if filter.ends_at(entry.recorded_at()) {
                return Ok((items, None));
            }
            if filter.takes(&entry, place) {
                items.push(entry);
            }
            if items.len() >= limit {
                return Ok((items, Some(position)));
            }
        }
        from = end;
    }
    Ok((items, Some(from)))
}

impl Service {
    /// A page of one part of the audit log, the newest first. `within`: nothing but what belongs there.
    ///
    /// A page may have less than it could, or nothing, and another one follow: each looks through so much and no more.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn list_audit(
        &self,
        kind: AuditKind,
        filter: &AuditFilter,
        within: Option<&Place>,
        request: &PageRequest,
    ) -> Result<api::Page<AuditEntry>, Error> {
        let list = format!("audit {}", kind.as_str());
        let (after, limit) = self.cursors.start(&list, request)?;
        let from = after.and_then(|after| Position::parse(&after)).unwrap_or(Position::NEWEST);
        let (items, next) = page(&*self.store, kind, filter, within, from, limit).await?;
        Ok(api::Page { items, next_cursor: next.map(|next| self.cursors.seal(&list, &next.text())) })
    }
}
