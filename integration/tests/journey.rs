//! The journey, held against captures that others made at the same time.

use integration::{Lab, Scratch, decoder, from_hex};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

const PAGE: &str = "http://www.example.com/";
/// The request's way, as the story of the lab has it.
const WAY: [&str; 13] =
    ["client", "switch", "home-router", "modem", "dslam", "bas", "lns", "core1", "core2", "core3", "firewall", "cache", "web"];

/// tcpdump at one port, as anybody would run it.
struct Tcpdump {
    child: Child,
    file: String,
}

impl Tcpdump {
    fn start(lab: &Lab, node: &str, port: &str, file: String) -> Tcpdump {
        let args = ["exec", node, "tcpdump", "--immediate-mode", "-U", "-s", "0", "-B", "8192", "-i", port, "-w", &file];
        let mut child = lab.command(&args).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tcpdump");
        let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(err.read_line(&mut line).expect("reading") > 0, "tcpdump at {node}.{port} ended");
        }
        std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        Tcpdump { child, file }
    }

    /// Its frames, how often each was seen.
    fn frames(mut self) -> HashMap<Vec<u8>, usize> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupting");
        self.child.wait().expect("waiting");
        let b = std::fs::read(&self.file).expect("the capture");
        let word = |at: usize| u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes")) as usize;
        let (mut at, mut out) = (24, HashMap::new());
        while at + 16 <= b.len() {
            let n = word(at + 8);
            assert_eq!(n, word(at + 12), "tcpdump cut a frame");
            *out.entry(b[at + 16..at + 16 + n].to_vec()).or_insert(0) += 1;
            at += 16 + n;
        }
        out
    }
}

fn json(lab: &Lab, args: &[&str]) -> Value {
    let r = lab.run(&[&["journey", "--json"], args].concat());
    serde_json::from_str(&r.out).unwrap_or_else(|e| panic!("{e}: {}{}", r.out, r.err))
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().expect("a list")
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_default()
}

/// Names of nodes in the order in which a packet was there.
fn way(j: &Value, packet: u64) -> Vec<String> {
    let p = list(&j["packets"]).iter().find(|p| p["id"] == packet).expect("the packet");
    list(&p["way"]).iter().map(|n| n.as_str().expect("a name").to_owned()).collect()
}

fn packet_of(j: &Value, is: impl Fn(&Value) -> bool) -> u64 {
    list(&j["packets"]).iter().find(|p| is(p)).expect("such a packet")["id"].as_u64().expect("a number")
}

