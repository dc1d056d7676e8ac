//! The servers as processes, and what the kernel says they have used.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::Sub;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mintage::oauth::basic;
use mintage::oauth::metadata::TOKEN_PATH;
use mintage::secret::ClientSecret;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Result;

/// What clients ask for, and the API that defines it.
pub(crate) const SCOPES: [&str; 2] = ["orders:read", "orders:write"];
pub(crate) const API: &str = "https://orders.example.com";

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(15);
/// `USER_HZ`, which Linux shows to programs whatever it counts with itself.
const TICKS_PER_SECOND: u64 = 100;

/// Which server.
pub(crate) enum Role<'a> {
    Bare,
    Full { data: &'a Path, sockets: &'a Path, limits: &'a str },
}

/// What a server says of itself once it listens.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: SocketAddr,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

impl Ready {
    /// Tells the parent, then waits until that closes the pipe or is gone, in whatever way.
    pub(crate) async fn announce(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        std::io::stdout().flush()?;
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        Ok(())
    }
}

/// A server process. It ends with this value.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    /// A whole token request.
    pub(crate) request: Arc<[u8]>,
    /// The same with another secret, from another address.
    pub(crate) guess: Arc<[u8]>,
    child: Child,
    stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
}

impl Served {
    pub(crate) async fn start(role: Role<'_>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        match role {
            Role::Bare => command.arg("serve-bare"),
            Role::Full { data, sockets, limits } => command.arg("serve-full").arg(data).arg(sockets).arg(limits),
        };
        // Logs are made as they always are, and go nowhere.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes to the server")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        tokio::time::timeout(START, stdout.read_line(&mut line)).await??;
        let ready: Ready =
            serde_json::from_str(&line).map_err(|_| format!("a server does not start: {}", line.trim()))?;
        let wrong = Ready { client_secret: format!("{}x", ready.client_secret), ..ready.clone() };
        let (request, guess) = (request(&ready, "10.0.0.1").into(), request(&wrong, "192.0.2.1").into());
        Ok(Self { address: ready.address, request, guess, child, stdin, _stdout: stdout })
    }

    /// What it has used since it started.
    pub(crate) fn usage(&self) -> Result<Usage> {
        usage(&self.child.id().ok_or("a server has ended")?.to_string())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.stdin);
        let status = tokio::time::timeout(STOP, self.child.wait()).await.map_err(|_| "a server does not stop")??;
        if status.success() { Ok(()) } else { Err(format!("a server ended with {status}").into()) }
    }
}

fn request(ready: &Ready, from: &str) -> Vec<u8> {
    let body = format!("grant_type=client_credentials&scope={}", SCOPES.join("+").replace(':', "%3A"));
    let authorization = basic::encode(&ready.client_id, &ClientSecret::from(ready.client_secret.clone()));
    format!(
        "POST {TOKEN_PATH} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nX-Forwarded-For: {from}\r\nAuthorization: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        ready.address,
        *authorization,
        body.len()
    )
    .into_bytes()
}

/// What a process has used of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// On all its threads, in the kernel too.
    pub(crate) cpu: Duration,
    /// Bytes that it made the kernel fetch from a disk.
    pub(crate) disk_read: u64,
    /// Bytes that it made the kernel owe to a disk.
    pub(crate) disk_written: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu - earlier.cpu,
            disk_read: self.disk_read - earlier.disk_read,
            disk_written: self.disk_written - earlier.disk_written,
        }
    }
}

pub(crate) fn own_usage() -> Result<Usage> {
    usage("self")
}

fn usage(process: &str) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything; proc(5) counts it as the second field.
    let (_, rest) = stat.rsplit_once(')').ok_or("/proc/PID/stat is not what it was")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    let io = fs::read_to_string(format!("/proc/{process}/io"))?;
    let counter = |name: &str| -> Result<u64> {
        let line = io.lines().find_map(|line| line.strip_prefix(name)).ok_or("/proc/PID/io is not what it was")?;
        Ok(line.trim().parse()?)
    };
    Ok(Usage {
        cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        disk_read: counter("read_bytes:")?,
        disk_written: counter("write_bytes:")?,
    })
}
