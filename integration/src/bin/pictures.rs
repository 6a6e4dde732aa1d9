//! Makes the pictures of the page that README and docs show, in both languages:
//! `netns-scripts/pictures` runs it.

use integration::browser::Browser;
use integration::{Lab, Scratch, root};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const PAGE: &str = "http://www.example.com/";

fn main() {
    let lab = Lab::up("web-path");
    let dir = Scratch::new();
    let file = dir.path("journey.html");
    lab.run(&["journey", "--html", &file, PAGE]).good();
    let to = |name: &str| root().join("docs/pictures").join(name).to_str().expect("UTF-8").to_owned();
    for (lang, dark) in [("en", false), ("ko", true)] {
        let b = Browser::start((1500, 980), dark);
        b.open(&format!("file://{file}"));
        b.until("return document.body.dataset.ready === 'yes'", SOON);
        b.run(&format!(
            "lang = '{lang}'; document.documentElement.dataset.theme = '{}'; translate(); tab('packet')",
            if dark { "dark" } else { "light" }
        ));
        // The request as the home router translates it and puts it into PPPoE.
        let find = "steps.findIndex((m) => m.from === 'home-router' && /^GET \\/ HTTP/.test(byId.get(m.packet).title))";
        b.run(&format!("seek({find}, 0.5); drawMove(steps[step], 0.5)"));
        b.picture(&to(&format!("journey-packet.{lang}.png")));
        b.run("const p = document.getElementById('protocol'); p.value = 'TCP'; p.dispatchEvent(new Event('change')); tab('ladder')");
        b.run("const l = document.getElementById('ladder-of'); l.value = 'TCP'; l.dispatchEvent(new Event('change'))");
        b.picture(&to(&format!("journey-ladder.{lang}.png")));
        assert_eq!(b.complaints(), Vec::<String>::new());
        println!("docs/pictures/journey-packet.{lang}.png, docs/pictures/journey-ladder.{lang}.png");
    }
}