#[test]
fn nothing_is_told_that_tcpdump_did_not_see() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = std::fs::read_to_string(integration::root().join("netns-scripts/labs/web-path.toml")).expect("the lab file");
    let ends: Vec<(String, String)> = file
        .lines()
        .filter_map(|l| l.strip_prefix("ends = "))
        .flat_map(|l| {
            l.trim_matches(['[', ']']).split(", ").map(|e| e.trim_matches('"').split_once('.').expect("a port")).collect::<Vec<_>>()
        })
        .map(|(n, p)| (n.to_owned(), p.to_owned()))
        .collect();
    assert_eq!(ends.len(), 28);
    let dumps: Vec<_> =
        ends.iter().map(|(n, p)| ((n.clone(), p.clone()), Tcpdump::start(&lab, n, p, dir.path(&format!("{n}.{p}.pcap"))))).collect();
    let j = json(&lab, &[PAGE]);
    let seen: HashMap<(String, String), HashMap<Vec<u8>, usize>> = dumps.into_iter().map(|(k, d)| (k, d.frames())).collect();

    assert_eq!(j["journey"]["verdict"]["good"], true, "{}", j["journey"]);
    assert_eq!((&j["lost"]["records"], &j["lost"]["frames"], &j["lost"]["unmatched"]), (&0.into(), &0.into(), &0.into()));
    // Every frame that is told was at its port, byte for byte, as often as it is told.
    let mut told: BTreeMap<(String, String, Vec<u8>), usize> = BTreeMap::new();
    for s in list(&j["sights"]).iter().filter(|s| s["node"] != "cable") {
        let frame = &j["frames"][s["frame"].as_u64().expect("a place") as usize];
        assert_eq!(frame["cut"], false);
        let bytes = from_hex(text(frame, "hex")).expect("hex");
        *told.entry((text(s, "node").to_owned(), text(s, "port").to_owned(), bytes)).or_insert(0) += 1;
    }
    assert!(told.len() > 300, "only {} frames", told.len());
    for ((n, p, bytes), count) in &told {
        let there = seen[&(n.clone(), p.clone())].get(bytes).copied().unwrap_or(0);
        assert!(there >= *count, "{n}.{p}: told {count} times, seen {there} times: {bytes:02x?}");
    }
    // And nothing of the connection is left out: at each port all segments of port 80.
    for ((n, p), frames) in &seen {
        let http = |b: &&Vec<u8>| b.len() > 54 && b[12..14] == [8, 0] && b[23] == 6 && (b[34..36] == [0, 80] || b[36..38] == [0, 80]);
        for b in frames.keys().filter(http) {
            assert!(told.contains_key(&(n.clone(), p.clone(), b.clone())), "{n}.{p}: not told: {b:02x?}");
        }
    }
    // A hop's sizes are those of the frames that tcpdump saw.
    let hops: Vec<&Value> = list(&j["story"]["en"]).iter().filter(|i| i["item"] == "hop" && i["device"] != "cable").collect();
    assert!(hops.len() >= 26, "{} hops", hops.len());
    for h in hops {
        for (side, port) in [("in", h["came"].as_str()), ("out", h["left"][0].as_str())] {
            let (Some(port), Some(want)) = (port, h[side][1].as_u64()) else { continue };
            let direction = side;
            let mine = list(&j["sights"])
                .iter()
                .filter(|s| s["packet"] == h["packet"] && s["node"] == h["node"] && s["port"] == port && s["direction"] == direction);
            let sum: u64 =
                mine.map(|s| j["frames"][s["frame"].as_u64().expect("a place") as usize]["len"].as_u64().expect("a length")).sum();
            assert_eq!(sum, want, "{h}");
        }
    }
    the_ids_hold(&j);
}

/// What a bad link lost is what was not there at its other end, and what a slow link
/// still carries is waited for.
#[test]
fn losses_are_those_that_tcpdump_saw_missing() {
    let lab = Lab::up("web-path-nocache");
    let dir = Scratch::new();
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    let (mut lost, mut rounds) = (0, 0);
    for port in ["core1.core2", "core2.core1"] {
        lab.run(&["link", port, "set", "delay", "250ms", "loss", "30%"]).good();
    }
    while lost < 3 {
        rounds += 1;
        assert!(rounds < 20, "a link that loses a third loses {lost} frames in {rounds} journeys");
        let ends = [("core1", "core2"), ("core2", "core1")];
        let dumps = ends.map(|(n, p)| Tcpdump::start(&lab, n, p, dir.path(&format!("{n}.{rounds}.pcap"))));
        let j = json(&lab, &[PAGE]);
        let seen = dumps.map(Tcpdump::frames);
        let sights = |node: &str, port: &str, direction: &str| -> HashMap<Vec<u8>, usize> {
            let mut m = HashMap::new();
            for s in list(&j["sights"]).iter().filter(|s| s["node"] == node && s["port"] == port && s["direction"] == direction) {
                let frame = &j["frames"][s["frame"].as_u64().expect("a place") as usize];
                *m.entry(from_hex(text(frame, "hex")).expect("hex")).or_insert(0) += 1;
            }
            m
        };
        let mut missing = 0;
        for (i, (n, p)) in ends.iter().enumerate() {
            let (left, came) = (sights(n, p, "out"), sights(p, n, "in"));
            let at_other = |f: &Vec<u8>| seen[1 - i].get(f).copied().unwrap_or(0);
            for (f, times) in &left {
                assert_eq!(seen[i].get(f), Some(times), "{n}.{p}: {f:02x?}");
                // As many came as tcpdump saw at the other end: none is given up while it is on its way.
                assert_eq!(came.get(f).copied().unwrap_or(0), at_other(f), "{p}.{n}: {f:02x?}");
                missing += times - at_other(f);
            }
        }
        let told = list(&j["packets"]).iter().flat_map(|p| list(&p["ends"])).filter(|e| e["reason"] == "link-loss").count();
        assert_eq!(told, missing, "{}", j["journey"]);
        let lines = list(&j["story"]["en"]).iter().filter(|i| {
            let t = text(i, "text");
            t.starts_with('#')
                && t.contains("dropped (link-loss)")
                && (t.contains("✗ core1.core2 ~ core2.core1") || t.contains("✗ core2.core1 ~ core1.core2"))
        });
        assert_eq!(lines.count(), missing.min(12), "each is named with its cable");
        lost += missing;
        assert_eq!(json(&lab, &[]), j, "told again, it is the same");
    }
}

