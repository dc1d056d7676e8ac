//! HTTP by hand: requests that no client library would send, and answers as they came.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header, which has to be there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice: {self:?}");
        value
    }

    /// The headers whose names begin with `x-auth-`, in order of their names.
    pub fn identity(&self) -> Vec<(&str, &str)> {
        let of_ours = |(name, _): &&(String, String)| name.starts_with("x-auth-");
        let mut found: Vec<_> = self.headers.iter().filter(of_ours).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        found.sort_unstable();
        found
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and reason of a problem.
    pub fn verdict(&self) -> (u16, String) {
        if self.status == 200 {
            return (200, String::new());
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        (self.status, self.json()["reason"].as_str().unwrap().to_owned())
    }
}

/// Connects to `base` from this address.
pub async fn connect(base: &str, from: Ipv4Addr) -> TcpStream {
    let address: SocketAddr = base.strip_prefix("http://").unwrap_or(base).parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends bytes, and reads the one answer to them.
pub async fn send_from(base: &str, from: Ipv4Addr, request: impl AsRef<[u8]>) -> Answer {
    let request = request.as_ref();
    let mut stream = connect(base, from).await;
    stream.write_all(request).await.unwrap();
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let answer = read(&mut stream, request.starts_with(b"HEAD "));
    tokio::time::timeout(Duration::from_secs(10), answer)
        .await
        .unwrap_or_else(|_| panic!("no answer within ten seconds to: {shown}"))
}

/// The same from 127.0.0.1.
pub async fn send(base: &str, request: impl AsRef<[u8]>) -> Answer {
    send_from(base, Ipv4Addr::LOCALHOST, request).await
}

/// Sends the last bytes of a request, and reads the answer to it.
pub async fn finish(mut stream: TcpStream, rest: &[u8]) -> Answer {
    stream.write_all(rest).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), read(&mut stream, false)).await.expect("no answer within ten seconds")
}

async fn read(stream: &mut TcpStream, head_alone: bool) -> Answer {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut buffer = [0; 8192];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    };
    let body = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let mut answer = Answer { status, headers: lines.map(pair).collect(), body: String::new() };
    let announced = answer.header("content-length").map_or(0, |length| length.parse::<usize>().unwrap());
    assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
    let mut body = body;
    while !head_alone && body.len() < announced {
        assert!(stream.read_buf(&mut body).await.unwrap() > 0, "the body broke off: {answer:?}");
    }
    answer.body = String::from_utf8(body).unwrap();
    answer
}
