//! Somebody between the command line and the server, who loses answers and lets others go first.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// What becomes of a request.
pub(super) enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is passed on and carried out, and its answer is lost.
    Lose,
}

/// The requests that came by, each with its head and body.
pub(super) type Seen = Arc<Mutex<Vec<String>>>;

/// A connection of either kind.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Listens at `path` and passes on to `target` what `decide` lets pass, for as long as the test runs.
pub(super) fn listen(path: &Path, target: &Path, decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) -> Seen {
    let listener = UnixListener::bind(path).unwrap();
    let target = target.to_owned();
    let accept = move || Box::new(listener.accept().unwrap().0) as Box<dyn Stream>;
    pass_on(accept, move || Box::new(UnixStream::connect(&target).unwrap()), decide)
}

/// The same over TCP, from `listener` to the address that `target` will have.
pub(super) fn listen_tcp(
    listener: TcpListener,
    target: Arc<OnceLock<SocketAddr>>,
    decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static,
) -> Seen {
    let accept = move || Box::new(listener.accept().unwrap().0) as Box<dyn Stream>;
    pass_on(accept, move || Box::new(TcpStream::connect(target.get().unwrap()).unwrap()), decide)
}

fn pass_on(
    accept: impl Fn() -> Box<dyn Stream> + Send + 'static,
    connect: impl Fn() -> Box<dyn Stream> + Send + 'static,
    decide: impl Fn(usize, &str) -> Fate + Send + Sync + 'static,
) -> Seen {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        loop {
            let mut stream = accept();
            let Some(request) = request(&mut *stream) else { continue };
            let index = {
                let mut noted = noted.lock().unwrap();
                noted.push(request.clone());
                noted.len() - 1
            };
            let fate = decide(index, &request);
            let mut server = connect();
            let (head, rest) = request.split_once("\r\n").unwrap();
            server.write_all(format!("{head}\r\nconnection: close\r\n{rest}").as_bytes()).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            // Half of it, so that the connection has broken for certain.
            let passed = if matches!(fate, Fate::Lose) { &answer[..20] } else { &answer[..] };
            drop(stream.write_all(passed));
        }
    });
    seen
}

/// One request, whole.
fn request(stream: &mut dyn Stream) -> Option<String> {
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
