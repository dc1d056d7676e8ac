//! The contract of every store, as far as organizations, projects, roles, receipts and looking for clients go; and how a
//! store of an older schema becomes one of this.

use std::sync::Arc;

use mintage::api::Level;
use mintage::clock::UnixTime;
use mintage::crypto::entropy::SeededEntropy;
use mintage::scope::Scope;
use mintage::secret::SecretHash;
use mintage::server::model::{
    Organization, Place, Project, Receipt, ReplayedAnswer, Revocation, RevokedTarget, Role, SecretRecord,
};
use mintage::server::store::redb::RedbStore;
use mintage::server::store::{
    ABSENT, ClientSearch, ClientStore, CutOff, Entry, NameIs, RegistryStore, Store, StoreError,
};
use redb::{ReadableTable, TableDefinition};
use serde_json::{Value, json};

use crate::store_contract::{api, change, client, id, on_each};

pub fn organization(id: &str, revision: u64) -> Entry {
    let created_at = UnixTime::from_seconds(5);
    let secret_policy = mintage::api::SecretPolicy::default();
    Entry::Organization(Organization {
        id: id.to_owned(),
        name: id.to_owned(),
        secret_policy,
        limits: Default::default(),
        created_at,
        revision,
    })
}

pub fn project(organization: &str, id: &str, revision: u64) -> Entry {
    Entry::Project(Project {
        id: id.to_owned(),
        organization: organization.to_owned(),
        name: id.to_owned(),
        secret_policy: mintage::api::SecretPolicy::default(),
        limits: mintage::api::Limits::default(),
        quotas: mintage::api::Quotas::default(),
        paid_in: None,
        created_at: UnixTime::from_seconds(5),
        revision,
    })
}

pub fn role(organization: &str, name: &str, scopes: &[&str], revision: u64) -> Entry {
    Entry::Role(Role {
        name: name.to_owned(),
        organization: Some(organization.to_owned()),
        level: Level::Project,
        scopes: scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect(),
        description: String::new(),
        created_at: Some(UnixTime::from_seconds(5)),
        revision,
    })
}

pub fn secret(id: &str, ends: Option<i64>) -> SecretRecord {
    serde_json::from_value(json!({
        "id": id, "prefix": "", "hash": SecretHash::NONE, "generation": format!("g-{id}"), "created_at": 0, "expires_at": ends,
    }))
    .unwrap()
}

async fn save(store: &Arc<dyn Store>, entry: Entry, expected: Option<u64>) -> Result<(), StoreError> {
    store.save_entry(entry, expected, None, change("save")).await.map(drop)
}

const CONFLICT: Result<(), StoreError> = Err(StoreError::Conflict);

async fn entries_change_by_revision_and_rest_on_what_is_there(store: Arc<dyn Store>) {
    assert_eq!(save(&store, organization("acme", 1), Some(0)).await, CONFLICT);
    save(&store, organization("acme", 1), None).await.unwrap();
    assert_eq!(save(&store, organization("acme", 1), None).await, CONFLICT, "there is one");
    save(&store, organization("acme", 2), Some(1)).await.unwrap();
    assert_eq!(save(&store, organization("acme", 2), Some(1)).await, CONFLICT, "somebody was faster");
    assert_eq!(save(&store, project("nowhere", "p", 1), None).await, CONFLICT);
    assert_eq!(save(&store, role("nowhere", "R", &[], 1), None).await, CONFLICT);
    assert_eq!(save(&store, role("acme", "R", &["a:read"], 1), None).await, CONFLICT, "no such scope");
    save(&store, project("acme", "p", 1), None).await.unwrap();
    let own = mintage::server::model::Api { organization: "acme".to_owned(), ..api("https://a", "a:read") };
    store.add_api(own.clone(), change("add")).await.unwrap();
    save(&store, role("acme", "R", &["a:read"], 1), None).await.unwrap();
    let registry = store.registry().await.unwrap();
    let names: Vec<_> = registry.projects.iter().map(|p| (p.organization.as_str(), p.id.as_str())).collect();
    assert_eq!(names, [("acme", "p"), ("default", "default")]);
    assert_eq!((registry.organizations.len(), registry.roles.len(), registry.apis.len()), (2, 1, 1));

    // Nothing goes that something rests on.
    let delete = |entry: Entry| store.delete_entry(entry, change("delete"));
    assert_eq!(store.delete_api(own.clone(), change("delete")).await, CONFLICT, "a role grants its scope");
    let mut holder = client("c", 1);
    (holder.organization, holder.project) = ("acme".to_owned(), "p".to_owned());
    holder.roles.insert("R".to_owned());
    store.save_client(holder.clone(), ABSENT, vec![], change("create")).await.unwrap();
    assert_eq!(delete(role("acme", "R", &[], 1)).await, CONFLICT, "a client holds it");
    assert_eq!(delete(project("acme", "p", 1)).await, CONFLICT, "it has a client");
    assert_eq!(delete(organization("acme", 2)).await, CONFLICT, "it has a project");
    store.delete_client(&id("c"), 1, vec![], change("delete")).await.unwrap();
    assert_eq!(delete(role("acme", "R", &[], 7)).await, CONFLICT, "another revision");
    delete(role("acme", "R", &[], 1)).await.unwrap();
    assert_eq!(store.save_client(holder, ABSENT, vec![], change("create")).await, CONFLICT, "the role is gone");
    delete(project("acme", "p", 1)).await.unwrap();
    assert_eq!(delete(organization("acme", 2)).await, CONFLICT, "it has an API");
    store.delete_api(own, change("delete")).await.unwrap();
    delete(organization("acme", 2)).await.unwrap();
    let (head, records) = store.audit(1, 100).await.unwrap();
    assert_eq!((head.sequence, records.len()), (11, 11), "what conflicted has left no record");
}

