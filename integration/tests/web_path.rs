//! The default lab with real curl, traceroute, tcpdump's kin and Chromium.

use integration::{Capture, Lab, Scratch, craft, fields, from_hex, sha256, to_hex, tool, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;
use wire::Mac;
use wire::ipv4::protocol;
use wire::tcp::{ACK, FIN, PSH, SYN, URG};

const PAGE: &str = "http://www.example.com/";

#[test]
fn a_page_crosses_the_path_and_the_cache_remembers() {
    let lab = Lab::up("web-path");
    let first = lab.curl(&["-i", PAGE]).good().out;
    assert!(first.contains("Hello from the other end"), "{first}");
    assert!(first.contains("cache-status: cache; fwd=uri-miss"), "{first}");
    let second = lab.curl(&["-i", PAGE]).good().out;
    assert!(second.contains("cache-status: cache; hit"), "{second}");
    assert!(second.to_lowercase().contains("\r\nage: ") && second.contains("via: 1.1 cache"), "{second}");

    let date = second.lines().find_map(|l| l.strip_prefix("date: ")).expect("a date").trim();
    assert!(date.ends_with(" GMT"), "{date}");

    let dir = Scratch::new();
    let file = dir.path("10mb");
    lab.curl(&["-o", &file, "http://www.example.com/files/10mb.bin"]).good();
    let original = integration::root().join("netns-scripts/labs/site/files/10mb.bin");
    assert_eq!(sha256(&file), sha256(original.to_str().expect("UTF-8")));

    // Conditions, ranges and errors, through the cache.
    let status = |args: &[&str]| lab.curl(&[&["-o", "/dev/null", "-w", "%{http_code}"], args].concat()).good().out;
    assert_eq!(status(&["-r", "0-99", "http://www.example.com/files/10mb.bin"]), "206");
    assert_eq!(status(&["-r", "99999999-", "http://www.example.com/files/10mb.bin"]), "416");
    let etag = second.lines().find_map(|l| l.strip_prefix("etag: ")).expect("an etag").trim().to_owned();
    assert_eq!(status(&["-H", &format!("If-None-Match: {etag}"), PAGE]), "304");
    assert_eq!(status(&["-I", PAGE]), "200");
    assert_eq!(status(&["http://www.example.com/nothing"]), "404");
    assert_eq!(status(&["-X", "DELETE", PAGE]), "405");
    assert_eq!(status(&["--path-as-is", "http://www.example.com/../../etc/passwd"]), "400");
    assert_eq!(status(&["--path-as-is", "http://www.example.com/%2e%2e/%2e%2e/etc/passwd"]), "400");
    assert_eq!(status(&["http://www.example.com/about"]), "301");
    let long = "a".repeat(20_000);
    assert_eq!(status(&["-H", &format!("X: {long}"), PAGE]), "431");
    assert_eq!(status(&[&format!("http://www.example.com/{}", &long[..3000])]), "414");

    // One fetch for many that wait.
    let before = lab.counter("cache", "collapsed") + lab.counter("cache", "hits");
    let args: Vec<String> = (0..8).flat_map(|_| ["-o".into(), "/dev/null".into(), "http://www.example.com/about/".into()]).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    lab.curl(&[&["-Z"], &args[..]].concat()).good();
    assert_eq!(lab.counter("cache", "collapsed") + lab.counter("cache", "hits"), before + 7);

    // A server does not tire: more connections than any backlog.
    let script = format!("for i in $(seq 1 300); do curl -sS -m 5 -o /dev/null {PAGE} || exit 1; done");
    lab.run(&["exec", "pc", "sh", "-c", &script]).good();

    lab.show("lns", "sessions").iter().find(|s| s["user"] == "kim@isp.example" && s["phase"] == "up").expect("a session");
    assert!(lab.show("switch", "fdb").len() >= 3);
    assert!(lab.show("home-router", "nat").iter().any(|n| n["inside"].as_str().is_some_and(|i| i.starts_with("192.168.0.10:"))));
    assert!(lab.show("firewall", "conntrack").iter().any(|c| c["destination"] == "198.51.100.80:80"));
    assert!(lab.show("cache", "store").iter().any(|c| c["bytes"] == 10_485_760));
    let text = lab.run(&["show", "bas", "sessions"]).good().out;
    assert!(text.starts_with("session") && text.contains("kim@isp.example"), "{text}");
}

#[test]
fn the_client_draws_the_page_and_posts() {
    let lab = Lab::up("web-path");
    let r = lab.run(&["exec", "client", "client", "-v", PAGE]).good();
    assert!(r.out.contains("# Hello from the other end") && r.out.contains("[1]: /about/"), "{}", r.out);
    for step in ["asked by DNS", "new connection", "kept connection", "/style.css", "/img/server.png"] {
        assert!(r.err.contains(step), "{step}: {}", r.err);
    }
    let dir = Scratch::new();
    let (up, down) = (dir.path("up"), dir.path("down"));
    let data: Vec<u8> = (0..1_048_576u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&up, data).expect("writing");
    lab.run(&["exec", "client", "client", "--data", &up, "http://www.example.com/upload/u"]).good();
    lab.run(&["exec", "client", "client", "-o", &down, "http://www.example.com/upload/u"]).good();
    assert_eq!(sha256(&up), sha256(&down));
    // A client that has rested is as quick as before.
    std::thread::sleep(Duration::from_secs(13));
    lab.run(&["exec", "client", "client", "-v", PAGE]).good();
    for (url, code, says) in [
        ("ftp://www.example.com/", 1, "not spoken here"),
        ("http://", 3, "not a URL"),
        ("http://no-such-host.example/", 6, "there is no host"),
        ("http://192.168.0.10:81/", 7, "connection refused"),
        ("http://www.example.com/nothing", 22, "404"),
    ] {
        let r = lab.run(&["exec", "client", "client", url]);
        assert_eq!(r.code, code, "{url}: {}", r.err);
        assert!(r.err.contains(says) && r.err.lines().count() == 1, "{url}: {}", r.err);
    }
}

#[test]
fn chromium_draws_the_page_with_its_images() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let (shot, profile) = (dir.path("page.png"), dir.path("profile"));
    let data = format!("--user-data-dir={profile}");
    let picture = format!("--screenshot={shot}");
    let args = [
        "exec",
        "pc",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=800,900",
        &data,
        &picture,
        PAGE,
    ];
    lab.run(&args).good();
    assert!(std::fs::metadata(&shot).expect("a screenshot").len() > 10_000);
    let urls: Vec<String> = lab.show("cache", "store").iter().map(|s| s["url"].as_str().unwrap_or("").to_owned()).collect();
    for wanted in ["/", "/style.css", "/img/path.svg", "/img/server.png"] {
        assert!(urls.iter().any(|u| u.ends_with(&format!("www.example.com{wanted}"))), "{wanted}: {urls:?}");
    }
}

