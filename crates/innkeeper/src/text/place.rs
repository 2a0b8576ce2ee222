//! Where in a module's text a part of its binary form was written.
//!
//! Must stay true: what is said is about the same part. The text is translated once more, and where the binary form has other parts than the text, nothing is said.

use wasmparser::{FromReader, FunctionBody, Parser, Payload, SectionLimited};
use wast::core::{Func, FuncKind, Module, ModuleField, ModuleKind};
use wast::lexer::{Lexer, TokenKind};
use wast::parser::ParseBuffer;
use wast::token::Span;
use wast::{Error, Wat};

/// A message with the line and column of what lies at an offset of the binary form of a module's text, and the line itself below: for what is found out when the text is
/// binary already, such as that it is not valid. Takes what [`super::to_binary`] takes once more, some of it for longer.
///
/// Nothing where the text is none of a module, or nothing in it has become what is there.
#[must_use]
pub fn message_in_text(text: &[u8], offset_bytes: usize, message: &str) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut buffer = ParseBuffer::new(text).ok()?;
    buffer.track_instr_spans(true);
    let mut module = wast::parser::parse::<Wat<'_>>(&buffer).ok()?;
    let binary = module.encode().ok()?;
    let Wat::Module(Module { kind: ModuleKind::Text(fields), .. }) = &module else { return None };
    let span = Written { fields, text }.place(&binary, u64::try_from(offset_bytes).ok()?)?;
    let mut error = Error::new(span, message.to_owned());
    error.set_text(text);
    Some(error.to_string())
}

/// A module as it is written.
struct Written<'a> {
    fields: &'a [ModuleField<'a>],
    text: &'a str,
}

impl Written<'_> {
    /// Where what lies at an offset of the module's binary form is written.
    fn place(&self, binary: &[u8], offset: u64) -> Option<Span> {
        let mut bodies = 0;
        for payload in Parser::new(0).parse_all(binary) {
            let payload = payload.ok()?;
            if let Payload::CodeSectionEntry(body) = &payload {
                let range = body.range();
                if (range.start..=range.end).contains(&offset) {
                    return self.in_body(self.functions().nth(bodies)?, body, offset);
                }
                bodies += 1;
                continue;
            }
            // The entries of the section of code come one by one.
            let section =
                payload.as_section().filter(|_| !matches!(payload, Payload::CodeSectionStart { .. }));
            if section.is_some_and(|(_, range)| (range.start..=range.end).contains(&offset)) {
                return self.in_section(payload, offset);
            }
        }
        None
    }

    /// The functions that the module defines.
    fn functions(&self) -> impl Iterator<Item = &Func<'_>> {
        self.fields.iter().filter_map(|field| match field {
            ModuleField::Func(func) if matches!(func.kind, FuncKind::Inline { .. }) => Some(func),
            _ => None,
        })
    }

    /// The field that became the entry of a section. An entry is one field in all sections but that of code.
    fn in_section(&self, section: Payload<'_>, offset: u64) -> Option<Span> {
        fn nth<T>(mut spans: impl Iterator<Item = T>, index: Option<usize>) -> Option<T> {
            spans.nth(index?)
        }
        let spans = |of: fn(&ModuleField<'_>) -> Option<Span>| self.fields.iter().filter_map(of);
        match section {
            Payload::TypeSection(section) => nth(spans(type_span), entry(section, offset)),
            Payload::ImportSection(section) => nth(spans(import_span), entry(section, offset)),
            Payload::FunctionSection(section) => {
                nth(self.functions().map(|func| func.span), entry(section, offset))
            }
            Payload::TableSection(section) => nth(spans(table_span), entry(section, offset)),
            Payload::MemorySection(section) => nth(spans(memory_span), entry(section, offset)),
            Payload::TagSection(section) => nth(spans(tag_span), entry(section, offset)),
            Payload::GlobalSection(section) => nth(spans(global_span), entry(section, offset)),
            Payload::ExportSection(section) => nth(spans(export_span), entry(section, offset)),
            Payload::StartSection { .. } => spans(start_span).next(),
            Payload::ElementSection(section) => nth(spans(elem_span), entry(section, offset)),
            Payload::DataSection(section) => nth(spans(data_span), entry(section, offset)),
            _ => None,
        }
    }

    /// The instruction of a function; the function itself before the first one, and its last parenthesis where the function ends.
    fn in_body(&self, func: &Func<'_>, body: &FunctionBody<'_>, offset: u64) -> Option<Span> {
        let FuncKind::Inline { expression, .. } = &func.kind else { return None };
        let spans = expression.instr_spans.as_deref()?;
        let mut reader = body.get_operators_reader().ok()?;
        let mut begun = 0usize;
        while !reader.eof() && reader.original_position() <= offset {
            begun += 1;
            if reader.read().is_err() {
                break;
            }
        }
        match begun.checked_sub(1) {
            None => Some(func.span),
            Some(instruction) => spans.get(instruction).copied().or_else(|| self.end_of(func.span)),
        }
    }

    /// Where the parenthesis is closed whose keyword is at `start`.
    fn end_of(&self, start: Span) -> Option<Span> {
        let mut open = 1usize;
        for token in Lexer::new(self.text).iter(start.offset()) {
            let token = token.ok()?;
            match token.kind {
                TokenKind::LParen => open += 1,
                TokenKind::RParen => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Some(Span::from_offset(token.offset));
            }
        }
        None
    }
}

