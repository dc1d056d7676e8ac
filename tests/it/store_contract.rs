//! The contract of a store: one suite, run against every implementation.

use std::future::Future;
use std::sync::Arc;

use mintage::api::{ClientStatus, KeyState};
use mintage::clock::UnixTime;
use mintage::crypto::sha256;
use mintage::id::ClientId;
use mintage::scope::Scope;
use mintage::secret::SecretHash;
use mintage::server::config::SigningAlgorithm;
use mintage::server::model::{
    Api, Change, Client, ClientUsage, DefinedScope, KeyRecord, Origin, Per, RefusalRecord, Revocation, RevokedTarget,
    SecretUse,
};
use mintage::server::store::redb::RedbStore;
use mintage::server::store::{ABSENT, Added, ClientSearch, Store, StoreError};
use serde_json::{Value, json};

pub fn change(action: &'static str) -> Change {
    Change {
        at: UnixTime::from_seconds(1000),
        origin: Origin::SYSTEM,
        action,
        target: "x".to_owned(),
        place: None,
        before: Value::Null,
        after: json!({"note": action}),
    }
}

async fn found(store: &dyn Store, after: Option<&str>, limit: usize) -> Vec<Client> {
    let search = ClientSearch { after: after.map(str::to_owned), limit, ..ClientSearch::default() };
    store.find_clients(search).await.unwrap().clients
}

pub fn client(id: &str, revision: u64) -> Client {
    serde_json::from_value(json!({
        "client_id": id, "name": id, "organization": "default", "project": "default", "environment": "live",
        "scopes": [], "ip_allowlist": [], "token_ttl": null, "status": "active", "secrets": [],
        "past_generations": [], "description": "", "owner": "", "labels": {}, "created_at": 0, "updated_at": 0,
        "revision": revision
    }))
    .unwrap()
}

pub fn api(identifier: &str, scope: &str) -> Api {
    Api {
        identifier: identifier.to_owned(),
        name: identifier.to_owned(),
        organization: "default".to_owned(),
        scopes: vec![DefinedScope { name: Scope::parse(scope).unwrap(), description: String::new() }],
        token_ttl: None,
        introspectors: Vec::new(),
        created_at: UnixTime::from_seconds(0),
        revision: 1,
    }
}

pub fn id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

fn revocation(name: &str, until: i64) -> Revocation {
    Revocation { target: RevokedTarget::Generation(name.to_owned()), until: UnixTime::from_seconds(until) }
}

async fn clients_change_by_revision(store: Arc<dyn Store>) {
    assert!(store.client(&id("a")).await.unwrap().is_none());
    store.save_client(client("a", 1), ABSENT, vec![], change("create")).await.unwrap();
    let again = store.save_client(client("a", 1), ABSENT, vec![], change("create")).await;
    assert_eq!(again, Err(StoreError::Conflict));
    let mut second = client("a", 2);
    second.status = ClientStatus::Disabled;
    store.save_client(second.clone(), 1, vec![revocation("g", 50)], change("disable")).await.unwrap();
    assert_eq!(store.save_client(second, 1, vec![], change("disable")).await, Err(StoreError::Conflict));
    assert_eq!(store.client(&id("a")).await.unwrap().unwrap().status, ClientStatus::Disabled);
    assert_eq!(store.revocations(UnixTime::from_seconds(49)).await.unwrap(), [revocation("g", 50)]);
    let missing = store.save_client(client("b", 5), 4, vec![], change("disable")).await;
    assert_eq!(missing, Err(StoreError::Conflict));
    assert_eq!(store.delete_client(&id("a"), 1, vec![], change("delete")).await, Err(StoreError::Conflict));
    store.delete_client(&id("a"), 2, vec![], change("delete")).await.unwrap();
    assert!(store.client(&id("a")).await.unwrap().is_none());
    // Nothing that conflicted has left a record.
    let (head, records) = store.audit(1, 100).await.unwrap();
    assert_eq!((head.sequence, records.len()), (3, 3));
}

