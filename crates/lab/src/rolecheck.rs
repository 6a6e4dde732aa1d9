//! Asks each role, before anything is made, what it thinks of its settings.

use crate::file::Lab;
use crate::plan::{Plan, node_config};
use anyhow::{Context, Result, bail};
use node::LabError;
use serde::Deserialize;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[derive(Deserialize)]
struct Complaint {
    line: usize,
    column: usize,
    message: String,
}

/// Runs every role with `--check`, side by side.
///
/// # Errors
/// The first complaint, with its place in the lab file.
pub(crate) fn check(lab: &Lab, plan: &Plan, bin: &Path) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("lab-check-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let result = ask_all(lab, plan, bin, &dir);
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn ask_all(lab: &Lab, plan: &Plan, bin: &Path, dir: &Path) -> Result<()> {
    let mut asked: Vec<(String, Child)> = Vec::new();
    let files = lab.path.parent().unwrap_or(Path::new(".")).to_path_buf();
    for n in plan.nodes.iter().filter(|n| lab.file.nodes.get(&n.name).is_some()) {
        let Some(role) = &n.role else { continue };
        let config = node_config(&lab.file, plan, n, lab.path.clone(), dir, files.clone());
        let path = dir.join(format!("{}.json", n.name));
        std::fs::write(&path, serde_json::to_vec(&config)?)?;
        let program = bin.join(role);
        let child = Command::new(&program)
            .arg("--config")
            .arg(&path)
            .arg("--check")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("role `{role}` of node `{}`: {} cannot be run; build it with: cargo build --release", n.name, program.display())
            })?;
        asked.push((n.name.clone(), child));
    }
    for (node, child) in asked {
        let out = child.wait_with_output()?;
        if out.status.success() {
            continue;
        }
        let Ok(c) = serde_json::from_slice::<Complaint>(&out.stdout) else {
            bail!("node `{node}`: its role failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        };
        bail!("{}: node `{node}`: {}", lab.path.display(), place(lab, &node, c));
    }
    Ok(())
}

/// A complaint without a place is about the node's settings as a whole.
fn place(lab: &Lab, node: &str, c: Complaint) -> LabError {
    if c.line > 0 {
        let source = lab.text.lines().nth(c.line - 1).unwrap_or("").to_owned();
        return LabError { line: c.line, column: c.column, message: c.message, source };
    }
    let key = lab.file.nodes.0.iter().find(|(k, _)| k.get_ref() == node);
    let header = format!("[nodes.{node}.settings]");
    let span = match (lab.text.find(&header), key) {
        (Some(at), _) => at..at + header.len(),
        (None, Some((k, _))) => k.span(),
        (None, None) => 0..0,
    };
    LabError::at(&lab.text, span, c.message)
}
