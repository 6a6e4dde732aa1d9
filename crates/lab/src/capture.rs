//! `lab capture`: every port of a lab in one pcapng, live, each frame with what the
//! collector knows of it.

mod inside;

pub(crate) use inside::{Inside, inside};

use crate::enter;
use crate::file::parse;
use crate::plan::{RUN, plan};
use crate::state::Running;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode, Stdio};

/// Marks a port of a phone line whose cells are put together besides.
const DERIVE: &str = "+aal5";

/// Marks those of `ports` (`node.port=interface`) that are a phone line's: the
/// modem's end if it is captured, else the DSLAM's.
fn mark_lines(file: &crate::file::LabFile, ports: &mut [String]) {
    let is = |end: &str, role: &str| {
        let node = end.split_once('.').and_then(|(n, _)| file.nodes.get(n));
        node.and_then(|n| n.role.as_ref()).is_some_and(|r| r.get_ref() == role)
    };
    for l in &file.links {
        let [a, b] = [0, 1].map(|e| l.ends[e].get_ref().as_str());
        let (modem, dslam) = if is(a, "adsl-modem") { (a, b) } else { (b, a) };
        if !is(modem, "adsl-modem") || !is(dslam, "dslam") {
            continue;
        }
        let at = |end: &str| ports.iter().position(|p| p.split_once('=').is_some_and(|(name, _)| name == end));
        if let Some(i) = at(modem).or_else(|| at(dslam)) {
            ports[i] += DERIVE;
        }
    }
}

/// `NODE` or `NODE.PORT` of the lab, as `node.port=interface`.
fn select(r: &Running, wanted: &[String]) -> Result<Vec<String>> {
    let file = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let all: Vec<(String, String)> = plan(&file)
        .nodes
        .into_iter()
        .filter(|n| file.nodes.get(&n.name).is_some())
        .flat_map(|n| n.ports.into_iter().map(move |p| (n.name.clone(), p.config.name)))
        .collect();
    let mark = |mut v: Vec<String>| {
        mark_lines(&file, &mut v);
        v
    };
    let full = |(n, p): &(String, String)| format!("{n}.{p}={p}");
    if wanted.is_empty() {
        return Ok(mark(all.iter().map(full).collect()));
    }
    let mut out: Vec<String> = Vec::new();
    for w in wanted {
        let hits: Vec<String> = all.iter().filter(|(n, p)| n == w || format!("{n}.{p}") == *w).map(full).collect();
        if hits.is_empty() {
            let names: Vec<String> = all.iter().flat_map(|(n, p)| [n.clone(), format!("{n}.{p}")]).collect();
            let near = node::nearest(w, names.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            bail!("lab `{}` has no node or port `{w}`{near}", r.name);
        }
        out.extend(hits.into_iter().filter(|h| !out.contains(h)).collect::<Vec<_>>());
    }
    Ok(mark(out))
}

/// How to capture.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// NODE or NODE.PORT
    ports: Vec<String>,
    /// A file, a folder (ends with /: a file a port), or - for standard output
    #[arg(short, long, default_value = "-")]
    write: String,
    /// Only packets that match, through PPPoE, cells, tunnel and NAT: e.g. 'host 198.51.100.80 and tcp port 80'
    #[arg(long, value_name = "FILTER")]
    follow: Option<String>,
    /// Bytes alone: no packet numbers and causes, nothing is traced
    #[arg(long, conflicts_with = "follow")]
    plain: bool,
}

/// Runs the command.
pub(crate) fn capture(r: &Running, a: &Args) -> Result<ExitCode> {
    let (wanted, to) = (&a.ports, a.write.as_str());
    let ports = select(r, wanted)?;
    if let Some(f) = &a.follow {
        let file = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
        let t = crate::journey::topo::topology(&r.name, &file);
        journey::filter::Filter::parse(f, &t).map_err(|e| anyhow::anyhow!("--follow: {e}"))?;
    }
    let split = to.ends_with('/') || std::path::Path::new(to).is_dir();
    let mut c = Command::new("setpriv");
    c.args(["--pdeathsig", "KILL"]).arg(format!("{RUN}/bin/lab")).arg("capture-inside").args(&ports).args(["--name", &r.name]);
    if let Some(f) = &a.follow {
        c.args(["--follow", f]);
    }
    if a.plain {
        c.arg("--plain");
    }
    if split {
        std::fs::create_dir_all(to).with_context(|| to.to_owned())?;
        c.arg("--split").stdin(File::open(to).with_context(|| to.to_owned())?);
    } else {
        c.stdin(Stdio::null());
        if to == "-" {
            anyhow::ensure!(
                !io::stdout().is_terminal(),
                "pcapng is not for a terminal: pipe it (lab capture | wireshark -k -i -), or write it with -w FILE"
            );
        } else {
            c.stdout(File::create(to).with_context(|| to.to_owned())?);
        }
    }
    enter::join(r)?;
    enter::wait(c.env("PATH", crate::machine::path()).spawn().context("running setpriv")?)
}
