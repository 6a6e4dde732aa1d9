//! What goes wrong is said, counted and mended.

use integration::{Lab, Scratch, changed, kill, lab_command, tool, wait_for};
use std::process::Stdio;
use std::time::Duration;

const PAGE: &str = "http://www.example.com/";

fn lab(args: &[&str]) -> (i32, String) {
    let o = lab_command().args(args).stdin(Stdio::null()).output().expect("lab runs");
    (o.status.code().unwrap_or(-1), String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr))
}

#[test]
fn a_wrong_password_is_told_by_both_ends() {
    let l = Lab::up_changed(
        "web-path",
        &[("user = \"kim@isp.example\", password = \"naengmyeon\"", "user = \"kim@isp.example\", password = \"wrong\"")],
    );
    assert!(l.said.contains("`home-router` is not ready: PPPoE: authentication failed: wrong password"), "{}", l.said);
    let log = l.run(&["logs", "lns"]).good().out;
    assert!(log.contains("`kim@isp.example` refused: wrong password"), "{log}");
    let ended = l.show("lns", "log");
    assert!(ended.iter().any(|e| e["reason"].as_str().is_some_and(|r| r.contains("wrong password"))), "{ended:?}");
    let status = l.run(&["status"]).good().out;
    assert!(status.contains("failed") && status.contains("wrong password"), "{status}");
}

#[test]
fn a_dead_web_server_is_covered_by_the_cache() {
    let l = Lab::up("web-path");
    l.curl(&[PAGE]).good();
    l.curl(&["http://www.example.com/fresh/"]).good();
    l.kill("web");
    let status = l.run(&["status"]).good().out;
    assert!(status.contains("dead (killed by signal 9)") && status.contains("    | "), "{status}");
    let hit = l.curl(&["-i", PAGE]).good().out;
    assert!(hit.contains("200 OK") && hit.contains("cache; hit"), "{hit}");
    let miss = l.curl(&["-i", "http://www.example.com/style.css"]).good().out;
    assert!(miss.contains("504 Gateway Timeout"), "{miss}");
    // What has become stale is better than nothing (RFC 9111 §4.2.4).
    wait_for("the page to be stale", Duration::from_secs(5), || {
        l.show("cache", "store").iter().any(|s| s["url"].as_str().is_some_and(|u| u.ends_with("/fresh/")) && s["state"] == "stale")
    });
    let stale = l.curl(&["-i", "http://www.example.com/fresh/"]).good().out;
    assert!(stale.contains("200 OK") && stale.contains("stale"), "{stale}");
    let r = l.run(&["restart", "web"]).good().out;
    assert!(r.contains("web: ready"), "{r}");
    let back = l.curl(&["-i", "http://www.example.com/style.css"]).good().out;
    assert!(back.contains("200 OK"), "{back}");
}

#[test]
fn a_bas_that_comes_back_has_its_session_back_within_five_seconds() {
    let l = Lab::up("web-path");
    l.curl(&["-o", "/dev/null", PAGE]).good();
    l.kill("bas");
    l.run(&["restart", "bas"]).good();
    wait_for("the session", Duration::from_secs(5), || l.show("bas", "sessions").iter().any(|s| s["phase"] == "tunnelled"));
    wait_for("the router to be ready", Duration::from_secs(5), || {
        l.status()["roles"].as_array().is_some_and(|r| r.iter().any(|r| r["node"] == "home-router" && r["state"] == "ready"))
    });
    l.curl(&["-o", "/dev/null", PAGE]).good();
    assert!(l.counter("bas", "padt-to-strangers") > 0);
}

#[test]
fn an_lns_that_comes_back_has_its_session_back_soon() {
    let l = Lab::up("web-path");
    l.curl(&["-o", "/dev/null", PAGE]).good();
    l.kill("lns");
    l.run(&["restart", "lns"]).good();
    // The first packet into the old tunnel is answered by StopCCN.
    wait_for("the page", Duration::from_secs(10), || l.run(&["curl", "-sS", "-m", "1", "-o", "/dev/null", PAGE]).code == 0);
    let why = l.show("bas", "log").iter().filter_map(|e| e["reason"].as_str().map(str::to_owned)).collect::<Vec<_>>().join("; ");
    assert!(why.contains("begun anew"), "{why}");
}

