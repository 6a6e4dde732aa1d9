//! Fetching from the server: one kept-alive connection for each client
//! connection, opened when first needed.

use crate::{UpstreamSource, body::Out};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use netstack::{ConnectError, Net, Trail};
use node::Cidr;
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a fetch failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The server cannot be reached, or is silent: 504.
    Unreachable(String),
    /// It answers nonsense: 502.
    Broken(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Failed::Unreachable(t) | Failed::Broken(t)) = self;
        f.write_str(t)
    }
}

/// The way to one server for one client.
pub(crate) struct Upstream {
    net: Net,
    client: Ipv4Addr,
    server: SocketAddrV4,
    source: UpstreamSource,
    own: Vec<(Cidr, Ipv4Addr)>,
    /// How long the server may take to begin its answer.
    timeout: Duration,
    idle: RefCell<Option<(SendRequest<Out>, Trail)>>,
    /// The client's connection: what is fetched is due to it.
    pub(crate) trail: Trail,
}

impl Upstream {
    pub(crate) fn new(
        net: Net,
        client: Ipv4Addr,
        server: SocketAddrV4,
        source: UpstreamSource,
        own: Vec<(Cidr, Ipv4Addr)>,
        timeout: Duration,
        trail: Trail,
    ) -> Upstream {
        Upstream { net, client, server, source, own, timeout, idle: RefCell::new(None), trail }
    }

    async fn connect(&self) -> Result<(SendRequest<Out>, Trail), Failed> {
        let local = match self.source {
            UpstreamSource::Client => self.client,
            UpstreamSource::Own => {
                let near = self.own.iter().find(|(c, _)| c.contains(*self.server.ip()));
                near.or(self.own.first()).map_or(self.client, |(_, a)| *a)
            }
        };
        let stream = self.net.connect(local, self.server, self.trail.due(), CONNECT).await.map_err(|e| match e {
            ConnectError::Refused => Failed::Unreachable(format!("{} refuses connections", self.server)),
            e => Failed::Unreachable(format!("{}: {e}", self.server)),
        })?;
        let trail = stream.trail();
        let (send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| Failed::Broken(e.to_string()))?;
        tokio::task::spawn_local(async move {
            // Its errors reach the request that waits for it.
            let _ = connection.await;
        });
        Ok((send, trail))
    }

    /// Sends a request and waits for the head of its answer. `again`: the
    /// request may be sent once more on a fresh connection if the kept one had
    /// been closed meanwhile (RFC 9110 §9.2.2).
    pub(crate) async fn fetch(&self, mut make: impl FnMut() -> Request<Out>, again: bool) -> Result<Response<Incoming>, Failed> {
        let kept = self.idle.borrow_mut().take();
        let kept = match kept {
            Some((mut s, t)) => s.ready().await.is_ok().then_some((s, t)),
            None => None,
        };
        let was_kept = kept.is_some();
        let (mut send, mut trail) = match kept {
            Some(s) => s,
            None => self.connect().await?,
        };
        trail.passes(&self.trail);
        let first = self.net.clock().timeout(self.timeout, send.send_request(make())).await;
        let answer = match first {
            Some(Err(_)) if was_kept && again => {
                (send, trail) = self.connect().await?;
                trail.passes(&self.trail);
                self.net.clock().timeout(self.timeout, send.send_request(make())).await
            }
            other => other,
        };
        match answer {
            Some(Ok(r)) => {
                // The answer that the client gets is due to this one.
                self.trail.follows(&trail);
                *self.idle.borrow_mut() = Some((send, trail));
                Ok(r)
            }
            Some(Err(e)) => Err(Failed::Broken(format!("{}: {e}", self.server))),
            None => Err(Failed::Unreachable(format!("{}: no answer in {} s", self.server, self.timeout.as_secs()))),
        }
    }
}
