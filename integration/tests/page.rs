//! The page, in a real headless Chromium: by itself from its file, and live.

use integration::browser::Browser;
use integration::{Lab, Scratch, tool, wait_for};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

const PAGE: &str = "http://www.example.com/";
const SOON: Duration = Duration::from_secs(20);

/// WebDriver's names of keys.
const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";
const END: &str = "\u{e010}";
const HOME: &str = "\u{e011}";

fn number(b: &Browser, script: &str) -> u64 {
    b.run(script).as_u64().unwrap_or_else(|| panic!("{script}: no number"))
}

#[test]
fn the_file_shows_a_journey_step_by_step() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = dir.path("journey.html");
    lab.run(&["journey", "--html", &file, PAGE]).good();
    drop(lab); // the file needs no lab
    let b = Browser::start((1400, 900), false);
    b.open(&format!("file://{file}"));
    b.until("return document.body.dataset.ready === 'yes'", SOON);
    // Every node of the lab stands on the map, once, and no two at one place.
    let places = b.run("return [...document.querySelectorAll('#map g.node')].map((g) => [g.id, g.querySelector('rect').getAttribute('x'), g.querySelector('rect').getAttribute('y')].join(' '))");
    let places: Vec<&str> = places.as_array().expect("nodes").iter().filter_map(|p| p.as_str()).collect();
    assert_eq!(places.len(), 15, "{places:?}");
    let spots: std::collections::BTreeSet<_> = places.iter().map(|p| p.split_once(' ').expect("a place").1).collect();
    assert_eq!(spots.len(), 15, "{places:?}");
    let steps = number(&b, "return Number(document.getElementById('scrub').max)");
    assert!(steps > 200, "{steps} steps");

    // The request at the home router: NAT and PPPoE are marked.
    b.run("chosen.protocol = 'HTTP'; document.getElementById('protocol').value = 'HTTP'; document.getElementById('protocol').dispatchEvent(new Event('change'))");
    b.until("return /GET \\/ HTTP/.test(document.getElementById('say').textContent)", SOON);
    let from = |b: &Browser| b.run("return steps[step].from + ' ' + steps[step].to");
    assert_eq!(from(&b), "client switch");
    b.keys(RIGHT);
    b.keys(RIGHT);
    assert_eq!(from(&b), "home-router modem");
    let changed = b.run("return [...document.querySelectorAll('#after dd.changed')].map((d) => d.textContent)");
    let changed: Vec<&str> = changed.as_array().expect("fields").iter().filter_map(|f| f.as_str()).collect();
    assert!(changed.contains(&"203.0.113.1") || changed.iter().any(|c| c.starts_with("203.0.113.")), "{changed:?}");
    let added = b.run("return [...document.querySelectorAll('#after .layer.added')].map((l) => l.dataset.layer).join(' ')");
    assert_eq!(added, "PPPoE PPP");
    assert!(b.run("return document.getElementById('why').textContent").as_str().is_some_and(|t| t.contains("NAT rewrote")));
    assert!(b.run("return document.querySelector('#map .dot').dataset.packet === String(steps[step].packet)").as_bool() == Some(true));
    // Its bytes, and those of a field marked.
    b.click("#after .layer[data-layer='IPv4'] dd");
    assert_eq!(number(&b, "return document.querySelectorAll('#hex mark').length"), 4);
    b.keys(LEFT);
    assert_eq!(from(&b), "switch home-router");
    b.keys(HOME);
    assert!(b.run("return document.querySelector('.signal path') !== null").as_bool() == Some(true), "the client's link has a medium");
    b.keys(END);
    assert_eq!(number(&b, "return step"), number(&b, "return steps.length - 1"));

    // Playing goes on by itself, and stops.
    b.keys(HOME);
    b.run("document.getElementById('speed').value = '10'");
    b.click("#play");
    b.until("return step > 3", SOON);
    b.click("#play");
    let at = number(&b, "return step");
    assert!(b.run("return playing === null").as_bool() == Some(true) && at > 3);

    // Devices, ladder, story, list.
    b.click("#node-firewall");
    b.until("return /conntrack/.test(document.getElementById('pane-device').textContent)", SOON);
    assert!(b.run("return document.getElementById('pane-device').textContent").as_str().is_some_and(|t| t.contains("198.51.100.80")));
    b.run("document.getElementById('protocol').value = ''; document.getElementById('protocol').dispatchEvent(new Event('change'))");
    b.click("#tab-ladder");
    b.run("document.getElementById('ladder-of').value = 'TCP'; document.getElementById('ladder-of').dispatchEvent(new Event('change'))");
    let ladder =
        b.run("return [...document.querySelectorAll('.ladder [role=listitem]')].map((g) => g.getAttribute('aria-label')).join('\\n')");
    let ladder = ladder.as_str().expect("a ladder").to_owned();
    assert!(ladder.contains("client → cache") && ladder.contains("[SYN]") && ladder.contains("[SYN ACK]"), "{ladder}");
    b.click("#tab-packets");
    assert!(number(&b, "return document.querySelectorAll('#packet-table tbody tr').length") > 30);
    b.click("#tab-story");
    b.click("#lang");
    b.until("return document.documentElement.lang === 'ko'", SOON);
    let story = b.run("return document.getElementById('pane-story').textContent");
    assert!(story.as_str().is_some_and(|s| s.contains("1단계") && s.contains("IP 주소가 바뀌는 유일한 곳")), "{story}");
    // Everything that acts has a name, dark and light differ, nothing was complained of.
    let nameless = b.run("return [...document.querySelectorAll('button, select, input, [role=button], [role=tab]')].filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)");
    assert_eq!(nameless.as_array().map(Vec::len), Some(0), "{nameless}");
    let colour = "return getComputedStyle(document.body).backgroundColor";
    let light = b.run(colour);
    b.click("#theme");
    assert_ne!(light, b.run(colour));
    assert_eq!(b.complaints(), Vec::<String>::new());
}

