//! A guard: what each of its settings lets through, and how the rest is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Extensions, HeaderMap, Request, Response, StatusCode, Uri};
use mintage::clock::{ManualClock, UnixTime};
use mintage::oauth::feed::{RevocationFeed, RevokedGeneration, RevokedJti, RevokedKid};
use mintage::resource::{
    AccessToken, Control, Guard, GuardLayer, RefusalObserver, Refused, RequireScopes, RevokedSet, Verifier,
};
use mintage::source_ip::{Allowlist, Peer, SourceAddress};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use super::{API, Key, NOW, set};

const ISSUER: &str = "https://issuer.example";
const OTHER_API: &str = "https://stock.example";

struct World {
    key: Key,
    revoked: Arc<RevokedSet>,
    verifier: Arc<Verifier>,
}

impl World {
    fn new() -> Self {
        let (key, revoked) = (Key::new(), Arc::new(RevokedSet::default()));
        let clock = Arc::new(ManualClock::new(UnixTime::from_seconds(NOW)));
        let builder = Verifier::from_jwks(ISSUER, API, set(&[&key]).to_string().as_bytes()).unwrap();
        let verifier = Arc::new(builder.clock(clock).revocations(Arc::clone(&revoked) as _).build());
        Self { key, revoked, verifier }
    }

    fn guard(&self) -> Guard {
        Guard::new(Arc::clone(&self.verifier))
    }

    fn token(&self, edit: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": "billing", "client_id": "billing", "aud": API, "exp": NOW + 300, "iat": NOW,
            "jti": "a-jti", "scope": "orders:read", "env": "live", "gen": "a-gen", "ip_allowlist": ["10.0.0.0/8"],
            "tier": {"name": "gold", "seats": 7},
        });
        edit(&mut claims);
        self.key.token(&claims)
    }

    fn plain(&self) -> String {
        self.token(|_| ())
    }

    fn revoke(&self) {
        let until = UnixTime::from_seconds(NOW + 300);
        let jtis = vec![RevokedJti { jti: "a-jti".to_owned(), until }];
        let generations = vec![RevokedGeneration { generation: "a-gen".to_owned(), until }];
        self.revoked.add(&RevocationFeed { jtis, generations, ..RevocationFeed::default() });
    }
}

fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// The reason that a guard gives, from within the token's own allowlist.
fn reason(guard: &Guard, token: &str) -> Option<String> {
    decide(guard, token, ip("10.1.2.3")).err().map(|refused| refused.reason().as_str().to_owned())
}

fn decide(guard: &Guard, token: &str, peer: Option<IpAddr>) -> Result<(AccessToken, Option<SourceAddress>), Refused> {
    guard.decide(&Uri::from_static("/orders"), &headers(token), peer)
}

fn says(reason: &str) -> Option<String> {
    Some(reason.to_owned())
}

#[test]
fn environment_and_audience() {
    let world = World::new();
    let (live, test) = (world.plain(), world.token(|claims| claims["env"] = json!("test")));
    let without = world.token(|claims| drop(claims.as_object_mut().unwrap().remove("env")));
    for environment in ["live", "test"] {
        let guard = world.guard().environment(environment);
        for (token, its) in [(&live, "live"), (&test, "test"), (&without, "none")] {
            let expected = (its != environment).then(|| "wrong_environment".to_owned());
            assert_eq!(reason(&guard, token), expected, "{its} where {environment} is needed");
        }
    }
    let other = world.token(|claims| claims["aud"] = json!(OTHER_API));
    let both = world.token(|claims| claims["aud"] = json!([API, OTHER_API]));
    let invalid = says("token_invalid");
    let there = world.guard().audience(OTHER_API);
    let of_none = world.guard().audiences([]);
    assert_eq!((reason(&of_none, &live), reason(&of_none, &other)), (None, invalid.clone()));
    let needs_both = world.guard().audiences([API.into(), OTHER_API.into()]);
    for (token, verdicts) in [
        (&live, [None, invalid.clone(), invalid.clone()]),
        (&other, [invalid.clone(), None, invalid.clone()]),
        (&both, [None, None, None]),
    ] {
        // One verifier behind all of them: what one of them remembers lets nothing through another one.
        for _ in 0..2 {
            let found = [&world.guard(), &there, &needs_both].map(|guard| reason(guard, token));
            assert_eq!(found, verdicts);
        }
    }
}