async fn many_clients_are_added_in_one_change(store: Arc<dyn Store>) {
    store.save_client(client("b", 1), ABSENT, vec![], change("create")).await.unwrap();
    let rows = |ids: &[&str]| ids.iter().map(|id| (client(id, 1), change("import"))).collect::<Vec<_>>();
    let mut unfounded = rows(&["d"]);
    unfounded[0].0.scopes = [Scope::parse("gone:read").unwrap()].into_iter().collect();
    let all = [rows(&["a", "b"]), unfounded, rows(&["c", "a"])].concat();
    use Added::{Exists, Unfounded, Yes};
    assert_eq!(store.add_clients(all).await.unwrap(), [Yes, Exists, Unfounded, Yes, Exists]);
    assert!(store.add_clients(Vec::new()).await.unwrap().is_empty());
    let ids: Vec<_> = found(&*store, None, 10).await.into_iter().map(|c| c.name).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    // Who was left out has left no record.
    let (head, records) = store.audit(1, 100).await.unwrap();
    assert_eq!((head.sequence, records.len()), (3, 3));
}

async fn of_concurrent_changes_one_wins(store: Arc<dyn Store>) {
    let tries = (0..50).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut own = client("a", 1);
            own.name = n.to_string();
            store.save_client(own, ABSENT, vec![], change("create")).await.map(|()| n)
        })
    });
    let mut won = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(n) => won.push(n.to_string()),
            Err(error) => assert_eq!(error, StoreError::Conflict),
        }
    }
    assert_eq!(won, [store.client(&id("a")).await.unwrap().unwrap().name]);
}

async fn clients_are_listed_in_order_of_their_ids(store: Arc<dyn Store>) {
    for name in ["c", "a", "d", "b"] {
        store.save_client(client(name, 1), ABSENT, vec![], change("create")).await.unwrap();
    }
    let names = |clients: Vec<Client>| clients.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found(&*store, None, 10).await), ["a", "b", "c", "d"]);
    assert_eq!(names(found(&*store, Some("b"), 1).await), ["c"]);
    assert!(found(&*store, Some("d"), 10).await.is_empty());
}

async fn an_api_takes_its_scopes_for_itself(store: Arc<dyn Store>) {
    store.add_api(api("https://a", "a:read"), change("create")).await.unwrap();
    for taken in [api("https://a", "other"), api("https://b", "a:read")] {
        assert_eq!(store.add_api(taken, change("create")).await, Err(StoreError::Conflict));
    }
    store.add_api(api("https://b", "b:read"), change("create")).await.unwrap();
    let names: Vec<_> = store.registry().await.unwrap().apis.into_iter().map(|a| a.identifier).collect();
    assert_eq!(names, ["https://a", "https://b"]);
}

async fn an_api_is_replaced_as_it_was_known(store: Arc<dyn Store>) {
    let before = api("https://a", "a:read");
    let mut after = Api { name: "A".to_owned(), token_ttl: Some(60), revision: 2, ..before.clone() };
    let replace = |before: &Api, after: &Api| {
        let (store, before, after) = (Arc::clone(&store), before.clone(), after.clone());
        async move { store.replace_api(before, after, change("update")).await }
    };
    assert_eq!(replace(&before, &after).await, Err(StoreError::Conflict), "it is not there");
    store.add_api(before.clone(), change("create")).await.unwrap();
    store.add_api(api("https://b", "b:read"), change("create")).await.unwrap();
    replace(&before, &after).await.unwrap();
    assert_eq!(store.registry().await.unwrap().apis, [after.clone(), api("https://b", "b:read")]);
    let mut third = Api { name: "AA".to_owned(), revision: 3, ..after.clone() };
    assert_eq!(replace(&before, &third).await, Err(StoreError::Conflict), "somebody was faster");
    let taken = Api { scopes: api("https://a", "b:read").scopes, ..third.clone() };
    assert_eq!(replace(&after, &taken).await, Err(StoreError::Conflict), "a scope belongs to one API");
    third.introspectors.push("a".to_owned());
    assert_eq!(replace(&after, &third).await, Err(StoreError::Conflict), "no such client");
    assert_eq!(
        store
            .add_api(Api { introspectors: third.introspectors.clone(), ..api("https://c", "c") }, change("create"))
            .await,
        Err(StoreError::Conflict)
    );
    store.save_client(client("a", 1), ABSENT, vec![], change("create")).await.unwrap();
    replace(&after, &third).await.unwrap();
    assert_eq!(store.add_api(api("https://c", "a:read"), change("create")).await, Err(StoreError::Conflict));
    after = store.registry().await.unwrap().apis.remove(0);
    assert_eq!(after, third);
    // Nothing that conflicted has left a record.
    let (head, _) = store.audit(1, 100).await.unwrap();
    assert_eq!(head.sequence, 5);
}

