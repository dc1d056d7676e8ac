//! Somebody forges what only the service may say, where the log is kept.

use mintage::api::{AuditKeys, RotateKeys, VerifyAudit};
use mintage::clock::UnixTime;
use mintage::server::config::Span;
use mintage::server::model::{AuditHead, AuditSigner, PruneRecord};
use mintage::server::service::verify_audit;
use mintage::server::store::redb::AuditFile;
use redb::TableDefinition;
use serde_json::{Value, json};

use super::store::signer;
use super::{
    AUDIT, ISSUANCES, Tampered, at_work, claims_of, details, head, record, store_of, verify, verify_file, work,
};
use crate::app::TestApp;

const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_keys");
const DAY: u64 = 24 * 3600;

/// Forgets everything up to the head, and says that it was pruned.
fn forget_all(tampered: &Tampered, head: &AuditHead, signer: Option<&AuditSigner>) {
    for table in [AUDIT, ISSUANCES] {
        tampered.all(table).iter().for_each(|(number, _)| tampered.put(table, *number, None));
    }
    tampered.meta("audit_checkpoint", Some(json!(head)));
    let prune = PruneRecord { checkpoint: Some(head.clone()), records: head.sequence, ..PruneRecord::default() };
    let stranger = super::store::signer();
    let mut change = prune.change(UnixTime::from_seconds(9), head, signer.unwrap_or(&stranger)).unwrap();
    if signer.is_none() {
        change.after["signed"] = Value::Null;
    }
    let sealed = change.seal(head).unwrap();
    tampered.put(AUDIT, sealed.head.sequence, Some(&sealed.bytes));
    tampered.meta("audit_head", Some(json!(sealed.head)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruning_that_the_service_did_not_write_is_found() {
    let (app, _) = at_work().await;
    let old = head(&app).await;
    work(&app).await;
    let store = store_of(&app);
    let _dir = app.stop().await;
    let vouched: AuditHead = serde_json::from_value(claims_of(&old)).unwrap();
    let tampered = Tampered::open(&store);
    forget_all(&tampered, &vouched, None);
    drop(tampered);
    let verdict = verify_file(&store, Some(&old)).await;
    assert!(details(&verdict)[0].ends_with("the service did not write it: it is not signed"), "{verdict:?}");
    // With a key of their own, and with that key among those that are kept.
    let own = signer();
    forget_all(&Tampered::open(&store), &vouched, Some(&own));
    let verdict = verify_file(&store, Some(&old)).await;
    assert!(details(&verdict)[0].contains("which has never signed here"), "{verdict:?}");
    let mut key = own.key().jwk;
    key["endorsements"] = json!({ own.key().kid: own.vouch_for(&own.key()).endorsed.unwrap().1 });
    Tampered::open(&store).text(KEYS, &own.key().kid, &key.to_string());
    let verdict = verify_file(&store, Some(&old)).await;
    assert!(details(&verdict)[0].contains("only the store says that it has signed here"), "{verdict:?}");
    // Where nothing but the store is at hand, the head that was kept elsewhere says nothing.
    let verdict = verify_audit(&AuditFile::open(&store).unwrap(), Some(&old), Vec::new()).await.unwrap();
    assert!(!verdict.is_ok() && verdict.keys_are_the_stores, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_long_gone_are_vouched_for() {
    let builder = TestApp::builder().config(|config| {
        config.audit.retention = Span::from_days(100);
        config.audit.issuances_retention = Span::from_days(10);
    });
    let app = builder.start().await;
    work(&app).await;
    let jwks: Value = app.get("/.well-known/jwks.json", None).await.json().await.unwrap();
    let mut heads = vec![head(&app).await];
    for round in 0..3 {
        app.advance(12 * DAY);
        app.service.purge().await;
        if round == 1 {
            // One that is revoked has signed what it has signed.
            let kid = app.service.keys().signer().unwrap().kid().to_owned();
            app.service.revoke_key(&kid, &app.caller()).await.unwrap();
        } else {
            app.service.rotate_keys(&RotateKeys { now: true }, &app.caller()).await.unwrap();
        }
        app.advance(3 * DAY);
        app.service.tick().await;
        work(&app).await;
        heads.push(head(&app).await);
    }
    let app = app.restart().await;
    for head in &heads {
        let verdict = verify(&app, Some(head)).await;
        assert!(verdict.ok && verdict.keys == AuditKeys::Server, "{verdict:?}");
    }
    assert!(verify_with(&app, &heads[0], &jwks).await);
    assert!(!verify_with(&app, &heads[3], &jwks).await, "no key vouches for one that came after the next");
    let own: Value = app.get("/.well-known/jwks.json", None).await.json().await.unwrap();
    assert!(verify_with(&app, &heads[0], &own).await);
    let store = store_of(&app);
    let _dir = app.stop().await;
    for head in &heads {
        assert_eq!(details(&verify_file(&store, Some(head)).await), [""; 0]);
    }
}

async fn verify_with(app: &TestApp, head: &str, jwks: &Value) -> bool {
    let request = VerifyAudit { head: Some(head.to_owned()), jwks: Some(jwks.clone()) };
    let verdict = app.service.verify_audit(&request).await.unwrap();
    assert_eq!(verdict.keys, AuditKeys::Jwks);
    verdict.problems.iter().all(|problem| !problem.detail.contains("the head given"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_head_is_signed_over_what_is_not_whole() {
    let (app, _) = at_work().await;
    let store = store_of(&app);
    let app = app
        .restart_after(|| {
            let mut altered = record(&Tampered::open(&store).all(AUDIT)[2].1);
            altered["target"] = json!("somebody-else");
            Tampered::open(&store).put(AUDIT, 3, Some(altered.to_string().as_bytes()));
        })
        .await;
    let verdict = verify(&app, None).await;
    assert!(!verdict.ok && verdict.head.is_none(), "{verdict:?}");
    let refused = app.service.audit_head(&app.caller()).await.unwrap_err();
    assert!(refused.detail().contains("is not as it was written"), "{}", refused.detail());
}
