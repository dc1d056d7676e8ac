//! Doing what was planned, in the order in which it can be done.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::Client;
use crate::cli::Failure;
use crate::cli::admin::{Admin, Read};
use crate::cli::client::create::made;
use crate::cli::save::Saving;

use super::plan::{Action, Step};
use super::wanted::{Change, Kind, get, names, patch};

/// How often a change is sent again although what it does not touch was changed meanwhile.
const MAX_TRIES: usize = 8;

/// What became of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Created,
    Updated,
    Unchanged,
    Failed,
    #[default]
    NotDone,
}

/// What became of a step, and of the secret that it made.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) saved: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) error: Option<String>,
}

/// Where the secret of a new client goes.
#[derive(Debug)]
pub(super) enum Place {
    File(Saving<Client>, String),
    Screen,
}

/// Does all of it, or stops at what fails. `places` has where the secrets of new clients go, by the index of the step.
pub(super) async fn all(admin: &Admin, steps: &mut [Step], mut places: Vec<Option<Place>>) -> Vec<Done> {
    let begins = |step: &Step| match step.action {
        Action::Unchanged => Outcome::Unchanged,
        Action::Create | Action::Update => Outcome::NotDone,
    };
    let mut done: Vec<_> = steps.iter().map(|step| Done { outcome: begins(step), ..Done::default() }).collect();
    let made: BTreeSet<_> =
        steps.iter().filter(|step| step.makes_a_client()).map(|step| step.wanted.name.clone()).collect();
    let mut later: Vec<Vec<Change>> = Vec::new();
    for ((step, done), place) in steps.iter_mut().zip(&mut done).zip(&mut places) {
        let (outcome, rest) = match one(admin, step, &made, place.take(), done).await {
            Ok(rest) => (ended(step), rest),
            Err(failure) => {
                failed(done, step, &failure);
                break;
            }
        };
        done.outcome = outcome;
        later.push(rest);
    }
    if done.iter().any(|done| done.outcome == Outcome::Failed) {
        // What an API was to get or to lose last is not done, either.
        for ((done, rest), step) in
            done.iter_mut().zip(&later).zip(steps.iter()).filter(|((_, rest), _)| !rest.is_empty())
        {
            done.outcome = Outcome::Failed;
            done.error = Some(format!("{} is not done yet", members(rest, step)));
        }
        return done;
    }
    // What had to wait for the clients.
    for ((step, done), rest) in steps.iter_mut().zip(&mut done).zip(&later) {
        if rest.is_empty() {
            continue;
        }
        if let Err(failure) = change(admin, step, rest).await {
            failed(done, step, &failure);
        }
    }
    done
}

fn members(changes: &[Change], step: &Step) -> String {
    let names: Vec<_> = changes.iter().map(|change| change.member.as_str()).collect();
    format!("{} of {}", names.join(" and "), step.wanted.label())
}

fn failed(done: &mut Done, step: &Step, failure: &Failure) {
    done.outcome = Outcome::Failed;
    done.error = Some(step.wanted.error(&failure.to_string()).to_string());
}

const fn ended(step: &Step) -> Outcome {
    match step.action {
        Action::Create => Outcome::Created,
        Action::Update => Outcome::Updated,
        Action::Unchanged => Outcome::Unchanged,
    }
}

/// Does one step, and gives what of it has to wait until the clients are there, or have let go.
async fn one(
    admin: &Admin,
    step: &mut Step,
    made: &BTreeSet<String>,
    place: Option<Place>,
    done: &mut Done,
) -> Result<Vec<Change>, Failure> {
    match step.action {
        Action::Unchanged => Ok(Vec::new()),
        Action::Create if step.makes_a_client() => make_client(admin, step, place, done).await.map(|()| Vec::new()),
        Action::Create => {
            let mut body = step.wanted.body()?;
            let later = introspectors_later(&mut body, made);
            let Read { value, tag } = admin.make(step.wanted.kind.collection(), &body).await?;
            (step.there, step.tag) = (value, tag);
            Ok(later.into_iter().collect())
        }
        Action::Update => {
            let (now, later) = in_turn(step.wanted.kind, &step.changes, made);
            change(admin, step, &now).await?;
            Ok(later)
        }
    }
}

/// Of an API that is made: clients that are made after it.
fn introspectors_later(body: &mut Map<String, Value>, made: &BTreeSet<String>) -> Option<Change> {
    let after = body.get("introspectors")?.clone();
    if !names(&after).iter().any(|id| made.contains(id)) {
        return None;
    }
    body.remove("introspectors");
    Some(Change { member: "introspectors".to_owned(), before: json!([]), after })
}

/// What can be done now, and what has to wait: an API names clients that are made after it, and loses scopes that clients
/// have to lose first.
fn in_turn(kind: Kind, changes: &[Change], made: &BTreeSet<String>) -> (Vec<Change>, Vec<Change>) {
    if kind != Kind::Api {
        return (changes.to_vec(), Vec::new());
    }
    let (mut now, mut later) = (Vec::new(), Vec::new());
    for change in changes {
        match change.member.as_str() {
            "introspectors" if names(&change.after).iter().any(|id| made.contains(id)) => later.push(change.clone()),
            "scopes" => {
                let after = names(&change.after);
                let goes =
                    |scope: &&Value| get(scope, "name").as_str().is_some_and(|name| !after.iter().any(|n| n == name));
                let gone: Vec<_> = change.before.as_array().into_iter().flatten().filter(goes).cloned().collect();
                if gone.is_empty() {
                    now.push(change.clone());
                    continue;
                }
                let both = change.after.as_array().into_iter().flatten().cloned().chain(gone).collect();
                later.push(Change { before: both, ..change.clone() });
                now.push(Change {
                    after: later.last().map(|l| l.before.clone()).unwrap_or_default(),
                    ..change.clone()
                });
            }
            _ => now.push(change.clone()),
        }
    }
    (now, later)
}

/// Makes these changes of what is as it was seen. Where somebody else has changed it meanwhile, but none of these
/// members, they are made of what it is now: neither change is lost.
async fn change(admin: &Admin, step: &mut Step, changes: &[Change]) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let path = step.wanted.path();
    for _ in 0..MAX_TRIES {
        if let Some(after) = admin.patch_from::<Value>(&path, step.tag.as_deref(), &patch(changes)).await? {
            (step.there, step.tag) = (after.value, after.tag);
            return Ok(());
        }
        let now: Read<Value> = admin.read(&path).await?;
        if let Some(other) =
            changes.iter().find(|change| get(&now.value, &change.member) != get(&step.there, &change.member))
        {
            return Err(Failure::new(format!(
                "its {} was changed by somebody else meanwhile, and is left as it is; run this again to see what is left to do",
                other.member
            )));
        }
        step.tag = now.tag;
    }
    Err(Failure::new("others are changing it all the time; try again"))
}

async fn make_client(admin: &Admin, step: &Step, place: Option<Place>, done: &mut Done) -> Result<(), Failure> {
    let mut client: Client = made(admin, &step.wanted.body()?).await?;
    match place {
        Some(Place::File(saving, path)) => match saving.finish(&client) {
            Ok(()) => {
                done.saved = Some(path);
                Ok(())
            }
            // It is made and cannot be had again: better on the screen than nowhere.
            Err(error) => {
                done.client_secret = client.client_secret.take();
                Err(Failure::new(format!("{path} could not be written, so the client_secret is shown: {error}")))
            }
        },
        Some(Place::Screen) | None => {
            done.client_secret = client.client_secret.take();
            Ok(())
        }
    }
}
