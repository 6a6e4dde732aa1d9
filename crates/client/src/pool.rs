//! Kept-alive connections, several a server.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use netstack::{ConnectError, Due, Net, Trail};
use node::{Act, Cause};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Idle connections kept for one server.
const KEEP: usize = 6;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("the server closed the connection or answered nonsense ({0})")]
    Http(hyper::Error),
    #[error("the server did not answer in time")]
    TimedOut,
}

pub(crate) struct Pool {
    net: Net,
    idle: RefCell<HashMap<SocketAddrV4, Vec<Connection>>>,
}

/// An open connection.
pub(crate) struct Connection {
    send: SendRequest<Full<Bytes>>,
    trail: Trail,
    local: SocketAddrV4,
}

/// An answer, and whether its connection was a kept one.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) reused: bool,
    pub(crate) connection: Connection,
}

impl Pool {
    pub(crate) fn new(net: Net) -> Pool {
        Pool { net, idle: RefCell::default() }
    }

    /// Puts a connection back once its answer has been read.
    pub(crate) fn keep(&self, to: SocketAddrV4, c: Connection) {
        if c.send.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(to).or_default();
        list.retain(|c| !c.send.is_closed());
        if list.len() < KEEP {
            list.push(c);
        }
    }

    async fn connect(&self, local: Ipv4Addr, to: SocketAddrV4, act: Act) -> Result<Connection, PoolError> {
        let stream = self.net.connect(local, to, Due::Act(act), CONNECT).await?;
        let (trail, local) = (stream.trail(), stream.local_addr());
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(PoolError::Http)?;
        tokio::task::spawn_local(async move {
            // What goes wrong is told to the request.
            let _ = connection.await;
        });
        Ok(Connection { send, trail, local })
    }

    /// Marks what is written on a connection as an act's, and says so.
    fn begin(&self, c: &Connection, to: SocketAddrV4, request: &Request<Full<Bytes>>, act: Act, kept: bool) {
        c.trail.acts(act);
        if !self.net.traces() {
            return;
        }
        let end = |a: SocketAddrV4| (*a.ip(), a.port());
        self.net.tell(None, Some(act), Cause::Connected { local: end(c.local), remote: end(to), kept });
        let host = request.headers().get(http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default().to_owned();
        let sent = Cause::RequestSent { method: request.method().to_string(), target: request.uri().to_string(), host };
        self.net.tell(None, Some(act), sent);
    }

    /// Sends a request over a kept connection or a new one.
    pub(crate) async fn send(
        &self,
        local: Ipv4Addr,
        to: SocketAddrV4,
        request: Request<Full<Bytes>>,
        act: Act,
    ) -> Result<Answer, PoolError> {
        loop {
            let kept = self.idle.borrow_mut().get_mut(&to).and_then(Vec::pop);
            let Some(mut c) = kept else { break };
            if c.send.ready().await.is_err() {
                continue;
            }
            self.begin(&c, to, &request, act, true);
            // A kept connection may be closed while the request is under way:
            // what may be repeated is (RFC 9110 §9.2.2).
            match self.net.clock().timeout(ANSWER, c.send.send_request(request.clone())).await {
                Some(Ok(response)) => return Ok(Answer { response, reused: true, connection: c }),
                Some(Err(e)) if !request.method().is_idempotent() => return Err(PoolError::Http(e)),
                Some(Err(_)) => {}
                None => return Err(PoolError::TimedOut),
            }
        }
        let mut c = self.connect(local, to, act).await?;
        self.begin(&c, to, &request, act, false);
        match self.net.clock().timeout(ANSWER, c.send.send_request(request)).await {
            Some(Ok(response)) => Ok(Answer { response, reused: false, connection: c }),
            Some(Err(e)) => Err(PoolError::Http(e)),
            None => Err(PoolError::TimedOut),
        }
    }
}
