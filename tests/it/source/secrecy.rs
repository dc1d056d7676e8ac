//! That no secret is shown or logged anywhere.

use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mintage::client::{AuthMethod, Bearer, BearerLayer, Credentials, TokenCache, TokenSource};
use reqwest::redirect::Policy;

use super::resource::{Resource, plain_client};
use super::{Endpoint, Say, Time};

/// What is said through `log`, of which there is one for the process: kept while a test wants it.
struct Log;
static LISTENS: AtomicBool = AtomicBool::new(false);
static SAID: Mutex<String> = Mutex::new(String::new());

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        LISTENS.load(Ordering::Relaxed)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            SAID.lock().unwrap().push_str(&format!("{}: {}\n", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_shown_or_logged() {
    let (sink, mut shown) = (Sink::default(), String::new());
    let writer = sink.clone();
    let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logs = tracing::subscriber::set_default(logs.finish());
    // While there is one subscriber alone, whoever comes by a place first decides for all whether it is heard.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    log::set_logger(&Log).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    LISTENS.store(true, Ordering::Relaxed);
    let encoded: String = url::form_urlencoded::byte_serialize("s3cret/of+ mine:ü".as_bytes()).collect();
    let mut show = |what: &dyn Debug| shown.push_str(&format!("{what:?}\n{what:#?}\n"));
    let secret = "s3cret/of+ mine:ü";
    let credentials = Credentials::new("billing", secret);
    let (cache, file) = (TokenCache::default(), tempfile::NamedTempFile::new().unwrap());
    let text = serde_json::json!({"client_id": "billing", "client_secret": secret}).to_string();
    std::fs::write(file.path(), text).unwrap();
    let resource = Resource::that_takes(&["token-9"]);
    for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost] {
        let endpoint = Endpoint::new(Say::lives(3600));
        let builder = TokenSource::token_url(format!("{}/token", endpoint.url)).credentials(credentials.clone());
        let builder = builder.cache(&cache).auth_method(method).http(|http| http.connection_verbose(true));
        show(&builder);
        let source = builder.build().unwrap();
        let bearer = Bearer::new(source.clone());
        let http = reqwest_middleware::ClientBuilder::new(plain_client(Policy::none())).with(bearer.clone()).build();
        assert_eq!(http.get(&resource.url).send().await.unwrap().status(), 401);
        let in_body = endpoint.seen()[0].body.contains(&encoded);
        assert_eq!(in_body, method == AuthMethod::ClientSecretPost);
        let (token, mut changes) = (source.token().await.unwrap(), source.changes());
        show(&(&source, &token, &changes, &cache, &credentials, &bearer, BearerLayer::retrying(source.clone())));
        show(&changes.changed().await);
        show(&source.health());
        for say in [
            Say::refused(400, secret).with("www-authenticate", "Basic"),
            Say::status(500),
            Say::Half,
            Say::Endless(200),
        ] {
            endpoint.says(say);
            let fresh = endpoint.source(&Time::stands()).credentials_file(file.path()).auth_method(method);
            let source = fresh.build().unwrap();
            show(&source.token().await.unwrap_err());
            show(&(source.health(), &source));
        }
    }
    LISTENS.store(false, Ordering::Relaxed);
    log::set_max_level(log::LevelFilter::Off);
    let logged = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    let said = SAID.lock().unwrap().clone();
    assert!(logged.contains("no new token"), "{logged}");
    assert!(said.contains("reqwest") && shown.contains("billing"), "{said} {shown}");
    let basic = STANDARD.encode("billing:s3cret%2Fof%2B%20mine%3A%C3%BC");
    for (where_, text) in [("tracing", &logged), ("log", &said), ("Debug", &shown)] {
        for hidden in [secret, &encoded, &basic, &basic[16..40], "s3cret", "Bearer token-", "token-1", "token-2"] {
            let line = text.lines().find(|line| line.contains(hidden));
            assert!(line.is_none(), "{where_}: {hidden}: {line:?}");
        }
    }
}
