//! The reqwest middleware: the token on every request, and a refused one replaced without the caller's doing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mintage::client::{Bearer, Credentials, Error, TokenSource};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use serde_json::json;

use super::resource::{Resource, answer, fine, invalid_token, plain_client, source};
use super::{Endpoint, SECRET, Say, until};
use crate::app::TestApp;
use crate::client_changes::ask;

fn client(source: TokenSource) -> ClientWithMiddleware {
    ClientBuilder::new(plain_client(Policy::none())).with(Bearer::new(source)).build()
}

/// An endpoint whose tokens are `token-1`, `token-2` and so on, and a client of it.
fn set_up() -> (Endpoint, ClientWithMiddleware) {
    let endpoint = Endpoint::new(Say::lives(3600));
    let client = client(source(&endpoint));
    (endpoint, client)
}

/// Keeps what comes by.
#[derive(Clone, Default)]
struct Looks(Arc<Mutex<Vec<reqwest::Request>>>);

#[async_trait]
impl Middleware for Looks {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        self.0.lock().unwrap().push(request.try_clone().unwrap());
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_token_is_on_every_request_and_marked_as_sensitive() {
    let endpoint = Endpoint::new(Say::lives(3600));
    let resource = Resource::that_takes(&["token-1"]);
    let looks = Looks::default();
    let plain = plain_client(Policy::none());
    let client = ClientBuilder::new(plain).with(Bearer::new(source(&endpoint))).with(looks.clone()).build();
    for _ in 0..3 {
        assert_eq!(client.get(&resource.url).send().await.unwrap().status(), 200);
    }
    assert_eq!((endpoint.asked(), resource.tokens()), (1, vec!["token-1".to_owned(); 3]));
    for request in looks.0.lock().unwrap().iter() {
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        assert!(!format!("{request:?}").contains("token-1"), "{request:?}");
    }
}

#[tokio::test]
async fn an_authorization_of_the_callers_own_is_left_alone() {
    let (endpoint, client) = set_up();
    let resource = Resource::new(|_| invalid_token());
    for request in [
        client.get(&resource.url).bearer_auth("mine"),
        client.get(&resource.url).basic_auth("me", Some("mine")),
        client.get(&resource.url).header(AUTHORIZATION, HeaderValue::from_static("")),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    let seen: Vec<_> =
        resource.seen().iter().map(|sent| sent.header("authorization").unwrap_or("").to_owned()).collect();
    assert_eq!(seen, ["Bearer mine", "Basic bWU6bWluZQ==", ""]);
    assert_eq!(endpoint.asked(), 0);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_request_made_again_to_the_byte() {
    let plain = plain_client(Policy::none());
    let get = |url: &str| plain.get(format!("{url}/a%20b?x=1&x=%2F&y")).header("x-a", "1").header("x-a", "2");
    let post = |url: &str| plain.post(format!("{url}/orders")).header("idempotency-key", "k");
    let requests: [fn(&dyn Fn(&str) -> reqwest::RequestBuilder, &str) -> reqwest::RequestBuilder; 5] = [
        |make, url| make(url),
        |make, url| make(url).json(&json!({"book": "Ünïcode", "count": [1, 2.5, null]})),
        |make, url| make(url).body(""),
        |make, url| make(url).body("a".repeat(300_000)),
        |make, url| make(url).header("content-type", "text/plain").body(vec![b'x'; 10]).timeout(Duration::from_secs(5)),
    ];
    for make in [&get as &dyn Fn(&str) -> reqwest::RequestBuilder, &post] {
        for request in requests {
            let (endpoint, client) = set_up();
            let resource = Resource::that_takes(&["token-2"]);
            let request = request(make, &resource.url).build().unwrap();
            let response = client.execute(request).await.unwrap();
            assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "fine"));
            let seen = resource.seen();
            assert_eq!((endpoint.asked(), seen.len()), (2, 2));
            assert_eq!(seen[0].token(), Some("token-1"));
            assert_eq!(seen[0].with_token("token-2"), seen[1]);
        }
    }
}

/// A body that is made as it is sent, and so can be sent once.
fn streamed() -> reqwest::Body {
    let frames = ["all ", "of ", "it"].map(|text| Ok::<_, std::io::Error>(bytes::Bytes::from_static(text.as_bytes())));
    struct Stream(std::vec::IntoIter<Result<bytes::Bytes, std::io::Error>>);
    impl axum::body::HttpBody for Stream {
        type Data = bytes::Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, std::io::Error>>> {
            std::task::Poll::Ready(self.0.next().map(|frame| frame.map(hyper::body::Frame::data)))
        }
    }
    reqwest::Body::wrap(Stream(Vec::from(frames).into_iter()))
}

#[tokio::test]
async fn a_streamed_request_is_made_once_and_the_next_has_the_new_token() {
    let (endpoint, client) = set_up();
    let resource = Resource::that_takes(&["token-2"]);
    let refused = client.post(&resource.url).body(streamed()).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.text().await.unwrap().as_str()), (401, "not this one"));
    assert_eq!((endpoint.asked(), resource.asked()), (2, 1));
    assert_eq!(client.post(&resource.url).body(streamed()).send().await.unwrap().status(), 200);
    assert_eq!((endpoint.asked(), resource.tokens()), (2, vec!["token-1".to_owned(), "token-2".to_owned()]));
}

