//! What is old goes, and what is left still says what there was.

use mintage::server::config::Span;
use mintage::server::model::AuditHead;
use serde_json::json;

use super::{AUDIT, ISSUANCES, Tampered, details, head, record, store_of, verify, verify_file, work};
use crate::app::TestApp;

const DAY: u64 = 24 * 3600;

/// A service that keeps changes for 100 days and issuances for 10, and has been at work.
async fn app() -> TestApp {
    let builder = TestApp::builder().config(|config| {
        config.audit.retention = Span::from_days(100);
        config.audit.issuances_retention = Span::from_days(10);
    });
    let app = builder.start().await;
    work(&app).await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_go_first_and_are_named() {
    let app = app().await;
    assert_eq!(verify(&app, None).await.segments, 2);
    app.advance(9 * DAY);
    app.service.purge().await;
    assert_eq!(verify(&app, None).await.segments, 2, "not yet");
    let before = head(&app).await;
    app.advance(2 * DAY);
    app.service.purge().await;
    let verdict = verify(&app, Some(&before)).await;
    assert!(verdict.ok && verdict.segments == 0 && verdict.pruned_through.is_none(), "{verdict:?}");
    let dir = (store_of(&app), app.stop().await);
    let records = Tampered::open(&dir.0).all(AUDIT);
    let last = record(&records.last().unwrap().1);
    assert_eq!((&last["action"], &last["after"]["segments"]), (&json!("audit.prune"), &json!([[1, 2]])));
    // Without that record their absence is no pruning.
    Tampered::open(&dir.0).recompute(records.len() as u64, |record| record["after"]["segments"] = json!([[1, 1]]));
    let verdict = verify_file(&dir.0, None).await;
    let number = records.len();
    let expected = [
        format!(
            "record {number} says that something was pruned, and the service did not write it: its signature is not good"
        ),
        "segment 2 is gone, and no record says that it was pruned".to_owned(),
    ];
    assert_eq!(details(&verdict), expected);
}

/// A service with a chain that begins behind a checkpoint; a head of before it, one of behind it, and where it is.
async fn pruned() -> (TestApp, String, String, u64) {
    let app = app().await;
    let old = head(&app).await;
    app.client(&[]).await;
    app.advance(60 * DAY);
    work(&app).await;
    let new = head(&app).await;
    app.advance(60 * DAY);
    app.service.purge().await;
    let verdict = verify(&app, Some(&new)).await;
    assert!(verdict.ok, "{verdict:?}");
    let through = verdict.pruned_through.expect("something was pruned");
    (app, old, new, through)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_chain_verifies_from_its_checkpoint() {
    let (app, old, _, through) = pruned().await;
    let verdict = verify(&app, Some(&old)).await;
    assert!(!verdict.ok);
    assert!(verdict.problems[0].detail.contains("was pruned, so that it says nothing any more"), "{verdict:?}");
    // It goes on: numbers of records and segments are given once.
    let client = work(&app).await;
    let app = app.restart().await;
    app.token(&client).await;
    app.service.tick().await;
    let verdict = verify(&app, None).await;
    assert!(verdict.ok, "{verdict:?}");
    let store = store_of(&app);
    let _dir = app.stop().await;
    let tampered = Tampered::open(&store);
    assert_eq!(tampered.all(AUDIT)[0].0, through + 1);
    let segments: Vec<_> = tampered.all(ISSUANCES).iter().map(|(n, _)| *n).collect();
    assert_eq!(segments, [5, 6, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_deletes_the_front_is_found_out() {
    let (app, ..) = pruned().await;
    let store = store_of(&app);
    let _dir = app.stop().await;
    // One more than was pruned, and a checkpoint that fits.
    let (number, bytes) = Tampered::open(&store).all(AUDIT)[0].clone();
    Tampered::open(&store).put(AUDIT, number, None);
    let verdict = verify_file(&store, None).await;
    assert!(details(&verdict)[0].contains(&format!("record {number} is gone")), "{verdict:?}");
    let checkpoint = json!({ "sequence": number, "hash": AuditHead::hash_of(&bytes) });
    Tampered::open(&store).meta("audit_checkpoint", Some(checkpoint));
    let verdict = verify_file(&store, None).await;
    let expected = format!("everything up to record {number} is gone, and no record says that it was pruned");
    assert_eq!(details(&verdict), [expected]);
    Tampered::open(&store).meta("audit_checkpoint", None);
    assert!(!verify_file(&store, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pruned_where_all_is_kept() {
    let builder = TestApp::builder().config(|config| {
        config.audit.retention = Span::from_secs(0);
        config.audit.issuances_retention = Span::from_secs(0);
    });
    let app = builder.start().await;
    work(&app).await;
    let before = verify(&app, None).await;
    app.advance(5000 * DAY);
    app.service.purge().await;
    let after = verify(&app, None).await;
    assert_eq!((before.records, before.segments), (after.records, after.segments));
}

#[test]
fn retentions_that_cannot_be_are_refused() {
    for (changes, issuances, good) in
        [("30d", "30d", true), ("30d", "31d", false), ("30d", "0s", false), ("0s", "1h", true), ("1500ms", "1s", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mintage.toml");
        let text = format!("[audit]\nretention = \"{changes}\"\nissuances_retention = \"{issuances}\"\n");
        std::fs::write(&path, text).unwrap();
        // In a process of its own: the environment is configuration, too.
        let checked = std::process::Command::new(env!("CARGO_BIN_EXE_mintage"))
            .env_clear()
            .args(["config", "check", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(checked.status.success(), good, "{changes} {issuances}");
        assert!(good || String::from_utf8_lossy(&checked.stderr).contains("audit."), "{checked:?}");
    }
}
