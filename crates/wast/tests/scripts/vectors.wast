;; Vectors take two slots. Here they go through everything that moves values: parameters, results, blocks, branches, calls, tail
;; calls, globals, and locals that change while their values are in use.

(module $other
  (global (export "constant") v128 (v128.const i32x4 1 2 3 4))
  (global (export "variable") (mut v128) (v128.const i64x2 -1 -2))
  (func (export "swap") (param v128 v128) (result v128 v128) (local.get 1) (local.get 0))
)
(register "other")

(module
  (import "other" "constant" (global $imported v128))
  (import "other" "variable" (global $variable (mut v128)))
  (import "other" "swap" (func $swap_there (param v128 v128) (result v128 v128)))
  (global $derived v128 (global.get $imported))
  (type $swap (func (param v128 v128) (result v128 v128)))
  (table funcref (elem $swap_here $swap_there))

  (func $swap_here (param v128 v128) (result v128 v128) (return (local.get 1) (local.get 0)))

  ;; Numbers around vectors, in parameters and in results.
  (func (export "mixed") (param i32 v128 i64 v128 f32) (result f32 v128 i64 v128 i32)
    (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))

  (func (export "swap") (param v128 v128 i32) (result v128 v128)
    (call_indirect (type $swap) (local.get 0) (local.get 1) (local.get 2)))

  (func (export "tail") (param i32 v128 v128) (result v128 v128)
    (return_call_indirect (type $swap) (local.get 1) (local.get 2) (local.get 0)))

  (func (export "tail_import") (param i32 v128 v128) (result v128 v128)
    (return_call $swap_there (local.get 1) (local.get 2)))

  (func (export "globals") (result v128 v128)
    (global.get $derived)
    (global.set $variable (i32x4.add (global.get $variable) (global.get $imported)))
    (global.get $variable))

  ;; The branch moves two vectors and a number down by three slots, over the one below.
  (func (export "branch") (param i32 v128 v128) (result v128 i32 v128)
    (block $out (result v128 i32 v128)
      (i32.const 9)
      (v128.const i32x4 9 9 9 9)
      (local.get 1) (i32.const 7) (local.get 2)
      (br_if $out (local.get 0))
      (br $out)))

  (func (export "table") (param i32 v128) (result v128)
    (block $a (result v128)
      (block $b (result v128)
        (i64.const 3)
        (i8x16.add (local.get 1) (local.get 1))
        (br_table $a $b 2 (local.get 0)))
      (return (i8x16.neg))))

  ;; Sums 1 to n in each lane, with the vectors as parameters of the loop.
  (func (export "loop") (param $n i32) (result v128) (local v128 v128)
    (v128.const i32x4 0 0 0 0) (i32x4.splat (local.get $n))
    (loop $again (param v128 v128) (result v128)
      (local.set 1) (local.set 2)
      (i32x4.add (local.get 2) (local.get 1))
      (local.tee 1 (i32x4.sub (local.get 1) (v128.const i32x4 1 1 1 1)))
      (br_if $again (v128.any_true (local.get 1)))
      (drop)))

  ;; A value that stands for a local keeps what the local was.
  (func (export "readers") (param v128) (result v128 v128)
    (local.get 0)
    (local.set 0 (v128.not (local.get 0)))
    (local.get 0))

  (func (export "select") (param v128 v128 i32) (result v128 v128)
    (select (local.get 0) (local.get 1) (local.get 2))
    (select (result v128) (v128.const i64x2 1 2) (local.get 0) (local.get 2)))

  (func (export "if") (param v128 i32) (result v128)
    (local.get 0)
    (if (param v128) (result v128) (local.get 1) (then (i64x2.neg))))

  ;; Tests become part of the branches that follow, and of their negations.
  (func (export "tests") (param v128) (result i32)
    (block $none
      (br_if $none (i32.eqz (v128.any_true (local.get 0))))
      (if (i32x4.all_true (local.get 0)) (then (return (i32.const 1))))
      (block $negative
        (br_if $negative (i32x4.bitmask (local.get 0)))
        (return (i32.const 2)))
      (return (i32.const 3)))
    (i32.const 0))

  ;; The operand is read before the result is written over it.
  (func (export "overlap") (param i32) (result v128)
    (i32x4.replace_lane 3 (i32x4.splat (i32.add (local.get 0) (i32.const 1))) (i32.add (local.get 0) (i32.const 2))))
)

