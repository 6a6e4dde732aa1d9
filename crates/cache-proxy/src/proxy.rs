//! The proxy: what is answered from the store, what is fetched, and what many
//! requests share (RFC 9111).

use crate::UpstreamSource;
use crate::body::{Out, Progress, Shared};
use crate::element::HTTP;
use crate::request::{keep_date, may_serve_stale, only_if_cached, origin_form, stale_head, without_conditions};
use crate::respond::{Source, cache_status, error, from_stored, strip_hop_by_hop, via};
use crate::store::{Store, Stored};
use crate::upstream::{Failed, Upstream};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use netstack::http::HyperTimer;
use netstack::{Net, TcpStream, Trail};
use node::{Cause, Cidr, Time};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

/// A request's head must be there within this.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const HEAD_MOST: usize = 16 * 1024;
/// How long one request waits for another's fetch to begin.
const COLLAPSE: Duration = Duration::from_secs(30);

/// What a shared fetch has become: its head and the body that it fills.
#[derive(Clone)]
enum Fetch {
    Asking,
    Filling {
        policy: Rc<CachePolicy>,
        stored: Rc<HeaderMap>,
        status: StatusCode,
        body: Shared,
        len: u64,
    },
    /// Not to be shared: each waiting request goes its own way.
    NotShared,
}

/// The proxy's state.
pub(crate) struct Proxy {
    name: String,
    net: Net,
    source: UpstreamSource,
    own: Vec<(Cidr, Ipv4Addr)>,
    timeout: Duration,
    pub(crate) store: RefCell<Store>,
    object_bytes: u64,
    filling: Cell<u64>,
    fetches: RefCell<HashMap<String, watch::Receiver<Fetch>>>,
    counts: RefCell<BTreeMap<&'static str, u64>>,
}

struct Plan {
    key: String,
    parts: http::request::Parts,
    body: Option<Incoming>,
}

