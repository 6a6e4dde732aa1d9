//! The access network in a real lab: signals, the phone line, the tunnel, and
//! links that change while they run.

use integration::{Capture, Lab, Scratch, fields, sha256, tool, wait_for};
use std::time::Duration;

const PAGE: &str = "http://www.example.com/";

fn row<'a>(rows: &'a [serde_json::Value], key: &str, value: &str) -> &'a serde_json::Value {
    rows.iter().find(|r| r[key] == value).unwrap_or_else(|| panic!("no row {key}={value}: {rows:?}"))
}

#[test]
fn cells_frames_and_the_tunnel_are_as_the_standards_have_them() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let line = dir.path("line.pcapng");
    let capture = Capture::start(&lab, &line, &["modem.line"]);
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    capture.end();
    // With the decoder: cells of 0/35, AAL5 with a right CRC, HTTP inside.
    let cells = fields(&line, "pj_atm", &["pj_atm.vpi", "pj_atm.vci", "pj_atm.label"]);
    assert!(cells.len() > 5 && cells.iter().all(|c| c[0] == "0" && c[1] == "35" && ["16", "17"].contains(&c[2].as_str())), "{cells:?}");
    let sums = fields(&line, "pj_atm.aal5.crc", &["pj_atm.aal5.crc_good"]);
    assert!(sums.len() > 5 && sums.iter().all(|s| ["1", "True"].contains(&s[0].as_str())), "{sums:?}");
    assert!(!fields(&line, "pj_atm && pppoes && ip && http.request || pj_atm && tcp.payload", &["frame.number"]).is_empty());
    // Without any option: HTTP on the derived interface.
    let args = ["-r", &line, "-Y", "frame.interface_name == \"modem.line/aal5\" && atm && http", "-T", "fields", "-e", "frame.protocols"];
    let plain = tool("tshark", &args).good().out;
    assert!(plain.lines().count() >= 2 && plain.lines().all(|l| l.starts_with("atm:llc:eth:ethertype:pppoes:ppp:ip:tcp:http")), "{plain}");

    let tunnel = dir.path("tunnel.pcapng");
    let capture = Capture::start(&lab, &tunnel, &["bas.lns"]);
    lab.curl(&["-o", "/dev/null", "http://www.example.com/about/"]).good();
    // Down and up again: the set-up of the call is seen too.
    lab.run(&["restart", "home-router"]).good();
    capture.end();
    let http = fields(&tunnel, "l2tp && http.request", &["frame.protocols"]);
    assert_eq!(http[0][0], "eth:ethertype:ip:udp:l2tp:ppp:ip:tcp:http");
    let kinds: Vec<String> =
        fields(&tunnel, "l2tp.avp.message_type", &["l2tp.avp.message_type"]).into_iter().map(|mut k| k.remove(0)).collect();
    for k in ["10", "11", "12"] {
        assert!(kinds.iter().any(|x| x == k), "message {k}: {kinds:?}");
    }
    assert!(fields(&tunnel, "_ws.malformed", &["frame.number"]).is_empty());
    // Our decoder and tshark's read the same.
    let theirs = fields(&tunnel, "l2tp", &["udp.payload", "l2tp.type", "l2tp.tunnel", "l2tp.session", "l2tp.Ns", "l2tp.avp.message_type"]);
    for f in &theirs {
        let bytes = integration::from_hex(&f[0].replace(':', "")).expect("hexadecimal digits");
        let (h, body) = wire::l2tp::Header::read(&bytes).expect("a header");
        let number = |s: &str| s.parse::<u16>().ok();
        let kind = wire::l2tp::Avps(body).next().filter(|_| h.control).and_then(|a| wire::be16(a.expect("an AVP").value, 0));
        let ours = (h.control, Some(h.tunnel), Some(h.session), h.sequence.map(|(ns, _)| ns), kind);
        let said = (["1", "True"].contains(&f[1].as_str()), number(&f[2]), number(&f[3]), number(&f[4]), number(&f[5]));
        assert_eq!(ours, said, "{f:?}");
    }
    assert!(theirs.len() > 20);
    assert!(fields(&line, "_ws.malformed", &["frame.number"]).is_empty());

    let modem = lab.show("modem", "line");
    assert_eq!(row(&modem, "what", "state")["down"], "showtime");
    assert_eq!(row(&modem, "what", "rate-kbit")["down"], 8000);
    assert!(row(&modem, "what", "cell-tax-percent")["down"].as_f64().is_some_and(|t| (9.0..60.0).contains(&t)));
    let lines = lab.show("dslam", "lines");
    assert_eq!((lines[0]["circuit-id"].as_str(), lines[0]["remote-id"].as_str()), (Some("dslam atm 1/1:0.35"), Some("kim")));
    let bas = lab.show("bas", "sessions");
    assert_eq!(bas[0]["circuit-id"], "dslam atm 1/1:0.35");
    assert_eq!(bas[0]["remote-id"], "kim");
    assert_eq!(lab.show("lns", "tunnels")[0]["state"], "established");
}