async fn a_deleted_client_introspects_nowhere(store: Arc<dyn Store>) {
    for name in ["a", "b"] {
        store.save_client(client(name, 1), ABSENT, vec![], change("create")).await.unwrap();
    }
    let with = |identifier: &str, introspectors: &[&str]| Api {
        introspectors: introspectors.iter().map(|id| (*id).to_owned()).collect(),
        ..api(identifier, identifier)
    };
    for one in [with("https://a", &["a"]), with("https://ab", &["b", "a"]), with("https://b", &["b"])] {
        store.add_api(one, change("create")).await.unwrap();
    }
    assert_eq!(store.delete_client(&id("a"), 7, vec![], change("delete")).await, Err(StoreError::Conflict));
    let changed = store.delete_client(&id("a"), 1, vec![], change("delete")).await.unwrap();
    let expected = [
        Api { revision: 2, ..with("https://a", &[]) },
        Api { revision: 2, ..with("https://ab", &["b"]) },
        with("https://b", &["b"]),
    ];
    assert_eq!(changed, expected[..2]);
    assert_eq!(store.registry().await.unwrap().apis, expected);
    let (_, records) = store.audit(6, 100).await.unwrap();
    let records: Vec<Value> = records.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
    let told: Vec<_> = records.iter().map(|r| (r["action"].as_str().unwrap(), r["target"].as_str().unwrap())).collect();
    assert_eq!(told, [("api.update", "https://a"), ("api.update", "https://ab"), ("delete", "x")]);
    assert_eq!(records[1]["before"]["introspectors"], json!(["b", "a"]));
    assert_eq!(records[1]["after"]["introspectors"], json!(["b"]));
}

async fn keys_are_one_record(store: Arc<dyn Store>) {
    let key = |kid: &str| KeyRecord {
        kid: kid.to_owned(),
        algorithm: SigningAlgorithm::ES256,
        state: KeyState::Next,
        file: format!("{kid}.pem"),
        generated: true,
        published_at: UnixTime::from_seconds(0),
        activated_at: None,
        rotation_requested: false,
        longest_token: 0,
        retires_at: None,
    };
    assert_eq!(store.keys().await.unwrap(), (vec![], 0));
    store.save_keys(vec![key("a"), key("b")], 0, vec![], change("load")).await.unwrap();
    assert_eq!(store.save_keys(vec![], 0, vec![], change("load")).await, Err(StoreError::Conflict));
    store.save_keys(vec![key("b"), key("c")], 1, vec![], change("rotate")).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), (vec![key("b"), key("c")], 2));
}

async fn revocations_matter_until_they_end(store: Arc<dyn Store>) {
    let kid = Revocation { target: RevokedTarget::Kid("k".to_owned()), until: UnixTime::from_seconds(30) };
    let revoked = vec![revocation("g", 20), revocation("h", 40), kid.clone()];
    store.save_client(client("a", 1), ABSENT, revoked, change("create")).await.unwrap();
    let at = |now| {
        let store = Arc::clone(&store);
        async move { store.revocations(UnixTime::from_seconds(now)).await.unwrap() }
    };
    assert_eq!(at(0).await.len(), 3);
    assert_eq!(at(20).await, [revocation("h", 40), kid]);
    assert_eq!(store.purge(UnixTime::from_seconds(30)).await.unwrap(), 2);
    assert_eq!(at(0).await, [revocation("h", 40)]);
    // What is revoked again matters as long as the last one says.
    let again = vec![revocation("h", 60)];
    store.save_client(client("a", 2), 1, again, change("update")).await.unwrap();
    assert_eq!(store.purge(UnixTime::from_seconds(50)).await.unwrap(), 0);
    assert_eq!(at(0).await, [revocation("h", 60)]);
    assert_eq!(store.purge(UnixTime::from_seconds(60)).await.unwrap(), 1);
    assert_eq!(at(0).await, []);
}

