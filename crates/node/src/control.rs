//! The control socket: `show`, commands and a role's own questions, as JSON
//! lines over a Unix stream.

use crate::run::Shared;
use crate::{Command, Cursor, Element, Query, Rows, Status};
use port::time::ClockState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// A question a control client may send, one a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Rows of a view; answered by `{"columns":…,"rows":…}` pages, then `{"end":true}`.
    Show(String),
    /// The names of the views.
    Views,
    /// An act; answered by `{"reply":…}` or `{"error":…}`.
    Command(Vec<String>),
    /// Ready, waiting or failed, with a text.
    Status,
    /// A role's own question; its answers are the role's.
    Ask(Value),
    /// How the lab's clock goes from now on; answered as `Held`.
    Clock(ClockState),
    /// What waits while the clock stands.
    Held,
    /// Lets the oldest that waits pass; answered by what it was, or `null`.
    Step,
}

/// Where a role's own answers go, a JSON value a line.
pub type Asked = mpsc::UnboundedSender<Value>;

/// Answers a role's own questions until the future ends.
pub type Asker = Rc<dyn Fn(Value, Asked) -> crate::Task>;

/// The longest request line.
const LONGEST: u64 = 64 << 20;

pub(crate) struct Server<E> {
    pub(crate) shared: Shared<E>,
    pub(crate) asker: Option<Asker>,
}

impl<E: Element> Server<E> {
    pub(crate) async fn serve(self: Rc<Self>, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((s, _)) => {
                    let this = Rc::clone(&self);
                    tokio::task::spawn_local(async move {
                        if let Err(e) = this.connection(s).await {
                            tracing::debug!("control: {e}");
                        }
                    });
                }
                Err(e) => {
                    tracing::warn!("control socket: {e}");
                    self.shared.clock.sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn connection(&self, stream: UnixStream) -> std::io::Result<()> {
        let (r, mut w) = stream.into_split();
        let mut r = BufReader::new(r.take(LONGEST));
        let mut line = String::new();
        while r.read_line(&mut line).await? > 0 {
            match serde_json::from_str::<Request>(&line) {
                Ok(Request::Show(what)) => self.show(&what, &mut w).await?,
                Ok(Request::Views) => write(&mut w, &json!({ "views": self.views() })).await?,
                Ok(Request::Command(words)) => {
                    let answer = self.shared.driver.borrow_mut().command(self.shared.clock.now(), Command { words });
                    self.shared.wake.notify(); // what it sent waits in the outbox
                    match answer {
                        Ok(reply) => write(&mut w, &json!({ "reply": reply })).await?,
                        Err(e) => write(&mut w, &json!({ "error": e.to_string() })).await?,
                    }
                }
                Ok(Request::Status) => {
                    let (word, text) = match self.shared.driver.borrow().element.status() {
                        Status::Ready => ("ready", String::new()),
                        Status::Waiting(t) => ("waiting", t),
                        Status::Failed(t) => ("failed", t),
                    };
                    write(&mut w, &json!({ "status": word, "text": text })).await?;
                }
                Ok(Request::Clock(c)) => {
                    c.set();
                    self.shared.hold.look();
                    write(&mut w, &self.held()).await?;
                }
                Ok(Request::Held) => write(&mut w, &self.held()).await?,
                Ok(Request::Step) => {
                    let done = self.step();
                    write(&mut w, &done).await?;
                }
                Ok(Request::Ask(v)) => self.ask(v, &mut w, &mut r).await?,
                Err(e) => write(&mut w, &json!({ "error": format!("not a request: {e}") })).await?,
            }
            line.clear();
            r.get_mut().set_limit(LONGEST);
        }
        Ok(())
    }

    fn held(&self) -> Value {
        let sleeper = self.shared.clock.deadline();
        let mut v = self.shared.hold.tell(&self.shared.driver.borrow(), sleeper);
        v["reply"] = "".into();
        v
    }

    fn step(&self) -> Value {
        if !ClockState::get().stands() {
            return json!({ "error": "the lab is not paused" });
        }
        let now = self.shared.clock.now();
        let mut d = self.shared.driver.borrow_mut();
        let before = d.core.outbox();
        let passed = self.shared.hold.pass(&mut d, now);
        let sent = d.core.outbox() - before;
        drop(d);
        self.shared.hold.look(); // what it sent waits in the outbox
        json!({ "reply": "", "passed": passed, "sent": sent })
    }

    async fn ask<R: AsyncReadExt + Unpin>(&self, v: Value, w: &mut (impl AsyncWriteExt + Unpin), r: &mut R) -> std::io::Result<()> {
        let Some(asker) = &self.asker else {
            return write(w, &json!({ "error": "this role answers no questions" })).await;
        };
        let (tx, mut rx) = mpsc::unbounded_channel();
        let mut work = asker(v, tx);
        let mut done = false;
        let mut probe = [0u8; 1];
        loop {
            tokio::select! {
                biased;
                m = rx.recv() => match m {
                    Some(m) => write(w, &m).await?,
                    None => break,
                },
                () = &mut work, if !done => done = true,
                // The asker hung up: give up its work.
                n = r.read(&mut probe) => if n? == 0 { return Ok(()) },
            }
            if done && rx.is_empty() {
                break;
            }
        }
        write(w, &json!({ "end": true })).await
    }

    fn views(&self) -> Vec<(String, String)> {
        let d = self.shared.driver.borrow();
        let own = d.element.views().iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned()));
        own.chain([("counters".to_owned(), "ports, drops by reason, events".to_owned())]).collect()
    }

    async fn show(&self, what: &str, w: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        let q = Query { what: what.to_owned(), now: self.shared.clock.now() };
        let mut from = Some(Cursor(0));
        while let Some(at) = from {
            let mut rows = Rows::default();
            if what == "counters" {
                self.counters(&mut rows);
                from = None;
            } else {
                let shown = self.shared.driver.borrow().element.show(&q, at, &mut rows);
                match shown {
                    Ok(next) => from = next,
                    Err(e) => {
                        let all = self.views();
                        let near = crate::nearest(what, all.iter().map(|(n, _)| n.as_str()));
                        let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                        let names: Vec<_> = all.iter().map(|(n, _)| n.as_str()).collect();
                        let text = format!("{e}; views: {}{hint}", names.join(", "));
                        return write(w, &json!({ "error": text })).await;
                    }
                }
            }
            write(w, &json!({ "columns": rows.columns, "rows": rows.rows })).await?;
            tokio::task::yield_now().await;
        }
        write(w, &json!({ "end": true })).await
    }

    fn counters(&self, rows: &mut Rows) {
        rows.columns(&["kind", "name", "value"]);
        let d = self.shared.driver.borrow();
        for (name, s) in d.core.names.iter().zip(&d.core.ports) {
            for (what, v) in [("rx-frames", s.rx), ("rx-bytes", s.rx_bytes), ("tx-frames", s.tx), ("tx-bytes", s.tx_bytes)] {
                rows.row(["port".into(), format!("{name}.{what}").into(), v.into()]);
            }
        }
        rows.row(["pool".into(), "frames-out".into(), d.core.pool.out().into()]);
        for (reason, n) in d.core.drops() {
            rows.row(["drop".into(), reason.name().into(), n.into()]);
        }
        for (name, n) in d.core.events() {
            rows.row(["event".into(), name.into(), n.into()]);
        }
        d.element.counters(rows);
    }
}

async fn write(w: &mut (impl AsyncWriteExt + Unpin), v: &Value) -> std::io::Result<()> {
    let mut line = v.to_string();
    line.push('\n');
    w.write_all(line.as_bytes()).await
}
