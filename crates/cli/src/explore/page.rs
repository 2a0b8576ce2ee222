//! The page: one file without anything from elsewhere.

use std::fmt::Write as _;

use super::Function;

const STYLE: &str = "
body { font: 14px/1.4 system-ui, sans-serif; margin: 1em; color: #222; background: #fff }
summary { cursor: pointer; padding: .2em 0 } summary b { font-family: ui-monospace, monospace }
.columns { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: .5em }
.columns > div { min-width: 0 } h2 { font-size: 1em; margin: .3em 0 }
pre { font: 12px/1.35 ui-monospace, monospace; overflow: auto; max-height: 70vh; border: 1px solid #ddd; margin: 0; padding: .3em }
pre i { display: block; font-style: normal; white-space: pre } i.on { background: #fe9 }
.none { color: #a00 }";

/// Lines that came from the same instruction light up together.
const SCRIPT: &str = "
document.addEventListener('mouseover', event => {
  for (const line of document.querySelectorAll('i.on')) line.classList.remove('on');
  const line = event.target.closest('i[data-o]');
  if (!line) return;
  const all = line.closest('.columns').querySelectorAll('i[data-o=\"' + line.dataset.o + '\"]');
  for (const same of all) same.classList.add('on');
});";

/// The page for a module's functions, of which there are `total`.
pub(super) fn page(module: &str, functions: &[Function], total: usize) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title><style>{STYLE}</style>\n<h1>{0}</h1>\n",
        escape(module)
    );
    let all_ticks: u64 = functions.iter().map(|function| function.ticks).sum();
    let order = if all_ticks > 0 { "the hottest first" } else { "the largest first" };
    let _ = writeln!(html, "<p>{} of {total} functions, {order}.</p>", functions.len());
    for (position, function) in functions.iter().enumerate() {
        write_function(&mut html, function, all_ticks, position == 0);
    }
    let _ = writeln!(html, "<script>{SCRIPT}</script></html>");
    html
}

fn write_function(html: &mut String, function: &Function, all_ticks: u64, is_open: bool) {
    let open = if is_open { " open" } else { "" };
    let _ = write!(html, "<details{open}><summary><b>{}</b>", escape(&function.name));
    if all_ticks > 0 {
        let _ = write!(html, " {:.1} % of the time,", function.ticks as f64 * 100.0 / all_ticks as f64);
    }
    let _ = write!(html, " {} bytes of wasm", function.wasm_bytes);
    if let Ok(compiled) = &function.compiled {
        let _ = write!(html, ", {} of machine code", compiled.machine_bytes);
    }
    html.push_str("</summary><div class=\"columns\">\n<div><h2>WebAssembly</h2><pre>");
    for (offset, line) in &function.wasm {
        let _ = write!(html, "<i data-o=\"{offset:x}\">{offset:6x} {}</i>", escape(line));
    }
    html.push_str("</pre></div>\n");
    match &function.compiled {
        Ok(compiled) => {
            html.push_str("<div><h2>Intermediate representation</h2><pre>");
            for line in compiled.intermediate.lines() {
                match offset_of(line) {
                    Some(offset) => {
                        let _ = write!(html, "<i data-o=\"{offset:x}\">{}</i>", escape(line));
                    }
                    None => {
                        let _ = write!(html, "<i>{}</i>", escape(line));
                    }
                }
            }
            html.push_str("</pre></div>\n<div><h2>Machine code</h2><pre>");
            for line in compiled.machine.lines() {
                let _ = write!(html, "<i>{}</i>", escape(line));
            }
            html.push_str("</pre></div>");
        }
        Err(reason) => {
            let _ = write!(html, "<div class=\"none\">It stays interpreted: {}</div>", escape(reason));
        }
    }
    html.push_str("\n</div></details>\n");
}

/// The offset in the module that a line of the intermediate representation begins with, as `@` and hexadecimal digits.
fn offset_of(line: &str) -> Option<usize> {
    let digits = line.trim_start().strip_prefix('@')?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    usize::from_str_radix(&digits[..end], 16).ok()
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
    use super::{escape, offset_of};

    #[test]
    fn lines_of_the_intermediate_representation_say_where_they_come_from() {
        assert_eq!(offset_of("    @004a    v3 = iadd v1, v2"), Some(0x4a));
        assert_eq!(offset_of("block1(v2: i32):"), None);
    }

    #[test]
    fn names_are_text() {
        assert_eq!(escape("<script>\"a&b\""), "&lt;script&gt;&quot;a&amp;b&quot;");
    }
}
