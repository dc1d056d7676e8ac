//! What an issuer may say at the start, and what is made of it.

use std::time::Duration;

use mintage::jose::Algorithm;
use mintage::resource::{DiscoverError, StaleRevocations, Verifier};
use serde_json::{Value, json};

use super::{API, FEED, Fake, JWKS, Key, METADATA, Say, set, unknown_key, verdict};

/// Why no verifier is made of it.
async fn refused(fake: &Fake) -> String {
    match fake.discover().build().await {
        Ok(verifier) => panic!("it was taken: {:?}", verifier.health()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn an_audience_has_to_be_named() {
    let fake = Fake::with(&[&Key::new()]).await;
    for builder in [Verifier::discover(&fake.url), Verifier::discover(&fake.url).audience("")] {
        assert!(matches!(builder.build().await, Err(DiscoverError::NoAudience)));
    }
    assert_eq!(fake.count(METADATA), 0, "the issuer was asked for nothing");
}

#[tokio::test]
async fn an_issuer_without_usable_metadata_is_refused() {
    let fake = Fake::with(&[&Key::new()]).await;
    let with = |name: &str, value: Value| {
        let mut metadata = fake.metadata();
        metadata[name] = value;
        Say::json(&metadata)
    };
    let mut without = fake.metadata();
    without.as_object_mut().unwrap().remove("jwks_uri");
    let password = fake.url.replace("http://", "http://user:pass@") + JWKS;
    let elsewhere = format!("{}/elsewhere", fake.url);
    fake.says("/elsewhere", Say::json(&fake.metadata()));
    for (what, say, why) in [
        ("another issuer", with("issuer", json!("https://other.example")), "another issuer"),
        ("a slash too many", with("issuer", json!(format!("{}/", fake.url))), "another issuer"),
        ("no issuer", with("issuer", Value::Null), "JSON"),
        ("no jwks_uri", Say::json(&without), "jwks_uri"),
        ("null for jwks_uri", with("jwks_uri", Value::Null), "jwks_uri"),
        ("a file", with("jwks_uri", json!("file:///etc/passwd")), "http or https"),
        ("a password", with("jwks_uri", json!(password)), "no user or password"),
        ("no JSON", Say::text("<html>"), "JSON"),
        ("a list", Say::json(&json!([])), "JSON"),
        ("nothing", Say::text(""), "JSON"),
        ("too much", Say::text(" ".repeat(1024 * 1024)), "longer"),
        ("without an end", Say::Endless, "longer"),
        ("404", Say::status(404), "404"),
        ("500", Say::status(500), "500"),
        ("a redirect", Say::status(302).with("location", &elsewhere), "302"),
        ("a lasting redirect", Say::status(308).with("location", &elsewhere), "308"),
    ] {
        fake.says(METADATA, say);
        let error = refused(&fake).await;
        assert!(error.contains(why), "{what}: {error}");
        assert!(!error.contains("pass@"), "{what}: {error}");
    }
    assert_eq!(fake.count("/elsewhere"), 0, "a redirect was followed");
    fake.says(METADATA, Say::json(&fake.metadata()));
    fake.verifier().await;
}

#[tokio::test]
async fn a_key_set_that_is_none_is_refused() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    let elsewhere = format!("{}/elsewhere", fake.url);
    fake.says("/elsewhere", Say::json(&set(&[&key])));
    let padded = format!("{}{}", set(&[&key]), " ".repeat(1024 * 1024));
    let mut unnamed = key.jwk();
    unnamed.as_object_mut().unwrap().remove("kid");
    let mut for_encryption = key.jwk();
    for_encryption["use"] = json!("enc");
    let secret = json!({"kty": "oct", "k": "AAAA", "kid": "k", "alg": "HS256"});
    for (what, say, why) in [
        ("no JSON", Say::text("{"), "JSON"),
        ("a page", Say::text("<html>"), "JSON"),
        ("a list", Say::json(&json!([key.jwk()])), "JWK Set"),
        ("one key", Say::json(&key.jwk()), "JWK Set"),
        ("keys that are no list", Say::json(&json!({"keys": {"a": key.jwk()}})), "JWK Set"),
        ("no usable key", Say::json(&json!({"keys": [{"kty": "new"}, 7, null]})), "none of its keys"),
        ("a key without a name", Say::json(&json!({"keys": [unnamed]})), "none of its keys"),
        ("a key to encrypt with", Say::json(&json!({"keys": [for_encryption]})), "none of its keys"),
        ("a shared secret", Say::json(&json!({"keys": [secret]})), "none of its keys"),
        ("1 MiB", Say::text(padded), "longer"),
        ("without an end", Say::Endless, "longer"),
        ("500", Say::status(500), "500"),
        ("204", Say::status(204), "204"),
        ("304, unasked", Say::status(304), "304"),
        ("a redirect", Say::status(302).with("location", &elsewhere), "302"),
    ] {
        fake.says(JWKS, say);
        let error = refused(&fake).await;
        assert!(error.contains(why), "{what}: {error}");
    }
    assert_eq!(fake.count("/elsewhere"), 0, "a redirect was followed");
    assert!(fake.seen(JWKS).iter().all(|seen| seen.if_none_match.is_none()));
}

#[tokio::test]
async fn an_algorithm_that_is_not_accepted_makes_a_key_useless() {
    let fake = Fake::with(&[&Key::new()]).await;
    let error = fake.discover().algorithms([Algorithm::EdDSA]).build().await.unwrap_err();
    assert!(error.to_string().contains("none of its keys"), "{error}");
}

#[tokio::test]
async fn a_broken_key_does_not_spoil_the_others() {
    let (good, other) = (Key::new(), Key::new());
    let fake = Fake::new().await;
    let mut short = other.jwk();
    short["x"] = json!("AAAA");
    let mut no_base64 = other.jwk();
    no_base64["y"] = json!("!!!");
    let broken = [
        json!({"kty": "EC"}),
        json!({"kty": "unheard-of", "kid": "x"}),
        short,
        no_base64,
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "p521", "alg": "ES512"}),
        json!(null),
        json!("a key"),
        json!([good.jwk()]),
    ];
    let mut keys = broken.to_vec();
    keys.insert(4, good.jwk());
    fake.says(JWKS, Say::json(&json!({"keys": keys, "more": "than asked for"})));
    let verifier = fake.verifier().await;
    assert_eq!(verdict(&verifier, &fake.token(&good, "a")), Ok(()));
    assert!(verdict(&verifier, &fake.token(&other, "b")).is_err());
}

