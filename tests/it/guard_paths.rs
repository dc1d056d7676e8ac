//! Where a guard takes method and path from, and the paths that somebody else might read in another way.

use std::net::Ipv4Addr;

use crate::app::TestApp;
use crate::guards::{SETS, bearer, question, start, start_sets, token};
use crate::raw::{Answer, send, send_from};

/// All is let through with a reader's token, so that whatever is not refused for its path shows.
const OPEN: &str = r#"rule = [
    { path = "/", scopes = ["orders:read"] },
    { path = "/{*rest}", scopes = ["orders:read"] },
    { path = "/secret", scopes = ["orders:write"] },
]"#;

async fn open() -> (TestApp, String) {
    let app = start_sets(OPEN).await;
    let reader = bearer(&token(&app, &["orders:read"]).await);
    (app, reader)
}

fn refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {answer:?}");
    assert!(answer.identity().is_empty(), "{what}: {answer:?}");
}

#[tokio::test]
async fn a_path_that_has_two_readings_is_refused() {
    let (app, reader) = open().await;
    let long = format!("/{}", "a".repeat(9000));
    let tricks: &[&[u8]] = &[
        b"",
        b"/public/../secret",
        b"/public/./secret",
        b"/..",
        b"/.",
        b"/public/..",
        b"/public/.",
        b"/../../etc/passwd",
        b"/public/%2e%2e/secret",
        b"/public/%2E%2e/secret",
        b"/public/.%2e/secret",
        b"/public/%2e./secret",
        b"/public/%2e/secret",
        b"/public/%252e%252e/secret",
        b"/public/%252e%252e%252fsecret",
        b"/public/..;/secret",
        b"/public/..;x=1/secret",
        b"/public/..%3b/secret",
        b"/public/%2e%2e%3Bx/secret",
        b"/public/.;/secret",
        b"/public/..%20/secret",
        b"/public%2fsecret",
        b"/public%2Fsecret",
        b"/%2fsecret",
        b"/secret%2f",
        b"/public%252fsecret",
        b"/public%252Fsecret",
        b"/..%2fsecret",
        b"/public/..%2f..%2fsecret",
        b"//secret",
        b"///secret",
        b"/public//secret",
        b"/public//",
        b"//",
        b"//evil.example/secret",
        b"/public\\secret",
        b"\\secret",
        b"/\\secret",
        b"/public/..\\secret",
        b"/public%5csecret",
        b"/public%5C..%5Csecret",
        b"/public%255csecret",
        b"/secret%00",
        b"/secret%00.html",
        b"/secret%0a",
        b"/secret%0d%0aX-Auth-Scope:%20all",
        b"/secret%09",
        b"/secret%7f",
        b"/secret%c2%85",
        b"/secret%2500",
        b"/secret%23",
        b"/secret%2523",
        b"/secret\x00",
        b"/secret\x01",
        b"/secret\x7f",
        b"/%ff",
        b"/secret%ff",
        b"/%c0%ae%c0%ae/secret",
        b"/public%c0%afsecret",
        b"/%ed%a0%80",
        b"/secret\xff",
        b"/\xc0\xae\xc0\xae/secret",
        b"/secret%",
        b"/secret%2",
        b"/secret%zz",
        b"/secret%u002f",
        b"/secret%%32%66",
        b"/public/../secret?x",
        b"/public%2fsecret?x=1",
        long.as_bytes(),
    ];
    for set in SETS {
        for trick in tricks {
            let what = format!("{set} {}", String::from_utf8_lossy(&trick[..trick.len().min(80)]));
            if set == "envoy" && !trick.is_empty() && !trick.starts_with(b"/") {
                continue;
            }
            refused(&send(&app.base, question(set, "GET", trick, &[&reader])).await, &what);
        }
    }
}