/// Which entry of a section lies at an offset.
fn entry<'a, T: FromReader<'a>>(section: SectionLimited<'a, T>, offset: u64) -> Option<usize> {
    // One that cannot be read has begun as well.
    let mut begun = 0usize;
    for entry in section.into_iter_with_offsets() {
        match entry {
            Ok((start, _)) if start > offset => break,
            Ok(_) => begun += 1,
            Err(_) => {
                begun += 1;
                break;
            }
        }
    }
    begun.checked_sub(1)
}

macro_rules! spans {
    ($($name:ident: $($kind:ident)|+;)*) => {$(
        fn $name(field: &ModuleField<'_>) -> Option<Span> {
            match field {
                $(ModuleField::$kind(field) => Some(field.span),)+
                _ => None,
            }
        }
    )*};
}

spans! {
    type_span: Type | Rec;
    import_span: Import;
    table_span: Table;
    memory_span: Memory;
    tag_span: Tag;
    global_span: Global;
    export_span: Export;
    elem_span: Elem;
    data_span: Data;
}

fn start_span(field: &ModuleField<'_>) -> Option<Span> {
    match field {
        ModuleField::Start(func) => Some(func.span()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_engine::{Config, ErrorKind};

    /// Where a module's text is not valid, as `LINE:COLUMN`: marked in the text with a `^`, which is taken out before it is translated.
    fn check(marked: &str) {
        let before = &marked[..marked.find('^').unwrap()];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        let text = marked.replacen('^', "", 1);
        let binary = crate::to_binary(text.as_bytes()).unwrap().into_owned();
        let error = crate::Module::new(&crate::engine(Config::default()), binary).unwrap_err();
        let ErrorKind::Malformed { message, offset_bytes } = error.kind() else { panic!("{error:?}") };
        let told = super::message_in_text(text.as_bytes(), *offset_bytes, message);
        let told = told.unwrap_or_else(|| panic!("{message} at {offset_bytes} is nowhere in {text}"));
        assert!(told.starts_with(&message[..]), "{told}");
        assert!(told.contains(&format!("<anon>:{line}:{column}\n")), "{line}:{column} is meant: {told}");
    }

    #[test]
    fn what_is_not_valid_is_found_in_the_text() {
        for marked in [
            // Instructions, written one by one and folded.
            "(module (func (result i32)\n  i64.const 1\n  i32.const 2\n  ^i32.add drop i32.const 3))",
            "(module (func) (func (result i32)\n  (i32.add (i32.const 2)\n    (^i64.add (i64.const 1) (i32.const 1)))))",
            "(module (import \"a\" \"b\" (func)) (func (param i32)\n (^local.set 7 (local.get 0))))",
            // The ends of blocks and functions.
            "(module (func (result i32)\n  i64.const 1 ^))",
            "(module (func (result i32)\n  i32.const 1)\n (func (result i32)\n  (nop) (; ) ;) ^))",
            "(module (func (block (result i32) nop ^) drop))",
            "(module (func (if (i32.const 1) (then (drop (^f32.neg (i32.const 2)))) (else nop))))",
            // Entries of sections, each the second of its kind.
            "(module (type (func)) (^type (func (param (ref null 9)))))",
            "(module (import \"a\" \"b\" (func)) (^import \"a\" \"c\" (func (type 7))))",
            "(module (type (func)) (func (type 0)) (^func (type 5)))",
            "(module (memory 1) (^memory 2 1))",
            "(module (table 1 funcref) (^table 2 1 funcref))",
            "(module (global i32 (i32.const 0)) (^global i32 (i64.const 0)))",
            "(module (func) (export \"a\" (func 0)) (^export \"a\" (func 0)))",
            "(module (func (param i32)) (start ^0))",
            "(module (table 1 funcref) (func) (elem (i32.const 0) 0) (^elem (i64.const 0) 0))",
            "(module (memory 1) (data \"\") (^data (i64.const 0) \"\"))",
            "(module (type (func (result i32))) (tag) (^tag (type 0)))",
        ] {
            check(marked);
        }
    }

    #[test]
    fn what_is_in_no_text_is_nowhere() {
        let told = |text: &str, offset| super::message_in_text(text.as_bytes(), offset, "message");
        for (text, offset) in
            [("(module", 9), ("(module)", 500), ("(module)", 0), ("(component)", 9), ("\u{ff}", 0)]
        {
            assert_eq!(told(text, offset), None, "{text}");
        }
        assert_eq!(told("(module binary \"\\00asm\\01\\00\\00\\00\\01\\01\\05\")", 10), None);
    }
}
