//! What the trace costs while it is off: elements built with it against the same
//! elements built without (`--cfg no_trace`), in turns in one run.
//! `netns-scripts/bench` runs it; the table goes to docs/benchmarks.md.

use integration::root;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

const ROUNDS: usize = 22;

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
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        // In turns, and each first as often as the other: the machine's speed is not ours alone.
        let (a, b) = if round % 2 == 0 {
            let a = run(&with);
            (a, run(&without))
        } else {
            let b = run(&without);
            (run(&with), b)
        };
        for (name, t) in a {
            let r = t / b[&name];
            ratios.entry(name).or_default().push(r);
        }
    }
    let mut t = String::from("| the trace, off, against a build without it | time a frame, without IO | wanted |\n|---|---|---|\n");
    for (name, mut r) in ratios {
        r.sort_by(f64::total_cmp);
        println!("{name}: {:.3} ({:.3} to {:.3})", r[r.len() / 2], r[0], r[r.len() - 1]);
        let _ = writeln!(t, "| {name} | {:.2} | 1.05 |", r[r.len() / 2]);
    }
    let doc = root().join("docs/benchmarks.md");
    let old = std::fs::read_to_string(&doc).unwrap_or_default();
    let kept = old.split("\n<!-- trace -->").next().unwrap_or("").trim_end().to_owned();
    std::fs::write(&doc, format!("{kept}\n\n<!-- trace -->\n\n{t}")).expect("writing docs/benchmarks.md");
}
