//! Cursors of lists: sealed, so that they tell nobody what stands behind the page, and that a made-up one is refused
//! rather than guessed at.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api;
use crate::crypto::{NotSealed, SealingKey};
use crate::server::error::Error;

/// How many items a page has, unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most items that a page has.
const MAX_LIMIT: usize = 1000;

/// What the parts of a key are joined with. It comes before all that they can be made of, so that the keys are in the
/// order of their parts.
pub(super) const JOINT: &str = "\u{1}";

/// Which page of a list is wanted.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct PageRequest {
    /// How many items at most.
    pub limit: Option<usize>,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// What cursors are sealed with.
#[derive(Debug)]
pub(super) struct CursorKey(SealingKey);

impl CursorKey {
    pub(super) fn new(secret: &[u8]) -> Result<Self, NotSealed> {
        SealingKey::derive(secret, "cursors").map(Self)
    }

    /// The cursor behind the item called `last` of `list`.
    pub(super) fn seal(&self, list: &str, last: &str) -> String {
        match self.0.seal(list.as_bytes(), last.as_bytes()) {
            Ok(sealed) => URL_SAFE_NO_PAD.encode(sealed),
            // One that is refused, and not one to begin again with.
            Err(NotSealed) => "-".to_owned(),
        }
    }

    fn open(&self, list: &str, cursor: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        String::from_utf8(self.0.open(list.as_bytes(), &sealed).ok()?).ok()
    }

    /// Where a page of `list` begins (behind which item), and how many items it has at most.
    pub(super) fn start(&self, list: &str, page: &PageRequest) -> Result<(Option<String>, usize), Error> {
        let limit = page.limit.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 || limit > MAX_LIMIT {
            return Err(Error::field("limit", format!("it has to be between 1 and {MAX_LIMIT}")));
        }
        let after = match page.cursor.as_deref() {
            None | Some("") => None,
            Some(cursor) => Some(self.open(list, cursor).ok_or_else(|| {
                Error::field("cursor", "it is not a next_cursor of this list; begin again without one")
            })?),
        };
        Ok((after, limit))
    }

    /// A page of what is at hand, in the order in which it comes: `key` names an item among the others.
    pub(super) fn page<'a, T: 'a, S>(
        &self,
        list: &str,
        page: &PageRequest,
        items: impl Iterator<Item = &'a T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> S,
    ) -> Result<api::Page<S>, Error> {
        let (after, limit) = self.start(list, page)?;
        let mut behind = items.filter(|item| after.as_deref().is_none_or(|after| key(item).as_str() > after));
        let taken: Vec<_> = behind.by_ref().take(limit).collect();
        let next_cursor = behind.next().and_then(|_| Some(self.seal(list, &key(taken.last()?))));
        Ok(api::Page { items: taken.into_iter().map(show).collect(), next_cursor })
    }
}