fn token(client_id: &str, jti: &str, until: i64) -> Revocation {
    let target = RevokedTarget::Token { client_id: client_id.to_owned(), jti: jti.to_owned() };
    Revocation { target, until: UnixTime::from_seconds(until) }
}

/// Revokes a token where at most `most` are live at 100.
async fn revoke(store: &Arc<dyn Store>, revocation: Revocation, most: usize) -> bool {
    store.revoke_token(revocation, most, UnixTime::from_seconds(100), change("token.revoke")).await.unwrap()
}

async fn so_many_live_tokens_of_a_client_are_revoked(store: Arc<dyn Store>) {
    for ended in [token("a", "e", 99), token("a", "f", 100)] {
        assert!(revoke(&store, ended, 1).await);
    }
    assert!(!revoke(&store, token("a", "1", 200), 0).await);
    assert!(revoke(&store, token("a", "1", 101), 2).await, "what has ended does not count");
    assert!(revoke(&store, token("a", "2", 300), 2).await);
    assert!(!revoke(&store, token("a", "3", 300), 2).await);
    // What is revoked already is not one more.
    assert!(revoke(&store, token("a", "2", 300), 2).await);
    let live = store.revocations(UnixTime::from_seconds(100)).await.unwrap();
    assert_eq!(live, [token("a", "1", 101), token("a", "2", 300)]);
    let all = store.revocations(UnixTime::from_seconds(0)).await.unwrap();
    assert!(!all.contains(&token("a", "3", 300)), "what was refused is not remembered");
    let (head, _) = store.audit(1, 100).await.unwrap();
    assert_eq!(head.sequence, 5, "nor has it left a record");
    // Generations and keys are not counted with the tokens.
    store.save_client(client("a", 1), ABSENT, vec![revocation("a g", 300)], change("create")).await.unwrap();
    assert_eq!(store.purge(UnixTime::from_seconds(101)).await.unwrap(), 3);
    assert!(revoke(&store, token("a", "3", 300), 2).await);
    let left = store.revocations(UnixTime::from_seconds(0)).await.unwrap();
    assert_eq!(left, [revocation("a g", 300), token("a", "2", 300), token("a", "3", 300)]);
}

async fn of_concurrent_revocations_no_more_than_the_limit_are_made(store: Arc<dyn Store>) {
    let tries = (0..60).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { revoke(&store, token("a", &n.to_string(), 200), 7).await })
    });
    let mut made = 0;
    for one in tries.collect::<Vec<_>>() {
        made += usize::from(one.await.unwrap());
    }
    let live = store.revocations(UnixTime::from_seconds(100)).await.unwrap();
    assert_eq!((made, live.len()), (7, 7));
}

async fn clients_whose_ids_begin_alike_are_counted_apart(store: Arc<dyn Store>) {
    let mut ids = vec!["a".to_owned(), "aa".to_owned(), "b".to_owned(), "A".to_owned()];
    for end in ["-", ".", "_", "~", "0", "9", "Z", "z", "--", ".a", "~a", "-a", "_a"] {
        ids.push(format!("a{end}"));
    }
    ids.extend([".", "-", "_", "~", "~a", "-a"].map(str::to_owned));
    ids.push("a".repeat(128));
    // Each has room for two, in whatever order they come, and none for a third.
    for jti in ["1", "-_"] {
        for one in &ids {
            assert!(revoke(&store, token(&id(one).to_string(), jti, 200), 2).await, "{one}");
        }
    }
    for one in ids.iter().rev() {
        assert!(!revoke(&store, token(one, "3", 200), 2).await, "{one}");
    }
    let all = store.revocations(UnixTime::from_seconds(100)).await.unwrap();
    assert_eq!(all.len(), 2 * ids.len());
    for one in &ids {
        assert!(all.contains(&token(one, "1", 200)) && all.contains(&token(one, "-_", 200)), "{one}");
    }
}

