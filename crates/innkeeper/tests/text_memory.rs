//! Translating text to the binary format takes no more memory than is said in proportion to the text, whatever it consists of: the library cannot be told that there is none, so that
//! whoever calls it asks before.

mod counting_allocator;

use counting_allocator::peak_of;

/// Pieces of text that are repeated, with what comes before and behind them: as few bytes as possible for as much as possible.
const SHAPES: &[(&str, &str, &str)] = &[
    ("(module", "(func)", ")"),
    ("(module", "(type(func))", ")"),
    ("(module", "(type(struct))", ")"),
    ("(module(rec", "(type(func))", "))"),
    ("(module", "(rec)", ")"),
    ("(module", "(global i32)", ")"),
    ("(module", "(table 0 funcref)", ")"),
    ("(module", "(memory 0)", ")"),
    ("(module", "(tag)", ")"),
    ("(module", "(data)", ")"),
    ("(module", "(elem func)", ")"),
    ("(module", "(start 0)", ")"),
    ("(module", "(tag $#)", ")"),
    ("(module", "(func $#)", ")"),
    ("(module", "(rec(type $#(func)))", ")"),
    ("(module", "(import \"\" \"\"(tag))", ")"),
    ("(module(tag)", "(export \"\"(tag 0))", ")"),
    ("(module", "(tag(export \"\"))", ")"),
    ("(module", "(tag(import \"\" \"\"))", ")"),
    ("(module", "(func(export \"\"))", ")"),
    ("(module", "(func(import \"\" \"\"))", ")"),
    ("(module", "(memory(data))", ")"),
    ("(module", "(table funcref(elem))", ")"),
    ("(module(func", "(local i32)", "))"),
    ("(module(func(local", " i32", ")))"),
    ("(module(func(param", " i32", ")))"),
    ("(module(func", " nop", "))"),
    ("(module(func", "(nop)", "))"),
    ("(module(func", "(block)", "))"),
    ("(module(func", "(if(then))", "))"),
    ("(module(func", " block end", "))"),
    ("(module(func", " i32.const 0", "))"),
    ("(module(func", " v128.const i64x2 0 0", "))"),
    ("(module(func", " select(result)", "))"),
    ("(module(func", " block(type 0)end", "))"),
    ("(module(func", " block(param)end", "))"),
    ("(module(func", " call_indirect", "))"),
    ("(module(func br_table", " 0", "))"),
    ("(module(func", " br_table 0", "))"),
    ("(module(func", " try_table end", "))"),
    ("(module(elem func", " 0", "))"),
    ("(module(elem funcref", "(nop)", "))"),
    ("(module(data", " \"\"", "))"),
    ("(module(data \"", "\\00", "\"))"),
    ("(module(type(struct", "(field)", ")))"),
    ("(module(type(struct(field", " i32", "))))"),
    ("(module", "(@custom \"\")", ")"),
    ("(module(func", "(block $#)", "))"),
    ("(module(func", " local.get $a", "))"),
    ("(module", "(@producers)", ")"),
    ("(module", "(;;)", ")"),
    ("(module", " ;;\n", ")"),
    ("(module", "", ")"),
];

#[test]
fn text_takes_no_more_memory_than_is_said() {
    for (before, piece, behind) in SHAPES {
        let pieces: String =
            (0..100_000 / piece.len().max(1)).map(|i| piece.replace('#', &format!("{i:x}"))).collect();
        let text = format!("{before}{pieces}{behind}");
        let translate = || innkeeper::to_binary(text.as_bytes()).map(|binary| binary.len());
        let (outcome, peak) = peak_of(translate);
        assert!(outcome.is_ok() || is_refused(piece), "{before}{piece}{behind}: {outcome:?}");
        let most = innkeeper::text_memory_bytes(text.len());
        assert!(peak <= most, "{before}{piece}{behind}: {peak} bytes of {most} for {}", text.len());
    }
}

/// Whether a shape is there for what comes before its error.
fn is_refused(piece: &str) -> bool {
    piece.contains("$a")
}
