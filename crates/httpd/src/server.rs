//! Requests and their answers (RFC 9110).

use crate::body::Out;
use crate::files::{self, NoFile};
use crate::{Settings, upload};
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderValue, LAST_MODIFIED,
    LOCATION, SERVER,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use netstack::Net;
use netstack::http::{Condition, HyperTimer, Wanted, condition, range};
use node::{Cause, Time};
use std::cell::Cell;
use std::convert::Infallible;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// A request's head must be there within this.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const HEAD_MOST: usize = 16 * 1024;
/// Bytes of a path at most.
const PATH_MOST: usize = 2048;
/// Seconds that a file may be kept if the lab file says nothing.
const MAX_AGE: u32 = 60;

/// What an upload's name keeps as it is in its URL (RFC 3986 §2.3).
const SAFE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// What is served.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) uploads: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) stored: Cell<u64>,
}

/// Accepts and serves.
pub(crate) async fn serve(net: Net, site: Rc<Site>) {
    let Ok(listener) = net.listen(site.settings.port, false) else { return };
    loop {
        let stream = listener.accept().await;
        let (site, clock) = (Rc::clone(&site), net.clock().clone());
        tokio::task::spawn_local(async move {
            let timer = HyperTimer(clock.clone());
            let (peer, trail) = (stream.peer_addr(), stream.trail());
            let service = service_fn(|r: Request<Incoming>| {
                let (site, clock, trail) = (Rc::clone(&site), clock.clone(), trail.clone());
                async move {
                    trail.say(|| Cause::RequestReceived { method: r.method().to_string(), target: r.uri().to_string() });
                    let line = netstack::http::log_line(peer, r.method(), r.uri());
                    let answer = respond(&site, &clock, r).await;
                    tracing::info!("{line} {}", answer.status().as_u16());
                    trail.say(|| Cause::Responded { status: answer.status().as_u16() });
                    Ok::<_, Infallible>(answer)
                }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(timer).header_read_timeout(HEAD).max_buf_size(HEAD_MOST).half_close(true);
            // Broken and slow requests have had their answer from hyper.
            if let Err(e) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!("{peer}: {e}");
            }
        });
    }
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Out> {
    let html =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n");
    let mut r = Response::new(Out::bytes(html));
    *r.status_mut() = status;
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    r
}

fn error(status: StatusCode, text: &str) -> Response<Out> {
    page(status, &format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("")), text)
}

async fn respond(site: &Site, clock: &node::Clock, r: Request<Incoming>) -> Response<Out> {
    let method = r.method().clone();
    let mut answer = route(site, clock, r).await;
    let now = Time::monotonic().wall();
    let h = answer.headers_mut();
    h.insert(SERVER, HeaderValue::from_static("packet-journey"));
    if let Ok(d) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        h.insert(DATE, d);
    }
    if method == Method::HEAD {
        // RFC 9110 §9.3.2: the same head, with the length that GET would have.
        let len = hyper::body::Body::size_hint(answer.body()).exact();
        if let Some(n) = len.filter(|_| answer.status() != StatusCode::NOT_MODIFIED) {
            answer.headers_mut().insert(CONTENT_LENGTH, n.into());
        }
        *answer.body_mut() = Out::bytes("");
    }
    answer
}

