//! Kept-alive connections, several a server.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use netstack::{ConnectError, Net};
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
    idle: RefCell<HashMap<SocketAddrV4, Vec<SendRequest<Full<Bytes>>>>>,
}

/// An answer, and whether its connection was a kept one.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) reused: bool,
    pub(crate) sender: SendRequest<Full<Bytes>>,
}

impl Pool {
    pub(crate) fn new(net: Net) -> Pool {
        Pool { net, idle: RefCell::default() }
    }

    /// Puts a connection back once its answer has been read.
    pub(crate) fn keep(&self, to: SocketAddrV4, s: SendRequest<Full<Bytes>>) {
        if s.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let list = idle.entry(to).or_default();
        list.retain(|s| !s.is_closed());
        if list.len() < KEEP {
            list.push(s);
        }
    }

    async fn connect(&self, local: Ipv4Addr, to: SocketAddrV4) -> Result<SendRequest<Full<Bytes>>, PoolError> {
        let stream = self.net.connect(local, to, CONNECT).await?;
        let (s, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(PoolError::Http)?;
        tokio::task::spawn_local(async move {
            // What goes wrong is told to the request.
            let _ = connection.await;
        });
        Ok(s)
    }

    /// Sends a request over a kept connection or a new one.
    pub(crate) async fn send(&self, local: Ipv4Addr, to: SocketAddrV4, request: Request<Full<Bytes>>) -> Result<Answer, PoolError> {
        loop {
            let kept = self.idle.borrow_mut().get_mut(&to).and_then(Vec::pop);
            let Some(mut s) = kept else { break };
            if s.ready().await.is_err() {
                continue;
            }
            // A kept connection may be closed while the request is under way:
            // what may be repeated is (RFC 9110 §9.2.2).
            match self.net.clock().timeout(ANSWER, s.send_request(request.clone())).await {
                Some(Ok(response)) => return Ok(Answer { response, reused: true, sender: s }),
                Some(Err(e)) if !request.method().is_idempotent() => return Err(PoolError::Http(e)),
                Some(Err(_)) => {}
                None => return Err(PoolError::TimedOut),
            }
        }
        let mut s = self.connect(local, to).await?;
        match self.net.clock().timeout(ANSWER, s.send_request(request)).await {
            Some(Ok(response)) => Ok(Answer { response, reused: false, sender: s }),
            Some(Err(e)) => Err(PoolError::Http(e)),
            None => Err(PoolError::TimedOut),
        }
    }
}
