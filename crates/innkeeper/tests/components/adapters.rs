//! Calls from one component to another: what code is generated for and what is walked, and that both do the same with types at the limits and with strings.

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Val, Walked};
use innkeeper::{Adapters, Config, Engine, Store, Tiers};

use super::{call, component};

/// Engines of each way to execute guests and to take values over.
pub(super) fn all_engines() -> Vec<Engine> {
    let both = [Adapters::Generated, Adapters::Walked];
    let ways =
        [Tiers::Interpreter, Tiers::Compiled].into_iter().flat_map(|tiers| both.map(|ways| (tiers, ways)));
    ways.map(|(tiers, adapters)| {
        let mut config = Config::default();
        config.tuning.adapters = adapters;
        innkeeper::engine_with(config, tiers)
    })
    .collect()
}

/// What both components of a pair have: a memory and an allocator that never gives anything twice.
pub(super) const LIBC: &str = r#"(core module $libc (memory (export "mem") 4)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (memory.copy (local.get $at) (local.get 0)
                (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
            (local.get $at)))
    (core instance $libc (instantiate $libc))"#;

/// The options for those.
pub(super) const OPTIONS: &str =
    r#"(memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))"#;

/// Something that a component could do beyond its own code.
pub(super) const LEADS_OUT: &str = "(type $out (resource (rep i32))) (core func (canon resource.drop $out))";

/// A component `$D` whose `run` calls `f` of a component `$C`: functions in core code are `core_c` and `core_d`.
pub(super) struct Pair<'a> {
    /// Types that both have by these names.
    pub(super) types: &'a [(&'a str, &'a str)],
    pub(super) ty: &'a str,
    pub(super) run_ty: &'a str,
    pub(super) core_c: &'a str,
    pub(super) core_d: &'a str,
    pub(super) import: &'a str,
    pub(super) options: [&'a str; 2],
}

impl Pair<'_> {
    pub(super) fn text(&self) -> String {
        let Pair { types, ty, run_ty, core_c, core_d, import, options: [c, d] } = self;
        let own: String = types
            .iter()
            .map(|(name, def)| format!("(type ${name}' {def}) (export ${name} \"{name}\" (type ${name}'))"))
            .collect();
        let imported: String = types
            .iter()
            .map(|(name, def)| {
                format!("(type ${name}' {def}) (export \"{name}\" (type ${name} (eq ${name}')))")
            })
            .collect();
        format!(
            r#"(component
            (component $C {own} {LIBC}
                (core module $m (import "" "mem" (memory 4)) {core_c})
                (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $libc "mem"))))))
                (func (export "f") {ty} (canon lift (core func $m "f") {OPTIONS} {c})))
            (component $D
                (import "c" (instance $c {imported} (export "f" (func {ty}))))
                {LIBC}
                (core func $f (canon lower (func $c "f") {OPTIONS} {d}))
                (core module $m (import "" "mem" (memory 4)) (import "" "f" (func $f {import})) {core_d})
                (core instance $m (instantiate $m (with "" (instance
                    (export "mem" (memory $libc "mem")) (export "f" (func $f))))))
                (func (export "run") {run_ty} (canon lift (core func $m "run") {OPTIONS})))
            (instance $c (instantiate $C))
            (instance $d (instantiate $D (with "c" (instance $c))))
            (func (export "run") (alias export $d "run")))"#
        )
    }

    /// What `run` does in each way, which is the same. Around calls of components that can call somebody themselves there is more, and they do the same too.
    pub(super) fn run(&self, params: &[Val]) -> Result<Option<Val>, String> {
        let leads_nowhere = self.text();
        let leads_out = leads_nowhere.replacen("(component $C", &format!("(component $C {LEADS_OUT}"), 1);
        let engines = all_engines();
        let ways = [leads_nowhere, leads_out]
            .into_iter()
            .flat_map(|text| engines.iter().map(move |engine| (engine, text.clone())));
        let mut outcomes: Vec<_> = ways
            .map(|(engine, text)| {
                let (mut store, instance) = super::instance(engine, &text);
                let walked = instance.walked_calls(&mut store);
                let is_off = engine.config().tuning.adapters == Adapters::Walked;
                assert_eq!(walked, if is_off { vec![Walked::Off] } else { Vec::new() });
                call(&mut store, instance, "run", params).map_err(|error| {
                    let text = error.to_string();
                    text.lines().next().unwrap_or_default().to_owned()
                })
            })
            .collect();
        outcomes.dedup();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes.remove(0)
    }
}

