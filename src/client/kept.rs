//! A token that is renewed whether somebody asks or not.

use std::ops::Deref;
use std::sync::Arc;

use super::entry::Entry;

/// An entry that is so for as long as this lives: the entry itself may live on, in a cache that others use as well.
#[derive(Debug)]
pub(super) struct Kept(Arc<Entry>);

impl Kept {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        entry.keep();
        Self(entry)
    }
}

impl Deref for Kept {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
