"""What the bindings promise; run by `cargo test -p innkeeper-python`."""

import array
import gc
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time
import unittest
import weakref

import innkeeper
from innkeeper import Engine, Error, Exit, Keys, Linker, Module, Store, Trap

ENGINE = Engine()
GUESTS = pathlib.Path(__file__).resolve().parents[3] / "guests"


def instance(text, store=None, **functions):
    linker = Linker(ENGINE)
    for name, function in functions.items():
        linker.define("host", name, function)
    store = store or Store(ENGINE)
    return linker.instantiate(store, Module(ENGINE, text))


class Values(unittest.TestCase):
    def test_numbers_pass_both_ways(self):
        guest = instance("""(module
            (func (export "i32") (param i32) (result i32) (local.get 0))
            (func (export "i64") (param i64) (result i64) (local.get 0))
            (func (export "f32") (param f32) (result f32) (local.get 0))
            (func (export "f64") (param f64) (result f64) (local.get 0))
            (func (export "v128") (param v128) (result v128) (local.get 0))
            (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
            (func (export "none")))""")
        self.assertEqual([guest["i32"](n) for n in (0, -1, -(2**31), 2**32 - 1)], [0, -1, -(2**31), -1])
        self.assertEqual([guest["i64"](n) for n in (2**64 - 1, -(2**63))], [-1, -(2**63)])
        self.assertEqual((guest["f32"](0.5), guest["f64"](1e300), guest["v128"](2**128 - 1)), (0.5, 1e300, 2**128 - 1))
        self.assertEqual((guest["swap"](7, 2.5), guest["none"]()), ((2.5, 7), None))
        for bad in (2**32, -(2**31) - 1):
            self.assertRaises(OverflowError, guest["i32"], bad)
        self.assertRaises(OverflowError, guest["i64"], 2**64)
        self.assertRaises(TypeError, guest["i32"], "1")
        self.assertRaises(TypeError, guest["i32"])
        self.assertEqual(guest["swap"].type, str(guest["swap"].type))

    def test_objects_pass_through(self):
        guest = instance("""(module (import "host" "look" (func $look (param externref) (result externref)))
            (table 1 externref)
            (func (export "keep") (param externref) (table.set (i32.const 0) (local.get 0)))
            (func (export "kept") (result externref) (call $look (table.get (i32.const 0)))))""", look=lambda object: object)
        object = {"any": "thing"}
        guest["keep"](object)
        gc.collect()
        self.assertIs(guest["kept"](), object)
        guest["keep"](None)
        self.assertIsNone(guest["kept"]())

    def test_functions_pass(self):
        guest = instance("""(module (type $f (func (param i32) (result i32)))
            (elem declare func $double)
            (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (func (export "which") (result funcref) (ref.func $double))
            (func (export "is") (param funcref) (result i32) (ref.is_null (local.get 0))))""")
        self.assertEqual(guest["which"]()(21), 42)
        self.assertEqual((guest["is"](guest["which"]()), guest["is"](None)), (0, 1))
        other = instance('(module (func (export "f")))')
        self.assertRaises(Error, guest["is"], other["f"])

    def test_globals(self):
        guest = instance('(module (global (export "n") (mut i64) (i64.const 3)) (global (export "c") f32 (f32.const 2)))')
        guest["n"].value = 9
        self.assertEqual((guest["n"].value, guest["c"].value), (9, 2.0))
        with self.assertRaises(Error):
            guest["c"].value = 1.0


class Functions(unittest.TestCase):
    TEXT = """(module (import "host" "f" (func $f (param i32) (result i32)))
        (func (export "call") (param i32) (result i32) (call $f (local.get 0)))
        (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))"""

    def test_exceptions_come_back_as_they_are(self):
        class Mine(Exception):
            pass

        def f(n):
            raise Mine(n)

        guest = instance(self.TEXT, f=f)
        with self.assertRaises(Mine) as raised:
            guest["call"](5)
        self.assertEqual(raised.exception.args, (5,))
        # The guest goes on.
        self.assertEqual(guest["double"](4), 8)

    def test_wrong_results_are_refused(self):
        for wrong in ("text", None, 2**40):
            guest = instance(self.TEXT, f=lambda n: wrong)
            self.assertRaises((TypeError, OverflowError), guest["call"], 1)

    def test_guests_are_called_from_within(self):
        guest = instance(self.TEXT, f=lambda n: guest["double"](n) + 1)
        self.assertEqual(guest["call"](10), 21)
        guest = instance(self.TEXT, f=lambda n: guest["call"](n - 1) + 1 if n else 0)
        self.assertEqual(guest["call"](30), 30)
        self.assertRaises((Error, RecursionError), guest["call"], 100000)
        self.assertEqual(guest["double"](1), 2)

    def test_types_are_those_of_each_import(self):
        linker = Linker(ENGINE)
        seen = []
        linker.define("host", "f", lambda *args: seen.append(args))
        store = Store(ENGINE)
        for types, body in (("i32 i64", "(i32.const 1) (i64.const 2)"), ("f32", "(f32.const 0.5)")):
            text = f'(module (import "host" "f" (func $f (param {types}))) (func (export "g") (call $f {body})))'
            linker.instantiate(store, Module(ENGINE, text))["g"]()
        self.assertEqual(seen, [(1, 2), (0.5,)])

    def test_missing_imports_are_named(self):
        with self.assertRaisesRegex(Error, "host"):
            instance(self.TEXT)


