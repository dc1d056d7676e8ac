//! `mintage agent status`

use std::process::ExitCode;

use crate::cli::{Failure, Global, output};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::fetch::{MAX_ANSWER_BYTES, http_client_with, read_bounded, unix_client};

use super::Place;
use super::http::GUARD_HEADER;
use super::tokens::{Status, Statuses};

/// Asks the agent at `place`, prints what it says; the exit code is 0 only if every token is there.
pub(super) async fn run(global: &Global, place: &Place) -> Result<ExitCode, Failure> {
    let config = place.config(&crate::cli::source::Arguments::default(), None)?;
    let (http, base) = match (&config.socket, config.listen) {
        (Some(socket), _) => (unix_client(socket)?, "http://localhost".to_owned()),
        // What is on this machine is no proxy's affair.
        (None, Some(address)) => (http_client_with(reqwest::ClientBuilder::no_proxy)?, format!("http://{address}")),
        (None, None) => return Err(Failure::usage("name the agent with --socket, --listen or --config")),
    };
    let place = config.socket.map_or(base.clone(), |socket| socket.display().to_string());
    let gone = |_| Failure::new(format!("no agent answers at {place}; does it run?"));
    let answer = http.get(format!("{base}/status")).header(GUARD_HEADER, "1").send().await.map_err(gone)?;
    if !answer.status().is_success() {
        return Err(Failure::new(format!("{place} was answered with {}: is it an agent?", answer.status().as_u16())));
    }
    let said: Option<Statuses> = serde_json::from_slice(&read_bounded(answer, MAX_ANSWER_BYTES).await?).ok();
    // An agent without a token does not run.
    let statuses = said
        .filter(|said| !said.tokens.is_empty())
        .ok_or_else(|| Failure::new(format!("what answers at {place} is no agent")))?;
    if global.json {
        output::json(&statuses)?;
    } else {
        output::print(&table(&statuses.tokens, SystemClock.now()))?;
    }
    Ok(if statuses.tokens.iter().all(Status::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(tokens: &[Status], now: UnixTime) -> String {
    let row = |status: &Status| {
        let health = &status.health;
        let state = match (health.valid, status.what_is_wrong()) {
            (true, None) => "fresh",
            (true, Some(_)) => "failing",
            (false, _) => "none",
        };
        let left = health.expires_at.filter(|_| health.valid).map(|end| format!("{} s", end.0.since(now).as_secs()));
        [
            status.name.clone(),
            state.to_owned(),
            output::or_dash(left),
            health.fetched.to_string(),
            output::or_dash(status.file.clone()),
            output::or_dash(status.what_is_wrong().map(str::to_owned)),
        ]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    output::table(["NAME", "STATE", "ENDS IN", "FETCHED", "FILE", "LAST ERROR"], &rows)
}
