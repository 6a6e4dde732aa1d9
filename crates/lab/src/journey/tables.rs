//! The tables of all devices, as the page shows them.

use crate::file::LabFile;
use crate::show;
use crate::state::Running;
use node::Request;
use serde_json::{Value, json};

/// Rows of a table that the page shows.
const ROWS: usize = 100;

/// A node's tables by their names; empty if it does not answer.
pub(crate) fn of_node(r: &Running, node: &str) -> Value {
    let Ok(views) = show::ask(r, node, &Request::Views) else { return json!({}) };
    let views: Vec<(String, String)> = views.first().and_then(|v| serde_json::from_value(v["views"].clone()).ok()).unwrap_or_default();
    let mut all = serde_json::Map::new();
    // A view with an argument is no table to look at.
    for (name, _) in views.into_iter().filter(|(n, _)| !n.contains(' ')) {
        if let Ok(t) = show::role_table(r, node, &name) {
            let rows: Vec<_> = t.rows.into_iter().take(ROWS).collect();
            all.insert(name, json!({ "columns": t.columns, "rows": rows }));
        }
    }
    all.into()
}

/// The tables of every role of a lab.
pub(crate) fn all(r: &Running, f: &LabFile) -> Value {
    f.nodes.iter().filter(|(_, n)| !n.is_host()).map(|(n, _)| (n.to_owned(), of_node(r, n))).collect::<serde_json::Map<_, _>>().into()
}