#[tokio::test]
async fn no_keys_at_all_verify_nothing() {
    let fake = Fake::new().await;
    let verifier = fake.verifier().await;
    assert_eq!(verdict(&verifier, &fake.token(&Key::new(), "a")), unknown_key());
    assert_eq!(verifier.health().unwrap().keys.count, 0);
}

/// Whatever client it is told to use, and wherever the issuer falls silent.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_is_not_waited_for() {
    let fake = Fake::with(&[&Key::new()]).await;
    let patient = || reqwest::Client::builder().tls_backend_preconfigured(tls()).build().unwrap();
    for path in [METADATA, JWKS] {
        fake.says(path, Say::Hang);
        for builder in [fake.discover(), fake.discover().http_client(patient())] {
            let built = tokio::time::timeout(Duration::from_secs(60), builder.build()).await;
            assert!(built.expect("it waits for ever").is_err(), "{path}");
        }
        fake.comes_back(&[&Key::new()]);
    }
    // A feed that hangs costs some patience, and no more.
    fake.says(FEED, Say::Hang);
    let built = tokio::time::timeout(Duration::from_secs(60), fake.discover().build()).await;
    let health = built.expect("it waits for ever").unwrap().health().unwrap();
    assert!(!health.is_good() && health.revocations.unwrap().last_error.is_some());
}

fn tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

#[tokio::test]
async fn health_says_how_it_goes() {
    let (one, two) = (Key::new(), Key::new());
    let fake = Fake::with(&[&one, &two]).await;
    fake.revokes("jti", "a");
    fake.revokes("gen", "b");
    let verifier = fake.verifier().await;
    fake.advance(7);
    let health = verifier.health().unwrap();
    assert!(health.is_good());
    let json = serde_json::to_value(&health).unwrap();
    let at = "2033-05-18T03:33:20Z";
    assert_eq!(json["keys"], json!({"count": 2, "fetched_at": at, "age": 7, "usable": true, "last_error": null}));
    let feed = json!({"count": 2, "heard_at": at, "age": 7, "usable": true, "last_error": null});
    assert_eq!(json["revocations"], feed);

    let ignoring = fake.discover().revocations(StaleRevocations::NotFollowed).build().await.unwrap();
    let health = ignoring.health().unwrap();
    assert!(health.revocations.is_none() && health.is_good());

    let given = Verifier::from_jwks(&fake.url, API, set(&[&one]).to_string().as_bytes()).unwrap().build();
    assert!(given.health().is_none());
}

#[tokio::test]
async fn health_is_not_good_where_no_feed_means_that_nothing_is_let_through() {
    let key = Key::new();
    let fake = Fake::with(&[&key]).await;
    fake.says(METADATA, Say::json(&json!({"issuer": fake.url, "jwks_uri": format!("{}{JWKS}", fake.url)})));
    let verifier = fake.verifier().await;
    assert_eq!(verdict(&verifier, &fake.token(&key, "a")), Ok(()));
    let health = verifier.health().unwrap();
    assert!(health.is_good() && health.revocations.is_none());

    let policy = StaleRevocations::RefuseAfter(Duration::from_secs(60));
    let strict = fake.discover().revocations(policy).build().await.unwrap();
    assert!(verdict(&strict, &fake.token(&key, "a")).is_err());
    let health = strict.health().unwrap();
    assert!(!health.is_good(), "all tokens are refused: {health:?}");
}
