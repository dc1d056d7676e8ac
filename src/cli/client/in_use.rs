//! Whether a client's older secrets are still in use: whether a rotation can be finished.

use std::time::Duration;

use crate::api::{Client, Secret, UNUSED_FOR};
use crate::cli::times::ago;
use crate::clock::UnixTime;

/// How long ago a use is no longer recent.
const RECENT: Duration = Duration::from_secs(UNUSED_FOR);

/// What there is to say of a client that has more than one live secret, a line each. Where it says that the rotation can
/// be finished, the server would do it.
pub(super) fn lines(client: &Client, now: UnixTime) -> Vec<String> {
    let live: Vec<_> = client.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|end| now < end.0)).collect();
    let [older @ .., newest] = &live[..] else { return Vec::new() };
    let mut lines: Vec<_> = older.iter().map(|secret| line(secret, newest, now)).collect();
    if lines.is_empty() {
        return lines;
    }
    let finish = format!("mintage client rotate {} --finish ends it", client.client_id);
    let last_use = older.iter().filter_map(|secret| secret.last_used_at).map(|at| at.0).max();
    let hint = match last_use.filter(|at| is_recent(*at, now)) {
        _ if newest.last_used_at.is_none() => String::new(),
        None => format!("; {finish}"),
        Some(at) if at < newest.created_at.0 => format!("; {finish} from {} on", at.plus(RECENT)),
        // Somebody has to be moved first.
        Some(_) => String::new(),
    };
    for line in &mut lines {
        line.push_str(&hint);
        line.push('.');
    }
    if newest.last_used_at.is_none() {
        lines.push(format!("{}, the newest, has not been used yet.", newest.id));
    }
    lines
}

fn is_recent(at: UnixTime, now: UnixTime) -> bool {
    now.since(at) < RECENT
}

fn line(secret: &Secret, newest: &Secret, now: UnixTime) -> String {
    let (id, new) = (&secret.id, &newest.id);
    // Of two things in the same second it is not known which came first; then it is rather in use.
    let Some(at) = secret.last_used_at.filter(|at| *at >= newest.created_at) else {
        return format!("{id} has not been used since {new} was made");
    };
    let from = secret.last_used_from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
    let used = if is_recent(at.0, now) { "is still in use: last used" } else { "was last used" };
    format!("{id} {used} {}{from}, after {new} was made", ago(now.since(at.0)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Rfc3339;

    const NOW: i64 = 1_800_000_000;

    /// A secret that was made, ends and was last used so many seconds before now.
    type Made = (&'static str, i64, Option<i64>, Option<i64>);

    fn said(secrets: &[Made]) -> Vec<String> {
        let at = |ago: i64| Rfc3339(UnixTime::from_seconds(NOW - ago));
        let secrets: Vec<_> = secrets
            .iter()
            .map(|(id, made, ends, used)| {
                json!({"id": id, "prefix": "p", "created_at": at(*made), "expires_at": ends.map(at),
                       "last_used_at": used.map(at), "last_used_from": used.map(|_| "10.0.0.7")})
            })
            .collect();
        let client = json!({
            "client_id": "billing", "name": "n", "organization": "o", "project": "p", "environment": "live",
            "scopes": [], "roles": [], "ip_allowlist": [], "token_ttl": null, "status": "active", "secrets": secrets,
            "description": "", "owner": "", "labels": {}, "created_at": at(0), "updated_at": at(0),
        });
        lines(&serde_json::from_value(client).unwrap(), UnixTime::from_seconds(NOW))
    }

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const ENDS: &str = "mintage client rotate billing --finish ends it";

    #[test]
    fn one_live_secret_is_not_talked_about() {
        for secrets in [
            &[][..],
            &[("s_a", DAY, None, None)],
            &[("s_a", DAY, None, Some(5))],
            &[("s_a", DAY, Some(0), Some(5)), ("s_b", HOUR, None, None)],
            &[("s_a", DAY, None, Some(5)), ("s_b", HOUR, Some(1), None)],
            &[("s_a", DAY, Some(DAY), None), ("s_b", HOUR, Some(1), None)],
        ] {
            assert_eq!(said(secrets), [""; 0], "{secrets:?}");
        }
    }

    #[test]
    fn an_older_one_that_is_in_use_is_named_and_nothing_is_offered() {
        for newest_used in [None, Some(60)] {
            let lines = said(&[("s_a", DAY, Some(-DAY), Some(12 * 60)), ("s_b", HOUR, None, newest_used)]);
            assert_eq!(lines[0], "s_a is still in use: last used 12 minutes ago from 10.0.0.7, after s_b was made.");
            let unused = newest_used.is_none().then_some("s_b, the newest, has not been used yet.");
            assert_eq!(lines.get(1).map(String::as_str), unused);
            assert!(lines.len() <= 2);
        }
        // In the second in which the newest was made: rather in use.
        assert!(said(&[("s_a", DAY, None, Some(60)), ("s_b", 60, None, Some(1))])[0].contains("still in use"));
        assert!(!said(&[("s_a", DAY, None, Some(61)), ("s_b", 60, None, Some(1))])[0].contains("still in use"));
        // A clock that was put back.
        assert!(said(&[("s_a", DAY, None, Some(-5)), ("s_b", 60, None, Some(1))])[0].contains("last used just now"));
        // One of them is enough.
        let lines = said(&[("s_a", DAY, None, None), ("s_b", DAY, None, Some(60)), ("s_c", HOUR, None, Some(1))]);
        assert_eq!(lines[0], "s_a has not been used since s_c was made.");
        assert!(lines[1].starts_with("s_b is still in use") && lines.len() == 2, "{lines:?}");
    }

    #[test]
    fn what_is_unused_can_be_ended_when_the_server_would() {
        let newest = ("s_b", HOUR, None, Some(60));
        for used in [None, Some(DAY), Some(4 * HOUR)] {
            let lines = said(&[("s_a", 2 * DAY, None, used), newest]);
            assert_eq!(lines, [format!("s_a has not been used since s_b was made; {ENDS}.")]);
        }
        let lines = said(&[("s_a", 2 * DAY, None, Some(4 * HOUR - 1)), newest]);
        let from = UnixTime::from_seconds(NOW + 1);
        assert_eq!(lines, [format!("s_a has not been used since s_b was made; {ENDS} from {from} on.")]);
        let lines = said(&[("s_a", 9 * DAY, None, Some(3 * DAY)), ("s_b", 5 * DAY, None, Some(60))]);
        assert_eq!(lines, [format!("s_a was last used 3 days ago from 10.0.0.7, after s_b was made; {ENDS}.")]);
        let lines = said(&[("s_a", 9 * DAY, None, Some(3 * DAY)), ("s_b", 5 * DAY, None, None)]);
        assert_eq!(lines[1], "s_b, the newest, has not been used yet.");
        assert_eq!(lines[0], "s_a was last used 3 days ago from 10.0.0.7, after s_b was made.");
    }

    #[test]
    fn how_long_ago_is_said_in_one_unit() {
        for (seconds, text) in [
            (0, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (119, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (864_000, "10 days ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
