//! The generator: the same bytes over and over on connections that stay open, and as little reading as will tell a
//! token from anything else.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintage::oauth::response::TokenResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Result;
use super::process::SCOPES;

/// How many requests are under way at once.
pub(crate) const CONNECTIONS: usize = 16;
/// More than any answer has.
const ROOM: usize = 8 * 1024;

/// The statuses of a good answer, as they begin it.
pub(crate) const GOOD: &[&[u8]] = &[b"HTTP/1.1 200 "];

/// What came of some load. Every answer was one that was wanted, or there would be none of this.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

impl AddAssign for Measured {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.elapsed += more.elapsed;
    }
}

/// Connections that have each been used: what a first request costs is not measured.
pub(crate) struct Connections(Vec<Connection>);

struct Connection {
    stream: TcpStream,
    request: Arc<[u8]>,
    wanted: &'static [&'static [u8]],
    buffer: Vec<u8>,
    filled: usize,
    body_at: usize,
}

impl Connections {
    pub(crate) async fn open(address: SocketAddr, request: Arc<[u8]>, count: usize) -> Result<Self> {
        Self::open_for(address, request, count, GOOD).await
    }

    /// Connections on which an answer has one of these statuses.
    pub(crate) async fn open_for(
        address: SocketAddr,
        request: Arc<[u8]>,
        count: usize,
        wanted: &'static [&'static [u8]],
    ) -> Result<Self> {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let buffer = vec![0; ROOM];
            let mut connection =
                Connection { stream, request: Arc::clone(&request), wanted, buffer, filled: 0, body_at: 0 };
            connection.exchange().await?;
            open.push(connection);
        }
        Ok(Self(open))
    }

    /// As many requests as the server takes.
    pub(crate) async fn run_for(&mut self, span: Duration) -> Result<Measured> {
        let start = Instant::now();
        let mut running = JoinSet::new();
        for mut connection in self.0.drain(..) {
            running.spawn(async move {
                let mut requests = 0;
                while start.elapsed() < span {
                    connection.exchange().await?;
                    requests += 1;
                }
                Result::Ok((requests, connection))
            });
        }
        let mut requests = 0;
        while let Some(done) = running.join_next().await {
            let (own, connection) = done??;
            requests += own;
            self.0.push(connection);
        }
        Ok(Measured { requests, elapsed: start.elapsed() })
    }

    /// So many requests a second, on one connection.
    pub(crate) async fn run_at(&mut self, per_second: u64, span: Duration) -> Result<Measured> {
        let start = Instant::now();
        let mut requests = 0;
        while start.elapsed() < span {
            self.0[0].exchange().await?;
            requests += 1;
            tokio::time::sleep(Duration::from_millis(1000 / per_second)).await;
        }
        Ok(Measured { requests, elapsed: start.elapsed() })
    }

    /// The body of one of the last answers.
    pub(crate) fn sample(&self) -> &[u8] {
        self.0[0].body()
    }
}

impl Connection {
    /// Sends the request and takes in the whole answer, which has to be one that is wanted.
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.filled = 0;
        let end = loop {
            let more = self.stream.read(&mut self.buffer[self.filled..]).await?;
            if more == 0 {
                return Err("the server closed a connection, or its answer is too long".into());
            }
            self.filled += more;
            if let Some(end) = self.find_end()? {
                break end;
            }
        };
        if self.filled == end { Ok(()) } else { Err("there is something behind an answer".into()) }
    }

    /// Where the answer ends, as soon as all of it is there.
    fn find_end(&mut self) -> Result<Option<usize>> {
        let got = &self.buffer[..self.filled];
        let Some(blank) = got.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = &got[..blank];
        if !self.wanted.iter().any(|status| head.starts_with(status)) {
            return Err(format!("an answer is not what was wanted: {}", String::from_utf8_lossy(got)).into());
        }
        let name = b"content-length:";
        let length = head
            .split(|byte| *byte == b'\n')
            .find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
            .ok_or("an answer has no Content-Length")?;
        let length: usize = std::str::from_utf8(&length[name.len()..])?.trim().parse()?;
        self.body_at = blank + 4;
        let end = self.body_at + length;
        Ok((self.filled >= end).then_some(end))
    }

    fn body(&self) -> &[u8] {
        &self.buffer[self.body_at..self.filled]
    }
}

/// How long the token in an answer is, which has to be an ES256 JWT over what was asked for.
pub(crate) fn check_token(body: &[u8]) -> Result<usize> {
    let answer: TokenResponse = serde_json::from_slice(body)?;
    let [header, claims, signature] = answer.access_token.split('.').collect::<Vec<_>>()[..] else {
        return Err("a token has not three parts".into());
    };
    let json = |part| -> Result<serde_json::Value> { Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?) };
    let (header, claims) = (json(header)?, json(claims)?);
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    let wanted = SCOPES.join(" ");
    if header["alg"] != "ES256" || signature.len() != 64 || claims["scope"] != *wanted || answer.scope != wanted {
        return Err(format!("a token is not what was asked for: {header} {claims}").into());
    }
    Ok(answer.access_token.len())
}
