//! What is written of what was used, and what happens where it cannot be.

use mintage::api::Quotas;
use mintage::clock::UnixTime;
use mintage::limit::Period;
use mintage::server::model::Kind;
use mintage::server::model::{Account, AccountId, Measure};
use mintage::server::store::{ABSENT, Entry};
use serde_json::json;

use crate::app::TestApp;
use crate::gated_store::GatedStore;
use crate::store_contract::{change, client, on_each};
use crate::store_registry;

use super::{ask, balance, client as registered, client_in, pay, project, requests, tokens, used};

#[tokio::test]
async fn counts_outlive_a_restart_and_not_their_client() {
    let app = TestApp::start().await;
    app.api("https://orders.example", &["orders:read"]).await;
    project(&app, "shop", requests(None, Some(1000), None)).await;
    let quotas = Quotas { tokens: tokens(Some(9), None, None).tokens, ..requests(None, None, Some(5000)) };
    let client = client_in(&app, "shop", quotas).await;
    pay(&app, &client.id, json!({ "add": 100_000 })).await;
    let token = app.token(&client).await;
    for _ in 0..7 {
        assert_eq!(ask(&app, &token).await.status, 200);
    }
    let app = app.restart().await;
    assert_eq!(used(&app, &client.id).await, (7, Some(4993)));
    assert_eq!(balance(&app, &client.id).await, Some(99_993));
    let uses = app.service.client_quotas(Kind::Client, &client.id, &app.caller()).await.unwrap();
    assert_eq!((uses.tokens.day.used, uses.tokens.day.remaining), (1, Some(8)));
    let of_project = app.service.project_quotas(None, "shop", &app.caller()).await.unwrap();
    assert_eq!(of_project.requests.month.used, 7);

    app.service.delete_client(&client.id, &app.caller()).await.unwrap();
    app.advance(1);
    let again = mintage::api::NewClient {
        client_id: Some(client.id.clone()),
        quotas: requests(None, None, Some(10)),
        ..mintage::api::NewClient::default()
    };
    let again = app.client_with(again).await;
    assert_eq!((used(&app, &again.id).await, balance(&app, &again.id).await), ((0, Some(10)), None));
    let app = app.restart().await;
    assert_eq!(used(&app, &again.id).await, (0, Some(10)));
}

#[tokio::test]
async fn what_cannot_be_written_is_not_granted_beyond_the_bound() {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let gate = gate.unwrap();
    app.api("https://orders.example", &["orders:read"]).await;
    let unavailable = (503, "unavailable".to_owned());
    // Of less than a hundred nothing may be unwritten; of a thousand ten.
    for (quota, bound) in [(50, 0), (1000, 10), (1_000_000, 1000)] {
        let client = registered(&app, requests(None, None, Some(quota))).await;
        let token = app.token(&client).await;
        assert_eq!(ask(&app, &token).await.status, 200);
        app.service.flush().await;
        gate.set_down(true);
        if bound < 1000 {
            for _ in 0..bound {
                assert_eq!(ask(&app, &token).await.status, 200, "of {quota}");
            }
            for _ in 0..3 {
                let refused = ask(&app, &token).await;
                assert_eq!((refused.verdict(), refused.header("retry-after")), (unavailable.clone(), Some("1")));
            }
        }
        gate.set_down(false);
        let granted = if bound < 1000 { 1 + bound } else { 1 };
        assert_eq!(used(&app, &client.id).await, (granted, Some(quota - granted)), "what was refused took nothing");
        assert_eq!(ask(&app, &token).await.status, 200);
    }
    // The same of tokens; and of a balance, which knows no quota.
    let client = registered(&app, tokens(Some(5), None, None)).await;
    let token = app.token(&client).await;
    pay(&app, &client.id, json!({ "add": 250 })).await;
    assert_eq!(ask(&app, &token).await.status, 200);
    app.service.flush().await;
    gate.set_down(true);
    let refused = app.token_request(&client, &[]).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
    let answers = [ask(&app, &token).await.status, ask(&app, &token).await.status, ask(&app, &token).await.status];
    assert_eq!(answers, [200, 200, 503]);
    gate.set_down(false);
    assert_eq!(balance(&app, &client.id).await, Some(247));
    let uses = app.service.client_quotas(Kind::Client, &client.id, &app.caller()).await.unwrap();
    assert_eq!(uses.tokens.day.used, 1);
    // Who has neither asks no store.
    let free = app.client(&["orders:read"]).await;
    let token = app.token(&free).await;
    gate.set_down(true);
    assert_eq!(ask(&app, &token).await.status, 200);
}

