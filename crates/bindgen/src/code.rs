//! Rust text with its indentation.

/// Lines that were written so far.
#[derive(Debug, Default)]
pub(crate) struct Code {
    text: String,
    depth: usize,
}

impl Code {
    /// A line; of several, each.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n("    ", self.depth));
                self.text.push_str(line);
            }
            self.text.push('\n');
        }
    }

    /// An empty line between items; none where one begins a block.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("{\n") && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A line that ends by a brace, which [`Code::close`] closes.
    pub(crate) fn open(&mut self, text: impl AsRef<str>) {
        self.line(format!("{} {{", text.as_ref()));
        self.depth += 1;
    }

    /// The brace that opens a block after a `where`.
    pub(crate) fn open_block(&mut self) {
        self.line("{");
        self.depth += 1;
    }

    pub(crate) fn close(&mut self) {
        self.close_with("");
    }

    /// Closes a block, with what follows the brace.
    pub(crate) fn close_with(&mut self, after: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(format!("}}{after}"));
    }

    /// A documentation comment.
    pub(crate) fn docs(&mut self, text: &str) {
        let mut is_code = false;
        for line in text.trim().lines() {
            let line = line.trim_end();
            let begins = line.trim_start();
            let line = match begins.strip_prefix("```") {
                // What is no Rust is not to be tested as such.
                Some("") if !is_code => "```text".to_owned(),
                None if !is_code && line.len() - begins.len() > 3 => format!("   {begins}"),
                _ => line.to_owned(),
            };
            if begins.starts_with("```") {
                is_code = !is_code;
            }
            self.line(format!("/// {line}").trim_end());
        }
        if is_code {
            self.line("/// ```");
        }
    }

    pub(crate) fn text(self) -> String {
        self.text
    }
}
