//! What compiling makes of a few bytes is bounded before it is made: instructions that stand for a thousand values each, and blocks inside each other.
//! Such functions stay interpreted, with the reason in the statistics, and compute the same.

use innkeeper::{Config, Engine, Linker, Module, Store, Tiers};

const WIDE: usize = 1000;

/// Bodies of a function () -> i32, and the reason for which they are not compiled.
fn bodies() -> [(&'static str, String, &'static str); 4] {
    let (zeros, drops) = ("(i64.const 0)".repeat(WIDE), "drop ".repeat(WIDE));
    let never = "(i32.eqz (i32.const 1))";
    let nested = |open: &str, depth: usize| format!("{} {}", open.repeat(depth), "end ".repeat(depth));
    [
        (
            "calls from and to memory",
            format!("{never} if {zeros} {} {drops} end i32.const 7", "call $wide ".repeat(4000)),
            "the frame is too large",
        ),
        (
            "tail calls in conditionals",
            format!(
                "{never} if {zeros} {} return_call $take {} drop end i32.const 7",
                "i32.const 0 if (type $take) return_call $take else ".repeat(1500),
                "end ".repeat(1500)
            ),
            "it has too many values given to blocks",
        ),
        (
            "conditionals",
            format!("{} i32.const 7", nested("i32.const 0 if ", 3000)),
            "it has too many blocks inside each other",
        ),
        (
            "loops",
            format!("{} i32.const 7", nested("loop ", 3000)),
            "it has too many blocks inside each other",
        ),
    ]
}

fn run(tiers: Tiers, body: &str) -> (i32, Engine) {
    let wide = "i64 ".repeat(WIDE);
    let gets: String = (0..WIDE).map(|i| format!("(local.get {i})")).collect();
    let text = format!(
        r#"(module
            (type $take (func (param {wide}) (result i32)))
            (func $wide (param {wide}) (result {wide}) {gets})
            (func $take (type $take) (i32.const 9))
            (func (export "run") (result i32) {body}))"#
    );
    let engine = innkeeper::engine_with(Config::default(), tiers);
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}")).into_owned();
    let module = Module::new(&engine, binary).unwrap_or_else(|error| panic!("{error}"));
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    (run.call(&mut store, ()).unwrap(), engine)
}

#[test]
fn y5_few_bytes_that_stand_for_very_much_stay_interpreted() {
    for (name, body, reason) in bodies() {
        assert_eq!(run(Tiers::Interpreter, &body).0, 7, "{name}");
        let (result, engine) = run(Tiers::Compiled, &body);
        assert_eq!(result, 7, "{name}");
        let refused = engine.compile_statistics().refused;
        assert!(refused.contains_key(reason), "{name}: {refused:?}");
    }
}