/// One number from the client's adapter to the web server, and every node in order.
fn the_ids_hold(j: &Value) {
    let request = packet_of(j, |p| p["node"] == "client" && text(p, "title") == "GET / HTTP/1.1");
    assert_eq!(way(j, request), WAY);
    let answer = packet_of(j, |p| p["node"] == "cache" && text(p, "title") == "HTTP/1.1 200 OK");
    let back: Vec<&str> = WAY[..12].iter().rev().copied().collect();
    assert_eq!(way(j, answer), back);
    let inner = packet_of(j, |p| p["node"] == "web" && text(p, "title") == "HTTP/1.1 200 OK");
    assert_eq!(way(j, inner), ["web", "cache"]);
    // Answers are due to what they answer.
    let because = |id: u64| list(&j["packets"]).iter().find(|p| p["id"] == id).expect("it")["because"].as_u64();
    assert_eq!((because(inner), because(answer)), (Some(request), Some(inner)));
    // In the story every node of the path, in order, both ways.
    let story: Vec<(u64, &str)> = list(&j["story"]["en"])
        .iter()
        .filter(|i| i["item"] == "hop" && i["device"] != "cable")
        .map(|h| (h["packet"].as_u64().expect("a number"), text(h, "node")))
        .collect();
    let of = |id: u64| story.iter().filter(|(p, _)| *p == id).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!((of(request), of(answer)), (WAY.to_vec(), back));
    // The one place where an IP address changes.
    let nat: Vec<&str> = list(&j["story"]["en"])
        .iter()
        .filter(|i| {
            i["item"] == "hop"
                && list(&i["changes"]).iter().any(|c| c[0]["layer"] == "IPv4" && ["src", "dst"].contains(&text(&c[0], "field")))
        })
        .map(|h| text(h, "node"))
        .collect();
    assert_eq!(nat.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"home-router"]));
}

