//! `lab web`: the page, live. It runs outside of the lab's namespaces, on localhost,
//! behind a token.

use super::{Collecting, epoch, gathered, tables, visit};
use crate::file::{LabFile, parse};
use crate::pause;
use crate::state::Running;
use anyhow::{Context, Result};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use journey::About;
use journey::json::{self, Keep, Wanted};
use node::Time;
use node::trace::Act;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use visit::Said;

/// How long a question for news waits for some.
const WAIT: Duration = Duration::from_secs(15);
/// News of journeys are told when it has been quiet for so long …
const GATHER: Duration = Duration::from_millis(300);
/// … or after so long,
const SOON: Duration = Duration::from_millis(900);
/// and what devices say of themselves after so long.
const LATER: Duration = Duration::from_secs(4);
/// Journeys whose stories are kept.
const STORIES: usize = 12;
/// Seconds that curl may take.
const GIVE_UP: u64 = 60;
/// Packets that the page shows at most.
const SHOWN: usize = 1200;
/// Sights after which the collector begins anew.
const SIGHTS: usize = 150_000;

/// What the page asks of the collector.
enum Ask {
    /// News since a version.
    Data { have: u64, to: oneshot::Sender<Value> },
    /// A fetch that was begun.
    Fetch { url: String, from: u16, start: Time, said: Receiver<Said> },
}

struct Waits {
    have: u64,
    asked: Instant,
    to: oneshot::Sender<Value>,
}

/// A fetch under way.
struct Fetch {
    about: About,
    said: Receiver<Said>,
    outcome: super::Outcome,
}

struct Collector {
    all: Collecting,
    start: Time,
    fetches: Vec<Fetch>,
    told: Vec<About>,
    /// What was told of them, as the page shows it.
    stories: VecDeque<Value>,
    changed: u64,
    /// Sights that were looked at, and when the last was of a journey.
    looked: usize,
    journeyed: Instant,
}

impl Collector {
    fn version(&self) -> u64 {
        self.changed + (self.all.c.sights.len() + self.all.c.events.len()) as u64
    }

