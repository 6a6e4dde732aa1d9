//! Fetching from the server: one kept-alive connection for each client
//! connection, opened when first needed.

use crate::{UpstreamSource, body::Out};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use netstack::{ConnectError, Net};
use node::Cidr;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to begin its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a fetch failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The server cannot be reached, or is silent: 504.
    Unreachable(String),
    /// It answers nonsense: 502.
    Broken(String),
}

/// The way to one server for one client.
pub(crate) struct Upstream {
    net: Net,
    client: Ipv4Addr,
    server: SocketAddrV4,
    source: UpstreamSource,
    own: Vec<(Cidr, Ipv4Addr)>,
    idle: RefCell<Option<SendRequest<Out>>>,
}

impl Upstream {
    pub(crate) fn new(net: Net, client: Ipv4Addr, server: SocketAddrV4, source: UpstreamSource, own: Vec<(Cidr, Ipv4Addr)>) -> Upstream {
        Upstream { net, client, server, source, own, idle: RefCell::new(None) }
    }

    async fn connect(&self) -> Result<SendRequest<Out>, Failed> {
        let local = match self.source {
            UpstreamSource::Client => self.client,
            UpstreamSource::Own => {
                let near = self.own.iter().find(|(c, _)| c.contains(*self.server.ip()));
                near.or(self.own.first()).map_or(self.client, |(_, a)| *a)
            }
        };
        let stream = self.net.connect(local, self.server, CONNECT).await.map_err(|e| match e {
            ConnectError::Refused => Failed::Unreachable(format!("{} refuses connections", self.server)),
            e => Failed::Unreachable(format!("{}: {e}", self.server)),
        })?;
        let (send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| Failed::Broken(e.to_string()))?;
        tokio::task::spawn_local(async move {
            // Its errors reach the request that waits for it.
            let _ = connection.await;
        });
        Ok(send)
    }

    /// Sends a request and waits for the head of its answer. `again`: the
    /// request may be sent once more on a fresh connection if the kept one had
    /// been closed meanwhile (RFC 9110 §9.2.2).
    pub(crate) async fn fetch(&self, mut make: impl FnMut() -> Request<Out>, again: bool) -> Result<Response<Incoming>, Failed> {
        let kept = self.idle.borrow_mut().take();
        let kept = match kept {
            Some(mut s) => s.ready().await.is_ok().then_some(s),
            None => None,
        };
        let was_kept = kept.is_some();
        let mut send = match kept {
            Some(s) => s,
            None => self.connect().await?,
        };
        let first = self.net.clock().timeout(ANSWER, send.send_request(make())).await;
        let answer = match first {
            Some(Err(_)) if was_kept && again => {
                send = self.connect().await?;
                self.net.clock().timeout(ANSWER, send.send_request(make())).await
            }
            other => other,
        };
        match answer {
            Some(Ok(r)) => {
                *self.idle.borrow_mut() = Some(send);
                Ok(r)
            }
            Some(Err(e)) => Err(Failed::Broken(format!("{}: {e}", self.server))),
            None => Err(Failed::Unreachable(format!("{}: no answer in {} s", self.server, ANSWER.as_secs()))),
        }
    }
}
