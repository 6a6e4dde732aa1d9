//! Journeys on which something goes wrong: troubles, pauses, roles that end, floods.

use integration::{Lab, wait_for};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

const PAGE: &str = "http://www.example.com/";
/// The request's way, as the story of the lab has it.
const WAY: [&str; 13] =
    ["client", "switch", "home-router", "modem", "dslam", "bas", "lns", "core1", "core2", "core3", "firewall", "cache", "web"];

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_default()
}

/// The last line of a story.
fn verdict(lab: &Lab, args: &[&str]) -> (i32, String) {
    let r = lab.run(&[&["journey"], args].concat());
    (r.code, r.out.trim_end().lines().next_back().unwrap_or_default().to_owned())
}

#[test]
fn each_trouble_is_told_by_its_cause_and_its_node() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("denied", &["--give-up", "3", PAGE], &["firewall dropped (denied-by-rule)", "rule 2 `closed-for-holidays`"]),
        ("ttl-loop", &["--give-up", "3", PAGE], &["core2 dropped (ttl-exceeded)"]),
        ("pppoe-down", &["--give-up", "3", PAGE], &["home-router: the way out is down: PPPoE", "wrong password"]),
        ("no-name", &["--give-up", "3", PAGE], &["dns gave the answer www.example.com A: Non-Existent Domain"]),
        (
            "mtu-hole",
            &["--give-up", "4", "http://www.example.com/files/10mb.bin"],
            &["core2 dropped (fragmentation-needed)", "1400 bytes fit"],
        ),
    ];
    for (name, args, words) in cases {
        let lab = Lab::up(name);
        let (code, line) = verdict(&lab, args);
        assert!(code == 1 && line.starts_with('✗'), "{name}: {line}");
        for w in words {
            assert!(line.contains(w), "{name}: `{w}` is not in: {line}");
        }
        let node = words[0].split([' ', ':']).next().expect("a node");
        let ko = lab.run(&["journey", "--lang", "ko"]).out;
        assert!(ko.trim_end().lines().next_back().is_some_and(|l| l.contains("페이지 없음") && l.contains(node)), "{name}: {ko}");
    }
    let lab = Lab::up("stale");
    let (code, line) = verdict(&lab, &[PAGE]);
    assert!(code == 0 && line.contains("web answered"), "{line}");
    lab.run(&["link", "cache.site", "down"]).good();
    wait_for("the copy to be stale", Duration::from_secs(10), || lab.show("cache", "store").iter().any(|s| s["state"] == "stale"));
    let (code, line) = verdict(&lab, &[PAGE]);
    assert!(code == 0 && line.contains("cache answered with a stale copy") && line.contains("does not answer"), "{line}");
}

