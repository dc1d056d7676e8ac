//! Guards of the configuration that take Digest.

use mintage::api::NewClient;
use mintage::secret::Environment;
use serde_json::json;

use crate::guards::{SETS, question, start};
use crate::raw::{Answer, send as send_raw};

use super::{Challenge, Login, Pair, challenge_lines, challenges, invalid, key_of, ok, pair_with, refused, stale};
use crate::app::TestApp;

const RULES: &str = "digest = true
[[guard.rule]]
methods = [\"GET\", \"POST\"]
path = \"/orders/{*rest}\"
scopes = [\"orders:read\"]
";

async fn site() -> (TestApp, Pair) {
    let guard = |set: &str| format!("[[guard]]\nname = \"{set}\"\nrequest = \"{set}\"\n{RULES}\n");
    let plain = "[[guard]]\nname = \"plain\"\n[[guard.rule]]\npath = \"/{*rest}\"\nscopes = [\"orders:read\"]\n";
    let app = start(&(SETS.map(guard).concat() + plain)).await;
    let new =
        NewClient { scopes: vec!["orders:read".to_owned()], environment: Environment::Test, ..NewClient::default() };
    let pair = pair_with(&app, new, json!({})).await;
    (app, pair)
}

async fn ask(app: &TestApp, set: &str, method: &str, target: &str, lines: &[&str]) -> Answer {
    send_raw(&app.base, question(set, method, target.as_bytes(), lines)).await
}

async fn challenged(app: &TestApp, set: &str) -> Challenge {
    let answer = ask(app, set, "GET", "/orders/1", &[]).await;
    assert_eq!(answer.verdict(), refused(401, "no_credentials"));
    assert_eq!(challenge_lines(&answer).len(), 3, "{answer:?}");
    challenges(&answer).remove(0)
}

#[tokio::test]
async fn a_guard_takes_what_was_signed_for_the_original_request() {
    let (app, pair) = site().await;
    let malformed = refused(400, "malformed_request");
    for set in SETS {
        let login = async |method: &str, target: &str| Login::new(&pair, &challenged(&app, set).await, method, target);
        for (method, target) in [("GET", "/orders/1"), ("POST", "/orders/1?a=b&c=%20d"), ("GET", "/orders/caf%C3%A9?")]
        {
            let login = login(method, target).await;
            let answer = ask(&app, set, method, target, &[&login.header()]).await;
            assert_eq!(answer.verdict(), ok(), "{set} {target}");
            let expected = [
                ("x-auth-client-id", pair.client.as_str()),
                ("x-auth-env", "test"),
                ("x-auth-org", "default"),
                ("x-auth-project", "default"),
                ("x-auth-scope", "orders:read"),
            ];
            assert_eq!(answer.identity(), expected);
            let again = ask(&app, set, method, target, &[&login.header()]).await;
            assert_eq!(again.verdict(), stale());
            assert_eq!(again.header("x-auth-reason"), Some("digest_stale"));
            assert_eq!(challenges(&again).len(), 2);
        }
        for (signed, sent) in [
            ("/orders/1", "/orders/2"),
            ("/orders/1", "/orders/1?a=b"),
            ("/orders/1?a=b", "/orders/1?a=c"),
            ("/orders/%31", "/orders/1"),
            ("/forward-auth/g/envoy/orders/1", "/orders/1"),
        ] {
            let header = login("GET", signed).await.header();
            assert_eq!(ask(&app, set, "GET", sent, &[&header]).await.verdict(), malformed, "{set} {signed}");
        }
        // The method is that of the original request; it is in the response alone.
        let header = login("GET", "/orders/1").await.header();
        assert_eq!(ask(&app, set, "POST", "/orders/1", &[&header]).await.verdict(), invalid(), "{set}");
        let header = login("GET", "/elsewhere").await.header();
        assert_eq!(ask(&app, set, "GET", "/elsewhere", &[&header]).await.verdict().0, 403, "no rule has it");
    }
}

#[tokio::test]
async fn other_guards_do_not() {
    let (app, pair) = site().await;
    let answer = send_raw(&app.base, "GET /forward-auth/g/plain/orders/1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((answer.verdict(), challenges(&answer).len()), (refused(401, "no_credentials"), 0));
    let login = Login::new(&pair, &challenged(&app, "envoy").await, "GET", "/orders/1");
    let head = format!("GET /forward-auth/g/plain/orders/1 HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", login.header());
    assert_eq!(send_raw(&app.base, head).await.verdict(), refused(400, "malformed_request"));
    let head = format!("GET /forward-auth/g/envoy/orders/1 HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n", login.header());
    assert_eq!(send_raw(&app.base, head).await.verdict(), ok());
    // Its own routes are asked for apart from the guards.
    let answer = send_raw(&app.base, "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(challenges(&answer).is_empty());
}

#[tokio::test]
async fn what_is_withdrawn_is_refused_at_once() {
    let (app, pair) = site().await;
    let second = key_of(&app, &pair.client, json!({})).await;
    let reads = async |pair: &Pair| {
        let login = Login::new(pair, &challenged(&app, "envoy").await, "GET", "/orders/1");
        ask(&app, "envoy", "GET", "/orders/1", &[&login.header()]).await.verdict()
    };
    assert_eq!((reads(&pair).await, reads(&second).await), (ok(), ok()));
    app.service.delete_digest_key(&pair.client, &pair.id, &app.caller()).await.unwrap();
    assert_eq!((reads(&pair).await, reads(&second).await), (invalid(), ok()));
    app.service.delete_client(&pair.client, &app.caller()).await.unwrap();
    assert_eq!(reads(&second).await, invalid());
}
