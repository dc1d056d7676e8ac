//! `mintage explain` and `mintage token explain`: why something was, or would be, refused.

use std::io::Read;
use std::process::ExitCode;

use serde::Deserialize;

use crate::api::{ExplainToken, Refusal};
use crate::clock::{Rfc3339, UnixTime};
use crate::secret::Environment;

use super::admin::{Admin, segment};
use super::{Failure, Global, client, output};

/// What is said of a token, as the server answers it.
#[derive(Debug, Deserialize, serde::Serialize)]
struct Explanation {
    let_through: bool,
    status: u16,
    reason: Option<String>,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize, serde::Serialize)]
struct Check {
    check: String,
    outcome: String,
    detail: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Token {
    /// The token; - reads it from stdin, which keeps it out of the shell's history
    token: String,
    /// A scope that the route needs; as often as there are scopes
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The audience that the route takes; that of the scopes' API unless set, any if there are no scopes
    #[arg(long, value_name = "URI")]
    audience: Option<String>,
    /// The environment that the route takes: live or test
    #[arg(long, value_name = "ENVIRONMENT", value_parser = client::environment)]
    env: Option<Environment>,
    /// The address that the request comes from
    #[arg(long, value_name = "IP")]
    from: Option<String>,
    /// When: 2026-11-21T06:17:00Z, or Unix seconds; now unless set
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Rfc3339>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// The request_id of a refusal, from its body or its headers
    request_id: String,
}

fn moment(text: &str) -> Result<Rfc3339, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Rfc3339(UnixTime::from_seconds(seconds)));
    }
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// What a guarded route would decide; the exit code is 0 only if it lets the token through.
pub(super) async fn token(global: &Global, arguments: Token) -> Result<ExitCode, Failure> {
    let mut token = arguments.token;
    if token == "-" {
        token.clear();
        std::io::stdin().read_to_string(&mut token)?;
    }
    let request = ExplainToken {
        token: token.trim().to_owned(),
        scopes: arguments.scopes,
        audience: arguments.audience,
        environment: arguments.env,
        from: arguments.from,
        at: arguments.at,
    };
    let explained: Explanation = Admin::local(global)?.post("tokens/explain", &request).await?;
    if global.json {
        output::json(&explained)?;
    } else {
        let rows: Vec<_> = explained
            .checks
            .iter()
            .map(|check| [check.check.clone(), check.outcome.clone(), check.detail.clone()])
            .collect();
        output::print(&output::table(["CHECK", "OUTCOME", "WHAT IT SAW"], &rows))?;
        output::line(&match &explained.reason {
            None => "\nlet through".to_owned(),
            Some(reason) => format!("\nrefused: {} {reason}", explained.status),
        })?;
    }
    Ok(if explained.let_through { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What became of a refused request.
pub(super) async fn request(global: &Global, arguments: &Request) -> Result<ExitCode, Failure> {
    let path = format!("refusals/{}", segment(&arguments.request_id));
    let refusal: Refusal = Admin::local(global)?.get(&path).await?;
    if global.json {
        output::json(&refusal)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut fields = vec![
        ("request_id", refusal.request_id),
        ("refused_at", refusal.refused_at.0.to_string()),
        ("reason", refusal.reason),
        ("meaning", refusal.meaning),
    ];
    let known = [
        ("cause", refusal.cause),
        ("detail", refusal.detail),
        ("client_id", refusal.client_id),
        ("public_key", refusal.public_key),
        ("source_address", refusal.source_address),
    ];
    fields.extend(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    fields.push(("what to do", refusal.action));
    output::print(&output::fields(&fields))?;
    Ok(ExitCode::SUCCESS)
}
