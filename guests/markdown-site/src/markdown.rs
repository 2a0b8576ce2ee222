//! One Markdown document: its HTML, and what the index and the search want to know of it.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// A document that was read.
pub(crate) struct Page {
    /// The body, without a frame.
    pub(crate) html: String,
    /// The text of every heading, in order.
    pub(crate) headings: Vec<String>,
    /// The text of the document without markup; one line per block.
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn parse(source: &str) -> Self {
        let mut page = Self {
            html: String::new(),
            headings: Vec::new(),
            text: String::new(),
        };
        let mut heading: Option<String> = None;
        let mut events = Vec::new();
        for event in Parser::new_ext(source, extensions()) {
            match &event {
                Event::Text(text) | Event::Code(text) => {
                    page.text.push_str(text);
                    if let Some(heading) = &mut heading {
                        heading.push_str(text);
                    }
                }
                Event::SoftBreak | Event::HardBreak => page.text.push('\n'),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(end) => {
                    if let TagEnd::Heading(_) = end {
                        page.headings.extend(heading.take());
                    }
                    page.separate(end);
                }
                _ => {}
            }
            events.push(with_html_link(event));
        }
        html::push_html(&mut page.html, events.into_iter());
        page
    }

    /// Keeps the words of what follows a block or a cell apart from those before.
    fn separate(&mut self, end: &TagEnd) {
        if matches!(end, TagEnd::TableCell) {
            self.text.push('\t');
        } else if ends_line(end) && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The first heading.
    pub(crate) fn title(&self) -> Option<&str> {
        self.headings.first().map(String::as_str)
    }
}

fn extensions() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_SMART_PUNCTUATION
        | Options::ENABLE_DEFINITION_LIST
}

fn ends_line(end: &TagEnd) -> bool {
    matches!(
        end,
        TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::Item
            | TagEnd::CodeBlock
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
    )
}

/// Links between documents (`other.md`, `other.md#part`) lead to the pages that they become.
fn with_html_link(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: html_target(dest_url),
            title,
            id,
        }),
        other => other,
    }
}

fn html_target(target: CowStr<'_>) -> CowStr<'_> {
    let (path, fragment) = target
        .split_once('#')
        .map_or((&*target, None), |(path, part)| (path, Some(part)));
    let Some(stem) = path.strip_suffix(".md").filter(|_| !path.contains("://")) else {
        return target;
    };
    let fragment = fragment.map(|part| format!("#{part}")).unwrap_or_default();
    format!("{stem}.html{fragment}").into()
}
