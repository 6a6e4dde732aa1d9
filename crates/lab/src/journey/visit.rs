//! The fetch that a journey is about: by our own client, or by curl on a kernel host.

use crate::plan::RUN;
use crate::state::Running;
use anyhow::{Context, Result, bail};
use node::Request;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// What the fetch has to say, as it goes.
#[derive(Debug)]
pub(crate) enum Said {
    /// The number under which the client's trace knows it.
    Act(u64),
    /// curl's word on its connection: local port, server, status, bytes, its error.
    Curl { local_port: u16, remote: String, status: u16, bytes: u64, error: String },
    /// It is over.
    End,
}

/// Asks the resident browser of a node.
pub(crate) fn client(r: &Running, node: &str, url: &str) -> Result<Receiver<Said>> {
    let s = r.connect(&format!("{RUN}/nodes/{node}/control.sock"));
    let mut s = s.with_context(|| format!("the browser on `{node}` does not answer (see lab status)"))?;
    let question = json!({ "url": url, "width": 80, "raw": false, "data": null });
    writeln!(s, "{}", serde_json::to_string(&Request::Ask(question))?)?;
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(s).lines().map_while(Result::ok) {
            let v: Value = serde_json::from_str(&line).unwrap_or_default();
            if v["end"] == true {
                break;
            }
            // What the browser says of its steps the trace tells too.
            if let Some(act) = v["act"].as_u64()
                && tx.send(Said::Act(act)).is_err()
            {
                return;
            }
        }
        let _ = tx.send(Said::End);
    });
    Ok(rx)
}

/// Runs curl on a kernel host, for so many seconds at most.
pub(crate) fn curl(r: &Running, node: &str, url: &str, seconds: u64) -> Result<Receiver<Said>> {
    const FORM: &str = "%{local_port} %{remote_ip}:%{remote_port} %{http_code} %{size_download}";
    let mut c = Command::new(std::env::current_exe()?);
    c.args(["-l", &r.name, "exec", node, "curl", "-sS", "-o", "/dev/null", "-w", FORM, "-m"])
        .arg(seconds.max(1).to_string())
        .args(["--", url]);
    let child = c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("running curl")?;
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        if let Ok(o) = child.wait_with_output() {
            let text = String::from_utf8_lossy(&o.stdout).into_owned();
            let mut w = text.split_whitespace();
            let mut word = || w.next().unwrap_or("").to_owned();
            let (local, remote, status, bytes) = (word(), word(), word(), word());
            let _ = tx.send(Said::Curl {
                local_port: local.parse().unwrap_or(0),
                remote,
                status: status.parse().unwrap_or(0),
                bytes: bytes.parse().unwrap_or(0),
                error: String::from_utf8_lossy(&o.stderr).trim().to_owned(),
            });
        }
        let _ = tx.send(Said::End);
    });
    Ok(rx)
}

/// A URL as a person types it, checked as far as a journey needs it.
pub(crate) fn check(url: &str) -> Result<()> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    if let Some((scheme, _)) = url.split_once("://")
        && scheme != "http"
    {
        bail!("`{url}`: this lab's web speaks http, not {scheme}");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.starts_with('[') {
        bail!("`{url}`: this lab has no IPv6");
    }
    if let Some((_, port)) = authority.rsplit_once(':')
        && port.parse::<u16>().is_err()
    {
        bail!("`{url}`: `{port}` is not a port (0 to 65535)");
    }
    if rest.is_empty() || rest.starts_with('/') || rest.starts_with('-') {
        bail!("`{url}` is not a URL (like http://www.example.com/)");
    }
    Ok(())
}