#[test]
fn scopes_all_or_any_from_scope_or_scp() {
    let world = World::new();
    let all = world.guard().scopes(RequireScopes::all(["orders:read", "orders:write"]).unwrap());
    let any = world.guard().scopes(RequireScopes::any(["orders:read", "orders:write"]).unwrap());
    assert!(RequireScopes::any([]).is_err() && RequireScopes::all([]).is_err(), "that would let everybody through");
    for (scope, scp, enough_for_all, enough_for_any) in [
        (Some(json!("orders:read")), None, false, true),
        (Some(json!("orders:read orders:write other")), None, true, true),
        (Some(json!("orders:READ orders:read2 orders")), None, false, false),
        (Some(json!("")), None, false, false),
        (None, None, false, false),
        (None, Some(json!("orders:write orders:read")), true, true),
        (None, Some(json!(["orders:write", "orders:read"])), true, true),
        (None, Some(json!(["orders:write"])), false, true),
        (Some(json!("orders:read")), Some(json!(["orders:write"])), true, true),
        (None, Some(json!([])), false, false),
    ] {
        let token = world.token(|claims| {
            let claims = claims.as_object_mut().unwrap();
            claims.remove("scope");
            claims.extend(scope.clone().map(|scope| ("scope".to_owned(), scope)));
            claims.extend(scp.clone().map(|scp| ("scp".to_owned(), scp)));
        });
        let expected = |enough: bool| (!enough).then(|| "insufficient_scope".to_owned());
        assert_eq!(reason(&all, &token), expected(enough_for_all), "all: {scope:?} {scp:?}");
        assert_eq!(reason(&any, &token), expected(enough_for_any), "any: {scope:?} {scp:?}");
        assert_eq!(reason(&world.guard(), &token), None);
    }
    for scp in [json!(7), json!(null), json!({}), json!(["orders:read orders:write"]), json!([7]), json!([""])] {
        let token = world.token(|claims| claims["scp"] = scp.clone());
        assert_eq!(reason(&world.guard(), &token), says("token_invalid"), "{scp}");
    }
    for bad in ["", "a b", "\"", "é"] {
        assert!(RequireScopes::all(["orders:read", bad]).is_err() && RequireScopes::any([bad]).is_err(), "{bad:?}");
    }
}

#[derive(Debug, Default)]
struct Told(std::sync::Mutex<Vec<(String, Option<String>)>>);

impl RefusalObserver for Told {
    fn request_refused(&self, _: &mintage::id::RequestId, refused: &Refused) {
        self.0
            .lock()
            .unwrap()
            .push((refused.reason().as_str().to_owned(), refused.client_id.as_deref().map(str::to_owned)));
    }
}

