;; An interface that others import, and a function that is imported from another plug.
(component
    (import "test:math/constants@1.0.0" (instance $constants (export "three" (func (result u32)))))
    (core func $three (canon lower (func $constants "three")))
    (core module $m
        (import "" "three" (func $three (result i32)))
        (func (export "triple") (param i32) (result i32) (i32.mul (local.get 0) (call $three))))
    (core instance $i (instantiate $m (with "" (instance (export "three" (func $three))))))
    (func $triple (param "of" u32) (result u32) (canon lift (core func $i "triple")))
    (instance $operations (export "triple" (func $triple)))
    (export "test:math/operations@1.2.0" (instance $operations)))
