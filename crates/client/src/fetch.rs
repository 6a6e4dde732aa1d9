//! From a URL to a page: name, connection, request, answer, redirects.

use crate::dhcp::Lease;
use crate::pool::{Pool, PoolError};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use netstack::resolve::{ResolveError, Resolver};
use netstack::{ConnectError, Net};
use node::{Act, Cause};
use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;
use url::{Host, Url};

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Bytes of one answer at most.
const BODY_MOST: usize = 64 << 20;
/// A body that pauses for longer is given up.
const IDLE: Duration = Duration::from_secs(60);

/// Why there is no page: a line for a person and an exit code (those of curl).
#[derive(Debug, Clone)]
pub(crate) struct FetchError {
    pub(crate) line: String,
    pub(crate) code: u8,
}

fn fail(code: u8, line: impl Into<String>) -> FetchError {
    FetchError { line: line.into(), code }
}

/// A fetched answer.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where steps are told.
pub(crate) type Tell<'a> = &'a dyn Fn(String);

/// The browser's state.
pub(crate) struct Browser {
    net: Net,
    resolver: Resolver,
    lease: Rc<RefCell<Lease>>,
    pool: Pool,
    acts: Cell<u64>,
}

impl Browser {
    pub(crate) fn new(net: Net, resolver: Resolver, lease: Rc<RefCell<Lease>>) -> Browser {
        let pool = Pool::new(net.clone());
        Browser { net, resolver, lease, pool, acts: Cell::new(0) }
    }

    /// Begins a visit.
    pub(crate) fn begin(&self) -> Act {
        self.acts.set(self.acts.get() + 1);
        Act(self.acts.get())
    }

    /// Says for the trace what a visit came to.
    pub(crate) fn tell(&self, act: Act, what: impl FnOnce() -> Cause) {
        if self.net.traces() {
            self.net.tell(None, Some(act), what());
        }
    }

    /// Checks a URL as a person typed it.
    pub(crate) fn parse(text: &str) -> Result<Url, FetchError> {
        let url = match Url::parse(text) {
            Err(url::ParseError::RelativeUrlWithoutBase) => Url::parse(&format!("http://{text}")),
            // `host:80/path` reads as a scheme.
            Ok(u) if u.cannot_be_a_base() && !text.contains("//") => Url::parse(&format!("http://{text}")),
            other => other,
        };
        let url = url.map_err(|e| fail(3, format!("`{text}` is not a URL: {e}")))?;
        if url.scheme() != "http" {
            return Err(fail(1, format!("`{}` is not spoken here; this browser knows http", url.scheme())));
        }
        if url.host().is_none() {
            return Err(fail(3, format!("`{text}` names no host")));
        }
        Ok(url)
    }

    async fn address(&self, url: &Url, act: Act, tell: Tell<'_>) -> Result<(Ipv4Addr, SocketAddrV4), FetchError> {
        let lease = self.lease.borrow().clone();
        let Some(local) = lease.address else {
            return Err(fail(7, "this node has no address yet: no DHCP server has answered"));
        };
        let port = url.port_or_known_default().unwrap_or(80);
        let addr = match url.host() {
            Some(Host::Ipv4(a)) => a,
            Some(Host::Ipv6(a)) => return Err(fail(6, format!("{a}: this node has no IPv6"))),
            Some(Host::Domain(name)) => {
                let found = self.resolver.lookup(local, &lease.dns, name, Some(act)).await;
                let (list, cached) = found.map_err(|e| {
                    self.tell(act, || Cause::NameFailed { name: name.to_owned(), why: e.to_string() });
                    match e {
                        ResolveError::BadName(_) => fail(3, e.to_string()),
                        _ => fail(6, e.to_string()),
                    }
                })?;
                self.tell(act, || Cause::Resolved { name: name.to_owned(), addresses: list.clone(), cached });
                let how = if cached { "known already" } else { "asked by DNS" };
                let addr = *list.first().ok_or_else(|| fail(6, format!("there is no host `{name}`")))?;
                tell(format!("{name} is {addr} ({how})"));
                addr
            }
            None => return Err(fail(3, "the URL names no host")),
        };
        Ok((local, SocketAddrV4::new(addr, port)))
    }

