//! From a stored response to an answer, and the headers that a cache owes.

use crate::body::{Out, Shared};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Method, Response, StatusCode};
use netstack::http::{Condition, Wanted, condition, range};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Takes hop-by-hop fields away (RFC 9110 §7.6.1).
pub(crate) fn strip_hop_by_hop(h: &mut HeaderMap) {
    let named: Vec<HeaderName> = h
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|n| n.trim().parse().ok())
        .collect();
    let fixed = [
        CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    for n in named.into_iter().chain(fixed) {
        h.remove(n);
    }
}

/// Adds this cache to Via (RFC 9110 §7.6.3).
pub(crate) fn via(h: &mut HeaderMap, name: &str) {
    if let Ok(v) = HeaderValue::from_str(&format!("1.1 {name}")) {
        h.append(VIA, v);
    }
}

/// Adds this cache's member to Cache-Status (RFC 9211 §2).
pub(crate) fn cache_status(h: &mut HeaderMap, name: &str, what: &str) {
    if let Ok(v) = HeaderValue::from_str(&format!("{name}; {what}")) {
        h.append(CACHE_STATUS, v);
    }
}

/// A body that is stored, or is being fetched.
pub(crate) enum Source {
    Whole(Bytes),
    Filling(Shared, u64),
}

/// Answers a GET or HEAD from a response's head and body: conditions and ranges
/// are the cache's to evaluate (RFC 9111 §4.3.2).
pub(crate) fn from_stored(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    mut headers: HeaderMap,
    source: Source,
) -> Response<Out> {
    headers.remove(TRANSFER_ENCODING);
    let len = match &source {
        Source::Whole(b) => b.len() as u64,
        Source::Filling(_, n) => *n,
    };
    let make = |status, headers: HeaderMap, body| {
        let mut r = Response::new(body);
        *r.status_mut() = status;
        *r.headers_mut() = headers;
        r
    };
    if status == StatusCode::OK {
        match condition(method, request, &headers) {
            Condition::NotModified => {
                headers.remove(CONTENT_LENGTH);
                headers.remove(CONTENT_TYPE);
                return make(StatusCode::NOT_MODIFIED, headers, Out::bytes(""));
            }
            Condition::Failed => {
                headers.remove(CONTENT_LENGTH);
                return make(StatusCode::PRECONDITION_FAILED, headers, Out::bytes(""));
            }
            Condition::Proceed => {}
        }
        if let Source::Whole(b) = &source {
            let put = |h: &mut HeaderMap, v: String| {
                if let Ok(v) = HeaderValue::from_str(&v) {
                    h.insert(CONTENT_RANGE, v);
                }
            };
            match range(method, request, &headers, len) {
                Wanted::Whole => {}
                Wanted::Part(a, z) => {
                    put(&mut headers, format!("bytes {a}-{z}/{len}"));
                    headers.insert(CONTENT_LENGTH, (z + 1 - a).into());
                    let part = b.slice(usize::try_from(a).unwrap_or(0)..usize::try_from(z + 1).unwrap_or(0));
                    return make(StatusCode::PARTIAL_CONTENT, headers, Out::bytes(part));
                }
                Wanted::Unsatisfiable => {
                    put(&mut headers, format!("bytes */{len}"));
                    headers.insert(CONTENT_LENGTH, 0.into());
                    return make(StatusCode::RANGE_NOT_SATISFIABLE, headers, Out::bytes(""));
                }
            }
        }
    }
    headers.insert(CONTENT_LENGTH, len.into());
    let body = match source {
        _ if method == Method::HEAD => Out::bytes(""),
        Source::Whole(b) => Out::bytes(b),
        Source::Filling(s, _) => Out::Shared { from: s, next: 0 },
    };
    make(status, headers, body)
}

/// An error of the cache's own.
pub(crate) fn error(status: StatusCode, text: &str) -> Response<Out> {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or(""));
    let html =
        format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n");
    let mut r = Response::new(Out::bytes(html));
    *r.status_mut() = status;
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    r
}
