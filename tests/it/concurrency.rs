//! Changes at once: with an entity tag one wins, without one none is lost.

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::coverage::{operator, token_with};

/// A service, and a token for everything that an operator does to these.
async fn start() -> (Arc<TestApp>, String) {
    let app = TestApp::start().await;
    let scopes: Vec<_> = ["organizations", "projects", "apis", "roles", "clients"]
        .iter()
        .flat_map(|subject| [format!("mintage:{subject}:read"), format!("mintage:{subject}:write")])
        .collect();
    let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
    let client = operator(&app, ("default", "default"), &scopes, &["ORG_OWNER"]).await;
    let token = token_with(&app, &client, &scopes).await;
    (Arc::new(app), token)
}

async fn send(
    app: &TestApp,
    token: &str,
    method: &str,
    path: &str,
    tags: &[&str],
    body: &Value,
) -> (u16, HeaderMap, Value) {
    let mut request = app.http.request(method.parse().unwrap(), app.url(&format!("/api/v1/{path}"))).bearer_auth(token);
    for tag in tags {
        request = request.header(IF_MATCH, HeaderValue::from_bytes(tag.as_bytes()).unwrap());
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = request.header(CONTENT_TYPE, "application/merge-patch+json").body(body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

/// What is made, where it then is, and a change to it.
const KINDS: [(&str, &str, &str, &str); 5] = [
    ("organizations", r#"{"id":"acme"}"#, "organizations/acme", "name"),
    ("projects", r#"{"id":"acme"}"#, "projects/acme", "name"),
    ("apis", r#"{"identifier":"urn:acme"}"#, "apis/urn%3Aacme", "name"),
    ("roles", r#"{"name":"acme"}"#, "roles/acme", "description"),
    ("clients", r#"{"name":"n","client_id":"acme"}"#, "clients/acme", "name"),
];

#[tokio::test(flavor = "multi_thread")]
async fn of_many_with_one_tag_one_wins() {
    let (app, token) = start().await;
    for (list, new, path, member) in KINDS {
        let (status, headers, made) = send(&app, &token, "POST", list, &[], &serde_json::from_str(new).unwrap()).await;
        assert_eq!(status, 201, "{made}");
        let before = tag(&headers);
        let all = (0..12).map(|n| {
            let (app, token, before) = (app.clone(), token.clone(), before.clone());
            tokio::spawn(async move {
                let (status, headers, answer) =
                    send(&app, &token, "PATCH", path, &[&before], &json!({member: format!("by {n}")})).await;
                (status, headers, answer)
            })
        });
        let (mut won, mut late) = (Vec::new(), 0);
        for told in all.collect::<Vec<_>>() {
            let (status, headers, answer) = told.await.unwrap();
            match status {
                200 => won.push((tag(&headers), answer)),
                412 => {
                    assert_eq!(answer["reason"], "precondition_failed");
                    late += 1;
                }
                _ => panic!("{path}: {status} {answer}"),
            }
        }
        assert_eq!((won.len(), late), (1, 11), "{path}");
        // A patch that names nothing shows what there is.
        let (_, headers, now) = send(&app, &token, "PATCH", path, &[], &json!({})).await;
        assert_eq!((&tag(&headers), &now[member]), (&won[0].0, &won[0].1[member]), "{path}");
        assert_ne!(won[0].0, before, "{path}");
        // What is late is not deleted, either.
        assert_eq!(send(&app, &token, "DELETE", path, &[&before], &Value::Null).await.0, 412, "{path}");
        assert_eq!(send(&app, &token, "DELETE", path, &[&won[0].0], &Value::Null).await.0, 204, "{path}");
        // And what is made anew is something else, although within the same second and with the same content.
        let mut new: Value = serde_json::from_str(new).unwrap();
        new[member] = json!("anew");
        let (status, headers, _) = send(&app, &token, "POST", list, &[], &new).await;
        assert_eq!(status, 201, "{path}");
        assert!(tag(&headers) != before && tag(&headers) != won[0].0, "{path}");
        assert_eq!(send(&app, &token, "PATCH", path, &[&before], &json!({member: "late"})).await.0, 412, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tag_none_is_lost() {
    let (app, token) = start().await;
    let id = app.client(&[]).await.id;
    let path = format!("clients/{id}");
    let all = (0..8).map(|n| {
        let (app, token, path) = (app.clone(), token.clone(), path.clone());
        tokio::spawn(async move {
            send(&app, &token, "PATCH", &path, &[], &json!({"labels": {format!("l{n}"): "x"}})).await
        })
    });
    for told in all.collect::<Vec<_>>() {
        let (status, _, answer) = told.await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    let (_, _, now) = send(&app, &token, "GET", &path, &[], &Value::Null).await;
    assert_eq!(now["labels"].as_object().unwrap().len(), 8, "{now}");
}

#[tokio::test]
async fn if_match_as_rfc_9110_has_it() {
    let (app, token) = start().await;
    let id = app.client(&[]).await.id;
    let path = format!("clients/{id}");
    let (_, headers, _) = send(&app, &token, "GET", &path, &[], &Value::Null).await;
    let own = tag(&headers);
    let (weak, bare) = (format!("W/{own}"), own.trim_matches('"').to_owned());
    let several = format!("\"other\", {own}");
    let unspaced = format!("\"other\",{own}");
    let gaps = format!(", \"other\" ,, {own} ,");
    let commas = format!("\"with,comma\", {own}");
    let open = own.trim_end_matches('"').to_owned();
    let with_star = format!("*, {own}");
    for (tags, status) in [
        (&["*"][..], 200),
        (&[own.as_str()], 200),
        (&[several.as_str()], 200),
        (&[unspaced.as_str()], 200),
        (&[gaps.as_str()], 200),
        (&[commas.as_str()], 200),
        (&["\"other\"", own.as_str()], 200),
        // It compares strongly (§13.1.1).
        (&[weak.as_str()], 412),
        (&["\"other\""], 412),
        (&["\"\""], 412),
        (&["W/\"other\", \"another\""], 412),
        (&["\"with,comma\""], 412),
        (&[""], 412),
        (&[bare.as_str()], 400),
        (&[open.as_str()], 400),
        (&["\"a\" \"b\""], 400),
        (&["w/\"a\""], 400),
        (&[with_star.as_str()], 400),
        (&["\"ä"], 400),
        (&["garbage"], 400),
    ] {
        // Nothing is changed, so that the tag stays.
        let (got, headers, answer) = send(&app, &token, "PATCH", &path, tags, &json!({})).await;
        assert_eq!(got, status, "{tags:?}: {answer}");
        if got == 200 {
            assert_eq!(tag(&headers), own, "{tags:?}");
        }
    }
    // There is nothing that could be anything.
    assert_eq!(send(&app, &token, "PATCH", "clients/nothing", &["*"], &json!({})).await.0, 404);
    // A use of the secret is no change; every change is one.
    for (method, path, body) in [
        ("POST", format!("{path}/secrets"), json!({})),
        ("PATCH", path.clone(), json!({"description": "d"})),
        ("POST", format!("{path}/revoke"), Value::Null),
    ] {
        let (_, headers, _) = send(&app, &token, "GET", &format!("clients/{id}"), &[], &Value::Null).await;
        let before = tag(&headers);
        let (status, headers, answer) = send(&app, &token, method, &path, &[&before], &body).await;
        assert!(status < 300, "{method} {path}: {answer}");
        assert_ne!(tag(&headers), before, "{method} {path}");
        assert_eq!(send(&app, &token, method, &path, &[&before], &body).await.0, 412, "{method} {path}");
    }
}
