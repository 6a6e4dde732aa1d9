//! `lab link`: what a link does, changed while it runs.

use crate::file::{LabFile, Link, parse};
use crate::holder::Ask;
use crate::plan::RUN;
use crate::show;
use crate::state::Running;
use crate::validate::CABLE;
use anyhow::{Result, bail};
use node::config::NodeConfig;
use std::process::ExitCode;

/// The lab's link that ends at `port`.
pub(crate) fn find<'a>(f: &'a LabFile, r: &Running, port: &str) -> Result<&'a Link> {
    let all = || f.links.iter().flat_map(|l| l.ends.iter().map(|e| e.get_ref().as_str()));
    match f.links.iter().find(|l| l.ends.iter().any(|e| e.get_ref() == port)) {
        Some(l) => Ok(l),
        None => {
            let near = node::nearest(port, all()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            bail!("lab `{}` has no link at `{port}`{near} (ports: {})", r.name, all().collect::<Vec<_>>().join(", "))
        }
    }
}

/// Whether the cable's process is in the link at `port`.
fn is_spliced(r: &Running, port: &str) -> bool {
    let text = std::fs::read(r.path(&format!("{RUN}/nodes/{CABLE}/node.json")));
    let config: Option<NodeConfig> = text.ok().and_then(|t| serde_json::from_slice(&t).ok());
    config.is_some_and(|c| c.ports.iter().any(|p| p.peer == port))
}

/// Runs the command.
pub(crate) fn link(r: &Running, port: &str, mut words: Vec<String>) -> Result<ExitCode> {
    let f = parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let l = find(&f, r, port)?;
    if words.is_empty() {
        words.push("show".into());
    }
    let verbs = ["set", "show", "off", "on", "down", "up"];
    if !verbs.contains(&words[0].as_str()) {
        let near = node::nearest(&words[0], verbs).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        bail!("a link has no `{}`, expected one of: {}{near}", words[0], verbs.join(", "));
    }
    if !is_spliced(r, port) {
        if words[0] == "show" {
            let [a, b] = [0, 1].map(|e| l.ends[e].get_ref());
            let (a, b) = if a == port { (a, b) } else { (b, a) };
            println!("{a} to {b}: clean (no cable is in it)\n{b} to {a}: clean (no cable is in it)");
            return Ok(ExitCode::SUCCESS);
        }
        r.ask(&Ask::Splice(port.to_owned()))?;
    }
    words.insert(0, port.to_owned());
    show::command(r, CABLE, words)
}