fn client_with_secrets(id: &str, secrets: &[&str]) -> Client {
    let mut made = serde_json::to_value(client(id, 1)).unwrap();
    let secret = |id: &&str| {
        json!({"id": id, "prefix": id, "hash": SecretHash::NONE, "generation": "g", "created_at": 0,
               "expires_at": null})
    };
    made["secrets"] = secrets.iter().map(secret).collect();
    serde_json::from_value(made).unwrap()
}

async fn uses_of_secrets_are_kept(store: Arc<dyn Store>) {
    store.save_client(client_with_secrets("a", &["s", "t"]), ABSENT, vec![], change("create")).await.unwrap();
    let used = |at| SecretUse { at: UnixTime::from_seconds(at), from: [127, 0, 0, 1].into() };
    let usage = |uses: &[(&str, i64)]| {
        let mut usage = ClientUsage::of(id("a"));
        usage.secrets = uses.iter().map(|(secret, at)| ((*secret).to_owned(), used(*at))).collect();
        usage
    };
    store.note_usage(vec![usage(&[("s", 1), ("t", 2)])]).await.unwrap();
    // A secret that the client does not have, or no longer, leaves nothing.
    store.note_usage(vec![usage(&[("s", 3), ("u", 4)])]).await.unwrap();
    let secrets = || vec!["s".to_owned(), "t".to_owned(), "u".to_owned()];
    let uses = store.secret_uses(secrets()).await.unwrap();
    assert_eq!((uses.get("s"), uses.get("t"), uses.len()), (Some(&used(3)), Some(&used(2)), 2));
    store.delete_client(&id("a"), 1, vec![], change("delete")).await.unwrap();
    store.note_usage(vec![usage(&[("s", 5)])]).await.unwrap();
    assert_eq!(store.secret_uses(secrets()).await.unwrap().len(), 0);
}

async fn usage_is_summed_by_the_hour_and_the_day(store: Arc<dyn Store>) {
    const HOUR: i64 = 3600;
    let at = UnixTime::from_seconds;
    let usage = |client: &str, hour: i64| {
        let mut usage = ClientUsage::of(id(client));
        usage.uses.used_at = Some(at(hour * HOUR));
        usage.uses.scopes.insert("orders:read".to_owned(), at(hour * HOUR));
        usage.hours.entry(at(hour * HOUR)).or_default().count_issued("s", ["orders:read"].into_iter());
        usage
    };
    for name in ["a", "b", "c"] {
        store.save_client(client(name, 1), ABSENT, vec![], change("create")).await.unwrap();
        for hour in [0, 0, 1, 23, 24] {
            store.note_usage(vec![usage(name, hour)]).await.unwrap();
        }
    }
    store.note_usage(vec![usage("nobody", 0)]).await.unwrap();
    let issued = |per, client: &str, until: i64| {
        let (store, client) = (Arc::clone(&store), id(client));
        async move {
            let found = store.usage(&client, per, at(0), at(until * HOUR)).await.unwrap();
            found.into_iter().map(|(start, figures)| (start.seconds() / HOUR, figures.issued)).collect::<Vec<_>>()
        }
    };
    assert_eq!(issued(Per::Hour, "b", 100).await, [(0, 2), (1, 1), (23, 1), (24, 1)]);
    assert_eq!(issued(Per::Hour, "b", 23).await, [(0, 2), (1, 1)]);
    assert_eq!(issued(Per::Day, "b", 100).await, [(0, 4), (24, 1)]);
    assert_eq!(issued(Per::Hour, "b", -1).await, []);
    assert_eq!(issued(Per::Day, "nobody", 100).await, []);
    let uses = store.client_uses(vec![id("a"), id("nobody")]).await.unwrap();
    assert_eq!((uses.len(), uses[&id("a")].used_at), (1, Some(at(24 * HOUR))));
    // What is forgotten is forgotten step by step, each step from where the last one ended.
    let purge = |after| store.purge_usage(after, 2, at(23 * HOUR), at(24 * HOUR));
    assert_eq!(purge(None).await.unwrap(), Some(id("b")));
    assert_eq!(issued(Per::Hour, "b", 100).await, [(23, 1), (24, 1)]);
    assert_eq!(issued(Per::Day, "b", 100).await, [(24, 1)]);
    assert_eq!(issued(Per::Hour, "c", 100).await.len(), 4);
    assert_eq!(purge(Some(id("b"))).await.unwrap(), None);
    assert_eq!(issued(Per::Hour, "c", 100).await.len(), 2);
    // A client that is gone takes all of it along.
    store.delete_client(&id("b"), 1, vec![], change("delete")).await.unwrap();
    assert_eq!((issued(Per::Hour, "b", 100).await, issued(Per::Day, "b", 100).await), (vec![], vec![]));
    assert_eq!(store.client_uses(vec![id("b")]).await.unwrap().len(), 0);
    assert_eq!(issued(Per::Hour, "a", 100).await.len(), 2);
}

