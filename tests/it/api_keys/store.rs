//! What a store keeps of API keys besides their records.

use mintage::api::ClientStatus;
use mintage::clock::UnixTime;
use mintage::crypto::entropy::SystemEntropy;
use mintage::secret::{ClientSecret, Environment, KeyPrefix};
use mintage::server::model::{Client, Kind, SecretRecord};
use mintage::server::store::redb::RedbStore;
use mintage::server::store::{ABSENT, Added, ClientSearch, ClientStore};

use crate::store_contract::{change, client, id};
use crate::store_registry::secret;

/// One of these secrets, and what finds it.
fn of_secret(name: &str) -> (SecretRecord, String) {
    let text = ClientSecret::generate_key(&KeyPrefix::default(), Environment::Live, &SystemEntropy::new()).unwrap();
    (SecretRecord { hash: text.hash().into(), ..secret(name, None) }, text.hash().to_text())
}

fn key(name: &str, revision: u64, secrets: Vec<SecretRecord>) -> Client {
    Client { kind: Kind::ApiKey, secrets, ..client(name, revision) }
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_as_long_as_its_record_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = RedbStore::open(&dir.path().join("s"), [7; 32], UnixTime::from_seconds(0)).unwrap();
    let holder = async |hash: &str| store.key_holder(hash).await.unwrap().map(|id| id.to_string());
    let ((first, one), (second, two), (third, three)) = (of_secret("1"), of_secret("2"), of_secret("3"));
    assert_eq!(holder(&one).await, None);
    let added = store.add_key(key("k", 1, vec![first.clone()]), 1, change("add")).await.unwrap();
    assert_eq!((added, holder(&one).await.as_deref()), (Added::Yes, Some("k")));
    let rotated = key("k", 2, vec![first.clone(), second.clone()]);
    store.save_client(rotated, 1, vec![], change("rotate")).await.unwrap();
    for hash in [&one, &two] {
        assert_eq!(holder(hash).await.as_deref(), Some("k"));
    }
    store.save_client(key("k", 3, vec![second]), 2, vec![], change("end")).await.unwrap();
    assert_eq!((holder(&one).await, holder(&two).await.as_deref()), (None, Some("k")));
    // The secret of a client is found by nothing.
    let mut of_client = key("c", 1, vec![third]);
    of_client.kind = Kind::Client;
    store.save_client(of_client, ABSENT, vec![], change("create")).await.unwrap();
    assert_eq!(holder(&three).await, None);
    store.delete_client(&id("k"), 3, vec![], change("delete")).await.unwrap();
    assert_eq!(holder(&two).await, None);
}

#[tokio::test]
async fn no_more_keys_are_added_than_there_may_be_and_a_search_tells_the_kinds_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = RedbStore::open(&dir.path().join("s"), [7; 32], UnixTime::from_seconds(0)).unwrap();
    store.save_client(client("c", 1), ABSENT, vec![], change("create")).await.unwrap();
    let mut disabled = key("k1", 1, vec![of_secret("1").0]);
    disabled.status = ClientStatus::Disabled;
    for (new, expected) in [
        (disabled, Added::Yes),
        (key("k2", 1, vec![of_secret("2").0]), Added::Yes),
        (key("k3", 1, vec![of_secret("3").0]), Added::Full),
    ] {
        assert_eq!(store.add_key(new, 2, change("add")).await.unwrap(), expected);
    }
    assert_eq!(store.add_key(key("k2", 1, vec![]), 3, change("add")).await.unwrap(), Added::Exists);
    let mut elsewhere = key("k4", 1, vec![]);
    elsewhere.project = "none".to_owned();
    assert_eq!(store.add_key(elsewhere, 3, change("add")).await.unwrap(), Added::Unfounded);
    for (kind, expected) in
        [(None, vec!["c", "k1", "k2"]), (Some(Kind::Client), vec!["c"]), (Some(Kind::ApiKey), vec!["k1", "k2"])]
    {
        let found = store.find_clients(ClientSearch { kind, limit: 10, ..ClientSearch::default() }).await.unwrap();
        let ids: Vec<_> = found.clients.iter().map(|found| found.client_id.as_str()).collect();
        assert_eq!((ids, found.next), (expected, None), "{kind:?}");
    }
}
