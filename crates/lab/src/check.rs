//! `lab check`: what is there, what is not, and the command that mends it.

use crate::machine::{self, NEEDED, WANTED};
use anyhow::Result;
use std::process::{Command, ExitCode, Stdio};

/// A throwaway lab's worth of kernel features, tried in namespaces of its own.
const PROBE: &str = "set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip netns add probe
ip link add name a type veth peer name b netns probe
ip tuntap add dev t mode tap
tc qdisc add dev t clsact
tc filter add dev t ingress protocol all prio 1 bpf bytecode '1,6 0 0 4294967295' flowid :1 action mirred egress redirect dev a
echo fine";

/// Why a lab cannot be made here, if so.
pub(crate) fn problem() -> Option<String> {
    let lacks = machine::missing(NEEDED);
    if !lacks.is_empty() {
        let programs: Vec<_> = lacks.iter().map(|(p, _)| *p).collect();
        return Some(format!("missing programs: {}. Mend it with: {}", programs.join(", "), apt(&lacks)));
    }
    let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    match tun {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Some("/dev/net/tun is not there. Mend it with (as root): modprobe tun".into());
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Some(
                "/dev/net/tun cannot be opened by you. Mend it with (as root): chmod 0666 /dev/net/tun; or run the lab as root".into(),
            );
        }
        Err(e) => return Some(format!("/dev/net/tun: {e}. Mend it with (as root): modprobe tun")),
        Ok(_) => {}
    }
    None
}

fn apt(list: &[(&str, &str)]) -> String {
    let mut packages: Vec<_> = list.iter().map(|(_, p)| *p).collect();
    packages.dedup();
    format!("{}apt-get install -y {}", if machine::is_root() { "" } else { "sudo " }, packages.join(" "))
}

/// Tries the kernel's part; an explanation if it fails.
pub(crate) fn probe() -> Result<(), String> {
    let out = Command::new("unshare")
        .args(machine::unshare_args())
        .args(["sh", "-c", PROBE])
        .env("PATH", machine::path())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("unshare: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().replace('\n', "; ");
    let mend = if said.contains("unshare failed") || said.contains("Operation not permitted") {
        "this machine lets normal users make no user namespaces; mend it with (as root): sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0; or run the lab as root"
    } else {
        "the kernel lacks a part: it needs network, mount, pid and user namespaces, tun, veth, sch_ingress (clsact), cls_bpf and act_mirred"
    };
    Err(format!("{said}. {mend}"))
}

/// Runs the command.
pub(crate) fn check() -> Result<ExitCode> {
    let mut fine = true;
    for (program, package) in NEEDED {
        match machine::find(program) {
            Some(p) => println!("ok       {program}: {}", p.display()),
            None => {
                fine = false;
                println!("MISSING  {program}: mend it with: {}", apt(&[(program, package)]));
            }
        }
    }
    for (program, package) in WANTED {
        match machine::find(program) {
            Some(p) => println!("ok       {program}: {}", p.display()),
            None => println!("absent   {program} (the lab runs without it): {}", apt(&[(program, package)])),
        }
    }
    let who = if machine::is_root() { "as root" } else { "as a normal user, in a user namespace" };
    match problem() {
        Some(p) => {
            fine = false;
            println!("MISSING  {p}");
        }
        None => match probe() {
            Ok(()) => println!("ok       namespaces, TAP, veth, tc redirect ({who})"),
            Err(e) => {
                fine = false;
                println!("FAILS    making namespaces {who}: {e}");
            }
        },
    }
    println!("{}", if fine { "This machine can run labs." } else { "This machine cannot run labs yet." });
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(125) })
}
