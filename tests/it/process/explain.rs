//! `mintage token explain` and `mintage explain`.

use serde_json::{Value, json};

use super::{Place, finish};

#[tokio::test]
async fn a_token_and_a_refusal_are_explained() {
    let place = Place::new();
    let server = place.start(&["--no-quickstart"]);
    place.text(&["api", "create", "https://orders.example", "--scope", "orders:read", "--scope", "orders:write"]);
    let (id, secret) = place.client(&["billing", "--scope", "orders:read", "--allow-ip", "127.0.0.1"]);
    let token = server.token(&id, &secret).await;

    let good = place.run(&["token", "explain", &token, "--scope", "orders:read", "--from", "127.0.0.1"]);
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""), "{}", good.out);
    assert!(good.out.starts_with("CHECK ") && good.out.ends_with("\nlet through\n"), "{}", good.out);
    assert!(!good.out.contains(&token));

    for (args, end) in [
        (vec!["--scope", "orders:write"], "refused: 403 insufficient_scope\n"),
        (vec!["--from", "192.0.2.7"], "refused: 403 ip_not_allowed\n"),
        (vec!["--audience", "https://stock.example"], "refused: 401 token_invalid\n"),
        (vec!["--env", "test"], "refused: 403 wrong_environment\n"),
        (vec!["--at", "2100-01-01T00:00:00Z"], "refused: 401 token_expired\n"),
        (vec!["--at", "0"], "refused: 401 token_invalid\n"),
    ] {
        let refused = place.run(&[&["token", "explain", &token], &args[..]].concat());
        assert_eq!(refused.code, Some(1), "{args:?}: {}", refused.out);
        assert!(refused.out.ends_with(end), "{args:?}: {}", refused.out);
    }

    // Out of stdin, for programs.
    let ran = finish(place.command(&["token", "explain", "-", "--json"]), &format!("{token}\n"));
    let explained: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&explained["let_through"], &explained["status"], &explained["reason"]),
        (&json!(true), &json!(200), &json!(null))
    );
    let checks: Vec<_> = explained["checks"].as_array().unwrap().iter().map(|c| c["check"].as_str().unwrap()).collect();
    let all = [
        "format",
        "header",
        "key",
        "signature",
        "claims",
        "issuer",
        "audience",
        "times",
        "revocation",
        "address",
        "environment",
        "scope",
    ];
    assert_eq!(checks, all);

    for (args, word) in [
        (vec!["token", "explain", &token, "--scope", "orders:red"], "did you mean orders:read?"),
        (vec!["token", "explain", &token, "--from", "somewhere"], "not an IP address"),
        (vec!["explain", "r_0000000000000000000000"], "there is no refusal"),
    ] {
        assert!(place.fails(&args).contains(word), "{args:?}");
    }

    let (_, refused) = server.exchange(&id, "wrong").await;
    let request_id = refused["request_id"].as_str().unwrap();
    let told = place.json(&["explain", request_id]);
    assert_eq!((&told["cause"], &told["client_id"]), (&json!("wrong_secret"), &json!(id)));
    assert!(place.text(&["explain", request_id]).contains("wrong_secret"));
}