#[test]
fn a_bad_line_is_slow_but_right_and_comes_back() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let bad = dir.path("bad");
    let url = "http://www.example.com/files/10mb.bin";
    let whole = std::fs::read(integration::root().join("netns-scripts/labs/site/files/10mb.bin")).expect("the file");
    // From here on the cache has it, and answers with ranges.
    lab.curl(&["-o", "/dev/null", url]).good();
    lab.run(&["command", "dslam", "line", "line1", "snr", "33.4"]).good();
    lab.curl(&["-m", "200", "-r", "0-999999", "-o", &bad, url]).good();
    assert!(std::fs::read(&bad).expect("what came") == whole[..1_000_000]);
    let modem = lab.show("modem", "line");
    assert!(row(&modem, "what", "crc-errors")["down"].as_u64().is_some_and(|n| n > 0), "{modem:?}");
    // Lost margin: retrained, slower, clean.
    lab.run(&["command", "dslam", "line", "line1", "snr", "26"]).good();
    wait_for("the line at a lower rate", Duration::from_secs(15), || {
        let r = lab.show("dslam", "lines");
        r[0]["state"] == "showtime" && r[0]["down-kbit"].as_u64().is_some_and(|k| k < 5000)
    });
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    // Loss of signal, long enough for the session to die: all comes back by itself.
    lab.run(&["command", "dslam", "line", "line1", "snr", "45"]).good();
    lab.run(&["link", "modem.line", "down"]).good();
    wait_for("loss of signal", Duration::from_secs(10), || lab.show("dslam", "lines")[0]["state"] == "no signal");
    lab.run(&["restart", "bas"]);
    lab.run(&["link", "modem.line", "up"]).good();
    wait_for("the page", Duration::from_secs(60), || lab.run(&["curl", "-sS", "-m", "2", "-o", "/dev/null", PAGE]).code == 0);
    assert_eq!(lab.show("dslam", "lines")[0]["down-kbit"], 8000);
    let r = lab.run(&["command", "dslam", "line", "line9", "snr", "45"]);
    assert!(r.code == 125 && r.err.contains("there is no line `line9`"), "{}", r.err);
}

