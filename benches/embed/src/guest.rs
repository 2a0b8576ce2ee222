//! The modules that are measured.

/// What is done with a store.
pub struct Case {
    pub name: &'static str,
    /// None: there is a store and nothing in it.
    pub module: Option<Shape>,
    /// Whether an exported function is called, too.
    pub calls: bool,
    /// How often it is done in one round.
    pub times: u32,
}

/// What a module has.
#[derive(Clone, Copy)]
pub struct Shape {
    pub imports: usize,
    /// Bytes in an active data segment.
    pub data: usize,
    /// Elements of a table with an active segment.
    pub elements: usize,
    pub has_memory: bool,
}

const EMPTY: Shape = Shape { imports: 0, data: 0, elements: 0, has_memory: false };
const SMALL: Shape = Shape { imports: 3, has_memory: true, ..EMPTY };
const LARGE: Shape = Shape { imports: 45, data: 1 << 20, elements: 200, has_memory: true };

pub const CASES: [Case; 6] = [
    Case { name: "store alone", module: None, calls: false, times: 2000 },
    Case { name: "empty module", module: Some(EMPTY), calls: false, times: 2000 },
    Case { name: "3 imports, a page", module: Some(SMALL), calls: false, times: 1000 },
    Case { name: "3 imports, a page, a call", module: Some(SMALL), calls: true, times: 1000 },
    Case { name: "45 imports, 1 MiB, 200 elements", module: Some(LARGE), calls: false, times: 300 },
    Case { name: "45 imports, 1 MiB, 200 el., a call", module: Some(LARGE), calls: true, times: 300 },
];

/// The most functions that a module imports: `host` `f0` and so on, which return what they are given.
pub const MOST_IMPORTS: usize = 45;

impl Shape {
    pub fn text(self) -> String {
        let Shape { imports, data, elements, has_memory } = self;
        let imports: String = (0..imports)
            .map(|i| format!("(import \"host\" \"f{i}\" (func (param i32) (result i32)))"))
            .collect();
        let memory = match has_memory {
            true => format!("(memory (export \"memory\") {})", (data >> 16) + 1),
            false => String::new(),
        };
        let segment = match data {
            0 => String::new(),
            _ => format!("(data (i32.const 0) \"{}\")", "x".repeat(data)),
        };
        let table = match elements {
            0 => String::new(),
            _ => format!("(table {elements} funcref) (elem (i32.const 0) func {})", "$run ".repeat(elements)),
        };
        // It reads and writes its memory, where it has one.
        let body = match has_memory {
            true => {
                "(i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (local.get 0)))
                (i32.add (local.get 0) (i32.const 1))"
            }
            false => "(i32.add (local.get 0) (i32.const 1))",
        };
        format!(
            "(module {imports} {memory} {table} {segment}
                (func $run (export \"run\") (param i32) (result i32) {body}))"
        )
    }
}

/// What host calls into, what calls the host as often as it is told, and what waits.
pub const CALLS: &str = r#"(module (import "host" "f0" (func $f (param i32) (result i32)))
    (func (export "run") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "calls") (param i32) (result i32)
        (loop $l (drop (call $f (local.get 0)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 0)))"#;
