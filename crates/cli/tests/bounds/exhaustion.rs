//! Where the system has nothing left: with address space limited at many values, a guest of every kind ends with a result, a trap or an error, and never takes the
//! process with it.

use std::process::Command;

use innkeeper::BudgetKind;

use crate::run;

/// Kinds that guests here reach the limit with.
pub(crate) const KINDS: &[BudgetKind] = &[BudgetKind::Compiling, BudgetKind::Module];

/// Guests that take as much as they get of one thing.
fn guests() -> Vec<(&'static str, String)> {
    let start = |body: &str| format!("(func (export \"_start\") {body})");
    let many: String = (0..90).map(|_| "(memory 16)").collect();
    vec![
        ("nothing", format!("(module {})", start(""))),
        (
            "memory",
            format!(
                "(module (memory i64 1) {})",
                start("(loop $l (br_if $l (i64.ne (i64.const -1) (memory.grow (i64.const 77)))))")
            ),
        ),
        ("memories", format!("(module {many} {})", start(""))),
        (
            "tables",
            format!(
                "(module (table 1 funcref) (table 1 externref) {})",
                start(
                    "(loop $l (br_if $l (i32.and
                        (i32.ne (i32.const -1) (table.grow 0 (ref.null func) (i32.const 77777)))
                        (i32.ne (i32.const -1) (table.grow 1 (ref.null extern) (i32.const 77777))))))"
                )
            ),
        ),
        (
            "objects",
            format!(
                "(module (type $s (struct (field (mut (ref null $s))))) {})",
                start(
                    "(local $n (ref null $s)) (loop $l (local.set $n (struct.new $s (local.get $n))) (br $l))"
                )
            ),
        ),
        (
            "stacks",
            format!(
                "(module (func $down (param i64) (result i64) (i64.add (local.get 0) (call $down (local.get 0)))) {})",
                start("(drop (call $down (i64.const 1)))")
            ),
        ),
        (
            "files",
            String::from(
                r#"(module
                (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (data (i32.const 0) "x") (data (i32.const 18) "\01\00\ff\ff")
                (func (export "_start")
                    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)
                        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 32)))
                    (loop $l (br_if $l (i32.eqz
                        (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 40)))))))"#,
            ),
        ),
        (
            "threads",
            String::from(
                r#"(module
                (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
                (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
                (func (export "wasi_thread_start") (param i32 i32)
                    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 300000000))))
                (func (export "_start") (local $i i32)
                    (loop $l
                        (drop (call $spawn (i32.const 0)))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br_if $l (i32.lt_u (local.get $i) (i32.const 300))))))"#,
            ),
        ),
    ]
}

/// A guest that leaves next to nothing of the address space, and then wants very many small things of the host: what it asks for in bulk may be refused, what the host needs for
/// itself must come from somewhere.
fn small_things_at_the_end() -> String {
    const MEMORIES: u32 = 64;
    let memories = "(memory 1)".repeat(MEMORIES as usize);
    let grow: String = (1..=MEMORIES)
        .map(|i| format!("(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow {i} (i32.const 1)))))"))
        .collect();
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (memory (export "memory") 1) {memories}
        (func (export "_start") (local $i i32)
            {grow}
            (loop $l
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (i32.store (i32.const 64) (i32.add (i32.const 0x61616161) (i32.and (local.get $i) (i32.const 0x0f0f0f0f))))
                (i32.store (i32.const 68) (i32.add (i32.const 0x61616161)
                    (i32.and (i32.shr_u (local.get $i) (i32.const 4)) (i32.const 0x0f0f0f0f))))
                (br_if $l (i32.and (i32.lt_u (local.get $i) (i32.const 30000))
                    (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 8) (i32.const 1)
                        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 32))))))))"#
    )
}

/// Functions that take tens of megabytes to be compiled, and one that becomes hot.
fn costly_to_compile() -> String {
    let calls = |n: usize| format!("{} {} drop", "call $leaf ".repeat(n), "i32.add ".repeat(n - 1));
    let branches = "(br_if $b (i32.eqz (local.get 0)))".repeat(9_000);
    format!(
        r#"(module (func $leaf (result i32) (i32.const 1))
        (func $calls {0}) (func $more {0}) (func $branches (param i32) (block $b {branches}))
        (func (export "_start") (local $i i32)
            (loop $l
                (call $calls) (call $more) (call $branches (i32.const 1))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400))))))"#,
        calls(4000)
    )
}

/// `inn` under a limit on its address space, in KiB.
fn limited(kibibytes: u64, args: &[&str], text: &str) -> crate::Ran {
    let mut command = Command::new("sh");
    // The shell becomes `inn`, whose end is then seen as it is.
    let script = format!("ulimit -v {kibibytes} && exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_inn")]).args(args);
    run(command, text)
}