class Traps(unittest.TestCase):
    def test_traps_say_how_and_where(self):
        guest = instance('(module (func $inner (export "f") (unreachable)))')
        with self.assertRaises(Trap) as trap:
            guest["f"]()
        self.assertIn("unreachable", trap.exception.args[0])
        self.assertIn("inner", trap.exception.args[1])
        self.assertEqual((str(trap.exception), trap.exception.frames), trap.exception.args)
        self.assertEqual(trap.exception.message, "unreachable")
        self.assertEqual((str(Trap()), str(Trap("made here")), Trap("made here").frames), ("", "made here", ""))

    def test_functions_see_who_has_called(self):
        seen = []
        store = Store(ENGINE)
        guest = instance(
            """(module (import "host" "look" (func $look))
            (func $inner (call $look)) (func $outer (export "f") (call $inner)))""",
            store, look=lambda: seen.append(store.backtrace()))
        guest["f"]()
        inner, outer = seen[0].splitlines()
        self.assertTrue("inner" in inner and "outer" in outer and "at 0x" in inner, seen)
        self.assertEqual(store.backtrace(), "")

    def test_deadlines_and_fuel_and_memory(self):
        text = """(module (memory (export "memory") 1)
            (func (export "hang") (loop $l (br $l))) (func (export "grow") (result i32) (memory.grow (i32.const 10000))))"""
        store = Store(ENGINE, deadline=0.05)
        guest = instance(text, store)
        for name in ("hang", "grow", "hang"):
            self.assertRaises(Trap, guest[name])  # past its deadline a store runs nothing more
        store.set_deadline(None)
        guest["grow"]()
        store = Store(ENGINE, deadline=0.01)
        store.set_deadline(None)
        time.sleep(0.02)
        instance(text, store)
        engine = Engine(fuel=True, max_memory=1 << 20)
        store = Store(engine, fuel=10000)
        guest = Linker(engine).instantiate(store, Module(engine, text))
        self.assertEqual(guest["grow"](), -1)
        self.assertRaises(Trap, guest["hang"])
        self.assertEqual(store.fuel, 0)
        for bad in (-1.0, float("nan"), float("inf")):
            self.assertRaises(Error, Store, ENGINE, deadline=bad)

    def test_broken_modules(self):
        for bad in (b"\0asm\1\0\0\0\1", "(module (func (result i32)))", b"", b"\x7fELF"):
            self.assertRaises(Error, Module, ENGINE, bad)


