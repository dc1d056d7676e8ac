//! Requests whose head cannot be read. hyper refuses them by itself, with a status and nothing else, before any route is
//! asked; on their way out these answers get what every other refusal has.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::problem::{MEDIA_TYPE, Problem};
use crate::server::error::Error;

use super::App;

/// How such a request from there is refused.
#[derive(Clone)]
pub struct RefuseUnreadable(Arc<dyn Fn(Error, Option<IpAddr>) -> Problem + Send + Sync>);

impl fmt::Debug for RefuseUnreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefuseUnreadable")
    }
}

impl RefuseUnreadable {
    /// As this service refuses everything else.
    #[must_use]
    pub fn by(app: &App) -> Self {
        let app = app.clone();
        Self(Arc::new(move |error, source| {
            let request_id = app.service.request_id();
            app.service.note_refusal_of(&request_id, &error, None, source);
            Problem::new(error.reason(), error.detail(), request_id, &app.errors_base)
        }))
    }
}

/// A connection on which hyper's own refusals are replaced.
pub(super) struct Explained<S> {
    stream: S,
    refuse: Option<RefuseUnreadable>,
    source: Option<IpAddr>,
    /// What is sent instead, as far as it is not yet.
    instead: Bytes,
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    pub(super) fn new(stream: S, refuse: Option<RefuseUnreadable>, source: Option<IpAddr>) -> Self {
        Self { stream, refuse, source, instead: Bytes::new() }
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.instead))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// What is to be sent instead of `sent`, if it ends with an answer of hyper's own.
    fn explained(&self, sent: &[IoSlice<'_>]) -> Option<Bytes> {
        // Nearly all that is sent ends with a body, and is known by that.
        let last = sent.iter().rev().find(|slice| !slice.is_empty())?;
        let refuse = self.refuse.as_ref().filter(|_| last.ends_with(END.as_bytes()))?;
        let sent: Cow<'_, [u8]> = match sent {
            [one] => Cow::Borrowed(one),
            several => Cow::Owned(several.iter().flat_map(|slice| slice.iter().copied()).collect()),
        };
        let start = sent.windows(VERSION.len()).rposition(|window| window == VERSION.as_bytes())?;
        let (before, own) = sent.split_at_checked(start)?;
        let own = std::str::from_utf8(own).ok()?;
        let error = own_refusal(own)?;
        let problem = (refuse.0)(error, self.source);
        let body = problem.to_json();
        let status = problem.reason.status();
        let phrase = status.canonical_reason().unwrap_or_default();
        let date = own.split("\r\n").find(|line| line.starts_with(DATE)).unwrap_or_default();
        let date = if date.is_empty() { String::new() } else { format!("\r\n{date}") };
        let head = format!(
            "{VERSION}{} {phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncache-control: no-store\r\nconnection: close\r\n\
             content-length: {}{date}{END}",
            status.as_str(),
            body.len()
        );
        Some([before, head.as_bytes(), body.as_bytes()].concat().into())
    }
}

const VERSION: &str = "HTTP/1.1 ";
const DATE: &str = "date: ";
const END: &str = "\r\n\r\n";

/// What hyper means by a head of an answer that has come up on the wire; none where a route has given it. Those have a
/// type at least, and most a body.
fn own_refusal(head: &str) -> Option<Error> {
    let mut lines = head.strip_suffix(END)?.split("\r\n");
    let status = lines.next()?.strip_prefix(VERSION)?;
    let own = lines.all(|line| matches!(line, "connection: close" | "content-length: 0") || line.starts_with(DATE));
    match (own, status.get(..3)?) {
        (true, "400") => {
            Some(Error::Malformed("this is no HTTP/1.1 request that can be read (RFC 9112 §2 to §6)".to_owned()))
        }
        (true, "414" | "431") => Some(Error::HeadTooLarge),
        _ => None,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, sent: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(sent)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        sent: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let Some(instead) = self.explained(sent) {
            self.instead = instead;
            return Poll::Ready(Ok(sent.iter().map(|slice| slice.len()).sum()));
        }
        match sent {
            [one] => Pin::new(&mut self.stream).poll_write(context, one),
            several => Pin::new(&mut self.stream).poll_write_vectored(context, several),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
