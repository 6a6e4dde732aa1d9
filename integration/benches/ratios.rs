//! What the roles cost, as ratios to null forwarders between the same kernel
//! ends, measured in turns in one run. `netns-scripts/bench` runs it and puts
//! the table into docs/benchmarks.md.

#[path = "../sessions.rs"]
mod sessions;

use integration::{Lab, Scratch, bin, craft, lab_command, to_hex};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Instant;
use wire::Mac;
use wire::ipv4::protocol;

const ROUNDS: usize = 3;
const SECONDS: &str = "1.5";
const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A lab `a — middle — b`; `middle` says the nodes between, `links` their cables.
fn lab(dir: &Scratch, name: &str, b: &str, gateways: [&str; 2], middle: &str, links: &[[&str; 2]]) -> Lab {
    let mut t = format!("name = \"{name}\"\n");
    for (node, addr, gw) in [("a", "10.0.0.2/24", gateways[0]), ("b", b, gateways[1])] {
        let _ = writeln!(t, "[nodes.{node}]\nkind = \"host\"\nports.eth0.address = \"{addr}\"");
        if !gw.is_empty() {
            let _ = writeln!(t, "gateway = \"{gw}\"");
        }
        if node == "b" {
            let _ = writeln!(t, "start = [\"iperf3 -s\", \"python3 -m http.server 80 -d {}\"]", dir.0.display());
        }
    }
    t += middle;
    for [x, y] in links {
        let _ = writeln!(t, "[[links]]\nends = [\"{x}\", \"{y}\"]");
    }
    let path = dir.path(&format!("{name}.toml"));
    std::fs::write(&path, t).expect("writing");
    let l = Lab::up(&path);
    integration::wait_for("iperf3 and python", std::time::Duration::from_secs(10), || {
        l.run(&["exec", "b", "sh", "-c", "ss -ltn | grep -q :5201 && ss -ltn | grep -q :80"]).code == 0
    });
    l
}

fn nulls(dir: &Scratch, name: &str, n: usize) -> Lab {
    let mut middle = String::new();
    let mut ends = vec!["a.eth0".to_owned()];
    for i in 0..n {
        let _ = writeln!(middle, "[nodes.n{i}]\nrole = \"null\"");
        ends.extend([format!("n{i}.l"), format!("n{i}.r")]);
    }
    ends.push("b.eth0".into());
    let links: Vec<[&str; 2]> = ends.chunks(2).map(|c| [c[0].as_str(), c[1].as_str()]).collect();
    lab(dir, name, "10.0.0.3/24", ["", ""], &middle, &links)
}

