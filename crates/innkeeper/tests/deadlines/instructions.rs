//! What each instruction does that could take long.

use std::collections::BTreeMap;

use innkeeper_engine::opcode::{ATOMIC_OPCODES, OPCODES, SIMD_OPCODES, WIDE_OPCODES};

use super::programs;

/// Why an instruction ends soon, or where it is shown that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is a row of the engine's table of opcodes: a function of its operands, a load or a store.
    Row,
    /// Other work that takes the same time whatever the operands are, or as long as what stands in the code.
    Fixed,
    /// It leads elsewhere. Whoever stays for ever branches back or calls: `limits_in_tiers/` shows that both are polled.
    Leads,
    /// No valid module has it: its proposal is not supported.
    Refused,
    /// Its operands say how long it takes: tried by [`programs::PROGRAMS`].
    Long,
}

/// The instructions that are not in the engine's table of opcodes.
const KINDS: &[(Kind, &str)] = &[
    (
        Kind::Fixed,
        "nop drop select typed_select typed_select_multi local_get local_set local_tee global_get global_set i32_const i64_const f32_const f64_const
        v128_const memory_size data_drop elem_drop ref_eq ref_null ref_is_null ref_func ref_as_non_null table_get table_set table_size struct_get struct_get_s
        struct_get_u struct_set array_get array_get_s array_get_u array_set array_len ref_test_non_null ref_test_nullable ref_cast_non_null ref_cast_nullable
        any_convert_extern extern_convert_any ref_i31 i31_get_s i31_get_u atomic_fence",
    ),
    (
        Kind::Leads,
        "unreachable block loop if else end br br_if br_table return br_on_null br_on_non_null br_on_cast br_on_cast_fail try_table throw_ref
        call_indirect call_ref return_call return_call_indirect return_call_ref",
    ),
    (
        Kind::Long,
        "call memory_grow memory_init memory_copy memory_fill table_init table_copy table_fill table_grow struct_new struct_new_default array_new
        array_new_default array_new_fixed array_new_data array_new_elem array_fill array_copy array_init_data array_init_elem throw memory_atomic_notify
        memory_atomic_wait32 memory_atomic_wait64",
    ),
];

/// Proposals whose instructions no valid module has.
const REFUSED: &[&str] = &[
    "custom_descriptors",
    "memory_control",
    "legacy_exceptions",
    "shared_everything_threads",
    "stack_switching",
    "acquire_release_atomics",
];

macro_rules! names {
    ($(@$proposal:ident $operator:ident $({ $($operand:ident: $ty:ty),* })? => $visit:ident ($($annotation:tt)*))*) => {
        &[$((stringify!($proposal), stringify!($visit))),*]
    };
}

/// Proposal and visitor of every instruction that the decoder knows.
const OPERATORS: &[(&str, &str)] = wasmparser::for_each_operator!(names);

fn kinds() -> BTreeMap<String, Kind> {
    let rows = [OPCODES, WIDE_OPCODES, ATOMIC_OPCODES, SIMD_OPCODES];
    let rows = rows.into_iter().flatten().map(|row| (row.mnemonic.replace('.', "_"), Kind::Row));
    let written =
        KINDS.iter().flat_map(|(kind, names)| names.split_whitespace().map(|name| (name.to_owned(), *kind)));
    rows.chain(written).collect()
}

#[test]
fn every_instruction_says_why_it_ends_soon_or_is_tried() {
    let mut kinds = kinds();
    let mut long: Vec<String> = Vec::new();
    for (proposal, visit) in OPERATORS {
        let name = visit.trim_start_matches("visit_");
        let kind = match REFUSED.contains(proposal) {
            true => Kind::Refused,
            false => {
                kinds.remove(name).unwrap_or_else(|| panic!("{name} ({proposal}) has no row in `KINDS`"))
            }
        };
        if kind == Kind::Long {
            long.push(name.to_owned());
        }
    }
    assert!(kinds.is_empty(), "no such instructions: {kinds:?}");
    let mut tried: Vec<String> = programs::tried().map(str::to_owned).collect();
    long.sort();
    tried.sort();
    tried.dedup();
    assert_eq!(long, tried, "what takes long and what `PROGRAMS` tries");
}
