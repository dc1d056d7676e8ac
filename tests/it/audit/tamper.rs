//! Somebody alters the log where it is kept, with the means of the database itself.

use mintage::api::RotateKeys;
use mintage::jose::CompactJws;
use serde_json::{Value, json};

use super::{
    AUDIT, ISSUANCES, Tampered, at_work, claims_of, details, head, record, store_of, verify, verify_file, work,
};
use crate::app::TestApp;

/// A stopped service that has been at work, a head from the middle of it, and one of its end.
async fn stopped() -> (tempfile::TempDir, std::path::PathBuf, String, String) {
    let (app, _) = at_work().await;
    let middle = head(&app).await;
    work(&app).await;
    let end = head(&app).await;
    let store = store_of(&app);
    let dir = app.stop().await;
    let verdict = verify_file(&store, Some(&middle)).await;
    assert_eq!(details(&verdict), [""; 0]);
    assert!(verdict.records > 15 && verdict.segments >= 4, "{verdict:?}");
    (dir, store, middle, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_altered_byte_is_found_in_every_record() {
    let (_dir, store, ..) = stopped().await;
    let records = Tampered::open(&store).all(AUDIT);
    for (number, bytes) in &records {
        let (action, target) = (&record(bytes)["action"], &record(bytes)["target"]);
        // A letter within a text, so that it is JSON still; and one that makes it none.
        let at = |text: &str| String::from_utf8_lossy(bytes).find(text).unwrap();
        for place in [at("\"actor\"") + 2, at("\"at\":") + 5, 0, bytes.len() - 1, at("\"previous\":\"") + 13] {
            let mut altered = bytes.clone();
            altered[place] = if altered[place] == b'1' { b'2' } else { b'1' };
            Tampered::open(&store).put(AUDIT, *number, Some(&altered));
            let verdict = verify_file(&store, None).await;
            let found = verdict.problems.iter().find(|problem| problem.record == Some(*number));
            let found = found.unwrap_or_else(|| panic!("record {number}, byte {place}: {:?}", details(&verdict)));
            let named = format!("record {number} ({} of {})", action.as_str().unwrap(), target.as_str().unwrap());
            assert!(found.detail.contains(&named), "{found:?} does not name {named}");
            assert!(found.detail.contains("altered"), "{found:?}");
            // Where it is not the link itself, it is known which of the two it was.
            if place != at("\"previous\":\"") + 13 {
                let records = verdict.problems.iter().filter(|problem| problem.record.is_some());
                assert_eq!(records.count(), 1, "{number}, byte {place}: {:?}", details(&verdict));
            }
        }
        Tampered::open(&store).put(AUDIT, *number, Some(bytes));
    }
    assert!(verify_file(&store, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_altered_records_are_both_named() {
    let (_dir, store, ..) = stopped().await;
    for pair in [[3, 4], [3, 5], [3, 9]] {
        let whole = Tampered::open(&store).all(AUDIT);
        for number in pair {
            let mut altered = record(&whole[number as usize - 1].1);
            altered["target"] = json!("somebody-else");
            Tampered::open(&store).put(AUDIT, number, Some(&serde_json::to_vec(&altered).unwrap()));
        }
        let found: Vec<_> = verify_file(&store, None).await.problems.iter().filter_map(|p| p.record).collect();
        assert_eq!(found, pair);
        for number in pair {
            Tampered::open(&store).put(AUDIT, number, Some(&whole[number as usize - 1].1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_record_is_found() {
    let (_dir, store, ..) = stopped().await;
    let records = Tampered::open(&store).all(AUDIT);
    let last = records.len() as u64;
    for (numbers, detail) in [
        (vec![7], "record 7 is gone".to_owned()),
        (vec![7, 8, 9], "records 7 to 9 are gone".to_owned()),
        (vec![1], "record 1 is gone, and no checkpoint says that they were pruned".to_owned()),
        (vec![last - 1, last], format!("records {} to {last} are gone: the end of the chain", last - 1)),
    ] {
        numbers.iter().for_each(|n| Tampered::open(&store).put(AUDIT, *n, None));
        let verdict = verify_file(&store, None).await;
        assert!(details(&verdict).contains(&detail.as_str()), "{detail}: {:?}", details(&verdict));
        numbers.iter().for_each(|n| Tampered::open(&store).put(AUDIT, *n, Some(&records[*n as usize - 1].1)));
    }
    // Renumbered, so that none is missing.
    let moved: Vec<_> = records.iter().filter(|(n, _)| *n != 7).cloned().collect();
    for (number, (_, bytes)) in (1..).zip(&moved) {
        Tampered::open(&store).put(AUDIT, number, Some(bytes));
    }
    Tampered::open(&store).put(AUDIT, last, None);
    assert!(!verify_file(&store, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_off_is_found_with_a_head() {
    let (_dir, store, middle, end) = stopped().await;
    let tampered = Tampered::open(&store);
    let records = tampered.all(AUDIT);
    let cut = claims_of(&middle)["sequence"].as_u64().unwrap();
    for (number, bytes) in records.iter().rev().take_while(|(n, _)| *n > cut) {
        tampered.put(AUDIT, *number, None);
        if record(bytes)["action"] == "audit.segment" {
            tampered.put(ISSUANCES, record(bytes)["target"].as_str().unwrap().parse().unwrap(), None);
        }
    }
    tampered.meta("audit_head", Some(json!({ "sequence": cut, "hash": claims_of(&middle)["hash"] })));
    drop(tampered);
    assert!(verify_file(&store, None).await.is_ok(), "by itself it is a whole, shorter chain");
    assert!(verify_file(&store, Some(&middle)).await.is_ok(), "up to that head nothing is gone");
    let verdict = verify_file(&store, Some(&end)).await;
    assert_eq!(verdict.problems.len(), 1);
    assert!(details(&verdict)[0].contains("the tail was cut off"), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_recomputed_from_the_middle_is_found_with_a_head() {
    let (_dir, store, middle, end) = stopped().await;
    let from = claims_of(&middle)["sequence"].as_u64().unwrap() + 1;
    Tampered::open(&store).recompute(from, |record| record["actor"] = json!({ "kind": "system" }));
    assert!(verify_file(&store, None).await.is_ok(), "by itself it is a whole chain");
    assert!(verify_file(&store, Some(&middle)).await.is_ok(), "what was rewritten came later");
    let verdict = verify_file(&store, Some(&end)).await;
    assert_eq!(verdict.problems.len(), 1);
    assert!(details(&verdict)[0].contains("the chain was rewritten"), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_removed_or_added_segment_is_found() {
    let (_dir, store, ..) = stopped().await;
    let segments = Tampered::open(&store).all(ISSUANCES);
    let (number, bytes) = segments[1].clone();
    let one_less: Vec<u8> = bytes.split_inclusive(|b| *b == b'\n').skip(1).flatten().copied().collect();
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    for other in [one_less, altered] {
        Tampered::open(&store).put(ISSUANCES, number, Some(&other));
        let verdict = verify_file(&store, None).await;
        let problems: Vec<_> = verdict.problems.iter().map(|problem| problem.segment).collect();
        assert_eq!(problems, [Some(number)], "{:?}", details(&verdict));
        assert!(details(&verdict)[0].contains("was altered"), "{verdict:?}");
    }
    Tampered::open(&store).put(ISSUANCES, number, None);
    let verdict = verify_file(&store, None).await;
    assert_eq!(details(&verdict), ["segment 2 is gone, and no record says that it was pruned"]);
    Tampered::open(&store).put(ISSUANCES, number, Some(&bytes));
    Tampered::open(&store).put(ISSUANCES, 99, Some(&bytes));
    let verdict = verify_file(&store, None).await;
    assert_eq!(details(&verdict), ["there are segments of issuances that no record names: 1 of them"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_good_only_with_a_key_that_has_signed_here() {
    let (app, _) = at_work().await;
    let (other, _) = at_work().await;
    let own = head(&app).await;
    assert!(verify(&app, Some(&own)).await.ok);
    let foreign = head(&other).await;
    let verdict = verify(&app, Some(&foreign)).await;
    assert!(verdict.problems[0].detail.contains("which has never signed here"), "{verdict:?}");
    // The claims of one and the signature of another.
    let parts: Vec<_> = own.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], foreign.split('.').nth(1).unwrap(), parts[2]);
    let verdict = verify(&app, Some(&forged)).await;
    assert!(verdict.problems[0].detail.contains("the signature of the head given is not good"), "{verdict:?}");
    let token = app.token(&app.client(&[]).await).await;
    for none in ["", "x", "a.b.c", &token] {
        let request = mintage::api::VerifyAudit { head: Some(none.to_owned()), jwks: None };
        let refused = app.service.verify_audit(&request).await.unwrap_err();
        assert!(refused.detail().starts_with("head: it is not a signed head"), "{}", refused.detail());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_outlives_its_key() {
    let (app, client) = at_work().await;
    let old = head(&app).await;
    let kid = |head: &str| CompactJws::parse(head).unwrap().header["kid"].clone();
    app.service.rotate_keys(&RotateKeys { now: true }, &app.caller()).await.unwrap();
    app.advance(3 * 24 * 3600);
    app.service.tick().await;
    let jwks: Value = app.get("/.well-known/jwks.json", None).await.json().await.unwrap();
    assert!(!jwks.to_string().contains(kid(&old).as_str().unwrap()), "the key is not published any more");
    app.token(&client).await;
    let app = app.restart().await;
    let verdict = verify(&app, Some(&old)).await;
    assert!(verdict.ok, "{verdict:?}");
    assert_ne!(kid(&old), kid(&verdict.head.unwrap()));
}

#[tokio::test]
async fn a_head_is_no_access_token() {
    let app = TestApp::start().await;
    let head = head(&app).await;
    assert_eq!(CompactJws::parse(&head).unwrap().header["typ"], "mintage-audit-head+jwt");
    assert_eq!(claims_of(&head)["iss"], app.issuer.as_str());
    let refused = app.get("/api/v1/whoami", Some(&head)).await;
    assert_eq!(refused.status(), 401);
    let body: Value = refused.json().await.unwrap();
    assert!(body["detail"].as_str().unwrap().contains("typ is not at+jwt"), "{body}");
}
