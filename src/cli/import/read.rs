//! What the readers of all systems have in common.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use crate::cli::bulk::Item;

/// A client of the export.
pub(super) struct Found {
    /// Its id, as far as it has one.
    pub(super) name: String,
    /// What is to become of it.
    pub(super) what: What,
}

/// What is to become of a client of the export.
pub(super) enum What {
    /// It is imported, if all goes well.
    Wanted(Wanted),
    /// It is none that could be, and nobody expects it.
    Skipped(String),
    /// It should be, and cannot.
    Refused(String),
}

/// A client that is to be imported.
#[derive(Default)]
pub(super) struct Wanted {
    /// What the server is to be told, but for the scopes.
    pub(super) item: Item,
    /// Its scopes, and for each the audience that it goes with, where the export says so.
    pub(super) scopes: BTreeMap<String, Option<String>>,
    /// The audiences that it may have tokens for.
    pub(super) audiences: Vec<String>,
    /// In what form its secret is there.
    pub(super) secret: &'static str,
    /// What is left out, and why.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), what: What::Skipped(why.into()) }
    }

    pub(super) fn refused(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), what: What::Refused(why.into()) }
    }
}

impl Wanted {
    pub(super) fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.item.insert(member.to_owned(), value.into());
    }

    /// Puts in a secret, or the hash of one, whichever it is.
    pub(super) fn set_secret(&mut self, secret: &str) {
        let schemes = [("$2", "bcrypt"), ("$pbkdf2-", "pbkdf2"), ("$argon2", "argon2id")];
        let scheme = schemes.into_iter().find(|(start, _)| secret.starts_with(start));
        self.secret = scheme.map_or("in the clear", |(_, scheme)| scheme);
        self.set(if scheme.is_some() { "client_secret_hash" } else { "client_secret" }, secret);
    }
}

/// The JSON documents that a file is made of: one, or one a line.
pub(super) fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(bytes).into_iter().collect();
    // serde_json's words for broken syntax repeat nothing that stands there.
    let documents = documents.map_err(|error| format!("it is not JSON: {error}"))?;
    if documents.is_empty() { Err("there is nothing in it".to_owned()) } else { Ok(documents) }
}

/// The objects that the documents hold: as they stand, in lists, or in lists called `names`.
pub(super) fn objects(documents: Vec<Value>, names: &[&str]) -> Result<Vec<Map<String, Value>>, String> {
    let mut objects = Vec::new();
    for document in documents {
        let list = match document {
            Value::Array(list) => list,
            Value::Object(mut object) => match names.iter().find_map(|name| object.remove(*name)) {
                Some(Value::Array(list)) => list,
                Some(_) => return Err(format!("{} has to be a list", names.join(" or "))),
                None => vec![Value::Object(object)],
            },
            _ => return Err("it holds something else than clients".to_owned()),
        };
        for one in list {
            let Value::Object(one) = one else { return Err("it holds something else than clients".to_owned()) };
            objects.push(one);
        }
    }
    Ok(objects)
}

/// A text that is there and not empty.
pub(super) fn text<'a>(object: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The texts of a list.
pub(super) fn texts(list: Option<&Value>) -> Vec<String> {
    let texts = list.and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Whether it can be the identifier of an API.
pub(super) fn is_uri(text: &str) -> bool {
    !text.contains('#') && text.bytes().all(|b| b.is_ascii_graphic()) && Url::parse(text).is_ok()
}
