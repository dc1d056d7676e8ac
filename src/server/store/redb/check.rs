//! Looking a file over without touching it.
//!
//! redb mends what it finds broken, by going back to an older state. For a service that would be to forget changes it
//! has acknowledged; so the file is first opened behind a layer that keeps all writes in memory, and a file that is not
//! whole is refused as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use redb::{Database, DatabaseError, StorageBackend};

const PAGE: u64 = 4096;

/// A file that is read, and over it what was written since, in memory.
#[derive(Debug)]
struct Overlay {
    file: File,
    file_len: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// Up to where the file still shows through: it may have been cut off and grown again.
    shows: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn new(file: File) -> io::Result<Self> {
        let file_len = file.metadata()?.len();
        Ok(Self { file, file_len, state: Mutex::new(State { len: file_len, shows: file_len, pages: BTreeMap::new() }) })
    }

    fn state(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| io::Error::other("poisoned"))
    }

    /// The page of this number, as it is now.
    fn page(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE as usize];
        let start = number * PAGE;
        let shown = state.shows.min(self.file_len).saturating_sub(start).min(PAGE) as usize;
        if let Some(part) = page.get_mut(..shown) {
            self.file.read_exact_at(part, start)?;
        }
        Ok(page)
    }
}

/// The pages that `length` bytes at `offset` lie on, and what of each: page number, start within it, how much.
fn spans(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (page, within) = (at / PAGE, at % PAGE);
        let take = (PAGE - within).min(end - at);
        at += take;
        Some((page, within as usize, take as usize))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, take) in spans(offset, rest.len()) {
            let page = self.page(&state, number)?;
            let (part, after) = rest.split_at_mut(take);
            part.copy_from_slice(page.get(within..within + take).ok_or(io::ErrorKind::UnexpectedEof)?);
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.shows = state.shows.min(len);
        state.len = len;
        let kept = len.div_ceil(PAGE);
        state.pages.retain(|number, _| *number < kept);
        if let Some(last) = state.pages.get_mut(&(len / PAGE)) {
            last.iter_mut().skip((len % PAGE) as usize).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let mut rest = data;
        for (number, within, take) in spans(offset, data.len()) {
            let mut page = self.page(&state, number)?;
            let (part, after) = rest.split_at(take);
            page.get_mut(within..within + take).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(part);
            state.pages.insert(number, page);
            rest = after;
        }
        Ok(())
    }
}

/// Walks the whole of `file`, checking every page against its checksum, and then takes out of it what `read` does. None
/// where it is not whole.
pub(super) fn look_over<T>(file: File, read: impl FnOnce(&Database) -> T) -> Result<Option<T>, DatabaseError> {
    let overlay = Overlay::new(file).map_err(|error| DatabaseError::Storage(error.into()))?;
    let mut database = Database::builder().create_with_backend(overlay)?;
    Ok(if database.check_integrity()? { Some(read(&database)) } else { None })
}

/// Where redb's header has its flags, and the one that asks for a repair.
const FLAGS: u64 = 9;
const NEEDS_REPAIR: u8 = 2;

/// Opens `file` as it is, damaged or not: nothing is checked, repaired or written. After a crash as well: every commit
/// is whole before it counts, so that the newest state is a state without any repair.
pub(super) fn open_as_it_is(file: File) -> Result<Database, DatabaseError> {
    let storage = |error: io::Error| DatabaseError::Storage(error.into());
    let overlay = Overlay::new(file).map_err(storage)?;
    let mut flags = [0];
    overlay.read(FLAGS, &mut flags).map_err(storage)?;
    overlay.write(FLAGS, &flags.map(|flags| flags & !NEEDS_REPAIR)).map_err(storage)?;
    Database::builder().create_with_backend(overlay)
}
