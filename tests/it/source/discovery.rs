//! An issuer whose metadata is wrong, away, or names another endpoint than before.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use mintage::client::{Credentials, TokenSource};
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::faults::{Kind, allowed, ask, done, looks_at, side_by_side};
use super::{Endpoint, SECRET, Say, Time, at_once};

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn names(issuer: &str, endpoint: &str) -> Say {
    Say::This(200, Vec::new(), json!({"issuer": issuer, "token_endpoint": endpoint}).to_string())
}

/// An issuer whose metadata are as they should be.
fn issuer() -> Endpoint {
    let endpoint = Endpoint::new(Say::lives(3600));
    endpoint.closes();
    well(&endpoint);
    endpoint
}

fn well(endpoint: &Endpoint) {
    endpoint.says_at(METADATA, names(&endpoint.url, &format!("{}/token", endpoint.url)));
}

fn source(endpoint: &Endpoint, time: &Time) -> TokenSource {
    TokenSource::discover(&endpoint.url)
        .credentials(Credentials::new("billing", SECRET))
        .clock(Arc::clone(&time.clock) as _)
        .entropy(Arc::new(mintage::crypto::entropy::SeededEntropy::new(3)))
        .build()
        .unwrap()
}

/// At first there is no way to the endpoint; then it is known, and the metadata fail again.
async fn survives(what: &str, kind: Kind, say: Say) {
    let (time, endpoint) = (Time::stands(), issuer());
    let say = match say {
        Say::This(status, headers, body) => Say::This(status, headers, body.replace("SELF", &endpoint.url)),
        say => say,
    };
    endpoint.says_at(METADATA, say.clone());
    let source = source(&endpoint, &time);
    let tasks = ask(&source, 50);
    let waited = done(&time, &endpoint, &source, &tasks).await;
    assert!(waited <= 10, "{what}: {waited}");
    for task in tasks {
        looks_at(&task.await.unwrap().expect_err(what), kind);
    }
    for _ in 0..20 {
        drop(ask(&source, 50));
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
    }
    let (looked, most) = (endpoint.asked_at(METADATA), allowed(210));
    assert!(looked > 1 && looked <= most && endpoint.asked() == 0, "{what}: {looked} of {most}");
    // It is mended, and nobody has to ask.
    well(&endpoint);
    for _ in 0..16 {
        time.advance(Duration::from_secs(5)).await;
        endpoint.quiet(&source).await;
    }
    assert!(source.health().valid && source.health().failures == 0, "{what}: {:?}", source.health());
    assert_eq!((endpoint.asked_at(METADATA), endpoint.asked()), (looked + 1, 1), "{what}");
    let first = source.token().await.unwrap();
    // What is known is not asked for: a renewal needs no metadata.
    endpoint.says_at(METADATA, say);
    time.advance(Duration::from_secs(3310)).await;
    endpoint.quiet(&source).await;
    let second = at_once(source.token()).expect("it waits").unwrap();
    assert!(!second.is_same(&first) && endpoint.asked_at(METADATA) == looked + 1, "{what}");
    // Nor where the endpoint fails for a while at the same time.
    time.advance(Duration::from_secs(3200)).await;
    endpoint.says(Say::status(503));
    for _ in 0..18 {
        time.advance(Duration::from_secs(10)).await;
        endpoint.quiet(&source).await;
        assert!(at_once(source.token()).expect("it waits").unwrap().is_same(&second), "{what}");
    }
    assert!(source.health().failures > 1, "{what}");
    endpoint.says(Say::lives(3600));
    for _ in 0..16 {
        time.advance(Duration::from_secs(5)).await;
        endpoint.quiet(&source).await;
    }
    assert!(!at_once(source.token()).unwrap().unwrap().is_same(&second), "{what}: {:?}", source.health());
}

