//! `lab journey`: a fetch, and the story of its packets.

pub(crate) mod hosts;
pub(crate) mod live;
mod tables;
pub(crate) mod topo;
mod visit;

use crate::enter;
use crate::file::{LabFile, parse};
use crate::plan::RUN;
use crate::state::Running;
use anyhow::{Context, Result, bail};
use journey::collect::{Told, What};
use journey::json::{self, Keep, Wanted};
use journey::tape::{self, Gathered, Journey};
use journey::words::Lang;
use journey::{About, Collector, Feed, Story, export, text};
use node::Time;
use node::trace::Act;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, ExitCode};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use visit::Said;

/// The command's arguments.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The page, e.g. http://www.example.com/; without one: the last journey again
    url: Option<String>,
    /// The node that asks: a client, or a kernel host
    #[arg(long, value_name = "NODE")]
    from: Option<String>,
    /// The story's language: en or ko (default: by the locale)
    #[arg(long)]
    lang: Option<Lang>,
    /// A line a hop
    #[arg(short, long)]
    brief: bool,
    /// Only the way of this packet
    #[arg(short, long, value_name = "N")]
    packet: Option<u64>,
    /// The whole journey as JSON (docs/journey.md)
    #[arg(long)]
    json: bool,
    /// Write a capture of every hop to this file (- is standard output)
    #[arg(long, value_name = "FILE")]
    pcapng: Option<PathBuf>,
    /// Write a page to this file that shows the journey
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Tell the story after so many seconds, even if no answer has come
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    give_up: u64,
    /// Colours: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: clap::ColorChoice,
}

/// Where the last journey is kept.
const KEPT: &str = "/run/lab/journey";
/// Packets that JSON tells, likewise.
const TOLD: usize = 4000;
/// Packets that a page shows: beyond, a long journey's middle is left out.
const SHOWN: usize = 500;
/// How long packets may still come after the page.
const QUIET: Duration = Duration::from_millis(150);
/// … at most, if none is on its way that is known of.
const REST: Duration = Duration::from_secs(2);
/// How long what is on its way may take: a link may be slow, a neighbour silent.
const WAY: Duration = Duration::from_secs(8);
/// A frame that has not come for so long is lost.
const LOST: Duration = Duration::from_millis(500);
/// How often the lab's clock is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long nodes may take to answer the collector.
const REACH: Duration = Duration::from_secs(3);

/// A collector at work on a lab.
pub(crate) struct Collecting {
    pub(crate) c: Collector,
    pub(crate) feed: Feed,
    hosts: Option<Child>,
    r: Running,
    looked: Instant,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        if let Some(h) = &mut self.hosts {
            let _ = h.kill();
            let _ = h.wait();
        }
    }
}

impl Collecting {
    /// Reaches all nodes of a lab; `keep`: all that they tell is to be told again.
    pub(crate) fn start(r: &Running, f: &LabFile, keep: bool) -> Result<Collecting> {
        // Frames bear the lab's time, and so must what is compared with them.
        clock_of(r).set();
        let mut c = Collector::new(topo::topology(&r.name, f));
        if keep {
            c.keep();
        }
        let mut hosts = match c.topology.nodes.iter().any(|n| n.is_host()) {
            true => Some(hosts::start(r)?),
            false => None,
        };
        let pipe = hosts.as_mut().and_then(|h| h.stdout.take());
        let feed = Feed::new(&c, &r.path(RUN), pipe)?;
        let mut all = Collecting { c, feed, hosts, r: r.clone(), looked: Instant::now() };
        all.reach()?;
        Ok(all)
    }

    /// Waits until every node that runs has answered.
    fn reach(&mut self) -> Result<()> {
        let end = Instant::now() + REACH;
        self.feed.connect();
        while !self.feed.ready(&self.c) && Instant::now() < end {
            self.turn(QUIET)?;
        }
        for n in self.silent() {
            if let Some(node) = self.c.topology.node(&n) {
                self.c.take(node, Told { at: Time::monotonic(), what: What::Unheard });
            }
        }
        // What is under way from before has then arrived.
        let settled = Instant::now() + journey::BEFORE;
        while Instant::now() < settled {
            self.turn(QUIET)?;
        }
        self.c.begin();
        Ok(())
    }

    /// Collects for up to `wait`, on the lab's clock, which may have been stopped.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<()> {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            clock_of(&self.r).set();
        }
        self.feed.turn(&mut self.c, wait)
    }

    /// Nodes that tell nothing.
    pub(crate) fn silent(&self) -> Vec<String> {
        let missing = self.feed.missing(&self.c);
        missing.filter(|n| *n != journey::topology::CABLE).map(str::to_owned).collect()
    }
}

/// How the lab's clock goes.
pub(crate) fn clock_of(r: &Running) -> port::time::ClockState {
    let text = std::fs::read(r.path(&format!("{RUN}/clock.json"))).ok();
    text.and_then(|t| serde_json::from_slice(&t).ok()).unwrap_or_default()
}

