//! What systemd is told (sd_notify(3)); nothing where nobody listens.

use std::time::Duration;

use sd_notify::NotifyState;

use super::tokens::Tokens;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// In so many looks once systemd is asked for more time, and for how much: an issuer that is down is no reason to be
/// killed, and no reason either to say that what needs the tokens can start.
const LOOKS_TO_EXTEND: u32 = 20;
const EXTENSION_MICROS: u32 = 30_000_000;
/// Whatever is configured, the watchdog is not fed more often.
const SOONEST_FEEDING: Duration = Duration::from_millis(10);

/// Says when the agent is ready (all tokens are there, and in their files), how it goes, and that it is alive.
pub(super) async fn keep(tokens: &Tokens) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tokio::join!(say_how_it_goes(tokens), feed_watchdog());
}

async fn say_how_it_goes(tokens: &Tokens) {
    let mut ready = false;
    let mut said = String::new();
    for look in (0..LOOKS_TO_EXTEND).cycle() {
        let statuses = tokens.statuses().tokens;
        let good = statuses.iter().filter(|status| status.is_good()).count();
        let all = statuses.len();
        let mut say = format!("{good} of {all} tokens are fresh");
        if let Some((name, why)) = statuses.iter().find_map(|status| Some((&status.name, status.what_is_wrong()?))) {
            say.push_str(&format!("; {name}: {why}"));
        }
        // A line break would begin another message.
        let say = say.replace(char::is_control, " ");
        if say != said {
            tell(&NotifyState::Status(&say));
            said = say;
        }
        if !ready && good == all {
            tell(&NotifyState::Ready);
            ready = true;
        }
        if !ready && look == 0 {
            tell(&NotifyState::ExtendTimeoutUsec(EXTENSION_MICROS));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn feed_watchdog() {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else { return };
    loop {
        tell(&NotifyState::Watchdog);
        tokio::time::sleep((within / 2).max(SOONEST_FEEDING)).await;
    }
}

/// Says that the agent ends.
pub(super) fn stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::debug!(%error, "systemd was not told");
    }
}