/// Every control would refuse this request; each alone in shadow leaves it to the others, in their order.
#[test]
fn a_control_in_shadow_lets_through_and_counts_and_the_others_refuse() {
    let world = World::new();
    world.revoke();
    let token = world.plain();
    let base = world.guard().environment("test").scopes(RequireScopes::all(["orders:write"]).unwrap());
    let outside = ip("192.0.2.1");
    let order = [
        (Control::Revocation, "token_revoked"),
        (Control::Address, "ip_not_allowed"),
        (Control::Environment, "wrong_environment"),
        (Control::Scope, "insufficient_scope"),
    ];
    for mask in 0..16_u32 {
        let in_shadow: Vec<Control> = (0..4).filter(|n| mask >> n & 1 == 1).map(|n| order[n].0).collect();
        let guard = base.clone().shadow(in_shadow.iter().copied());
        let twin = guard.clone();
        let before = order.map(|(control, _)| guard.shadowed().get(control));
        let found = decide(&twin, &token, outside).map(|_| ()).map_err(|refused| refused.reason().as_str().to_owned());
        let refusing = order.iter().position(|(control, _)| !in_shadow.contains(control));
        let expected = refusing.map_or(Ok(()), |at| Err(order[at].1.to_owned()));
        assert_eq!(found, expected, "{in_shadow:?}");
        // Counted is what was looked at before the one that refused; clones count together.
        for (at, (control, _)) in order.iter().enumerate() {
            let counted = guard.shadowed().get(*control) - before[at];
            assert_eq!(counted, u64::from(at < refusing.unwrap_or(4)), "{control} with {in_shadow:?} in shadow");
        }
    }
    let all = base.clone().shadow(Control::ALL);
    // What is no credential at all is refused, whatever is in shadow.
    let expired = world.token(|claims| claims["exp"] = json!(NOW - 100));
    let elsewhere = world.token(|claims| claims["aud"] = json!(OTHER_API));
    for (token, why) in
        [(&expired, "token_expired"), (&elsewhere, "token_invalid"), (&format!("{token}x"), "token_invalid")]
    {
        assert_eq!(reason(&all, token), says(why));
    }
    let kids = vec![RevokedKid { kid: world.key.kid.clone(), until: UnixTime::from_seconds(NOW + 300) }];
    world.revoked.add(&RevocationFeed { kids, ..RevocationFeed::default() });
    assert_eq!(reason(&all, &token), says("token_revoked"), "a revoked key signs for anybody");
}

#[test]
fn the_clients_own_claims_are_at_hand_and_a_bound_token_is_refused() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Tier {
        name: String,
        seats: u32,
    }
    let world = World::new();
    let (token, source) = decide(&world.guard(), &world.plain(), ip("::ffff:10.1.2.3")).unwrap();
    assert_eq!(source.unwrap().ip, ip("10.1.2.3").unwrap());
    assert_eq!(token.claim::<Tier>("tier").unwrap(), Some(Tier { name: "gold".to_owned(), seats: 7 }));
    assert_eq!(token.claim::<Value>("tier").unwrap().unwrap()["seats"], 7);
    assert!(token.claim::<u32>("tier").is_err());
    assert_eq!(token.claim::<Tier>("absent").unwrap(), None);
    assert_eq!(token.claim::<String>("env").unwrap().as_deref(), token.environment());
    for cnf in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), json!(null)] {
        let bound = world.token(|claims| claims["cnf"] = cnf.clone());
        let refused = decide(&world.guard().shadow(Control::ALL), &bound, ip("10.1.2.3")).unwrap_err();
        assert!(refused.refusal.detail().contains("cnf"), "{}", refused.refusal.detail());
    }
}

/// What a service behind the layer answers to a request with these extensions.
async fn call(guard: Guard, token: Option<&str>, extend: impl FnOnce(&mut Extensions)) -> Response<String> {
    let inner = service_fn(|request: Request<()>| async move {
        let token = request.extensions().get::<AccessToken>().expect("the token is there");
        let source = request.extensions().get::<SourceAddress>().map(|source| source.ip.to_string());
        Ok::<_, std::convert::Infallible>(Response::new(format!("{} {source:?}", token.client_id())))
    });
    let mut request = Request::new(());
    if let Some(token) = token {
        *request.headers_mut() = headers(token);
    }
    extend(request.extensions_mut());
    GuardLayer::new(guard).layer(inner).oneshot(request).await.unwrap()
}

fn with_peer(extensions: &mut Extensions, address: SocketAddr) {
    extensions.insert(Peer(address.ip()));
}

fn with_socket(extensions: &mut Extensions, address: SocketAddr) {
    extensions.insert(address);
}

/// Where a server of somebody else's puts the peer.
#[derive(Clone)]
struct Mine(IpAddr);

