//! A real headless Chromium, driven over WebDriver by chromedriver and curl.

use crate::{Scratch, tool, wait_for};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A browser with one window. It goes when this is dropped.
pub struct Browser {
    driver: Child,
    base: String,
    session: String,
    _profile: Scratch,
}

fn request(method: &str, url: &str, body: &Value) -> Value {
    let text = body.to_string();
    let mut args = vec!["-sS", "-m", "60", "--noproxy", "*", "-X", method, url];
    if method == "POST" {
        args.extend(["-H", "content-type: application/json", "-d", &text]);
    }
    let v: Value = serde_json::from_str(&tool("curl", &args).good().out).expect("an answer");
    assert!(v["value"]["error"].is_null(), "{method} {url}: {v}");
    v["value"].clone()
}

impl Browser {
    /// Starts one, dark or light, with a window of some size.
    ///
    /// # Panics
    /// If chromedriver or Chromium is missing or does not start.
    pub fn start(size: (u32, u32), dark: bool) -> Browser {
        let profile = Scratch::new();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed for this test: run the tests by netns-scripts/test");
        let mut out = BufReader::new(driver.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(out.read_line(&mut line).expect("reading") > 0, "chromedriver ended");
            if let Some(rest) = line.split("started successfully on port ").nth(1) {
                break rest.trim().trim_end_matches('.').to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let base = format!("http://127.0.0.1:{port}");
        let mut args = vec![
            "--headless".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            format!("--window-size={},{}", size.0, size.1),
            format!("--user-data-dir={}", profile.path("profile")),
        ];
        if dark {
            args.push("--blink-settings=preferredColorScheme=0".into());
        }
        let want = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": args },
        } } });
        let v = request("POST", &format!("{base}/session"), &want);
        let session = v["sessionId"].as_str().expect("a session").to_owned();
        Browser { driver, base, session, _profile: profile }
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        request("POST", &format!("{}/session/{}/{what}", self.base, self.session), body)
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs a function's body in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a body of a function returns something true.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub fn until(&self, script: &str, limit: Duration) {
        wait_for(script, limit, || !matches!(self.run(script), Value::Null | Value::Bool(false)));
    }

    /// Clicks on the element that a CSS selector finds.
    pub fn click(&self, selector: &str) {
        let e = self.post("element", &json!({ "using": "css selector", "value": selector }));
        let id = e.as_object().and_then(|o| o.values().next()).and_then(Value::as_str).expect("an element").to_owned();
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Presses keys, as a person would (WebDriver's names for those without a letter).
    pub fn keys(&self, keys: &str) {
        let acts: Vec<Value> = keys
            .chars()
            .flat_map(|c| [json!({ "type": "keyDown", "value": c.to_string() }), json!({ "type": "keyUp", "value": c.to_string() })])
            .collect();
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": acts }] }));
    }

    /// What the page wrote to its console, errors and warnings.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let list = log.as_array().into_iter().flatten();
        list.filter(|e| matches!(e["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|e| e["message"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    /// Saves a picture of the window.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn picture(&self, file: &str) {
        let v = request("GET", &format!("{}/session/{}/screenshot", self.base, self.session), &Value::Null);
        let mut c = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(file).expect(file))
            .spawn()
            .expect("base64");
        use std::io::Write as _;
        c.stdin.take().expect("a pipe").write_all(v.as_str().expect("a picture").as_bytes()).expect("writing");
        assert!(c.wait().expect("waiting").success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let url = format!("{}/session/{}", self.base, self.session);
        let _ = Command::new("curl").args(["-sS", "-m", "10", "--noproxy", "*", "-X", "DELETE", &url]).stdout(Stdio::null()).status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