async fn a_clients_project_scopes_and_roles_are_there(store: Arc<dyn Store>) {
    let mut new = client("c", 1);
    new.project = "nowhere".to_owned();
    assert_eq!(store.save_client(new.clone(), ABSENT, vec![], change("create")).await, CONFLICT);
    new.project = "default".to_owned();
    new.scopes = [Scope::parse("a:read").unwrap()].into_iter().collect();
    assert_eq!(store.save_client(new.clone(), ABSENT, vec![], change("create")).await, CONFLICT, "no such scope");
    store.add_api(api("https://a", "a:read"), change("add")).await.unwrap();
    new.roles.insert("NONE".to_owned());
    assert_eq!(store.save_client(new.clone(), ABSENT, vec![], change("create")).await, CONFLICT, "no such role");
    new.roles = ["ORG_OWNER".to_owned()].into();
    store.save_client(new.clone(), ABSENT, vec![], change("create")).await.unwrap();
    assert_eq!(
        store.delete_api(api("https://a", "a:read"), change("delete")).await,
        CONFLICT,
        "a client has its scope"
    );
}

async fn a_role_that_grants_less_reaches_exactly_its_holders(store: Arc<dyn Store>) {
    store.add_api(api("https://a", "a:read"), change("add")).await.unwrap();
    save(&store, project("default", "p", 1), None).await.unwrap();
    save(&store, role("default", "R", &["a:read"], 1), None).await.unwrap();
    save(&store, role("default", "RR", &["a:read"], 1), None).await.unwrap();
    for (name, place, held) in [("b", "default", "R"), ("a", "p", "R"), ("c", "p", "RR"), ("d", "default", "")] {
        let mut holder = client(name, 1);
        holder.project = place.to_owned();
        holder.roles.extend((!held.is_empty()).then(|| held.to_owned()));
        holder.secrets = vec![secret(&format!("s_{name}"), None)];
        store.save_client(holder, ABSENT, vec![], change("create")).await.unwrap();
    }
    let until = UnixTime::from_seconds(9);
    let narrow = |expected: u64| {
        let cut = CutOff { entropy: Arc::new(SeededEntropy::new(1)), until };
        store.save_entry(role("default", "R", &[], 2), Some(expected), Some(cut), change("narrow"))
    };
    assert_eq!(narrow(7).await.unwrap_err(), StoreError::Conflict);
    assert!(store.revocations(UnixTime::from_seconds(0)).await.unwrap().is_empty());
    // A holder that is changed meanwhile is no obstacle.
    let mut changed = store.client(&id("b")).await.unwrap().unwrap();
    changed.revision = 2;
    store.save_client(changed, 1, vec![], change("update")).await.unwrap();
    let mut cut = narrow(1).await.unwrap();
    cut.clients.sort();
    assert_eq!(cut.clients, [id("a"), id("b")]);
    for (name, revision, is_cut) in [("a", 2, true), ("b", 3, true), ("c", 1, false), ("d", 1, false)] {
        let now = store.client(&id(name)).await.unwrap().unwrap();
        let own = now.secrets[0].generation.as_str() != format!("g-s_{name}");
        assert_eq!((now.revision, own), (revision, is_cut), "{name}");
    }
    let sorted = |mut all: Vec<Revocation>| {
        all.sort_by_key(|one| format!("{:?}", one.target));
        all
    };
    let revoked = ["g-s_a", "g-s_b"].map(|g| Revocation { target: RevokedTarget::Generation(g.to_owned()), until });
    assert_eq!(sorted(cut.revoked), revoked);
    assert_eq!(sorted(store.revocations(UnixTime::from_seconds(0)).await.unwrap()), revoked);
}

