;; A program that succeeds where a plug triples rightly, and a function to call.
(component
    (import "test:math/operations@1.0.0" (instance $operations (export "triple" (func (param "of" u32) (result u32)))))
    (core func $triple (canon lower (func $operations "triple")))
    (core module $m
        (import "" "triple" (func $triple (param i32) (result i32)))
        (func (export "run") (result i32) (i32.ne (call $triple (i32.const 14)) (i32.const 42)))
        (func (export "nine") (result i32) (call $triple (i32.const 3))))
    (core instance $i (instantiate $m (with "" (instance (export "triple" (func $triple))))))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $run))
    (func (export "nine") (result u32) (canon lift (core func $i "nine"))))
