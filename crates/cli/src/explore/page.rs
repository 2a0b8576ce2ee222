//! The page: one file without anything from elsewhere.
//!
//! Functions are data, one script element each, which is unpacked when the function is shown: a page of many functions opens as fast as one of few.
//!
//! Must stay true: text that a module has chosen gets into the page compressed, or as JSON in which no `<` is left, and out of that as text, never as markup. The page
//! forbids itself to load anything.

use serde_json::{Value, json};

use super::{Function, packed};
use crate::report::visible;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page says of the module as a whole.
pub(super) struct Head<'a> {
    pub(super) module: &'a str,
    /// How many functions it defines.
    pub(super) total: usize,
    /// All time of the profile; 0 where there is none.
    pub(super) ticks: u64,
}

/// A page that functions are added to.
pub(super) struct Page<'a> {
    head: Head<'a>,
    list: Vec<Value>,
    data: String,
}

impl Page<'_> {
    pub(super) fn new(head: Head<'_>) -> Page<'_> {
        Page { head, list: Vec::new(), data: String::new() }
    }

    pub(super) fn push(&mut self, function: &Function) {
        let id = format!("f{}", self.list.len());
        push_data(&mut self.data, &id, "text/plain", &packed::function(function));
        self.list.push(listed(function));
    }

    pub(super) fn finish(self) -> String {
        let module = visible(self.head.module);
        let title = escape(&module);
        let Head { total, ticks, .. } = self.head;
        let about = json!({ "module": module, "total": total, "ticks": ticks, "functions": self.list });
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n\
             <body><noscript>This page shows {title} with a script of its own.</noscript>\n"
        );
        // Within a string of JSON, `<` can be written otherwise; elsewhere there is none.
        push_data(&mut html, "about", "application/json", &about.to_string().replace('<', "\\u003c"));
        html.push_str(&self.data);
        html.push_str("<script>\n");
        html.push_str(SCRIPT);
        html.push_str("</script></body></html>\n");
        html
    }
}

/// A function in the list.
fn listed(function: &Function) -> Value {
    let Function { name, index, wasm_bytes, ticks, wasm: _, compiled } = function;
    let machine_bytes = compiled.as_ref().map(|compiled| compiled.machine_bytes).ok();
    json!([visible(name), index, wasm_bytes, ticks, machine_bytes])
}

/// Adds data that a script reads, and that has no `<` in it.
fn push_data(html: &mut String, id: &str, kind: &str, data: &str) {
    *html += &format!("<script type=\"{kind}\" id=\"{id}\">{data}</script>\n");
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a module calls itself and its functions, the page has the elements that it has for a tame one.
    #[test]
    fn names_are_text() {
        let page_of = |name: &str| {
            let mut page = Page::new(Head { module: name, total: 1, ticks: 0 });
            page.push(&Function {
                name: name.to_owned(),
                index: 0,
                wasm_bytes: 1,
                ticks: 0,
                wasm: vec![(1, format!("call ${name}"))],
                compiled: Err(name.to_owned()),
            });
            page.finish()
        };
        let tags = |page: &str| page.matches('<').count();
        let tame = page_of("tame");
        for name in [
            "<script>alert(1)</script>",
            "</script><img src=x onerror=alert(1)>",
            "<!--",
            "\"'&]]>",
            "</title>",
            "\u{202e}\u{2028}",
        ] {
            let hostile = page_of(name);
            assert_eq!(tags(&hostile), tags(&tame), "{name}");
            assert!(!hostile.contains('\u{202e}'), "{name}");
        }
        assert!(!tame.contains("://"), "nothing is from elsewhere");
    }
}