#[test]
fn a_pause_is_exact_and_what_it_causes_is_told() {
    let lab = Lab::up("web-path");
    lab.run(&["exec", "client", "client", PAGE]).good();
    let stored = Instant::now();
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    assert_eq!(lab.run(&["step"]).code, 125, "a lab that runs cannot be stepped");
    let paused = Instant::now();
    let said = lab.run(&["pause"]).good().out;
    assert!(said.contains("is paused: 15 roles stand"), "{said}");
    assert!(lab.run(&["pause"]).good().out.contains("paused already"));
    assert!(lab.run(&["status"]).good().out.contains("its clock stands"));
    let ours = lab
        .command(&["journey", "--give-up", "60", "--brief", "http://www.example.com/about/"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("journey");
    let kernel = lab
        .command(&["journey", "--give-up", "60", "--from", "pc", "--brief", "http://198.51.100.80/"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("journey");
    // The kernel's SYN is sent again after a second: both wait at the switch.
    wait_for("the kernel's retransmission", Duration::from_secs(10), || {
        let c = lab.run(&["exec", "pc", "nstat", "-asz", "TcpRetransSegs"]).out;
        c.lines().any(|l| l.starts_with("TcpRetransSegs") && l.split_whitespace().nth(1).is_some_and(|n| n != "0"))
    });
    // One element at a time, until the answer is at the client.
    let mut steps = Vec::new();
    while !steps.last().is_some_and(|s: &String| s.starts_with("client.eth0: HTTP HTTP/1.1 200")) {
        steps.push(lab.run(&["step"]).good().out.trim().to_owned());
        assert!(steps.len() < 400, "{steps:#?}");
    }
    let asked = steps
        .iter()
        .filter(|s| s.contains("GET /about/"))
        .map(|s| s.split(['.', ' ']).next().expect("a node").to_owned())
        .filter(|n| n != "cable" && n != "0");
    let path: Vec<String> = asked.collect();
    let want: Vec<&str> = WAY[1..].iter().copied().filter(|n| *n != "dslam").collect();
    assert_eq!(path, want, "the request passes one element a step, as cells at the dslam");
    wait_for("a pause that would show in the cache", Duration::from_secs(5), || paused.elapsed() > Duration::from_secs(4));
    let on = lab.run(&["resume"]).good().out;
    let paused = paused.elapsed();
    assert!(on.contains("goes on"), "{on}");
    let o = ours.wait_with_output().expect("waiting");
    let out = String::from_utf8_lossy(&o.stdout).into_owned();
    assert!(o.status.success() && !out.contains("sent again"), "the client's clock stood: {out}");
    let o = kernel.wait_with_output().expect("waiting");
    let out = String::from_utf8_lossy(&o.stdout).into_owned();
    assert!(o.status.success() && out.contains("the pause caused it"), "{out}");
    assert!(!out.contains("by the kernel") && !out.contains("where nothing is traced"), "not all hear of a pause at once: {out}");
    assert!(lab.run(&["resume"]).good().out.contains("is not paused"));
    // A copy in the cache did not grow older while the clock stood.
    let head = lab.curl(&["-o", "/dev/null", "-D", "-", PAGE]).good().out.to_lowercase();
    let ttl: u64 = head.split("ttl=").nth(1).and_then(|t| t.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).expect("a ttl");
    let ran = stored.elapsed() - paused;
    assert!(ttl + ran.as_secs() + 3 >= 60, "ttl {ttl} after {ran:?}, and {paused:?} of pause: {head}");
    // A page that is given up while it comes is not said to have been kept away.
    let r = lab.run(&["journey", "--brief", "--give-up", "2", "http://www.example.com/files/10mb.bin"]);
    assert!(
        r.code == 1 && r.out.contains("not the whole page: given up while it was still coming: ") && r.out.contains(" of 10485760 bytes"),
        "{}",
        r.out
    );
    // A role that starts anew in a pause stands too, and the lab works afterwards.
    lab.run(&["pause"]).good();
    lab.run(&["restart", "switch"]).good();
    lab.run(&["resume"]).good();
    lab.curl(&["-o", "/dev/null", PAGE]).good();
}

#[test]
fn a_role_that_starts_anew_is_named() {
    let lab = Lab::up("web-path-fast");
    let rx = || -> u64 {
        let rows = lab.show("core2", "counters");
        rows.iter().filter(|r| text(r, "name").ends_with(".rx-frames")).filter_map(|r| r["value"].as_u64()).sum()
    };
    let before = rx();
    let args = ["journey", "--brief", "--give-up", "60", "http://www.example.com/files/10mb.bin"];
    let told = lab.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("journey");
    wait_for("the download to begin", Duration::from_secs(20), || rx() > before + 500);
    lab.run(&["restart", "core2"]).good();
    let o = told.wait_with_output().expect("waiting");
    let out = String::from_utf8_lossy(&o.stdout).into_owned();
    assert!(out.contains("the role of core2 did not run from +"), "{out}");
    // TCP makes it good, and the last line says so.
    assert!(o.status.success() && out.contains("✓ status 200, 10485760 bytes"), "{out}");
    // One that is too large to be kept is not said to have never been.
    let r = lab.run(&["journey", "--packet", "1"]);
    assert!(r.code == 125 && r.err.contains("too large to be kept"), "{}", r.err);
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let lab = Lab::up("no-name");
    for (args, word) in [
        (&["journey"][..], "no journey was made"),
        (&["journey", "https://www.example.com/"], "speaks http"),
        (&["journey", "--from", "core", PAGE], "neither a client nor a kernel host"),
        (&["journey", "--from", "cleint", PAGE], "did you mean `client`"),
        (&["journey", "--lang", "fr", PAGE], "`en` or `ko`"),
        (&["journey", "--pcapng", "/no/such/folder/x", PAGE], "/no/such/folder/x"),
        (&["journey", "--", "-o"], "is not a URL"),
        (&["journey", "http://[::1]/"], "no IPv6"),
    ] {
        let r = lab.run(args);
        assert!(r.code != 0 && r.err.contains(word), "{args:?}: {} {}", r.code, r.err);
    }
    // A role that is down does not keep the rest from being told, and is named.
    lab.kill("web");
    let r = lab.run(&["journey", "--give-up", "2", PAGE]);
    assert!(r.out.contains("the role of web did not run"), "{}", r.out);
    assert!(r.code == 1 && r.err.contains("their roles do not run: web") && r.out.contains("✗"), "{} {}", r.out, r.err);
}

#[test]
fn a_thousand_fetches_are_traced_and_what_is_lost_is_counted() {
    use journey::topology::{Node, Port, Topology};
    let lab = Lab::up("web-path-fast");
    let holder = lab.status()["holder"].as_i64().expect("a pid");
    let names = ["switch", "home-router", "bas", "core1", "firewall", "cache", "web"];
    let port = || Port { name: "p".into(), mac: wire::Mac::default(), mtu: 1500, address: None, medium: None, rate: None };
    let node = |n: &&str| Node { name: (*n).to_owned(), role: Some("x".into()), ports: vec![port(), port(), port(), port()] };
    let t = Topology { lab: lab.name.clone(), nodes: names.iter().map(node).collect(), ..Topology::default() };
    let mut c = journey::Collector::new(t);
    let mut feed = journey::Feed::new(&c, std::path::Path::new(&format!("/proc/{holder}/root/run/lab")), None).expect("a feed");
    assert_eq!(feed.connect(), 0, "every role listens");
    let rx = |n: &str| -> u64 {
        let rows = lab.show(n, "counters");
        rows.iter().filter(|r| r["kind"] == "port" && text(r, "name").ends_with(".rx-frames")).filter_map(|r| r["value"].as_u64()).sum()
    };
    let tick = Duration::from_millis(10);
    while !feed.ready(&c) {
        feed.turn(&mut c, tick).expect("a turn");
    }
    let before: Vec<u64> = names.iter().map(|n| rx(n)).collect();
    let from = c.sights.len();
    let mut curl = lab
        .command(&[
            "curl",
            "-sS",
            "-m",
            "100",
            "-Z",
            "--parallel-max",
            "250",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}\\n",
            "http://www.example.com/?n=[1-1000]",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    let mut out = curl.stdout.take().expect("a pipe");
    let answers = std::thread::spawn(move || {
        let mut s = String::new();
        std::io::Read::read_to_string(&mut out, &mut s).expect("reading");
        s
    });
    while curl.try_wait().expect("waiting").is_none() {
        feed.turn(&mut c, tick).expect("a turn");
    }
    let answers = answers.join().expect("answers");
    assert_eq!(answers.lines().filter(|l| *l == "200").count(), 1000, "tracing lets every page through");
    // The connections' ends may still lie in some role's queue.
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let there: Vec<u64> = names.iter().zip(&before).map(|(n, b)| rx(n) - b).collect();
        feed.catch_up(&mut c, Duration::from_secs(20)).expect("the rest");
        let told: Vec<u64> = (0..names.len())
            .map(|i| {
                let came = |s: &&journey::model::Sight| usize::from(s.port.0) == i && s.direction == journey::model::Direction::In;
                c.sights[from..].iter().filter(came).count() as u64
            })
            .collect();
        // What comes between the two looks is told, and not yet counted.
        if there.iter().zip(&told).all(|(there, told)| told + feed.lost() >= *there && *told <= there + 20) {
            break;
        }
        assert!(Instant::now() < end, "at {names:?} {there:?} frames came, {told:?} are told, {} lost", feed.lost());
    }
    feed.finish(&mut c);
    println!("{} frames at ports told, {} records lost", c.sights.len() - from, feed.lost());
    // When the last collector has gone nothing is recorded any more.
    drop(feed);
    lab.curl(&["-o", "/dev/null", PAGE]).good();
}
