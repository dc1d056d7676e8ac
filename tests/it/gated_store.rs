//! A store that stands before the real one: it can be down, and what it is asked can be held at its gate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mintage::clock::UnixTime;
use mintage::id::ClientId;
use mintage::server::model::{
    Account, AccountId, Api, AuditHead, AuditKey, AuditSigner, ChainWalk, Change, Client, ClientUsage, ClientUses,
    Figures, Gap, KeyRecord, Per, Receipt, ReceiptRecord, RefusalRecord, ReplayedAnswer, Revocation, SecretUse,
    Segment, Verdict,
};
use mintage::server::store::redb::RedbStore;
use mintage::server::store::{
    AccountStore, Added, AuditReader, AuditStore, BackupStream, ClientSearch, ClientStore, CutOff, Cutoffs, Entry,
    FoundClients, HoldersCut, KeyStore, NoticeStore, ReceiptStore, Registry, RegistryStore, RevocationStore, Store,
    StoreError, UsageStore,
};
use tokio::sync::Semaphore;

/// The store and its gate.
#[derive(Debug)]
pub struct GatedStore {
    store: RedbStore,
    down: AtomicBool,
    /// The verb that waits at the gate; or the answer to one, behind it.
    held: Mutex<Option<String>>,
    arrived: Semaphore,
    may_pass: Semaphore,
}

impl GatedStore {
    pub fn new(store: RedbStore) -> Arc<Self> {
        let none = || Semaphore::new(0);
        Arc::new(Self {
            store,
            down: AtomicBool::new(false),
            held: Mutex::new(None),
            arrived: none(),
            may_pass: none(),
        })
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// From now on revocations of tokens wait until they are let pass.
    pub fn hold(&self) {
        self.hold_verb("revoke_token");
    }

    /// From now on this verb waits until it is let pass, and no other does.
    pub fn hold_verb(&self, verb: &str) {
        *self.held.lock().unwrap() = Some(verb.to_owned());
    }

    /// From now on the answer to this verb waits until it is let pass.
    pub fn hold_answer(&self, verb: &str) {
        self.hold_verb(&format!("{verb} answered"));
    }

    /// From now on nothing waits; what waits already goes on waiting.
    pub fn hold_nothing(&self) {
        *self.held.lock().unwrap() = None;
    }

    /// Waits until one has come.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub fn let_one_pass(&self) {
        self.may_pass.add_permits(1);
    }

    async fn wait(&self, what: &str) {
        let held = self.held.lock().unwrap().as_deref() == Some(what);
        if held {
            self.arrived.add_permits(1);
            self.may_pass.acquire().await.unwrap().forget();
        }
    }

    fn is_up(&self) -> Result<(), StoreError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("the disk is full".to_owned())),
            false => Ok(()),
        }
    }
}

macro_rules! gated {
    ($subject:ident: $($verb:ident($($argument:ident: $type:ty),*) -> $output:ty;)+) => {
        #[async_trait::async_trait]
        impl $subject for GatedStore {
            $(async fn $verb(&self, $($argument: $type),*) -> Result<$output, StoreError> {
                self.wait(stringify!($verb)).await;
                self.is_up()?;
                let answer = self.store.$verb($($argument),*).await;
                self.wait(concat!(stringify!($verb), " answered")).await;
                answer
            })+
        }
    };
}

gated! { ClientStore:
    client(id: &ClientId) -> Option<Client>;
    find_clients(search: ClientSearch) -> FoundClients;
    save_client(client: Client, expected: u64, revoked: Vec<Revocation>, change: Change) -> ();
    replace_clients(clients: Vec<(Client, u64, Change)>) -> Vec<bool>;
    add_clients(clients: Vec<(Client, Change)>) -> Vec<Added>;
    add_key(key: Client, most: u64, change: Change) -> Added;
    key_holder(hash: &str) -> Option<ClientId>;
    digest_holder(username: &str) -> Option<ClientId>;
    has_digest_keys() -> bool;
    delete_client(id: &ClientId, expected: u64, revoked: Vec<Revocation>, change: Change) -> Vec<Api>;
}

gated! { AccountStore:
    account(id: &AccountId) -> Option<Account>;
    note_accounts(accounts: Vec<(AccountId, Account)>) -> ();
}

gated! { RegistryStore:
    registry() -> Registry;
    add_api(api: Api, change: Change) -> ();
    replace_api(before: Api, after: Api, change: Change) -> ();
    delete_api(api: Api, change: Change) -> ();
    save_entry(entry: Entry, expected: Option<u64>, cut: Option<CutOff>, change: Change) -> HoldersCut;
    delete_entry(entry: Entry, change: Change) -> ();
}

gated! { KeyStore:
    keys() -> (Vec<KeyRecord>, u64);
    save_keys(keys: Vec<KeyRecord>, expected: u64, revoked: Vec<Revocation>, change: Change) -> ();
}

gated! { RevocationStore:
    revoke_token(revocation: Revocation, most: usize, now: UnixTime, change: Change) -> bool;
    revocations(now: UnixTime) -> Vec<Revocation>;
    purge(now: UnixTime) -> usize;
}

gated! { UsageStore:
    secret_uses(secrets: Vec<String>) -> HashMap<String, SecretUse>;
    note_usage(usage: Vec<ClientUsage>) -> ();
    usage(client: &ClientId, per: Per, since: UnixTime, until: UnixTime) -> Vec<(UnixTime, Figures)>;
    client_uses(clients: Vec<ClientId>) -> HashMap<ClientId, ClientUses>;
    purge_usage(after: Option<ClientId>, most: usize, hours: UnixTime, days: UnixTime) -> Option<ClientId>;
}

gated! { AuditReader:
    audit(from: u64, limit: usize) -> (AuditHead, Vec<Vec<u8>>);
    records(from: u64, limit: usize) -> Vec<(u64, Vec<u8>)>;
    audit_back(before: u64, limit: usize) -> Vec<(u64, Vec<u8>)>;
    segments(from: u64) -> Vec<(u64, Vec<u8>)>;
    segments_back(before: u64) -> Vec<(u64, Vec<u8>)>;
    refusals_back(before: u64, limit: usize) -> Vec<(u64, RefusalRecord)>;
    walk_audit(walk: ChainWalk) -> Verdict;
}

gated! { AuditStore:
    note_refusals(refusals: Vec<RefusalRecord>, keep: u64) -> ();
    refusals(limit: usize) -> Vec<RefusalRecord>;
    add_segment(segment: Option<Segment>, gap: Gap, at: UnixTime) -> ();
    prune_audit(cutoffs: Cutoffs, limit: usize, at: UnixTime, signer: AuditSigner) -> usize;
    keep_audit_keys(keys: Vec<AuditKey>) -> ();
    begin_run(at: UnixTime) -> bool;
    end_run() -> ();
}

gated! { ReceiptStore:
    receipt(name: &str, now: UnixTime) -> Option<ReceiptRecord>;
    note_answer(receipt: Receipt, answer: ReplayedAnswer) -> ();
}

gated! { NoticeStore:
    told(keys: Vec<String>) -> HashMap<String, UnixTime>;
    note_told(keys: Vec<String>, now: UnixTime) -> ();
    forget_told(past: UnixTime, after: Option<String>, most: usize) -> Option<String>;
}

gated! { Store:
    cursor_secret() -> Vec<u8>;
    first_start_is_over() -> bool;
    end_first_start() -> ();
    backup() -> BackupStream;
    ping() -> ();
}
