//! A module in the text format, line by line, each with its offset.

use std::ops::Range;

use crate::report::Problem;

/// Blanks that a line begins with at most: blocks that are nested hundreds deep would be out of sight.
const MOST_INDENT: usize = 28;

/// A module in the text format.
pub(super) struct Text {
    /// Where lines begin that have an offset, with it; ascending.
    lines: Vec<(usize, Range<usize>)>,
    text: String,
}

impl Text {
    /// Prints a module of the file of this name.
    pub(super) fn print(file: &str, module: &[u8]) -> Result<Text, Problem> {
        let mut printed = String::new();
        let found = wasmprinter::Config::new().offsets_and_lines(module, &mut printed).map_err(|error| {
            Problem::new(file, format!("{error:#}")).help("the file is damaged or no module")
        })?;
        let (mut text, mut lines) = (String::new(), Vec::new());
        for (offset, line) in found {
            let start = text.len();
            text.push_str(line);
            if let Some(offset) = offset {
                lines.push((usize::try_from(offset).unwrap_or(usize::MAX), start..text.len()));
            }
        }
        Ok(Text { lines, text })
    }

    /// The lines of what lies in a range of the module's bytes.
    pub(super) fn within(&self, range: &Range<usize>) -> Vec<(usize, String)> {
        let start = self.lines.partition_point(|(offset, _)| *offset < range.start);
        let lines = self.lines[start..].iter().take_while(|(offset, _)| *offset < range.end);
        lines.map(|(offset, place)| (*offset, in_sight(&self.text[place.clone()]))).collect()
    }
}

/// A line without blanks at its end, nor more at its start than are worth their room.
fn in_sight(line: &str) -> String {
    let text = line.trim_start_matches(' ');
    let indent = line.len() - text.len();
    " ".repeat(indent.min(MOST_INDENT)) + text.trim_end()
}
