//! Instructions that make the host hold something, each in a loop that keeps what it gets; and proof that there are no others.

use innkeeper::BudgetKind;

use crate::{Ran, limited};

/// What an instruction makes the host hold, and a guest that does it again and again.
struct Source {
    instruction: &'static str,
    kind: BudgetKind,
    /// Declarations of the module; `$node` is a list's cell, `$list` a global that keeps it.
    declarations: &'static str,
    /// Done again and again; traps or leaves the loop (`$end`) when it gets no more.
    body: &'static str,
}

/// A cell that refers to the one before and to something.
const LIST: &str = "(type $node (struct (field (ref null $node)) (field anyref)))
    (type $bytes (array (mut i8))) (type $refs (array (mut funcref))) (type $words (array (mut i64)))
    (global $list (mut (ref null $node)) (ref.null $node))
    (elem $elem func $f) (data $data \"0123456789abcdef\")";

macro_rules! keep {
    ($what:literal) => {
        concat!("(global.set $list (struct.new $node (global.get $list) ", $what, "))")
    };
}

const SOURCES: &[Source] = &[
    Source {
        instruction: "memory_grow",
        kind: BudgetKind::LinearMemory,
        declarations: "(memory 0) (memory 0)",
        body: "(br_if $end (i32.eq (memory.grow (i32.const 3)) (i32.const -1)))
            (br_if $end (i32.eq (memory.grow 1 (i32.const 3)) (i32.const -1)))
            (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))",
    },
    Source {
        instruction: "table_grow",
        kind: BudgetKind::Table,
        declarations: "(table 0 funcref) (table 0 externref)",
        body: "(br_if $end (i32.eq (table.grow 0 (ref.func $f) (i32.const 999)) (i32.const -1)))
            (br_if $end (i32.eq (table.grow 1 (ref.null extern) (i32.const 999)) (i32.const -1)))",
    },
    Source { instruction: "struct_new", kind: BudgetKind::Heap, declarations: LIST, body: keep!("(ref.null any)") },
    Source {
        instruction: "struct_new_default",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(struct.new_default $node)"),
    },
    Source {
        instruction: "array_new",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(array.new $words (i64.const 7) (i32.const 1000))"),
    },
    Source {
        instruction: "array_new_default",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(array.new_default $bytes (i32.const 100))"),
    },
    Source {
        instruction: "array_new_fixed",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(array.new_fixed $bytes 2 (i32.const 1) (i32.const 2))"),
    },
    Source {
        instruction: "array_new_data",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(array.new_data $bytes $data (i32.const 0) (i32.const 16))"),
    },
    Source {
        instruction: "array_new_elem",
        kind: BudgetKind::Heap,
        declarations: LIST,
        body: keep!("(array.new_elem $refs $elem (i32.const 0) (i32.const 1))"),
    },
    Source {
        instruction: "throw",
        kind: BudgetKind::Heap,
        declarations: "(tag $tag (param i64 i64 i64)) (table $kept 0 exnref)",
        body: "(br_if $end (i32.eq (i32.const -1) (table.grow $kept
                (block $caught (result exnref)
                    (try_table (catch_all_ref $caught)
                        (throw $tag (i64.const 1) (i64.const 2) (i64.const 3)))
                    unreachable)
                (i32.const 1))))",
    },
    Source {
        instruction: "call",
        kind: BudgetKind::Stack,
        declarations: "(func $down (param i64) (result i64)
            (i64.add (local.get 0) (call $down (i64.add (local.get 0) (i64.const 1)))))",
        body: "(drop (call $down (i64.const 0)))",
    },
    Source {
        instruction: "call_indirect",
        kind: BudgetKind::Stack,
        declarations: "(type $t (func (param i64) (result i64))) (table $self funcref (elem $down))
            (func $down (type $t) (i64.add (local.get 0) (call_indirect $self (type $t) (local.get 0) (i32.const 0))))",
        body: "(drop (call $down (i64.const 0)))",
    },
    Source {
        instruction: "call_ref",
        kind: BudgetKind::Stack,
        declarations: "(type $t (func (param i64) (result i64))) (elem declare func $down)
            (func $down (type $t) (i64.add (local.get 0) (call_ref $t (local.get 0) (ref.func $down))))",
        body: "(drop (call $down (i64.const 0)))",
    },
];

/// Instructions that make the host hold nothing that stays, but for those of the list above: numbers, by the first part of their names, and others.
const NUMBERS: &[&str] =
    &["i32_", "i64_", "f32_", "f64_", "i8x16_", "i16x8_", "i32x4_", "i64x2_", "f32x4_", "f64x2_", "v128_"];
