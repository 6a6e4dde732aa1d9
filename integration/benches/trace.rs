//! What the trace costs while it is off: elements built with it against the same
//! elements built without (`--cfg no_trace`), in turns in one run.
//! `netns-scripts/bench` runs it; the table goes to docs/benchmarks.md.

use integration::root;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

const ROUNDS: usize = 7;

fn build(dir: &str, flags: &str) -> PathBuf {
    let target = root().join("target").join(dir);
    let mut c = Command::new("cargo");
    c.args(["build", "--release", "--locked", "--quiet", "--package", "integration", "--bin", "turns"]).current_dir(root());
    let done = c.env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", flags).status().expect("cargo");
    assert!(done.success(), "building {dir}");
    target.join("release/turns")
}

/// Nanoseconds a frame, by element.
fn run(program: &PathBuf) -> BTreeMap<String, f64> {
    let o = Command::new(program).output().expect("turns");
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    let text = String::from_utf8_lossy(&o.stdout).into_owned();
    text.lines().filter_map(|l| l.split_once(' ')).filter_map(|(n, v)| Some((n.to_owned(), v.parse().ok()?))).collect()
}

fn main() {
    // `cargo test` runs benches' mains too; this one is for `cargo bench`.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let (with, without) = (build("bench-trace", ""), build("bench-no-trace", "--cfg no_trace"));
    let mut best: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let (a, b) = (run(&with), run(&without));
        for (name, t) in a {
            let e = best.entry(name.clone()).or_insert((f64::MAX, f64::MAX));
            *e = (e.0.min(t), e.1.min(b[&name]));
        }
    }
    let mut t = String::from("| the trace, off, against a build without it | time a frame, without IO | wanted |\n|---|---|---|\n");
    for (name, (a, b)) in &best {
        println!("{name}: {a:.1} ns with the trace off, {b:.1} ns without it: {:.3}", a / b);
        let _ = writeln!(t, "| {name} | {:.2} | 1.05 |", a / b);
    }
    let doc = root().join("docs/benchmarks.md");
    let old = std::fs::read_to_string(&doc).unwrap_or_default();
    let kept = old.split("\n<!-- trace -->").next().unwrap_or("").trim_end().to_owned();
    std::fs::write(&doc, format!("{kept}\n\n<!-- trace -->\n\n{t}")).expect("writing docs/benchmarks.md");
}
