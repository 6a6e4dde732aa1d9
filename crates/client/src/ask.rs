//! The `client` command's questions to the resident, and its answers, a JSON
//! value a line.

use crate::fetch::{Browser, FetchError};
use crate::page;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use node::{Act, Asked, Cause};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Resources fetched at the same time.
const AT_ONCE: usize = 6;
/// Bytes of a body in one line.
const PIECE: usize = 48 * 1024;

/// One page, please.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// As a person typed it.
    pub url: String,
    /// Columns of the drawing.
    pub width: usize,
    /// Send the body back instead of a drawing.
    pub raw: bool,
    /// Post these bytes, in hexadecimal.
    pub data: Option<String>,
}

/// What comes back, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The number under which the trace knows this visit.
    Act(u64),
    /// Something was done.
    Step(String),
    /// The answer's status line.
    Head {
        /// Status code.
        status: u16,
        /// Final URL.
        url: String,
    },
    /// A piece of the body, in hexadecimal.
    Body(String),
    /// The page as text.
    Drawn(String),
    /// It failed.
    Error {
        /// One line.
        line: String,
        /// Exit code.
        code: u8,
    },
}

/// Hexadecimal digits as bytes; `None` if they are none.
pub fn from_hex(s: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = s.as_bytes().chunks(2).map(|p| Some(digit(p[0])? << 4 | digit(*p.get(1)?)?));
    pairs.collect()
}

fn say(out: &Asked, l: &Line) {
    if let Ok(v) = serde_json::to_value(l) {
        // An asker that hung up is noticed by the control socket.
        let _ = out.send(v);
    }
}

pub(crate) async fn answer(browser: Rc<Browser>, v: serde_json::Value, out: Asked) {
    let result = match serde_json::from_value::<Question>(v) {
        Ok(q) => visit(&browser, q, &out).await,
        Err(e) => Err(FetchError { line: format!("not a question: {e}"), code: 2 }),
    };
    if let Err(FetchError { line, code }) = result {
        say(&out, &Line::Error { line: page::harmless(&line), code });
    }
}

async fn visit(browser: &Rc<Browser>, q: Question, out: &Asked) -> Result<(), FetchError> {
    let act = browser.begin();
    say(out, &Line::Act(act.0));
    let done = look(browser, q, act, out).await;
    if let Err(e) = &done {
        browser.tell(act, || Cause::FetchFailed { why: page::harmless(&e.line), code: e.code });
    }
    done
}

async fn look(browser: &Rc<Browser>, q: Question, act: Act, out: &Asked) -> Result<(), FetchError> {
    let url = Browser::parse(&q.url)?;
    browser.tell(act, || parsed(&url));
    let step = |s: String| say(out, &Line::Step(page::harmless(&s)));
    step(format!("page {url}"));
    let data = match q.data.as_deref().map(from_hex) {
        Some(None) => return Err(FetchError { line: "the data is not hexadecimal".into(), code: 2 }),
        Some(Some(d)) => Some(Bytes::from(d)),
        None => None,
    };
    let p = browser.fetch(url, data, act, &step).await?;
    say(out, &Line::Head { status: p.status.as_u16(), url: p.url.to_string() });
    let kind = p.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    if q.raw {
        p.body.chunks(PIECE).for_each(|c| say(out, &Line::Body(node::hex(c))));
        return Ok(());
    }
    if kind.starts_with("text/html") {
        let wanted = page::resources(&p.body, &p.url);
        let n = wanted.len();
        resources(browser, wanted, act, &step).await;
        say(out, &Line::Drawn(page::harmless(&page::draw(&p.body, q.width))));
        browser.tell(act, || Cause::PageDrawn { resources: u16::try_from(n).unwrap_or(u16::MAX) });
    } else if kind.starts_with("text/") {
        say(out, &Line::Drawn(page::harmless(&String::from_utf8_lossy(&p.body))));
        browser.tell(act, || Cause::PageDrawn { resources: 0 });
    } else {
        say(out, &Line::Drawn(format!("({} bytes of {kind}; -o FILE saves them)\n", p.body.len())));
    }
    Ok(())
}

/// What a URL says.
fn parsed(url: &url::Url) -> Cause {
    Cause::UrlParsed {
        url: url.to_string(),
        host: url.host_str().unwrap_or("").to_owned(),
        port: url.port_or_known_default().unwrap_or(80),
        path: url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
    }
}

/// Fetches what a page needs, several at once; one that fails does no harm.
async fn resources(browser: &Rc<Browser>, wanted: Vec<url::Url>, act: Act, step: &dyn Fn(String)) {
    let queue = Rc::new(RefCell::new(VecDeque::from(wanted)));
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let workers = AT_ONCE.min(queue.borrow().len());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (browser, queue, tx) = (Rc::clone(browser), Rc::clone(&queue), tx.clone());
        tasks.spawn_local(async move {
            loop {
                let next = queue.borrow_mut().pop_front();
                let Some(u) = next else { return };
                let tell = |s: String| {
                    let _ = tx.send(s);
                };
                if let Err(e) = browser.fetch(u.clone(), None, act, &tell).await {
                    tell(format!("{u}: {}", e.line));
                }
            }
        });
    }
    drop(tx);
    while let Some(s) = rx.recv().await {
        step(s);
    }
    while tasks.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&node::hex(&all)), Some(all));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
