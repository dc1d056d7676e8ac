//! Limits as they are written on the command line and in a file: `token.per_minute=100`.

use serde_json::{Map, Value, json};

use crate::api::{Limits, LimitsPatch};

use super::{Failure, output};

/// One limit: where it is, and what it is to be; nothing where it is to be as what is above it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    path: String,
    value: Option<u32>,
}

const CLASSES: [&str; 3] = ["token", "routes.read", "routes.write"];
const MEMBERS: [&str; 4] = ["per_minute", "burst", "per_day", "concurrent"];

/// Whether there is such a limit.
fn is_known(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(class, member)| CLASSES.contains(&class) && MEMBERS.contains(&member))
}

/// Reads `token.per_minute=100`, or `token.per_minute=none`.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let (path, value) = text.split_once('=').ok_or("it has to be NAME=NUMBER, such as token.per_minute=100")?;
    if !is_known(path) {
        return Err(format!(
            "there is no limit {path}; a name is one of {}, a dot, and one of {}",
            CLASSES.join(" "),
            MEMBERS.join(" ")
        ));
    }
    let value = match value {
        "none" => None,
        number => Some(number.parse().map_err(|_| format!("{number} is neither a whole number nor none"))?),
    };
    Ok(Limit { path: path.to_owned(), value })
}

/// Puts `value` at the path in nested objects.
pub(super) fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(object.insert(path.to_owned(), value)),
        Some((outer, inner)) => {
            if let Value::Object(nested) = object.entry(outer).or_insert_with(|| json!({})) {
                put(nested, inner, value);
            }
        }
    }
}

fn object(limits: &[Limit]) -> Value {
    let mut object = Map::new();
    for limit in limits {
        put(&mut object, &limit.path, json!(limit.value));
    }
    Value::Object(object)
}

/// The limits of something that is made.
pub(super) fn made(limits: &[Limit]) -> Result<Limits, Failure> {
    serde_json::from_value(object(limits)).map_err(Failure::new)
}

/// The change that they are; none where nothing is named.
pub(super) fn patch(limits: &[Limit]) -> Result<Option<Option<LimitsPatch>>, Failure> {
    if limits.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(object(limits)).map(Some).map_err(Failure::new)
}

/// As people see them; a dash where all is as what is above them has it.
pub(super) fn shown(limits: &Limits) -> String {
    let mut all = Vec::new();
    for (class, rate) in limits.rates() {
        let members = [rate.per_minute, rate.burst, rate.per_day, rate.concurrent];
        for (member, value) in MEMBERS.iter().zip(members) {
            all.extend(value.map(|value| format!("{class}.{member}={value}")));
        }
    }
    output::or_dash(all.join(" "))
}

impl Limit {
    /// Its path below `limits`, and what it is to be in JSON.
    pub(super) fn member(&self) -> (String, Value) {
        (self.path.clone(), json!(self.value))
    }
}
