//! The log is found through by what is looked for, and shows no more than is within reach.

use mintage::api::{AuditEntry, AuditKind};
use mintage::clock::{Rfc3339, UnixTime};
use mintage::server::model::Place;
use mintage::server::service::{AuditFilter, ExportFilter, PageRequest, Position, audit_page};
use mintage::server::store::redb::AuditFile;
use serde_json::Value;

use super::{AUDIT, ORDERS, Tampered, at_work, store_of, work};
use crate::app::{TestApp, claims};

async fn found(app: &TestApp, kind: AuditKind, filter: &AuditFilter, within: Option<&Place>) -> Vec<Value> {
    let (mut all, mut page) = (Vec::new(), PageRequest { limit: Some(3), cursor: None });
    loop {
        let listed = app.service.list_audit(kind, filter, within, &page).await.unwrap();
        assert!(listed.items.len() <= 3);
        all.extend(listed.items.iter().map(|entry: &AuditEntry| serde_json::to_value(entry).unwrap()));
        page.cursor = listed.next_cursor;
        if page.cursor.is_none() {
            return all;
        }
    }
}

fn with(change: impl FnOnce(&mut AuditFilter)) -> AuditFilter {
    let mut filter = AuditFilter::default();
    change(&mut filter);
    filter
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_entry_once_and_the_newest_first() {
    let (app, _) = at_work().await;
    let changes = found(&app, AuditKind::Changes, &AuditFilter::default(), None).await;
    let numbers: Vec<_> = changes.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    let expected: Vec<_> = (1..=numbers[0]).rev().collect();
    assert_eq!(numbers, expected);
    let issuances = found(&app, AuditKind::Issuances, &AuditFilter::default(), None).await;
    let places: Vec<_> =
        issuances.iter().map(|e| (e["segment"].as_u64().unwrap(), e["line"].as_u64().unwrap())).collect();
    assert_eq!(places.len(), 4);
    assert!(places.windows(2).all(|two| two[0] > two[1]), "{places:?}");
    let cursor = PageRequest { limit: None, cursor: Some("made-up".to_owned()) };
    assert!(app.service.list_audit(AuditKind::Changes, &AuditFilter::default(), None, &cursor).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_name_and_nothing_else() {
    let (app, client) = at_work().await;
    let other = app.client(&[]).await;
    let token = app.token(&other).await;
    app.token_request(&other, &[("scope", "orders:read")]).send().await.unwrap();
    app.advance(3600);
    app.api("https://late.example", &["late"]).await;
    app.service.tick().await;
    let changes = async |filter: AuditFilter| {
        let found = found(&app, AuditKind::Changes, &filter, None).await;
        found
            .iter()
            .map(|e| format!("{} {}", e["action"].as_str().unwrap(), e["target"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let of = |id: &str| {
        let id = id.to_owned();
        with(|f| f.client = Some(id))
    };
    let own = format!("client.update {}", client.id);
    assert_eq!(changes(of(&client.id)).await, [own.clone(), own.clone(), format!("client.create {}", client.id)]);
    assert_eq!(
        changes(with(|f| f.action = Some("api.update".to_owned()))).await,
        [format!("api.update {ORDERS}"), format!("api.update {ORDERS}")]
    );
    assert_eq!(changes(with(|f| f.action = Some("api".to_owned()))).await.len(), 4);
    assert_eq!(changes(with(|f| f.action = Some("ap".to_owned()))).await.len(), 0);
    assert_eq!(changes(with(|f| f.target = Some(ORDERS.to_owned()))).await.len(), 3);
    assert_eq!(
        changes(with(|f| f.actor = Some("admin:0".to_owned()))).await,
        changes(with(|f| f.actor = Some("admin".to_owned()))).await
    );
    assert!(
        changes(with(|f| f.actor = Some("system".to_owned())))
            .await
            .iter()
            .all(|c| c.starts_with("key.") || c.starts_with("audit."))
    );
    let late = Rfc3339(app.now());
    assert!(changes(with(|f| f.since = Some(late))).await.contains(&"api.create https://late.example".to_owned()));
    assert!(!changes(with(|f| f.until = Some(late))).await.contains(&"api.create https://late.example".to_owned()));
    assert!(!changes(with(|f| f.since = Some(late))).await.contains(&own));

    let jti = claims(&token)["jti"].as_str().unwrap().to_owned();
    let by_jti = found(&app, AuditKind::Issuances, &with(|f| f.jti = Some(jti.clone())), None).await;
    assert_eq!((by_jti.len(), &by_jti[0]["client_id"]), (1, &other.id.clone().into()));
    assert_eq!(found(&app, AuditKind::Issuances, &of(&client.id), None).await.len(), 4);
    let refused = found(&app, AuditKind::Refusals, &of(&other.id), None).await;
    assert_eq!((refused.len(), &refused[0]["reason"]), (1, &"invalid_scope".into()));
    let request_id = refused[0]["request_id"].as_str().unwrap().to_owned();
    assert_eq!(found(&app, AuditKind::Refusals, &with(|f| f.request_id = Some(request_id)), None).await, refused);
    let change = &found(&app, AuditKind::Changes, &of(&other.id), None).await[0];
    let request_id = change["request_id"].as_str().unwrap().to_owned();
    assert_eq!(
        found(&app, AuditKind::Changes, &with(|f| f.request_id = Some(request_id)), None).await,
        std::slice::from_ref(change)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reaches_one_place_sees_no_other() {
    let (app, client) = at_work().await;
    app.token_request(&client, &[("scope", "nothing")]).send().await.unwrap();
    app.service.tick().await;
    let all = AuditFilter::default();
    for (place, changes, issuances, refusals) in [
        (Place::project("default", "default"), true, 4, 1),
        (Place::organization("default"), true, 4, 1),
        (Place::project("default", "other"), false, 0, 0),
        (Place::project("other", "default"), false, 0, 0),
        (Place::organization("other"), false, 0, 0),
    ] {
        let found = async |kind| found(&app, kind, &all, Some(&place)).await;
        let seen = found(AuditKind::Changes).await;
        assert_eq!(!seen.is_empty(), changes, "{place:?}");
        // What concerns the instance is nobody's.
        assert!(!seen.iter().any(|e| e["organization"].is_null()), "{place:?}");
        // An API belongs to its organization, not to one of its projects.
        let apis = seen.iter().any(|e| e["action"] == "api.create");
        assert_eq!(apis, changes && place.project.is_none(), "{place:?}");
        assert_eq!(found(AuditKind::Issuances).await.len(), issuances, "{place:?}");
        assert_eq!(found(AuditKind::Refusals).await.len(), refusals, "{place:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_hides_nothing() {
    let (app, _) = at_work().await;
    let store = store_of(&app);
    let since = app.now();
    let _dir = app.stop().await;
    let records = Tampered::open(&store).all(AUDIT).len();
    Tampered::open(&store).put(AUDIT, 5, Some(b"no record"));
    let filter = AuditFilter { since: Some(Rfc3339(since)), ..AuditFilter::default() };
    let file = AuditFile::open(&store).unwrap();
    let (items, _) = audit_page(&file, AuditKind::Changes, &filter, None, Position::NEWEST, 1000).await.unwrap();
    assert_eq!(items.len(), records, "all of them are of that moment");
    let timeless: Vec<_> = items.iter().filter(|entry| entry.recorded_at().is_none()).collect();
    assert!(matches!(timeless[..], [AuditEntry::Change(change)] if change.sequence == 5), "{timeless:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stays_where_its_client_was() {
    let (app, client) = at_work().await;
    app.token_request(&client, &[("scope", "nothing")]).send().await.unwrap();
    app.service.delete_client(&client.id, &app.caller()).await.unwrap();
    let project = serde_json::from_value(serde_json::json!({ "id": "other" })).unwrap();
    app.service.create_project(project, &app.caller()).await.unwrap();
    let again = mintage::api::NewClient {
        client_id: Some(client.id.clone()),
        project: Some("other".to_owned()),
        ..Default::default()
    };
    app.client_with(again).await;
    app.service.tick().await;
    for (project, count) in [("default", 1), ("other", 0)] {
        let place = Place::project("default", project);
        let seen = found(&app, AuditKind::Refusals, &AuditFilter::default(), Some(&place)).await;
        assert_eq!(seen.len(), count, "{project}: {seen:?}");
        assert!(seen.iter().all(|entry| entry["project"] == project));
    }
}

/// Who asks for more than they may stands in the log, with where from.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempted_escalation_is_recorded() {
    let app = TestApp::start().await;
    let client = app.client(&["mintage:clients:read", "mintage:clients:write", "mintage:audit:read"]).await;
    let token = app.token(&client).await;
    let more = serde_json::json!({ "name": "more", "scopes": ["mintage:keys:write"] });
    let refused = app.http.post(app.url("/api/v1/clients")).bearer_auth(&token).json(&more).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    // The end of the chain says how much is done in the whole instance.
    assert_eq!(app.get("/api/v1/audit/head", Some(&token)).await.status(), 403);
    app.service.tick().await;
    let place = Place::project("default", "default");
    let seen = found(&app, AuditKind::Refusals, &AuditFilter::default(), Some(&place)).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    for entry in seen {
        assert_eq!((&entry["client_id"], &entry["source_address"]), (&client.id.as_str().into(), &"127.0.0.1".into()));
        assert_eq!(entry["reason"], "beyond_caller", "{entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_is_kept() {
    let (app, _) = at_work().await;
    app.advance(100);
    let moment = app.now();
    work(&app).await;
    let export = async |filter: ExportFilter| {
        let (mut all, mut page) = (Vec::new(), PageRequest { limit: Some(7), cursor: None });
        loop {
            let part = app.service.export_audit(&filter, &page).await.unwrap();
            all.extend(part.items);
            page.cursor = part.next_cursor;
            if page.cursor.is_none() {
                return all;
            }
        }
    };
    let all = export(ExportFilter::default()).await;
    let (records, segments): (Vec<_>, Vec<_>) = all.iter().partition(|item| item.record.is_some());
    let mut previous = "genesis".to_owned();
    for (number, item) in (1..).zip(&records) {
        assert_eq!(item.record, Some(number));
        let kept: Value = serde_json::from_str(&item.bytes).unwrap();
        assert_eq!(kept["previous"], previous);
        assert_eq!(item.hash, mintage::server::model::AuditHead::hash_of(item.bytes.as_bytes()));
        previous.clone_from(&item.hash);
    }
    assert_eq!(segments.iter().map(|s| s.segment.unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let old = export(ExportFilter { since: None, until: Some(moment) }).await;
    let new = export(ExportFilter { since: Some(moment), until: None }).await;
    assert_eq!(old.len() + new.len(), all.len());
    assert!(old.len() > 5 && new.len() > 5);
    let none = ExportFilter { since: Some(UnixTime::from_seconds(0)), until: Some(UnixTime::from_seconds(1)) };
    assert!(export(none).await.is_empty());
}
