//! Requests as a server wants them, and what their headers and a stored response's
//! allow.

use crate::body::Out;
use crate::store::Stored;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, DATE, HOST, IF_RANGE, RANGE};
use http::{HeaderMap, Method, Request};
use std::time::SystemTime;

/// The server's own Date: the policy's is another format (RFC 9110 §5.6.7 wants
/// IMF-fixdate), and a cache does not make dates.
pub(crate) fn keep_date(h: &mut HeaderMap, original: &HeaderMap) {
    match original.get(DATE) {
        Some(d) => h.insert(DATE, d.clone()),
        None => h.remove(DATE),
    };
}

/// A request as a server wants it (RFC 9112 §3.2.1).
pub(crate) fn origin_form(parts: &http::request::Parts, method: &Method, body: Out) -> Request<Out> {
    let mut r = Request::new(body);
    *r.method_mut() = method.clone();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    *r.uri_mut() = path.parse().unwrap_or_default();
    *r.headers_mut() = parts.headers.clone();
    if !r.headers().contains_key(HOST)
        && let Some(h) = parts.uri.authority().and_then(|a| a.as_str().parse().ok())
    {
        r.headers_mut().insert(HOST, h);
    }
    if matches!(r.body(), Out::Bytes(None)) {
        r.headers_mut().remove(CONTENT_LENGTH);
    }
    r
}

/// The request that a stored response must match: GET, without the client's own
/// conditions and range.
pub(crate) fn without_conditions(p: &http::request::Parts) -> http::request::Parts {
    let mut q = p.clone();
    q.method = Method::GET;
    for n in [
        RANGE,
        IF_RANGE,
        http::header::IF_NONE_MATCH,
        http::header::IF_MODIFIED_SINCE,
        http::header::IF_MATCH,
        http::header::IF_UNMODIFIED_SINCE,
    ] {
        q.headers.remove(n);
    }
    q
}

pub(crate) fn only_if_cached(h: &HeaderMap) -> bool {
    directive(h, "only-if-cached")
}

pub(crate) fn directive(h: &HeaderMap, name: &str) -> bool {
    h.get_all(CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|d| d.trim().eq_ignore_ascii_case(name))
}

/// RFC 9111 §4.2.4: what is stale may be used while the server is out of reach,
/// unless the response forbids it.
pub(crate) fn may_serve_stale(s: &Stored) -> bool {
    let forbids = |d: &str| ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage"].iter().any(|f| d.starts_with(f));
    let all = s.head.get_all(CACHE_CONTROL).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    !all.map(|d| d.trim().to_ascii_lowercase()).any(|d| forbids(&d))
}

pub(crate) fn stale_head(s: &Stored, now: SystemTime) -> HeaderMap {
    let mut h = s.head.clone();
    h.insert(http::header::AGE, s.policy.age(now).as_secs().into());
    h
}
