//! What clients use: counted, kept, and forgotten in time.

use std::sync::Arc;
use std::time::Duration;

use mintage::api::{NewClient, UsageBucket};
use mintage::clock::UnixTime;
use mintage::id::ClientId;
use mintage::server::model::{Figures, OTHERS, Per};
use mintage::server::service::UsageRange;
use reqwest::StatusCode;
use tokio::sync::OnceCell;

use crate::app::{TestApp, TestClient};
use crate::gated_store::GatedStore;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

async fn usage(app: &TestApp, client: &TestClient, per: Per) -> mintage::api::Usage {
    let range = UsageRange { per: Some(per), since: Some(UnixTime::from_seconds(0)), until: None };
    app.service.usage(&client.id, &range, &app.caller()).await.unwrap()
}

async fn refused(app: &TestApp, client: &TestClient, parameters: &[(&str, &str)], status: StatusCode) {
    assert_eq!(app.token_request(client, parameters).send().await.unwrap().status(), status);
}

/// An app at the beginning of a day, whose client holds two scopes.
async fn app() -> (TestApp, TestClient) {
    let app = TestApp::start().await;
    let seconds = app.now().seconds().rem_euclid(DAY as i64);
    app.advance(DAY - seconds as u64);
    app.api("https://orders.example", &["orders:read", "orders:write"]).await;
    let client = app.client(&["orders:read", "orders:write"]).await;
    (app, client)
}

#[tokio::test]
async fn tokens_and_refusals_are_counted_by_secret_scope_and_reason() {
    let (app, client) = app().await;
    let start = app.now();
    app.token(&client).await;
    app.token_answer(&client, &[("scope", "orders:read")]).await;
    app.advance(HOUR);
    app.token_answer(&client, &[("scope", "orders:read")]).await;
    refused(&app, &client, &[("scope", "orders:delete")], StatusCode::BAD_REQUEST).await;
    let wrong = TestClient { secret: "wrong".to_owned(), ..client.clone() };
    refused(&app, &wrong, &[], StatusCode::UNAUTHORIZED).await;

    let used = usage(&app, &client, Per::Hour).await;
    assert_eq!((used.bucket, used.issued, used.refused), (UsageBucket::Hour, 3, 2));
    assert_eq!(used.refused_by, [("invalid_scope".to_owned(), 1), ("wrong_secret".to_owned(), 1)].into());
    let starts: Vec<_> = used.items.iter().map(|item| (item.start_at.0, item.issued, item.refused)).collect();
    assert_eq!(starts, [(start, 2, 0), (start.plus(Duration::from_secs(HOUR)), 1, 2)]);
    assert_eq!(used.items[0].scopes, [("orders:read".to_owned(), 2), ("orders:write".to_owned(), 1)].into());
    assert_eq!((used.secrets[0].issued, used.secrets[0].refused), (3, 1), "a wrong secret is none of them");
    let last: Vec<_> = used.scopes.iter().map(|scope| scope.last_used_at.unwrap().0).collect();
    assert_eq!(last, [app.now(), start]);
    assert!(used.complete_until_at.0 < app.now() && used.flush_interval == 1, "to look is not to write: {used:?}");
    app.service.flush().await;
    let written = usage(&app, &client, Per::Hour).await;
    assert_eq!(written.complete_until_at.0, app.now());
    assert_eq!((written.issued, written.refused, written.items.len()), (used.issued, used.refused, used.items.len()));

    let days = usage(&app, &client, Per::Day).await;
    assert_eq!((days.issued, days.refused, days.items.len()), (3, 2, 1));
    assert_eq!(days.items[0].start_at.0, start);

    // It outlives the service.
    let app = app.restart().await;
    app.advance(DAY);
    app.token(&client).await;
    let days = usage(&app, &client, Per::Day).await;
    assert_eq!(days.items.iter().map(|item| item.issued).collect::<Vec<_>>(), [3, 1]);
    let range = UsageRange { per: Some(Per::Hour), since: Some(app.now()), until: None };
    assert_eq!(app.service.usage(&client.id, &range, &app.caller()).await.unwrap().issued, 1);
}

