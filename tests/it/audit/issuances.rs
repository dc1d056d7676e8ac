//! Every token that is issued is in the log, and nothing else of it than its `jti`.

use std::sync::Arc;

use mintage::api::{AuditEntry, AuditIssuance, AuditKind};
use mintage::server::service::{AuditFilter, IssueRequest, PageRequest, PresentedCredentials};
use mintage::source_ip::{DecidedFrom, SourceAddress};
use serde_json::Value;

use super::{AUDIT, ORDERS, Tampered, record, store_of, verify};
use crate::app::{TestApp, TestClient, claims};
use crate::gated_store::GatedStore;

pub async fn issuances(app: &TestApp) -> Vec<AuditIssuance> {
    let page = PageRequest { limit: Some(1000), cursor: None };
    let listed = app.service.list_audit(AuditKind::Issuances, &AuditFilter::default(), None, &page).await.unwrap();
    let of = |entry| match entry {
        AuditEntry::Issuance(issuance) => issuance,
        other => panic!("{other:?}"),
    };
    listed.items.into_iter().map(of).collect()
}

async fn changes(app: &TestApp, action: &str) -> Vec<Value> {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let listed = app.service.list_audit(AuditKind::Changes, &filter, None, &PageRequest::default()).await.unwrap();
    listed.items.into_iter().map(|entry| serde_json::to_value(entry).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_recorded_without_being_there() {
    let app = TestApp::start().await;
    app.api(ORDERS, &["orders:read"]).await;
    let client = app.client(&["orders:read"]).await;
    let token = app.token(&client).await;
    app.service.tick().await;
    let [issuance] = &issuances(&app).await[..] else { panic!("one token, one record") };
    let claims = claims(&token);
    assert_eq!(issuance.jti, claims["jti"]);
    assert_eq!((&issuance.client_id, issuance.scope.as_str()), (&client.id, "orders:read"));
    assert_eq!((issuance.organization.as_str(), issuance.project.as_deref()), ("default", Some("default")));
    assert_eq!((issuance.audience.as_slice(), issuance.expires_in), (&[ORDERS.to_owned()][..], 3600));
    assert_eq!((issuance.source_address.as_str(), issuance.recorded_at.0), ("127.0.0.1", app.now()));
    let shown = app.service.client(&client.id, &app.caller()).await.unwrap().value;
    assert_eq!(issuance.secret_id, shown.secrets[0].id);

    // Nothing that could be used is in it: not in the export, which has all of it, nor in the file.
    let mut page = PageRequest::default();
    let mut exported = String::new();
    loop {
        let part = app.service.export_audit(&Default::default(), &page).await.unwrap();
        exported.push_str(&serde_json::to_string(&part.items).unwrap());
        page.cursor = part.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    let file = std::fs::read(store_of(&app)).unwrap();
    assert!(exported.contains(&issuance.jti));
    let parts = token.split('.').skip(1).chain([client.secret.as_str()]);
    for secret in parts {
        assert!(!exported.contains(secret));
        assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

fn source() -> SourceAddress {
    SourceAddress { ip: [127, 0, 0, 1].into(), from: DecidedFrom::Peer }
}

async fn issue(app: &TestApp, client: &TestClient) {
    let credentials =
        PresentedCredentials { client_id: client.id.clone(), client_secret: client.secret.clone().into() };
    let request = IssueRequest {
        credentials: Some(credentials),
        grant_type: "client_credentials".to_owned(),
        scope: None,
        resources: Vec::new(),
        source: source(),
    };
    app.service.issue(request).await.unwrap();
}

/// A service without its background: nothing is written until the test says so.
async fn gated() -> (TestApp, Arc<GatedStore>) {
    let mut gate = None;
    let app = TestApp::builder()
        .start_on(|store| {
            let store = GatedStore::new(store);
            gate = Some(Arc::clone(&store));
            store
        })
        .await;
    (app, gate.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_is_held_becomes_numbers() {
    let (app, store) = gated().await;
    let (many, few) = (app.client(&[]).await, app.client(&[]).await);
    // At hand, so that the store is not asked.
    issue(&app, &many).await;
    issue(&app, &few).await;
    app.service.flush().await;
    store.set_down(true);
    for _ in 0..20_000 {
        issue(&app, &many).await;
    }
    app.service.flush().await;
    for client in [&many, &few, &many] {
        issue(&app, client).await;
    }
    store.set_down(false);
    app.service.flush().await;
    let verdict = verify(&app, None).await;
    assert!(verdict.ok && verdict.segments == 2, "{verdict:?}");
    let [segment, _] = &changes(&app, "audit.segment").await[..] else { panic!() };
    assert_eq!(segment["after"]["count"], 20_000);
    let [gap] = &changes(&app, "audit.gap").await[..] else { panic!("what is missing is said") };
    assert_eq!(gap["after"]["cause"], "overflow");
    assert_eq!((&gap["after"]["clients"][&many.id], &gap["after"]["clients"][&few.id]), (&2.into(), &1.into()));
    // That was all.
    app.service.flush().await;
    assert_eq!(verify(&app, None).await.records, verdict.records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_loses_no_record_and_holds_no_token_up() {
    let (app, store) = gated().await;
    let client = app.client(&[]).await;
    let before = app.token(&client).await;
    store.set_down(true);
    let during = app.token(&client).await;
    app.service.flush().await;
    let later = app.token(&client).await;
    store.set_down(false);
    app.service.flush().await;
    let mut recorded: Vec<_> = issuances(&app).await.into_iter().map(|issuance| issuance.jti).collect();
    recorded.reverse();
    assert_eq!(recorded, [before, during, later].map(|token| claims(&token)["jti"].as_str().unwrap().to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_wait_for_a_segment_that_is_written() {
    let (app, store) = gated().await;
    let client = app.client(&[]).await;
    app.token(&client).await;
    store.hold_verb("add_segment");
    let flushing = tokio::spawn({
        let service = Arc::clone(&app.service);
        async move { service.flush().await }
    });
    store.arrival().await;
    app.token(&client).await;
    store.hold_nothing();
    store.let_one_pass();
    flushing.await.unwrap();
    app.service.flush().await;
    assert_eq!(issuances(&app).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_broke_off_leaves_a_gap() {
    let app = TestApp::start().await;
    let client = app.client(&[]).await;
    app.token(&client).await;
    let app = app.restart().await;
    assert_eq!(changes(&app, "audit.gap").await.len(), 0, "it was stopped");
    assert_eq!(issuances(&app).await.len(), 1, "and has written what it had");
    let now = app.now().seconds();
    app.advance(100);
    let store = store_of(&app);
    let dir = app.stop().await;
    // As one that was killed leaves it.
    Tampered::open(&store).meta("clean_stop", None);
    let last = record(&Tampered::open(&store).all(AUDIT).last().unwrap().1);
    let (store, _) =
        mintage::server::store::redb::RedbStore::open(&store, [0; 32], mintage::clock::UnixTime::from_seconds(0))
            .unwrap();
    use mintage::server::store::{AuditReader, AuditStore};
    let at = mintage::clock::UnixTime::from_seconds(now + 200);
    assert!(store.begin_run(at).await.unwrap());
    let (_, records) = store.audit(0, usize::MAX).await.unwrap();
    let gap = record(records.last().unwrap());
    assert_eq!((&gap["action"], &gap["after"]["cause"]), (&"audit.gap".into(), &"unclean_stop".into()));
    assert_eq!((&gap["after"]["from"], &gap["after"]["to"]), (&last["at"], &(now + 200).into()));
    assert!(store.begin_run(at).await.unwrap(), "until it is ended");
    store.end_run().await.unwrap();
    assert!(!store.begin_run(at).await.unwrap());
    drop(dir);
}