async fn every_change_is_in_the_chain(store: Arc<dyn Store>) {
    for n in 0..20 {
        store.save_client(client(&format!("c{n}"), 1), ABSENT, vec![], change("create")).await.unwrap();
    }
    let (head, records) = store.audit(1, 100).await.unwrap();
    assert_eq!((head.sequence, records.len()), (20, 20));
    let mut previous = "genesis".to_owned();
    for (index, bytes) in records.iter().enumerate() {
        let record: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(record["sequence"], index as u64 + 1);
        assert_eq!(record["previous"], previous.as_str());
        assert_eq!(record["action"], "create");
        previous = base64_of(&sha256(bytes));
    }
    assert_eq!(head.hash, previous);
    assert_eq!(store.audit(19, 1).await.unwrap().1, records[18..19]);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

async fn refusals_are_a_ring(store: Arc<dyn Store>) {
    let refusal = |n: u64| RefusalRecord {
        at: UnixTime::from_seconds(1),
        request_id: Some(n.to_string()),
        reason: "invalid_client".to_owned(),
        detail: None,
        cause: None,
        client_id: None,
        public_key: None,
        place: None,
        source: None,
        unrecorded: n,
        unrecorded_by_reason: [("invalid_client".to_owned(), n)].into(),
    };
    for start in [0, 3, 6] {
        store.note_refusals((start..start + 3).map(refusal).collect(), 5).await.unwrap();
    }
    let kept = store.refusals(100).await.unwrap();
    assert_eq!(kept, (4..9).rev().map(refusal).collect::<Vec<_>>());
    assert_eq!(store.refusals(1).await.unwrap(), [refusal(8)]);
}

async fn the_defaults_are_there(store: Arc<dyn Store>) {
    let projects = store.registry().await.unwrap().projects;
    assert_eq!(projects.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["default"]);
    assert_eq!(store.cursor_secret().await.unwrap(), [7; 32]);
    store.ping().await.unwrap();
}

/// Runs a part of the contract on a new store of each kind.
pub async fn on_each<F: Future<Output = ()>>(part: impl Fn(Arc<dyn Store>) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store/mintage.redb");
    let (store, fresh) = RedbStore::open(&path, [7; 32], UnixTime::from_seconds(0)).unwrap();
    assert!(fresh);
    part(Arc::new(store)).await;
    let (_, fresh) = RedbStore::open(&path, [8; 32], UnixTime::from_seconds(0)).unwrap();
    assert!(!fresh, "it opens again, whole");
}

macro_rules! contract {
    ($($part:ident)+) => { mod contract { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $part() {
            super::on_each(super::$part).await;
        }
    )+ } };
}

contract! {
    many_clients_are_added_in_one_change
    clients_change_by_revision
    of_concurrent_changes_one_wins
    clients_are_listed_in_order_of_their_ids
    an_api_takes_its_scopes_for_itself
    an_api_is_replaced_as_it_was_known
    a_deleted_client_introspects_nowhere
    keys_are_one_record
    revocations_matter_until_they_end
    so_many_live_tokens_of_a_client_are_revoked
    of_concurrent_revocations_no_more_than_the_limit_are_made
    clients_whose_ids_begin_alike_are_counted_apart
    uses_of_secrets_are_kept
    usage_is_summed_by_the_hour_and_the_day
    every_change_is_in_the_chain
    refusals_are_a_ring
    the_defaults_are_there
}
