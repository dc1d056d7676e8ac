//! What is kept on disk for the next start.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mintage::resource::{DiscoverError, StaleRevocations, TokenError, Verifier};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{FEED, Fake, JWKS, Key, Say, set, until, verdict};

const REVOKED: Result<(), TokenError> = Err(TokenError::Revoked);

/// A folder, and the path of a snapshot in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/verifier.json");
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

async fn with(fake: &Fake, path: &Path) -> Result<Verifier, DiscoverError> {
    fake.discover().snapshot(path).build().await
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A snapshot that knows a token `revoked`.
async fn saved(fake: &Fake, path: &Path) {
    fake.revokes("jti", "revoked");
    drop(with(fake, path).await.unwrap());
    until("it is saved", || fs::read_to_string(path).is_ok_and(|text| text.contains("\"revoked\",\"until"))).await;
}

#[tokio::test]
async fn a_restart_without_the_issuer_refuses_no_good_token_and_forgets_no_revoked_one() {
    let (_folder, path) = place();
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.revokes("jti", "by-jti");
    let tokens = ["by-jti", "by-gen", "later", "good"].map(|jti| fake.token(&key, jti));
    let verdicts = |verifier: &Verifier| tokens.each_ref().map(|token| verdict(verifier, token));
    let verifier = with(&fake, &path).await.unwrap();
    until("it is saved", || path.exists()).await;
    assert_eq!(mode(&path), 0o600);
    fake.revokes("gen", "of by-gen");
    fake.revokes("jti", "later");
    until("it is heard", || verdict(&verifier, &tokens[2]) == REVOKED).await;
    // On disk by now, unless the disk is slow: nothing waits for that for long.
    until("it is saved", || fs::read_to_string(&path).unwrap().contains("\"later\"")).await;
    let known = verdicts(&verifier);
    assert_eq!(known, [REVOKED, REVOKED, REVOKED, Ok(())]);
    fake.goes_down();
    for _ in 0..2 {
        // Not dropped first: as after a crash, nobody says goodbye.
        let again = with(&fake, &path).await.unwrap();
        assert_eq!(verdicts(&again), known);
        let health = again.health().unwrap();
        assert!(!health.is_good() && health.keys.last_error.is_some() && health.keys.usable);
        assert_eq!(health.revocations.unwrap().count, 3);
    }
    assert_eq!(mode(&path), 0o600);
    until("nothing else is left", || names_in(path.parent().unwrap()).len() == 1).await;
    // It is still followed: the issuer comes back and revokes.
    let again = with(&fake, &path).await.unwrap();
    fake.comes_back(&[&key]);
    fake.revokes("jti", "good");
    until("it is heard", || verdict(&again, &tokens[3]) == REVOKED).await;
    let seen = fake.seen(FEED);
    assert!(seen.last().unwrap().parameters()["since"].parse::<usize>().unwrap() >= 3, "it begins where it was");
}

#[tokio::test]
async fn how_old_what_is_known_is_survives_a_restart() {
    let (_folder, path) = place();
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    drop(with(&fake, &path).await.unwrap());
    until("it is saved", || path.exists()).await;
    fake.goes_down();
    fake.advance(3600);
    let policy = StaleRevocations::RefuseAfter(Duration::from_secs(60));
    let strict = fake.discover().revocations(policy).snapshot(&path).build().await.unwrap();
    let token = fake.token(&key, "a");
    assert_eq!(verdict(&strict, &token), Err(TokenError::Undecidable("what is revoked")));
    let again = with(&fake, &path).await.unwrap();
    assert_eq!(verdict(&again, &token), Ok(()));
    fake.advance(23 * 3600 + 1);
    assert_eq!(verdict(&again, &token), Err(TokenError::Undecidable("its keys")));
    let again = with(&fake, &path).await.unwrap();
    assert_eq!(verdict(&again, &token), Err(TokenError::Undecidable("its keys")));
}

#[tokio::test]
async fn a_snapshot_that_others_can_write_is_refused_with_what_mends_it() {
    let (_folder, path) = place();
    let fake = Fake::with(&[&Key::new()]).await;
    saved(&fake, &path).await;
    for mode in [0o620, 0o602, 0o666, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = with(&fake, &path).await.unwrap_err();
        assert!(matches!(error, DiscoverError::Snapshot { .. }), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    for mode in [0o600, 0o400, 0o640, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        with(&fake, &path).await.unwrap();
        until("it is as it should be again", || self::mode(&path) == 0o600).await;
    }
}

/// In a folder that is everybody's, another user can be there first, and lets it be read.
#[tokio::test]
async fn a_snapshot_of_another_user_is_refused() {
    let (_folder, path) = place();
    let fake = Fake::with(&[&Key::new()]).await;
    saved(&fake, &path).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
        println!("only root can give a file away: skipped");
        return;
    }
    let error = with(&fake, &path).await.unwrap_err();
    assert!(error.to_string().contains("belongs to the user 65534"), "{error}");
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let (folder, path) = place();
    let fake = Fake::with(&[&Key::new()]).await;
    saved(&fake, &path).await;
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    for path in [link.as_path(), folder.path()] {
        let error = with(&fake, path).await.unwrap_err();
        assert!(matches!(error, DiscoverError::Snapshot { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_snapshot_of_another_issuer_is_refused() {
    let (_folder, path) = place();
    let (fake, other) = (Fake::with(&[&Key::new()]).await, Fake::with(&[&Key::new()]).await);
    saved(&fake, &path).await;
    let before = fs::read(&path).unwrap();
    let error = with(&other, &path).await.unwrap_err();
    assert!(error.to_string().contains(&fake.url) && error.to_string().contains("another issuer"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_is_passed_over_where_there_is_an_issuer() {
    let (_folder, path) = place();
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    saved(&fake, &path).await;
    let whole = fs::read_to_string(&path).unwrap();
    let edited = |name: &str, value: Value| {
        let mut saved: Value = serde_json::from_str(&whole).unwrap();
        saved[name] = value;
        saved.to_string()
    };
    let cut = |at: usize| whole[..at].to_owned();
    let mut broken: Vec<(String, String)> = vec![
        ("empty".into(), String::new()),
        ("no JSON".into(), "\u{0}\u{0}\u{0}".into()),
        ("a list".into(), "[]".into()),
        ("an object".into(), "{}".into()),
        ("another version".into(), edited("version", json!(2))),
        ("no version".into(), edited("version", Value::Null)),
        ("a list of entries".into(), edited("revoked", json!([]))),
        ("other endpoints".into(), edited("endpoints", json!({}))),
        ("something after it".into(), format!("{whole}{{}}")),
    ];
    broken.extend([1, whole.len() / 2, whole.len() - 1].map(|at| (format!("cut at {at}"), cut(at))));
    let (good, revoked) = (fake.token(&key, "good"), fake.token(&key, "revoked"));
    for (what, text) in broken {
        let write = |path: &Path| {
            fs::write(path, &text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        // A file for each: a slow disk may take an earlier one late.
        let (_folder, path) = place();
        fs::create_dir(path.parent().unwrap()).unwrap();
        write(&path);
        let verifier = with(&fake, &path).await.unwrap();
        assert_eq!((verdict(&verifier, &good), verdict(&verifier, &revoked)), (Ok(()), REVOKED), "{what}");
        // And a good one is in its place.
        until("it is saved", || fs::read_to_string(&path).unwrap() != text).await;
        fake.goes_down();
        let again = with(&fake, &path).await.unwrap();
        assert_eq!((verdict(&again, &good), verdict(&again, &revoked)), (Ok(()), REVOKED), "{what}");
        drop((verifier, again));
        let path = path.with_extension("other");
        write(&path);
        let error = with(&fake, &path).await.unwrap_err().to_string();
        assert!(error.contains("cannot be followed") && error.contains("503"), "{what}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{what}: it was written over");
        fake.comes_back(&[&key]);
    }
    // Keys that cannot be used are no keys.
    let path = path.with_extension("other");
    fs::write(&path, edited("jwks", json!({"keys": [{"kty": "new"}]}))).unwrap();
    fake.goes_down();
    let error = with(&fake, &path).await.unwrap_err().to_string();
    assert!(error.contains("none of its keys") && error.contains("verifier.other"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_nobody() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    // Nobody can make a file there, not even root.
    let verifier = with(&fake, Path::new("/proc/mintage-verifier.json")).await.unwrap();
    let token = fake.token(&key, "a");
    assert_eq!(verdict(&verifier, &token), Ok(()));
    fake.revokes("jti", "a");
    until("it is revoked all the same", || verdict(&verifier, &token) == REVOKED).await;
}

/// Several verifiers of one program, for APIs of their own, may share the file: they follow the same issuer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_never_seen_half_written() {
    let (_folder, path) = place();
    let (one, two) = (Key::new(), Key::new());
    let fake = Fake::with(&[&one]).await;
    let mut verifiers = Vec::new();
    for _ in 0..3 {
        verifiers.push(with(&fake, &path).await.unwrap());
    }
    until("it is saved", || path.exists()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (reader_stop, reader_path) = (Arc::clone(&stop), path.clone());
    let reader = std::thread::spawn(move || {
        let (mut versions, mut reads, mut last) = (0, 0, Vec::new());
        while !reader_stop.load(Ordering::SeqCst) {
            let text = fs::read(&reader_path).unwrap();
            let parsed: Result<Value, _> = serde_json::from_slice(&text);
            assert!(parsed.is_ok(), "half written: {} bytes", text.len());
            versions += usize::from(text != last);
            last = text;
            reads += 1;
        }
        (versions, reads)
    });
    for n in 0..60 {
        for m in 0..50 {
            fake.revokes("jti", &format!("{n}-{m}-{}", "x".repeat(100)));
        }
        let key = if n % 2 == 0 { &two } else { &one };
        fake.says(JWKS, Say::json(&set(&[key])).with("cache-control", "max-age=1"));
        let known = (n + 1) * 50;
        until("all know", || verifiers.iter().all(|one| one.health().unwrap().revocations.unwrap().count == known))
            .await;
    }
    let all_of_it = || fs::read_to_string(&path).unwrap().matches("\"jti\"").count() == 3000;
    until("all is saved", all_of_it).await;
    stop.store(true, Ordering::SeqCst);
    let (versions, reads) = reader.join().unwrap();
    assert!(versions > 30 && reads > versions, "{versions} versions in {reads} reads say nothing");
    drop(verifiers);
    assert_eq!(mode(&path), 0o600);
    fake.goes_down();
    let again = with(&fake, &path).await.unwrap();
    assert_eq!(again.health().unwrap().revocations.unwrap().count, 3000);
}
