;; A reactor: _initialize runs first, then the host calls add as often as it likes. add traps where
;; _initialize has not run, so a host that forgets it is found out.
(module $reactor
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (func $_initialize (export "_initialize")
    (if (global.get $ready) (then unreachable))
    (global.set $ready (i32.const 1)))
  (func $add (export "add") (param $left i32) (param $right i32) (result i32)
    (if (i32.eqz (global.get $ready)) (then unreachable))
    (i32.add (local.get $left) (local.get $right))))