#[tokio::test]
async fn a_second_refusal_in_a_row_is_the_callers() {
    let (endpoint, client) = set_up();
    let resource = Resource::new(|_| invalid_token());
    let refused = client.get(&resource.url).send().await.unwrap();
    assert!(refused.headers().contains_key("www-authenticate"));
    assert_eq!((refused.status().as_u16(), refused.text().await.unwrap().as_str()), (401, "not this one"));
    assert_eq!((endpoint.asked(), resource.tokens()), (2, vec!["token-1".to_owned(), "token-2".to_owned()]));
    // However often: the token endpoint is not asked for each.
    for _ in 0..100 {
        assert_eq!(client.get(&resource.url).send().await.unwrap().status(), 401);
    }
    assert!(endpoint.asked() <= 8, "{}", endpoint.asked());
}

#[tokio::test]
async fn what_another_token_would_not_mend_is_not_tried_again() {
    let (endpoint, client) = set_up();
    for (status, headers) in [
        (401, &[][..]),
        (401, &["www-authenticate: Bearer realm=\"x\""]),
        (401, &["www-authenticate: Bearer error=\"insufficient_scope\", scope=\"a error=invalid_token\""]),
        (401, &["www-authenticate: Basic realm=\"invalid_token\""]),
        (401, &["www-authenticate: DPoP error=\"invalid_token\""]),
        (400, &["www-authenticate: Bearer error=\"invalid_token\""]),
        (403, &["www-authenticate: Bearer error=\"invalid_token\""]),
        (403, &["www-authenticate: Bearer error=\"insufficient_scope\""]),
        (407, &["proxy-authenticate: Bearer error=\"invalid_token\""]),
        (200, &["www-authenticate: Bearer error=\"invalid_token\""]),
        (503, &[]),
    ] {
        let resource = Resource::new(move |_| answer(status, headers, "said once"));
        let response = client.get(&resource.url).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (status, "said once"));
        assert_eq!((resource.asked(), endpoint.asked()), (1, 1), "{status} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_that_is_refused_with_one_token_makes_one_token_request_and_each_tries_once_more() {
    let (endpoint, client) = set_up();
    let resource = Resource::that_takes(&["token-2"]);
    resource.hold(true);
    let herd: Vec<_> = (0..200)
        .map(|number| {
            let request = client.post(format!("{}/{number}", resource.url)).body(number.to_string());
            tokio::spawn(async move { request.send().await.unwrap().status() })
        })
        .collect();
    until("all have been sent", || resource.asked() == 200).await;
    endpoint.hold(true);
    resource.hold(false);
    until("the refusals have come to another request", || endpoint.asked() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    endpoint.hold(false);
    for request in herd {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(endpoint.asked(), 2);
    let mut lines: Vec<_> = resource.seen().iter().map(|sent| sent.line().to_owned()).collect();
    assert_eq!(lines.len(), 400);
    lines.sort();
    assert!(lines.chunks(2).all(|pair| pair[0] == pair[1]), "each is tried twice");
    lines.dedup();
    assert_eq!(lines.len(), 200);
}

#[tokio::test]
async fn while_the_tokenendpoint_is_down_the_answer_is_the_resources_own() {
    let (mut endpoint, client) = set_up();
    let resource = Resource::new(|sent| if sent.line() == "GET / HTTP/1.1" { fine() } else { invalid_token() });
    assert_eq!(client.get(&resource.url).send().await.unwrap().status(), 200);
    endpoint.goes_down();
    let refused = client.get(format!("{}/strict", resource.url)).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.text().await.unwrap().as_str()), (401, "not this one"));
    // And what takes the token at hand goes on with it.
    assert_eq!(client.get(&resource.url).send().await.unwrap().status(), 200);
    assert_eq!(resource.tokens(), ["token-1"; 3]);
}

#[tokio::test]
async fn why_there_is_no_token_is_an_error_without_a_secret_in_it() {
    let echo = json!({"error": "invalid_client", "error_description": format!("{SECRET} is wrong")}).to_string();
    let endpoint = Endpoint::new(Say::This(401, Vec::new(), echo));
    let resource = Resource::new(|_| fine());
    let error = client(source(&endpoint)).get(&resource.url).send().await.unwrap_err();
    let reqwest_middleware::Error::Middleware(cause) = &error else { panic!("{error:?}") };
    let Some(Error::Refused { status: 401, error: code, .. }) = cause.downcast_ref() else { panic!("{cause:?}") };
    assert_eq!(code, "invalid_client");
    for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
    assert_eq!(resource.asked(), 0, "a request without a token");
}

/// Of reqwest, not ours; but a service that calls through this relies on it.
#[tokio::test]
async fn a_token_follows_a_redirect_to_its_own_origin_and_to_no_other() {
    let (endpoint, elsewhere) = (Endpoint::new(Say::lives(60)), Resource::new(|_| fine()));
    let to = format!("location: {}/there", elsewhere.url);
    let resource = Resource::new(move |sent| match sent.line() {
        "GET /away HTTP/1.1" => answer(307, &[&to], ""),
        "GET /near HTTP/1.1" => answer(307, &["location: /here"], ""),
        _ => fine(),
    });
    let plain = plain_client(Policy::limited(5));
    let client = ClientBuilder::new(plain).with(Bearer::new(source(&endpoint))).build();
    for path in ["near", "away"] {
        assert_eq!(client.get(format!("{}/{path}", resource.url)).send().await.unwrap().status(), 200);
    }
    assert_eq!(resource.tokens(), ["token-1", "token-1", "token-1"]);
    assert_eq!(elsewhere.tokens(), ["none"]);
}

#[tokio::test]
async fn a_client_whose_tokens_are_cut_off_at_the_real_service_goes_on() {
    let app = TestApp::start().await;
    let registered = app.client(&["mintage:projects:read", "mintage:keys:read", "mintage:apis:read"]).await;
    let source = TokenSource::discover(&app.issuer)
        .credentials(Credentials::new(&registered.id, &registered.secret))
        .build()
        .unwrap();
    let client = client(source.clone());
    let whoami = || async { client.get(app.url("/api/v1/whoami")).send().await.unwrap().status() };
    assert_eq!(whoami().await, 200);
    for scopes in [&["mintage:projects:read", "mintage:keys:read"][..], &["mintage:projects:read"], &[]] {
        let before = source.token().await.unwrap();
        let path = format!("clients/{}", registered.id);
        assert_eq!(ask(&app, "PATCH", &path, &json!({ "scopes": scopes })).await.0, 200);
        let refused = app.get("/api/v1/whoami", Some(before.reveal())).await;
        assert_eq!(refused.status(), 401, "the token was not cut off");
        assert_eq!(whoami().await, 200);
        assert!(!source.token().await.unwrap().is_same(&before));
    }
    assert_eq!(source.health().fetched, 4);
}
