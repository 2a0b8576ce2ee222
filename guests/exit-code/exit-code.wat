;; Ends with the exit code 42 through proc_exit; what follows the call must not run.
(module $exit_code
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $_start (export "_start")
    (call $proc_exit (i32.const 42))
    unreachable))