#[tokio::test]
async fn what_does_not_begin_with_a_slash_is_no_path() {
    let (app, reader) = open().await;
    for path in [
        "secret",
        "http://auth.example/public",
        "https://auth.example",
        "auth.example:443",
        "*",
        "?x",
        "#",
        "/public#x",
    ] {
        for set in ["x-forwarded", "x-original"] {
            refused(
                &send(&app.base, question(set, "GET", path.as_bytes(), &[&reader])).await,
                &format!("{set} {path}"),
            );
        }
    }
    for path in ["secret", "*", "%2fsecret", ";x/secret", ":443/secret"] {
        // The name of another guard.
        let answer = send(&app.base, question("envoy", "GET", path.as_bytes(), &[&reader])).await;
        assert_eq!(answer.verdict(), (404, "not_found".to_owned()), "{path}");
    }
    // RFC 9112 §3.2.2: the absolute form is one and the same request.
    let absolute = format!("GET http://x.example/forward-auth/g/envoy/secret HTTP/1.1\r\nHost: x\r\n{reader}\r\n\r\n");
    assert_eq!(send(&app.base, &absolute).await.verdict(), (403, "insufficient_scope".to_owned()));
    refused(&send(&app.base, absolute.replace("/secret", "/http://x.example/secret")).await, "absolute");
    refused(&send(&app.base, absolute.replace("/secret", "/a/../secret")).await, "absolute, dot segments");
}

#[tokio::test]
async fn a_path_that_has_one_reading_is_let_be() {
    let (app, reader) = open().await;
    for path in [
        "/",
        "/public",
        "/public/",
        "/a/b/c",
        "/...",
        "/a..b",
        "/..a",
        "/a..",
        "/.well-known/x",
        "/a;v=1/b",
        "/a%20b",
        "/a+b",
        "/caf%C3%A9",
        "/100%25",
        "/a:b@c!$&'()*,=~_-",
        "/%7Euser",
        "/public?../..//%2f%00%ff",
        "/secret2",
        "/SECRET",
        "/secret/",
    ] {
        for set in SETS {
            let answer = send(&app.base, question(set, "GET", path.as_bytes(), &[&reader])).await;
            assert_eq!(answer.verdict(), (200, String::new()), "{set} {path}: {answer:?}");
        }
    }
    for path in ["/secret", "/%73ecret", "/secret?", "/secret?x=/public", "/%73%65%63%72%65%74"] {
        for set in SETS {
            let answer = send(&app.base, question(set, "GET", path.as_bytes(), &[&reader])).await;
            assert_eq!(answer.verdict(), (403, "insufficient_scope".to_owned()), "{set} {path}");
        }
    }
}

#[tokio::test]
async fn method_and_path_are_there_once() {
    let (app, reader) = open().await;
    for (set, method, path) in [
        ("x-forwarded", "X-Forwarded-Method", "X-Forwarded-Uri"),
        ("x-original", "X-Original-Method", "X-Original-URI"),
    ] {
        let (get, uri) = (format!("{method}: GET"), format!("{path}: /public"));
        let (post, secret) = (format!("{method}: POST"), format!("{path}: /secret"));
        let lower =
            [get.to_ascii_lowercase().replace("get", "GET"), uri.to_ascii_uppercase().replace("/PUBLIC", "/public")];
        let bad_methods = ["", "get", "Get", "G ET", "GET,POST", "GET, GET", "G\u{e9}T", "/", "\"GET\""];
        let (no_uri, beyond_ascii) = (format!("{path}:"), format!("{path}: /caf\u{e9}"));
        let ask = |lines: Vec<String>| {
            let lines = lines.join("\r\n");
            // Method and path of the question itself say nothing here.
            let request =
                format!("DELETE /forward-auth/g/{set}/secret HTTP/1.1\r\nHost: a\r\n{reader}\r\n{lines}\r\n\r\n");
            let base = app.base.clone();
            async move { send(&base, request).await }
        };
        assert_eq!(ask(vec![get.clone(), uri.clone()]).await.status, 200);
        assert_eq!(ask(lower.to_vec()).await.status, 200, "names of headers have no case");
        assert_eq!(ask(vec![get.clone(), secret.clone()]).await.status, 403);
        for lines in [
            vec!["X-None: x".to_owned()],
            vec![get.clone()],
            vec![uri.clone()],
            vec![get.clone(), get.clone(), uri.clone()],
            vec![get.clone(), post.clone(), uri.clone()],
            vec![get.clone(), uri.clone(), uri.clone()],
            vec![get.clone(), secret.clone(), uri.clone()],
            vec![get.clone(), uri.clone(), secret.clone()],
            vec![get.clone(), no_uri],
            vec![get.clone(), beyond_ascii],
        ] {
            refused(&ask(lines.clone()).await, &format!("{lines:?}"));
        }
        for bad in bad_methods {
            refused(&ask(vec![format!("{method}: {bad}"), uri.clone()]).await, bad);
        }
    }
}

