;; Twelve threads that stay alive, one after the other: each fills the directory in memory with symbolic links of 4,000 bytes, and removes all but the last.
(module
 (import "wasi_snapshot_preview1" "path_symlink" (func $sym (param i32 i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "path_unlink_file" (func $unl (param i32 i32 i32) (result i32)))
 (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
 (import "env" "memory" (memory 4 4 shared))
 (export "memory" (memory 0))
 ;; 0: done counter; 4: quit flag; text at 65536.. 4000 ; names per thread at 1024+64*tid
 (func $name (param $at i32) (param $t i32) (param $n i32)
   (local $k i32)
   (i32.store8 (local.get $at) (i32.add (i32.const 65) (local.get $t)))
   (loop $l
     (local.set $k (i32.add (local.get $k) (i32.const 1)))
     (i32.store8 (i32.add (local.get $at) (local.get $k)) (i32.add (i32.const 97) (i32.and (local.get $n) (i32.const 15))))
     (local.set $n (i32.shr_u (local.get $n) (i32.const 4)))
     (br_if $l (i32.lt_u (local.get $k) (i32.const 5)))))
 (func $work (param $t i32)
   (local $i i32) (local $at i32)
   (local.set $at (i32.add (i32.const 1024) (i32.mul (local.get $t) (i32.const 64))))
   (block $full (loop $l
     (call $name (local.get $at) (local.get $t) (local.get $i))
     (br_if $full (call $sym (i32.const 65536) (i32.const 4000) (i32.const 3) (local.get $at) (i32.const 6)))
     (local.set $i (i32.add (local.get $i) (i32.const 1)))
     (br $l)))
   (i32.store (i32.add (i32.const 2048) (i32.mul (local.get $t) (i32.const 4))) (local.get $i))
   (local.set $i (i32.sub (local.get $i) (i32.const 1)))
   (loop $m
     (local.set $i (i32.sub (local.get $i) (i32.const 1)))
     (call $name (local.get $at) (local.get $t) (local.get $i))
     (if (call $unl (i32.const 3) (local.get $at) (i32.const 6)) (then (unreachable)))
     (br_if $m (local.get $i))))
 (func (export "wasi_thread_start") (param $tid i32) (param $t i32)
   (call $work (local.get $t))
   (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
   (drop (memory.atomic.notify (i32.const 0) (i32.const 100)))
   (loop $w
     (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
     (br_if $w (i32.eqz (i32.atomic.load (i32.const 4))))))
 (func (export "_start") (local $t i32)
   (memory.fill (i32.const 65536) (i32.const 97) (i32.const 4000))
   (loop $l
     (if (i32.le_s (call $spawn (local.get $t)) (i32.const 0)) (then (unreachable)))
     (loop $w
       (drop (memory.atomic.wait32 (i32.const 0) (local.get $t) (i64.const -1)))
       (br_if $w (i32.eq (i32.atomic.load (i32.const 0)) (local.get $t))))
     (local.set $t (i32.add (local.get $t) (i32.const 1)))
     (br_if $l (i32.lt_u (local.get $t) (i32.const 12))))
   (i32.atomic.store (i32.const 4) (i32.const 1))
   (drop (memory.atomic.notify (i32.const 4) (i32.const 100)))))
