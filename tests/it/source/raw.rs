//! The connections of the scripted endpoint, some of which do not speak HTTP; and what a test hears of the log.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Say, Seen, Shared, answer};

pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    // What is said now, not when the connection was made.
    if stream.peek(&mut [0]).await.is_err() {
        return;
    }
    let closes = shared.closes.load(Ordering::SeqCst);
    let say = shared.says.lock().unwrap().clone();
    if closes && let Say::Raw(bytes) = say {
        let mut request = Vec::new();
        while !is_whole(&request) {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8_lossy(&request).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        shared.seen.lock().unwrap().push(Seen { path, authorization: None, body: String::new() });
        drop(stream.write_all(&bytes).await);
        *shared.answered.lock().unwrap() += 1;
        drop(stream.set_zero_linger());
        return;
    }
    let app = axum::Router::new().fallback(answer).with_state(shared);
    let serve = hyper::server::conn::http1::Builder::new()
        .keep_alive(!closes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    drop(serve.await);
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// All that is said through `tracing` on the test's own thread while this lives.
pub struct Log {
    said: Said,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn listen() -> Self {
        let said = Said::default();
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { said, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub fn heard(&self) -> String {
        String::from_utf8(self.said.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