async fn route(site: &Site, clock: &node::Clock, r: Request<Incoming>) -> Response<Out> {
    let path = r.uri().path().to_owned();
    if r.method() == Method::OPTIONS && r.uri() == "*" {
        return allow(Response::new(Out::bytes("")), "GET, HEAD, OPTIONS");
    }
    if r.version() == http::Version::HTTP_11 && r.headers().get_all(http::header::HOST).iter().count() != 1 {
        return error(StatusCode::BAD_REQUEST, "A request needs one Host."); // RFC 9112 §3.2
    }
    if path.len() > PATH_MOST {
        return error(StatusCode::URI_TOO_LONG, "The path is too long.");
    }
    let relative = match files::clean(&path) {
        Ok(p) => p,
        Err(NoFile::BadPath) => return error(StatusCode::BAD_REQUEST, "The path is not one."),
        Err(_) => return error(StatusCode::NOT_FOUND, "There is no such page."),
    };
    let uploaded = site.settings.upload.as_deref().and_then(|u| path.strip_prefix(u)).map(str::to_owned);
    match (r.method(), uploaded) {
        (&Method::GET | &Method::HEAD, Some(_)) => {
            let name = site.settings.upload.as_deref().map_or("", |u| u.trim_start_matches('/'));
            let inner = relative.strip_prefix(name).unwrap_or("");
            match files::open(&site.uploads, inner) {
                Ok(f) if !inner.is_empty() => serve_file(site, &r, &path, f),
                _ => read(site, &r, &path, &relative),
            }
        }
        (&Method::GET | &Method::HEAD, None) => read(site, &r, &path, &relative),
        (&Method::POST | &Method::PUT, Some(name)) => receive(site, clock, r, name).await,
        (&Method::OPTIONS, _) => allow(Response::new(Out::bytes("")), "GET, HEAD, OPTIONS"),
        (_, Some(_)) => allow(error(StatusCode::METHOD_NOT_ALLOWED, "Not here."), "GET, HEAD, POST, PUT, OPTIONS"),
        _ => allow(error(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read."), "GET, HEAD, OPTIONS"),
    }
}

fn allow(mut r: Response<Out>, methods: &'static str) -> Response<Out> {
    r.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    r
}

fn read(site: &Site, r: &Request<Incoming>, path: &str, relative: &str) -> Response<Out> {
    let name = if relative.is_empty() || relative.ends_with('/') { format!("{relative}index.html") } else { relative.to_owned() };
    match files::open(&site.root, &name) {
        Ok(f) => serve_file(site, r, &name, f),
        Err(NoFile::IsFolder) => {
            let mut moved = page(StatusCode::MOVED_PERMANENTLY, "Moved", "The folder has a slash at its end.");
            // One slash at the front, or the browser would take it for a host.
            let to = format!("/{}/", path.trim_matches('/'));
            if let Ok(v) = HeaderValue::from_str(&to) {
                moved.headers_mut().insert(LOCATION, v);
            }
            moved
        }
        Err(_) => error(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn serve_file(site: &Site, r: &Request<Incoming>, name: &str, file: File) -> Response<Out> {
    let Ok(meta) = file.metadata() else {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read.");
    };
    let len = meta.len();
    let mut h = HeaderMap::new();
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let stamp = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let put = |h: &mut HeaderMap, name, v: String| {
        if let Ok(v) = HeaderValue::from_str(&v) {
            h.insert(name, v);
        }
    };
    put(&mut h, ETAG, format!("\"{:x}-{len:x}\"", stamp.as_nanos()));
    put(&mut h, LAST_MODIFIED, httpdate::fmt_http_date(modified));
    put(&mut h, CACHE_CONTROL, format!("max-age={}", max_age(site, r.uri().path())));
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    match condition(r.method(), r.headers(), &h) {
        Condition::NotModified => return with(StatusCode::NOT_MODIFIED, h, Out::bytes("")),
        Condition::Failed => return error(StatusCode::PRECONDITION_FAILED, "It has changed."),
        Condition::Proceed => {}
    }
    put(&mut h, CONTENT_TYPE, kind);
    h.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match range(r.method(), r.headers(), &h, len) {
        Wanted::Whole => with(StatusCode::OK, h, Out::File { file, at: 0, end: len }),
        Wanted::Part(a, b) => {
            put(&mut h, CONTENT_RANGE, format!("bytes {a}-{b}/{len}"));
            with(StatusCode::PARTIAL_CONTENT, h, Out::File { file, at: a, end: b + 1 })
        }
        Wanted::Unsatisfiable => {
            let mut e = error(StatusCode::RANGE_NOT_SATISFIABLE, "There are no such bytes.");
            put(e.headers_mut(), CONTENT_RANGE, format!("bytes */{len}"));
            e
        }
    }
}

fn with(status: StatusCode, headers: HeaderMap, body: Out) -> Response<Out> {
    let mut r = Response::new(body);
    *r.status_mut() = status;
    *r.headers_mut() = headers;
    r
}

fn max_age(site: &Site, path: &str) -> u32 {
    let of = site.settings.max_age.iter().filter(|(p, _)| path.starts_with(p.as_str()));
    of.max_by_key(|(p, _)| p.len()).map_or(MAX_AGE, |(_, n)| *n)
}

async fn receive(site: &Site, clock: &node::Clock, r: Request<Incoming>, name: String) -> Response<Out> {
    let given = files::clean(&format!("/{name}"));
    let name = match given {
        Ok(n) if n.is_empty() => format!("{:x}", clock.now().nanos()),
        Ok(n) if !n.contains('/') && n.len() <= 200 => n,
        _ => return error(StatusCode::BAD_REQUEST, "An upload's name is one plain word."),
    };
    let prefix = site.settings.upload.clone().unwrap_or_default();
    match upload::store(site, clock, &name, r.into_body()).await {
        Ok((n, new)) => {
            let at = format!("{prefix}{}", percent_encoding::utf8_percent_encode(&name, SAFE));
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            let mut answer = page(status, "Received", &format!("{n} bytes are now at <a href=\"{at}\">{at}</a>."));
            if let Ok(v) = HeaderValue::from_str(&at) {
                answer.headers_mut().insert(LOCATION, v);
            }
            answer
        }
        Err(status) => {
            let mut e = error(status, "The upload was not taken.");
            // What is left of the body would be read as the next request.
            e.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            e
        }
    }
}