/// Only what the guard names is read: a proxy that sets one of them lets the client's others through.
#[tokio::test]
async fn the_headers_of_the_other_sets_are_not_read() {
    let (app, reader) = open().await;
    for (mine, others) in
        [("/public", "/secret"), ("/secret", "/public"), ("/public", "/../garbage"), ("/secret", "/../x")]
    {
        let all = [
            ("x-forwarded", "X-Forwarded-Method: POST".to_owned()),
            ("x-forwarded", format!("X-Forwarded-Uri: {others}")),
            ("x-forwarded", format!("X-Forwarded-Uri: {others}?again")),
            ("x-original", "X-Original-Method: POST".to_owned()),
            ("x-original", format!("X-Original-URI: {others}")),
            ("x-original", format!("X-Original-URL: {others}")),
            ("", format!("X-Rewrite-URL: {others}")),
            ("", format!("X-Envoy-Original-Path: {others}")),
            ("", format!("X-Forwarded-Path: {others}")),
            ("", format!("X-Forwarded-Prefix: {others}")),
            ("", "X-HTTP-Method-Override: DELETE".to_owned()),
        ];
        for set in SETS {
            let mut lines: Vec<_> = all.iter().filter(|(of, _)| *of != set).map(|(_, line)| line.as_str()).collect();
            lines.push(&reader);
            let mut request = question(set, "GET", mine.as_bytes(), &lines);
            if set != "envoy" && !others.contains("..") {
                let text = String::from_utf8(request).unwrap();
                request = text.replacen(&format!("/g/{set} "), &format!("/g/{set}{others} "), 1).into_bytes();
            }
            let expected = if mine == "/public" { 200 } else { 403 };
            assert_eq!(send(&app.base, request).await.status, expected, "{set}: {mine} beside {others}");
        }
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed() {
    let (app, reader) = open().await;
    let stranger = Ipv4Addr::new(127, 0, 0, 2);
    for set in SETS {
        for path in ["/public", "/secret", "/public/../secret"] {
            for lines in [&[&*reader][..], &[], &[&*reader, "X-Forwarded-For: 127.0.0.1"], &["Authorization: Bearer x"]]
            {
                let answer = send_from(&app.base, stranger, question(set, "GET", path.as_bytes(), lines)).await;
                assert_eq!(answer.verdict(), (400, "malformed_request".to_owned()), "{set} {path}: {answer:?}");
            }
        }
        // The peer is what counts, and not whom it speaks for.
        let lines = [&*reader, "X-Forwarded-For: 127.0.0.2"];
        assert_eq!(send(&app.base, question(set, "GET", b"/public", &lines)).await.status, 200);
    }
}

#[tokio::test]
async fn a_guard_that_is_not_there_is_not_found() {
    let (app, reader) = open().await;
    for path in [
        "/nothing",
        "/nothing/public",
        "/Envoy/public",
        "/%65nvoy/public",
        "/envoy%2fpublic",
        "/envoy;/public",
        "/../x",
        "/envoy%20/x",
        "/%FF/x",
    ] {
        for lines in [&*reader, "X-None: x"] {
            let request = format!("GET /forward-auth/g{path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
            assert_eq!(send(&app.base, &request).await.verdict(), (404, "not_found".to_owned()), "{path}");
        }
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_guards_with_and_without_it() {
    let guard = format!("issuer = \"https://auth.example/mint\"\n[[guard]]\nname = \"envoy\"\n{OPEN}");
    let app = start(&guard).await;
    let reader = bearer(&token(&app, &["orders:read"]).await);
    for prefix in ["", "/mint"] {
        for (path, status) in
            [("/", 200), ("/public", 200), ("/secret", 403), ("/a/../b", 400), ("//a", 400), ("", 400)]
        {
            let request = format!("GET {prefix}/forward-auth/g/envoy{path} HTTP/1.1\r\nHost: a\r\n{reader}\r\n\r\n");
            assert_eq!(send(&app.base, request).await.status, status, "{prefix} {path}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_announced_and_never_sent_is_not_waited_for() {
    let (app, reader) = open().await;
    for set in SETS {
        for announced in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            let request = question(set, "POST", b"/public", &[&reader, announced]);
            assert_eq!(send(&app.base, request).await.status, 200, "{set} {announced}");
        }
    }
}
