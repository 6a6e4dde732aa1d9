//! The page: one file with everything in it, which shows a journey by itself or a
//! running lab live.

use serde_json::Value;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 5] =
    [include_str!("words.js"), include_str!("map.js"), include_str!("packet.js"), include_str!("panes.js"), include_str!("main.js")];

/// The page with its data in it.
pub fn page(data: &Value) -> String {
    // A `<` in the data could end the element that it stands in; as an escape it cannot.
    let data = data.to_string().replace('<', "\\u003c");
    // Each file says "use strict" for itself; joined, the first one counts.
    let script = SCRIPTS.join("\n");
    let [before, rest] = split(PAGE, "/*STYLE*/");
    let [middle, rest] = split(rest, "/*DATA*/");
    let [last, end] = split(rest, "/*SCRIPT*/");
    [before, STYLE, middle, &data, last, &script, end].concat()
}

fn split<'a>(text: &'a str, at: &str) -> [&'a str; 2] {
    let (a, b) = text.split_once(at).unwrap_or((text, ""));
    [a, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_its_data_cannot_break_out() {
        let p = page(&serde_json::json!({ "x": "</script><script>alert(1)</script>" }));
        assert!(p.contains("\\u003c/script>\\u003cscript>alert(1)"));
        assert_eq!(p.matches("</script>").count(), 2);
        assert!(!p.contains("/*STYLE*/") && !p.contains("/*DATA*/") && !p.contains("/*SCRIPT*/"));
        // No network asset: nothing is loaded from anywhere.
        assert!(!p.contains("src=\"http") && !p.contains("href=\"http") && !p.contains("@import"));
    }
}