/// Every reason for a call to be walked, with a component that has it, and no other.
#[test]
fn what_is_not_generated_is_walked_and_says_why() {
    for why in Walked::ALL {
        let features = Features::default().with(Feature::CallsToRelatives);
        let mut config = Config::default();
        let (text, features) = match why {
            Walked::Off => {
                config.tuning.adapters = Adapters::Walked;
                (siblings("", "", ""), features)
            }
            Walked::Imported => {
                let text = r#"(component (import "other" (instance $other (export "f" (func))))
                    (core func (canon lower (func $other "f"))))"#;
                (text.to_owned(), features)
            }
            Walked::Async => (siblings("", "async", ""), features.with(Feature::MoreAsyncBuiltins)),
            Walked::Relatives => (
                format!(
                    "(component {} (instance $c (instantiate $C)) (core func (canon lower (func $c \"f\"))))",
                    callee("", "")
                ),
                Features::default(),
            ),
            Walked::Type => (siblings("(param \"s\" (stream u8))", "", "(param i32)"), features),
            Walked::Memory => (own_call(), features),
            Walked::TooLong => (too_long(), features),
            other => panic!("{other:?} has no test"),
        };
        let engine = innkeeper::engine(config);
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{why:?}: {error}"));
        let component = Component::with_features(&engine, bytes, features)
            .unwrap_or_else(|error| panic!("{why:?}: {error}"));
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        if *why == Walked::Imported {
            let text = r#"(component (core module $m (func (export "f"))) (core instance $m (instantiate $m))
                (func (export "f") (canon lift (core func $m "f"))))"#;
            let other = linker.instantiate(&mut store, &super::component(&engine, text)).unwrap();
            linker.define_instance(&mut store, "other", other).unwrap();
        }
        let instance =
            linker.instantiate(&mut store, &component).unwrap_or_else(|error| panic!("{why:?}: {error}"));
        assert_eq!(instance.walked_calls(&mut store), [*why]);
    }
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = super::instance(&engine, &siblings("", "", ""));
    assert_eq!(instance.walked_calls(&mut store), [], "as it is as a rule");
}

fn callee(ty: &str, core: &str) -> String {
    format!(
        r#"(component $C (core module $m (func (export "f") {core})) (core instance $m (instantiate $m))
            (func (export "f") {ty} (canon lift (core func $m "f"))))"#
    )
}

/// Two components, of which one lowers the other's function with an option, and never calls it.
fn siblings(ty: &str, option: &str, core: &str) -> String {
    let is_async = if option == "async" { "async" } else { "" };
    let c = match option {
        "async" => r#"(component $C (core module $m (memory (export "mem") 1) (func (export "f"))) (core instance $m (instantiate $m))
            (func (export "f") async (canon lift (core func $m "f"))))"#
            .to_owned(),
        _ => callee(ty, core),
    };
    format!(
        r#"(component {c} (instance $c (instantiate $C))
        (component $D (import "f" (func $f {is_async} {ty})) (core func (canon lower (func $f) {option})))
        (instance (instantiate $D (with "f" (func $c "f")))))"#
    )
}

/// A component that lowers its own function: both sides have its memory.
fn own_call() -> String {
    r#"(component
        (core module $m (memory (export "mem") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "f") (param i32 i32) (result i32) (i32.load8_u (local.get 0))))
        (core instance $m (instantiate $m))
        (func $f (param "s" string) (result u8)
            (canon lift (core func $m "f") (memory (core memory $m "mem")) (realloc (core func $m "realloc"))))
        (core func $f (canon lower (func $f) (memory (core memory $m "mem"))))
        (core module $r (import "" "mem" (memory 1)) (import "" "f" (func $f (param i32 i32) (result i32)))
            (data (i32.const 16) "xyz")
            (func (export "run") (result i32) (call $f (i32.const 16) (i32.const 3))))
        (core instance $r (instantiate $r (with "" (instance
            (export "mem" (memory $m "mem")) (export "f" (func $f))))))
        (func (export "run") (result u8) (canon lift (core func $r "run"))))"#
        .to_owned()
}

