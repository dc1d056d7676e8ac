//! How the store looks for clients: within the bounds that are asked for, page by page, and how much it reads for that.

use mintage::api::ClientStatus;
use mintage::clock::UnixTime;
use mintage::scope::Scope;
use mintage::secret::Environment;
use mintage::server::model::{Client, ClientUsage};
use mintage::server::store::redb::RedbStore;
use mintage::server::store::{ABSENT, ClientSearch, ClientStore, EndsWithin, NameIs, RegistryStore, UsageStore};

use crate::store_contract::{api, change, client, id};
use crate::store_registry::{organization, project, role, secret};

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// A client that every filter finds.
fn marked(name: &str, organization: &str, project: &str) -> Client {
    let mut client = client(name, 1);
    (client.organization, client.project) = (organization.to_owned(), project.to_owned());
    client.name = format!("x-{name}");
    client.scopes = [Scope::parse("a:read").unwrap()].into_iter().collect();
    client.roles = ["R".to_owned()].into();
    client.status = ClientStatus::Disabled;
    client.environment = Environment::Test;
    client.secrets = vec![secret(&format!("s-{name}"), Some(100))];
    client
}

fn filters() -> Vec<(&'static str, ClientSearch)> {
    let none = ClientSearch::default;
    vec![
        ("all", none()),
        ("name", ClientSearch { name: Some(NameIs::Beginning("x-".to_owned())), ..none() }),
        ("scope", ClientSearch { scope: Some("a:read".to_owned()), ..none() }),
        ("role", ClientSearch { role: Some("R".to_owned()), ..none() }),
        ("disabled", ClientSearch { status: Some(ClientStatus::Disabled), ..none() }),
        ("test", ClientSearch { environment: Some(Environment::Test), ..none() }),
        ("ends", ClientSearch { ends: Some(EndsWithin { after: at(50), before: at(101) }), ..none() }),
        ("unused", ClientSearch { unused_since: Some(at(5)), ..none() }),
    ]
}

/// The ids of all that a search finds, in pages of `limit`, and how many pages that took.
async fn pages(store: &RedbStore, search: &ClientSearch, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut count, mut after) = (Vec::new(), 0, None);
    loop {
        let found = store.find_clients(ClientSearch { after, limit, ..search.clone() }).await.unwrap();
        assert!(found.clients.len() <= limit);
        ids.extend(found.clients.iter().map(|client| client.client_id.to_string()));
        count += 1;
        after = found.next;
        if after.is_none() {
            return (ids, count);
        }
    }
}

/// The default project has more clients than are read for a page. Where a search that ends elsewhere is done in one page,
/// it has walked past none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_within_bounds_reads_nothing_beyond_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = RedbStore::open(&dir.path().join("s"), [7; 32], at(0)).unwrap();
    store.add_api(api("https://a", "a:read"), change("add")).await.unwrap();
    let entries = [
        organization("acme", 1),
        organization("acme-", 1),
        project("acme", "red", 1),
        project("acme", "blue", 1),
        project("acme-", "red", 1),
        role("default", "R", &[], 1),
        role("acme", "R", &[], 1),
        role("acme-", "R", &[], 1),
    ];
    for entry in entries {
        store.save_entry(entry, None, None, change("save")).await.unwrap();
    }
    let mut rows: Vec<_> = (0..5100).map(|n| marked(&format!("d{n:05}"), "default", "default")).collect();
    let own = [("r1", "acme", "red"), ("b1", "acme", "blue"), ("r2", "acme", "red"), ("r3", "acme", "red")];
    rows.extend(own.map(|(name, organization, project)| marked(name, organization, project)));
    rows.push(marked("other", "acme-", "red"));
    store.add_clients(rows.into_iter().map(|client| (client, change("import"))).collect()).await.unwrap();
    for (what, search) in filters() {
        let in_acme = ClientSearch { organization: Some("acme".to_owned()), ..search.clone() };
        let in_red = ClientSearch { project: Some("red".to_owned()), ..in_acme.clone() };
        let outside = ClientSearch { outside: Some("red".to_owned()), ..in_acme.clone() };
        assert_eq!(pages(&store, &in_red, 10).await, (vec!["r1".into(), "r2".into(), "r3".into()], 1), "{what}");
        assert_eq!(pages(&store, &in_red, 1).await, (vec!["r1".into(), "r2".into(), "r3".into()], 3), "{what}");
        let all = ["b1", "r1", "r2", "r3"].map(str::to_owned).to_vec();
        for limit in [1, 2, 3, 4] {
            assert_eq!(pages(&store, &in_acme, limit).await, (all.clone(), all.len().div_ceil(limit)), "{what}");
        }
        assert_eq!(pages(&store, &outside, 10).await, (vec!["b1".into()], 1), "{what}");
        let (everywhere, count) = pages(&store, &search, 10_000).await;
        assert_eq!((everywhere.len(), count), (5105, 2), "{what}: a page is bounded");
    }
    // What no index leads to.
    let used = ClientSearch { unused_since: Some(at(0)), ..ClientSearch::default() };
    assert_eq!(pages(&store, &used, 10).await, (vec![], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_ends_no_more_and_a_client_is_found_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = RedbStore::open(&dir.path().join("s"), [7; 32], at(0)).unwrap();
    for (name, ends) in [("a", vec![10, 100, 200]), ("b", vec![10]), ("c", vec![150]), ("d", vec![90, 95])] {
        let mut new = client(name, 1);
        new.secrets = ends.iter().map(|end| secret(&format!("s-{name}-{end}"), Some(*end))).collect();
        store.save_client(new, ABSENT, vec![], change("create")).await.unwrap();
    }
    let ends = |after, before| ClientSearch {
        ends: Some(EndsWithin { after: at(after), before: at(before) }),
        ..ClientSearch::default()
    };
    for (after, before, expected) in [
        (9, 11, &["a", "b"][..]),
        (10, 11, &[]),
        (10, 100, &["d"]),
        (10, 101, &["d", "a"]),
        (10, 300, &["d", "c", "a"]),
        (100, 200, &["c"]),
        (200, 300, &[]),
    ] {
        for limit in [1, 10] {
            assert_eq!(pages(&store, &ends(after, before), limit).await.0, expected, "{after} to {before}");
        }
    }
    // Between two pages time goes on, and what was found is not found again.
    let first = store.find_clients(ClientSearch { limit: 2, ..ends(10, 300) }).await.unwrap();
    assert_eq!(first.clients.len(), 2);
    let second = store.find_clients(ClientSearch { limit: 2, after: first.next, ..ends(99, 300) }).await.unwrap();
    assert_eq!(second.clients.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_secret_was_replaced_is_as_used_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = RedbStore::open(&dir.path().join("s"), [7; 32], at(0)).unwrap();
    let mut new = client("a", 1);
    new.secrets = vec![secret("old", None)];
    store.save_client(new.clone(), ABSENT, vec![], change("create")).await.unwrap();
    let mut used = ClientUsage::of(id("a"));
    used.uses.used_at = Some(at(100));
    store.note_usage(vec![used]).await.unwrap();
    (new.secrets, new.revision) = (vec![secret("new", None)], 2);
    store.save_client(new, 1, vec![], change("rotate")).await.unwrap();
    for (since, expected) in [(100, &[][..]), (101, &["a"])] {
        let search = ClientSearch { unused_since: Some(at(since)), ..ClientSearch::default() };
        assert_eq!(pages(&store, &search, 10).await.0, expected, "{since}");
    }
}
