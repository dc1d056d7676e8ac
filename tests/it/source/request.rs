//! The request for a token, as it is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mintage::client::{AuthMethod, Credentials, Endpoint, Error, TokenRequest, TokenSource, TokenSourceBuilder};
use mintage::scope::ScopeSet;
use serde_json::{Value, json};

use super::resource::{Resource, Sent, answer};

const METADATA: &str = "GET /.well-known/oauth-authorization-server";

fn granted() -> String {
    answer(200, &["content-type: application/json"], r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#)
}

fn at(server: &Resource, path: &str) -> TokenSourceBuilder {
    TokenSource::token_url(format!("{}{path}", server.url)).credentials(Credentials::new("billing", "s3cret"))
}

/// A server of metadata with these members besides, whose token endpoint is `/custom/token?tenant=a`.
fn issuer(more: Value) -> Resource {
    Resource::new(move |sent| {
        if !sent.line().starts_with("GET ") {
            return granted();
        }
        let url = format!("http://{}", sent.header("host").unwrap());
        let mut metadata = json!({"issuer": url, "token_endpoint": format!("{url}/custom/token?tenant=a")});
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        answer(200, &["content-type: application/json"], &metadata.to_string())
    })
}

/// What RFC 6749 §2.3.1 makes of them: base64 of both, form-encoded, with a colon between.
fn basic(sent: &Sent) -> Option<(String, String)> {
    let encoded = sent.header("authorization")?.strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    let parts: Vec<_> = pair.split(':').collect();
    let [id, secret] = parts[..] else { panic!("{pair}") };
    let decoded = |part: &str| {
        assert!(part.bytes().all(|b| b.is_ascii_alphanumeric() || b"%+-._*~".contains(&b)), "{part}");
        let (name, value) = url::form_urlencoded::parse(part.as_bytes()).next().unwrap_or_default();
        assert_eq!(value, "");
        name.into_owned()
    };
    Some((decoded(id), decoded(secret)))
}

fn form(sent: &Sent) -> Vec<(String, String)> {
    url::form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const ODD: [(&str, &str); 8] = [
    ("billing", "s3cret"),
    ("a:b", "c:d:e"),
    ("a+b c", "+ +"),
    ("50%", "%41%zz%"),
    ("é\u{301}日本", "пароль🗝"),
    ("a&b=c", "x&client_id=evil&scope=admin"),
    (" ", "\t\r\n\"\\"),
    ("~-._*!'()", "/?#[]@$,;"),
];

#[tokio::test]
async fn basic_carries_any_id_and_secret_form_encoded() {
    let server = Resource::new(|_| granted());
    for (id, secret) in ODD {
        at(&server, "/t").credentials(Credentials::new(id, secret)).build().unwrap().token().await.unwrap();
        let sent = server.seen().pop().unwrap();
        assert_eq!(basic(&sent), Some((id.to_owned(), secret.to_owned())));
        assert_eq!(form(&sent), pairs(&[("grant_type", "client_credentials")]));
        assert_eq!(sent.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(sent.header("accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn post_carries_them_in_the_body_alone() {
    let server = Resource::new(|_| granted());
    for (id, secret) in ODD {
        let source = at(&server, "/t").credentials(Credentials::new(id, secret));
        source.auth_method(AuthMethod::ClientSecretPost).build().unwrap().token().await.unwrap();
        let sent = server.seen().pop().unwrap();
        assert_eq!(sent.header("authorization"), None);
        assert_eq!(sent.line(), "POST /t HTTP/1.1");
        let expected = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        assert_eq!(form(&sent), pairs(&expected));
    }
}

#[tokio::test]
async fn how_the_client_authenticates_is_what_the_metadata_says() {
    let (post, basic_, both) = (
        json!(["client_secret_post"]),
        json!(["client_secret_basic"]),
        json!(["client_secret_post", "client_secret_basic"]),
    );
    let jwt = json!(["private_key_jwt", "client_secret_post", "none"]);
    for (metadata, set, by_post) in [
        (json!({"token_endpoint_auth_methods_supported": post}), None, true),
        (json!({"token_endpoint_auth_methods_supported": jwt}), None, true),
        (json!({"token_endpoint_auth_methods_supported": both}), None, false),
        (json!({"token_endpoint_auth_methods_supported": basic_}), None, false),
        (json!({"token_endpoint_auth_methods_supported": []}), None, false),
        (json!({}), None, false),
        (json!({"token_endpoint_auth_methods_supported": post}), Some(AuthMethod::ClientSecretBasic), false),
        (json!({"token_endpoint_auth_methods_supported": basic_}), Some(AuthMethod::ClientSecretPost), true),
    ] {
        let server = issuer(metadata.clone());
        let mut source = TokenSource::discover(&server.url).credentials(Credentials::new("billing", "s3cret"));
        if let Some(method) = set {
            source = source.auth_method(method);
        }
        source.build().unwrap().token().await.unwrap();
        let sent = server.seen().pop().unwrap();
        assert_eq!(basic(&sent).is_none(), by_post, "{metadata} {set:?}");
        assert_eq!(form(&sent).iter().any(|(name, _)| name == "client_secret"), by_post, "{metadata} {set:?}");
    }
}

#[tokio::test]
async fn scopes_are_in_one_parameter_and_each_resource_in_one_of_its_own() {
    let server = Resource::new(|_| granted());
    let (a, b) = ("https://a.example/x?y=1&z=ä", "urn:b");
    let source =
        at(&server, "/t").scopes(["orders:write", "orders:read", "a+b%", "orders:read"]).resource(b).resource(a);
    let source = source.build().unwrap();
    source.token().await.unwrap();
    let expected = pairs(&[
        ("grant_type", "client_credentials"),
        ("scope", "a+b% orders:read orders:write"),
        ("resource", b),
        ("resource", a),
    ]);
    assert_eq!(form(&server.seen()[0]), expected);
    source.token_for(&TokenRequest { scopes: ScopeSet::parse("z y").unwrap(), resources: Vec::new() }).await.unwrap();
    assert_eq!(form(&server.seen()[1]), pairs(&[("grant_type", "client_credentials"), ("scope", "y z")]));
    source.token_for(&TokenRequest::default()).await.unwrap();
    assert_eq!(form(&server.seen()[2]), pairs(&[("grant_type", "client_credentials")]));
}

#[tokio::test]
async fn a_query_in_the_token_url_is_kept() {
    let server = Resource::new(|_| granted());
    for (path, line) in [
        ("/t?tenant=a%20b&tenant=c&d", "POST /t?tenant=a%20b&tenant=c&d HTTP/1.1"),
        ("/t/%2F/..?x#fragment", "POST /t/%2F/..?x HTTP/1.1"),
        ("", "POST / HTTP/1.1"),
    ] {
        let ended = at(&server, path).build().unwrap().token().await;
        // What a URL is made of is the URL's affair (`/..` is taken away); but nothing is lost of its query.
        let sent = server.seen().pop().unwrap();
        assert!(ended.is_ok(), "{path}: {ended:?}");
        let line = line.replace("/%2F/..", "/");
        assert_eq!(sent.line(), line);
    }
}

#[tokio::test]
async fn the_metadata_is_read_once_however_many_tokens_are_fetched() {
    let server = issuer(json!({}));
    let source = TokenSource::discover(&server.url).credentials(Credentials::new("billing", "s3cret")).build().unwrap();
    for scope in ["a", "b", "c", "d"] {
        source
            .token_for(&TokenRequest { scopes: ScopeSet::parse(scope).unwrap(), resources: Vec::new() })
            .await
            .unwrap();
    }
    let token = source.token().await.unwrap();
    source.replace(&token).await.unwrap();
    let lines: Vec<_> = server.seen().iter().map(|sent| sent.line().to_owned()).collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with(METADATA)).count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "POST /custom/token?tenant=a HTTP/1.1").count(), 6, "{lines:?}");
}

/// What says that the server is in trouble may pass, wherever it is said; the rest is for somebody to set right.
#[tokio::test]
async fn what_may_pass_is_told_from_what_does_not() {
    let said = Arc::new(AtomicUsize::new(0));
    let server = Resource::new({
        let said = Arc::clone(&said);
        move |_| answer(u16::try_from(said.load(Ordering::Relaxed)).unwrap(), &[], "")
    });
    for (status, may_pass) in [
        (500, true),
        (502, true),
        (503, true),
        (429, true),
        (408, true),
        (404, false),
        (403, false),
        (302, false),
        (200, false),
    ] {
        said.store(status, Ordering::Relaxed);
        for endpoint in [Endpoint::Issuer(server.url.clone()), Endpoint::TokenUrl(server.url.clone())] {
            let builder = match &endpoint {
                Endpoint::Issuer(issuer) => TokenSource::discover(issuer),
                Endpoint::TokenUrl(url) => TokenSource::token_url(url),
            };
            let source = builder.credentials(Credentials::new("billing", "s3cret")).build().unwrap();
            let error = source.token().await.unwrap_err();
            assert_eq!(error.is_retryable(), may_pass, "{endpoint:?} {status}: {error:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_before_anything_is() {
    let credentials = || Credentials::new("billing", "s3cret");
    for url in ["", "auth.example.com", "ftp://x/", "unix:/run/x", "http://billing:s3cret@127.0.0.1/", "http://"] {
        for builder in [TokenSource::discover(url), TokenSource::token_url(url)] {
            let error = builder.credentials(credentials()).build().unwrap_err();
            assert!(matches!(error, Error::Fetch(_)) && !format!("{error} {error:?}").contains("s3cret"), "{url}");
        }
    }
    for scope in ["a b", "a\"b", "", "ä", "a\\b", "a\nb"] {
        let error = TokenSource::token_url("http://x").credentials(credentials()).scopes([scope]).build().unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{scope}: {error:?}");
    }
}