    /// Runs until nobody can ask any more.
    fn run(mut self, asks: &Receiver<Ask>) -> Result<()> {
        let mut waits: Vec<Waits> = Vec::new();
        loop {
            self.all.turn(Duration::from_millis(20))?;
            loop {
                match asks.try_recv() {
                    Ok(Ask::Data { have, to }) => waits.push(Waits { have, asked: Instant::now(), to }),
                    Ok(Ask::Fetch { url, from, start, said }) => {
                        let about = About { journey: 0, url, from, start, curl: None, unfinished: true, paused: false };
                        self.fetches.push(Fetch { about, said, outcome: super::Outcome::default() });
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            self.fetched();
            if self.all.c.sights.len() > SIGHTS {
                self.all.c.forget();
                self.told.clear();
                self.looked = 0;
                self.changed += SIGHTS as u64 * 2;
            }
            let v = self.version();
            self.look();
            let (quiet, now) = (self.journeyed.elapsed() >= GATHER, Instant::now());
            let is_due = |w: &Waits| {
                let (waited, of_journey) = (now - w.asked, self.journeyed + SOON > w.asked);
                // A page that has nothing yet is answered at once.
                w.have == 0 || waited >= WAIT || (w.have != v && (waited >= LATER || (of_journey && (quiet || waited >= SOON))))
            };
            let (due, rest): (Vec<Waits>, Vec<Waits>) = waits.into_iter().partition(is_due);
            waits = rest.into_iter().filter(|w| !w.to.is_closed()).collect();
            if !due.is_empty() {
                self.all.feed.settle(&mut self.all.c, super::LOST);
                let data = self.data(v);
                for w in due {
                    let answer = if w.have == v { json!({ "unchanged": true }) } else { data.clone() };
                    let _ = w.to.send(answer);
                }
            }
        }
    }

    /// Looks at what is new: of a journey, or only what devices say of themselves.
    fn look(&mut self) {
        let c = &self.all.c;
        let of_journey = |s: &journey::model::Sight| c.packets.get(&s.packet).is_some_and(|p| p.journey.is_some());
        if c.sights[self.looked.min(c.sights.len())..].iter().any(of_journey) {
            self.journeyed = Instant::now();
        }
        self.looked = c.sights.len();
    }

    fn fetched(&mut self) {
        let paused = port::time::ClockState::get().limit.is_some();
        for f in &mut self.fetches {
            f.about.paused |= paused;
            while let Ok(s) = f.said.try_recv() {
                match s {
                    Said::Act(n) => {
                        f.outcome.act = Some(n);
                        f.about.journey = self.all.c.journey_of(f.about.from, Act(n));
                    }
                    Said::Curl { local_port, remote, status, bytes, error } => {
                        f.outcome.curl = Some((status, bytes, error));
                        f.outcome.local = Some((local_port, remote));
                    }
                    Said::End => f.outcome.over = true,
                }
            }
        }
        // A little later, so that what came last is there.
        let (over, rest): (Vec<Fetch>, Vec<Fetch>) = std::mem::take(&mut self.fetches).into_iter().partition(|f| f.outcome.over);
        self.fetches = rest;
        for mut f in over {
            let _ = self.all.feed.catch_up(&mut self.all.c, Duration::from_millis(500));
            if let Some(g) = gathered(&f.outcome, &f.about.url) {
                let c = g.connection.as_ref().map(|(p, r)| (*p, r.as_str()));
                f.about.journey = self.all.c.gather(f.about.from, c, &g.name, f.about.start);
            }
            f.about.curl = f.outcome.curl;
            f.about.unfinished = false;
            let (journey, story) = json::story(&self.all.c, &f.about);
            self.stories.push_back(json!({ "journey": journey, "story": story }));
            if self.stories.len() > STORIES {
                self.stories.pop_front();
            }
            self.told.push(f.about);
            self.changed += 1;
            self.journeyed = Instant::now();
        }
    }

    fn data(&self, version: u64) -> Value {
        let wanted = Wanted { journey: None, start: self.start, epoch: epoch(), keep: Keep::Newest(SHOWN) };
        let about = self.told.last().cloned().map(|a| About { start: self.start.max(a.start), ..a });
        let mut v = json::json(&self.all.c, &wanted, about.as_ref());
        v["stories"] = self.stories.iter().cloned().collect();
        v["version_of_data"] = version.into();
        v
    }
}

struct Shared {
    r: Running,
    file: LabFile,
    token: String,
    port: u16,
    ask: Sender<Ask>,
    from: Vec<String>,
}

type App = State<Arc<Shared>>;

fn token() -> Result<String> {
    let mut b = [0u8; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut b)).context("a token")?;
    Ok(b.iter().map(|b| format!("{b:02x}")).collect())
}

/// Lets in who has the token and asks for this very host: a page of another site's
/// that resolves to localhost does not.
async fn guard(State(s): App, Query(q): Query<HashMap<String, String>>, h: HeaderMap, r: Request, next: Next) -> Response {
    let host = h.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let own = [format!("127.0.0.1:{}", s.port), format!("localhost:{}", s.port)];
    if !own.iter().any(|o| o == host) || q.get("token") != Some(&s.token) {
        return (StatusCode::FORBIDDEN, "This page needs the address that `lab web` printed, with its token.\n").into_response();
    }
    let mut answer = next.run(r).await;
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}

fn failed(e: impl std::fmt::Display) -> Response {
    (StatusCode::CONFLICT, format!("{e:#}")).into_response()
}

async fn news(s: &Shared, have: u64) -> Option<Value> {
    let (to, from) = oneshot::channel();
    s.ask.send(Ask::Data { have, to }).ok()?;
    from.await.ok()
}

async fn page(State(s): App) -> Response {
    let Some(mut v) = news(&s, 0).await else { return failed("the collector has ended") };
    v["live"] = json!({ "token": s.token, "from": s.from });
    Html(journey::web::page(&v)).into_response()
}

#[derive(Deserialize)]
struct Have {
    have: u64,
}

async fn data(State(s): App, Query(q): Query<Have>) -> Response {
    match news(&s, q.have).await {
        Some(v) => Json(v).into_response(),
        None => failed("the collector has ended"),
    }
}

async fn show(State(s): App, Path(node): Path<String>) -> Response {
    let work = tokio::task::spawn_blocking(move || tables::of_node(&s.r, &node));
    work.await.map_or_else(failed, |v| Json(v).into_response())
}

#[derive(Deserialize)]
struct Page {
    url: String,
    from: String,
}

async fn fetch(State(s): App, Json(p): Json<Page>) -> Response {
    let begun = tokio::task::spawn_blocking(move || -> Result<Value> {
        visit::check(&p.url)?;
        let (name, is_client) = super::asker(&s.r, &s.file, Some(&p.from))?;
        let t = super::topo::topology(&s.r.name, &s.file);
        let from = t.node(&name).context("the node that asks")?;
        let start = Time::monotonic();
        let said = if is_client { visit::client(&s.r, &name, &p.url)? } else { visit::curl(&s.r, &name, &p.url, GIVE_UP)? };
        let text = format!("{name}: {}", p.url);
        s.ask.send(Ask::Fetch { url: p.url, from, start, said }).ok().context("the collector has ended")?;
        Ok(json!({ "text": text }))
    });
    answer(begun.await)
}

fn answer(done: Result<Result<Value>, tokio::task::JoinError>) -> Response {
    match done {
        Ok(Ok(v)) => Json(v).into_response(),
        // The lab's own no is an answer; browsers take every other status for a fault of the page.
        Ok(Err(e)) => Json(json!({ "refused": format!("{e:#}") })).into_response(),
        Err(e) => failed(e),
    }
}

async fn clock(s: Arc<Shared>, f: fn(&Running) -> Result<String>) -> Response {
    answer(tokio::task::spawn_blocking(move || Ok(json!({ "text": f(&s.r)? }))).await)
}

async fn stop(State(s): App) -> Response {
    clock(s, |r| Ok(pause::stop(r)?.join(". "))).await
}

async fn step(State(s): App) -> Response {
    clock(s, pause::step_once).await
}

async fn go(State(s): App) -> Response {
    clock(s, pause::go).await
}

/// Runs the command.
pub(crate) fn web(r: &Running, port: u16) -> Result<ExitCode> {
    let file = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let all = Collecting::start(r, &file, false)?;
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    rt.block_on(async {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listener = listener.await.with_context(|| format!("listening at 127.0.0.1:{port}; give another with --port"))?;
        let port = listener.local_addr()?.port();
        let (ask, asks) = channel();
        let shared = Arc::new(Shared { r: r.clone(), from: pause::askers(&file), file, token: token()?, port, ask });
        let collector = Collector {
            all,
            start: Time::monotonic(),
            fetches: Vec::new(),
            told: Vec::new(),
            stories: VecDeque::new(),
            changed: 1,
            looked: 0,
            journeyed: Instant::now(),
        };
        // It ends with the last who could ask it.
        let (dead, died) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = dead.send(collector.run(&asks));
        });
        let app = Router::new()
            .route("/", get(page))
            .route("/api/data", get(data))
            .route("/api/show/{node}", get(show))
            .route("/api/fetch", post(fetch))
            .route("/api/pause", post(stop))
            .route("/api/step", post(step))
            .route("/api/resume", post(go))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
            .with_state(Arc::clone(&shared));
        println!("http://127.0.0.1:{port}/?token={}", shared.token);
        use std::io::Write as _;
        std::io::stdout().flush()?;
        eprintln!("lab: the page of `{}` is at this address until Ctrl-C", r.name);
        use tokio::signal::unix::{SignalKind, signal};
        let [mut int, mut term] = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        tokio::select! {
            served = axum::serve(listener, app) => served.context("serving the page"),
            ended = died => ended.unwrap_or(Ok(())).context("the collector"),
            _ = int.recv() => Ok(()),
            _ = term.recv() => Ok(()),
        }
    })?;
    // Blocking work must not hold the end up.
    rt.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
