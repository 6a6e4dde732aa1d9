//! A page: what else it needs, and how it looks as text.

use html2text::{Element, Handle};
use url::Url;

/// Resources at most that one page makes us fetch.
const RESOURCES: usize = 64;

/// URLs of images, style sheets, scripts and icons, each once, in order.
pub(crate) fn resources(html: &[u8], base: &Url) -> Vec<Url> {
    let Ok(dom) = html2text::config::plain().parse_html(html) else { return Vec::new() };
    let mut found = Vec::new();
    walk(&dom.document, &mut |tag, attr| {
        let wanted = match tag {
            "img" | "script" | "source" => attr("src"),
            "link" => attr("rel").filter(|r| r.contains("stylesheet") || r.contains("icon")).and_then(|_| attr("href")),
            _ => None,
        };
        if let Some(u) = wanted.and_then(|w| base.join(&w).ok()).filter(|u| u.scheme() == "http")
            && !found.contains(&u)
            && found.len() < RESOURCES
        {
            found.push(u);
        }
    });
    found
}

/// An element's attribute by its name.
type Attribute<'a> = &'a dyn Fn(&str) -> Option<String>;

fn walk(node: &Handle, see: &mut dyn FnMut(&str, Attribute<'_>)) {
    let mut todo = vec![node.clone()];
    // In document order, without recursion: a page may nest as it likes.
    while let Some(n) = todo.pop() {
        if let Element { name, attrs, .. } = &n.data {
            let attrs = attrs.borrow();
            let attr = |key: &str| attrs.iter().find(|a| &*a.name.local == key).map(|a| a.value.to_string());
            see(&name.local, &attr);
        }
        todo.extend(n.children.borrow().iter().rev().cloned());
    }
}

/// The page as text, `width` columns wide.
pub(crate) fn draw(html: &[u8], width: usize) -> String {
    let width = width.clamp(20, 400);
    let drawn = html2text::config::plain().link_footnotes(true).allow_width_overflow().string_from_read(html, width);
    drawn.unwrap_or_else(|e| format!("(the page cannot be drawn: {e})\n"))
}

/// The text without what would drive a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = b"<html><head><link rel=stylesheet href=/s.css><link rel=next href=/n></head><body><h1>Hello</h1><p>A <a href='/x'>link</a><img src='a/b.svg' alt='a map'><img src='a/b.svg'><script src='https://no.example/x.js'></script></body>";

    #[test]
    fn finds_each_resource_once() {
        let base = Url::parse("http://www.example.com/dir/").unwrap();
        let urls: Vec<_> = resources(PAGE, &base).iter().map(Url::path).map(str::to_owned).collect();
        assert_eq!(urls, ["/s.css", "/dir/a/b.svg"]);
    }

    #[test]
    fn draws_text_and_links() {
        let t = draw(PAGE, 60);
        assert!(t.contains("Hello") && t.contains("link") && t.contains("a map") && t.contains("/x"), "{t}");
        assert_eq!(harmless("a\u{1b}[31mb"), "a\u{fffd}[31mb");
    }
}
