//! What guests export: functions of the world and of interfaces, with all kinds of types.

use innkeeper::component::{Linker, bindgen};

use crate::{component, store};

mod greeter {
    super::bindgen!({
        inline: "
            package test:greeter;
            /// Says hello.
            world greeter {
                /// Whom to greet.
                import name: func() -> string;
                export greet: func(hello: string) -> string;
            }",
    });
}

/// A world of functions alone.
#[test]
fn a_greeter() {
    const WIT: &str = "package test:greeter; world greeter { import name: func() -> string; export greet: func(hello: string) -> string; }";
    struct Host(String);
    impl greeter::GreeterImports for Host {
        fn name(&mut self) -> String {
            self.0.clone()
        }
    }
    let (engine, mut store) = store(Host("world".to_owned()));
    // The greeting, then the name, in one piece: nothing else is allocated meanwhile.
    let greet = r#"
        (func (export "greet") (param $at i32) (param $length i32) (result i32)
            (call $name (i32.const 24))
            (memory.copy (i32.add (local.get $at) (local.get $length)) (i32.load (i32.const 24)) (i32.load (i32.const 28)))
            (call $pair (local.get $at) (i32.add (local.get $length) (i32.load (i32.const 28)))))"#;
    let imports = r#"(import "$root" "name" (func $name (param i32)))"#;
    let component = component(&engine, WIT, "greeter", imports, greet);
    let mut linker = Linker::new(&engine);
    greeter::Greeter::add_to_linker(&mut linker, |host: &mut Host| host).unwrap();
    let greeter = greeter::Greeter::instantiate(&mut store, &linker, &component).unwrap();
    let hello = "hello, ".to_owned();
    assert_eq!(greeter.call_greet(&mut store, &hello).unwrap(), "hello, world");
}

mod calculator {
    super::bindgen!({
        inline: "
            package test:calculator@1.2.3;
            interface operations {
                add: func(a: s32, b: s32) -> s32;
                divide: func(a: u64, b: u64) -> result<u64, string>;
                sum: func(of: list<u32>) -> u32;
                clear: func();
            }
            world calculator { export operations; }",
    });
}

/// A versioned interface.
#[test]
fn a_calculator() {
    const WIT: &str = "package test:calculator@1.2.3; interface operations {
        add: func(a: s32, b: s32) -> s32; divide: func(a: u64, b: u64) -> result<u64, string>; sum: func(of: list<u32>) -> u32; clear: func(); }
        world calculator { export operations; }";
    let functions = r#"
        (func (export "test:calculator/operations@1.2.3#add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "test:calculator/operations@1.2.3#divide") (param i64 i64) (result i32)
            (i32.store8 (i32.const 16) (i64.eqz (local.get 1)))
            (if (i64.eqz (local.get 1))
                (then (i32.store (i32.const 24) (i32.const 64)) (i32.store (i32.const 28) (i32.const 7)))
                (else (i64.store (i32.const 24) (i64.div_u (local.get 0) (local.get 1)))))
            (i32.const 16))
        (data (i32.const 64) "by zero")
        (func (export "test:calculator/operations@1.2.3#sum") (param $at i32) (param $left i32) (result i32)
            (local $sum i32)
            (block $done (loop $next
                (br_if $done (i32.eqz (local.get $left)))
                (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 4)))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br $next)))
            (local.get $sum))
        (func (export "test:calculator/operations@1.2.3#clear"))"#;
    let (engine, mut store) = store(());
    let component = component(&engine, WIT, "calculator", "", functions);
    let calculator =
        calculator::Calculator::instantiate(&mut store, &Linker::new(&engine), &component).unwrap();
    let operations = calculator.test_calculator_operations();
    assert_eq!(operations.call_add(&mut store, -2, 44).unwrap(), 42);
    assert_eq!(operations.call_divide(&mut store, 9, 3).unwrap(), Ok(3));
    assert_eq!(operations.call_divide(&mut store, 9, 0).unwrap(), Err("by zero".to_owned()));
    assert_eq!(operations.call_sum(&mut store, &[1, 2, 3]).unwrap(), 6);
    operations.call_clear(&mut store).unwrap();
}