#[tokio::test]
async fn the_layer_finds_the_peer_where_it_is_told() {
    let world = World::new();
    let token = world.plain();
    let inside: SocketAddr = "10.1.2.3:4".parse().unwrap();
    let outside: SocketAddr = "192.0.2.1:4".parse().unwrap();
    let status = async |guard: Guard, extend: fn(&mut Extensions, SocketAddr), address: SocketAddr| {
        call(guard, Some(&token), |extensions| extend(extensions, address)).await.status()
    };
    let ways: [fn(&mut Extensions, SocketAddr); 2] = [with_peer, with_socket];
    for way in ways {
        assert_eq!(status(world.guard(), way, inside).await, 200);
        assert_eq!(status(world.guard(), way, outside).await, 403);
    }
    // Nobody knows where it came from: an allowlist lets nothing through then.
    let response = call(world.guard(), Some(&token), |_| ()).await;
    assert_eq!((response.status(), response.headers().get("www-authenticate")), (StatusCode::FORBIDDEN, None));
    // Where one is told to look, nothing else is believed.
    let mine = world.guard().peer_from(|extensions| extensions.get::<Mine>().map(|mine| mine.0));
    let with_mine: fn(&mut Extensions, SocketAddr) = |extensions, address| {
        extensions.insert(Mine(address.ip()));
    };
    assert_eq!(status(mine.clone(), with_mine, inside).await, 200);
    assert_eq!(status(mine, with_peer, inside).await, 403);
    // The route's list is another one, and both have to admit it.
    let route = world.guard().allowlist(Allowlist::parse(["10.1.0.0/16"]).unwrap());
    let elsewhere = "10.2.2.3:4".parse().unwrap();
    assert_eq!((status(route.clone(), with_peer, inside).await, status(route, with_peer, elsewhere).await), {
        (StatusCode::OK, StatusCode::FORBIDDEN)
    });
}

#[tokio::test]
async fn refusals_have_their_words() {
    let world = World::new();
    let told = Arc::new(Told::default());
    let metadata = "https://orders.example/.well-known/oauth-protected-resource";
    let guard = world.guard().resource_metadata(metadata).observer(Arc::clone(&told) as _);
    let guard =
        guard.scopes(RequireScopes::any(["orders:write", "orders:admin"]).unwrap()).errors_base("https://e.example");
    let response = call(guard.clone(), None, |_| ()).await;
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(response.status(), 401);
    assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    assert!(challenge.starts_with("Bearer realm=\"") && !challenge.contains("error"), "{challenge}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/problem+json");

    let inside = |extensions: &mut Extensions| with_peer(extensions, "10.1.2.3:4".parse().unwrap());
    let response = call(guard.clone(), Some(&world.plain()), inside).await;
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(challenge, "Bearer error=\"insufficient_scope\", scope=\"orders:admin orders:write\"");
    let problem: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(
        (&problem["scope"], &problem["token_scope"]),
        (&json!("orders:admin orders:write"), &json!("orders:read"))
    );
    assert!(problem["type"].as_str().unwrap().starts_with("https://e.example"), "{problem}");

    // What a token says is no part of a header, but as a quoted string can hold it.
    for aud in ["\"; evil=\"1", "a\r\nset-cookie: a=b", "ümläut \u{202e}", "back\\slash", "\u{0}"] {
        let token = world.token(|claims| claims["aud"] = json!(aud));
        let response = call(guard.clone(), Some(&token), inside).await;
        assert_eq!(response.status(), 401, "{aud:?}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{challenge}");
        assert_eq!(challenge.matches('"').count(), 4, "{challenge}");
        assert!(!response.headers().contains_key("set-cookie") && !challenge.contains('\\'));
        serde_json::from_str::<Value>(response.body()).unwrap();
    }
    let told = told.0.lock().unwrap();
    assert_eq!(told[0], ("no_credentials".to_owned(), None));
    assert_eq!(told[1], ("insufficient_scope".to_owned(), Some("billing".to_owned())));
    // For somebody else, and signed by the issuer all the same: it is known whose it is.
    assert_eq!((told.len(), told[2].clone()), (7, ("token_invalid".to_owned(), Some("billing".to_owned()))));
}
