//! The `client` command: asks the resident browser of its node.

use crate::ask::{Line, Question, from_hex};
use node::Request;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

/// The command's arguments.
#[derive(clap::Args, Debug)]
pub struct Visit {
    /// The page, e.g. http://www.example.com/
    pub url: Option<String>,
    /// Tell each step
    #[arg(short, long)]
    pub verbose: bool,
    /// Save the body to a file (- is standard output) instead of drawing it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Post the bytes of a file
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Columns of the drawing
    #[arg(long)]
    pub width: Option<usize>,
}

/// The resident's socket: the lab tells it to whatever runs on a node.
pub const CONTROL: &str = "LAB_CONTROL";

fn width() -> usize {
    let out = std::io::stdout();
    let terminal = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
    terminal.map(|w| usize::from(w.ws_col)).filter(|w| *w > 0).unwrap_or(80)
}

fn complain(code: u8, line: &str) -> ExitCode {
    eprintln!("client: {line}");
    ExitCode::from(code)
}

/// Runs the command. Exit codes are curl's: 3 bad URL, 6 no such host, 7 no
/// connection, 22 an HTTP error, 28 time-out, 2 the command's own failures.
pub fn run(v: &Visit) -> ExitCode {
    let Some(url) = v.url.clone() else {
        return complain(2, "which page? e.g. client http://www.example.com/");
    };
    let data = match v.data.as_ref().map(std::fs::read) {
        Some(Ok(d)) => Some(node::hex(&d)),
        Some(Err(e)) => return complain(26, &format!("{}: {e}", v.data.as_deref().unwrap_or("".as_ref()).display())),
        None => None,
    };
    let Some(path) = std::env::var_os(CONTROL) else {
        return complain(2, "no resident browser here; run me with `lab exec client client URL`");
    };
    let question = Question { url, width: v.width.unwrap_or_else(width), raw: v.output.is_some(), data };
    let asked = serde_json::to_value(question).and_then(|q| serde_json::to_string(&Request::Ask(q)));
    let stream = UnixStream::connect(&path).and_then(|mut s| {
        writeln!(s, "{}", asked.map_err(std::io::Error::other)?)?;
        Ok(s)
    });
    match stream {
        Ok(s) => listen(v, s),
        Err(e) => complain(2, &format!("the resident browser does not answer: {e}")),
    }
}

fn listen(v: &Visit, s: UnixStream) -> ExitCode {
    let mut sink: Option<Box<dyn Write>> = match &v.output {
        Some(p) if p.as_os_str() == "-" => Some(Box::new(std::io::stdout().lock())),
        Some(p) => match std::fs::File::create(p) {
            Ok(f) => Some(Box::new(f)),
            Err(e) => return complain(23, &format!("{}: {e}", p.display())),
        },
        None => None,
    };
    let mut exit = ExitCode::SUCCESS;
    for line in BufReader::new(s).lines() {
        let line = match line {
            Ok(l) => l,
            Err(e) => return complain(2, &format!("the resident browser broke off: {e}")),
        };
        if line == r#"{"end":true}"# {
            return exit;
        }
        match serde_json::from_str::<Line>(&line) {
            Ok(Line::Step(t)) if v.verbose => eprintln!("* {t}"),
            Ok(Line::Step(_) | Line::Act(_)) => {}
            Ok(Line::Head { status, url }) if status >= 400 => {
                eprintln!("client: {url}: the server says {status}");
                exit = ExitCode::from(22);
            }
            Ok(Line::Head { .. }) => {}
            Ok(Line::Body(hex)) => {
                let written = match (&mut sink, from_hex(&hex)) {
                    (Some(w), Some(b)) => w.write_all(&b),
                    _ => Ok(()),
                };
                if let Err(e) = written {
                    return complain(23, &format!("writing: {e}"));
                }
            }
            Ok(Line::Drawn(t)) => {
                let mut out = std::io::stdout().lock();
                if out.write_all(t.as_bytes()).and_then(|()| out.flush()).is_err() {
                    return ExitCode::from(23);
                }
            }
            Ok(Line::Error { line, code }) => exit = complain(code, &line),
            Err(_) => return complain(2, &format!("the resident browser says: {line}")),
        }
    }
    complain(2, "the resident browser broke off")
}
