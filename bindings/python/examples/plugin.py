"""A plugin: it is given functions of Python's, works on its memory, and cannot run for ever."""

import innkeeper

PLUGIN = """(module
    (import "host" "price" (func $price (param i32) (result f64)))
    (import "host" "log" (func $log (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "looking at prices")
    (func (export "total") (param $count i32) (result f64) (local $sum f64)
        (call $log (i32.const 0) (i32.const 17))
        (loop $next
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (local.set $sum (f64.add (local.get $sum) (call $price (local.get $count))))
            (br_if $next (local.get $count)))
        (local.get $sum))
    (func (export "shout") (param $size i32) (local $at i32)
        (loop $next
            (i32.store8 (local.get $at) (i32.and (i32.load8_u (local.get $at)) (i32.const 0xdf)))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $size)))))
    (func (export "hang") (loop $again (br $again))))"""

engine = innkeeper.Engine(max_memory=16 << 20)
linker = innkeeper.Linker(engine)
prices = {0: 1.5, 1: 20.0, 2: 0.25}
logged = []
linker.define("host", "price", prices.__getitem__)
linker.define("host", "log", lambda address, size: logged.append(plugin["memory"].read(address, size).decode()))

store = innkeeper.Store(engine, deadline=5.0)
plugin = linker.instantiate(store, innkeeper.Module(engine, PLUGIN))
print("total:", plugin["total"](3), logged)

# Bytes go in and out where they are.
with memoryview(plugin["memory"]) as bytes:
    bytes[:5] = b"quiet"
    plugin["shout"](5)
    print(bytes[:5].tobytes().decode())

try:
    plugin["total"](4)
except KeyError as missing:
    print("no price:", missing)

store.set_deadline(0.05)
try:
    plugin["hang"]()
except innkeeper.Trap as trap:
    print("stopped:", trap)