#[test]
fn metadata_that_are_not_to_be_had_or_wrong() {
    let elsewhere = Endpoint::new(Say::lives(3600));
    let text = |text: &str| Say::This(200, Vec::new(), text.to_owned());
    let named = |url: &str| names("SELF", url);
    side_by_side(
        [
            ("hang", Kind::Passes, Say::Hang),
            ("stall", Kind::Passes, Say::Stall),
            ("half", Kind::Passes, Say::Half),
            ("403", Kind::Odd, Say::status(403)),
            ("endless", Kind::Odd, Say::Endless(200)),
            ("a redirect", Kind::Odd, Say::status(302).with("location", format!("{}{METADATA}", elsewhere.url))),
            ("another issuer", Kind::Odd, names("http://evil.example", "http://evil.example/token")),
            ("another issuer with escape codes", Kind::Odd, names("\u{1b}[31m", "http://evil.example/token")),
            ("HTML", Kind::Odd, text("<html>half</html>")),
            ("nothing", Kind::Odd, text("")),
            ("an array", Kind::Odd, text("[]")),
            ("no endpoint", Kind::Odd, text(r#"{"issuer":"SELF"}"#)),
            ("no URL", Kind::Odd, named("half")),
            ("no URL of the web", Kind::Odd, named("file:///half")),
            ("a URL with a password", Kind::Odd, named("http://a:half@evil.example/token")),
        ]
        .map(|(what, kind, say)| move || survives(what, kind, say)),
    );
    assert_eq!(elsewhere.counts().0, 0);
}

#[test]
fn an_endpoint_that_moves_is_found_again() {
    let html = |status| Say::This(status, vec![("content-type", "text/html".to_owned())], "<html>".to_owned());
    side_by_side(
        [
            ("404", Say::status(404)),
            ("410", html(410)),
            ("502 of a proxy", html(502)),
            ("503", Say::status(503)),
            ("500 and more", Say::refused(500, "server_error")),
            ("another page", html(200)),
            ("a redirect", Say::status(308).with("location", "/token/new")),
            ("hangs", Say::Hang),
            ("half", Say::Half),
            ("refuses", Say::refused(401, "invalid_client")),
        ]
        .map(|(what, say)| {
            move || async move {
                let (time, endpoint) = (Time::stands(), issuer());
                let source = source(&endpoint, &time);
                let first = source.token().await.unwrap();
                endpoint.says_at("/token", say);
                endpoint.says_at(METADATA, names(&endpoint.url, &format!("{}/token/new", endpoint.url)));
                time.advance(Duration::from_secs(3200)).await;
                for _ in 0..39 {
                    assert!(at_once(source.token()).expect("it waits").is_ok(), "{what}");
                    time.advance(Duration::from_secs(10)).await;
                    endpoint.quiet(&source).await;
                }
                // After a refusal it is for those who ask to find out, once the token has ended.
                let refuses = what == "refuses";
                if refuses {
                    time.advance(Duration::from_secs(20)).await;
                }
                let second = source.token().await.unwrap();
                assert!(!second.is_same(&first), "{what}");
                assert_eq!((endpoint.asked(), endpoint.asked_at("/token/new")), (2, 1), "{what}");
            }
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_in_private_is_not_sent_in_the_open() {
    let in_the_open = Endpoint::new(Say::lives(3600));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let certificate = || rustls::pki_types::CertificateDer::from_pem_slice(include_bytes!("tls/cert.pem")).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap();
    let ring = || Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(ring()).with_safe_default_protocol_versions().unwrap();
    let server = Arc::new(server.with_no_client_auth().with_single_cert(vec![certificate()], key).unwrap());
    let body = json!({"issuer": issuer, "token_endpoint": format!("{}/token", in_the_open.url)}).to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(server).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut stream);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(ring()).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let time = Time::stands();
    let source = TokenSource::discover(issuer)
        .credentials(Credentials::new("billing", SECRET))
        .clock(Arc::clone(&time.clock) as _)
        .http(move |builder| builder.tls_backend_preconfigured(client))
        .build()
        .unwrap();
    let error = source.token().await.unwrap_err();
    assert!(error.to_string().contains("names a URL that is not https"), "{error}");
    looks_at(&error, Kind::Odd);
    assert_eq!(in_the_open.counts().0, 0);
}
