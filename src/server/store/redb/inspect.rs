//! Looking through a whole store: every page, every record, every link of the audit chain.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use redb::{Database, ReadTransaction};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::crypto::sha256;
use crate::server::model::{
    Account, Api, AuditHead, Client, ClientUses, Figures, KeyRecord, Organization, Project, ReceiptRecord,
    RefusalRecord, Role, SCHEMA_VERSION, SecretUse,
};

use crate::server::store::StoreError;

use super::tables::{AUDIT_HEAD, CURSOR_SECRET, META, SCHEMA, decode};
use super::{copy, shapes, unavailable};

/// The most faults that are told of; the rest is counted.
const MOST_FAULTS: usize = 100;

/// What is in a store, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    /// The tables, in order of their names, and how many records each has.
    pub tables: Vec<(String, u64)>,
    /// The tables that are not known here: counted, and their pages whole, but not read.
    pub unknown: Vec<String>,
    /// The end of the audit chain.
    pub audit_head: AuditHead,
    /// The records of signing keys.
    pub keys: Vec<KeyRecord>,
    /// What is damaged, in words; no more than a hundred.
    pub faults: Vec<String>,
    /// How much is damaged.
    pub damaged: u64,
}

impl Report {
    pub(super) fn fault(&mut self, what: String) {
        self.damaged += 1;
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(what);
        }
    }
}

/// What reads a record of a table.
type Reads = fn(&[u8]) -> Result<(), StoreError>;

fn reads<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), StoreError> {
    decode::<T>("it", bytes).map(drop)
}

/// What a record of this table has to be; none for a table that is not known here.
fn records(table: &str) -> Option<Reads> {
    Some(match table {
        "clients" => reads::<Client>,
        "secret_uses" => reads::<SecretUse>,
        "usage" => reads::<Figures>,
        "client_uses" => reads::<ClientUses>,
        "organizations" => reads::<Organization>,
        "roles" => reads::<Role>,
        "receipts" => reads::<ReceiptRecord>,
        "accounts" => reads::<Account>,
        "apis" => reads::<Api>,
        "projects" => reads::<Project>,
        "keys" => reads::<KeyRecord>,
        "refusals" => reads::<RefusalRecord>,
        // What they hold is all in their shape, or is looked at for itself.
        "api_keys" | "audit_keys" | "client_index" | "digest_keys" | "issuances" | "receipt_ends"
        | "revocation_ends" | "notices" | "scopes" | "revocations" | "audit" | "meta" => |_| Ok(()),
        _ => return None,
    })
}

/// Reads all that is in a store.
pub(super) fn inspect(database: &Database) -> Result<Report, StoreError> {
    let transaction = copy::snapshot(database)?;
    let mut report = Report::default();
    let mut chain = Chain::default();
    for table in shapes::tables(&transaction)? {
        let (known, mut count) = (records(&table), 0);
        let read = shapes::of(&transaction, &table)?.read(&transaction, &table, &mut |key, value| {
            count += 1;
            if known.is_some_and(|reads| reads(value).is_err()) {
                report.fault(format!("{table}: record {count} ({}) is not readable", shown(key)));
            }
            match table.as_str() {
                "audit" => chain.follow(key, value, &mut report),
                "keys" => report.keys.extend(decode::<KeyRecord>("a key", value)),
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = read {
            report.fault(format!("{table}: behind record {count}: {error}"));
        }
        if known.is_none() {
            report.unknown.push(table.clone());
        }
        report.tables.push((table, count));
    }
    meta(&transaction, &chain, &mut report)?;
    let missing: BTreeSet<_> = ["apis", "audit", "clients", "keys", "projects", "revocations", "scopes"].into();
    let there = |name: &str| report.tables.iter().any(|(table, _)| table == name);
    for name in missing.into_iter().filter(|name| !there(name)).collect::<Vec<_>>() {
        report.fault(format!("{name}: the table is missing"));
    }
    Ok(report)
}

/// A key, as far as it is text.
fn shown(key: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(key).chars().filter(|c| !c.is_control()).take(80).collect();
    if text.is_empty() { "its key is no text".to_owned() } else { text }
}

/// What the store keeps of itself.
fn meta(transaction: &ReadTransaction, chain: &Chain, report: &mut Report) -> Result<(), StoreError> {
    let meta = transaction.open_table(META).map_err(unavailable)?;
    let get =
        |name: &str| Ok::<_, StoreError>(meta.get(name).map_err(unavailable)?.map(|bytes| bytes.value().to_vec()));
    match get(SCHEMA)?.map(|bytes| decode::<u32>("the schema", &bytes)) {
        Some(Ok(SCHEMA_VERSION)) => {}
        _ => report.fault(format!("meta: the schema is not {SCHEMA_VERSION}, which this program reads")),
    }
    if get(CURSOR_SECRET)?.is_none_or(|secret| secret.len() < 32) {
        report.fault("meta: the secret of cursors is missing".to_owned());
    }
    match get(AUDIT_HEAD)?.map(|bytes| decode::<AuditHead>("the audit chain", &bytes)) {
        Some(Ok(head)) => {
            if chain.end.as_ref().unwrap_or(&AuditHead::default()) != &head {
                report.fault(format!(
                    "audit: its last record is not number {}, with which the chain ends",
                    head.sequence
                ));
            }
            report.audit_head = head;
        }
        _ => report.fault("meta: the end of the audit chain is missing".to_owned()),
    }
    Ok(())
}

/// The audit chain, as far as it was followed.
#[derive(Default)]
struct Chain {
    end: Option<AuditHead>,
}

#[derive(Deserialize)]
struct Link {
    sequence: u64,
    previous: String,
}

impl Chain {
    /// The next record of the chain, which has to go on where the one before ended. The first one that is there may have
    /// any number: what stood before it can have been pruned.
    fn follow(&mut self, key: &[u8], record: &[u8], report: &mut Report) {
        let number = key.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let hash = STANDARD_NO_PAD.encode(sha256(record));
        match decode::<Link>("it", record) {
            Err(_) => report.fault(format!("audit: record {number} is not readable")),
            Ok(link) => {
                let before = match &self.end {
                    None if number == 1 => Some(AuditHead::default()),
                    end => end.clone(),
                };
                let follows = before.is_none_or(|end| end.hash == link.previous && end.sequence + 1 == number);
                if !follows || link.sequence != number {
                    report.fault(format!("audit: the chain is broken at record {number}"));
                }
            }
        }
        self.end = Some(AuditHead { sequence: number, hash });
    }
}