/// A type whose parts are in each other many times over, while they are passed in core values.
fn too_long() -> String {
    let (mut own, mut imported, mut with) = (String::new(), String::new(), String::new());
    let mut parts = ["u8".to_owned(), "u16".to_owned()];
    for level in 0..5 {
        let cases: String = (0..10).map(|i| format!("(case \"c{i}\" {})", parts[i % 2])).collect();
        let names = ["a", "b"].map(|kind| format!("{kind}{level}"));
        for (name, last) in names.iter().zip(["", "(case \"last\")"]) {
            let def = format!("(variant {cases} {last})");
            own += &format!("(type ${name}' {def}) (export ${name} \"{name}\" (type ${name}'))");
            imported += &format!("(type ${name}' {def}) (import \"{name}\" (type ${name} (eq ${name}')))");
            with += &format!("(with \"{name}\" (type $c \"{name}\"))");
        }
        parts = names.map(|name| format!("${name}"));
    }
    format!(
        r#"(component
        (component $C {own} (core module $m (func (export "f") (param i32 i32 i32 i32 i32 i32)))
            (core instance $m (instantiate $m))
            (func (export "f") (param "v" $a4) (canon lift (core func $m "f"))))
        (instance $c (instantiate $C))
        (component $D {imported} (import "f" (func $f (param "v" $a4))) (core func (canon lower (func $f))))
        (instance (instantiate $D {with} (with "f" (func $c "f")))))"#
    )
}

/// C47: a component that calls itself, where that is allowed, hands a string from its memory to its memory.
#[test]
fn c47_the_source_memory_is_the_destination_memory() {
    for engine in all_engines() {
        let text = own_call();
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
        for (features, is_allowed) in
            [(Features::default(), false), (Features::default().with(Feature::CallsToRelatives), true)]
        {
            let component = Component::with_features(&engine, &*bytes, features).unwrap();
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
            let got = call(&mut store, instance, "run", &[]);
            match is_allowed {
                true => assert_eq!(got.unwrap(), Some(Val::U8(b'x'))),
                false => assert!(got.unwrap_err().to_string().contains("cannot enter component instance")),
            }
        }
    }
}

/// C7, C8, C32: variants and enums with very many cases, of which each is taken over, and the first number that is none's is refused.
#[test]
fn c8_variants_with_many_cases_are_taken_over() {
    // Ten thousand are the most that validation takes.
    for cases in [1, 256, 257, 1001, 10_000] {
        let kinds = ["u8", "(list u16)", "string", "(tuple u8 u64)", "f32", ""];
        let list: String =
            (0..cases).map(|i| format!("(case \"c{i}\" {})", kinds[i % kinds.len()])).collect();
        let width = if cases <= 256 { "8" } else { "16" };
        let types = [("v", &*format!("(variant {list})"))];
        // Lists have their elements in memory; what comes is the number of the last element's case.
        let load = format!("(i32.load{width}_u (local.get 0))");
        let pair = Pair {
            types: &types,
            ty: r#"(param "l" (list $v)) (result u32)"#,
            run_ty: r#"(param "case" u32) (result u32)"#,
            core_c: &format!(r#"(func (export "f") (param i32 i32) (result i32) {load})"#),
            core_d: &format!(
                r#"(func (export "run") (param i32) (result i32)
                    (i32.store{width} (i32.const 16) (local.get 0)) (call $f (i32.const 16) (i32.const 1)))"#
            ),
            import: "(param i32 i32) (result i32)",
            options: ["", ""],
        };
        let text = pair.text();
        for engine in all_engines() {
            let component = component(&engine, &text);
            let run = |case: usize| {
                let mut store = Store::new(&engine, ()).unwrap();
                let instance: Instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
                call(&mut store, instance, "run", &[Val::U32(case as u32)])
            };
            for case in [0, cases / 2, cases - 1] {
                assert_eq!(run(case).unwrap(), Some(Val::U32(case as u32)), "{cases} cases");
            }
            // In a byte there is no 256.
            if cases != 256 {
                let error = run(cases).unwrap_err().to_string();
                assert!(error.contains("invalid variant discriminant"), "{error}");
            }
        }
    }
}