/// Mbit/s of bulk TCP from a to b.
fn bulk(l: &Lab, b: &str) -> f64 {
    let r = l.run(&["exec", "a", "iperf3", "-J", "-t", SECONDS.split('.').next().unwrap_or("1"), "-c", b]).good();
    let v: serde_json::Value = serde_json::from_str(&r.out).expect("iperf3's JSON");
    v["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or(0.0) / 1e6
}

/// Thousands of 64-byte frames a second that arrive at b.
fn small(l: &Lab, next: Mac, b: Ipv4Addr) -> f64 {
    let arp = l.run(&["exec", "a", "cat", "/sys/class/net/eth0/address"]).good().out;
    let own: Mac = arp.trim().parse().expect("a MAC");
    let frame = craft::ethernet(next, own, &craft::packet(protocol::UDP, A, b, &craft::udp(9, 9, &[0; 18])));
    let blast = bin("blast");
    let count = || -> f64 {
        let r = l.run(&["exec", "b", "cat", "/sys/class/net/eth0/statistics/rx_packets"]).good();
        r.out.trim().parse().expect("a number")
    };
    let (before, start) = (count(), Instant::now());
    l.run(&["exec", "a", blast.to_str().expect("UTF-8"), "eth0", &to_hex(&frame), SECONDS]).good();
    (count() - before) / start.elapsed().as_secs_f64() / 1e3
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

/// The MAC address to which a sends for b.
fn next_hop(l: &Lab, gateway: &str) -> Mac {
    l.run(&["exec", "a", "ping", "-c", "1", "-W", "2", gateway]);
    let r = l.run(&["exec", "a", "ip", "neigh", "show", gateway]).good();
    r.out.split_whitespace().skip_while(|w| *w != "lladdr").nth(1).expect("a neighbour").parse().expect("a MAC")
}

struct Row {
    name: &'static str,
    bulk: f64,
    small: f64,
}

fn compare(name: &'static str, subject: &Lab, b: Ipv4Addr, gateway: &str, null: &Lab) -> Row {
    let b_text = b.to_string();
    let (next, null_next) = (next_hop(subject, gateway), next_hop(null, "10.0.0.3"));
    let mut bulks = Vec::new();
    let mut smalls = Vec::new();
    for _ in 0..ROUNDS {
        bulks.push(bulk(subject, &b_text) / bulk(null, "10.0.0.3"));
        smalls.push(small(subject, next, b) / small(null, null_next, Ipv4Addr::new(10, 0, 0, 3)));
    }
    let row = Row { name, bulk: median(bulks), small: median(smalls) };
    println!("{:<24} bulk TCP {:.2}   64-byte frames {:.2}", row.name, row.bulk, row.small);
    row
}

fn forwarders(dir: &Scratch) -> Vec<Row> {
    let null = nulls(dir, "null1", 1);
    let mut rows = Vec::new();
    {
        let l = lab(dir, "sw", "10.0.0.3/24", ["", ""], "[nodes.s]\nrole = \"switch\"\n", &[["a.eth0", "s.l"], ["s.r", "b.eth0"]]);
        rows.push(compare("switch", &l, Ipv4Addr::new(10, 0, 0, 3), "10.0.0.3", &null));
    }
    let routed = |role: &str, settings: &str| {
        format!(
            "[nodes.r]\nrole = \"{role}\"\nports.l.address = \"10.0.0.1/24\"\nports.r.address = \"10.0.1.1/24\"\n[nodes.r.settings]\n{settings}\n"
        )
    };
    let cables: [[&str; 2]; 2] = [["a.eth0", "r.l"], ["r.r", "b.eth0"]];
    let far = Ipv4Addr::new(10, 0, 1, 2);
    for (name, role, settings) in [
        ("core router", "router", ""),
        ("home router (NAT)", "router", "nat = \"r\""),
        ("firewall", "firewall", "outside = [\"l\"]\ninside = [\"r\"]\nrules = [{ name = \"all\", action = \"allow\" }]"),
        ("cache (not intercepted)", "cache-proxy", "intercept = []"),
    ] {
        let l = lab(dir, "fw", "10.0.1.2/24", ["10.0.0.1", "10.0.1.1"], &routed(role, settings), &cables);
        rows.push(compare(name, &l, far, "10.0.0.1", &null));
    }
    drop(null);
    let null = nulls(dir, "null2", 2);
    let pair = "[nodes.h]\nrole = \"router\"\nports.l.address = \"10.0.0.1/24\"\n[nodes.h.settings]\nnat = \"w\"\npppoe = { port = \"w\", user = \"u\", password = \"p\" }\n[nodes.bas]\nrole = \"bras-pppoe\"\nports.r.address = \"10.0.1.1/24\"\n[nodes.bas.settings]\naccess = [\"l\"]\npool = \"203.0.113.0/24\"\nusers = [{ name = \"u\", password = \"p\" }]\n";
    let l = lab(dir, "pppoe", "10.0.1.2/24", ["10.0.0.1", "10.0.1.1"], pair, &[["a.eth0", "h.l"], ["h.w", "bas.l"], ["bas.r", "b.eth0"]]);
    rows.push(compare("home router + bas, PPPoE", &l, far, "10.0.0.1", &null));
    drop((l, null));
    let null = nulls(dir, "null3", 3);
    let three = "[nodes.h]\nrole = \"router\"\nports.l.address = \"10.0.0.1/24\"\n[nodes.h.settings]\nnat = \"w\"\npppoe = { port = \"w\", user = \"u@x\", password = \"p\" }\n[nodes.bas]\nrole = \"bras-pppoe\"\nports.r.address = \"10.0.2.1/24\"\n[nodes.bas.settings]\naccess = [\"l\"]\ntunnels = [{ realm = \"x\", lns = [\"10.0.2.2\"], secret = \"s\" }]\n[nodes.lns]\nrole = \"bras-pppoe\"\nports.l.address = \"10.0.2.2/24\"\nports.r.address = \"10.0.1.1/24\"\n[nodes.lns.settings]\nlacs = [{ host-name = \"bas\", secret = \"s\" }]\npool = \"203.0.113.0/24\"\nusers = [{ name = \"u@x\", password = \"p\" }]\n";
    let cables = [["a.eth0", "h.l"], ["h.w", "bas.l"], ["bas.r", "lns.l"], ["lns.r", "b.eth0"]];
    let l = lab(dir, "l2tp", "10.0.1.2/24", ["10.0.0.1", "10.0.1.1"], three, &cables);
    rows.push(compare("home router + LAC + LNS", &l, far, "10.0.0.1", &null));
    rows
}

/// The phone line's share of what its rate bears: 1452 bytes of data are 32 cells
/// of 53 bytes (docs/roles/adsl-modem.md).
fn line() -> f64 {
    let l = Lab::up("web-path");
    let most = 8_000_000.0 / 8.0 * 1452.0 / (32.0 * 53.0);
    let page = "http://www.example.com/files/10mb.bin";
    median((0..ROUNDS).map(|_| download(&l, page) / most).collect())
}

/// Bytes a second of the 10 MB file.
fn download(l: &Lab, url: &str) -> f64 {
    let r = l.curl(&["-o", "/dev/null", "-w", "%{speed_download}", url]).good();
    r.out.trim().parse().expect("a speed")
}

fn path(dir: &Scratch) -> (usize, f64) {
    let fast = Lab::up("web-path-fast");
    let page = "http://www.example.com/files/10mb.bin";
    download(&fast, page); // from here on the cache has it
    // switch, home-router, bas, core1 to core3, firewall; the cache ends TCP.
    let hops = 7;
    let null = nulls(dir, "nulls", hops);
    let file = integration::root().join("netns-scripts/labs/site/files/10mb.bin");
    std::fs::copy(file, dir.path("10mb.bin")).expect("copying");
    let ratios = (0..2 * ROUNDS + 1).map(|_| download(&fast, page) / download(&null, "http://10.0.0.3/10mb.bin"));
    (hops, median(ratios.collect()))
}

struct Idle {
    first_curl: f64,
    largest_rss: u64,
    cpu: f64,
}

fn idle() -> Idle {
    let name = integration::fresh_name();
    let start = Instant::now();
    let up = lab_command().args(["up", "web-path", "--name", &name]).stdin(Stdio::null()).output().expect("lab runs");
    assert!(up.status.success());
    let curl = lab_command().args(["-l", &name, "curl", "-sS", "-o", "/dev/null", "http://www.example.com/"]).output().expect("lab runs");
    assert!(curl.status.success());
    let first_curl = start.elapsed().as_secs_f64();
    let status = lab_command().args(["-l", &name, "status", "--json"]).output().expect("lab runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("status");
    let mut pids: Vec<i64> = status["roles"].as_array().into_iter().flatten().filter_map(|r| r["pid"].as_i64()).collect();
    let rss = |p: &i64| -> u64 {
        let s = std::fs::read_to_string(format!("/proc/{p}/status")).unwrap_or_default();
        s.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let largest_rss = pids.iter().map(rss).max().unwrap_or(0);
    pids.extend(status["holder"].as_i64());
    let ticks = || -> u64 {
        let one = |p: &i64| {
            let s = std::fs::read_to_string(format!("/proc/{p}/stat")).unwrap_or_default();
            let after = s.rsplit(')').next().unwrap_or("").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            [11, 12].iter().filter_map(|i| after.get(*i)?.parse::<u64>().ok()).sum::<u64>()
        };
        pids.iter().map(one).sum()
    };
    let (before, start) = (ticks(), Instant::now());
    std::thread::sleep(std::time::Duration::from_secs(10));
    let cpu = (ticks() - before) as f64 / 100.0 / start.elapsed().as_secs_f64();
    let _ = lab_command().args(["-l", &name, "down"]).output();
    Idle { first_curl, largest_rss, cpu }
}

fn main() {
    // `cargo test` runs benches' mains too; this one is for `cargo bench`.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let dir = Scratch::new();
    let still = idle();
    println!(
        "up to first curl {:.2} s, largest idle role {} KiB, idle CPU {:.2} %",
        still.first_curl,
        still.largest_rss,
        still.cpu * 100.0
    );
    let (hops, ratio) = path(&dir);
    println!("web-path-fast against {hops} null forwarders: {ratio:.2}");
    let line = line();
    println!("web-path, of what 8 Mbit/s less the cell tax bears: {line:.3}");
    let many = sessions::run(10_000);
    let rate = many.up as f64 / many.took.as_secs_f64();
    println!("{} sessions over one LAC and one LNS: {rate:.0} a second, {} bytes each", many.up, many.bytes_each);
    let rows = forwarders(&dir);
    let mut t = String::from("| what | bulk TCP | 64-byte frames/s | wanted |\n|---|---|---|---|\n");
    for r in &rows {
        let _ = writeln!(t, "| {} | {:.2} | {:.2} | 0.8 |", r.name, r.bulk, r.small);
    }
    let _ = writeln!(t, "| web-path-fast, a 10 MB hit, against {hops} null forwarders in a row | {ratio:.2} | | 0.6 |");
    let _ = writeln!(t, "| web-path, a 10 MB page, against 8 Mbit/s less the cell tax | {line:.3} | | 0.95 |");
    let _ = writeln!(t, "\n| {} sessions over one LAC and one LNS, in memory | measured |\n|---|---|", many.up);
    let _ = writeln!(t, "| set up, subscribers included, on one core of this machine | {rate:.0} a second |");
    let _ = writeln!(t, "| memory of a session at both | {:.1} KiB |", many.bytes_each as f64 / 1024.0);
    let _ = writeln!(t, "\n| at rest | measured | wanted |\n|---|---|---|");
    let _ = writeln!(t, "| from `up` (built) to the first curl answered | {:.2} s | 2 s |", still.first_curl);
    let _ = writeln!(t, "| RSS of the largest idle role | {:.1} MiB | 16 MiB |", still.largest_rss as f64 / 1024.0);
    let _ = writeln!(t, "| CPU of the idle lab, of one core | {:.2} % | 2 % |", still.cpu * 100.0);
    let doc = integration::root().join("docs/benchmarks.md");
    let old = std::fs::read_to_string(&doc).unwrap_or_default();
    let head = old.split("<!-- table -->").next().unwrap_or("").to_owned();
    std::fs::write(&doc, format!("{head}<!-- table -->\n\n{t}")).expect("writing docs/benchmarks.md");
    println!("\n{t}");
}
