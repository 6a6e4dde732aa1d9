//! Running commands in a node: its network, its names, nothing of the person's
//! own configuration.

use crate::machine;
use crate::plan::RUN;
use crate::state::Running;
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::thread::{CapabilitySets, LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

/// Variables of the person's that would lead a command out of the lab.
const PROXIES: &[&str] =
    &["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Where the person was; the lab's mount namespace begins at its root.
const CWD: &str = "LAB_CWD";

fn nodes(r: &Running) -> Vec<String> {
    let dir = std::fs::read_dir(r.path(&format!("{RUN}/nodes")));
    let mut v: Vec<String> = dir.into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    v.sort();
    v
}

/// An error that names the nearest node, unless `node` is one.
pub(crate) fn known(r: &Running, node: &str) -> Result<()> {
    let all = nodes(r);
    if all.iter().any(|n| n == node) {
        return Ok(());
    }
    let near = node::nearest(node, all.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    bail!("lab `{}` has no node `{node}`{near} (nodes: {})", r.name, all.join(", "));
}

/// Joins the lab's user, pid and mount namespaces; children are in all of them.
pub(crate) fn join(r: &Running) -> Result<()> {
    let open = |ns: &str| {
        File::open(format!("/proc/{}/ns/{ns}", r.holder))
            .with_context(|| format!("entering `{}`: its holder ({}) is gone, or belongs to another user", r.name, r.holder))
    };
    let (user, pid, mnt) = (open("user")?, open("pid")?, open("mnt")?);
    let same = std::fs::read_link("/proc/self/ns/user").ok() == std::fs::read_link(format!("/proc/{}/ns/user", r.holder)).ok();
    let enter =
        |f: &File, what| move_into_link_name_space(f.as_fd(), Some(what)).with_context(|| format!("entering `{}` ({what:?})", r.name));
    if !same {
        enter(&user, LinkNameSpaceType::User)?;
        keep_capabilities()?;
    }
    enter(&pid, LinkNameSpaceType::ProcessID)?;
    enter(&mnt, LinkNameSpaceType::Mount)
}

/// As a user of the lab's own user namespace we have every capability there, and
/// keep them over exec only as ambient ones.
fn keep_capabilities() -> Result<()> {
    let all = rustix::thread::capabilities(None)?.permitted;
    rustix::thread::set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: all })?;
    for c in all.iter().filter(|c| c.bits().count_ones() == 1) {
        rustix::thread::configure_capability_in_ambient_set(c, true)?;
    }
    Ok(())
}

/// The command line that runs `command` on a node, from inside the lab.
pub(crate) fn on_node(node: &str, command: &[String]) -> Command {
    let mut c = Command::new("setpriv");
    // A command must not outlive the one who asked for it.
    c.args(["--pdeathsig", "KILL", "nsenter"])
        .arg(format!("--net=/run/netns/{node}"))
        .args(["unshare", "--mount", "--uts"])
        .arg(format!("{RUN}/bin/lab"))
        .args(["enter", node, "--"])
        .args(command)
        .env("PATH", machine::path());
    c
}

/// Waits for a child, handing on what ends us; its exit status is ours.
pub(crate) fn wait(mut child: Child) -> Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("the child's pid")?;
    let rt = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // No thread may be made here: our children are of another pid namespace.
    let gone = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).context("the child's pidfd")?;
    rt.block_on(async {
        let gone = port::watch(gone)?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [mut int, mut term, mut hup] = [signal(kinds[0])?, signal(kinds[1])?, signal(kinds[2])?];
        loop {
            let s = tokio::select! {
                ended = gone.readable() => return ended.map(drop),
                _ = int.recv() => rustix::process::Signal::INT,
                _ = term.recv() => rustix::process::Signal::TERM,
                _ = hup.recv() => rustix::process::Signal::HUP,
            };
            let _ = rustix::process::kill_process(pid, s);
        }
    })?;
    let status = child.wait()?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// `lab exec`.
pub(crate) fn exec(r: &Running, node: &str, command: &[String]) -> Result<ExitCode> {
    known(r, node)?;
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    join(r)?;
    wait(on_node(node, command).env(CWD, cwd).spawn().context("running setpriv")?)
}

/// `lab curl`.
pub(crate) fn curl(r: &Running, args: &[String]) -> Result<ExitCode> {
    let file = crate::file::parse(&r.text()?).map_err(|e| anyhow::anyhow!("{e}"))?;
    let host = file.nodes.iter().find(|(_, n)| n.is_host()).map(|(k, _)| k.to_owned());
    let host = host.context("this lab has no kernel host to run curl on")?;
    let mut command = vec!["curl".to_owned()];
    command.extend_from_slice(args);
    exec(r, &host, &command)
}

/// `lab enter`: already in the node's network and in a mount and a UTS namespace
/// of our own; gives them the node's names and becomes the command.
pub(crate) fn inside(node: &str, command: &[String]) -> Result<ExitCode> {
    rustix::system::sethostname(node.as_bytes()).context("the node's name")?;
    // The node's own devices below /sys, where the kernel lets us show them.
    let _ = mount("sysfs", "/sys", "sysfs", MountFlags::RDONLY, None);
    for f in ["hosts", "resolv.conf", "nsswitch.conf"] {
        let (own, etc) = (format!("{RUN}/nodes/{node}/etc/{f}"), format!("/etc/{f}"));
        if Path::new(&own).exists() && Path::new(&etc).exists() {
            mount_bind(&own, &etc).with_context(|| format!("binding {etc}"))?;
        }
    }
    let cwd = std::env::var_os(CWD).map(PathBuf::from).filter(|d| d.is_dir()).unwrap_or_else(|| "/".into());
    let mut path = std::ffi::OsString::from(format!("{RUN}/bin:"));
    path.push(machine::path());
    let mut c = Command::new(&command[0]);
    c.args(&command[1..]).current_dir(cwd).env("PATH", path).env_remove(CWD);
    PROXIES.iter().for_each(|p| {
        c.env_remove(p);
    });
    // curl takes the first .curlrc it finds: this one is empty.
    c.env("CURL_HOME", format!("{RUN}/empty"));
    c.env("LAB_NODE", node).env("LAB_CONTROL", format!("{RUN}/nodes/{node}/control.sock"));
    let e = c.exec();
    eprintln!("lab: {}: {e}", command[0]);
    Ok(ExitCode::from(if e.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}
