//! The holder: process 1 of a lab's own namespaces. Everything of the lab lives
//! and dies with it.

use crate::file::{Lab, load};
use crate::machine;
use crate::plan::{Plan, PlannedNode, RUN, node_config, plan};
use crate::splice;
use crate::validate::CABLE;
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long roles may take to become ready before `up` says who did not.
const READY: Duration = Duration::from_secs(15);
/// A role's log is started anew beyond this; one old file is kept.
const LOG_BYTES: u64 = 4 << 20;

/// What `up` tells the holder.
#[derive(clap::Args)]
pub(crate) struct Args {
    file: PathBuf,
    bin: PathBuf,
}

/// A role or a host's command, as `status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) node: String,
    pub(crate) role: String,
    /// As the lab's own pid namespace counts.
    pub(crate) pid: i32,
    /// starting, waiting, ready, failed, dead.
    pub(crate) state: String,
    pub(crate) text: String,
    /// Its last lines, if it is dead.
    pub(crate) last: Vec<String>,
    command: Vec<String>,
}

/// What the holder answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    Status,
    Restart(String),
    /// Puts the cable's process into a clean link that ends at this `node.port`.
    Splice(String),
}

struct Shared {
    processes: Mutex<Vec<Process>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells `up`. If it was killed meanwhile, the half-made lab goes too.
fn say(kind: &str, text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{kind}\t{}", text.replace('\n', "\u{1}")).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Holds a lab until it is killed. Standard input is the lab's lock.
pub(crate) fn hold(args: Args) -> Result<ExitCode> {
    // Who hears that the lab is up may ask at once.
    let ready = start(&args).and_then(|s| Ok((s, UnixListener::bind(format!("{RUN}/holder.sock")).context("the holder's socket")?)));
    match ready {
        Ok((shared, socket)) => {
            say("up", "");
            serve(&shared, &socket)
        }
        Err(e) => {
            say("fail", &format!("{e:#}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

struct Step(Instant);

impl Step {
    fn done(&mut self, text: &str) {
        say("step", &format!("{:>7.1} ms  {text}", self.0.elapsed().as_secs_f64() * 1e3));
        self.0 = Instant::now();
    }
}

fn start(args: &Args) -> Result<Arc<Shared>> {
    let mut step = Step(Instant::now());
    let lab = load(Path::new("."), &args.file.to_string_lossy())?;
    let p = plan(&lab.file);
    mounts(args, &lab)?;
    step.done("namespaces and a private /run");
    wire(&p)?;
    step.done(&format!("{} nodes wired with {} cables", p.nodes.len(), lab.file.links.len()));
    let shared = Arc::new(Shared { processes: Mutex::new(Vec::new()), changed: Condvar::new() });
    notices(Arc::clone(&shared))?;
    for n in &p.nodes {
        prepare(&lab, &p, n)?;
    }
    for n in &p.nodes {
        for (role, command) in commands(&lab, n) {
            launch(&shared, n.name.clone(), role, command)?;
        }
    }
    reaper(Arc::clone(&shared));
    step.done("roles started");
    wait_ready(&shared, &mut step)?;
    Ok(shared)
}

fn mounts(args: &Args, lab: &Lab) -> Result<()> {
    // Opened before /run is covered: either may lie below it.
    let bin = fs::File::open(&args.bin).context("the folder of the roles")?;
    let files = fs::File::open(lab.path.parent().unwrap_or(Path::new("/"))).context("the folder of the lab file")?;
    let target = fs::read_link("/etc/resolv.conf").ok().map(|t| Path::new("/etc").join(t));
    let none = MountFlags::empty();
    mount("proc", "/proc", "proc", none, None).context("mounting /proc")?;
    mount("tmpfs", "/run", "tmpfs", none, Some(c"mode=0755")).context("mounting a private /run")?;
    for d in ["netns", "lab/bin", "lab/files", "lab/nodes"] {
        fs::create_dir_all(Path::new("/run").join(d))?;
    }
    let bind = |f: &fs::File, to: &str| mount_bind(format!("/proc/self/fd/{}", f.as_raw_fd()), to).with_context(|| format!("binding {to}"));
    bind(&bin, "/run/lab/bin")?;
    bind(&files, "/run/lab/files")?;
    // A resolv.conf that points below /run needs something to be bound over.
    if let Some(t) = target.filter(|t| t.starts_with("/etc/../run") || t.starts_with("/run"))
        && let Some(parent) = t.parent()
    {
        fs::create_dir_all(parent)?;
        fs::write(&t, "")?;
    }
    fs::write(format!("{RUN}/lab.toml"), &lab.text)?;
    fs::write(format!("{RUN}/curlrc"), "")?;
    fs::create_dir_all(format!("{RUN}/empty"))?;
    fs::write(format!("{RUN}/empty/.curlrc"), "")?;
    Ok(())
}

pub(crate) fn batch(program: &str, ns: Option<&str>, text: &str) -> Result<()> {
    let mut c = Command::new(program);
    if let Some(ns) = ns {
        c.args(["-n", ns]);
    }
    c.args(["-batch", "-"]).env("PATH", machine::path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = c.spawn().with_context(|| format!("running {program}"))?;
    if let Some(mut i) = child.stdin.take() {
        i.write_all(text.as_bytes())?;
    }
    let out = child.wait_with_output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let line = said.rsplit(':').next().and_then(|n| n.trim().parse::<usize>().ok()).and_then(|n| text.lines().nth(n.wrapping_sub(1)));
        let at = ns.map(|n| format!(" in node `{n}`")).unwrap_or_default();
        bail!("{program}{at}: {} (at `{}`). Mend it: see `lab check`", said.trim(), line.unwrap_or("?"));
    }
    Ok(())
}

fn wire(p: &Plan) -> Result<()> {
    batch("ip", None, &p.links)?;
    // Namespaces do not know each other: their batches run side by side.
    let run = |program: &'static str, list: &[(String, String)]| -> Result<()> {
        std::thread::scope(|s| {
            let jobs: Vec<_> = list.iter().map(|(ns, text)| s.spawn(move || batch(program, Some(ns), text))).collect();
            jobs.into_iter().try_for_each(|j| j.join().unwrap_or_else(|_| bail!("{program}: the batch panicked")))
        })
    };
    run("ip", &p.ip)?;
    run("tc", &p.tc)?;
    for (ns, dev) in &p.plain {
        let out = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{ns}"))
            .args(["ethtool", "-K", dev, "tx", "off"])
            .env("PATH", machine::path())
            .output()
            .context("running ethtool")?;
        if !out.status.success() {
            bail!("ethtool -K {dev} tx off on `{ns}`: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
    }
    Ok(())
}

fn prepare(lab: &Lab, p: &Plan, n: &PlannedNode) -> Result<()> {
    let dir = PathBuf::from(format!("{RUN}/nodes/{}", n.name));
    fs::create_dir_all(dir.join("etc"))?;
    let spec = lab.file.nodes.get(&n.name);
    let mut hosts = String::from("127.0.0.1 localhost\n");
    if spec.is_some_and(|s| s.is_host())
        && let Some(a) = n.ports.iter().find_map(|q| q.config.address)
    {
        hosts += &format!("{} {}.{} {}\n", a.addr, n.name, lab.file.domain, n.name);
    }
    fs::write(dir.join("etc/hosts"), hosts)?;
    let servers: String = spec.iter().flat_map(|s| &s.dns).map(|d| format!("nameserver {d}\n")).collect();
    fs::write(dir.join("etc/resolv.conf"), format!("{servers}search {}\noptions timeout:2 attempts:3\n", lab.file.domain))?;
    fs::write(dir.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    fs::create_dir_all(dir.join("state"))?;
    let mut file = PathBuf::from(format!("{RUN}/lab.toml"));
    if let (true, Some(text)) = (spec.is_none(), &p.cable) {
        file = dir.join("lab.toml");
        fs::write(&file, text)?;
    }
    let mut config = node_config(&lab.file, p, n, file, Path::new(RUN), PathBuf::from(format!("{RUN}/files")));
    config.state = dir.join("state");
    fs::write(dir.join("node.json"), serde_json::to_vec(&config)?)?;
    Ok(())
}

fn into(n: &PlannedNode, rest: &[&str]) -> Vec<String> {
    let mut v = vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", n.name)];
    v.extend(rest.iter().map(|s| (*s).to_owned()));
    v
}

/// A role's process.
fn role_command(n: &PlannedNode) -> Option<(String, Vec<String>)> {
    let role = n.role.as_ref()?;
    let program = format!("{RUN}/bin/{role}");
    let config = format!("{RUN}/nodes/{}/node.json", n.name);
    // No capability in any set, and none to come.
    let bare = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];
    Some((role.clone(), into(n, &[&bare[..], &[&program, "--config", &config]].concat())))
}

/// What runs on a node: its role, or a host's commands.
fn commands(lab: &Lab, n: &PlannedNode) -> Vec<(String, Vec<String>)> {
    match role_command(n) {
        Some(one) => vec![one],
        None => {
            let start = lab.file.nodes.get(&n.name).map(|s| s.start.clone()).unwrap_or_default();
            let lab_program = format!("{RUN}/bin/lab");
            let one = |line: String| {
                let words = ["unshare", "--mount", "--uts", &lab_program, "enter", &n.name, "sh", "-c", &line];
                (line.clone(), into(n, &words))
            };
            start.into_iter().map(one).collect()
        }
    }
}

fn launch(shared: &Arc<Shared>, node: String, role: String, command: Vec<String>) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    // Held until the process is listed: its first notice must find it there.
    let mut list = shared.lock();
    let child = Command::new(&command[0])
        .args(&command[1..])
        .env("PATH", machine::path())
        .env("LAB_NOTIFY", format!("{RUN}/notify.sock"))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("starting {role} on `{node}`"))?;
    let pid = i32::try_from(child.id())?;
    let log = PathBuf::from(format!("{RUN}/nodes/{node}/log"));
    std::thread::spawn(move || keep_log(reader, &log));
    // A host's command has no word to say when it is ready.
    let state = if command.iter().any(|c| c == "--config") { "starting" } else { "ready" };
    let process = Process { node, role, pid, state: state.into(), text: String::new(), last: Vec::new(), command };
    match list.iter_mut().find(|p| p.node == process.node && p.role == process.role) {
        Some(p) => *p = process,
        None => list.push(process),
    }
    Ok(())
}

fn keep_log(mut from: impl Read, path: &Path) {
    let open = || fs::OpenOptions::new().create(true).append(true).open(path);
    let Ok(mut file) = open() else { return };
    let mut buf = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buf) {
        if file.metadata().is_ok_and(|m| m.len() > LOG_BYTES) {
            let _ = fs::rename(path, path.with_extension("1"));
            match open() {
                Ok(f) => file = f,
                Err(_) => return,
            }
        }
        let _ = file.write_all(&buf[..n]);
    }
}

fn last_lines(node: &str, n: usize) -> Vec<String> {
    let Ok(f) = fs::File::open(format!("{RUN}/nodes/{node}/log")) else { return Vec::new() };
    let mut last = VecDeque::new();
    for l in BufReader::new(f).lines().map_while(Result::ok) {
        last.push_back(l);
        if last.len() > n {
            last.pop_front();
        }
    }
    last.into()
}

fn notices(shared: Arc<Shared>) -> Result<()> {
    let socket = UnixDatagram::bind(format!("{RUN}/notify.sock")).context("the notice socket")?;
    std::thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok(n) = socket.recv(&mut buf) {
            let text = String::from_utf8_lossy(&buf[..n]).into_owned();
            let mut words = text.splitn(3, '\t');
            let (Some(node), Some(state), Some(text)) = (words.next(), words.next(), words.next()) else { continue };
            let mut list = shared.lock();
            if let Some(p) = list.iter_mut().find(|p| p.node == node && p.state != "dead") {
                p.state = state.to_owned();
                p.text = text.to_owned();
            }
            shared.changed.notify_all();
        }
    });
    Ok(())
}

/// Held while the holder waits for children of its own: the reaper leaves them be.
static OWN: Mutex<()> = Mutex::new(());

/// Process 1 buries every orphan of its namespace.
fn reaper(shared: Arc<Shared>) {
    std::thread::spawn(move || {
        loop {
            // Looks first and takes only when nobody else waits for a child.
            let dead = rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
            match dead.and_then(|_| rustix::process::wait(WaitOptions::NOHANG)) {
                Ok(Some((pid, status))) => died(&shared, pid.as_raw_nonzero().get(), status),
                Ok(None) => {}
                // No child is left: one may come by `restart`.
                Err(_) => {
                    drop(own);
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    });
}

fn died(shared: &Shared, pid: i32, status: WaitStatus) {
    let mut list = shared.lock();
    let Some(p) = list.iter_mut().find(|p| p.pid == pid) else { return };
    p.state = "dead".into();
    p.text = match (status.exit_status(), status.terminating_signal()) {
        (Some(c), _) => format!("exited with {c}"),
        (_, Some(s)) => format!("killed by signal {s}"),
        _ => "ended".into(),
    };
    let node = p.node.clone();
    p.last = last_lines(&node, 8);
    shared.changed.notify_all();
}

fn wait_ready(shared: &Shared, step: &mut Step) -> Result<()> {
    let end = Instant::now() + READY;
    let mut list = shared.lock();
    loop {
        if let Some(p) = list.iter().find(|p| p.state == "dead" && p.command.iter().any(|c| c == "--config")) {
            bail!("{} on `{}` {}:\n{}", p.role, p.node, p.text, p.last.join("\n"));
        }
        let late: Vec<&Process> = list.iter().filter(|p| !matches!(p.state.as_str(), "ready" | "dead")).collect();
        if late.is_empty() {
            step.done("every role is ready");
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now());
        // Who says why it cannot go on is not waited for.
        if left.is_zero() || late.iter().all(|p| p.state == "failed") {
            for p in late {
                say("warn", &format!("`{}` is not ready: {}", p.node, if p.text.is_empty() { "it says nothing" } else { &p.text }));
            }
            return Ok(());
        }
        leave_if_alone();
        let slice = left.min(Duration::from_millis(200));
        list = shared.changed.wait_timeout(list, slice).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Ends with a `lab up` that was killed: its end of our words' pipe is closed.
fn leave_if_alone() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = std::io::stdout();
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        std::process::exit(1);
    }
}

fn serve(shared: &Arc<Shared>, socket: &UnixListener) -> Result<ExitCode> {
    for s in socket.incoming() {
        let Ok(s) = s else { continue };
        let mut line = String::new();
        if BufReader::new(&s).read_line(&mut line).is_err() {
            continue;
        }
        let answer = match serde_json::from_str::<Ask>(&line) {
            Ok(Ask::Status) => serde_json::to_value(&*shared.lock())?,
            Ok(Ask::Restart(node)) => match restart(shared, &node) {
                Ok(t) => serde_json::json!({ "done": t }),
                Err(e) => serde_json::json!({ "error": format!("{e:#}") }),
            },
            Ok(Ask::Splice(end)) => match splice(shared, &end) {
                Ok(t) => serde_json::json!({ "done": t }),
                Err(e) => serde_json::json!({ "error": format!("{e:#}") }),
            },
            Err(e) => serde_json::json!({ "error": e.to_string() }),
        };
        let _ = writeln!(&s, "{answer}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Splices a link; the cable's process is told of it, or begins.
fn splice(shared: &Arc<Shared>, end: &str) -> Result<&'static str> {
    let done = {
        let _own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        splice::splice(end)?
    };
    let Some(done) = done else { return Ok("the cable is in it already") };
    let running = shared.lock().iter().any(|p| p.node == CABLE && p.state != "dead");
    if running {
        splice::tell(&done)?;
        return Ok("spliced");
    }
    let n = PlannedNode { name: CABLE.to_owned(), role: Some(CABLE.to_owned()), ports: Vec::new() };
    if let Some((role, command)) = role_command(&n) {
        launch(shared, n.name.clone(), role, command)?;
    }
    let end = Instant::now() + READY;
    let mut list = shared.lock();
    loop {
        match list.iter().find(|p| p.node == CABLE) {
            Some(p) if p.state == "ready" => return Ok("spliced"),
            Some(p) if p.state == "dead" => bail!("the cable {}:\n{}", p.text, p.last.join("\n")),
            _ if Instant::now() >= end => bail!("the cable did not become ready"),
            _ => {}
        }
        list = shared.changed.wait_timeout(list, Duration::from_millis(500)).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn restart(shared: &Arc<Shared>, node: &str) -> Result<String> {
    let mine: Vec<Process> = shared.lock().iter().filter(|p| p.node == node).cloned().collect();
    if mine.is_empty() {
        let list = shared.lock();
        let near = node::nearest(node, list.iter().map(|p| p.node.as_str())).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        bail!("nothing runs on a node `{node}`{near}");
    }
    for p in mine {
        if p.state != "dead"
            && let Some(pid) = rustix::process::Pid::from_raw(p.pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let mut list = shared.lock();
        let end = Instant::now() + Duration::from_secs(5);
        while list.iter().any(|q| q.pid == p.pid && q.state != "dead") && Instant::now() < end {
            list = shared.changed.wait_timeout(list, Duration::from_secs(1)).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(list);
        launch(shared, p.node, p.role, p.command)?;
    }
    let end = Instant::now() + READY;
    let mut list = shared.lock();
    loop {
        let late = list.iter().find(|p| p.node == node && p.state != "ready");
        match late {
            None => return Ok("ready".into()),
            Some(p) if p.state == "dead" => bail!("{} {}:\n{}", p.role, p.text, p.last.join("\n")),
            Some(p) if Instant::now() >= end => return Ok(format!("started, but not ready: {}", p.text)),
            Some(_) => {}
        }
        list = shared.changed.wait_timeout(list, Duration::from_millis(500)).unwrap_or_else(PoisonError::into_inner).0;
    }
}