const OTHERS: &[&str] = &[
    "unreachable",
    "nop",
    "block",
    "loop",
    "if",
    "else",
    "end",
    "br",
    "br_if",
    "br_table",
    "br_on_null",
    "br_on_non_null",
    "br_on_cast",
    "br_on_cast_fail",
    "return",
    "drop",
    "select",
    "typed_select",
    "typed_select_multi",
    "local_get",
    "local_set",
    "local_tee",
    "global_get",
    "global_set",
    "table_get",
    "table_set",
    "table_size",
    "table_fill",
    "table_copy",
    "table_init",
    "elem_drop",
    "memory_size",
    "memory_fill",
    "memory_copy",
    "memory_init",
    "data_drop",
    "ref_null",
    "ref_is_null",
    "ref_func",
    "ref_eq",
    "ref_as_non_null",
    "ref_i31",
    "i31_get_s",
    "i31_get_u",
    "ref_test_non_null",
    "ref_test_nullable",
    "ref_cast_non_null",
    "ref_cast_nullable",
    "any_convert_extern",
    "extern_convert_any",
    "struct_get",
    "struct_get_s",
    "struct_get_u",
    "struct_set",
    "array_get",
    "array_get_s",
    "array_get_u",
    "array_set",
    "array_len",
    "array_fill",
    "array_copy",
    "array_init_data",
    "array_init_elem",
    "atomic_fence",
    "memory_atomic_notify",
    "memory_atomic_wait32",
    "memory_atomic_wait64",
    // They take the place of a frame, or lead to one that is there.
    "return_call",
    "return_call_indirect",
    "return_call_ref",
    "try_table",
    "throw_ref",
    "try",
    "catch",
    "catch_all",
    "delegate",
    "rethrow",
];
/// Instructions of proposals that are not supported: validation refuses them.
const UNSUPPORTED: &[&str] = &[
    "stack_switching",
    "shared_everything_threads",
    "custom_descriptors",
    "acquire_release_atomics",
    "memory_control",
];

macro_rules! names {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        &[$((stringify!($proposal), stringify!($visit))),*]
    };
}

/// Every instruction that the decoder knows: its proposal and name.
const ALL: &[(&str, &str)] = wasmparser::for_each_operator!(names);

#[test]
fn y7_every_instruction_is_known_to_hold_something_or_nothing() {
    let is_known = |(proposal, name): &&(&str, &str)| {
        let name = name.strip_prefix("visit_").unwrap_or(name);
        let holds = SOURCES.iter().any(|source| source.instruction == name);
        let is_number = NUMBERS.iter().any(|first| name.starts_with(first));
        holds || is_number || OTHERS.contains(&name) || UNSUPPORTED.contains(proposal)
    };
    let unknown: Vec<_> = ALL.iter().filter(|instruction| !is_known(instruction)).collect();
    assert!(
        unknown.is_empty(),
        "what makes the host hold something needs a guest here that loops on it; what of these does? {unknown:?}"
    );
}

#[test]
fn y7_what_every_instruction_makes_the_host_hold_is_bounded() {
    for source in SOURCES {
        for tier in ["interpreter", "compiled"] {
            let what = format!("{} {tier}", source.instruction);
            let ran = looping(source, tier);
            ran.is_bounded(&what);
            assert!(matches!(ran.code, Some(0 | 134)), "{what}: {ran:#?}");
            let explained = format!(" more for {} were refused: --max-memory", source.kind.name());
            assert!(ran.stderr.contains(&explained), "{what}: {ran:#?}");
        }
    }
}

fn looping(source: &Source, tier: &str) -> Ran {
    let Source { declarations, body, .. } = source;
    let text = format!(
        "(module {declarations} (elem declare func $f) (func $f)
            (func (export \"_start\") (block $end (loop $again {body} (br $again)))))"
    );
    // What is left of the limit is the memory's, so that a stack reaches it too.
    let filled = source.kind == BudgetKind::Stack;
    let text = if filled { text.replacen("(module", "(module (memory 240)", 1) } else { text };
    limited(&["--explain", "--tier", tier], &text)
}

/// Instances are made by threads, descriptors, listings, trees and buffers by functions of WASI: see there.
#[test]
fn y7_every_kind_of_the_budget_has_a_guest_that_reaches_it() {
    let by_instructions: Vec<BudgetKind> = SOURCES.iter().map(|source| source.kind).collect();
    for kind in BudgetKind::ALL {
        let is_reached = by_instructions.contains(kind)
            || crate::wasi::KINDS.contains(kind)
            || crate::exhaustion::KINDS.contains(kind);
        assert!(is_reached, "no guest reaches the limit with {}", kind.name());
    }
}