impl Proxy {
    pub(crate) fn new(
        name: String,
        net: Net,
        source: UpstreamSource,
        own: Vec<(Cidr, Ipv4Addr)>,
        timeout: Duration,
        store: u64,
        object: u64,
    ) -> Proxy {
        Proxy {
            name,
            net,
            source,
            own,
            timeout,
            store: RefCell::new(Store::new(store)),
            object_bytes: object,
            filling: Cell::new(0),
            fetches: RefCell::default(),
            counts: RefCell::default(),
        }
    }

    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.borrow().iter().map(|(k, v)| (*k, *v)).collect()
    }

    fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }

    /// Accepts and serves.
    pub(crate) async fn serve(self: Rc<Self>) {
        let Ok(listener) = self.net.listen(HTTP, true) else { return };
        loop {
            let stream = listener.accept().await;
            tokio::task::spawn_local(Rc::clone(&self).connection(stream));
        }
    }

    async fn connection(self: Rc<Self>, stream: TcpStream) {
        let (client, server) = (stream.peer_addr(), stream.local_addr());
        let upstream =
            Rc::new(Upstream::new(self.net.clone(), *client.ip(), server, self.source, self.own.clone(), self.timeout, stream.trail()));
        let service = service_fn(|r: Request<Incoming>| {
            let (this, upstream) = (Rc::clone(&self), Rc::clone(&upstream));
            async move {
                let line = netstack::http::log_line(client, r.method(), r.uri());
                let answer = this.respond(&upstream, *server.ip(), r).await;
                let status = answer.headers().get("cache-status").and_then(|v| v.to_str().ok()).unwrap_or("");
                tracing::info!("{line} {} {status}", answer.status().as_u16());
                Ok::<_, Infallible>(answer)
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(HyperTimer(self.net.clock().clone())).header_read_timeout(HEAD).max_buf_size(HEAD_MOST).half_close(true);
        if let Err(e) = http.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!("{client}: {e}");
        }
    }

    async fn respond(self: &Rc<Self>, upstream: &Rc<Upstream>, server: Ipv4Addr, r: Request<Incoming>) -> Response<Out> {
        self.count("requests");
        let (mut parts, body) = r.into_parts();
        let trail = upstream.trail.clone();
        trail.answers();
        trail.say(|| Cause::RequestReceived { method: parts.method.to_string(), target: parts.uri.to_string() });
        let hosts: Vec<String> = parts.headers.get_all(HOST).iter().filter_map(|v| v.to_str().ok().map(str::to_lowercase)).collect();
        let host = match &hosts[..] {
            [one] => one.clone(),
            [] if parts.version == http::Version::HTTP_10 => server.to_string(),
            _ => return self.finish(error(StatusCode::BAD_REQUEST, "A request needs one Host."), ""),
        };
        strip_hop_by_hop(&mut parts.headers);
        via(&mut parts.headers, &self.name);
        // The server is chosen by address; Host only names the page.
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let key = format!("http://{server}/{host}{path}");
        let Ok(absolute) = format!("http://{host}{path}").parse::<Uri>() else {
            return self.finish(error(StatusCode::BAD_REQUEST, "The URL is not one."), "");
        };
        parts.uri = absolute;
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        let plan = Plan { key, parts, body: Some(body).filter(|b| !b.is_end_stream()) };
        if !reads || plan.body.is_some() {
            return self.pass(upstream, plan).await;
        }
        self.read(upstream, plan).await
    }

    fn finish(&self, mut r: Response<Out>, status: &str) -> Response<Out> {
        if !status.is_empty() {
            cache_status(r.headers_mut(), &self.name, status);
        }
        r
    }

    fn failed(&self, f: Failed, status: &str, trail: &Trail) -> Response<Out> {
        self.count("upstream-failures");
        trail.answers();
        trail.say(|| Cause::UpstreamFailed { why: f.to_string() });
        let (code, text) = match f {
            Failed::Unreachable(t) => (StatusCode::GATEWAY_TIMEOUT, t),
            Failed::Broken(t) => (StatusCode::BAD_GATEWAY, t),
        };
        tracing::warn!("upstream: {text}");
        self.finish(error(code, "The server behind this cache does not answer."), status)
    }

    /// GET or HEAD: from the store if it may be, else fetched.
    async fn read(self: &Rc<Self>, upstream: &Rc<Upstream>, plan: Plan) -> Response<Out> {
        let now = Time::monotonic().wall();
        let stored = self.store.borrow().get(&plan.key);
        // Conditions and ranges of the client's are ours to evaluate later.
        let plain = without_conditions(&plan.parts);
        let Some(s) = stored else {
            if only_if_cached(&plan.parts.headers) {
                return self
                    .finish(error(StatusCode::GATEWAY_TIMEOUT, "It is not in the cache."), "fwd=uri-miss; detail=\"only-if-cached\"");
            }
            return self.fetch(upstream, plan, "uri-miss").await;
        };
        match s.policy.before_request(&plain, now) {
            BeforeRequest::Fresh(mut head) => {
                self.count("hits");
                upstream.trail.say(|| Cause::CacheHit { ttl: s.policy.time_to_live(now).as_secs() });
                keep_date(&mut head.headers, &s.head);
                let ttl = s.policy.time_to_live(now).as_secs();
                let r = from_stored(&plan.parts.method, &plan.parts.headers, head.status, head.headers, Source::Whole(s.body.clone()));
                let mut r = self.finish(r, &format!("hit; ttl={ttl}"));
                via(r.headers_mut(), &self.name);
                r
            }
            BeforeRequest::Stale { .. } if only_if_cached(&plan.parts.headers) => {
                self.finish(error(StatusCode::GATEWAY_TIMEOUT, "It is not fresh in the cache."), "fwd=stale; detail=\"only-if-cached\"")
            }
            BeforeRequest::Stale { request, matches } => {
                if !matches {
                    return self.fetch(upstream, plan, "vary-miss").await;
                }
                let reason = if s.policy.is_stale(now) { "stale" } else { "request" };
                self.revalidate(upstream, plan, &s, request, reason).await
            }
        }
    }

    /// Asks the server whether what is stored is still good (RFC 9111 §4.3).
    async fn revalidate(
        self: &Rc<Self>,
        upstream: &Rc<Upstream>,
        plan: Plan,
        s: &Rc<Stored>,
        request: http::request::Parts,
        reason: &str,
    ) -> Response<Out> {
        self.count("revalidations");
        upstream.trail.say(|| Cause::CacheMiss { reason: reason.to_owned() });
        let make = || origin_form(&request, &Method::GET, Out::bytes(""));
        let answer = upstream.fetch(make, true).await;
        let now = Time::monotonic().wall();
        let gone = |r: &Response<Incoming>| r.status().is_server_error();
        match answer {
            Ok(r) if r.status() == StatusCode::NOT_MODIFIED => {
                let sent = Request::from_parts(request, ());
                let (policy, head) = match s.policy.after_response(&sent, &r, now) {
                    AfterResponse::NotModified(p, h) | AfterResponse::Modified(p, h) => (p, h),
                };
                self.count("revalidated");
                upstream.trail.say(|| Cause::CacheRevalidated);
                let mut headers = head.headers;
                keep_date(&mut headers, r.headers());
                strip_hop_by_hop(&mut headers);
                let fresh = Stored { policy, status: head.status, head: headers.clone(), body: s.body.clone() };
                self.store.borrow_mut().put(plan.key.clone(), fresh);
                let r = from_stored(&plan.parts.method, &plan.parts.headers, head.status, headers, Source::Whole(s.body.clone()));
                let mut r = self.finish(r, &format!("fwd={reason}; fwd-status=304"));
                via(r.headers_mut(), &self.name);
                r
            }
            Ok(r) if !gone(&r) => self.take(&plan, r, reason, None),
            other => {
                if may_serve_stale(s) {
                    self.count("stale-served");
                    let over = s.policy.age(now).as_secs();
                    upstream.trail.answers();
                    upstream
                        .trail
                        .say(|| Cause::UpstreamFailed { why: other.as_ref().map_or_else(Failed::to_string, |r| r.status().to_string()) });
                    upstream.trail.say(|| Cause::CacheStale { age: over });
                    let head = stale_head(s, now);
                    let r = from_stored(&plan.parts.method, &plan.parts.headers, s.status, head, Source::Whole(s.body.clone()));
                    let mut r = self.finish(r, &format!("hit; detail=\"stale, server does not answer, age {over}\""));
                    via(r.headers_mut(), &self.name);
                    return r;
                }
                match other {
                    Ok(r) => self.take(&plan, r, reason, None),
                    Err(f) => self.failed(f, &format!("fwd={reason}"), &upstream.trail),
                }
            }
        }
    }

    /// Fetches what is not stored; equal requests that come meanwhile share it.
    async fn fetch(self: &Rc<Self>, upstream: &Rc<Upstream>, plan: Plan, why: &'static str) -> Response<Out> {
        let plain = plan.parts.method == Method::GET && !plan.parts.headers.contains_key(AUTHORIZATION);
        if !plain {
            return self.alone(upstream, plan, why).await;
        }
        let running = self.fetches.borrow().get(&plan.key).cloned();
        if let Some(mut rx) = running {
            let joined = self.net.clock().timeout(COLLAPSE, rx.wait_for(|f| !matches!(f, Fetch::Asking))).await;
            let state = match joined {
                Some(Ok(f)) => f.clone(),
                _ => Fetch::NotShared,
            };
            if let Fetch::Filling { policy, stored, status, body, len } = state
                && let BeforeRequest::Fresh(mut head) = policy.before_request(&without_conditions(&plan.parts), Time::monotonic().wall())
            {
                self.count("collapsed");
                upstream.trail.say(|| Cause::CacheShared);
                keep_date(&mut head.headers, &stored);
                let r = from_stored(&plan.parts.method, &plan.parts.headers, status, head.headers, Source::Filling(body, len));
                let mut r = self.finish(r, "hit; collapsed");
                via(r.headers_mut(), &self.name);
                return r;
            }
            return self.alone(upstream, plan, why).await;
        }
        upstream.trail.say(|| Cause::CacheMiss { reason: why.to_owned() });
        let (tx, rx) = watch::channel(Fetch::Asking);
        self.fetches.borrow_mut().insert(plan.key.clone(), rx);
        let lead = Lead { proxy: Rc::clone(self), key: plan.key.clone(), tx };
        // The whole is asked for, even if this client wants a part: many share it.
        let full = without_conditions(&plan.parts);
        let make = || origin_form(&full, &Method::GET, Out::bytes(""));
        match upstream.fetch(make, true).await {
            Ok(r) => self.take(&plan, r, why, Some(lead)),
            Err(f) => {
                drop(lead);
                self.failed(f, &format!("fwd={why}"), &upstream.trail)
            }
        }
    }

    /// A fetch that nobody shares: HEAD, or what must not be stored.
    async fn alone(self: &Rc<Self>, upstream: &Rc<Upstream>, plan: Plan, why: &str) -> Response<Out> {
        let method = plan.parts.method.clone();
        upstream.trail.say(|| Cause::CacheMiss { reason: why.to_owned() });
        match upstream.fetch(|| origin_form(&plan.parts, &method, Out::bytes("")), true).await {
            Ok(r) => self.through(r, why),
            Err(f) => self.failed(f, &format!("fwd={why}"), &upstream.trail),
        }
    }

    /// Takes the answer to a GET: stored and shared if it may be, else passed.
    fn take(self: &Rc<Self>, plan: &Plan, r: Response<Incoming>, why: &str, lead: Option<Lead>) -> Response<Out> {
        let asked = Request::from_parts(without_conditions(&plan.parts), ());
        let (mut head, body) = r.into_parts();
        strip_hop_by_hop(&mut head.headers);
        let now = Time::monotonic().wall();
        let bare = {
            let mut b = Response::new(());
            *b.status_mut() = head.status;
            *b.headers_mut() = head.headers.clone();
            b
        };
        let options = CacheOptions { shared: true, ..CacheOptions::default() };
        let policy = CachePolicy::new_options(&asked, &bare, now, options);
        let len = body.size_hint().exact();
        let room = self.store.borrow().limit().min(self.object_bytes);
        let fits = len.is_some_and(|n| n <= room && self.filling.get() + n <= self.store.borrow().limit());
        let status = head.status.as_u16();
        let keeps = policy.is_storable() && head.status != StatusCode::PARTIAL_CONTENT && fits && plan.parts.method == Method::GET;
        let (Some(len), true) = (len, keeps) else {
            if policy.is_storable() {
                self.count("too-large-to-store");
            }
            drop(lead);
            self.store.borrow_mut().remove(&plan.key);
            let mut out = Response::new(Out::Pass(body));
            *out.status_mut() = head.status;
            *out.headers_mut() = head.headers;
            let mut out = self.finish(out, &format!("fwd={why}; fwd-status={status}"));
            via(out.headers_mut(), &self.name);
            return out;
        };
        self.count("stored");
        let shared = Shared::new(len);
        let policy = Rc::new(policy);
        if let Some(l) = &lead {
            let stored = Rc::new(head.headers.clone());
            l.tx.send_replace(Fetch::Filling { policy: Rc::clone(&policy), stored, status: head.status, body: shared.clone(), len });
        }
        self.filling.set(self.filling.get() + len);
        let stored = Stored { policy: (*policy).clone(), status: head.status, head: head.headers.clone(), body: bytes::Bytes::new() };
        tokio::task::spawn_local(fill(Rc::clone(self), plan.key.clone(), stored, shared.clone(), len, body, lead));
        let r = from_stored(&plan.parts.method, &plan.parts.headers, head.status, head.headers, Source::Filling(shared, len));
        let mut r = self.finish(r, &format!("fwd={why}; fwd-status={status}; stored"));
        via(r.headers_mut(), &self.name);
        r
    }

    fn through(&self, r: Response<Incoming>, why: &str) -> Response<Out> {
        let (mut head, body) = r.into_parts();
        strip_hop_by_hop(&mut head.headers);
        let status = head.status.as_u16();
        let mut r = self.finish(Response::from_parts(head, Out::Pass(body)), &format!("fwd={why}; fwd-status={status}"));
        via(r.headers_mut(), &self.name);
        r
    }

    /// Other methods: passed on; what they change is forgotten (RFC 9111 §4.4).
    async fn pass(self: &Rc<Self>, upstream: &Rc<Upstream>, plan: Plan) -> Response<Out> {
        self.count("passed");
        upstream.trail.say(|| Cause::CacheMiss { reason: "method".to_owned() });
        let method = plan.parts.method.clone();
        let mut body = plan.body;
        let has_body = body.is_some();
        let parts = plan.parts;
        let make = || origin_form(&parts, &method, body.take().map_or_else(|| Out::bytes(""), Out::Pass));
        match upstream.fetch(make, !has_body && method.is_idempotent()).await {
            Ok(r) => {
                if !method.is_safe() && !r.status().is_client_error() && !r.status().is_server_error() {
                    self.store.borrow_mut().remove(&plan.key);
                }
                self.through(r, "method")
            }
            Err(f) => self.failed(f, "fwd=method", &upstream.trail),
        }
    }
}

/// Who leads a shared fetch; when it goes, in whatever way, the rest are told.
struct Lead {
    proxy: Rc<Proxy>,
    key: String,
    tx: watch::Sender<Fetch>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.proxy.fetches.borrow_mut().remove(&self.key);
        self.tx.send_if_modified(|f| {
            let asking = matches!(f, Fetch::Asking);
            if asking {
                *f = Fetch::NotShared;
            }
            asking
        });
    }
}

/// Reads a body to its end, for all that wait for it, and stores it.
async fn fill(proxy: Rc<Proxy>, key: String, stored: Stored, shared: Shared, len: u64, mut body: Incoming, lead: Option<Lead>) {
    let mut n = 0;
    let whole = loop {
        match body.frame().await {
            None => break n == len,
            Some(Err(_)) => break false,
            Some(Ok(f)) => {
                if let Ok(d) = f.into_data() {
                    n += d.len() as u64;
                    shared.push(d);
                }
            }
        }
    };
    proxy.filling.set(proxy.filling.get() - len);
    if whole {
        shared.end(Progress::Done);
        proxy.store.borrow_mut().put(key, Stored { body: shared.whole(), ..stored });
    } else {
        shared.end(Progress::Failed);
    }
    drop(lead);
}