/// Who asks: the node named, else the lab's client, else its first kernel host.
fn asker(r: &Running, f: &LabFile, named: Option<&str>) -> Result<(String, bool)> {
    if let Some(n) = named {
        enter::known(r, n)?;
        let spec = f.nodes.get(n).with_context(|| format!("`{n}` is no node of the lab file"))?;
        let client = spec.role.as_ref().is_some_and(|r| r.get_ref() == "client");
        if !client && !spec.is_host() {
            bail!("`{n}` fetches no pages: it is neither a client nor a kernel host");
        }
        return Ok((n.to_owned(), client));
    }
    let client = f.nodes.iter().find(|(_, n)| n.role.as_ref().is_some_and(|r| r.get_ref() == "client"));
    let host = || f.nodes.iter().find(|(_, n)| n.is_host());
    match client {
        Some((n, _)) => Ok((n.to_owned(), true)),
        None => host().map(|(n, _)| (n.to_owned(), false)).context("this lab has neither a client nor a kernel host"),
    }
}

/// What came of the fetch.
#[derive(Default)]
struct Outcome {
    act: Option<u64>,
    curl: Option<(u16, u64, String)>,
    local: Option<(u16, String)>,
    over: bool,
}

/// Runs the fetch and collects until it and what it brought about are over.
fn run(all: &mut Collecting, said: &Receiver<Said>, node: u16, give_up: Duration) -> Result<Outcome> {
    let mut o = Outcome::default();
    let end = Instant::now() + give_up;
    while !o.over && Instant::now() < end {
        all.turn(QUIET)?;
        while let Ok(s) = said.try_recv() {
            match s {
                Said::Act(n) => o.act = Some(n),
                Said::Curl { local_port, remote, status, bytes, error } => {
                    o.curl = Some((status, bytes, error));
                    o.local = Some((local_port, remote));
                }
                Said::End => o.over = true,
            }
        }
    }
    // What is under way may still arrive: acknowledgements, the ends of connections.
    let over = Instant::now();
    let mut quiet = (all.c.sights.len(), Instant::now());
    let journey = o.act.map(|a| all.c.journey_of(node, Act(a)));
    loop {
        all.turn(QUIET)?;
        all.feed.settle(&mut all.c, LOST);
        let n = match journey {
            Some(j) => all.c.of_journey(j).map(|p| p.sights.len()).sum(),
            None => all.c.sights.len(),
        };
        if n != quiet.0 {
            quiet = (n, Instant::now());
        }
        let rested = over.elapsed() >= REST || quiet.1.elapsed() >= QUIET;
        let awaited = || all.feed.is_behind(Time::monotonic() - QUIET) || all.c.is_under_way(journey);
        if rested && (!o.over || over.elapsed() >= WAY || !awaited()) {
            break;
        }
    }
    all.feed.catch_up(&mut all.c, REST)?;
    all.feed.finish(&mut all.c);
    all.feed.settle(&mut all.c, LOST);
    Ok(o)
}

/// What of a kernel host's flows belongs to a fetch.
fn gathered(o: &Outcome, url: &str) -> Option<Gathered> {
    let host = url.strip_prefix("http://").unwrap_or(url).split(['/', ':', '?']).next().unwrap_or("").to_lowercase();
    o.act.is_none().then(|| Gathered { connection: o.local.clone(), name: host })
}

/// Fetches a page and collects what came of it.
fn fetch(r: &Running, f: &LabFile, url: &str, a: &Args) -> Result<Journey> {
    visit::check(url)?;
    let (name, is_client) = asker(r, f, a.from.as_deref())?;
    let mut all = Collecting::start(r, f, true)?;
    if clock_of(r).limit.is_some() {
        eprintln!("lab: `{}` is paused: nothing moves before lab step or lab resume", r.name);
    }
    let silent = all.silent();
    if !silent.is_empty() {
        eprintln!("lab: these nodes tell nothing, their roles do not run: {}", silent.join(", "));
    }
    let node = all.c.topology.node(&name).context("the node that asks")?;
    let start = Time::monotonic();
    let said = if is_client { visit::client(r, &name, url)? } else { visit::curl(r, &name, url, a.give_up)? };
    let before = clock_of(r);
    let o = run(&mut all, &said, node, Duration::from_secs(a.give_up))?;
    let after = clock_of(r);
    let paused = before.limit.is_some() || after.limit.is_some() || before.paused != after.paused;
    let g = gathered(&o, url);
    let journey = match (&g, o.act) {
        (None, Some(n)) => all.c.journey_of(node, Act(n)),
        (Some(g), _) => all.c.gather(node, g.connection.as_ref().map(|(p, r)| (*p, r.as_str())), &g.name, start),
        _ => 0,
    };
    let about = About { journey, url: url.to_owned(), from: node, start, curl: o.curl, unfinished: !o.over, paused };
    let epoch = epoch();
    // Kept for `--packet` and the like; a lab whose folder cannot be written to goes without.
    match tape::write(&all.c, &about, g, epoch)? {
        Some(kept) => {
            let _ = std::fs::write(r.path(KEPT), kept);
        }
        None => {
            eprintln!("lab: the journey is too large to be kept for another telling");
            let _ = std::fs::write(r.path(KEPT), []);
        }
    }
    Ok(Journey { c: std::mem::take(&mut all.c), about, epoch })
}

