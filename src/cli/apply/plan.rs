//! What is to be done, before any of it is: what is there is read, and nothing changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cli::Failure;
use crate::cli::admin::Admin;
use crate::cli::output::{self, Look};
use crate::server::config::Span;
use crate::source_ip::Allowlist;

use super::wanted::{Change, Kind, Wanted, get, names};

/// What is to be done about one thing.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) wanted: Wanted,
    pub(super) action: Action,
    /// Each member that is to be another; all that are named where it is made.
    pub(super) changes: Vec<Change>,
    /// Whether that takes tokens away: its own, or those of the clients that hold the role.
    pub(super) cuts_off: bool,
    /// As it was seen last, and its entity tag.
    pub(super) there: Value,
    pub(super) tag: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Update,
    Unchanged,
}

impl Action {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Step {
    /// Whether it makes a client, and so a secret.
    pub(super) fn makes_a_client(&self) -> bool {
        self.wanted.kind == Kind::Client && self.action == Action::Create
    }
}

/// Reads what is there, and says how the wanted differs from it.
pub(super) async fn of(admin: &Admin, wanted: Vec<Wanted>) -> Result<Vec<Step>, Failure> {
    let roles: BTreeMap<_, _> = wanted
        .iter()
        .filter(|wanted| wanted.kind == Kind::Role)
        .filter_map(|wanted| Some((wanted.name.clone(), wanted.list("scopes")?)))
        .collect();
    let mut steps = Vec::new();
    for wanted in wanted {
        let found = admin.find::<Value>(&wanted.path()).await?;
        let Some(found) = found else {
            let changes = wanted.all()?;
            let (action, there) = (Action::Create, Value::Null);
            steps.push(Step { wanted, action, changes, cuts_off: false, there, tag: None });
            continue;
        };
        let changes = wanted.changes(&found.value)?;
        let cuts_off = match wanted.kind {
            Kind::Role => changes.iter().any(|change| change.member == "scopes" && takes_away(change)),
            Kind::Client => is_cut_off(admin, &changes, &found.value, &roles).await,
            Kind::Organization | Kind::Project | Kind::Api => false,
        };
        let action = if changes.is_empty() { Action::Unchanged } else { Action::Update };
        steps.push(Step { wanted, action, changes, cuts_off, there: found.value, tag: found.tag });
    }
    Ok(steps)
}

fn takes_away(change: &Change) -> bool {
    let after = names(&change.after);
    names(&change.before).iter().any(|name| !after.contains(name))
}

/// Whether the server cuts off a client's tokens at these changes.
async fn is_cut_off(admin: &Admin, changes: &[Change], there: &Value, planned: &BTreeMap<String, Vec<String>>) -> bool {
    let change = |member: &str| changes.iter().find(|change| change.member == member);
    let disabled = change("status").is_some_and(|change| change.after == "disabled");
    let narrowed = change("ip_allowlist").is_some_and(|change| {
        let read = |list: &Value| Allowlist::parse_unbounded(names(list));
        match (read(&change.before), read(&change.after)) {
            (Ok(before), Ok(after)) => !after.admits_all_of(&before),
            _ => true,
        }
    });
    if disabled || narrowed {
        return true;
    }
    if !["scopes", "roles"].into_iter().filter_map(change).any(takes_away) {
        return false;
    }
    let after = |member: &str| change(member).map_or_else(|| names(&get(there, member)), |change| names(&change.after));
    let mut left: BTreeSet<_> = after("scopes").into_iter().collect();
    let effective = get(there, "effective_scopes");
    let effective: Vec<_> = effective.as_array().into_iter().flatten().collect();
    for role in after("roles") {
        let held = format!("role:{role}");
        let from_it = effective.iter().filter(|one| names(&get(one, "from")).contains(&held));
        left.extend(from_it.filter_map(|one| one.get("scope")?.as_str()).map(str::to_owned));
        let scopes = match planned.get(&role) {
            Some(scopes) => scopes.clone(),
            None => scopes_of(admin, &role, there).await,
        };
        left.extend(scopes);
    }
    effective.iter().filter_map(|one| one.get("scope")?.as_str()).any(|scope| !left.contains(scope))
}

/// What a role grants, as far as it is to be known: rather too little than too much.
async fn scopes_of(admin: &Admin, role: &str, client: &Value) -> Vec<String> {
    let organization = get(client, "organization").as_str().map(str::to_owned);
    let wanted = Wanted::new(Kind::Role, role.to_owned(), organization, String::new());
    match admin.find::<Value>(&wanted.path()).await {
        Ok(Some(found)) => names(&get(&found.value, "scopes")),
        _ => Vec::new(),
    }
}

/// A plan, for people. `secret` says where that of a new client goes.
pub(super) fn text(steps: &[Step], file: &str, secret: impl Fn(&Step) -> String) -> String {
    let count = |action| steps.iter().filter(|step| step.action == action).count();
    let (create, update, unchanged) = (count(Action::Create), count(Action::Update), count(Action::Unchanged));
    if create + update == 0 {
        return format!("Nothing to do: all {unchanged} that {file} names are as it says.\n");
    }
    let mut text = String::new();
    for step in steps {
        let (sign, look) = match step.action {
            Action::Create => ("+", Look::Green),
            Action::Update => ("~", Look::Yellow),
            Action::Unchanged => ("=", Look::Dim),
        };
        let name = output::harmless(&step.wanted.label());
        text.push_str(&output::styled(&format!("{sign} {} {name}", step.action.as_str()), look));
        if step.cuts_off {
            let whose = match step.wanted.kind {
                Kind::Role => "cuts off the tokens of the clients that hold it",
                _ => "cuts its tokens off",
            };
            text.push_str(&format!("  {}", output::styled(whose, Look::Red)));
        }
        text.push('\n');
        for change in &step.changes {
            let shown = |value| output::harmless(&in_words(&change.member, value)).replace('\n', "?");
            let before = match step.action {
                Action::Create => String::new(),
                _ => format!("{} → ", shown(&change.before)),
            };
            text.push_str(&format!("    {}: {before}{}\n", change.member, shown(&change.after)));
        }
        if step.makes_a_client() {
            text.push_str(&format!("    secret: {}\n", output::harmless(&secret(step))));
        }
    }
    text.push_str(&format!("\n{create} to create, {update} to update, {unchanged} unchanged.\n"));
    text
}

/// A value as it is written in a file, without the quotes.
fn in_words(member: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(seconds) if member.ends_with("ttl") || member.ends_with("before") => {
            seconds.as_u64().map_or_else(|| seconds.to_string(), |seconds| Span::from_secs(seconds).to_string())
        }
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(item).collect::<Vec<_>>().join(" "),
        Value::Object(members) if members.is_empty() => "none".to_owned(),
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| format!("{name}={}", in_words("", value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// An item of a list: a name, with its description if it has one.
fn item(item: &Value) -> String {
    match (get(item, "name").as_str(), get(item, "description").as_str()) {
        (Some(name), Some(description)) if !description.is_empty() => format!("{name} ({description})"),
        (Some(name), _) => name.to_owned(),
        (None, _) => in_words("", item),
    }
}
