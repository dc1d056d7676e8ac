//! The openai package with an API key, before nginx and Caddy that have what docs/guides/api-keys.md puts into them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::interop::python;
use super::{Front, Request, Site, answer, clean};

const GUIDE: &str = include_str!("../../../../docs/guides/api-keys.md");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/interop/openai_chat.py");

/// The place that the guide adds to a file.
fn place(file: &str) -> &'static str {
    let fence = if file == "Caddyfile" { "```caddyfile\n" } else { "```nginx\n" };
    GUIDE.split_once(fence).unwrap().1.split_once("```").unwrap().0
}

/// A model's server: what it was asked, and what lets it go on in the middle of a stream.
struct Model {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    go_on: Sender<()>,
}

impl Model {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::default();
        let (go_on, may_go_on) = channel();
        let sink = Arc::clone(&asked);
        let may_go_on = Arc::new(Mutex::new(may_go_on));
        std::thread::spawn(move || {
            // A proxy may open connections on which it asks nothing.
            for stream in listener.incoming() {
                let (sink, may_go_on) = (Arc::clone(&sink), Arc::clone(&may_go_on));
                std::thread::spawn(move || drop(model(&stream.unwrap(), &sink, &may_go_on)));
            }
        });
        Self { address, asked, go_on }
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn model(mut stream: &TcpStream, asked: &Mutex<Vec<Request>>, may_go_on: &Mutex<Receiver<()>>) -> std::io::Result<()> {
    let request = Request::read(stream)?;
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(request);
    let completion = |object: &str, choice: Value| json!({"id": "1", "object": object, "created": 0, "model": "stub-1", "choices": [choice]});
    match path.as_str() {
        "/v1/models" => {
            let model = json!({"id": "stub-1", "object": "model", "created": 0, "owned_by": "stub"});
            answer(stream, &json!({"object": "list", "data": [model]}))
        }
        "/v1/chat/completions" if body["stream"] == true => {
            let chunk = |text: &str| {
                let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
                format!("data: {}\n\n", completion("chat.completion.chunk", choice))
            };
            // As models do, it thinks first: what answers as soon as it has the body may come before Caddy has seen that
            // the body has ended, and Caddy then breaks the stream off ("use of closed network connection").
            std::thread::sleep(Duration::from_millis(200));
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
            write!(stream, "{}", chunk("Good "))?;
            may_go_on.lock().unwrap().recv().unwrap();
            write!(stream, "{}data: [DONE]\n\n", chunk("day"))
        }
        "/v1/chat/completions" => {
            let said = format!("You said: {}", body["messages"][0]["content"].as_str().unwrap_or_default());
            let message = json!({"role": "assistant", "content": said});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            answer(stream, &completion("chat.completion", choice))
        }
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    }
}

/// A program that has a base URL and a key. It is killed when it is dropped.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn start(python: &Path, front: &Front, key: &str) -> Self {
        let mut command = clean(python);
        command.args(["-I", SCRIPT]).env("OPENAI_BASE_URL", format!("{}/v1", front.url)).env("OPENAI_API_KEY", key);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn call(&mut self, name: &str) -> Value {
        writeln!(self.input, "{name}").unwrap();
        self.says()
    }

