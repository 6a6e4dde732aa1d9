//! `lab up`.

use crate::file::{Lab, load};
use crate::plan::plan;
use crate::state::{self, Running};
use crate::{check, machine, picture, rolecheck};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

/// Brings a lab up; returns its name.
pub(crate) fn up(files: &Path, which: &str, name: Option<&str>, replace: bool) -> Result<String> {
    let began = Instant::now();
    let lab = load(files, which)?;
    let name = name.unwrap_or_else(|| lab.file.name.get_ref()).to_owned();
    anyhow::ensure!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty(), "`{name}` is not a lab's name");
    if let Some(p) = check::problem() {
        bail!("{p}");
    }
    needs(&lab)?;
    let p = plan(&lab.file);
    rolecheck::check(&lab, &p, &machine::bin_dir()?)?;
    println!("{:>7.1} ms  {} is in order", began.elapsed().as_secs_f64() * 1e3, lab.path.display());
    if let Some(r) = state::find(&name)? {
        let same = r.text().is_ok_and(|t| t == lab.text);
        if !replace {
            if same {
                println!("{name} is up already");
                return Ok(name);
            }
            bail!("{name} is up, from another text of its file; to take it down and bring this one up: lab up {which} --replace");
        }
        state::take_down(&r)?;
        println!("            the old {name} is down");
    }
    start(&lab, &name)?;
    println!("{:>7.1} ms  {name} is up\n", began.elapsed().as_secs_f64() * 1e3);
    println!("{}", picture::draw(&lab.file));
    if !lab.file.tries.is_empty() {
        println!("Try:");
        // A lab under another name must be named, and so must one of several.
        let several = state::all()?.len() > 1 || &name != lab.file.name.get_ref();
        for t in &lab.file.tries {
            println!(
                "  {}",
                if several { t.replacen("netns-scripts/lab ", &format!("netns-scripts/lab -l {name} "), 1) } else { t.clone() }
            );
        }
    }
    Ok(name)
}

/// What hosts' commands need must be there before anything is made.
fn needs(lab: &Lab) -> Result<()> {
    let mut packages = Vec::new();
    let mut said = Vec::new();
    for (node, n) in lab.file.nodes.iter() {
        for need in &n.needs {
            let (program, package) = need.split_once(':').unwrap_or((need, need));
            if machine::find(program).is_none() {
                said.push(format!("`{node}` needs {program}"));
                packages.push(package);
            }
        }
    }
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let sudo = if machine::is_root() { "" } else { "sudo " };
    bail!("{}: {}. Mend it with: {sudo}apt-get install -y {}", lab.path.display(), said.join(", "), packages.join(" "));
}

fn start(lab: &Lab, name: &str) -> Result<()> {
    let Some(lock) = state::lock(name)? else { bail!("another `lab up` of `{name}` is under way") };
    let exe = std::env::current_exe()?;
    let bin = machine::bin_dir()?;
    let mut child = Command::new("setsid")
        .arg("unshare")
        .args(machine::unshare_args())
        .arg(&exe)
        .arg("hold")
        .args([&lab.path, &bin])
        .env("PATH", machine::path())
        .env_remove("RUST_BACKTRACE")
        .current_dir("/")
        .stdin(lock) // the holder keeps it for life
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running unshare")?;
    let result = listen(&mut child);
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return result;
    }
    let holder = holder_of(child.id()).context("the holder has gone")?;
    state::note(&Running { name: name.to_owned(), holder, file: lab.path.clone() })
}

/// Prints what the holder tells, until it is up or fails.
fn listen(child: &mut Child) -> Result<()> {
    let out = child.stdout.take().context("the holder's words")?;
    for line in BufReader::new(out).lines() {
        let line = line?;
        let (kind, text) = line.split_once('\t').unwrap_or((&line, ""));
        let text = text.replace('\u{1}', "\n");
        match kind {
            "step" => println!("{text}"),
            "warn" => println!("            {text}"),
            "fail" => bail!("{text}"),
            "up" => return Ok(()),
            _ => {}
        }
    }
    let mut said = String::new();
    if let Some(mut e) = child.stderr.take() {
        let _ = e.read_to_string(&mut said);
    }
    let why = check::probe().err().unwrap_or_default();
    bail!("the holder ended: {} {why}", said.trim());
}

/// The child of `unshare`: process 1 of the lab, as seen from here.
fn holder_of(unshare: u32) -> Option<i32> {
    let list = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    list.split_whitespace().next()?.parse().ok()
}

/// Waits until standard input ends or somebody says stop, and takes the lab down.
pub(crate) fn stay(name: &str) -> Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let (tx, rx) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = tx.send(());
    });
    let rt = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    rt.block_on(async {
        let [mut int, mut term] = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        tokio::select! { _ = rx => {}, _ = int.recv() => {}, _ = term.recv() => {} }
        Ok::<_, anyhow::Error>(())
    })?;
    if let Some(r) = state::find(name)? {
        state::take_down(&r)?;
        println!("{name} is down");
    }
    Ok(ExitCode::SUCCESS)
}