#[tokio::test]
async fn an_account_that_cannot_be_read_grants_nothing() {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let gate = gate.unwrap();
    app.api("https://orders.example", &["orders:read"]).await;
    let client = registered(&app, requests(None, None, Some(1_000_000))).await;
    let token = app.token(&client).await;
    gate.set_down(true);
    assert_eq!(ask(&app, &token).await.verdict(), (503, "unavailable".to_owned()));
    gate.set_down(false);
    assert_eq!(ask(&app, &token).await.status, 200);
    assert_eq!(used(&app, &client.id).await.0, 1);
}

#[tokio::test]
async fn whoever_waits_is_written_with_the_next() {
    let mut gate = None;
    let app = TestApp::builder().start_on(|store| gate.insert(GatedStore::new(store)).clone()).await;
    let (gate, app) = (gate.unwrap(), std::sync::Arc::new(app));
    app.api("https://orders.example", &["orders:read"]).await;
    let client = registered(&app, requests(None, None, Some(50))).await;
    let token = app.token(&client).await;
    gate.hold_verb("note_accounts");
    let ask_it = || {
        let (app, token) = (std::sync::Arc::clone(&app), token.clone());
        tokio::spawn(async move { ask(&app, &token).await.status })
    };
    let first = ask_it();
    gate.arrival().await;
    let others: Vec<_> = (0..20).map(|_| ask_it()).collect();
    while used(&app, &client.id).await.0 < 21 {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished() && others.iter().all(|one| !one.is_finished()), "nobody is let through before");
    gate.let_one_pass();
    gate.arrival().await;
    assert_eq!(first.await.unwrap(), 200);
    gate.hold_nothing();
    gate.let_one_pass();
    for one in others {
        assert_eq!(one.await.unwrap(), 200);
    }
}

/// So many tokens are used of this account at this moment.
fn counted(id: &AccountId, now: i64, tokens: u64) -> Account {
    let mut account = Account::of(id);
    account.roll(UnixTime::from_seconds(now));
    account.take(Measure::Tokens, tokens, true);
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_never_fall_and_go_with_their_owner() {
    on_each(|store| async move {
        let (one, shop) = (client("a", 1), store_registry::project("default", "shop", 1));
        let of_client = one.account();
        let Entry::Project(project) = &shop else { unreachable!() };
        let of_project = project.account();
        let nobody = AccountId { since: UnixTime::from_seconds(1), ..of_client.clone() };
        store.save_client(one.clone(), ABSENT, vec![], change("create")).await.unwrap();
        store.save_entry(shop.clone(), None, None, change("create")).await.unwrap();
        for (tokens, now) in [(5, 100), (9, 100), (2, 100), (1, 90_000)] {
            let of = |id: &AccountId| (id.clone(), counted(id, now, tokens));
            store.note_accounts(vec![of(&of_client), of(&nobody), of(&of_project)]).await.unwrap();
        }
        for id in [&of_client, &of_project] {
            let found = store.account(id).await.unwrap().unwrap();
            let [day, month, total] = [Period::Day, Period::Month, Period::Total].map(|of| found.tokens.of(of).0);
            assert_eq!((day, month, total, found.spent), (1, 9, 9, 9));
        }
        assert_eq!(store.account(&nobody).await.unwrap(), None, "another one that had the name");
        store.delete_client(&one.client_id, 1, vec![], change("delete")).await.unwrap();
        store.delete_entry(shop, change("delete")).await.unwrap();
        for id in [&of_client, &of_project] {
            store.note_accounts(vec![(id.clone(), counted(id, 100, 5))]).await.unwrap();
            assert_eq!(store.account(id).await.unwrap(), None, "{id:?}");
        }
    })
    .await;
}
