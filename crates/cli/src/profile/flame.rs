//! A flame graph: one SVG file, which a browser shows and searches without anything from elsewhere.
//!
//! The outermost function is on top, each function's callees below it, and what took longest is leftmost: the picture begins where it is read from.
//!
//! Must stay true: names that a guest has chosen are text and never markup; without its script the picture says the same.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;

use innkeeper::FrameTier;

const STYLE: &str = include_str!("flame.css");
const SCRIPT: &str = include_str!("flame.js");

/// A box that takes less of the whole is left out: nobody could see it.
const LEAST_SHARE: f64 = 0.0005;
const ROW_HEIGHT: usize = 20;
/// Where boxes begin, below what is said of them.
const TOP: usize = 118;

/// A function as it was called by those it is in, with all that it called.
#[derive(Debug, Default)]
struct Call {
    ticks: u64,
    called: HashMap<(String, FrameTier), Call>,
}

/// What the picture says beside the boxes.
pub(super) struct Captions {
    pub(super) title: String,
    pub(super) subtitle: String,
}

/// Calls, added up from stacks.
#[derive(Debug, Default)]
pub(super) struct Graph {
    all: Call,
    /// The time in which what is innermost was executed so.
    own: HashMap<FrameTier, u64>,
}

impl Graph {
    /// Adds a stack, from the outermost function in, with the time that it was seen for.
    pub(super) fn add(&mut self, stack: Vec<(String, FrameTier)>, ticks: u64) {
        if let Some((_, tier)) = stack.last() {
            *self.own.entry(*tier).or_default() += ticks;
        }
        let mut call = &mut self.all;
        call.ticks += ticks;
        for frame in stack {
            call = call.called.entry(frame).or_default();
            call.ticks += ticks;
        }
    }

    pub(super) fn svg(&self, captions: &Captions) -> String {
        let mut boxes = Boxes { all: self.all.ticks.max(1), deepest: 0, svg: String::new() };
        boxes.add(("all", None), &self.all, (0, 0));
        let height = TOP + (boxes.deepest + 1) * ROW_HEIGHT + ROW_HEIGHT;
        let (title, subtitle) = (escape(&captions.title), escape(&captions.subtitle));
        let legend = self.legend();
        let boxes = boxes.svg;
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100%\" height=\"{height}\">\n\
             <title>{title}: where its time goes</title>\n<style>{STYLE}</style>\n\
             <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
             <svg x=\"1%\" width=\"98%\" height=\"{height}\">\n\
             <text class=\"title\" y=\"30\">{title}</text>\n<text y=\"52\">{subtitle}</text>\n{legend}\
             <text id=\"details\" y=\"102\">Click a box to enlarge it, the box on top to see all again; / searches</text>\n\
             <svg x=\"100%\" overflow=\"visible\"><foreignObject x=\"-232\" y=\"12\" width=\"232\" height=\"34\">\
             <input xmlns=\"http://www.w3.org/1999/xhtml\" id=\"search\" type=\"search\" placeholder=\"Search  ( / )\"/></foreignObject></svg>\n\
             <svg y=\"{TOP}\" width=\"100%\" overflow=\"visible\">\n{boxes}</svg>\n\
             </svg>\n<script><![CDATA[\n{SCRIPT}]]></script>\n</svg>\n"
        )
    }

    /// What the colours mean, with the time of each.
    fn legend(&self) -> String {
        let mut legend = String::from("<g class=\"legend\">\n");
        let shares = TIERS.map(|tier| self.own.get(&tier).copied().unwrap_or(0));
        let mut x = 0;
        for (tier, ticks) in TIERS.into_iter().zip(shares) {
            let percent = ticks as f64 * 100.0 / self.all.ticks.max(1) as f64;
            let (class, word) = (class(Some(tier)), word(tier));
            let _ = writeln!(
                legend,
                "<rect class=\"{class}\" x=\"{x}\" y=\"66\" width=\"13\" height=\"13\"/>\
                 <text x=\"{}\" y=\"77\">{word}: {ticks} ms, {percent:.0} %</text>",
                x + 20
            );
            x += 230;
        }
        legend + "</g>\n"
    }
}

/// All that can execute a frame, in the order of the legend.
const TIERS: [FrameTier; 3] = [FrameTier::Compiled, FrameTier::Interpreted, FrameTier::Host];