class Memory(unittest.TestCase):
    TEXT = """(module (memory (export "memory") 1 4)
        (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""

    def test_reads_and_writes(self):
        guest = instance(self.TEXT)
        memory = guest["memory"]
        memory.write(65531, b"abcde")
        self.assertEqual((memory.read(65531, 5), guest["get"](65532)), (b"abcde", ord("b")))
        for address, size in ((65532, 5), (65537, 0), (2**63, 1), (2**64 - 1, 1)):
            self.assertRaises(Error, memory.read, address, size)
        self.assertRaises(Error, memory.write, 65536, b"x")
        self.assertEqual((memory.grow(2), memory.pages, len(memory)), (1, 3, 3 * 65536))
        self.assertRaises(Error, memory.grow, 2)

    def test_views_stay_good(self):
        guest = instance(self.TEXT)
        view = memoryview(guest["memory"])
        view[10:13] = b"xyz"
        self.assertEqual((guest["get"](11), view.nbytes), (ord("y"), 65536))
        # The memory grows beneath it, and everything else goes.
        guest["grow"]()
        view[20] = 7
        self.assertEqual((guest["get"](20), len(guest["memory"])), (7, 2 * 65536))
        del guest
        gc.collect()
        self.assertEqual(bytes(view[10:13]), b"xyz")
        view.release()

    def test_memories_that_may_move_have_no_view(self):
        guest = instance('(module (memory (export "memory") i64 1))')
        self.assertRaises(BufferError, memoryview, guest["memory"])
        guest["memory"].write(0, b"a")


class Garbage(unittest.TestCase):
    """Stores go when nobody can reach them any more, whatever of Python's they refer to."""

    TEXT = """(module (import "host" "f" (func $f (param externref) (result externref)))
        (memory (export "memory") 1) (table $kept 1 externref) (global (export "global") (mut externref) (ref.null extern))
        (func (export "keep") (param externref) (table.set $kept (i32.const 0) (local.get 0)))
        (func (export "call") (result externref) (call $f (ref.null extern))))"""
    MODULE = Module(ENGINE, TEXT)
    WRITES = Module(ENGINE, """(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 8) "\\10\\00\\00\\00\\01\\00\\00\\00x")
        (func (export "call") (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))""")

    class Object:
        pass

    def guest(self, function):
        store, linker = Store(ENGINE), Linker(ENGINE)
        linker.define("host", "f", function)
        return store, linker, linker.instantiate(store, self.MODULE)

    # Each has an object refer to the store, or to what is of it, and the store to the object.
    def through_a_function(self, what):
        object = self.Object()
        store, linker, instance = self.guest(lambda value: object)
        object.what = what(store, linker, instance)
        self.assertIs(instance["call"](), object)
        return object

    def through_a_method(self, what):
        class Plugin(self.Object):
            def f(self, value):
                return self

        object = Plugin()
        object.what = what(*self.guest(object.f))
        return object

    def through_a_table(self, what):
        object = self.Object()
        store, linker, instance = self.guest(lambda value: None)
        object.what = what(store, linker, instance)
        instance["keep"](object)
        return object

    def through_a_global(self, what):
        object = self.Object()
        store, linker, instance = self.guest(lambda value: None)
        object.what = what(store, linker, instance)
        instance["global"].value = object
        return object

    def through_the_output(self, what):
        object = self.Object()
        object.take = lambda bytes: setattr(object, "got", bytes)
        linker = Linker(ENGINE)
        linker.define_wasi()
        object.keys = Keys(stdout=object.take)
        store = Store(ENGINE, object.keys)
        instance = linker.instantiate(store, self.WRITES)
        instance["call"]()
        self.assertEqual(object.got, b"x")
        object.what = what(store, linker, instance)
        return object

    def through_an_exception(self, what):
        object = self.Object()

        def f(value):
            raise KeyError(object)

        store, linker, instance = self.guest(f)
        try:
            instance["call"]()
        except KeyError as raised:
            object.raised = raised
        object.what = what(store, linker, instance)
        return object

    WHAT = {
        "store": lambda store, linker, instance: store,
        "linker": lambda store, linker, instance: (linker, store),
        "instance": lambda store, linker, instance: instance,
        "function": lambda store, linker, instance: instance["call"],
        "memory": lambda store, linker, instance: instance["memory"],
        "view": lambda store, linker, instance: memoryview(instance["memory"]),
        "global": lambda store, linker, instance: instance["global"] if "global" in instance else instance,
        "method": lambda store, linker, instance: store.set_deadline,
    }

    def test_every_cycle_is_found(self):
        ways = [name for name in dir(self) if name.startswith("through_")]
        self.assertGreaterEqual(len(ways), 6)
        for way in ways:
            for name, what in self.WHAT.items():
                with self.subTest(way=way, what=name):
                    object = weakref.ref(getattr(self, way)(what))
                    gc.collect()
                    self.assertIsNone(object())

    def test_what_can_be_reached_stays(self):
        object = self.through_a_function(self.WHAT["function"])
        for _ in range(3):
            gc.collect()
            self.assertIs(object.what(), object)
        view = weakref.ref(self.through_a_table(self.WHAT["view"]))
        kept = self.through_a_table(self.WHAT["view"])
        gc.collect()
        self.assertIsNone(view())
        kept.what[3] = 7
        self.assertEqual(kept.what[3], 7)

    def test_linkers_in_cycles_go(self):
        linker = Linker(ENGINE)
        object = self.Object()
        linker.define("host", "f", lambda: (linker, object))
        linker.define("host", "f", lambda: (linker, object))
        gone = weakref.ref(object)
        del linker, object
        gc.collect()
        self.assertIsNone(gone())

    def test_tens_of_thousands_in_cycles_leave_nothing_mapped(self):
        def mappings():
            gc.collect()
            with open("/proc/self/maps") as maps:
                return sum(1 for _ in maps)

        def many(count):
            for _ in range(count):
                self.through_a_function(self.WHAT["memory"])

        many(2000)
        before = mappings()
        many(20000)
        # Python's own heap may have grown by some.
        self.assertLess(mappings(), before + 50)

    def test_references_that_guests_drop_are_dropped(self):
        _, _, instance = self.guest(lambda value: None)
        first = self.Object()
        gone = weakref.ref(first)
        instance["keep"](first)
        del first
        for number in range(200000):
            instance["keep"](number)
            if gone() is None:
                break
        self.assertIsNone(gone())

    def test_stores_are_closed(self):
        object = self.Object()
        gone = weakref.ref(object)
        store, linker, instance = self.guest(lambda value, object=object: (object, instance))
        del object, linker
        call, memory, value = instance["call"], instance["memory"], instance["global"]
        self.assertIs(call()[1], instance)
        view = memoryview(memory)
        self.assertRaises(BufferError, store.close)
        view.release()
        gc.disable()
        try:
            # Nothing has to be collected.
            with store as entered:
                self.assertIs(entered, store)
                self.assertIsNotNone(gone())
            self.assertIsNone(gone())
        finally:
            gc.enable()
        store.close()
        linker = Linker(ENGINE)
        closed = [
            call, lambda: memory.read(0, 1), lambda: memory.write(0, b"x"), lambda: memory.grow(1), lambda: memory.pages,
            lambda: len(memory), lambda: memoryview(memory), lambda: value.value, lambda: instance["call"],
            lambda: instance.exports, lambda: list(instance), lambda: len(instance), lambda: "call" in instance, lambda: store.fuel, lambda: store.set_deadline(1),
            store.collect_garbage, lambda: store.denials, lambda: store.files("/"), lambda: store.read_file("/", "x"), lambda: store.backtrace(),
            lambda: linker.define_instance("m", instance), lambda: linker.instantiate(store, Module(ENGINE, "(module)")),
        ]
        for number, use in enumerate(closed):
            with self.subTest(number=number):
                with self.assertRaisesRegex(Error, "closed"):
                    use()

    def test_stores_are_not_closed_under_their_guests(self):
        refused = []

        def f(value):
            with self.assertRaisesRegex(Error, "between") as raised:
                store.close()
            refused.append(raised.exception)

        store, _, instance = self.guest(f)
        instance["call"]()
        self.assertEqual(len(refused), 1)
        store.close()
        # What was written and kept is there still.
        linker = Linker(ENGINE)
        linker.define_wasi()
        with Store(ENGINE, Keys(stdout="capture")) as store:
            linker.instantiate(store, self.WRITES)["call"]()
        self.assertEqual((store.stdout, store.stderr), (b"x", None))


