//! Refusals that are too many to be recorded each are counted by their reasons.

use mintage::api::{AuditEntry, AuditKind, AuditRefusal};
use mintage::server::config::Span;
use mintage::server::service::{AuditFilter, PageRequest};

use crate::app::TestApp;
use crate::gated_store::GatedStore;

async fn refusals(app: &TestApp) -> Vec<AuditRefusal> {
    let page = PageRequest { limit: Some(1000), cursor: None };
    let listed = app.service.list_audit(AuditKind::Refusals, &AuditFilter::default(), None, &page).await.unwrap();
    let of = |entry| match entry {
        AuditEntry::Refusal(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    listed.items.into_iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_counted_by_reason() {
    let builder = TestApp::builder().config(|config| config.limits.failed_auth.delay = Span::from_millis(0));
    let mut gate = None;
    let app = builder
        .start_on(|store| {
            let store = GatedStore::new(store);
            gate = Some(std::sync::Arc::clone(&store));
            store
        })
        .await;
    let gate = gate.unwrap();
    let client = app.client(&[]).await;
    let refuse = |secret: &'static str, scope: &'static str| {
        let mut client = client.clone();
        if !secret.is_empty() {
            client.secret = secret.to_owned();
        }
        let request = app.token_request(&client, &[("scope", scope)]);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    for _ in 0..200 {
        assert_eq!(refuse("wrong", "").await, 401);
    }
    for _ in 0..3 {
        assert_eq!(refuse("wrong", "").await, 401);
    }
    for _ in 0..2 {
        assert_eq!(refuse("", "orders:read").await, 400);
    }
    app.service.flush().await;
    let kept = refusals(&app).await;
    assert_eq!(kept.len(), 201);
    let flood = &kept[0];
    assert_eq!((flood.unrecorded, &flood.request_id), (5, &None));
    let by_reason: Vec<_> = flood.unrecorded_by_reason.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(by_reason, [("invalid_client", 3), ("invalid_scope", 2)]);
    assert!(kept[1..].iter().all(|refusal| refusal.unrecorded == 0));

    // What could not be written is counted, too.
    gate.set_down(true);
    refuse("", "orders:read").await;
    app.service.flush().await;
    gate.set_down(false);
    app.service.flush().await;
    let kept = refusals(&app).await;
    assert_eq!(kept[0].unrecorded_by_reason.get("invalid_scope"), Some(&1), "{:?}", kept[0]);
}
