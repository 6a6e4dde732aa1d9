//! BAS and LNS with a real FreeRADIUS.

use integration::{Lab, wait_for};
use std::time::Duration;

const PAGE: &str = "http://198.51.100.80/";

fn accounts(lab: &Lab) -> String {
    let one = |node: &str| lab.run(&["exec", node, "sh", "-c", &format!("cat /run/lab/nodes/{node}/account 2>/dev/null || true")]).out;
    one("radius1") + &one("radius2")
}

fn client(lab: &Lab, attributes: &str, to: &str, kind: &str) -> String {
    let line = format!("printf '{attributes}' | radclient -r 2 -t 2 {to}:3799 {kind} doenjang");
    let r = lab.run(&["exec", "radius1", "sh", "-c", &line]);
    r.out + &r.err
}

#[test]
fn freeradius_judges_tunnels_counts_and_orders() {
    integration::tool("radclient", &["-h"]);
    let lab = Lab::up("radius");
    lab.curl(&["-o", "/dev/null", PAGE]).good();
    // The BAS was told of the tunnel, the LNS of the address.
    let lns = lab.show("lns", "sessions");
    assert_eq!((lns[0]["user"].as_str(), lns[0]["address"].as_str()), (Some("kim@isp.example"), Some("203.0.113.77")));
    let bas = lab.show("bas", "sessions");
    let of = |user: &str| bas.iter().find(|s| s["user"] == user).unwrap_or_else(|| panic!("{user}: {bas:?}")).clone();
    assert_eq!(of("kim@isp.example")["phase"], "tunnelled");
    let gold = of("lee@home.example")["address"].as_str().unwrap_or("").to_owned();
    assert!(gold.starts_with("203.0.113.22") || gold.starts_with("203.0.113.23"), "{gold}");
    wait_for("accounting's beginning", Duration::from_secs(10), || {
        let a = accounts(&lab);
        ["account Start user=lee@home.example", "account Start user=kim@isp.example"].iter().all(|w| a.contains(w))
    });
    // CoA and Disconnect, for sessions that are there and that are not.
    let said = client(&lab, "User-Name=kim@isp.example,Session-Timeout=7200", "10.0.0.6", "coa");
    assert!(said.contains("Received CoA-ACK"), "{said}");
    let said = client(&lab, "User-Name=kim@isp.example,Filter-Id=x", "10.0.0.6", "coa");
    assert!(said.contains("Received CoA-NAK"), "{said}");
    let said = client(&lab, "User-Name=nobody", "10.0.0.1", "disconnect");
    assert!(said.contains("Received Disconnect-NAK"), "{said}");
    let said = client(&lab, "User-Name=lee@home.example", "10.0.0.1", "disconnect");
    assert!(said.contains("Received Disconnect-ACK"), "{said}");
    wait_for("accounting's end", Duration::from_secs(10), || accounts(&lab).contains("account Stop user=lee@home.example"));
    assert!(accounts(&lab).contains("cause=Admin-Reset"), "{}", accounts(&lab));
    wait_for("the session to come back", Duration::from_secs(20), || {
        lab.show("bas", "sessions").iter().any(|s| s["user"] == "lee@home.example" && s["phase"] == "up")
    });
    // One server dies: the other answers.
    lab.run(&["exec", "radius1", "sh", "-c", "kill -STOP $(pidof freeradius | tr ' ' '\\n' | while read p; do [ \"$(readlink /proc/$p/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ] && echo $p; done)"]).good();
    lab.run(&["restart", "home-lee"]).good();
    wait_for("the session by the second server", Duration::from_secs(30), || {
        lab.show("bas", "sessions")
            .iter()
            .any(|s| s["user"] == "lee@home.example" && s["phase"] == "up" && s["age-s"].as_u64().is_some_and(|a| a < 25))
    });
    wait_for("the second server to have answered", Duration::from_secs(20), || lab.counter("bas", "10.0.2.2.answers") > 0);
    assert!(lab.counter("bas", "failovers") > 0);
    assert_eq!(lab.counter("bas", "accounting-lost"), 0);
}

#[test]
fn silent_servers_and_a_refusal_are_told() {
    let lab = Lab::up_changed(
        "radius",
        &[("user = \"lee@home.example\", password = \"bibimbap\"", "user = \"stranger@home.example\", password = \"x\"")],
    );
    assert!(lab.said.contains("`home-lee` is not ready: PPPoE: authentication failed: unknown subscriber"), "{}", lab.said);
    let reasons =
        |node: &str| lab.show(node, "log").iter().filter_map(|e| e["reason"].as_str().map(str::to_owned)).collect::<Vec<_>>().join("; ");
    assert!(reasons("bas").contains("unknown subscriber"), "{}", reasons("bas"));
    for r in ["core.radius1", "core.radius2"] {
        lab.run(&["link", r, "down"]).good();
    }
    lab.run(&["restart", "home-router"]).good();
    wait_for("both ends to say it", Duration::from_secs(40), || {
        let s = lab.run(&["status"]).good().out;
        s.contains("RADIUS does not answer") && reasons("bas").contains("RADIUS does not answer")
    });
}