    fn says(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// A call that is refused: with this exception, this status and this reason.
    #[track_caller]
    fn refused(&mut self, error: &str, status: u16, reason: &str) -> Value {
        let said = self.call("models");
        let told = (&said["error"], &said["status"], &said["body"]["status"], &said["body"]["reason"]);
        assert_eq!(told, (&json!(error), &json!(status), &json!(status), &json!(reason)), "{said}");
        assert!(said["body"]["request_id"].as_str().unwrap().starts_with("r_"), "{said}");
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn an_openai_client(proxy: impl Fn(&Site) -> Option<Front>) {
    let Some(python) = python("openai") else { return };
    let model = Model::start();
    let mut site = Site::with_scopes("", &["models:use"]);
    (site.app, site.more) = (model.address, place);
    let Some(front) = proxy(&site) else { return };
    let key = |scope: &str| {
        let made = site.place.json(&["api-key", "create", "tool", "--scope", scope]);
        ["id", "api_key"].map(|member| made[member].as_str().unwrap().to_owned())
    };
    let (fine, listed) = (json!({"said": "You said: Hello"}), json!({"models": ["stub-1"]}));
    let project = |args: &[&str]| site.place.text(&[&["project", args[0], "default"], &args[1..]].concat());

    let [id, secret] = key("models:use");
    let mut program = Program::start(&python, &front, &secret);
    assert_eq!(program.call("models"), listed);
    assert_eq!(program.call("chat"), fine);
    // The first words arrive before the last are said.
    assert_eq!(program.call("stream"), json!({"delta": "Good "}));
    model.go_on.send(()).unwrap();
    assert_eq!(program.says(), json!({"delta": "day"}));
    assert_eq!(program.says(), json!({"end": true}));
    // The model's server knows who it is, and has no key but its own.
    let asked = model.asked();
    assert_eq!(asked.len(), 3);
    for request in asked {
        let said = |name: &str| request.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
        let (who, credential): (Vec<_>, Vec<_>) = (said("x-auth-client-id"), said("authorization"));
        assert_eq!((who, credential), (vec![id.clone()], vec!["Bearer the-key-of-the-provider".to_owned()]));
        assert!(!format!("{:?}{}", request.headers, request.body).contains(&secret), "{}", request.line);
    }

    let [_, other] = key("orders:read");
    Program::start(&python, &front, &other).refused("PermissionDeniedError", 403, "insufficient_scope");
    Program::start(&python, &front, "sk-none").refused("AuthenticationError", 401, "token_invalid");

    // Over the rate, and no longer when it waited as long as it was told to; as the package does unless told otherwise.
    let rate = ["--limit", "routes.read.per_minute=30", "--limit", "routes.read.burst=1"];
    project(&[&["update"][..], &rate].concat());
    assert!((0..100).any(|_| program.call("models") != listed), "a hundred were let through at 30 a minute");
    let said = program.refused("RateLimitError", 429, "rate_limited");
    let wait: u64 = said["retry_after"].as_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{said}");
    std::thread::sleep(Duration::from_secs(wait));
    assert_eq!(program.call("models"), listed);
    program.refused("RateLimitError", 429, "rate_limited");
    assert_eq!(program.call("patient"), listed);
    project(&["update", "--limit", "routes.read.per_minute=none", "--limit", "routes.read.burst=none"]);

    // What is sent is a write, and counted apart.
    project(&["update", "--limit", "routes.write.per_minute=1"]);
    let writes: Vec<_> = (0..3).map(|_| program.call("chat")["error"].clone()).collect();
    assert_eq!(writes[2], "RateLimitError", "{writes:?}");
    assert_eq!(program.call("models"), listed);
    project(&["update", "--limit", "routes.write.per_minute=none"]);

    // Over the quota, and with nothing left of the balance.
    project(&["update", "--quota", "requests.day=2"]);
    assert_eq!([program.call("models"), program.call("chat")], [listed.clone(), fine]);
    let said = program.refused("PermissionDeniedError", 403, "quota_exceeded");
    assert_eq!(said["retry_after"], Value::Null, "{said}");
    project(&["update", "--quota", "requests.day=none"]);
    project(&["balance", "--set", "1"]);
    assert_eq!(program.call("models"), listed);
    program.refused("APIStatusError", 402, "insufficient_balance");
    project(&["balance", "--none"]);
    assert_eq!(program.call("models"), listed);

    // Revoked, and the model's server does not hear of it any more.
    site.place.text(&["api-key", "revoke", &id]);
    let revoked = Instant::now();
    model.asked();
    program.refused("AuthenticationError", 401, "token_revoked");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!(model.asked().len(), 0);
}

#[test]
fn an_openai_client_behind_nginx() {
    an_openai_client(Site::nginx);
}

#[test]
fn an_openai_client_behind_caddy() {
    an_openai_client(Site::caddy);
}