async fn a_receipt_comes_with_its_change(store: Arc<dyn Store>) {
    let receipt = |until: i64| Receipt {
        name: "n".to_owned(),
        fingerprint: "f".to_owned(),
        until: UnixTime::from_seconds(until),
    };
    let mut with = change("create");
    with.origin.receipt = Some(receipt(100));
    with.place = Some(Place::organization("default"));
    let at = UnixTime::from_seconds;
    store.save_client(client("a", 2), 1, vec![], with.clone()).await.unwrap_err();
    assert_eq!(store.receipt("n", at(0)).await.unwrap(), None, "no change, no receipt");
    store.save_client(client("a", 1), ABSENT, vec![], with).await.unwrap();
    let kept = store.receipt("n", at(99)).await.unwrap().unwrap();
    assert_eq!((kept.fingerprint.as_str(), kept.target.as_str(), &kept.answer), ("f", "x", &None));
    assert_eq!(kept.place, Some(Place::organization("default")));
    let answer = ReplayedAnswer { status: 201, tag: None, location: None, body: json!({"a": 1}) };
    store.note_answer(receipt(100), answer.clone()).await.unwrap();
    let kept = store.receipt("n", at(99)).await.unwrap().unwrap();
    assert_eq!((kept.answer, kept.target.as_str()), (Some(answer), "x"));
    assert_eq!(store.receipt("n", at(100)).await.unwrap(), None, "it is over");
    store.purge(at(99)).await.unwrap();
    assert!(store.receipt("n", at(99)).await.unwrap().is_some());
    store.purge(at(101)).await.unwrap();
    assert_eq!(store.receipt("n", at(0)).await.unwrap(), None, "forgotten");
    let (_, records) = store.audit(1, 10).await.unwrap();
    assert!(!String::from_utf8_lossy(&records[0]).contains("fingerprint"), "it is no part of the record");
}

async fn what_was_told_is_forgotten_some_at_a_time(store: Arc<dyn Store>) {
    let at = UnixTime::from_seconds;
    let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    store.note_told(keys(&["a", "c"]), at(10)).await.unwrap();
    store.note_told(keys(&["b", "d"]), at(20)).await.unwrap();
    store.note_told(keys(&["c"]), at(30)).await.unwrap();
    let told = async || {
        let told = store.told(keys(&["a", "b", "c", "d", "e"])).await.unwrap();
        let mut told: Vec<_> = told.into_iter().map(|(key, at)| (key, at.seconds())).collect();
        told.sort();
        told
    };
    let pairs = |pairs: &[(&str, i64)]| pairs.iter().map(|(key, at)| ((*key).to_owned(), *at)).collect::<Vec<_>>();
    assert_eq!(told().await, pairs(&[("a", 10), ("b", 20), ("c", 30), ("d", 20)]));
    assert_eq!(store.forget_told(at(20), None, 2).await.unwrap(), Some("b".to_owned()));
    assert_eq!(told().await, pairs(&[("b", 20), ("c", 30), ("d", 20)]));
    assert_eq!(store.forget_told(at(21), Some("b".to_owned()), 3).await.unwrap(), None);
    assert_eq!(told().await, pairs(&[("b", 20), ("c", 30)]), "what stands before was not looked at");
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
    entries_change_by_revision_and_rest_on_what_is_there
    a_clients_project_scopes_and_roles_are_there
    a_role_that_grants_less_reaches_exactly_its_holders
    a_receipt_comes_with_its_change
    what_was_told_is_forgotten_some_at_a_time
}

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const PROJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("projects");
const CLIENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("clients");

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_schema_is_brought_to_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    {
        let (store, _) = RedbStore::open(&path, [7; 32], UnixTime::from_seconds(77)).unwrap();
        store.save_client(client("a", 1), ABSENT, vec![], change("create")).await.unwrap();
    }
    {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let tables: Vec<_> = transaction.list_tables().unwrap().collect();
        let first = [
            "meta",
            "clients",
            "secret_uses",
            "apis",
            "scopes",
            "projects",
            "keys",
            "revocations",
            "audit",
            "refusals",
        ];
        for table in tables {
            if !first.contains(&redb::TableHandle::name(&table)) {
                transaction.delete_table(table).unwrap();
            }
        }
        let without = |bytes: &[u8], members: &[&str]| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            for member in members {
                value.as_object_mut().unwrap().remove(*member);
            }
            serde_json::to_vec(&value).unwrap()
        };
        {
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert("schema", b"1".as_slice()).unwrap();
            let mut projects = transaction.open_table(PROJECTS).unwrap();
            let old =
                without(projects.get(("default", "default")).unwrap().unwrap().value(), &["revision", "secret_policy"]);
            projects.insert(("default", "default"), old.as_slice()).unwrap();
            let mut clients = transaction.open_table(CLIENTS).unwrap();
            let old = without(clients.get("a").unwrap().unwrap().value(), &["roles"]);
            clients.insert("a", old.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let (store, fresh) = RedbStore::open(&path, [8; 32], UnixTime::from_seconds(1000)).unwrap();
        assert!(!fresh);
        let registry = store.registry().await.unwrap();
        assert_eq!((registry.organizations.len(), registry.projects.len()), (1, 1));
        assert_eq!((registry.projects[0].created_at, registry.projects[0].revision), (UnixTime::from_seconds(77), 1));
        let search = ClientSearch { name: Some(NameIs::Exactly("a".to_owned())), limit: 10, ..ClientSearch::default() };
        let found = store.find_clients(search).await.unwrap();
        assert_eq!(found.clients.len(), 1, "it is indexed");
    }
    // One from the future is left alone.
    {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", b"99".as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let error = RedbStore::open(&path, [8; 32], UnixTime::from_seconds(1000)).unwrap_err().to_string();
    assert!(error.contains("schema 99"), "{error}");
}