#[test]
fn the_file_of_all_hops_is_read_by_tshark_as_it_was_meant() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = dir.path("j.pcapng");
    let r = lab.run(&["journey", "--pcapng", &file, PAGE]).good();
    assert!(r.out.contains("status 200") && r.out.contains("MTU lens"), "{}", r.out);
    let config = integration::root().join("netns-scripts/wireshark");
    let shark = |filter: &str, fields: &[&str]| -> Vec<Vec<String>> {
        let decode = decoder();
        let mut args: Vec<String> = ["-C", "packet-journey", "-X", &decode, "-r", &file, "-Y", filter, "-T", "fields", "-E", "separator=|"]
            .map(str::to_owned)
            .into();
        args.extend(fields.iter().flat_map(|f| ["-e".to_owned(), (*f).to_owned()]));
        let out = std::process::Command::new("tshark").args(&args).env("WIRESHARK_CONFIG_DIR", &config).output().expect("tshark");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).lines().map(|l| l.split('|').map(str::to_owned).collect()).collect()
    };
    let all =
        shark("frame", &["frame.interface_name", "frame.packet_id", "frame.comment", "frame.time_epoch", "frame.interface_description"]);
    assert!(all.len() > 300);
    let mut last = 0.0;
    for f in &all {
        let t: f64 = f[3].parse().expect("a time");
        assert!(t >= last, "time goes back: {f:?}");
        last = t;
        assert!(!f[1].is_empty() && f[2].starts_with("journey ") && f[4].contains("MTU"), "{f:?}");
    }
    assert!(shark("_ws.malformed", &["frame.number"]).is_empty());
    // The request is dissected at every port on its way.
    let at: BTreeSet<String> =
        shark("http.request.uri == \"/\"", &["frame.interface_name", "frame.packet_id"]).into_iter().map(|f| f[0].clone()).collect();
    let want: Vec<&str> = "client.eth0 switch.client switch.router home-router.lan home-router.wan modem.lan modem.line dslam.line1 dslam.uplink bas.access bas.lns lns.bas lns.core core1.lns core1.core2 core2.core1 core2.core3 core3.core2 core3.firewall firewall.outside firewall.inside cache.outside cache.site web.eth0".split(' ').collect();
    assert_eq!(at.iter().map(String::as_str).collect::<BTreeSet<_>>(), want.iter().copied().collect());
    let ids: BTreeSet<String> = shark("http.request.uri == \"/\"", &["frame.packet_id"]).into_iter().map(|f| f[0].clone()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let one = shark(&format!("frame.packet_id == {}", ids.first().expect("one")), &["frame.interface_name", "frame.comment"]);
    assert_eq!(one.len(), 24);
    assert!(one.iter().any(|f| f[0] == "home-router.wan" && f[1].contains("NAT rewrote")), "{one:?}");
    assert!(
        one.iter()
            .any(|f| f[0] == "web.eth0" && f[1].ends_with("it has arrived here; read the request GET /; made an answer with status 200")),
        "{one:?}"
    );
    // The names come with the file; no secret does.
    let raw = std::fs::read(&file).expect("the file");
    let has = |w: &[u8]| raw.windows(w.len()).any(|x| x == w);
    assert!(has(b"www.example.com\0") && !has(b"naengmyeon") && !has(b"gimbap"));
    // The same journey again, one packet of it, in Korean.
    let id = ids.first().expect("one").clone();
    let again = lab.run(&["journey", "--packet", &id, "--lang", "ko", "-b"]);
    assert!(again.out.contains("IP 주소가 바뀌는 유일한 곳") && !again.out.contains('\u{1b}'), "{}", again.out);
    assert_eq!(lab.run(&["journey", "--packet", "999999"]).code, 125);
}

#[test]
fn a_capture_follows_a_conversation_through_everything() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = dir.path("follow.pcapng");
    let mut c = lab
        .command(&["capture", "--follow", "host 192.168.0.10 and tcp port 80", "-w", &file])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("capture");
    let mut err = BufReader::new(c.stderr.take().expect("a pipe"));
    let mut line = String::new();
    err.read_line(&mut line).expect("reading");
    assert!(line.contains("capturing at 28 ports"), "{line}");
    lab.run(&["exec", "client", "client", PAGE]).good();
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    let pid = rustix::process::Pid::from_raw(i32::try_from(c.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupting");
    assert!(c.wait().expect("waiting").success());
    let f = integration::fields(
        &file,
        "tcp.flags.syn == 1 && tcp.flags.ack == 0",
        &["frame.interface_name", "frame.packet_id", "ip.src", "frame.comment"],
    );
    // pc's connection alone, at every port from pc to the cache and inside the cells.
    let ids: BTreeSet<&str> = f.iter().map(|f| f[1].as_str()).collect();
    assert_eq!((ids.len(), f.len()), (1, 23), "{f:?}");
    assert!(f.iter().all(|f| f[3].starts_with("journey ")));
    let all = integration::fields(&file, "ip.src == 192.168.0.100 || ip.dst == 192.168.0.100", &["frame.number"]);
    assert!(all.is_empty(), "the client's packets were not asked for: {}", all.len());
    let back =
        integration::fields(&file, "tcp.srcport == 80 && tcp.len > 0 && frame.interface_name == \"core1.core2\"", &["frame.packet_id"]);
    assert_eq!(back.len(), 1, "the answer is followed back through NAT");
    let e = lab.run(&["capture", "--follow", "hots 1.2.3.4", "-w", &file]);
    assert!(e.code == 125 && e.err.contains("did you mean `host`"), "{}", e.err);
}