class Arguments(unittest.TestCase):
    """Whoever gives something else than is wanted is told which parameter, what it must be, and what came."""

    def test_sentences_name_parameter_wish_and_gift(self):
        guest = instance("""(module (import "host" "one" (func $one (result i32))) (import "host" "two" (func $two (result i32 f64)))
            (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 0))
            (func (export "f") (param i32 i64 f32 f64 v128 funcref externref))
            (func (export "one") (drop (call $one))) (func (export "two") (call $two) (drop) (drop)))""",
            one=lambda: "1", two=lambda: two[0])
        two = [None]
        right = (0, 0, 0, 0, 0, None, None)

        def f(at, value):
            return lambda: guest["f"](*right[:at], value, *right[at + 1 :])

        def gives(value):
            def call():
                two[0] = value
                guest["two"]()

            return call

        memory, store = guest["memory"], Store(ENGINE)
        kept = Store(ENGINE, Keys(tmp={"/w": {}}))
        shared = instance('(module (memory (export "memory") 1 1 shared))')
        wasi = '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))'
        named = Linker(ENGINE)
        named.define("h", "f", print)
        module = Module(ENGINE, "(module)")
        cases = [
            (lambda: Engine(max_memory="1"), "max_memory must be an int, not str"),
            (lambda: Engine(max_memory=-1), "max_memory must be from 0 to .*, not -1"),
            (lambda: Module("x", b""), "engine must be an innkeeper.Engine, not str"),
            (lambda: Module(ENGINE, 5), "source must be bytes, or a str in the text format, not int"),
            (lambda: Module.from_file(ENGINE, 5), "path must be a str or a path, not int"),
            (lambda: Module.from_file(5, "x"), "engine must be an innkeeper.Engine, not int"),
            (lambda: Keys(args="abc"), "args must be a list of str, not str"),
            (lambda: Keys(args=5), "args must be a list of str, not int"),
            (lambda: Keys(args=["a", 5]), r"args\[1\] must be a str, not int"),
            (lambda: Keys(env=["a"]), "env must be a dict of str to str, not list"),
            (lambda: Keys(env={"A": 1}), r'env\["A"\] must be a str, not int'),
            (lambda: Keys(env={1: "A"}), "a key of env must be a str, not int"),
            (lambda: Keys(dirs="/x"), "dirs must be a list of triples.*, not str"),
            (lambda: Keys(dirs=5), "dirs must be a list of triples.*, not int"),
            (lambda: Keys(dirs=["/x"]), r"dirs\[0\] must be a triple.*, not str"),
            (lambda: Keys(dirs=[("/x", "/x")]), r"dirs\[0\] must be a triple.*, not tuple"),
            (lambda: Keys(dirs=[(5, "/x", "ro")]), r"dirs\[0\]\[0\] must be a str or a path, not int"),
            (lambda: Keys(dirs=[("/x", 5, "ro")]), r"dirs\[0\]\[1\] must be a str, not int"),
            (lambda: Keys(dirs=[("/x", "/x", None)]), r"dirs\[0\]\[2\] must be a str, not None"),
            (lambda: Keys(dirs=[("/x", "/x", "all")]), '"all" is no access: "ro", "rw" and "cow" are'),
            (lambda: Keys(tmp=["/x"]), "tmp must be a dict of directories to their files, not list"),
            (lambda: Keys(tmp={"/x": b""}), r'tmp\["/x"\] must be a dict of paths to bytes, not bytes'),
            (lambda: Keys(tmp={"/x": {"a": "b"}}), r'tmp\["/x"\]\["a"\] must be bytes.*, not str'),
            (lambda: Keys(stdin="text"), 'stdin must be bytes, "inherit" or None, not str'),
            (lambda: Keys(stdout=5), 'stdout must be "capture", "inherit", a function or None, not int'),
            (lambda: Keys(stderr="x"), 'stderr must be "capture", "inherit", a function or None, not "x"'),
            (lambda: Store(5), "engine must be an innkeeper.Engine, not int"),
            (lambda: Store(ENGINE, 5), "keys must be innkeeper.Keys, not int"),
            (lambda: Store(ENGINE, deadline="1"), "deadline must be a number of seconds, not str"),
            (lambda: Store(ENGINE, deadline=-1), "deadline must be a time that can be, not -1 seconds"),
            (lambda: Store(ENGINE, fuel=1.5), "fuel must be an int, not float"),
            (lambda: store.set_deadline("1"), "seconds must be a number of seconds, not str"),
            (lambda: store.files(5), "directory must be a str, not int"),
            (lambda: store.read_file("/x", 5), "path must be a str or a path, not int"),
            (lambda: store.read_file("/x", "y", max_bytes="1"), "max_bytes must be an int, not str"),
            (lambda: store.read_file("/x", "y"), 'no directory "/x" in memory'),
            (lambda: Linker(5), "engine must be an innkeeper.Engine, not int"),
            (lambda: Linker(ENGINE).define(5, "n", print), "module must be a str, not int"),
            (lambda: Linker(ENGINE).define("m", 5, print), "name must be a str, not int"),
            (lambda: Linker(ENGINE).define("m", "n", 5), "item must be a function, a memory or a global, not int"),
            (lambda: Linker(ENGINE).define_instance("m", 5), "instance must be an innkeeper.Instance, not int"),
            (lambda: Linker(ENGINE).define_instance(5, guest), "module must be a str, not int"),
            (lambda: Linker(ENGINE).instantiate(5, module), "store must be an innkeeper.Store, not int"),
            (lambda: Linker(ENGINE).instantiate(store, b""), "module must be an innkeeper.Module, not bytes"),
            (lambda: guest[5], "the name of an export must be a str, not int"),
            (lambda: 5 in guest, "the name of an export must be a str, not int"),
            (lambda: memory.read("0", 1), "address must be an int, not str"),
            (lambda: memory.read(0, None), "size must be an int, not None"),
            (lambda: memory.read(0, -1), "size must be from 0 to .*, not -1"),
            (lambda: memory.write(0, "text"), "bytes must be bytes.*, not str"),
            (lambda: memory.write(-1, b""), "address must be from 0 to .*, not -1"),
            (lambda: memory.grow("1"), "pages must be an int, not str"),
            (lambda: guest["f"](1), "the function takes 7 values, not 1"),
            (f(0, "x"), r"parameter 1 \(i32\) must be an int, not str"),
            (f(0, 2**40), "parameter 1 must be of type i32, and 1099511627776 does not fit into that"),
            (f(0, 2**70), "parameter 1 must be of type i32, and 1180591620717411303424 does not fit into that"),
            (f(1, 1.5), r"parameter 2 \(i64\) must be an int, not float"),
            (f(1, 2**64), "parameter 2 must be of type i64, and 18446744073709551616 does not fit into that"),
            (f(2, "x"), r"parameter 3 \(f32\) must be a float, not str"),
            (f(3, None), r"parameter 4 \(f64\) must be a float, not None"),
            (f(4, "x"), r"parameter 5 \(v128\) must be an int, not str"),
            (f(5, print), r"parameter 6 \(funcref\) must be an innkeeper.Func or None, not builtin_function_or_method"),
            (lambda: setattr(guest["g"], "value", "x"), r"the global \(i32\) must be an int, not str"),
            (guest["one"], r"the result of host.one \(i32\) must be an int, not str"),
            (gives(None), "host.two must give 2 values, not None"),
            (gives((1,)), "host.two must give 2 values, not 1"),
            (gives((1, "x")), r"result 2 of host.two \(f64\) must be a float, not str"),
            (lambda: Module(ENGINE, "hello.wat"), "source: a str is a module's text.*Module.from_file"),
            (lambda: innkeeper.run("(module)"), "program: a str is the path of a file.*text format"),
            (lambda: Store(ENGINE, fuel=1), r"the engine counts no fuel: Engine\(fuel=True\) does"),
            (lambda: Module(ENGINE, "(component)"), "components are not for Python yet"),
            (lambda: kept.read_file("/w", "/w/a/b"), 'the path is one in the directory, such as "a/b"'),
            (lambda: kept.read_file("/w", "/a/b"), 'the path is one in the directory, such as "a/b"'),
            (lambda: innkeeper.run(b"(module)", tmp={"/w": {"a/../../b": b""}}), "cannot put"),
            (lambda: memoryview(shared["memory"]), "a shared memory has no view; `read` and `write` copy"),
            (lambda: Linker(ENGINE).instantiate(store, Module(ENGINE, wasi)), r"fd_write.*; Linker.define_wasi\(\) defines WASI"),
            (lambda: named.instantiate(store, Module(ENGINE, '(module (import "h" "f" (global i32)))')), "imports h.f as .*i32.*, and a function of Python's"),
            (lambda: innkeeper.run(5), "program must be bytes, the path of a file, or an innkeeper.Module, not int"),
            (lambda: innkeeper.run(b"", deadline="1"), "deadline must be a number of seconds, not str"),
            (lambda: innkeeper.run(b"", max_memory="1"), "max_memory must be an int, not str"),
            (lambda: innkeeper.run(b"", "args"), "args must be a list of str, not str"),
        ]
        for call, sentence in cases:
            with self.subTest(sentence=sentence):
                with self.assertRaisesRegex((TypeError, OverflowError, Error, BufferError), sentence) as raised:
                    call()
                # Names of Rust's are for programs in Rust.
                for rust in ("::", "allow_shadowing", "Config"):
                    self.assertNotIn(rust, str(raised.exception))

    def test_what_can_stand_for_it_is_taken(self):
        module = Module(ENGINE, bytearray(b"\0asm\1\0\0\0"))
        self.assertEqual(Module(ENGINE, memoryview(module.bytes)).exports, [])
        Keys(args=(part for part in ("a", "b")), env=os.environ, stdin=bytearray(b"x"))
        memory = instance('(module (memory (export "memory") 1))')["memory"]
        memory.write(0, bytearray(b"ab"))
        memory.write(2, memoryview(b"cd"))
        memory.write(4, array.array("i", [-1, 2]))
        memory.write(12, memoryview(b"e.f.")[::2])
        self.assertEqual(memory.read(0, 14), b"abcd\xff\xff\xff\xff\2\0\0\0ef")

    def test_errors_of_their_methods_come_through(self):
        class Bad:
            def __index__(self):
                raise ZeroDivisionError

            def __float__(self):
                raise ZeroDivisionError

            def __fspath__(self):
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, Engine, max_memory=Bad())
        self.assertRaises(ZeroDivisionError, Store, ENGINE, deadline=Bad())
        self.assertRaises(ZeroDivisionError, innkeeper.run, Bad())
        guest = instance('(module (func (export "f") (param i32)) (func (export "g") (param f64)))')
        for name in "fg":
            self.assertRaises(ZeroDivisionError, guest[name], Bad())


