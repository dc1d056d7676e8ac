//! What a server's refusal means to whoever typed the command, and what they can do.

use serde::Deserialize;

use crate::cli::Failure;
use crate::client;

use super::way::{Answer, Way};

#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    detail: String,
}

/// The stable word of a refusal.
pub(super) fn reason(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Problem>(body).ok().map(|problem| problem.reason)
}

/// A refusal as a failure of the command.
pub(super) fn failure(answer: &Answer, way: &Way) -> Failure {
    let status = answer.status;
    let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
        return Failure::new(match way {
            Way::Socket { .. } => format!("the server refused with status {status}"),
            Way::Issuer { issuer, .. } => format!(
                "{issuer} answered {status}, and not as Mintage does: is something else there, or between here and it?"
            ),
        });
    };
    let mut why = if problem.errors.is_empty() {
        problem.detail.clone()
    } else {
        let each = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.detail));
        each.collect::<Vec<_>>().join("\n       ")
    };
    let Way::Issuer { client_id, .. } = way else { return Failure::new(why) };
    if let Some(id) = &problem.request_id {
        why.push_str(&format!(" [request_id {id}]"));
    }
    if let Some(what) = to_do(&problem, client_id) {
        why.push_str(&format!("\n       What to do: {what}"));
    }
    Failure::new(why)
}

/// What helps a client that is refused.
fn to_do(problem: &Problem, client_id: &str) -> Option<String> {
    Some(match (problem.reason.as_str(), &problem.scope) {
        ("insufficient_scope", Some(scope)) if is_of_the_instance(scope) => format!(
            "{scope} is granted over the admin socket alone: where the server runs, \
             mintage client update {client_id} --add-scope {scope}"
        ),
        ("insufficient_scope", Some(scope)) => format!(
            "whoever holds {scope} can grant it: mintage client update {client_id} --add-scope {scope}, or a role \
             that has it, with --add-role"
        ),
        ("beyond_caller", _) => format!(
            "{client_id} can do this when it holds that, as by a role; else somebody who does, or who can open the \
             admin socket"
        ),
        ("not_found", _) => {
            format!("look at the name; what is outside the reach of {client_id} is not there for it, either")
        }
        _ => return None,
    })
}

/// Keys and organizations belong to the instance.
fn is_of_the_instance(scope: &str) -> bool {
    scope.starts_with("mintage:keys:") || scope == "mintage:organizations:write"
}

/// What to do about a client that gets no token.
pub(super) fn no_token(error: client::Error, client_id: &str) -> Failure {
    let unknown = matches!(&error, client::Error::Refused { error, .. } if error == "invalid_client");
    let failure = Failure::from(error);
    if !unknown {
        return failure;
    }
    let why = format!(
        "{failure}\n       What to do: either there is no client {client_id}, or it is disabled, or its secret is wrong or \
         has ended; `mintage explain` says which, where the server runs"
    );
    Failure { why, ..failure }
}