#[test]
fn every_hop_has_a_name() {
    let lab = Lab::up("web-path");
    let out = lab.run(&["exec", "pc", "traceroute", "-w", "3,100,100", "www.example.com"]).good().out;
    let hops: Vec<&str> = out.lines().skip(1).filter_map(|l| l.split_whitespace().nth(1)).collect();
    let want = [
        "home-router.isp.example",
        "access.lns.isp.example",
        "core1.isp.example",
        "core2.isp.example",
        "core3.isp.example",
        "firewall.isp.example",
        "cache.isp.example",
        "web.isp.example",
    ];
    assert_eq!(hops, want, "{out}");
    let dig = lab.run(&["exec", "pc", "dig", "+tcp", "+time=2", "+tries=1", "www.example.com"]);
    assert!(dig.out.contains("connection refused"), "a closed port of a router's answers: {}", dig.out);
    lab.run(&["exec", "pc", "ping", "-c", "2", "-i", "0.2", "www.example.com"]).good();
    lab.run(&["exec", "pc", "ping", "-c", "1", "-s", "3000", "www.example.com"]).good();
}

#[test]
fn a_capture_of_every_port_is_right() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = dir.path("all.pcapng");
    let capture = Capture::start(&lab, &file, &[]);
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    lab.curl(&["-o", "/dev/null", "http://www.example.com/img/server.png"]).good();
    lab.run(&["exec", "pc", "ping", "-c", "1", "www.example.com"]).good();
    capture.end();

    let sums = ["ip", "tcp", "udp"].map(|p| format!("{p}.check_checksum:TRUE"));
    let broken = "_ws.malformed || ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\"";
    let decoder = integration::decoder();
    let args = ["-X", &decoder, "-r", &file, "-o", &sums[0], "-o", &sums[1], "-o", &sums[2], "-Y", broken];
    assert_eq!(tool("tshark", &args).good().out, "");

    let all = fields(&file, "frame", &["frame.interface_name", "frame.time_epoch"]);
    let ports: BTreeSet<&str> = all.iter().map(|f| f[0].as_str()).collect();
    for p in [
        "pc.eth0",
        "switch.pc",
        "home-router.lan",
        "home-router.wan",
        "bas.access",
        "core1.lns",
        "firewall.outside",
        "cache.site",
        "web.eth0",
    ] {
        assert!(ports.contains(p), "{p}: {ports:?}");
    }
    let times: Vec<&str> = all.iter().map(|f| f[1].as_str()).collect();
    assert!(times.is_sorted(), "times go back");

    // PPPoE between home-router and bas, and nowhere else.
    let pppoe: BTreeSet<String> =
        fields(&file, "pppoes || pppoed", &["frame.interface_name"]).into_iter().map(|mut f| f.remove(0)).collect();
    assert_eq!(
        pppoe.into_iter().collect::<Vec<_>>(),
        ["bas.access", "dslam.line1", "dslam.uplink", "home-router.wan", "modem.lan", "modem.line", "modem.line/aal5"]
    );

    // The request's SYN: MAC addresses change at every router, the server's IP
    // address nowhere, the client's at NAT alone.
    let syn = fields(
        &file,
        "tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.dstport == 80",
        &["frame.interface_name", "eth.src", "eth.dst", "ip.src", "ip.dst"],
    );
    let mut at: BTreeMap<&str, &Vec<String>> = BTreeMap::new();
    for f in &syn {
        at.entry(&f[0]).or_insert(f);
    }
    let way = ["pc.eth0", "home-router.wan", "core1.lns", "core2.core1", "core3.core2", "firewall.outside", "cache.outside", "web.eth0"];
    let macs: BTreeSet<&str> = way.iter().map(|p| at[p][1].as_str()).collect();
    assert_eq!(macs.len(), way.len(), "{at:?}");
    // In the tunnel the first addresses are the tunnel's own.
    let tunnel = ["bas.lns", "lns.bas"];
    assert!(tunnel.iter().all(|p| at[p][3..5] == ["10.0.0.1", "10.0.0.2"]), "{at:?}");
    at.retain(|p, _| !tunnel.contains(p));
    assert!(at.values().all(|f| f[4] == "198.51.100.80"), "{syn:?}");
    for (port, f) in &at {
        let inside = ["pc.", "switch.", "home-router.lan", "client."].iter().any(|p| port.starts_with(p));
        assert_eq!(f[3] == "192.168.0.10", inside, "{port}: {f:?}");
        assert_eq!(f[3].starts_with("203.0.113."), !inside, "{port}: {f:?}");
    }

    // A file a port, and one port alone, to a pipe.
    let each = dir.path("each/");
    let capture = Capture::start(&lab, &each, &[]);
    lab.run(&["exec", "pc", "ping", "-c", "1", "198.51.100.80"]).good();
    capture.end();
    assert!(!fields(&format!("{each}web.eth0.pcapng"), "icmp", &["ip.src"]).is_empty());
    let r = lab.run(&["capture", "wbe"]);
    assert!(r.code == 125 && r.err.contains("did you mean `web`?"), "{}", r.err);
}

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const WEB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);

