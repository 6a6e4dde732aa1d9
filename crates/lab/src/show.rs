//! `lab show`: asks a role over its control socket, and the kernel about its
//! ports.

use crate::enter;
use crate::plan::RUN;
use crate::state::Running;
use anyhow::{Context, Result, bail};
use node::Request;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// A role's answers to a question.
pub(crate) fn ask(r: &Running, node: &str, q: &Request) -> Result<Vec<Value>> {
    let s = r.connect(&format!("{RUN}/nodes/{node}/control.sock"));
    let mut s = match s {
        Ok(s) => s,
        Err(_) => {
            let p = r.processes()?.into_iter().find(|p| p.node == node);
            match p {
                Some(p) => bail!("`{node}` does not answer: its role {} is {} ({})\n{}", p.role, p.state, p.text, p.last.join("\n")),
                None => bail!("`{node}` is a kernel host: look into it with `lab exec {node} ip -s link` and the like"),
            }
        }
    };
    writeln!(s, "{}", serde_json::to_string(q)?)?;
    let mut answers = Vec::new();
    for line in BufReader::new(s).lines() {
        let v: Value = serde_json::from_str(&line?)?;
        if let Some(e) = v.get("error").and_then(Value::as_str) {
            bail!("{node}: {e}");
        }
        if v.get("end").is_some() {
            break;
        }
        let last = v.get("views").is_some() || v.get("reply").is_some() || v.get("status").is_some();
        answers.push(v);
        if last {
            break;
        }
    }
    Ok(answers)
}

/// A role's own rows of a view.
pub(crate) fn role_table(r: &Running, node: &str, what: &str) -> Result<Table> {
    let pages = ask(r, node, &Request::Show(what.to_owned()))?;
    let columns = pages.first().and_then(|p| serde_json::from_value(p["columns"].clone()).ok()).unwrap_or_default();
    let rows = pages.iter().flat_map(|p| serde_json::from_value::<Vec<Vec<Value>>>(p["rows"].clone()).unwrap_or_default()).collect();
    Ok(Table { columns, rows })
}

pub(crate) fn table(r: &Running, node: &str, what: &str) -> Result<Table> {
    let mut t = role_table(r, node, what)?;
    if what == "counters" {
        t.rows.extend(kernel(r, node)?);
    }
    Ok(t)
}

/// What the kernel lost at the node's devices: full TAP rings, runts, frames
/// that came while no role held the TAP. Joins the lab: nothing can be asked
/// from outside after that.
fn kernel(r: &Running, node: &str) -> Result<Vec<Vec<Value>>> {
    enter::join(r)?;
    let run = |args: &[&str]| -> Result<Vec<Value>> {
        let out = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{node}"))
            .args(args)
            .env("PATH", crate::machine::path())
            .stderr(Stdio::null())
            .output()
            .context("running nsenter")?;
        Ok(serde_json::from_slice(&out.stdout).unwrap_or_default())
    };
    let mut rows = Vec::new();
    for l in run(&["ip", "-j", "-s", "link", "show"])? {
        let Some(name) = l["ifname"].as_str().filter(|n| *n != "lo") else { continue };
        let s = &l["stats64"];
        for (what, v) in [
            ("rx-dropped", &s["rx"]["dropped"]),
            ("rx-errors", &s["rx"]["errors"]),
            ("tx-dropped", &s["tx"]["dropped"]),
            ("tx-errors", &s["tx"]["errors"]),
        ] {
            rows.push(vec!["kernel".into(), format!("kernel:{name}.{what}").into(), v.clone()]);
        }
        for f in run(&["tc", "-j", "-s", "filter", "show", "dev", name, "ingress"])? {
            let over = f["options"]["actions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|a| a["stats"]["overlimits"].as_u64().unwrap_or(0))
                .sum::<u64>();
            if f["options"]["actions"].is_array() {
                rows.push(vec!["kernel".into(), format!("kernel:{name}.redirect-overlimits").into(), over.into()]);
            }
        }
    }
    Ok(rows)
}

fn cell(v: &Value) -> String {
    match v {
        Value::Null => "-".into(),
        Value::String(s) if s.is_empty() => "-".into(),
        Value::String(s) => s.clone(),
        v => v.to_string(),
    }
}

fn print(t: &Table) {
    let rows: Vec<Vec<String>> = t.rows.iter().map(|r| r.iter().map(cell).collect()).collect();
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).chain([&t.columns[i]]).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..t.columns.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(&t.columns);
    rows.iter().for_each(|r| line(r));
}

pub(crate) fn objects(t: &Table) -> Value {
    let object = |row: &Vec<Value>| Value::Object(t.columns.iter().cloned().zip(row.iter().cloned()).collect());
    t.rows.iter().map(object).collect()
}

/// Runs the command.
pub(crate) fn show(r: &Running, node: &str, what: Option<&str>, json: bool) -> Result<ExitCode> {
    enter::known(r, node)?;
    if let Some(w) = what {
        let t = table(r, node, w)?;
        if json {
            println!("{:#}", objects(&t))
        } else {
            print(&t)
        }
        return Ok(ExitCode::SUCCESS);
    }
    let views = ask(r, node, &Request::Views)?;
    let views: Vec<(String, String)> = views.first().and_then(|v| serde_json::from_value(v["views"].clone()).ok()).unwrap_or_default();
    let first = views.first().map_or("counters", |(n, _)| n.as_str());
    let (a, b) = (table(r, node, first)?, table(r, node, "counters")?);
    if json {
        println!("{:#}", serde_json::json!({ first: objects(&a), "counters": objects(&b) }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{first}:");
    print(&a);
    if first != "counters" {
        println!("\ncounters:");
        print(&b);
    }
    println!("\nviews of {node}:");
    for (n, text) in views {
        println!("  {n:<12} {text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `lab command`.
pub(crate) fn command(r: &Running, node: &str, words: Vec<String>) -> Result<ExitCode> {
    enter::known(r, node)?;
    for a in ask(r, node, &Request::Command(words))? {
        println!("{}", a["reply"].as_str().unwrap_or(""));
    }
    Ok(ExitCode::SUCCESS)
}