(assert_return (invoke "mixed" (i32.const 1) (v128.const i64x2 2 3) (i64.const 4) (v128.const i64x2 5 6) (f32.const 7))
  (f32.const 7) (v128.const i64x2 5 6) (i64.const 4) (v128.const i64x2 2 3) (i32.const 1))
(assert_return (invoke "swap" (v128.const i64x2 1 2) (v128.const i64x2 3 4) (i32.const 0))
  (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "swap" (v128.const i64x2 1 2) (v128.const i64x2 3 4) (i32.const 1))
  (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "tail" (i32.const 0) (v128.const i64x2 1 2) (v128.const i64x2 3 4))
  (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "tail" (i32.const 1) (v128.const i64x2 1 2) (v128.const i64x2 3 4))
  (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "tail_import" (i32.const 0) (v128.const i64x2 1 2) (v128.const i64x2 3 4))
  (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "globals") (v128.const i32x4 1 2 3 4) (v128.const i32x4 0 1 1 3))
(assert_return (get $other "variable") (v128.const i32x4 0 1 1 3))
(assert_return (invoke "branch" (i32.const 0) (v128.const i64x2 1 2) (v128.const i64x2 3 4))
  (v128.const i64x2 1 2) (i32.const 7) (v128.const i64x2 3 4))
(assert_return (invoke "branch" (i32.const 1) (v128.const i64x2 1 2) (v128.const i64x2 3 4))
  (v128.const i64x2 1 2) (i32.const 7) (v128.const i64x2 3 4))
(assert_return (invoke "table" (i32.const 0) (v128.const i64x2 1 2)) (v128.const i64x2 2 4))
(assert_return (invoke "table" (i32.const 1) (v128.const i64x2 1 2)) (v128.const i8x16 -2 0 0 0 0 0 0 0 -4 0 0 0 0 0 0 0))
(assert_return (invoke "table" (i32.const 2) (v128.const i64x2 1 2)) (v128.const i64x2 2 4))
(assert_return (invoke "loop" (i32.const 10)) (v128.const i32x4 55 55 55 55))
(assert_return (invoke "readers" (v128.const i64x2 1 2)) (v128.const i64x2 1 2) (v128.const i64x2 -2 -3))
(assert_return (invoke "select" (v128.const i64x2 3 4) (v128.const i64x2 5 6) (i32.const 1)) (v128.const i64x2 3 4) (v128.const i64x2 1 2))
(assert_return (invoke "select" (v128.const i64x2 3 4) (v128.const i64x2 5 6) (i32.const 0)) (v128.const i64x2 5 6) (v128.const i64x2 3 4))
(assert_return (invoke "if" (v128.const i64x2 3 4) (i32.const 1)) (v128.const i64x2 -3 -4))
(assert_return (invoke "if" (v128.const i64x2 3 4) (i32.const 0)) (v128.const i64x2 3 4))
(assert_return (invoke "tests" (v128.const i32x4 0 0 0 0)) (i32.const 0))
(assert_return (invoke "tests" (v128.const i32x4 1 1 1 1)) (i32.const 1))
(assert_return (invoke "tests" (v128.const i32x4 1 0 1 1)) (i32.const 2))
(assert_return (invoke "tests" (v128.const i32x4 1 0 1 -1)) (i32.const 3))
(assert_return (invoke "overlap" (i32.const 5)) (v128.const i32x4 6 6 6 7))

;; Loads and stores in memories other than the first, and with 64-bit addresses.
(module
    (memory $first i64 1)
    (memory $second 1)
    (func (export "copy") (param i64 i32) (result v128)
        (v128.store $first offset=8 (local.get 0) (v128.const i32x4 1 2 3 4))
        (v128.store $second offset=4 (local.get 1) (v128.load $first offset=8 (local.get 0)))
        (v128.store32_lane $second offset=4 2 (local.get 1) (v128.load $second offset=4 (local.get 1)))
        (v128.load16_lane $second offset=4 7 (local.get 1) (v128.load $second offset=4 (local.get 1))))
    (func (export "splat") (param i64) (result v128) (v128.load8_splat $first offset=12 (local.get 0))))
(assert_return (invoke "copy" (i64.const 16) (i32.const 32)) (v128.const i16x8 3 0 2 0 3 0 4 3))
(assert_return (invoke "splat" (i64.const 16)) (v128.const i8x16 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2))
(assert_trap (invoke "copy" (i64.const 65513) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i64.const 0x1_0000_0000) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i64.const -8) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i64.const 0) (i32.const 65517)) "out of bounds memory access")
