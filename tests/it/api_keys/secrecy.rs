//! An API key is in the answer that made it and nowhere else: not in what is shown, recorded or kept.

use std::fs;

use serde_json::{Value, json};

use crate::client_changes::ask;
use crate::forged::form;

use super::exchange::{exchange, exchanged};
use super::{Key, key, reading, site};

#[tokio::test]
async fn a_key_is_found_nowhere_but_where_it_was_made() {
    let app = site().await;
    let key = key(&app).await;
    let (_, rotated) = ask(&app, "POST", &format!("api-keys/{}/rotate", key.id), &json!({ "overlap": 600 })).await;
    let keys = [key.key.clone(), Key::of(&rotated).key];
    let (mut said, mut tokens) = (String::new(), Vec::new());
    for text in &keys {
        assert_eq!(reading(&app, text).await.0, 200);
        tokens.push(exchanged(&app, text, &[]).await["access_token"].as_str().unwrap().to_owned());
        // Where it does not belong.
        for request in [
            exchange(&app, text, &[("scope", text)]),
            exchange(&app, text, &[("subject_token_type", text)]),
            form(&app, "/oauth/token", &[("grant_type", text)]),
            form(
                &app,
                "/oauth/token",
                &[("grant_type", "client_credentials"), ("client_id", text), ("client_secret", text)],
            ),
        ] {
            request.send().await.unwrap();
        }
        for path in [format!("api-keys/{text}"), format!("clients/{text}"), format!("api-keys?name={text}")] {
            said += &ask(&app, "GET", &path, &Value::Null).await.1.to_string();
        }
        said += &app.get(&format!("/api/v1/whoami?access_token={text}"), Some(text)).await.text().await.unwrap();
        said += &ask(&app, "POST", "api-keys", &json!({ "name": "n", "api_key": text })).await.1.to_string();
    }
    for path in [
        format!("api-keys/{}", key.id),
        "api-keys".to_owned(),
        "clients".to_owned(),
        "review".to_owned(),
        "audit?limit=1000&kind=changes".to_owned(),
        "audit?limit=1000&kind=issuances".to_owned(),
        "audit?limit=1000&kind=refusals".to_owned(),
    ] {
        let (status, answer) = ask(&app, "GET", &path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        said += &answer.to_string();
    }
    assert!(said.contains(&key.id) && said.contains("api_key.rotate"), "what looks for it can find something");
    let dir = app.stop().await;
    let mut kept = said.into_bytes();
    for entry in fs::read_dir(dir.path().join("data")).unwrap() {
        kept.extend(fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    for text in &keys {
        let random = &text.as_bytes()["mtg_sk_live_".len() + 4..];
        assert!(!kept.windows(random.len()).any(|window| window == random), "an API key was found");
    }
}
