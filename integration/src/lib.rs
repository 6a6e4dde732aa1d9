//! What the tests of whole labs share: a lab that goes when its test goes, and
//! commands in it.

#![forbid(unsafe_code)]

pub mod browser;

pub use wire::craft;

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where the programs under test are.
///
/// # Panics
/// If they have not been built: a missing tool is a failure, not a skip.
pub fn bin(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let p = target.join("release").join(name);
    assert!(p.exists(), "{} is not built: run the tests by netns-scripts/test", p.display());
    p
}

/// Bytes as hexadecimal digits.
pub fn to_hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hexadecimal digits as bytes.
pub fn from_hex(s: &str) -> Option<Vec<u8>> {
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(s.get(i..i + 2)?, 16).ok()).collect()
}

/// What a command gave.
#[derive(Debug)]
pub struct Ran {
    /// Exit status.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
}

impl Ran {
    fn of(o: Output) -> Ran {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ran { code: o.status.code().unwrap_or(-1), out: text(&o.stdout), err: text(&o.stderr), bytes: o.stdout }
    }

    /// The run, if it ended well.
    ///
    /// # Panics
    /// If it did not.
    pub fn good(self) -> Ran {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// A lab of a test's own. It goes when this is dropped, and when the test is
/// killed: its `lab up --foreground` ends with the pipe that we hold.
pub struct Lab {
    /// Its name.
    pub name: String,
    child: Child,
    _tie: Option<ChildStdin>,
    /// What `up` printed.
    pub said: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A lab name that no other test has.
pub fn fresh_name() -> String {
    format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A `lab` command, not yet run.
pub fn lab_command() -> Command {
    let mut c = Command::new(bin("lab"));
    c.arg("--files").arg(root().join("netns-scripts/labs"));
    c
}

impl Lab {
    /// Brings up a lab by name or path.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn up(which: &str) -> Lab {
        let name = fresh_name();
        let mut child = lab_command()
            .args(["up", which, "--name", &name, "--foreground"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lab runs");
        let tie = child.stdin.take();
        let mut said = String::new();
        let up = format!("{name} is up");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        while out.read_line(&mut said).expect("reading") > 0 && !said.contains(&up) {}
        if !said.contains(&up) {
            let o = child.wait_with_output().expect("waiting");
            panic!("lab up {which}: {said}{}", String::from_utf8_lossy(&o.stderr));
        }
        // The rest of its words are nobody's; the pipe must not fill.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Lab { name, child, _tie: tie, said }
    }

    /// Brings up a lab file made from another by replacing texts.
    ///
    /// # Panics
    /// If a text to be replaced is not there.
    pub fn up_changed(which: &str, changes: &[(&str, &str)]) -> Lab {
        let path = changed(which, changes);
        let lab = Lab::up(path.to_str().expect("a path in UTF-8"));
        let _ = std::fs::remove_file(path);
        lab
    }

    /// A `lab` command about this lab.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut c = lab_command();
        c.args(["-l", &self.name]).args(args);
        c
    }

    /// Runs a `lab` command about this lab.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).stdin(Stdio::null()).output().expect("lab runs"))
    }

    /// Runs one with standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut c = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lab runs");
        c.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("writing");
        Ran::of(c.wait_with_output().expect("waiting"))
    }

    /// curl on pc.
    pub fn curl(&self, args: &[&str]) -> Ran {
        self.run(&[&["curl", "-sS", "-m", "60"], args].concat())
    }

    /// A view as JSON rows.
    pub fn show(&self, node: &str, what: &str) -> Vec<Value> {
        let r = self.run(&["show", node, what, "--json"]).good();
        serde_json::from_str(&r.out).expect("rows")
    }

    /// A counter, 0 if it has not moved yet.
    pub fn counter(&self, node: &str, name: &str) -> u64 {
        let rows = self.show(node, "counters");
        rows.iter().find(|r| r["name"] == name).and_then(|r| r["value"].as_u64()).unwrap_or(0)
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"]).good().out).expect("status")
    }

    /// The pid of a node's role, as seen from outside.
    pub fn pid(&self, node: &str) -> i32 {
        let s = self.status();
        let role = s["roles"].as_array().expect("roles").iter().find(|r| r["node"] == node).expect("the node");
        i32::try_from(role["pid"].as_i64().expect("a pid")).expect("a pid")
    }

    /// Kills a node's role with SIGKILL.
    pub fn kill(&self, node: &str) {
        kill(self.pid(node));
        wait_for("the role to be dead", Duration::from_secs(5), || {
            let s = self.status();
            s["roles"].as_array().into_iter().flatten().any(|r| r["node"] == node && r["state"] == "dead")
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
        self._tie = None;
        let _ = self.child.wait();
    }
}

/// A lab file like `which` with texts replaced, beside the original.
///
/// # Panics
/// If a text to be replaced is not there.
pub fn changed(which: &str, changes: &[(&str, &str)]) -> PathBuf {
    let dir = root().join("netns-scripts/labs");
    let mut text = std::fs::read_to_string(dir.join(format!("{which}.toml"))).expect("the lab file");
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in {which}");
        text = text.replacen(from, to, 1);
    }
    let path = dir.join(format!(".{}.toml", fresh_name()));
    std::fs::write(&path, text).expect("writing");
    path
}

/// SIGKILL.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within `limit`.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Runs a tool of the machine.
///
/// # Panics
/// If it is not installed.
pub fn tool(name: &str, args: &[&str]) -> Ran {
    let o = Command::new(name).args(args).stdin(Stdio::null()).output();
    Ran::of(o.unwrap_or_else(|e| panic!("{name} is needed for this test ({e}): run the tests by netns-scripts/test")))
}

/// Where a test may write; removed with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A fresh folder.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Scratch {
        let p = std::env::temp_dir().join(format!("packet-journey-{}", fresh_name()));
        std::fs::create_dir_all(&p).expect("a folder");
        Scratch(p)
    }

    /// A path in it, as text.
    ///
    /// # Panics
    /// If the path is not UTF-8.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running capture; it ends with an interrupt, as a person's Ctrl-C would end it.
pub struct Capture(Child);

impl Capture {
    /// Captures at `ports`, or at all, until `end`.
    ///
    /// # Panics
    /// If it does not begin.
    pub fn start(lab: &Lab, file: &str, ports: &[&str]) -> Capture {
        let args = [&["capture", "-w", file], ports].concat();
        let mut c = lab.command(&args).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("capture");
        let mut line = String::new();
        let mut err = BufReader::new(c.stderr.take().expect("a pipe"));
        err.read_line(&mut line).expect("reading");
        assert!(line.contains("capturing at"), "{line}");
        std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        Capture(c)
    }

    /// Ends it, and waits until all is written.
    ///
    /// # Panics
    /// If it does not end well.
    pub fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupting");
        assert!(self.0.wait().expect("waiting").success());
    }
}

/// tshark's option (`-X`) that loads the decoder of cells.
pub fn decoder() -> String {
    format!("lua_script:{}", root().join("netns-scripts/wireshark/atm-n1.lua").display())
}

/// Fields of the frames that fit a filter, with the decoder of cells.
///
/// # Panics
/// If tshark fails.
pub fn fields(file: &str, filter: &str, names: &[&str]) -> Vec<Vec<String>> {
    let decoder = decoder();
    let mut args = vec!["-X", &decoder, "-r", file, "-Y", filter, "-T", "fields", "-E", "occurrence=f", "-E", "separator=|"];
    for n in names {
        args.extend(["-e", n]);
    }
    let out = tool("tshark", &args).good().out;
    out.lines().map(|l| l.split('|').map(str::to_owned).collect()).collect()
}

/// A file's SHA-256, in hexadecimal digits.
///
/// # Panics
/// If it cannot be read.
pub fn sha256(path: &str) -> String {
    tool("sha256sum", &[path]).good().out.split_whitespace().next().expect("a sum").to_owned()
}