#[test]
fn links_change_while_they_run() {
    let lab = Lab::up("web-path-fast");
    let shown = |port: &str| lab.run(&["link", port, "show"]).good().out;
    assert!(shown("pc.eth0").contains("pc.eth0 to switch.pc: clean (no cable is in it)"));
    // A download lives through the splice.
    let dir = Scratch::new();
    let file = dir.path("10mb");
    let mut running = lab
        .command(&["curl", "-sS", "-m", "60", "--limit-rate", "4M", "-o", &file, "http://www.example.com/files/10mb.bin"])
        .spawn()
        .expect("curl");
    wait_for("the download to run", Duration::from_secs(10), || std::fs::metadata(&file).is_ok_and(|m| m.len() > 100_000));
    let set = [
        "link",
        "pc.eth0",
        "set",
        "delay",
        "20ms",
        "jitter",
        "5ms",
        "loss",
        "1%",
        "rate",
        "10mbit",
        "reorder",
        "1%",
        "duplicate",
        "0.1%",
        "corrupt",
        "0.01%",
        "seed",
        "7",
    ];
    lab.run(&set).good();
    assert!(running.wait().expect("waiting").success());
    assert_eq!(sha256(&file), sha256(integration::root().join("netns-scripts/labs/site/files/10mb.bin").to_str().expect("UTF-8")));
    assert!(
        shown("pc.eth0")
            .contains("pc.eth0 to switch.pc: delay 20ms jitter 5ms loss 1% reorder 1% duplicate 0.1% corrupt 0.01% rate 10000kbit")
    );
    lab.run(&["link", "pc.eth0", "set", "loss", "0%"]).good();
    assert!(shown("switch.pc").contains("pc.eth0 to switch.pc: delay 20ms jitter 5ms reorder"), "the rest is left alone");
    lab.run(&["link", "pc.eth0", "off"]).good();
    assert!(shown("pc.eth0").contains("off (delay 20ms"));
    lab.run(&["link", "core2.core1", "down"]).good();
    assert_eq!(lab.run(&["curl", "-sS", "-m", "2", "-o", "/dev/null", "http://www.example.com/about/"]).code, 28);
    lab.run(&["link", "core2.core1", "up"]).good();
    lab.curl(&["-o", "/dev/null", "http://www.example.com/about/"]).good();
    assert!(lab.counter("cable", "link-down") > 0);
    for (args, says) in [
        (vec!["link", "pc.eth1"], "did you mean `pc.eth0`?"),
        (vec!["link", "pc.eth0", "sett"], "did you mean `set`?"),
        (vec!["link", "pc.eth0", "set", "dely", "1ms"], "did you mean `delay`?"),
        (vec!["link", "pc.eth0", "set", "loss", "often"], "is not a part"),
        (vec!["signal", "pc.eth0"], "has no medium"),
    ] {
        let r = lab.run(&args);
        assert!(r.code == 125 && r.err.contains(says), "{args:?}: {}", r.err);
    }
}

#[test]
fn a_frame_that_crossed_is_drawn() {
    let lab = Lab::up("web-path");
    lab.run(&["exec", "client", "client", PAGE]).good();
    for (port, medium) in [("client.eth0", "10base-t"), ("web.eth0", "100base-tx")] {
        let text = lab.run(&["signal", port]).good().out;
        for word in [medium, "preamble", "SFD", "MAC", "IP", "TCP", "payload", "FCS", "received whole"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        let dir = Scratch::new();
        let svg = dir.path("signal.svg");
        lab.run(&["signal", port, "--svg", &svg]).good();
        let svg = std::fs::read_to_string(svg).expect("the drawing");
        assert!(svg.starts_with("<svg") && svg.contains(">FCS<") && svg.matches("<polyline").count() >= 14);
    }
    let media = lab.show("cable", "media");
    assert_eq!(media.len(), 4);
    assert!(media.iter().all(|m| m["frames"].as_u64().is_some_and(|n| n > 0) && m["bits"].as_u64().is_some_and(|n| n > 0)), "{media:?}");
}

#[test]
fn a_narrow_tunnel_is_lived_with_in_three_ways() {
    let lab = Lab::up("l2tp-1500");
    for pc in ["pc", "pc-fragment", "pc-told"] {
        let r = lab.run(&[
            "exec",
            pc,
            "curl",
            "-sS",
            "-m",
            "20",
            "-r",
            "0-199999",
            "http://198.51.100.80/files/10mb.bin",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        assert_eq!((r.code, r.out.as_str()), (0, "206"), "{pc}: {}", r.err);
    }
    let sessions = lab.show("lns", "sessions");
    let mtu = |user: &str| row(&sessions, "user", user)["mtu"].as_u64();
    assert_eq!([mtu("kim@lower.example"), mtu("lee@fragment.example"), mtu("park@told.example")], [Some(1462), Some(1492), Some(1462)]);
    assert!(lab.counter("lns", "mss-clamped") > 0);
    assert!(lab.counter("web", "path-mtu-learned") > 0, "the server was told what fits, and sends so");
    let ping = |pc: &str| lab.run(&["exec", pc, "ping", "-c", "2", "-W", "2", "-M", "do", "-s", "1464", "198.51.100.80"]);
    let dir = Scratch::new();
    let file = dir.path("outer.pcapng");
    let capture = Capture::start(&lab, &file, &["bas.lns"]);
    assert_eq!(ping("pc-fragment").code, 0);
    capture.end();
    assert!(!fields(&file, "ip.flags.mf == 1 && ip.proto == 17", &["ip.len"]).is_empty(), "the outer packet goes in fragments");
    let told = ping("pc-told");
    assert!(told.code != 0 && (told.out.clone() + &told.err).contains("mtu = 1462"), "{} {}", told.out, told.err);
}
