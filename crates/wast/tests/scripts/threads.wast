;; Threads with stores of their own that share a memory.

(module $Mem (memory (export "shared") 1 8 shared))

;; A message and the flag that says it is there; the reader waits for the flag.
(thread $Writer (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 8 shared)
    (func (export "run") (result i32)
      (i32.store (i32.const 64) (i32.const 42))
      (i32.atomic.store (i32.const 0) (i32.const 1))
      ;; Notify until the reader says that it has seen the flag.
      (loop $again
        (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
        (br_if $again (i32.eqz (i32.atomic.load (i32.const 8)))))
      (i32.atomic.load (i32.const 8))))
  (assert_return (invoke "run") (i32.const 1)))

(thread $Reader (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 8 shared)
    (func (export "run") (result i32)
      (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
      (i32.atomic.store (i32.const 8) (i32.const 1))
      (i32.load (i32.const 64))))
  (assert_return (invoke "run") (i32.const 42)))

(wait $Writer)
(wait $Reader)

;; Two threads count together: no increment is lost.
(module $Counter (memory (export "shared") 1 1 shared))
(thread $A (shared (module $Counter))
  (register "mem" $Counter)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "run") (param $n i32)
      (loop $again
        (drop (i64.atomic.rmw.add (i32.const 8) (i64.const 1)))
        (drop (i32.atomic.rmw8.add_u (i32.const 3) (i32.const 1)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (assert_return (invoke "run" (i32.const 100000))))
(thread $B (shared (module $Counter))
  (register "mem" $Counter)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "run") (param $n i32) (local $old i64)
      (loop $again
        (block $done
          (loop $retry
            (local.set $old (i64.atomic.load (i32.const 8)))
            (br_if $done (i64.eq (local.get $old)
              (i64.atomic.rmw.cmpxchg (i32.const 8) (local.get $old) (i64.add (local.get $old) (i64.const 1)))))
            (br $retry)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
  (assert_return (invoke "run" (i32.const 100000))))
(wait $A)
(wait $B)
(register "counter" $Counter)
(module
  (memory (import "counter" "shared") 1 1 shared)
  (func (export "count") (result i64) (i64.load (i32.const 8)))
  (func (export "byte") (result i32) (i32.load8_u (i32.const 3))))
(assert_return (invoke "count") (i64.const 200000))
(assert_return (invoke "byte") (i32.const 0xA0)) ;; 100,000 modulo 256

;; What one thread grows, the other can use once it has heard of it, also with plain loads and stores whose bounds were read long before.
(module $Grown (memory (export "shared") 1 8 shared))
(thread $Grower (shared (module $Grown))
  (register "mem" $Grown)
  (module
    (memory (import "mem" "shared") 1 8 shared)
    (func (export "run") (result i32)
      (loop $again (br_if $again (i32.eqz (i32.atomic.load (i32.const 0)))))
      (memory.grow (i32.const 3))
      (i32.store (i32.const 0x30000) (i32.const 77))
      (i32.atomic.store (i32.const 4) (i32.const 1))))
  (assert_return (invoke "run") (i32.const 1)))
(thread $User (shared (module $Grown))
  (register "mem" $Grown)
  (module
    (memory (import "mem" "shared") 1 8 shared)
    (func (export "run") (result i32 i32)
      (i32.atomic.store (i32.const 0) (i32.const 1))
      (loop $again
        (drop (i32.load (i32.const 8)))
        (br_if $again (i32.eqz (i32.atomic.load (i32.const 4)))))
      (i32.store (i32.const 0x30004) (i32.const 5))
      (i32.add (i32.load (i32.const 0x30000)) (i32.load (i32.const 0x30004)))
      (memory.size))
    (func (export "beyond") (i32.store (i32.const 0x40000) (i32.const 5))))
  (assert_return (invoke "run") (i32.const 82) (i32.const 4))
  (assert_trap (invoke "beyond") "out of bounds memory access"))
(wait $Grower)
(wait $User)

;; Waiting: not equal, timed out, unaligned, beyond the end, and on a memory that is not shared.
(module
  (memory 1 1 shared)
  (func (export "wait32") (param i32 i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "notify") (param i32 i32) (result i32)
    (memory.atomic.notify (local.get 0) (local.get 1))))
(assert_return (invoke "wait32" (i32.const 0) (i32.const 1) (i64.const -1)) (i32.const 1))
(assert_return (invoke "wait64" (i32.const 0) (i64.const 1) (i64.const -1)) (i32.const 1))
(assert_return (invoke "wait32" (i32.const 0) (i32.const 0) (i64.const 1000000)) (i32.const 2))
(assert_return (invoke "wait64" (i32.const 0) (i64.const 0) (i64.const 1000000)) (i32.const 2))
(assert_return (invoke "notify" (i32.const 0) (i32.const -1)) (i32.const 0))
(assert_trap (invoke "wait32" (i32.const 2) (i32.const 0) (i64.const 0)) "unaligned atomic")
(assert_trap (invoke "wait64" (i32.const 4) (i64.const 0) (i64.const 0)) "unaligned atomic")
(assert_trap (invoke "notify" (i32.const 2) (i32.const 0)) "unaligned atomic")
(assert_trap (invoke "wait32" (i32.const 0x10000) (i32.const 0) (i64.const 0)) "out of bounds memory access")
(assert_trap (invoke "notify" (i32.const 0x10000) (i32.const 0)) "out of bounds memory access")
(module
  (memory 1 1)
  (func (export "wait32") (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)))
  (func (export "wait64") (result i32) (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 0)))
  (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 1)))
  (func (export "add") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 7)))
  (func (export "narrow") (param i32) (result i32)
    (i32.atomic.rmw8.cmpxchg_u (i32.const 0) (local.get 0) (i32.const 0x1234))))
(assert_trap (invoke "wait32") "expected shared memory")
(assert_trap (invoke "wait64") "expected shared memory")
(assert_return (invoke "notify") (i32.const 0))
(assert_return (invoke "add") (i32.const 0))
(assert_return (invoke "add") (i32.const 7))
;; What is expected counts as wide as the cell.
(assert_return (invoke "narrow" (i32.const 0xFF0E)) (i32.const 14))
(assert_return (invoke "narrow" (i32.const 0)) (i32.const 0x34))

;; Atomic accesses to memories with 64-bit addresses.
(module
  (memory 1)
  (memory $wide i64 1 2 shared)
  (func (export "add") (param i64) (result i64) (i64.atomic.rmw.add $wide offset=8 (local.get 0) (i64.const 3)))
  (func (export "far") (result i64) (i64.atomic.load $wide offset=0xffff_ffff_ffff_fff8 (i64.const 8)))
  (func (export "wait") (result i32) (memory.atomic.wait32 $wide (i64.const 0) (i32.const 1) (i64.const -1)))
  (func (export "fence") (atomic.fence)))
(assert_return (invoke "add" (i64.const 0)) (i64.const 0))
(assert_return (invoke "add" (i64.const 0)) (i64.const 3))
(assert_trap (invoke "add" (i64.const 1)) "unaligned atomic")
(assert_trap (invoke "add" (i64.const 0x1_0000_0000)) "out of bounds memory access")
(assert_trap (invoke "far") "out of bounds memory access")
(assert_return (invoke "wait") (i32.const 1))
(assert_return (invoke "fence"))
