//! The way to a running server: its REST API, over the admin socket of this machine, or over its public listener with a
//! client's token.

mod refusal;
mod way;

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Failure, Global};

use way::{Answer, Ask, Way};

/// RFC 3986 §2.3: what needs no encoding in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How often a change is made anew from what somebody else has made of its object meanwhile.
const MAX_TRIES: usize = 8;

/// The longest that a download takes.
const DOWNLOAD: Duration = Duration::from_secs(24 * 3600);

/// A running server.
#[derive(Debug)]
pub(super) struct Admin {
    way: Way,
}

/// Something as it was read, and what a change of it can insist on.
#[derive(Debug)]
pub(super) struct Read<T> {
    /// It.
    pub(super) value: T,
    /// Its entity tag.
    pub(super) tag: Option<String>,
}

/// A segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A path with a query of those parameters that have a value.
pub(super) fn with_query<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let given: BTreeMap<_, _> = given.collect();
    let mut path = path.to_owned();
    for (name, value) in given {
        let joint = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{joint}{name}={}", segment(&value)));
    }
    path
}

impl Admin {
    /// The server that the arguments name: by its issuer, with a client's credentials, or else by its socket.
    pub(super) fn connect(global: &Global) -> Result<Self, Failure> {
        Ok(Self { way: Way::of(global)? })
    }

    /// The server whose socket the arguments or the configuration name, for what goes over nothing else.
    pub(super) fn local(global: &Global) -> Result<Self, Failure> {
        Ok(Self { way: Way::local(global)? })
    }

    /// Whether the arguments or the environment name an issuer, rather than a socket.
    pub(super) fn is_remote(global: &Global) -> bool {
        Way::is_remote(global)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(self.read(path).await?.value)
    }

    /// Something, with its entity tag.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Read<T>, Failure> {
        self.taken(self.answer(Ask::new(Method::GET, path)).await?)
    }

    /// The same; none where there is no such thing, or none within reach.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Read<T>>, Failure> {
        let answer = self.answer(Ask::new(Method::GET, path)).await?;
        if answer.status == 404 && refusal::reason(&answer.body).as_deref() == Some("not_found") {
            return Ok(None);
        }
        self.taken(answer).map(Some)
    }

    /// Carried out once, although it is sent again where the connection breaks.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        Ok(self.make(path, body).await?.value)
    }

    /// The same, with the entity tag of what is there now.
    pub(super) async fn make<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Read<T>, Failure> {
        let ask = Ask::new(Method::POST, path).body(body)?.once()?;
        self.taken(self.answer(ask).await?)
    }

    /// What takes its time, and is not sent again.
    pub(super) async fn post_many<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let ask = Ask::new(Method::POST, path).body(body)?.patient();
        Ok(self.taken(self.answer(ask).await?)?.value)
    }

    /// What takes a walk through everything.
    pub(super) async fn post_at_length<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.post_many(path, body).await
    }

    /// An answer that is read as it comes.
    pub(super) async fn stream(&self, path: &str) -> Result<reqwest::Response, Failure> {
        self.open(path, way::LONG).await
    }

    /// An answer of any length, to be read piece by piece. Whether it still moves is for its reader to watch.
    pub(super) async fn download(&self, path: &str) -> Result<reqwest::Response, Failure> {
        self.open(path, DOWNLOAD).await
    }

    async fn open(&self, path: &str, within: Duration) -> Result<reqwest::Response, Failure> {
        match self.way.open(path, within).await? {
            Ok(response) => Ok(response),
            Err(answer) => Err(refusal::failure(&answer, &self.way)),
        }
    }

    /// Whether a server answers; where one might and does not let us in, that is an error.
    pub(super) async fn is_running(&self) -> Result<bool, Failure> {
        self.way.is_running().await
    }

    /// A change that needs no look at what is there.
    pub(super) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let ask = Ask::new(Method::PATCH, path).body(body)?;
        Ok(self.taken(self.answer(ask).await?)?.value)
    }

    /// A change of what is still as it was when it had this tag; none where it is not.
    pub(super) async fn patch_from<T: DeserializeOwned>(
        &self,
        path: &str,
        tag: Option<&str>,
        body: &impl Serialize,
    ) -> Result<Option<Read<T>>, Failure> {
        let ask = Ask::new(Method::PATCH, path).body(body)?.from(tag);
        let answer = self.answer(ask).await?;
        if answer.status == 412 { Ok(None) } else { self.taken(answer).map(Some) }
    }

    /// Reads, changes what was read as `patch` says, and does both anew where somebody else was faster: no change of
    /// either is lost. Gives what it was before, and what it is now.
    pub(super) async fn change<T: DeserializeOwned, P: Serialize>(
        &self,
        path: &str,
        query: &str,
        mut patch: impl FnMut(&T) -> Result<P, Failure>,
    ) -> Result<(T, T), Failure> {
        let changed = with_flags(path, query);
        for _ in 0..MAX_TRIES {
            let before: Read<T> = self.read(path).await?;
            let body = patch(&before.value)?;
            if let Some(after) = self.patch_from(&changed, before.tag.as_deref(), &body).await? {
                return Ok((before.value, after.value));
            }
        }
        Err(Failure::new("others are changing it all the time, so nothing was changed; try again"))
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(self.taken(self.answer(Ask::new(Method::DELETE, path)).await?)?.value)
    }

    /// Deletes what is still as it was when it had this tag; false where it is not.
    pub(super) async fn delete_from(&self, path: &str, tag: Option<&str>) -> Result<bool, Failure> {
        let answer = self.answer(Ask::new(Method::DELETE, path).from(tag)).await?;
        if answer.status == 412 {
            return Ok(false);
        }
        self.taken::<()>(answer).map(|_| true)
    }

    /// All items of a list, page by page. The path may have a query.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let page = with_query(path, [("limit", Some("1000".to_owned())), ("cursor", cursor)]);
            let page: crate::api::Page<T> = self.get(&page).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    async fn answer(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        self.way.answer(&ask).await
    }

    fn taken<T: DeserializeOwned>(&self, answer: Answer) -> Result<Read<T>, Failure> {
        if !(200..300).contains(&answer.status) {
            return Err(refusal::failure(&answer, &self.way));
        }
        let empty = Zeroizing::new(b"null".to_vec());
        let body = if answer.body.is_empty() { &empty } else { &answer.body };
        let value = serde_json::from_slice(body).map_err(|_| {
            Failure::new("the server's answer is not what this command expects; are both of one version?")
        })?;
        Ok(Read { value, tag: answer.tag })
    }
}

/// `query` may be empty, and begins with no joint.
fn with_flags(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        _ if path.contains('?') => format!("{path}&{query}"),
        _ => format!("{path}?{query}"),
    }
}
