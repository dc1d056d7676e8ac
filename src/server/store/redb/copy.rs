//! A store as a stream, and a file made of one: what a backup is on its way through a socket.
//!
//! All tables of one read transaction, row by row, so that neither the writer nor other readers wait, and nothing is
//! put on the disk of the server. The end of the stream says how many tables and rows there were: half of one is never
//! taken for the whole.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use redb::{ReadTransaction, WriteTransaction};

use crate::server::store::StoreError;

use super::shapes::{self, Rows};
use super::{answering_panics, builder, unavailable};

/// What every stream begins with.
const MAGIC: &[u8; 24] = b"mintage store, stream 1\n";
/// The end: how many tables and rows there were.
const END: u8 = 0;
/// A table: its shape and its name.
const TABLE: u8 = 1;
/// A row: its key and its value.
const ROW: u8 = 2;
/// How much is handed on at once.
const PIECE: usize = 64 * 1024;

/// What takes the stream in, piece by piece.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Vec<u8>) -> Result<(), StoreError>;

/// A stream on its way out.
struct Out<'s> {
    waiting: Vec<u8>,
    tables: u64,
    rows: u64,
    sink: Sink<'s>,
}

impl Out<'_> {
    fn record(&mut self, tag: u8, fields: [&[u8]; 2]) -> Result<(), StoreError> {
        self.waiting.push(tag);
        for field in fields {
            let length = u32::try_from(field.len());
            let length = length.map_err(|_| StoreError::Corrupt("a record is too long".to_owned()))?;
            self.waiting.extend_from_slice(&length.to_le_bytes());
            self.waiting.extend_from_slice(field);
        }
        if self.waiting.len() < PIECE {
            return Ok(());
        }
        (self.sink)(std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE)))
    }
}

/// Writes all that `transaction` sees.
pub(super) fn write(transaction: &ReadTransaction, sink: Sink<'_>) -> Result<(), StoreError> {
    let mut out = Out { waiting: MAGIC.to_vec(), tables: 0, rows: 0, sink };
    for table in shapes::tables(transaction)? {
        let shape = shapes::of(transaction, &table)?;
        out.tables += 1;
        out.record(TABLE, [shape.name().as_bytes(), table.as_bytes()])?;
        shape.read(transaction, &table, &mut |key, value| {
            out.rows += 1;
            out.record(ROW, [key, value])
        })?;
    }
    let Out { mut waiting, tables, rows, sink } = out;
    waiting.push(END);
    waiting.extend_from_slice(&tables.to_le_bytes());
    waiting.extend_from_slice(&rows.to_le_bytes());
    sink(waiting)
}

/// Makes a store in `file`, which is empty and open for both, of what [`write`] has written, and brings it to disk.
///
/// # Errors
/// The reader's and the disk's; [`ErrorKind::UnexpectedEof`] where the stream breaks off, [`ErrorKind::InvalidData`] where
/// it is none.
pub fn build(file: File, stream: &mut dyn Read) -> io::Result<()> {
    answering_panics(|| {
        let database = builder().create_file(file).map_err(io::Error::other)?;
        let mut transaction = database.begin_write().map_err(io::Error::other)?;
        transaction.set_quick_repair(true);
        fill(&transaction, stream)?;
        transaction.commit().map_err(|error| match error {
            redb::CommitError::Storage(redb::StorageError::Io(error)) => error,
            other => io::Error::other(other),
        })
    })
    .unwrap_or_else(|| Err(invalid("it holds what no store does")))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("this is not a store on its way: {why}"))
}

fn fill(transaction: &WriteTransaction, stream: &mut dyn Read) -> io::Result<()> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(invalid("it begins as something else"));
    }
    let (mut tables, mut rows): (u64, u64) = (0, 0);
    let mut table: Option<Box<dyn Rows + '_>> = None;
    loop {
        let [tag] = bytes(stream)?;
        match (tag, &mut table) {
            (TABLE, _) => {
                let (shape, name) = (field(stream)?, field(stream)?);
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| invalid("a name is no text"));
                let (shape, name) = (text(shape)?, text(name)?);
                let shape = shapes::named(&shape).ok_or_else(|| {
                    invalid(&format!("the table {name} is of a kind that this program does not know"))
                })?;
                // The one before has to be closed first.
                drop(table.take());
                table = Some(shape.make(transaction, &name).map_err(io_error)?);
                tables += 1;
            }
            (ROW, Some(table)) => {
                let (key, value) = (field(stream)?, field(stream)?);
                table.put(&key, &value).map_err(io_error)?;
                rows += 1;
            }
            (END, _) => break,
            _ => return Err(invalid("a record of it is of no kind")),
        }
    }
    if (u64::from_le_bytes(bytes(stream)?), u64::from_le_bytes(bytes(stream)?)) != (tables, rows) {
        return Err(invalid("its end tells of more or less than there was"));
    }
    // What follows the end belongs to nothing.
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(invalid("it goes on behind its end")),
    }
}

fn io_error(error: StoreError) -> io::Error {
    io::Error::other(error)
}

fn bytes<const N: usize>(stream: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn field(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(bytes(stream)?);
    let mut field = Vec::new();
    // As much as there is, whatever the length says.
    stream.take(u64::from(length)).read_to_end(&mut field)?;
    if field.len() == length as usize { Ok(field) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Begins to read what is there now.
pub(super) fn snapshot(database: &redb::Database) -> Result<ReadTransaction, StoreError> {
    use redb::ReadableDatabase;
    database.begin_read().map_err(unavailable)
}
