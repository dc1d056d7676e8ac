//! The audit log exactly as it is kept, the oldest first.

use crate::api;
use crate::clock::UnixTime;
use crate::server::error::Error;
use crate::server::model::{AuditHead, RecordFacts, Segment};
use crate::server::service::{PageRequest, Service};
use crate::server::store::{AuditReader, StoreError};

/// How many records are read at once.
const BATCH: usize = 1000;
/// The most that one page goes through.
const MAX_SCANNED: usize = 20_000;

/// What is exported.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub struct ExportFilter {
    /// Not what is from before it.
    pub since: Option<UnixTime>,
    /// Nor what is from it on.
    pub until: Option<UnixTime>,
}

impl ExportFilter {
    fn takes(&self, at: Option<UnixTime>) -> bool {
        // What cannot be read is exported always: it may be what is looked for.
        at.is_none_or(|at| self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until))
    }
}

/// Exports records from number `from` on; behind the last record come the segments. The second value is where it goes
/// on, as a place in the first list, or in the second.
///
/// # Errors
/// What the store says.
pub async fn export(
    reader: &dyn AuditReader,
    filter: &ExportFilter,
    from: ExportFrom,
    limit: usize,
) -> Result<(Vec<api::AuditExport>, Option<ExportFrom>), StoreError> {
    match from {
        ExportFrom::Record(number) => records(reader, filter, number, limit).await,
        ExportFrom::Segment(number) => segments(reader, filter, number).await,
    }
}

/// Where an export goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFrom {
    /// At this record.
    Record(u64),
    /// At this segment.
    Segment(u64),
}

type Exported = (Vec<api::AuditExport>, Option<ExportFrom>);

async fn records(
    reader: &dyn AuditReader,
    filter: &ExportFilter,
    mut from: u64,
    limit: usize,
) -> Result<Exported, StoreError> {
    let (mut items, mut scanned) = (Vec::new(), 0);
    while scanned < MAX_SCANNED {
        let batch = reader.records(from, BATCH).await?;
        scanned += batch.len();
        if batch.is_empty() {
            return Ok((items, Some(ExportFrom::Segment(0))));
        }
        for (number, bytes) in batch {
            from = number.saturating_add(1);
            if filter.takes(RecordFacts::read(&bytes).map(|facts| facts.at)) {
                items.push(exported(Some(number), None, &bytes));
            }
            if items.len() >= limit {
                return Ok((items, Some(ExportFrom::Record(from))));
            }
        }
    }
    Ok((items, Some(ExportFrom::Record(from))))
}

async fn segments(reader: &dyn AuditReader, filter: &ExportFilter, from: u64) -> Result<Exported, StoreError> {
    let batch = reader.segments(from).await?;
    let next = batch.last().map(|(number, _)| ExportFrom::Segment(number.saturating_add(1)));
    let items = batch
        .iter()
        .filter(|(_, bytes)| filter.takes(Segment::begins_at(bytes)))
        .map(|(number, bytes)| exported(None, Some(*number), bytes))
        .collect();
    Ok((items, next))
}

fn exported(record: Option<u64>, segment: Option<u64>, bytes: &[u8]) -> api::AuditExport {
    api::AuditExport {
        record,
        segment,
        hash: AuditHead::hash_of(bytes),
        bytes: String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl ExportFrom {
    fn text(self) -> String {
        match self {
            Self::Record(number) => format!("record {number}"),
            Self::Segment(number) => format!("segment {number}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("record", number) => number.parse().ok().map(Self::Record),
            ("segment", number) => number.parse().ok().map(Self::Segment),
            _ => None,
        }
    }
}

impl Service {
    /// A page of the audit log exactly as it is kept: the records, then the segments. A page may be empty and another
    /// one follow.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] for a bad limit or cursor, or what the store says.
    pub async fn export_audit(
        &self,
        filter: &ExportFilter,
        page: &PageRequest,
    ) -> Result<api::Page<api::AuditExport>, Error> {
        let (after, limit) = self.cursors.start("audit export", page)?;
        let from = after.and_then(|after| ExportFrom::parse(&after)).unwrap_or(ExportFrom::Record(0));
        let (items, next) = export(&*self.store, filter, from, limit).await?;
        Ok(api::Page { items, next_cursor: next.map(|next| self.cursors.seal("audit export", &next.text())) })
    }
}