class Threads(unittest.TestCase):
    TEXT = """(module (import "host" "f" (func $f)) (memory (export "memory") 1)
        (func (export "hang") (call $f) (loop $l (br $l))) (func (export "ok")))"""

    def test_others_go_on_and_the_store_is_one_threads(self):
        begun = threading.Event()
        store = Store(ENGINE, deadline=0.5)
        guest = instance(self.TEXT, store, f=begun.set)
        ended = []

        def work():
            try:
                guest["hang"]()
            except Trap as trap:
                ended.append(trap)

        hang, ok = guest["hang"], guest["ok"]
        self.assertIsNotNone(hang)
        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        refusals = 0
        while not ended:
            try:
                ok()
                break
            except Error:
                refusals += 1
        thread.join()
        self.assertGreater(refusals, 0)
        self.assertEqual(len(ended), 1)
        store.set_deadline(None)
        ok()

    def test_a_view_keeps_pythons_lock(self):
        store = Store(ENGINE, deadline=0.2)
        guest = instance(self.TEXT, store, f=lambda: None)
        ticks = []
        done = threading.Event()

        def tick():
            while not done.is_set():
                ticks.append(time.monotonic())
                time.sleep(0.001)

        thread = threading.Thread(target=tick)
        thread.start()
        time.sleep(0.02)
        with memoryview(guest["memory"]):
            before = time.monotonic()
            self.assertRaises(Trap, guest["hang"])
            after = time.monotonic()
        done.set()
        thread.join()
        # One may have looked at the clock just before or after.
        self.assertLessEqual(len([tick for tick in ticks if before + 0.05 < tick < after - 0.05]), 0)

    def test_guests_that_call_each_other_each_have_the_lock_as_their_own_views_ask(self):
        # A guest calls Python, which calls another: for each of them when a view of its memory begins and ends. Python crashes where the lock is let go of by the wrong one.
        def run(outer_view, inner_view):
            views = {"outer": [], "inner": []}
            guests = {}

            def change(who, when, now):
                if when == now:
                    views[who].append(memoryview(guests[who]["memory"]))
                if when == "dropped " + now:
                    views[who].clear()

            def called_by(who, view, then=lambda: None):
                calls = []

                def f():
                    calls.append(None)
                    # Odd calls are the first of a guest's run, even ones the second: the inner guest runs twice.
                    change(who, view, "in the first call" if len(calls) % 2 else "in the second call")
                    then()
                    # With the lock, or crashing beside the other thread.
                    return len([{i: str(i)} for i in range(500)])

                return f

            text = '''(module (import "host" "f" (func $f (result i32))) (memory (export "memory") 1)
                (func (export "run") (drop (call $f)) (drop (call $f))))'''
            guests["inner"] = instance(text, f=called_by("inner", inner_view))
            guests["outer"] = instance(text, f=called_by("outer", outer_view, lambda: guests["inner"]["run"]()))
            for who, view in ("outer", outer_view), ("inner", inner_view):
                change(who, "before" if view.startswith("dropped") else view, "before")
            guests["outer"]["run"]()

        moments = ["never", "before", "in the first call", "in the second call"]
        moments += ["dropped in the first call", "dropped in the second call"]
        ended = threading.Event()

        def other():
            while not ended.is_set():
                [{i: str(i)} for i in range(100)]

        thread = threading.Thread(target=other)
        thread.start()
        try:
            for outer in moments:
                for inner in moments:
                    with self.subTest(outer=outer, inner=inner):
                        run(outer, inner)
        finally:
            ended.set()
            thread.join()

    def test_a_view_that_is_made_during_a_call_does_too(self):
        text = """(module (import "host" "f" (func $f (param i32))) (memory (export "memory") 1)
            (func (export "hang") (call $f (i32.const 0))
                (loop $l (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (br $l)))
            (func (export "nested") (call $f (i32.const 1)) (loop $l (br $l)))
            (func (export "drops") (call $f (i32.const 2)) (loop $l (br $l)))
            (func (export "lets_go") (call $f (i32.const 0)) (call $f (i32.const 2)) (loop $l (br $l))))"""
        views, ticks, done = [], [], threading.Event()

        def f(what):
            if what == 1:
                guest["hang"]()
            elif what == 2:
                views.pop().release()
            else:
                views.append(memoryview(guest["memory"]))

        def tick():
            while not done.is_set():
                ticks.append(time.monotonic())
                time.sleep(0.001)

        thread = threading.Thread(target=tick)
        thread.start()
        cases = (("hang", False), ("nested", False), ("lets_go", True), ("drops", True), ("hang", False))
        for name, are_others_seen in cases:
            store = Store(ENGINE, deadline=0.2)
            guest = instance(text, store, f=f)
            if name == "drops":
                views.append(memoryview(guest["memory"]))
            time.sleep(0.02)
            before = time.monotonic()
            self.assertRaises(Trap, guest[name])
            after = time.monotonic()
            # One may have looked at the clock just before or after.
            seen = len([tick for tick in ticks if before + 0.05 < tick < after - 0.05])
            self.assertEqual(seen > 0, are_others_seen, name)
            while views:
                views.pop().release()
        # The others go on.
        count = len(ticks)
        time.sleep(0.05)
        self.assertGreater(len(ticks), count)
        done.set()
        thread.join()


