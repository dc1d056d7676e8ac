//! Somebody between the command line and the admin socket, who loses answers and lets others go first.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What becomes of a request.
pub(super) enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is passed on and carried out, and its answer is lost.
    Lose,
}

/// The requests that came by, each with its head and body.
pub(super) type Seen = Arc<Mutex<Vec<String>>>;

/// Listens at `path` and passes on to `target` what `decide` lets pass, for as long as the test runs.
pub(super) fn listen(path: &Path, target: &Path, decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) -> Seen {
    let listener = UnixListener::bind(path).unwrap();
    let seen = Seen::default();
    let (target, noted) = (target.to_owned(), Arc::clone(&seen));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(request) = request(&mut stream) else { continue };
            let index = {
                let mut noted = noted.lock().unwrap();
                noted.push(request.clone());
                noted.len() - 1
            };
            let fate = decide(index, &request);
            let mut server = UnixStream::connect(&target).unwrap();
            let (head, rest) = request.split_once("\r\n").unwrap();
            server.write_all(format!("{head}\r\nconnection: close\r\n{rest}").as_bytes()).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            match fate {
                Fate::Pass => drop(stream.write_all(&answer)),
                // Half of it, so that the connection has broken for certain.
                Fate::Lose => drop(stream.write_all(&answer[..20])),
            }
            drop(stream.shutdown(Shutdown::Both));
        }
    });
    seen
}

/// One request, whole.
fn request(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