mod shapes {
    super::bindgen!({
        inline: "
            package test:shapes;
            interface shapes {
                record point { address: u32, end: u32 }
                enum colour { red, dark-green }
                flags style { filled, outlined }
                variant shape { dot, line(point), text(string) }
                record drawn { shape: shape, colour: option<colour>, style: style, tags: list<string> }
                type pair = tuple<point, point>;
                same: func(drawn: drawn) -> drawn;
                swap: func(pair: pair) -> pair;
                darker: func(colour: colour) -> colour;
                all: func(style: style) -> bool;
            }
            world canvas { export shapes; }",
        derives: [std::cmp::PartialOrd],
    });
}

/// Types of all kinds, which need no module of their own on the guest's side; with fields that are called as what derives of Rust use.
#[test]
fn shapes_of_all_kinds() {
    use shapes::test::shapes::shapes::{Colour, Drawn, Point, Shape, Style};
    const WIT: &str = "package test:shapes; interface shapes {
        record point { address: u32, end: u32 } enum colour { red, dark-green } flags style { filled, outlined } variant shape { dot, line(point), text(string) }
        record drawn { shape: shape, colour: option<colour>, style: style, tags: list<string> } type pair = tuple<point, point>;
        same: func(drawn: drawn) -> drawn; swap: func(pair: pair) -> pair; darker: func(colour: colour) -> colour; all: func(style: style) -> bool; }
        world canvas { export shapes; }";
    let functions = r#"
        (func (export "test:shapes/shapes#same") (param $case i32) (param $a i32) (param $b i32) (param $some i32) (param $colour i32) (param $style i32) (param $tags i32) (param $count i32) (result i32)
            (i32.store8 (i32.const 32) (local.get $case)) (i32.store (i32.const 36) (local.get $a)) (i32.store (i32.const 40) (local.get $b))
            (i32.store8 (i32.const 44) (local.get $some)) (i32.store8 (i32.const 45) (local.get $colour)) (i32.store8 (i32.const 46) (local.get $style))
            (i32.store (i32.const 48) (local.get $tags)) (i32.store (i32.const 52) (local.get $count))
            (i32.const 32))
        (func (export "test:shapes/shapes#swap") (param i32 i32 i32 i32) (result i32)
            (i32.store (i32.const 24) (local.get 0)) (i32.store (i32.const 28) (local.get 1))
            (call $pair (local.get 2) (local.get 3)))
        (func (export "test:shapes/shapes#darker") (param i32) (result i32) (i32.const 1))
        (func (export "test:shapes/shapes#all") (param i32) (result i32) (i32.eq (local.get 0) (i32.const 3)))"#;
    let (engine, mut store) = store(());
    let component = component(&engine, WIT, "canvas", "", functions);
    let canvas = shapes::Canvas::instantiate(&mut store, &Linker::new(&engine), &component).unwrap();
    let shapes = canvas.test_shapes_shapes();
    for shape in [Shape::Dot, Shape::Line(Point { address: 1, end: 2 }), Shape::Text("là".to_owned())] {
        let style = Style { filled: true, ..Style::default() };
        let drawn = Drawn {
            shape,
            colour: Some(Colour::DarkGreen),
            style,
            tags: vec!["a".to_owned(), "bc".to_owned()],
        };
        assert_eq!(shapes.call_same(&mut store, &drawn).unwrap(), drawn);
    }
    let (a, b) = (Point { address: 1, end: 2 }, Point { address: 3, end: 4 });
    assert_eq!(shapes.call_swap(&mut store, (&a, &b)).unwrap(), (b.clone(), a.clone()));
    assert!(a < b, "what was asked for is derived");
    assert_eq!(shapes.call_darker(&mut store, Colour::Red).unwrap().to_string(), "dark-green");
    assert!(shapes.call_all(&mut store, Style { filled: true, outlined: true }).unwrap());
    // On the guest's side they are the same types.
    let _: shapes::exports::test::shapes::shapes::Point = a;
}
