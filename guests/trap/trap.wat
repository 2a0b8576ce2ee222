;; Traps two calls deep, so that a backtrace has three named frames: fall, step, _start.
(module $trap
  (memory (export "memory") 1)
  (func $fall (result i32)
    unreachable)
  (func $step (result i32)
    (i32.add (call $fall) (i32.const 1)))
  (func $_start (export "_start")
    (drop (call $step))))
