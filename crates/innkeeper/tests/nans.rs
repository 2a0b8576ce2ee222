//! Canonical NaNs: the same bits from every instruction and every tier.

use innkeeper::{Config, Instance, Linker, Module, NanBits, Store, Tiers, engine_with};

const CANONICAL_F32: u32 = 0x7FC0_0000;
const CANONICAL_F64: u64 = 0x7FF8_0000_0000_0000;

const UNARY: [&str; 5] = ["ceil", "floor", "trunc", "nearest", "sqrt"];
const BINARY: [&str; 6] = ["add", "sub", "mul", "div", "min", "max"];

/// A module of functions without parameters; each makes a NaN out of one with other bits, and gives its bits.
struct Functions {
    text: String,
    names: Vec<(String, u64)>,
}

impl Functions {
    fn all() -> Functions {
        let mut functions = Functions { text: String::new(), names: Vec::new() };
        let f32_nan = "(f32.reinterpret_i32 (i32.const 0xFFA12345))";
        let f64_nan = "(f64.reinterpret_i64 (i64.const 0xFFF4123456789ABC))";
        let f32x4_nan = format!("(f32x4.splat {f32_nan})");
        let f64x2_nan = format!("(f64x2.splat {f64_nan})");
        for op in UNARY {
            functions.f32(op, &format!("(f32.{op} {f32_nan})"));
            functions.f64(op, &format!("(f64.{op} {f64_nan})"));
            functions.f32x4(op, &format!("(f32x4.{op} {f32x4_nan})"));
            functions.f64x2(op, &format!("(f64x2.{op} {f64x2_nan})"));
        }
        for op in BINARY {
            functions.f32(op, &format!("(f32.{op} {f32_nan} (f32.const 1))"));
            functions.f64(op, &format!("(f64.{op} (f64.const 1) {f64_nan})"));
            functions.f32x4(op, &format!("(f32x4.{op} {f32x4_nan} {f32x4_nan})"));
            functions.f64x2(op, &format!("(f64x2.{op} {f64x2_nan} {f64x2_nan})"));
        }
        for op in ["relaxed_min", "relaxed_max"] {
            functions.f32x4(op, &format!("(f32x4.{op} {f32x4_nan} {f32x4_nan})"));
            functions.f64x2(op, &format!("(f64x2.{op} {f64x2_nan} {f64x2_nan})"));
        }
        for op in ["relaxed_madd", "relaxed_nmadd"] {
            functions.f32x4(op, &format!("(f32x4.{op} {f32x4_nan} {f32x4_nan} {f32x4_nan})"));
            functions.f64x2(op, &format!("(f64x2.{op} {f64x2_nan} {f64x2_nan} {f64x2_nan})"));
        }
        functions.f32("demote", &format!("(f32.demote_f64 {f64_nan})"));
        functions.f64("promote", &format!("(f64.promote_f32 {f32_nan})"));
        functions.f32x4("demote", &format!("(f32x4.demote_f64x2_zero {f64x2_nan})"));
        functions.f64x2("promote", &format!("(f64x2.promote_low_f32x4 {f32x4_nan})"));
        // A product whose sum would be computed in one step, and a result that goes to a local.
        functions
            .f32("sum_of_product", &format!("(f32.add (f32.mul {f32_nan} (f32.const 2)) (f32.const 1))"));
        functions.push(
            "to_a_local",
            CANONICAL_F64,
            &format!(
                "(local f64) (local.set 0 (f64.mul {f64_nan} (f64.const 2))) (i64.reinterpret_f64 (local.get 0))"
            ),
        );
        functions
    }

    fn f32(&mut self, name: &str, expression: &str) {
        let body = format!("(i64.extend_i32_u (i32.reinterpret_f32 {expression}))");
        self.push(&format!("f32.{name}"), CANONICAL_F32.into(), &body);
    }

    fn f64(&mut self, name: &str, expression: &str) {
        self.push(&format!("f64.{name}"), CANONICAL_F64, &format!("(i64.reinterpret_f64 {expression})"));
    }

    /// The first lane, which every instruction here makes a NaN.
    fn f32x4(&mut self, name: &str, expression: &str) {
        let body = format!("(i64.extend_i32_u (i32x4.extract_lane 0 {expression}))");
        self.push(&format!("f32x4.{name}"), CANONICAL_F32.into(), &body);
    }

    fn f64x2(&mut self, name: &str, expression: &str) {
        self.push(&format!("f64x2.{name}"), CANONICAL_F64, &format!("(i64x2.extract_lane 0 {expression})"));
    }

    fn push(&mut self, name: &str, canonical: u64, body: &str) {
        self.text += &format!("(func (export \"{name}\") (result i64) {body})\n");
        self.names.push((name.to_owned(), canonical));
    }
}

fn results(nan_bits: NanBits, tiers: Tiers) -> Vec<(String, u64, u64)> {
    let functions = Functions::all();
    let engine = engine_with(Config { nan_bits, ..Config::default() }, tiers);
    let binary = wat::parse_str(format!("(module {})", functions.text)).expect("the text is right");
    let module = Module::new(&engine, binary).expect("the module is valid");
    let mut store = Store::new(&engine, ()).expect("a store");
    let instance: Instance = Linker::new(&engine).instantiate(&mut store, &module).expect("no imports");
    let mut call = |name: &str| {
        let func = instance.get_typed_func::<(), u64>(&mut store, name).expect("its type");
        func.call(&mut store, ()).expect("it does not trap")
    };
    functions.names.iter().map(|(name, canonical)| (name.clone(), *canonical, call(name))).collect()
}

#[test]
fn canonical_in_every_tier() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        for (name, canonical, bits) in results(NanBits::Canonical, tiers) {
            assert_eq!(bits, canonical, "{name} gives {bits:x} under {tiers:?}");
        }
    }
}

#[test]
fn otherwise_bits_show_where_a_nan_came_from() {
    let kept = results(NanBits::AsComputed, Tiers::Interpreter)
        .into_iter()
        .filter(|(_, canonical, bits)| bits != canonical);
    assert!(kept.count() > 40, "the inputs are such that it matters");
}
