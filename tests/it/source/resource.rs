//! A server that keeps what it is sent, byte for byte, and answers by a rule: the resource that tokens are for, and where
//! it matters how a request is written, the token endpoint.

use std::sync::{Arc, Mutex};

use mintage::client::{Credentials, TokenSource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Endpoint, SECRET};

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub head: String,
    pub body: String,
}

impl Sent {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// All of it, with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { head: self.head.replace(self.token().unwrap(), token), body: self.body.clone() }
    }
}

/// An answer, with these header lines.
pub fn answer(status: u16, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// What a resource says of a token that it does not take.
pub fn invalid_token() -> String {
    answer(401, &[r#"www-authenticate: Bearer error="invalid_token""#], "not this one")
}

pub fn fine() -> String {
    answer(200, &[], "fine")
}

type Rule = dyn Fn(&Sent) -> String + Send + Sync;

struct Shared {
    rule: Box<Rule>,
    seen: Mutex<Vec<Sent>>,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
}

pub struct Resource {
    pub url: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Resource {
    pub fn new(rule: impl Fn(&Sent) -> String + Send + Sync + 'static) -> Self {
        let (rule, held) = (Box::new(rule), watch::Sender::new(false));
        let shared = Arc::new(Shared { rule, seen: Mutex::default(), held });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let to_serve = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&to_serve), stream));
            }
        });
        Self { url, shared, runtime: Some(runtime) }
    }

    /// One that takes no token but these.
    pub fn that_takes(tokens: &'static [&'static str]) -> Self {
        Self::new(|sent| if tokens.contains(&sent.token().unwrap_or_default()) { fine() } else { invalid_token() })
    }

    pub fn seen(&self) -> Vec<Sent> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn asked(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// The tokens of the requests, in their order.
    pub fn tokens(&self) -> Vec<String> {
        self.seen().iter().map(|sent| sent.token().unwrap_or("none").to_owned()).collect()
    }

    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let head = until(&mut stream, &mut read, |read| find(read, b"\r\n\r\n")).await?;
        let mut sent = Sent { head: String::from_utf8(head).unwrap(), body: String::new() };
        let length = sent.header("content-length").map(|length| length.parse::<usize>().unwrap());
        let body = match length {
            Some(length) => until(&mut stream, &mut read, |read| (read.len() >= length).then_some(length)).await?,
            None if sent.header("transfer-encoding").is_some() => {
                until(&mut stream, &mut read, |read| find(read, b"0\r\n\r\n")).await?
            }
            None => Vec::new(),
        };
        sent.body = String::from_utf8(body).unwrap();
        let answer = (shared.rule)(&sent);
        shared.seen.lock().unwrap().push(sent);
        shared.held.subscribe().wait_for(|held| !held).await.ok()?;
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// Takes as many bytes off what is read as `end` says, once it says so.
async fn until(stream: &mut TcpStream, read: &mut Vec<u8>, end: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = end(read) {
            let rest = read.split_off(end);
            return Some(std::mem::replace(read, rest));
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

fn find(read: &[u8], end: &[u8]) -> Option<usize> {
    read.windows(end.len()).position(|window| window == end).map(|at| at + end.len())
}

/// A source of the tokens of `endpoint`, in the time of the machine.
pub fn source(endpoint: &Endpoint) -> TokenSource {
    let url = format!("{}/token", endpoint.url);
    TokenSource::token_url(url).credentials(Credentials::new("billing", SECRET)).build().unwrap()
}

/// A client without the certificates of the system, which take long to read; with these redirects.
pub fn plain_client(redirects: reqwest::redirect::Policy) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(redirects).no_proxy().build().unwrap()
}