#[test]
fn harmful_packets_are_dropped_under_their_names() {
    let lab = Lab::up("web-path");
    // The neighbours must know each other before frames are made up.
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    let mac = |n: &str| -> Mac {
        let rows = lab.show("core3", "neighbours");
        rows.iter().find(|r| r["address"] == n).and_then(|r| r["mac"].as_str()).expect("a neighbour").parse().expect("a MAC")
    };
    let firewall = mac("10.0.8.2");
    let core3: Mac = "02:00:00:00:08:01".parse().expect("a MAC");
    let tcp = |src, dst, flags| craft::packet(protocol::TCP, src, dst, &craft::tcp(4000, 80, flags));
    let mut bad_sum = tcp(OUTSIDE, WEB, SYN);
    bad_sum[36] ^= 1;
    let mut bad_len = craft::packet(protocol::UDP, OUTSIDE, WEB, &craft::udp(1, 33_434, b"abcd"));
    bad_len[25] = 200;
    let routed = {
        let mut p = vec![0; 24 + 20];
        p[24..].copy_from_slice(&craft::tcp(4000, 80, SYN));
        p[..20].copy_from_slice(&tcp(OUTSIDE, WEB, SYN)[..20]);
        p[0] = 0x46;
        p[2..4].copy_from_slice(&44u16.to_be_bytes());
        p[20..24].copy_from_slice(&[131, 3, 4, 0]);
        wire::ipv4::fill_checksum(&mut p);
        wire::ipv4::fill_l4_checksum(&mut p);
        p
    };
    let big = craft::packet(protocol::UDP, OUTSIDE, WEB, &craft::udp(9, 33_434, &[7; 200]));
    let segment = craft::packet(protocol::TCP, OUTSIDE, WEB, &craft::tcp(4000, 80, SYN));
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("bad-tcp-flags", [0, FIN | PSH | URG, SYN | FIN].map(|f| tcp(OUTSIDE, WEB, f)).to_vec()),
        ("bad-checksum", vec![bad_sum]),
        ("bad-length", vec![bad_len]),
        ("source-route", vec![routed]),
        ("spoofed-source", vec![tcp(Ipv4Addr::new(198, 51, 100, 7), WEB, SYN)]),
        ("land", vec![tcp(OUTSIDE, OUTSIDE, SYN)]),
        ("overlapping-fragment", vec![craft::fragment(&big, 0, 104, true), craft::fragment(&big, 96, 112, false)]),
        ("tiny-fragment", vec![craft::fragment(&segment, 0, 8, true)]),
        ("out-of-state", vec![tcp(OUTSIDE, WEB, ACK)]),
        ("denied-by-default", vec![craft::packet(protocol::UDP, OUTSIDE, WEB, &craft::udp(5, 53, b"x"))]),
        ("syn-flood", (0..1500u16).map(|i| craft::packet(protocol::TCP, OUTSIDE, WEB, &craft::tcp(10_000 + i, 80, SYN))).collect()),
    ];
    let inject = integration::bin("inject");
    let inject = inject.to_str().expect("UTF-8");
    for (name, packets) in cases {
        let before = lab.counter("firewall", name);
        let lines: String = packets.iter().map(|p| to_hex(&craft::ethernet(firewall, core3, p)) + "\n").collect();
        assert!(lines.lines().all(|l| from_hex(l).is_some()));
        lab.run_with(&["exec", "core3", inject, "firewall-x"], &lines).good();
        wait_for(name, Duration::from_secs(5), || lab.counter("firewall", name) > before);
    }
    let log = lab.run(&["show", "firewall", "log"]).good().out;
    assert!(log.contains("bad-tcp-flags") && log.contains("192.0.2.99"), "{log}");
    // A denied connection of a person's.
    lab.curl(&["-m", "1", "http://198.51.100.80:22/"]);
    assert!(lab.counter("firewall", "denied-by-default") >= 2);
    // And the path still works.
    lab.curl(&[PAGE]).good();
}

#[test]
fn names_and_proxies_of_the_person_stay_outside() {
    let lab = Lab::up("web-path-nocache");
    let run = |args: &[&str]| {
        let o =
            lab.command(args).env("http_proxy", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9").stdin(Stdio::null()).output();
        String::from_utf8(o.expect("lab runs").stdout).expect("UTF-8")
    };
    let page = run(&["curl", "-sS", "-i", PAGE]);
    assert!(page.contains("Hello") && !page.contains("cache-status"), "{page}");
    assert_eq!(run(&["exec", "pc", "hostname"]).trim(), "pc");
    assert!(run(&["exec", "pc", "cat", "/etc/resolv.conf"]).contains("nameserver 192.168.0.1"));
    assert_eq!(run(&["exec", "pc", "ls", "/sys/class/net"]).split_whitespace().collect::<Vec<_>>(), ["eth0", "lo"]);
    assert_eq!(lab.run(&["exec", "pc", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(lab.run(&["exec", "pc", "no-such-program"]).code, 127);
    // The host's own names are as they were.
    assert!(!Command::new("hostname").output().is_ok_and(|o| o.stdout == b"pc\n"));
}
