//! What systemd is told (sd_notify(3)); nothing where nobody listens.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::tokens::Tokens;

/// A start is over then, whether the tokens are there or not: an issuer that is down is no reason to be killed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often the state is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Says when the agent is ready (all tokens are there), how it goes, and that it is alive.
pub(super) async fn keep(tokens: Arc<Tokens>) {
    let watchdog = sd_notify::watchdog_enabled().map_or(LOOK, |within| (within / 2).min(LOOK));
    let mut ready = false;
    let mut said = String::new();
    let mut waited = Duration::ZERO;
    loop {
        let statuses = tokens.statuses().tokens;
        let good = statuses.iter().filter(|status| status.is_good()).count();
        let all = statuses.len();
        let say = match statuses.iter().find_map(|status| Some((&status.name, status.health.last_error.as_ref()?))) {
            Some((name, error)) => format!("{good} of {all} tokens are fresh; {name}: {error}"),
            None => format!("{good} of {all} tokens are fresh"),
        };
        if say != said {
            tell(&[NotifyState::Status(&say)]);
            said = say;
        }
        if !ready && (good == all || waited >= READY_WITHIN) {
            tell(&[NotifyState::Ready]);
            ready = true;
        }
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(watchdog).await;
        waited += watchdog;
    }
}

/// Says that the agent ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}
