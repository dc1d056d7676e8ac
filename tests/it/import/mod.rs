//! Clients that come from elsewhere: given secrets, hashes of other systems, many at once.

mod bulk;
mod given;
mod line;

use mintage::api::{self, GivenSecret};
use mintage::server::store::redb::RedbStore;
use serde_json::Value;

use crate::app::{TestApp, TestClient};

pub const HYDRA: &str = include_str!("hydra.json");
pub const HYDRA_ROWS: &str = include_str!("hydra_rows.jsonl");
pub const KEYCLOAK: &str = include_str!("keycloak.json");
pub const CLIENTS: &str = include_str!("clients.jsonl");

/// A secret and its hash, as other systems make it.
pub const HASHES: [(&str, &str); 5] = [
    ("billing-old-secret", "$2a$10$O6sCooXSrM9xNn/d/qwkZOWo3..aaDOw9VFUPT7YrlCupgBhe61Ku"),
    ("legacy-old-secret", "$2b$12$Ns4AUnSYhSugOBCdaPQhjOB0BaxYregzIL/9yEHwySawRN0yhArUa"),
    (
        "reports~old~secret",
        "$pbkdf2-sha256$i=25000,l=32$Bin7Kmim0ZOM2bj0XM6wrA$dRAKPuw+Cb8PFfTbghTHVS2CEgWI8Yqa+t9yZCuOHrw",
    ),
    (
        "ledger old secret",
        "$pbkdf2-sha512$i=25000,l=64$D2TldSphLErxmjAuVbmvkQ$\
         qeDnI6A4oHNE8E8p6UvCRvTUBdrWhHmQ7FnEiD347QohyXbbK0nXZo/087WFxrkvsIrtoQHFRR2RtN8wkh2qIw",
    ),
    (
        "warehouse-old-secret",
        "$argon2id$v=19$m=8192,t=1,p=2$EiwShRXDRtYKf/85Al5ApA$mXqEWkNk4fLFd7pB6emqDfy34+27nw6fIJjCt3jDBzw",
    ),
];

/// Under the parameters that are used here.
pub const CURRENT: (&str, &str) = (
    "current-old-secret",
    "$argon2id$v=19$m=19456,t=2,p=1$zTAM3qPrVo7a5kEPNBOTEA$RE3vXIzPf15a//Gkpqaa8j7fbicpLGc/8lj2roruQkk",
);

fn secret(text: &str) -> Option<GivenSecret> {
    Some(GivenSecret::from(text.to_owned()))
}

/// A client with the hash of this secret.
async fn with_hash(app: &TestApp, id: &str, (text, hash): (&str, &str)) -> TestClient {
    let new = api::NewClient {
        name: id.to_owned(),
        client_id: Some(id.to_owned()),
        client_secret_hash: secret(hash),
        ..api::NewClient::default()
    };
    let made = app.service.create_client(new, &app.caller()).await.unwrap().value;
    assert!(made.client_secret.is_none() && made.secrets.len() == 1 && made.secrets[0].prefix == "…");
    TestClient { id: id.to_owned(), secret: text.to_owned() }
}

async fn status(app: &TestApp, client: &TestClient) -> u16 {
    app.token_request(client, &[]).send().await.unwrap().status().as_u16()
}

/// The hashes that a stopped service's store has of a client's secrets.
async fn kept(app: TestApp, id: &str) -> (Vec<String>, u64) {
    use mintage::server::store::ClientStore;
    let path = app.config.store_path();
    let dir = app.stop().await;
    let mut tries = 0;
    let store = loop {
        match RedbStore::open(&path, [0; 32], mintage::clock::UnixTime::from_seconds(0)) {
            Ok((store, _)) => break store,
            Err(error) if tries > 200 => panic!("{error}"),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let client = store.client(&mintage::id::ClientId::parse(id).unwrap()).await.unwrap().unwrap();
    drop(dir);
    let hash = |value: Value| value["hash"].as_str().unwrap().to_owned();
    (client.secrets.iter().map(|s| hash(serde_json::to_value(s).unwrap())).collect(), client.revision)
}