#[tokio::test]
async fn a_secret_that_was_right_was_used_although_nothing_came_of_it() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    let allowed = NewClient {
        scopes: vec!["orders:read".to_owned()],
        ip_allowlist: vec!["10.0.0.0/8".to_owned()],
        ..NewClient::default()
    };
    let (elsewhere, client) = (app.client_with(allowed).await, app.client(&["orders:read"]).await);
    let unused = app.client(&["orders:read"]).await;
    refused(&app, &elsewhere, &[], StatusCode::FORBIDDEN).await;
    refused(&app, &client, &[("scope", "orders:write")], StatusCode::BAD_REQUEST).await;
    let wrong = TestClient { secret: "wrong".to_owned(), ..unused.clone() };
    refused(&app, &wrong, &[], StatusCode::UNAUTHORIZED).await;
    for (client, reason) in [(&elsewhere, "ip_not_allowed"), (&client, "invalid_scope")] {
        let used = usage(&app, client, Per::Hour).await;
        assert_eq!(used.last_used_at.unwrap().0, app.now(), "{reason}");
        assert_eq!(used.secrets[0].last_used_at.unwrap().0, app.now(), "{reason}");
        assert_eq!(used.refused_by, [(reason.to_owned(), 1)].into());
        assert!(used.scopes[0].last_used_at.is_none());
    }
    let used = usage(&app, &unused, Per::Hour).await;
    assert_eq!((used.refused, used.last_used_at, used.secrets[0].last_used_at), (1, None, None));
    let ids = |clients: &[&TestClient]| clients.iter().map(|client| ClientId::parse(&client.id).unwrap()).collect();
    let uses = app.service.uses_of(ids(&[&elsewhere, &unused])).await.unwrap();
    assert_eq!(uses.values().filter_map(|uses| uses.used_at).collect::<Vec<_>>(), [app.now()]);
}

#[tokio::test]
async fn strangers_are_counted_nowhere() {
    let (app, _) = app().await;
    let stranger = TestClient { id: "c_later".to_owned(), secret: "x".to_owned() };
    refused(&app, &stranger, &[], StatusCode::UNAUTHORIZED).await;
    assert!(app.service.usage("c_later", &UsageRange::default(), &app.caller()).await.is_err());
    app.service.flush().await;
    let later = app.client_with(NewClient { client_id: Some("c_later".to_owned()), ..NewClient::default() }).await;
    assert_eq!(usage(&app, &later, Per::Day).await.refused, 0);
}

#[tokio::test]
async fn what_is_written_after_its_client_is_gone_leaves_nothing() {
    static GATE: OnceCell<Arc<GatedStore>> = OnceCell::const_new();
    let app = TestApp::builder()
        .start_on(|store| {
            let gate = GatedStore::new(store);
            GATE.set(Arc::clone(&gate)).unwrap();
            gate
        })
        .await;
    let gate = GATE.get().unwrap();
    let named = || NewClient { client_id: Some("c_again".to_owned()), ..NewClient::default() };
    let client = app.client_with(named()).await;
    let secret = app.service.client(&client.id, &app.caller()).await.unwrap().value.secrets[0].id.clone();
    app.token(&client).await;
    gate.hold_verb("note_usage");
    let service = Arc::clone(&app.service);
    let flush = tokio::spawn(async move { service.flush().await });
    gate.arrival().await;
    app.service.delete_client(&client.id, &app.caller()).await.unwrap();
    gate.let_one_pass();
    flush.await.unwrap();
    gate.hold_nothing();
    use mintage::server::store::UsageStore;
    assert_eq!(gate.secret_uses(vec![secret]).await.unwrap().len(), 0);
    let id = ClientId::parse(&client.id).unwrap();
    let (first, last) = (UnixTime::from_seconds(0), UnixTime::from_seconds(i64::MAX));
    assert_eq!(gate.usage(&id, Per::Day, first, last).await.unwrap(), []);
    assert_eq!(gate.client_uses(vec![id]).await.unwrap().len(), 0);
    let again = app.client_with(named()).await;
    assert_eq!(usage(&app, &again, Per::Day).await.issued, 0);
}

/// An app, its client, and the gate before its store.
async fn gated() -> (TestApp, TestClient, Arc<GatedStore>) {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let client = app.client(&[]).await;
    (app, client, gate.unwrap())
}