class Forks(unittest.TestCase):
    SPIN = '(module (func (export "spin") (loop $l (br $l))))'
    SLEEP = """(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 60000000000))
            (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""

    def in_fork(self, check):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                check()
                status = 0
            finally:
                os._exit(status)
        begin = time.monotonic()
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() - begin > 20:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        self.assertEqual(ended[1], 0)

    def test_deadlines_hold_in_the_child(self):
        running = Store(ENGINE, deadline=0.3)
        spin = instance(self.SPIN, running)["spin"]
        engine = Engine()
        self.in_fork(lambda: self.assertRaises(Trap, spin))
        self.in_fork(lambda: self.assertRaises(Trap, instance(self.SPIN, Store(ENGINE, deadline=0.05))["spin"]))
        sleep = Module(engine, self.SLEEP)
        self.in_fork(lambda: self.assertRaises(Trap, innkeeper.run, sleep, deadline=0.05))
        self.assertRaises(Trap, spin)


class Programs(unittest.TestCase):
    ECHO = """(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $exit (i32.const 3))))"""

    def test_programs_run_with_their_keys_alone(self):
        done = innkeeper.run(Module(ENGINE, self.ECHO), stdin=b"what goes in")
        self.assertEqual((done.exit_code, done.stdout, done.stderr), (3, b"what goes in", b""))
        cat = GUESTS / "cat" / "cat.wasm"
        denied = innkeeper.run(cat, ["/data/a.txt"])
        self.assertNotEqual(denied.exit_code, 0)
        self.assertTrue(denied.stderr)
        given = innkeeper.run(str(cat), ["/data/a.txt"], tmp={"/data": {"a.txt": b"in memory\n"}}, deadline=10)
        self.assertEqual((given.exit_code, given.stdout), (0, b"in memory\n"))
        self.assertEqual(innkeeper.run(cat.read_bytes(), ["x"]).exit_code, denied.exit_code)
        here = pathlib.Path(__file__).parent
        read = innkeeper.run(cat, ["/here/" + pathlib.Path(__file__).name], dirs=[(here, "/here", "ro")])
        self.assertEqual(read.stdout, pathlib.Path(__file__).read_bytes())
        self.assertRaises(Error, innkeeper.run, cat, dirs=[("/nowhere/at/all", "/x", "ro")])
        self.assertRaises(Error, innkeeper.run, cat, dirs=[(here, "/x", "all")])
        self.assertRaises(Error, innkeeper.run, "/nowhere.wasm")

    FAILS = """(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (tag $tag)
        (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00so faerror") (data (i32.const 64) "../up")
        (func $fail %s)
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
            (i32.store (i32.const 0) (i32.const 13))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 100)))
            (drop (call $unlink (i32.const 3) (i32.const 64) (i32.const 5)))
            (call $fail)))"""

    def test_failures_have_what_was_written_and_denied(self):
        def run(fails):
            return innkeeper.run(Module(ENGINE, self.FAILS % fails), tmp={"/in": {}}, deadline=0.5)

        left = run("(call $exit (i32.const 7))")
        self.assertEqual((left.exit_code, left.stdout, left.stderr), (7, b"so fa", b"error"))
        self.assertEqual(len(left.denials), 1)
        self.assertIn("../up", left.denials[0])
        for fails, kind in (("unreachable", Trap), ("(loop $l (br $l))", Trap), ("(throw $tag)", Error)):
            with self.subTest(fails=fails):
                with self.assertRaises(kind) as raised:
                    run(fails)
                # Also where it has come from another process.
                for error in (raised.exception, pickle.loads(pickle.dumps(raised.exception))):
                    self.assertEqual((error.stdout, error.stderr, error.denials), (left.stdout, left.stderr, left.denials))
                    self.assertIsNone(error.exit_code)
                    self.assertIn("fail", error.backtrace)
                    self.assertEqual(str(error), str(raised.exception))
        made = Error("made here")
        self.assertEqual((made.stdout, made.stderr, made.denials, made.exit_code, made.backtrace), (None, None, [], None, ""))
        self.assertEqual((Exit(3).exit_code, Trap("", "frames").backtrace), (3, "frames"))
        # A store has them itself.
        linker = Linker(ENGINE)
        linker.define_wasi()
        store = Store(ENGINE, Keys(stdout="capture", tmp={"/in": {}}))
        self.assertEqual(store.denials, [])
        guest = linker.instantiate(store, Module(ENGINE, self.FAILS % "unreachable"))
        self.assertRaises(Trap, guest["_start"])
        self.assertEqual((store.stdout, store.denials), (left.stdout, left.denials))

    MAKES = """(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00made") (data (i32.const 16) "abc") (data (i32.const 32) "out.txt")
        (func (export "_start")
            (drop (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 1) (i64.const 0x400040) (i64.const 0) (i32.const 0) (i32.const 64)))
            (drop (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 100)))
            %s))"""

    def test_files_that_programs_leave_are_read_back(self):
        here = pathlib.Path(__file__).parent
        module = Module(ENGINE, self.MAKES % "")
        for keys in (dict(tmp={"/out": {"in/before": b"x"}}), dict(dirs=[(here, "/out", "cow")])):
            with self.subTest(keys=keys):
                done = innkeeper.run(module, **keys)
                self.assertEqual(done.files("/out"), ["in/before", "out.txt"] if "tmp" in keys else ["out.txt"])
                self.assertEqual(done.read_file("/out/", "out.txt"), b"abc")
                self.assertEqual(done.read_file("/out", pathlib.Path("out.txt"), max_bytes=3), b"abc")
                with self.assertRaisesRegex(Error, "more than 2 bytes"):
                    done.read_file("/out", "out.txt", max_bytes=2)
                for path in ("nothing", "..", "/out/out.txt", "."):
                    self.assertRaises(Error, done.read_file, "/out", path)
                self.assertRaises(Error, done.files, "/else")
        self.assertFalse((here / "out.txt").exists())
        hole = innkeeper.run(Module(ENGINE, self.MAKES % "(drop (call $set_size (i32.load (i32.const 64)) (i64.const 0x7fffffffffffffff)))"), tmp={"/out": {}})
        self.assertRaises(Error, hole.read_file, "/out", "out.txt")
        linker = Linker(ENGINE)
        linker.define_wasi()
        with Store(ENGINE, Keys(tmp={"/out": {}})) as store:
            linker.instantiate(store, module)["_start"]()
            self.assertEqual((store.files("/out"), store.read_file("/out", "out.txt")), (["out.txt"], b"abc"))
        self.assertRaises(Error, store.files, "/out")

    def test_deadlines_end_programs(self):
        text = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))'
        begin = time.monotonic()
        self.assertRaises(Trap, innkeeper.run, Module(ENGINE, text), deadline=0.05)
        self.assertLess(time.monotonic() - begin, 5)

    def test_output_goes_where_keys_say(self):
        pieces = []
        linker = Linker(ENGINE)
        linker.define_wasi()
        for stdout in ("capture", pieces.append, None):
            store = Store(ENGINE, Keys(stdin=b"abc", stdout=stdout))
            guest = linker.instantiate(store, Module(ENGINE, self.ECHO))
            with self.assertRaises(Exit) as ended:
                guest["_start"]()
            self.assertEqual((ended.exception.code, str(ended.exception)), (3, "the guest exited with code 3"))
            self.assertEqual(store.stdout, b"abc" if stdout == "capture" else None)
        self.assertEqual(b"".join(pieces), b"abc")
        self.assertRaises(Error, Keys, stdout="nowhere")

    def test_functions_of_pythons_end_guests_as_wasi_does(self):
        def leave(code):
            raise Exit(code)

        text = """(module (import "host" "leave" (func $leave (param i32)))
            (func (export "f") (param i32) (call $leave (local.get 0)) unreachable))"""
        guest = instance(text, leave=leave)
        for code in (0, 7, -1):
            with self.assertRaises(Exit) as ended:
                guest["f"](code)
            self.assertEqual(ended.exception.code, code)
        self.assertTrue(issubclass(Exit, Error) and not issubclass(Exit, Trap))
        self.assertEqual(Exit().code, 0)

    def test_the_example_runs(self):
        example = pathlib.Path(__file__).parents[1] / "examples" / "plugin.py"
        ran = subprocess.run([sys.executable, example], capture_output=True, text=True, check=True)
        self.assertEqual(
            ran.stdout.splitlines(),
            ["total: 21.75 ['looking at prices']", "QUIET", "no price: 3", "stopped: deadline exceeded"],
        )


if __name__ == "__main__":
    unittest.main()
