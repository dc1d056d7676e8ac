//! Rows of any table as bytes: what is copied without knowing what it means.
//!
//! redb opens a table only as the types that it was made with, so each pair of types that a table may have is tried. A
//! table of another pair is an error that names it, never left out.

use std::marker::PhantomData;

use redb::{
    Key, MultimapTableHandle, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, TableHandle, Value,
    WriteTransaction,
};

use crate::server::store::StoreError;

use super::unavailable;

/// What is done with a row: its key and its value.
pub(super) type Row<'r> = &'r mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// A pair of types that a table can have.
pub(super) trait Shape: Sync {
    /// What it is called in a backup on its way.
    fn name(&self) -> &'static str;

    /// Whether the table is of this shape.
    fn fits(&self, transaction: &ReadTransaction, table: &str) -> Result<bool, StoreError>;

    /// Gives all rows of the table to `row`.
    fn read(&self, transaction: &ReadTransaction, table: &str, row: Row<'_>) -> Result<(), StoreError>;

    /// Makes the table, and gives what puts rows into it.
    fn make<'t>(&self, transaction: &'t WriteTransaction, table: &str) -> Result<Box<dyn Rows + 't>, StoreError>;
}

/// What puts rows into a table.
pub(super) trait Rows {
    /// Puts a row in.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
}

impl<K: Key + 'static, V: Value + 'static> Rows for Table<'_, K, V> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.insert(K::from_bytes(key), V::from_bytes(value)).map(drop).map_err(unavailable)
    }
}

struct Of<K, V> {
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key + 'static, V: Value + 'static> Shape for Of<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fits(&self, transaction: &ReadTransaction, table: &str) -> Result<bool, StoreError> {
        match transaction.open_table(TableDefinition::<K, V>::new(table)) {
            Ok(_) => Ok(true),
            Err(TableError::TableTypeMismatch { .. } | TableError::TypeDefinitionChanged { .. }) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn read(&self, transaction: &ReadTransaction, table: &str, row: Row<'_>) -> Result<(), StoreError> {
        let table = transaction.open_table(TableDefinition::<K, V>::new(table)).map_err(unavailable)?;
        for entry in table.iter().map_err(unavailable)? {
            let (key, value) = entry.map_err(unavailable)?;
            row(K::as_bytes(&key.value()).as_ref(), V::as_bytes(&value.value()).as_ref())?;
        }
        Ok(())
    }

    fn make<'t>(&self, transaction: &'t WriteTransaction, table: &str) -> Result<Box<dyn Rows + 't>, StoreError> {
        Ok(Box::new(transaction.open_table(TableDefinition::<K, V>::new(table)).map_err(unavailable)?))
    }
}

macro_rules! shapes {
    ($($key:ty => $($value:ty),+;)+) => {
        &[$($(&Of::<$key, $value> { name: stringify!($key => $value), types: PhantomData },)+)+]
    };
}

/// The shapes that tables of a store have, or may come to have.
const SHAPES: &[&dyn Shape] = shapes! {
    &'static str => &'static [u8], &'static str, i64, u64, ();
    (&'static str, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, &'static str, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, u64) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, i64) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, i64, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, u64, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, u8, i64) => &'static [u8], ();
    (&'static str, &'static str, u64) => &'static [u8], &'static str, i64, u64, ();
    (&'static str, &'static str, i64) => &'static [u8], &'static str, i64, u64, ();
    (u64, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (i64, &'static str) => &'static [u8], &'static str, i64, u64, ();
    (u64, u64) => &'static [u8], &'static str, i64, u64, ();
    (i64, u64) => &'static [u8], &'static str, i64, u64, ();
    u64 => &'static [u8], &'static str, i64, u64, ();
    i64 => &'static [u8], &'static str, i64, u64, ();
    &'static [u8] => &'static [u8], &'static str, i64, u64, ();
};

/// The names of all tables, in order.
pub(super) fn tables(transaction: &ReadTransaction) -> Result<Vec<String>, StoreError> {
    if let Some(table) = transaction.list_multimap_tables().map_err(unavailable)?.next() {
        return Err(unknown(table.name()));
    }
    let mut names: Vec<_> = transaction.list_tables().map_err(unavailable)?.map(|t| t.name().to_owned()).collect();
    names.sort();
    Ok(names)
}

/// The shape of a table.
pub(super) fn of(transaction: &ReadTransaction, table: &str) -> Result<&'static dyn Shape, StoreError> {
    for shape in SHAPES {
        if shape.fits(transaction, table)? {
            return Ok(*shape);
        }
    }
    Err(unknown(table))
}

/// The shape of this name.
pub(super) fn named(name: &str) -> Option<&'static dyn Shape> {
    SHAPES.iter().find(|shape| shape.name() == name).copied()
}

fn unknown(table: &str) -> StoreError {
    StoreError::Corrupt(format!("the table {table} is of a kind that this program does not know"))
}