/// The last journey.
fn last(r: &Running, f: &LabFile) -> Result<Journey> {
    let bytes = std::fs::read(r.path(KEPT));
    let bytes =
        bytes.with_context(|| format!("no journey was made in `{}` yet; which page? e.g. lab journey http://www.example.com/", r.name))?;
    anyhow::ensure!(!bytes.is_empty(), "the last journey in `{}` was too large to be kept: it can only be told as it is made", r.name);
    tape::read(&bytes, topo::topology(&r.name, f))
}

/// Runs the command.
pub(crate) fn journey(r: &Running, a: &Args) -> Result<ExitCode> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let lang = a.lang.unwrap_or_else(Lang::of_environment);
    let dash = |p: &Option<PathBuf>| p.as_ref().is_some_and(|p| p.as_os_str() == "-");
    let to_stdout = [a.json, dash(&a.pcapng), dash(&a.html)].into_iter().filter(|x| *x).count();
    anyhow::ensure!(to_stdout < 2, "only one of --json, --pcapng - and --html - can go to standard output");
    anyhow::ensure!(
        !(dash(&a.pcapng) && std::io::stdout().is_terminal()),
        "pcapng is not for a terminal: pipe it (lab journey --pcapng - URL | wireshark -k -i -), or write it to a file"
    );
    for file in [&a.pcapng, &a.html].into_iter().flatten() {
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(".".as_ref());
        anyhow::ensure!(folder.is_dir(), "{}: there is no folder {}", file.display(), folder.display());
    }
    let j = match &a.url {
        Some(url) => fetch(r, &f, url, a)?,
        None => last(r, &f)?,
    };
    let Journey { c, about, epoch } = &j;
    let story = match a.packet {
        Some(n) => Story::of_packet(c, n, about.start, lang).with_context(|| format!("there is no packet {n} in this journey"))?,
        None => Story::tell(c, about, lang),
    };
    let mut told = a.packet.is_none() && (a.html.is_some() || a.pcapng.is_some()) && a.url.is_none();
    if let Some(to) = &a.pcapng {
        told |= to.as_os_str() == "-";
        write_to(to, |w| Ok(export::pcapng(c, about.journey, *epoch, lang, w)?))?;
    }
    if a.json || a.html.is_some() {
        let all = |keep| {
            let wanted = Wanted { journey: Some(about.journey), start: about.start, epoch: *epoch, keep };
            json::json(c, &wanted, Some(about))
        };
        if a.json {
            let whole = all(Keep::Ends(TOLD));
            write_to("-".as_ref(), |w| {
                serde_json::to_writer_pretty(&mut *w, &whole).map_err(std::io::Error::from)?;
                Ok(writeln!(w)?)
            })?;
            told = true;
        }
        if let Some(to) = &a.html {
            let mut whole = all(Keep::Ends(SHOWN));
            whole["tables"] = tables::all(r, &f);
            told |= to.as_os_str() == "-";
            write_to(to, |w| Ok(w.write_all(journey::web::page(&whole).as_bytes())?))?;
        }
    }
    if !told {
        show(&story, a)?;
    }
    // A single packet's story has no verdict: the journey's decides.
    let whole = if a.packet.is_some() { Story::tell(c, about, lang) } else { story };
    let good = whole.last().is_some_and(|(good, _)| good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nanoseconds of the Unix epoch's clock at the zero of the lab's.
pub(crate) fn epoch() -> u64 {
    port::time::epoch_of_raw() + port::time::ClockState::get().paused
}

/// Writes to a file, or to standard output, whose reader may have had enough.
fn write_to(to: &std::path::Path, f: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let done = if to.as_os_str() == "-" {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        f(&mut out).and_then(|()| Ok(out.flush()?))
    } else {
        let file = std::fs::File::create(to).with_context(|| to.display().to_string())?;
        let mut w = std::io::BufWriter::new(file);
        f(&mut w).and_then(|()| Ok(w.flush()?)).with_context(|| to.display().to_string())
    };
    if done.is_ok() && to.as_os_str() != "-" {
        eprintln!("lab: wrote {}", to.display());
    }
    match done {
        Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => Ok(()),
        d => d,
    }
}

fn show(story: &Story, a: &Args) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let colour = match a.color {
        clap::ColorChoice::Auto => out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
    };
    let t = text::write(story, text::Style { colour, brief: a.brief });
    match out.write_all(t.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}