#[test]
fn the_live_page_shows_what_happens() {
    let lab = Lab::up("web-path");
    let mut web = lab.command(&["web"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("lab web");
    let mut url = String::new();
    BufReader::new(web.stdout.take().expect("a pipe")).read_line(&mut url).expect("reading");
    let url = url.trim();
    let (base, token) = url.split_once("/?token=").expect("an address with its token");
    // Nobody gets in without the token, or by another name.
    let status =
        |args: &[&str]| tool("curl", &[&["-sS", "-m", "20", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"], args].concat()).out;
    assert_eq!(status(&[base]), "403");
    assert_eq!(status(&[&format!("{base}/api/show/bas?token=0")]), "403");
    assert_eq!(status(&["-H", "Host: journey.example", url]), "403");
    assert_eq!(status(&[url]), "200");

    let b = Browser::start((1400, 900), true);
    b.open(url);
    b.until("return document.body.dataset.ready === 'yes'", SOON);
    b.click("#fetch button[type=submit]");
    b.until("return data.journey?.verdict?.good === true", SOON);
    assert!(b.run("return document.getElementById('verdict').textContent").as_str().is_some_and(|v| v.contains("status 200")));
    // It goes to the journey that was asked for; one before keeps its own story.
    let first = b.run("return data.journey.number").as_u64().expect("a number");
    b.until(&format!("return chosen.journey === '{first}' && /GET \\/ /.test(document.getElementById('pane-story').textContent)"), SOON);
    b.run("document.getElementById('url').value = 'http://www.example.com/about/'");
    b.click("#fetch button[type=submit]");
    // Devices talk all the time, and news of a journey do not wait for them to be quiet.
    b.until(&format!("return data.journey.number > {first} && chosen.journey === String(data.journey.number)"), Duration::from_secs(10));
    let story = || b.run("return document.getElementById('pane-story').textContent").as_str().unwrap_or_default().to_owned();
    assert!(story().contains("/about/"), "{}", story());
    b.run(&format!("const s = document.getElementById('journey'); s.value = '{first}'; s.dispatchEvent(new Event('change'))"));
    assert!(!story().contains("/about/") && story().contains("status 200"), "{}", story());
    // A device's tables are those of now.
    b.run("document.getElementById('node-home-router').dispatchEvent(new MouseEvent('click', { bubbles: true }))");
    b.until("return /192\\.168\\.0\\.100:/.test(document.getElementById('pane-device').textContent)", SOON);
    // A session that comes back is a ladder of PPPoE and PPP.
    lab.run(&["restart", "bas"]).good();
    b.until(
        "return data.packets.some((p) => p.title === 'PADS') && data.packets.some((p) => p.protocol === 'IPCP')",
        Duration::from_secs(40),
    );
    b.click("#tab-ladder");
    b.run("document.getElementById('ladder-of').value = 'PPPoE'; document.getElementById('ladder-of').dispatchEvent(new Event('change'))");
    let ladder =
        b.run("return [...document.querySelectorAll('.ladder [role=listitem]')].map((g) => g.getAttribute('aria-label')).join('\\n')");
    let ladder = ladder.as_str().expect("a ladder").to_owned();
    for message in ["PADI", "PADO", "PADR", "PADS"] {
        assert!(ladder.contains(message), "{message}: {ladder}");
    }
    // What cannot be fetched is said, and is no fault of the page.
    b.run("document.getElementById('url').value = 'https://www.example.com/'");
    b.click("#fetch button[type=submit]");
    b.until("return /speaks http/.test(document.getElementById('say').textContent)", SOON);
    // Pause and step from the page.
    b.click("#pause-lab");
    b.until("return /is paused/.test(document.getElementById('say').textContent)", SOON);
    wait_for("the lab to stand", SOON, || lab.run(&["status"]).out.contains("its clock stands"));
    // What a step moves is on the map while the lab stands.
    let moves = b.run("return data.moves.length").as_u64().expect("a number");
    b.run("document.getElementById('url').value = 'http://www.example.com/'");
    b.click("#fetch button[type=submit]");
    for _ in 0..8 {
        b.run("document.getElementById('say').textContent = ''");
        b.click("#step-lab");
        b.until("return document.getElementById('say').textContent !== ''", SOON);
    }
    b.until(&format!("return data.moves.length > {moves} && step === steps.length - 1"), SOON);
    assert!(lab.run(&["status"]).out.contains("its clock stands"));
    b.click("#resume-lab");
    wait_for("the lab to go on", SOON, || !lab.run(&["status"]).out.contains("its clock stands"));
    assert!(token.len() == 32 && b.complaints().is_empty(), "{:?}", b.complaints());
    let pid = rustix::process::Pid::from_raw(i32::try_from(web.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupting");
    assert!(web.wait().expect("waiting").success());
}