/// C42 to C46: strings of each encoding to each other, of lengths around what is taken over at once, with characters of each length, and broken ones.
#[test]
fn c45_strings_in_all_encodings_are_taken_over() {
    let encodings = ["utf8", "utf16", "latin1+utf16"];
    let lengths = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 129];
    let fillings = [
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "é",
        "€",
        "🍵",
        "aé",
        "aaaaaaaaaaaaaaaÿ",
        "aaaaaaaaaaaaaaa🍵",
    ];
    for to in encodings {
        for from in encodings {
            let pair = Pair {
                types: &[],
                ty: r#"(param "s" string) (result string)"#,
                run_ty: r#"(param "s" string) (result string)"#,
                core_c: r#"(func (export "f") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))"#,
                core_d: r#"(func (export "run") (param i32 i32) (result i32)
                    (call $f (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16))"#,
                import: "(param i32 i32 i32)",
                options: [&format!("string-encoding={to}"), &format!("string-encoding={from}")],
            };
            // What the host hands over is in the caller's encoding too.
            let text = pair.text().replace(
                r#"(canon lift (core func $m "run")"#,
                &format!(r#"(canon lift (core func $m "run") string-encoding={from}"#),
            );
            for engine in all_engines() {
                let (mut store, instance) = super::instance(&engine, &text);
                for length in lengths {
                    for filling in fillings {
                        let string: String = filling.chars().cycle().take(length).collect();
                        let got = call(&mut store, instance, "run", &[Val::String(string.clone())]).unwrap();
                        assert_eq!(got, Some(Val::String(string)), "{from} to {to}");
                    }
                }
            }
        }
    }
}

/// C42 to C44: what is no string, at each place of the length that is taken over at once.
#[test]
fn c42_broken_strings_are_refused() {
    let utf8 = |bytes: &str| bytes.to_owned();
    let broken = [
        ("utf8", utf8("\\ff"), 1),
        ("utf8", utf8("\\c3"), 1),
        ("utf8", utf8("\\ed\\a0\\80"), 3),
        ("utf8", utf8("\\c0\\80"), 2),
        ("utf16", utf8("\\00\\d8"), 1),
        ("utf16", utf8("\\00\\dc"), 1),
        ("latin1+utf16", utf8("\\00\\d8"), 0x8000_0001_u32),
    ];
    for (encoding, bytes, units) in &broken {
        for before in [0_u32, 1, 6, 7, 8, 14, 15, 16, 31, 63, 64, 94, 95, 96] {
            let is_wide = *encoding != "utf8";
            let letters = if is_wide { "a\\00" } else { "a" }.repeat(before as usize);
            let pair = Pair {
                types: &[],
                ty: r#"(param "s" string)"#,
                run_ty: "",
                core_c: r#"(func (export "f") (param i32 i32))"#,
                core_d: &format!(
                    r#"(data (i32.const 16) "{letters}{bytes}")
                    (func (export "run") (call $f (i32.const 16) (i32.const {})))"#,
                    units + before
                ),
                import: "(param i32 i32)",
                options: ["", &format!("string-encoding={encoding}")],
            };
            let error = pair.run(&[]).unwrap_err();
            assert!(error.contains("invalid utf") || error.contains("incomplete utf"), "{error}");
        }
    }
}

/// Where nothing is called across, nothing is made for it: the modules are all that there is.
#[test]
fn a_component_without_calls_across_has_no_instance_for_them() {
    let mut config = Config::default();
    config.limits.instances = 2;
    let engine = innkeeper::engine(config);
    let alone =
        r#"(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))"#;
    super::instance(&engine, alone);
    let mut store = Store::new(&engine, ()).unwrap();
    let pair = Pair {
        types: &[],
        ty: "",
        run_ty: "",
        core_c: r#"(func (export "f"))"#,
        core_d: r#"(func (export "run") (call $f))"#,
        import: "",
        options: ["", ""],
    };
    let made = Linker::new(&engine).instantiate(&mut store, &component(&engine, &pair.text()));
    assert!(made.unwrap_err().to_string().contains("Limits::instances"));
}

/// Making code for calls takes time, as everything does that an instance is made of: whoever is to stop does.
#[test]
fn making_an_instance_heeds_requests_to_stop() {
    for engine in all_engines() {
        for text in [siblings("", "", ""), "(component (core func (canon context.get i32 0)))".to_owned()] {
            let component = super::component(&engine, &text);
            let mut store = Store::new(&engine, ()).unwrap();
            store.interrupt_handle().interrupt();
            let stopped = Linker::new(&engine).instantiate(&mut store, &component).map(drop);
            assert!(stopped.is_err_and(|error| error.trap() == Some(innkeeper::Trap::Interrupted)), "{text}");
            assert!(Linker::new(&engine).instantiate(&mut store, &component).is_ok(), "it is told once");
        }
    }
}
