//! The page: one file without anything from elsewhere.
//!
//! Functions are data, one script element of JSON each, which is read when the function is shown: a page of many functions opens as fast as one of few.
//!
//! Must stay true: text that a module has chosen gets into the page as JSON in which no `<` is left, and out of that as text, never as markup. The page forbids itself to load
//! anything.

use serde_json::{Value, json};

use super::Function;
use crate::report::visible;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page for a module's functions, of which there are `total`.
pub(super) fn page(module: &str, functions: &[Function], total: usize) -> String {
    let module = visible(module);
    let title = escape(&module);
    let all_ticks: u64 = functions.iter().map(|function| function.ticks).sum();
    let list: Vec<Value> = functions.iter().map(listed).collect();
    let about = json!({ "module": module, "total": total, "ticks": all_ticks, "functions": list });
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n\
         <body><noscript>This page shows {title} with a script of its own.</noscript>\n"
    );
    push_data(&mut html, "about", &about);
    for (position, function) in functions.iter().enumerate() {
        push_data(&mut html, &format!("f{position}"), &shown(function));
    }
    html.push_str("<script>\n");
    html.push_str(SCRIPT);
    html.push_str("</script></body></html>\n");
    html
}

/// A function in the list.
fn listed(function: &Function) -> Value {
    let Function { name, index, wasm_bytes, ticks, wasm: _, compiled } = function;
    let machine_bytes = compiled.as_ref().map(|compiled| compiled.machine_bytes).ok();
    json!([visible(name), index, wasm_bytes, ticks, machine_bytes])
}

/// A function as it is shown: lines of columns, each line with the offset in the module that it belongs to, and for machine code the address.
fn shown(function: &Function) -> Value {
    let wasm: Vec<Value> =
        function.wasm.iter().map(|(offset, line)| json!([offset, visible(line)])).collect();
    match &function.compiled {
        Err(reason) => json!({ "wasm": wasm, "reason": visible(reason) }),
        Ok(compiled) => {
            let intermediate: Vec<Value> =
                compiled.intermediate.iter().map(|(offset, line)| json!([offset, visible(line)])).collect();
            let machine: Vec<Value> =
                compiled.machine.iter().map(|it| json!([it.offset, visible(&it.text), it.address])).collect();
            json!({ "wasm": wasm, "intermediate": intermediate, "machine": machine })
        }
    }
}

/// Adds data that a script reads. Within a string of JSON, `<` can be written otherwise; elsewhere there is none.
fn push_data(html: &mut String, id: &str, data: &Value) {
    let data = data.to_string().replace('<', "\\u003c");
    *html += &format!("<script type=\"application/json\" id=\"{id}\">{data}</script>\n");
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
            let function = Function {
                name: name.to_owned(),
                index: 0,
                wasm_bytes: 1,
                ticks: 0,
                wasm: vec![(1, format!("call ${name}"))],
                compiled: Err(name.to_owned()),
            };
            page(name, &[function], 1)
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