    /// Fetches one URL, redirects included.
    pub(crate) async fn fetch(&self, url: Url, data: Option<Bytes>, act: Act, tell: Tell<'_>) -> Result<Page, FetchError> {
        let (mut url, mut data) = (url, data);
        for _ in 0..=REDIRECTS {
            let page = self.once(&url, data.clone(), act, tell).await?;
            let to = page.headers.get(LOCATION).and_then(|l| l.to_str().ok()).and_then(|l| url.join(l).ok());
            match to {
                Some(to) if page.status.is_redirection() => {
                    tell(format!("{}: go to {to}", page.status));
                    if to.scheme() != "http" {
                        return Err(fail(1, format!("the page has moved to {to}; this browser knows http")));
                    }
                    // RFC 9110 §15.4: 307 and 308 repeat the request as it was.
                    if !matches!(page.status.as_u16(), 307 | 308) {
                        data = None;
                    }
                    url = to;
                }
                _ => return Ok(page),
            }
        }
        Err(fail(47, format!("more than {REDIRECTS} redirects")))
    }

    async fn once(&self, url: &Url, data: Option<Bytes>, act: Act, tell: Tell<'_>) -> Result<Page, FetchError> {
        let (local, to) = self.address(url, act, tell).await?;
        let host = match url.port() {
            Some(p) => format!("{}:{p}", url.host_str().unwrap_or("")),
            None => url.host_str().unwrap_or("").to_owned(),
        };
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let method = if data.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, &host)
            .header(USER_AGENT, "packet-journey")
            .header(ACCEPT, "*/*");
        if data.is_some() {
            request = request.header(CONTENT_TYPE, "application/octet-stream");
        }
        let posted = data.as_ref().map_or(0, Bytes::len);
        let request = request.body(Full::new(data.unwrap_or_default())).map_err(|e| fail(3, format!("{url}: {e}")))?;
        let answer = self.pool.send(local, to, request, act).await.map_err(|e| {
            let code = match &e {
                PoolError::Connect(ConnectError::TimedOut) | PoolError::TimedOut => 28,
                PoolError::Connect(_) => 7,
                PoolError::Http(_) => 56,
            };
            fail(code, format!("{host} ({to}): {e}"))
        })?;
        let how = if answer.reused { "kept connection" } else { "new connection" };
        let with = if posted > 0 { format!(" with {posted} bytes") } else { String::new() };
        tell(format!("{method} {path}{with} to {to} ({how})"));
        let (head, mut body) = answer.response.into_parts();
        let mut bytes = Vec::new();
        loop {
            match self.net.clock().timeout(IDLE, body.frame()).await {
                None => return Err(fail(28, format!("{url}: the answer stopped after {} bytes", bytes.len()))),
                Some(None) => break,
                Some(Some(Err(e))) => return Err(fail(18, format!("{url}: the answer broke off after {} bytes ({e})", bytes.len()))),
                Some(Some(Ok(f))) => {
                    if let Ok(d) = f.into_data() {
                        bytes.extend_from_slice(&d);
                    }
                }
            }
            if bytes.len() > BODY_MOST {
                return Err(fail(63, format!("{url}: the answer is larger than {BODY_MOST} bytes")));
            }
        }
        self.pool.keep(to, answer.connection);
        let cache_status = head.headers.get("cache-status").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let note = if cache_status.is_empty() { String::new() } else { format!(", {cache_status}") };
        self.tell(act, || Cause::PageReceived {
            url: url.to_string(),
            status: head.status.as_u16(),
            bytes: bytes.len() as u64,
            cache_status,
        });
        tell(format!("{} with {} bytes{note}", head.status, bytes.len()));
        Ok(Page { url: url.clone(), status: head.status, headers: head.headers, body: bytes.into() })
    }
}
