//! What every store has to do for the audit log.

use std::sync::Arc;

use mintage::clock::UnixTime;
use mintage::crypto::SigningKey;
use mintage::jose::{Algorithm, TokenSigner};
use mintage::server::model::{AuditSigner, ChainWalk, Gap, Issuance, Place, Segment};
use mintage::server::store::{Cutoffs, Store};
use serde_json::{Value, json};

use crate::store_contract::on_each;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

fn segment(jti: &str, seconds: i64) -> Option<Segment> {
    let issuance = Issuance {
        at: at(seconds),
        client_id: "a".to_owned(),
        place: Place::project("default", "default"),
        secret_id: "s".to_owned(),
        jti: jti.to_owned(),
        scope: String::new(),
        audience: Vec::new(),
        source: [127, 0, 0, 1].into(),
        ttl: 60,
    };
    Segment::of(&[issuance]).unwrap()
}

/// A key of its own.
pub fn signer() -> AuditSigner {
    let der = SigningKey::generate_pkcs8(Algorithm::ES256).unwrap();
    AuditSigner::new(Arc::new(TokenSigner::new(SigningKey::from_der(&der, Algorithm::ES256).unwrap())))
}

async fn records(store: &Arc<dyn Store>) -> Vec<Value> {
    let (_, records) = store.audit(0, usize::MAX).await.unwrap();
    records.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_and_its_record_are_one() {
    on_each(async |store| {
        assert!(Segment::of(&[]).unwrap().is_none());
        store.add_segment(segment("one", 1), Gap::default(), at(2)).await.unwrap();
        let mut gap = Gap::default();
        gap.count("b", at(3));
        store.add_segment(segment("two", 3), gap.clone(), at(4)).await.unwrap();
        store.add_segment(None, gap, at(5)).await.unwrap();
        let actions: Vec<_> = records(&store).await.iter().map(|r| r["action"].as_str().unwrap().to_owned()).collect();
        assert_eq!(actions, ["audit.segment", "audit.segment", "audit.gap", "audit.gap"]);
        let forward: Vec<_> = store.segments(0).await.unwrap().iter().map(|(n, _)| *n).collect();
        let back: Vec<_> = store.segments_back(u64::MAX).await.unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!((forward, back), (vec![1, 2], vec![2, 1]));
        assert_eq!(store.segments_back(2).await.unwrap().len(), 1);
        let verdict = store.walk_audit(ChainWalk::new(None, Vec::new())).await.unwrap();
        assert!(verdict.is_ok() && (verdict.records, verdict.segments) == (4, 2), "{verdict:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pruned_is_bounded_and_recorded() {
    on_each(async |store| {
        for n in 0..10 {
            store.add_segment(segment("x", n), Gap::default(), at(n)).await.unwrap();
        }
        let signer = signer();
        let prune = async |changes, issuances, limit| {
            let cutoffs = Cutoffs { changes, issuances };
            store.prune_audit(cutoffs, limit, at(100), signer.clone()).await.unwrap()
        };
        assert_eq!(prune(None, None, 100).await, 0);
        assert_eq!(prune(Some(at(0)), Some(at(0)), 100).await, 0);
        assert_eq!(records(&store).await.len(), 10, "nothing to forget leaves no record");
        assert_eq!(prune(None, Some(at(2)), 100).await, 2);
        assert_eq!(prune(Some(at(8)), None, 5).await, 5);
        assert_eq!(prune(Some(at(8)), None, 5).await, 3);
        let left = records(&store).await;
        let last = left.last().unwrap();
        assert_eq!(last["after"]["checkpoint"]["sequence"], 8);
        assert_eq!((&last["after"]["records"], &last["after"]["segments"]), (&json!(3), &json!([[6, 8]])));
        assert_eq!(store.segments(0).await.unwrap().len(), 2, "the others went with their records");
        // The log's own records are the newest, and are not forgotten with the others.
        assert_eq!(prune(Some(at(50)), Some(at(50)), 100).await, 2);
        assert_eq!(records(&store).await.len(), 4);
        let verdict = store.walk_audit(ChainWalk::new(None, vec![signer.key().jwk])).await.unwrap();
        assert!(verdict.is_ok() && verdict.segments == 0, "{verdict:?}");
        store.add_segment(segment("y", 101), Gap::default(), at(101)).await.unwrap();
        assert_eq!(store.segments(0).await.unwrap()[0].0, 11, "a number is given once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_with_the_words_of_all_that_vouch_for_it() {
    on_each(async |store| {
        let signers = [signer(), signer(), signer()];
        let first = signers[0].key();
        store.keep_audit_keys(vec![first.clone()]).await.unwrap();
        store.add_segment(segment("x", 0), Gap::default(), at(0)).await.unwrap();
        let prune = Cutoffs { changes: None, issuances: Some(at(9)) };
        store.prune_audit(prune, 9, at(9), signers[0].clone()).await.unwrap();
        let is_ok = async |known: &AuditSigner| {
            store.walk_audit(ChainWalk::new(None, vec![known.key().jwk])).await.unwrap().is_ok()
        };
        assert!(is_ok(&signers[0]).await && !is_ok(&signers[1]).await);
        let words = [signers[1].vouch_for(&first), signers[2].vouch_for(&signers[1].key())];
        store.keep_audit_keys(words.to_vec()).await.unwrap();
        store.keep_audit_keys(vec![first.clone(), signers[2].key()]).await.unwrap();
        assert!(is_ok(&signers[1]).await && is_ok(&signers[2]).await);
        assert!(!is_ok(&signer()).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_store_was_not_broken_off() {
    on_each(async |store| {
        assert!(!store.begin_run(at(1)).await.unwrap());
        assert!(records(&store).await.is_empty());
        assert!(store.begin_run(at(2)).await.unwrap());
        let gap = &records(&store).await[0];
        assert_eq!((&gap["action"], &gap["after"]["from"]), (&json!("audit.gap"), &json!(2)));
    })
    .await;
}