#[tokio::test]
async fn what_cannot_be_written_is_kept_and_the_answer_says_so() {
    let (app, client, gate) = gated().await;
    app.token(&client).await;
    app.service.flush().await;
    let written = app.now();
    app.advance(10);
    app.token(&client).await;
    gate.set_down(true);
    app.service.flush().await;
    app.token(&client).await;
    app.advance(10);
    gate.set_down(false);
    let used = usage(&app, &client, Per::Hour).await;
    assert_eq!((used.issued, used.complete_until_at.0), (3, written));
    app.service.flush().await;
    let used = usage(&app, &client, Per::Hour).await;
    assert_eq!((used.issued, used.complete_until_at.0), (3, app.now()));
}

/// Whoever waits for a flush may go away in the middle of it.
#[tokio::test]
async fn nothing_is_lost_or_counted_twice_where_a_flush_is_left_alone() {
    for (answered, fails) in [(false, false), (false, true), (true, false)] {
        let (app, client, gate) = gated().await;
        app.token(&client).await;
        if answered {
            gate.hold_answer("note_usage")
        } else {
            gate.hold_verb("note_usage")
        }
        let service = Arc::clone(&app.service);
        let flush = tokio::spawn(async move { service.flush().await });
        gate.arrival().await;
        flush.abort();
        assert!(flush.await.unwrap_err().is_cancelled());
        app.token(&client).await;
        // Who looks meanwhile waits until it is known where things are, and may go away as well.
        let look = tokio::time::timeout(Duration::from_millis(50), usage(&app, &client, Per::Hour)).await;
        assert!(look.is_err(), "{answered} {fails}");
        gate.set_down(fails);
        gate.hold_nothing();
        gate.let_one_pass();
        if fails {
            assert!(app.service.usage(&client.id, &UsageRange::default(), &app.caller()).await.is_err());
            gate.set_down(false);
        }
        for _ in 0..2 {
            let used = usage(&app, &client, Per::Hour).await;
            assert_eq!((used.issued, used.secrets[0].issued), (2, 2), "{answered} {fails}");
            assert_eq!(used.last_used_at.unwrap().0, app.now());
            app.service.flush().await;
        }
    }
}

#[tokio::test]
async fn hours_are_kept_for_a_fortnight_and_days_for_more_than_a_year() {
    let (app, client) = app().await;
    app.token(&client).await;
    app.service.flush().await;
    let counts = async |app: &TestApp| {
        app.service.purge().await;
        (usage(app, &client, Per::Hour).await.issued, usage(app, &client, Per::Day).await.issued)
    };
    app.advance(13 * DAY);
    assert_eq!(counts(&app).await, (1, 1));
    app.advance(2 * DAY);
    assert_eq!(counts(&app).await, (0, 1));
    app.advance(384 * DAY);
    assert_eq!(counts(&app).await, (0, 1));
    app.advance(3 * DAY);
    assert_eq!(counts(&app).await, (0, 0));
    // When it was last used is not forgotten with the figures.
    assert!(usage(&app, &client, Per::Day).await.last_used_at.is_some());
}

#[tokio::test]
async fn a_range_that_makes_no_sense_is_refused() {
    let (app, client) = app().await;
    let now = app.now();
    let backwards = UsageRange { since: Some(now.plus(Duration::from_secs(5))), until: Some(now), per: None };
    assert!(app.service.usage(&client.id, &backwards, &app.caller()).await.is_err());
    let empty = UsageRange { since: Some(now), until: Some(now), per: None };
    assert_eq!(app.service.usage(&client.id, &empty, &app.caller()).await.unwrap().items.len(), 0);
    let far = |seconds| Some(UnixTime::from_seconds(seconds));
    let everything = UsageRange { since: far(i64::MIN), until: far(i64::MAX), per: Some(Per::Day) };
    assert_eq!(app.service.usage(&client.id, &everything, &app.caller()).await.unwrap().items.len(), 0);
}

#[test]
fn the_figures_of_an_hour_tell_so_many_names_apart_and_no_more() {
    let scopes: Vec<_> = (0..100).map(|n| format!("orders:read:{n}")).collect();
    let mut figures = Figures::default();
    for _ in 0..3 {
        figures.count_issued("s", scopes.iter().map(String::as_str));
    }
    let mut day = Figures::default();
    day.add(&figures);
    day.add(&figures);
    for (figures, times) in [(&figures, 3), (&day, 6)] {
        assert_eq!(figures.scopes.len(), 33);
        assert_eq!(figures.scopes[OTHERS], 68 * times);
        assert_eq!(figures.scopes.values().sum::<u64>(), 100 * times);
    }
    assert_eq!((day.issued, day.secrets["s"].issued), (6, 6));
}
