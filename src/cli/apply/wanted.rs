//! One thing that a file names, and how it differs from what is registered.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::cli::Failure;
use crate::cli::admin::{segment, with_query};
use crate::cli::limits::put;
use crate::source_ip::Allowlist;

/// What kind of thing, in the order in which they can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Organization,
    Project,
    Api,
    Role,
    Client,
}

impl Kind {
    /// Its word in the file and in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Project => "project",
            Self::Api => "api",
            Self::Role => "role",
            Self::Client => "client",
        }
    }

    /// Where things of the kind are.
    pub(super) const fn collection(self) -> &'static str {
        match self {
            Self::Organization => "organizations",
            Self::Project => "projects",
            Self::Api => "apis",
            Self::Role => "roles",
            Self::Client => "clients",
        }
    }

    /// The member that has its name.
    const fn key(self) -> &'static str {
        match self {
            Self::Organization | Self::Project => "id",
            Self::Api => "identifier",
            Self::Role => "name",
            Self::Client => "client_id",
        }
    }

    /// Whether its name is unique within its organization alone.
    const fn is_the_organizations(self) -> bool {
        matches!(self, Self::Project | Self::Role)
    }
}

/// One thing as the file would have it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) organization: Option<String>,
    /// The file and the line.
    pub(super) at: String,
    /// What it is made with, and cannot be changed.
    fixed: Map<String, Value>,
    /// What it is to have. A dot goes into a member.
    members: Map<String, Value>,
    /// How long the first secret of a client lives.
    pub(super) secret_ttl: Option<u64>,
    /// Where that secret goes.
    pub(super) save: Option<PathBuf>,
}

/// A member that is to be another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Change {
    pub(super) member: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

impl Wanted {
    pub(super) fn new(kind: Kind, name: String, organization: Option<String>, at: String) -> Self {
        let mut fixed = Map::new();
        if let Some(organization) = &organization {
            fixed.insert("organization".to_owned(), json!(organization));
        }
        Self { kind, name, organization, at, fixed, members: Map::new(), secret_ttl: None, save: None }
    }

    pub(super) fn member(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        self.members.extend(value.map(|value| (name.to_owned(), value.into())));
        self
    }

    pub(super) fn fixed(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        self.fixed.extend(value.map(|value| (name.to_owned(), value.into())));
        self
    }

    /// Its kind and its name, for people.
    pub(super) fn label(&self) -> String {
        let kind = self.kind.as_str();
        match &self.organization {
            Some(organization) if self.kind.is_the_organizations() => format!("{kind} {organization}/{}", self.name),
            _ => format!("{kind} {}", self.name),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        let path = format!("{}/{}", self.kind.collection(), segment(&self.name));
        let organization = self.organization.clone().filter(|_| self.kind.is_the_organizations());
        with_query(&path, [("organization", organization)])
    }

    /// The names in a list that it is to have.
    pub(super) fn list(&self, member: &str) -> Option<Vec<String>> {
        self.members.get(member).map(names)
    }

    /// The body that makes it.
    pub(super) fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.fixed.clone();
        body.insert(self.kind.key().to_owned(), json!(self.name));
        for (member, value) in &self.members {
            put(&mut body, member, self.settled(member, value, &Value::Null)?);
        }
        if self.kind == Kind::Client {
            body.entry("name").or_insert_with(|| json!(self.name));
            // It is made active.
            if let Some(ttl) = self.secret_ttl {
                body.insert("secret_ttl".to_owned(), json!(ttl));
            }
        }
        Ok(body)
    }

    /// All that it is made with, but for its name.
    pub(super) fn all(&self) -> Result<Vec<Change>, Failure> {
        // Checked before anything is done, as far as it can be here.
        self.body()?;
        let change = |(member, after): (&String, Value)| Change { member: member.clone(), before: Value::Null, after };
        let fixed = self.fixed.iter().map(|(member, value)| Ok(change((member, value.clone()))));
        let members = self.members.iter();
        let members = members.map(|(member, value)| Ok(change((member, self.settled(member, value, &Value::Null)?))));
        fixed.chain(members).collect()
    }

    /// How it differs from what is there; an error where that cannot be changed.
    pub(super) fn changes(&self, there: &Value) -> Result<Vec<Change>, Failure> {
        for (member, value) in &self.fixed {
            let is = there.get(member).unwrap_or(&Value::Null);
            if is != value {
                return Err(self.error(&format!("its {member} is {is} and cannot be changed to {value}")));
            }
        }
        let mut changes = Vec::new();
        for (member, value) in &self.members {
            let before = get(there, member);
            let after = self.settled(member, value, &before)?;
            if in_order(&before) != in_order(&after) {
                changes.push(Change { member: member.clone(), before, after });
            }
        }
        Ok(changes)
    }

    /// An error at its place in the file.
    pub(super) fn error(&self, why: &str) -> Failure {
        Failure::new(format!("{}: {}: {why}", self.at, self.label()))
    }

    /// A value as the server would show it.
    fn settled(&self, member: &str, value: &Value, before: &Value) -> Result<Value, Failure> {
        Ok(match (self.kind, member) {
            (Kind::Client, "ip_allowlist") => {
                let list = Allowlist::parse_unbounded(names(value));
                json!(list.map_err(|error| self.error(&format!("ip_allowlist: {error}")))?.entries())
            }
            (Kind::Client | Kind::Role, "scopes") | (Kind::Client, "roles") => {
                let mut list = names(value);
                list.sort();
                list.dedup();
                json!(list)
            }
            (Kind::Api, "scopes") => {
                let described = |scope: &Value| {
                    let name = get(scope, "name");
                    let known = before.as_array().into_iter().flatten().find(|known| get(known, "name") == name);
                    let known = known.map(|known| get(known, "description"));
                    let description = scope.get("description").cloned().or(known).unwrap_or_else(|| json!(""));
                    json!({ "name": name, "description": description })
                };
                value.as_array().into_iter().flatten().map(described).collect()
            }
            _ => value.clone(),
        })
    }
}

/// The merge patch that makes these changes (RFC 7396).
pub(super) fn patch<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Map<String, Value> {
    let mut patch = Map::new();
    for change in changes {
        let mut value = change.after.clone();
        if let (Value::Object(after), Value::Object(before)) = (&mut value, &change.before) {
            // A label that is not named is taken away by saying so.
            for gone in before.keys().filter(|name| !change.after.as_object().is_some_and(|a| a.contains_key(*name))) {
                after.insert(gone.clone(), Value::Null);
            }
        }
        put(&mut patch, &change.member, value);
    }
    patch
}

/// A member by its name, one level down for each dot.
pub(super) fn get(object: &Value, member: &str) -> Value {
    member.split('.').try_fold(object, |object, name| object.get(name)).cloned().unwrap_or(Value::Null)
}

/// The names in a list: of strings, or of objects that have one.
pub(super) fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| item.as_str().or_else(|| item.get("name")?.as_str()).map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(name).collect()
}

/// In no list here the order says anything.
fn in_order(value: &Value) -> Value {
    let Value::Array(items) = value else { return value.clone() };
    let mut items: Vec<_> = items.iter().map(|item| (item.to_string(), item.clone())).collect();
    items.sort_by(|a, b| a.0.cmp(&b.0));
    items.dedup_by(|a, b| a.0 == b.0);
    items.into_iter().map(|(_, item)| item).collect()
}