fn word(tier: FrameTier) -> &'static str {
    match tier {
        FrameTier::Compiled => "compiled",
        FrameTier::Host => "host",
        _ => "interpreted",
    }
}

fn class(tier: Option<FrameTier>) -> &'static str {
    match tier {
        Some(FrameTier::Compiled) => "c",
        Some(FrameTier::Host) => "h",
        Some(_) => "i",
        None => "a",
    }
}

/// Boxes as they are written.
struct Boxes {
    all: u64,
    /// The lowest row that has boxes.
    deepest: usize,
    svg: String,
}

impl Boxes {
    /// Adds a box and those below it. Stacks are never deeper than a profile keeps them.
    fn add(&mut self, (name, tier): (&str, Option<FrameTier>), call: &Call, (start, row): (u64, usize)) {
        let share = call.ticks as f64 / self.all as f64;
        if share < LEAST_SHARE {
            return;
        }
        self.deepest = self.deepest.max(row);
        let (x, width) = (start as f64 * 100.0 / self.all as f64, share * 100.0);
        let (class, shade, name) = (class(tier), shade(name), escape(name));
        let by = tier.map_or(String::new(), |tier| format!(", {}", word(tier)));
        let _ = writeln!(
            self.svg,
            "<svg class=\"f {class} s{shade}\" x=\"{x:.4}%\" y=\"{}\" width=\"{width:.4}%\" height=\"{ROW_HEIGHT}\">\
             <title>{name}{by}: {} ms, {width:.1} %</title>\
             <rect width=\"100%\" height=\"100%\"/><text x=\"4\" y=\"14\">{name}</text></svg>",
            row * ROW_HEIGHT,
            call.ticks
        );
        let mut called: Vec<(&(String, FrameTier), &Call)> = call.called.iter().collect();
        let order = |((name, tier), call): &(&(String, FrameTier), &Call)| {
            (Reverse(call.ticks), name.clone(), word(*tier))
        };
        called.sort_by_cached_key(order);
        let mut start = start;
        for ((name, tier), below) in called {
            self.add((name, Some(*tier)), below, (start, row + 1));
            start += below.ticks;
        }
    }
}

/// Which of three shades a function has: neighbours are told apart, and one function looks the same everywhere.
fn shade(name: &str) -> u32 {
    name.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 3
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write them.
            '\u{fffe}' | '\u{ffff}' | '\0'..='\u{1f}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(names: &[&str]) -> String {
        let mut graph = Graph::default();
        let stack = names.iter().map(|name| ((*name).to_owned(), FrameTier::Compiled));
        graph.add(stack.collect(), 3);
        graph.add(vec![("a".to_owned(), FrameTier::Interpreted)], 1);
        graph.svg(&Captions { title: names.concat(), subtitle: String::new() })
    }

    #[test]
    fn boxes_are_as_wide_as_their_time_with_the_longest_first() {
        let svg = graph(&["a", "b"]);
        let boxes: Vec<&str> = svg.lines().filter(|line| line.starts_with("<svg class=\"f ")).collect();
        let starts = |text: &str, start: &str| assert!(text.starts_with(start), "{text}");
        assert_eq!(boxes.len(), 4, "{svg}");
        starts(boxes[0], "<svg class=\"f a s");
        assert!(
            boxes[1].contains("x=\"0.0000%\" y=\"20\" width=\"75.0000%\"")
                && boxes[1].contains("a, compiled: 3 ms, 75.0 %")
        );
        assert!(boxes[2].contains("y=\"40\"") && boxes[2].contains("<title>b, compiled"), "{}", boxes[2]);
        starts(boxes[3], "<svg class=\"f i s");
        assert!(boxes[3].contains("x=\"75.0000%\" y=\"20\" width=\"25.0000%\""), "{}", boxes[3]);
        for part in ["compiled: 3 ms, 75 %", "interpreted: 1 ms, 25 %"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    /// Whatever functions are called, the picture has the elements that it has for tame ones.
    #[test]
    fn names_are_text() {
        let tags = |svg: &str| svg.matches('<').count();
        let tame = graph(&["tame", "b"]);
        for name in ["<script>alert(1)</script>", "</text>", "]]>", "\"'&", "\u{fffe}\0"] {
            let hostile = graph(&[name, "b"]);
            assert_eq!(tags(&hostile), tags(&tame), "{name}");
            assert!(!hostile.contains(['\0', '\u{fffe}']));
        }
    }
}
