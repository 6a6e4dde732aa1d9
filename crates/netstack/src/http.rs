//! What every HTTP role here needs of HTTP: hyper's timers on the node's clock,
//! conditional requests and ranges (RFC 9110 §13, §14).

use ::http::header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE};
use ::http::{HeaderMap, Method, Uri};
use node::{Clock, Sleep};
use std::future::Future;
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// hyper's timer on the node's clock.
#[derive(Clone, Debug)]
pub struct HyperTimer(pub Clock);

struct HyperSleep(Sleep);

impl Future for HyperSleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for HyperSleep {}

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, d: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HyperSleep(self.0.sleep(d)))
    }
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

/// A request as an access log shows it: its URL is cut to what fits a line.
pub fn log_line(peer: SocketAddrV4, method: &Method, uri: &Uri) -> String {
    const MOST: usize = 200;
    let uri = uri.to_string();
    match uri.char_indices().nth(MOST) {
        Some((at, _)) => format!("{peer} \"{method} {}…\"", &uri[..at]),
        None => format!("{peer} \"{method} {uri}\""),
    }
}

/// What a conditional request comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Answer as if it had none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

fn date(h: &HeaderMap, name: ::http::header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(h.get(name)?.to_str().ok()?).ok()
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn lists(list: &str, tag: Option<&str>, strong: bool) -> bool {
    list.split(',').map(str::trim).any(|t| match tag {
        _ if t == "*" => true,
        Some(tag) if strong => t == tag && !t.starts_with("W/"),
        Some(tag) => weak(t) == weak(tag),
        None => false,
    })
}

/// Evaluates preconditions in the order of RFC 9110 §13.2.2 against the
/// validators among `current`.
pub fn condition(method: &Method, request: &HeaderMap, current: &HeaderMap) -> Condition {
    let tag = current.get(ETAG).and_then(|v| v.to_str().ok());
    let modified = date(current, LAST_MODIFIED);
    let text = |n| request.get(n).and_then(|v: &::http::HeaderValue| v.to_str().ok());
    if let Some(list) = text(IF_MATCH) {
        if !lists(list, tag, true) {
            return Condition::Failed;
        }
    } else if let (Some(since), Some(m)) = (date(request, IF_UNMODIFIED_SINCE), modified)
        && m > since
    {
        return Condition::Failed;
    }
    let read = method == Method::GET || method == Method::HEAD;
    if let Some(list) = text(IF_NONE_MATCH) {
        if lists(list, tag, false) {
            return if read { Condition::NotModified } else { Condition::Failed };
        }
    } else if let (true, Some(since), Some(m)) = (read, date(request, IF_MODIFIED_SINCE), modified)
        && m <= since
    {
        return Condition::NotModified;
    }
    Condition::Proceed
}

/// What a Range header asks of a representation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// These bytes, first to last.
    Part(u64, u64),
    /// None that exist: 416.
    Unsatisfiable,
}

/// Evaluates Range and If-Range for `len` bytes. Several ranges are answered
/// with the whole, as RFC 9110 §14.2 allows.
pub fn range(method: &Method, request: &HeaderMap, current: &HeaderMap, len: u64) -> Wanted {
    let Some(spec) = request.get(RANGE).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    if method != Method::GET || spec.contains(',') || !if_range(request, current) {
        return Wanted::Whole;
    }
    let Some((a, b)) = spec.trim().split_once('-') else { return Wanted::Whole };
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(first), _) if !b.is_empty() && b.parse::<u64>().is_err_and(|_| first > 0 || b.is_empty()) => Wanted::Whole,
        (Ok(first), _) if first >= len => Wanted::Unsatisfiable,
        (Ok(first), Ok(last)) if last < first => Wanted::Whole,
        (Ok(first), Ok(last)) => Wanted::Part(first, last.min(len - 1)),
        (Ok(first), Err(_)) if b.is_empty() => Wanted::Part(first, len - 1),
        (Err(_), Ok(0)) if a.is_empty() => Wanted::Unsatisfiable,
        (Err(_), Ok(_)) if a.is_empty() && len == 0 => Wanted::Unsatisfiable,
        (Err(_), Ok(suffix)) if a.is_empty() => Wanted::Part(len.saturating_sub(suffix), len - 1),
        _ => Wanted::Whole,
    }
}

/// RFC 9110 §13.1.5: a strong match, or the exact date.
fn if_range(request: &HeaderMap, current: &HeaderMap) -> bool {
    let Some(v) = request.get(IF_RANGE).and_then(|v| v.to_str().ok()) else { return true };
    if v.starts_with('"') {
        return current.get(ETAG).is_some_and(|t| t == v);
    }
    date(request, IF_RANGE).is_some_and(|d| date(current, LAST_MODIFIED) == Some(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(pairs: &[(::http::header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect()
    }

    #[test]
    fn ranges() {
        let none = HeaderMap::new();
        for (spec, want) in [
            ("bytes=0-9", Wanted::Part(0, 9)),
            ("bytes=90-", Wanted::Part(90, 99)),
            ("bytes=-10", Wanted::Part(90, 99)),
            ("bytes=-1000", Wanted::Part(0, 99)),
            ("bytes=50-1000", Wanted::Part(50, 99)),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=9-3", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=x-y", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(range(&Method::GET, &h(&[(RANGE, spec)]), &none, 100), want, "{spec}");
        }
        assert_eq!(range(&Method::GET, &h(&[(RANGE, "bytes=0-9"), (IF_RANGE, "\"old\"")]), &h(&[(ETAG, "\"new\"")]), 100), Wanted::Whole);
    }

    #[test]
    fn conditions() {
        let cur = h(&[(ETAG, "\"a\""), (LAST_MODIFIED, "Mon, 23 Nov 2026 10:00:00 GMT")]);
        let c = |pairs: &[_]| condition(&Method::GET, &h(pairs), &cur);
        assert_eq!(c(&[(IF_NONE_MATCH, "\"b\", W/\"a\"")]), Condition::NotModified);
        assert_eq!(c(&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, "Mon, 23 Nov 2026 10:00:00 GMT")]), Condition::Proceed);
        assert_eq!(c(&[(IF_MODIFIED_SINCE, "Mon, 23 Nov 2026 10:00:00 GMT")]), Condition::NotModified);
        assert_eq!(c(&[(IF_MATCH, "W/\"a\"")]), Condition::Failed);
        assert_eq!(c(&[(IF_UNMODIFIED_SINCE, "Mon, 23 Nov 2026 09:59:59 GMT")]), Condition::Failed);
    }
}