#[test]
fn mistakes_in_a_lab_file_are_refused_with_their_place() {
    for (from, to, says) in [
        ("role = \"switch\"", "role = \"swich\"", "did you mean `switch`?"),
        ("pool = \"203", "pol = \"203", "did you mean `pool`?"),
        ("access = [\"access\"]", "access = [\"acess\"]", "did you mean `access`?"),
        ("max-age = {", "max-agee = {", "did you mean `max-age`?"),
        ("action = \"allow\"", "action = \"alow\"", "did you mean `allow`?"),
        ("via = \"10.0.1.2\"", "via = \"10.9.9.9\"", "10.9.9.9 is on no link"),
        ("snr-db = 20\n", "delay = \"2 moons\"\n", "is not a time"),
        ("snr-db = 20\n", "snr-bd = 20\n", "did you mean `snr-db`?"),
        ("interleave = \"4ms\"", "interleaf = \"4ms\"", "did you mean `interleave`?"),
        ("lns = [\"10.0.0.2\"], secret", "lns = [], secret", "names no LNS"),
        ("\"switch.pc\"", "\"swtch.pc\"", "did you mean `switch`?"),
        ("root = \"site\"", "root = \"sites\"", "there is no folder `sites`"),
        ("[nodes.client]", "[nodes.client", "line "),
    ] {
        let path = changed("web-path", &[(from, to)]);
        let (code, said) = lab(&["up", path.to_str().expect("UTF-8"), "--name", &integration::fresh_name()]);
        let _ = std::fs::remove_file(path);
        assert_eq!(code, 125, "{to}: {said}");
        assert!(said.contains(says) && said.contains("line ") && said.contains("column "), "{to}: {said}");
        assert!(!said.contains("wired"), "{to}: something was made: {said}");
    }
    let (code, said) = lab(&["up", "web-pth"]);
    assert!(code == 125 && said.contains("did you mean `web-path`?"), "{said}");
}

#[test]
fn a_missing_tool_is_named_with_its_mend() {
    let dir = Scratch::new();
    for t in ["sh", "ip", "tc", "unshare", "nsenter", "setpriv", "setsid"] {
        let at = tool("which", &[t]).good().out;
        std::os::unix::fs::symlink(at.trim(), dir.path(t)).expect("a link");
    }
    // A machine whose PATH folders hold everything but ethtool.
    let hide = format!(
        "mount -t tmpfs t /usr/sbin; exec {} --files {} up web-path --name {}",
        integration::bin("lab").display(),
        integration::root().join("netns-scripts/labs").display(),
        integration::fresh_name()
    );
    let o = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &hide])
        .env("PATH", format!("{}:/usr/bin:/bin", dir.0.display()))
        .output()
        .expect("unshare");
    let said = String::from_utf8_lossy(&o.stderr).into_owned();
    assert!(!o.status.success() && said.contains("ethtool") && said.contains("apt-get install"), "{said}");
}

#[test]
fn up_and_down_twice_and_two_labs_at_once() {
    let l = Lab::up("web-path-nocache");
    let (code, said) = lab(&["up", "web-path-nocache", "--name", &l.name]);
    assert!(code == 0 && said.contains("is up already"), "{said}");
    let other = changed("web-path-nocache", &[("interleave = \"4ms\"", "interleave = \"5ms\"")]);
    let (code, said) = lab(&["up", other.to_str().expect("UTF-8"), "--name", &l.name]);
    let _ = std::fs::remove_file(other);
    assert!(code == 125 && said.contains("--replace"), "{said}");
    let two = Lab::up("web-path-nocache");
    assert!(l.curl(&[PAGE]).good().out.contains("Hello"));
    assert!(two.curl(&[PAGE]).good().out.contains("Hello"));
    two.run(&["down"]).good();
    let r = two.run(&["down"]).good().out;
    assert!(r.contains("is not up"), "{r}");
    assert!(l.curl(&[PAGE]).good().out.contains("Hello"));
    for (args, says) in [
        (&["show", "swtch"][..], "did you mean `switch`?"),
        (&["show", "switch", "fbd"], "did you mean `fdb`?"),
        (&["exec", "p", "true"], "has no node `p`"),
        (&["restart", "wbe"], "did you mean `web`?"),
        (&["logs", "wbe"], "did you mean `web`?"),
    ] {
        let r = l.run(args);
        assert!(r.code == 125 && r.err.contains(says), "{args:?}: {}", r.err);
    }
}

