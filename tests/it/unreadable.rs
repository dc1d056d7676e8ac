//! Requests whose head cannot be read: they reach no route, and are refused as everything else is.

use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::app::TestApp;
use crate::raw::{connect, send};

fn heads() -> Vec<(String, u16, &'static str)> {
    let with = |line: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
    let many: Vec<_> = (0..101).map(|number| format!("X-{number}: 1")).collect();
    let long = "a".repeat(200_000);
    let mut all: Vec<_> = [
        "garbage\r\n\r\n".to_owned(),
        "G@T / HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".to_owned(),
        "GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(),
        "GET /\u{7f}\u{1} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "POST /oauth/token HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned(),
        with("Authorization : Bearer x"),
        with("X-A: a\0b"),
        with(" folded: x"),
        with("Content-Length: 1\r\nContent-Length: 2"),
        with("Content-Length: many"),
        with("Transfer-Encoding: gzip"),
    ]
    .into_iter()
    .map(|head| (head, 400, "malformed_request"))
    .collect();
    let too_large = [
        with(&many.join("\r\n")),
        with(&format!("Authorization: Bearer {long}")),
        format!("GET /oauth/revocations?since={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    all.extend(too_large.into_iter().map(|head| (head, 431, "head_too_large")));
    all
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_a_reason() {
    let app = TestApp::start().await;
    for (head, status, reason) in heads() {
        let answer = send(&app.base, &head).await;
        let shown = &head[..head.len().min(60)];
        assert_eq!(answer.verdict(), (status, reason.to_owned()), "{shown}: {answer:?}");
        assert_eq!(
            (answer.header("cache-control"), answer.header("connection")),
            (Some("no-store"), Some("close")),
            "{shown}"
        );
        assert!(answer.header("date").is_some(), "{shown}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().ends_with(&format!("/errors/{reason}")), "{problem}");
        assert_eq!(app.get(&format!("/errors/{reason}"), None).await.status(), 200);
        // The operator finds it by its name.
        app.service.flush().await;
        let request_id = problem["request_id"].as_str().unwrap();
        let explained = app.service.explain_refusal(request_id).await;
        let explained = serde_json::to_value(explained.unwrap_or_else(|e| panic!("{shown}: {e:?}"))).unwrap();
        assert_eq!(
            (&explained["reason"], &explained["source_address"]),
            (&Value::from(reason), &Value::from("127.0.0.1"))
        );
    }
}

#[tokio::test]
async fn answers_before_it_are_whole() {
    let app = TestApp::start().await;
    let good = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let metadata = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\r\n";
    let expected = app.get("/.well-known/oauth-authorization-server", None).await.text().await.unwrap();
    let at_once = format!("{metadata}{good}{metadata}garbage\r\n\r\n");
    for pieces in [vec![at_once.as_str()], vec![metadata, good, metadata, "garbage\r\n\r\n"]] {
        let mut stream = connect(&app.base, Ipv4Addr::LOCALHOST).await;
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        // In the words of a refusal it is followed by a word.
        let versions = all.match_indices("HTTP/1.1 ").map(|(at, _)| &all[at + 9..at + 12]);
        let statuses: Vec<_> = versions.filter(|status| status.parse::<u16>().is_ok()).collect();
        assert_eq!(statuses, ["200", "200", "200", "400"], "{all}");
        assert_eq!(all.matches(&expected).count(), 2, "{all}");
        let problem: Value = serde_json::from_str(all.rsplit("\r\n\r\n").next().unwrap()).unwrap();
        assert_eq!(problem["reason"], "malformed_request");
    }
}

#[tokio::test]
async fn so_it_is_on_the_admin_socket() {
    let app = TestApp::start().await;
    let mut stream = UnixStream::connect(&app.config.admin.socket).await.unwrap();
    stream.write_all(b"garbage\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("\"reason\":\"malformed_request\""), "{answer}");
}