#[test]
fn y8_l12_wherever_address_space_ends_the_guest_gets_an_answer() {
    for (step, kibibytes) in
        [70_000, 90_000, 130_000, 190_000, 280_000, 400_000, 600_000].into_iter().enumerate()
    {
        if !is_loaded(kibibytes) {
            continue;
        }
        for (i, (name, text)) in guests().into_iter().enumerate() {
            let tier = ["auto", "interpreter", "compiled"][(i + step) % 3];
            // No two guests meet the end at the same place.
            let kibibytes = kibibytes + 1_111 * i as u64;
            let flags = ["--cache", "off", "--timeout", "5s", "--tier", tier, "--tmp", "/t::1GiB", "-"];
            let ran = limited(kibibytes, &flags, &text);
            let what = format!("{name} {tier} with {kibibytes} KiB");
            assert!(matches!(ran.code, Some(0 | 1 | 134)), "{what}: {ran:#?}");
            assert!(!ran.stderr.contains("panicked"), "{what}: {ran:#?}");
        }
    }
}

/// Whether the system even loads the program with so much.
fn is_loaded(kibibytes: u64) -> bool {
    limited(kibibytes, &["--version"], "").code == Some(0)
}

/// Where a guest that needs nothing runs, in KiB: below that it is refused at its start, or the system has no room for the program itself.
fn least_with(tier: &str) -> u64 {
    let flags = ["--cache", "off", "--tier", tier, "-"];
    let runs = |&kibibytes: &u64| {
        let ran = limited(kibibytes, &flags, r#"(module (func (export "_start")))"#);
        ran.code == Some(0)
    };
    (40_000..400_000).step_by(4_000).find(runs).expect("room")
}

/// Checks that nothing but the guest has ended.
fn has_ended_well(ran: &crate::Ran, what: &str) {
    assert!(matches!(ran.code, Some(0 | 1 | 134)), "{what}: {ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{what}: {ran:#?}");
}

#[test]
fn y8_l12_the_host_has_a_reserve_for_what_is_small() {
    let text = small_things_at_the_end();
    let least = least_with("interpreter");
    let mut runs = 0;
    for kibibytes in (least..least + 20_000).step_by(1_000).chain([least + 40_000, least + 80_000]) {
        let flags = ["--cache", "off", "--timeout", "20s", "--tier", "interpreter", "--tmp", "/t::1GiB", "-"];
        let ran = limited(kibibytes, &flags, &text);
        has_ended_well(&ran, &format!("{kibibytes} KiB"));
        let was_refused_at_its_start = ran.stderr.starts_with("error: standard input: ");
        assert!(ran.code == Some(0) || was_refused_at_its_start, "{kibibytes} KiB: {ran:#?}");
        runs += u32::from(ran.code == Some(0));
    }
    // With so little that it meets the end at once, and with more.
    assert!(runs >= 12, "of 22, {runs} have run");
}

/// What reads the text format cannot be told that there is no memory.
#[test]
fn y8_l12_wherever_address_space_ends_text_is_read_or_refused() {
    // What takes most for its bytes, and what programs consist of.
    let tags = format!("(module {})", "(tag)".repeat(20_000));
    let functions = format!(
        "(module {})",
        "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))".repeat(2000)
    );
    let (mut read, mut refused) = (0, 0);
    let mut kibibytes = 20_000;
    while kibibytes < 120_000 {
        kibibytes += kibibytes / 9;
        if !is_loaded(kibibytes) {
            continue;
        }
        for text in [&tags, &functions] {
            let ran = limited(kibibytes, &["validate", "-"], text);
            assert!(matches!(ran.code, Some(0 | 1)), "{kibibytes} KiB: {ran:#?}");
            read += u32::from(ran.code == Some(0));
            refused += u32::from(ran.stderr.contains("the system has no memory for its text"));
        }
    }
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

/// A module of very many of the smallest things: a section of them, behind what they need.
fn many(before: &[u8], section: u8, thing: &[u8], count: usize) -> Vec<u8> {
    let contents = [number(count), thing.repeat(count)].concat();
    [b"\0asm\x01\0\0\0", before, &[section], &number(contents.len()), &contents].concat()
}

/// What decodes and validates cannot be told that there is no memory.
#[test]
fn y8_l12_wherever_address_space_ends_a_module_is_decoded_or_refused() {
    const TYPE: &[u8] = b"\x01\x04\x01\x60\0\0";
    let modules = [
        many(b"", 1, b"\x60\0\0", 100_000),
        many(TYPE, 2, b"\0\0\0\0", 90_000),
        many(b"", 6, b"\x7f\0\x41\0\x0b", 200_000),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.wasm");
    let (mut decoded, mut refused) = (0, 0);
    for module in modules {
        std::fs::write(&file, module).unwrap();
        let mut kibibytes = 20_000;
        while kibibytes < 160_000 {
            kibibytes += kibibytes / 9;
            if !is_loaded(kibibytes) {
                continue;
            }
            let ran = limited(kibibytes, &["validate", file.to_str().unwrap()], "");
            assert!(matches!(ran.code, Some(0 | 1)), "{kibibytes} KiB: {ran:#?}");
            decoded += u32::from(ran.code == Some(0));
            refused += u32::from(ran.stderr.contains("the system has no memory for decoding the module"));
        }
    }
    assert!(decoded > 0 && refused > 0, "{decoded} decoded, {refused} refused");
}

/// Whichever command decodes a module is held to its limit before.
#[test]
fn y7_l12_modules_whose_decoding_is_over_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("much.wasm"), folder.path().join("page.html"));
    for (which, module) in few_items_that_hold_much() {
        std::fs::write(&file, module).unwrap();
        for (command, more) in
            [("run", None), ("validate", None), ("inspect", None), ("explore", Some(&page))]
        {
            let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
            inn.args([command, "--max-memory", crate::LIMIT]).arg(&file);
            inn.args(more.iter().flat_map(|page| ["--to".as_ref(), page.as_os_str()]));
            let ran = run(inn, "");
            let what = format!("{command} of {which}");
            assert_eq!(ran.code, Some(1), "{what}: {ran:#?}");
            // Whoever looks at the sections before that is ended by who watches over the command.
            let looks_before = matches!(command, "inspect" | "explore");
            let reason = "more for decoding a module are over the 16 MiB";
            let is_told =
                ran.stderr.contains(reason) || looks_before && ran.stderr.contains("it needs more than");
            assert!(is_told, "{what}: {ran:#?}");
            ran.names_limit(&what);
            ran.is_bounded(&what);
        }
    }
}

/// What the compiler allocates cannot fail gently: what there may be no room for stays interpreted.
#[test]
fn y8_l12_wherever_address_space_ends_compiling_ends_well() {
    let text = costly_to_compile();
    let mut kibibytes = 40_000;
    while kibibytes < 500_000 {
        kibibytes += kibibytes / 7;
        // With less not even the module's text can be read.
        let interpreted = limited(kibibytes, &["--cache", "off", "--tier", "interpreter", "-"], &text);
        if interpreted.code != Some(0) {
            continue;
        }
        for tier in ["compiled", "auto"] {
            let flags = ["--cache", "off", "--timeout", "20s", "--tier", tier, "-"];
            has_ended_well(&limited(kibibytes, &flags, &text), &format!("{tier} with {kibibytes} KiB"));
        }
    }
}

#[test]
fn y7_compiling_is_within_the_limit_on_memory() {
    let ran = crate::limited(&["--tier", "compiled"], &costly_to_compile());
    ran.is_bounded("compiling");
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

/// A section of a module, and a number as it is written in one.
fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0", &[id][..], &number(contents.len()), contents].concat()
}

fn number(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 128 {
        bytes.push(n as u8 | 128);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// Modules of a few megabytes with one item, or few, that hold very much each.
fn few_items_that_hold_much() -> Vec<(&'static str, Vec<u8>)> {
    let group = |n: usize, ty: &[u8]| section(1, &[&[1, 0x4e][..], &number(n), &ty.repeat(n)].concat());
    let of = |form: u8, n: usize, each: &[u8], end: &[u8]| {
        [&[form][..], &number(n), &each.repeat(n), end].concat()
    };
    let items = 700_000;
    vec![
        ("types in a group", group(400_000, &[0x60, 0, 0])),
        ("fields", group(70, &of(0x5f, 10_000, &[0x7f, 0], &[]))),
        ("parameters", group(1500, &of(0x60, 1000, &[0x7f], &[0]))),
        (
            "elements",
            section(9, &[&[1, 5, 0x70][..], &number(items), &[0xd0, 0x70, 0x0b].repeat(items)].concat()),
        ),
        (
            "instructions",
            section(6, &[&[1, 0x7f, 0, 0x41, 0][..], &[0x41, 0, 0x6a].repeat(items), &[0x0b]].concat()),
        ),
    ]
}

#[test]
fn y8_modules_that_there_is_no_memory_for_are_refused_whatever_they_are_full_of() {
    let directory = tempfile::tempdir().unwrap();
    // Below that the system has no room for the program itself, and kills it before its first instruction.
    let least = (40_000..400_000).step_by(4_000).find(|&kibibytes| is_loaded(kibibytes)).expect("room");
    for (what, module) in few_items_that_hold_much() {
        let path = directory.path().join("module.wasm");
        std::fs::write(&path, module).unwrap();
        for kibibytes in [least, least + 30_000, least + 80_000] {
            let mut command = Command::new("sh");
            let script = format!("ulimit -v {kibibytes} && exec \"$@\"");
            command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_inn"), "validate"]).arg(&path);
            let output = command.output().unwrap();
            assert!(output.status.code().is_some(), "{what}, {kibibytes} KiB: {output:?}");
        }
    }
}