#[test]
fn killing_the_holder_leaves_nothing() {
    let l = Lab::up("web-path-nocache");
    let holder = i32::try_from(l.status()["holder"].as_i64().expect("a pid")).expect("a pid");
    let ns = std::fs::read_link(format!("/proc/{holder}/ns/pid")).expect("the namespace");
    let dir = Scratch::new();
    let mut exec = l.command(&["exec", "pc", "sleep", "1000"]).stdin(Stdio::null()).spawn().expect("exec");
    let mut capture =
        l.command(&["capture", "-w", &dir.path("x.pcapng")]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("capture");
    let inside = || {
        let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|p| std::fs::read_link(format!("/proc/{p}/ns/pid")).is_ok_and(|n| n == ns)).count()
    };
    wait_for("exec and capture to run", Duration::from_secs(5), || inside() >= 13);
    use std::os::unix::fs::MetadataExt;
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{holder}/root/run/netns"))
        .expect("the nodes")
        .flatten()
        .map(|e| std::fs::metadata(e.path()).expect("a namespace").ino().to_string())
        .collect();
    assert!(own.len() >= 11);
    kill(holder);
    wait_for("every process to be gone", Duration::from_secs(2), || inside() == 0);
    wait_for("exec to end", Duration::from_secs(2), || exec.try_wait().expect("waiting").is_some());
    wait_for("capture to end", Duration::from_secs(2), || capture.try_wait().expect("waiting").is_some());
    wait_for("the namespaces to be gone", Duration::from_secs(2), || {
        let all = tool("lsns", &["-t", "net", "-n", "-o", "NS"]).good().out;
        !all.split_whitespace().any(|n| own.iter().any(|o| o == n))
    });
    let (code, said) = lab(&["-l", &l.name, "status"]);
    assert!(code == 125 && said.contains("up"), "{said}");
}

#[test]
fn roles_have_no_privilege() {
    let l = Lab::up("web-path-nocache");
    for role in l.status()["roles"].as_array().expect("roles") {
        let pid = role["pid"].as_i64().expect("a pid");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let field = |n: &str| status.lines().find_map(|l| l.strip_prefix(n)).expect("a field").trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{role}: {set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
    }
}

#[test]
fn broken_frames_are_counted_and_harm_nobody() {
    let l = Lab::up("web-path");
    let inject = integration::bin("inject");
    let mut seed = 7u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    for (node, dev) in [
        ("home-router", "wan-x"),
        ("modem", "line-x"),
        ("dslam", "line1-x"),
        ("bas", "access-x"),
        ("lns", "bas-x"),
        ("core2", "core3-x"),
        ("firewall", "outside-x"),
        ("cache", "outside-x"),
        ("web", "eth0-x"),
        ("switch", "pc-x"),
        ("client", "eth0-x"),
    ] {
        // Into the role: frames that come out of its cable's end are redirected
        // to the TAP only when they arrive, so they are sent from the far side.
        let (far, port) = peer(node, dev.trim_end_matches("-x"));
        let mut lines = String::new();
        for _ in 0..300 {
            let len = 14 + next() % 120;
            let mut f: Vec<u8> = (0..len).map(|_| next() as u8).collect();
            f[..6].copy_from_slice(&[0xff; 6]);
            f[6] &= 0xfe;
            let kinds = [[8, 0], [8, 6], [0x88, 0x63], [0x88, 0x64], [0x86, 0xdd], [0x88, 0x47], [0x88, 0xb5]];
            f[12..14].copy_from_slice(&kinds[next() % kinds.len()]);
            if len > 34 {
                f[14] = 0x45;
            }
            lines += &(integration::to_hex(&f) + "\n");
        }
        l.run_with(&["exec", &far, inject.to_str().expect("UTF-8"), &port], &lines).good();
    }
    let status = l.status();
    for r in status["roles"].as_array().expect("roles") {
        assert_eq!(r["state"], "ready", "{r}");
    }
    let drops: u64 = l.show("core2", "counters").iter().filter(|r| r["kind"] == "drop").filter_map(|r| r["value"].as_u64()).sum();
    assert!(drops >= 200, "{drops}");
    assert!(l.curl(&[PAGE]).good().out.contains("Hello"));
}

/// The device at the far side of a port's cable: where a frame sent arrives at
/// the port.
fn peer(node: &str, port: &str) -> (String, String) {
    let text = std::fs::read_to_string(integration::root().join("netns-scripts/labs/web-path.toml")).expect("the lab file");
    let end = format!("\"{node}.{port}\"");
    let line = text.lines().find(|x| x.starts_with("ends") && x.contains(&end)).unwrap_or_else(|| panic!("{end}"));
    let other = line.split('"').skip(1).step_by(2).find(|e| *e != end.trim_matches('"')).expect("two ends");
    let (far, p) = other.split_once('.').expect("a port");
    let host = far == "pc";
    (far.to_owned(), if host { p.to_owned() } else { format!("{p}-x") })
}
