;; What the other plug imports.
(component
    (core module $m (func (export "three") (result i32) (i32.const 3)))
    (core instance $i (instantiate $m))
    (func $three (result u32) (canon lift (core func $i "three")))
    (instance $constants (export "three" (func $three)))
    (export "test:math/constants@1.0.0" (instance $constants)))
