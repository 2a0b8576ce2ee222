"""What stays true whatever Python does around guests: arrays, greenlets, ends of the interpreter, exceptions of output functions; and names that one meets at a prompt."""

import ctypes
import gc
import pathlib
import pickle
import subprocess
import sys
import types
import unittest

import innkeeper
from innkeeper import Engine, Error, Exit, Keys, Linker, Module, Store, Trap

ENGINE = Engine()


def instance(text, store=None, **functions):
    linker = Linker(ENGINE)
    for name, function in functions.items():
        linker.define("host", name, function)
    return linker.instantiate(store or Store(ENGINE), Module(ENGINE, text))


class Addresses(unittest.TestCase):
    """An array of numpy keeps the object that has shown its bytes, and their address, but no buffer."""

    TEXT = '(module (memory (export "memory") 1))'

    @staticmethod
    def address(memory):
        buffer = ctypes.create_string_buffer(256)
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(memory), buffer, 1)
        address = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_void_p))[0]
        ctypes.pythonapi.PyBuffer_Release(buffer)
        return address

    def test_they_stay_good_while_the_memory_object_is_there(self):
        for closes in ("close", "with", "drop"):
            with self.subTest(closes=closes):
                store = Store(ENGINE)
                memory = instance(self.TEXT, store)["memory"]
                memory.write(0, b"the first guest's")
                address = self.address(memory)
                if closes == "close":
                    store.close()
                elif closes == "with":
                    with store:
                        pass
                del store
                gc.collect()
                # What is given back goes to the next.
                others = [instance(self.TEXT)["memory"] for _ in range(8)]
                for other in others:
                    other.write(0, b"another guest's..")
                self.assertEqual(ctypes.string_at(address, 17), b"the first guest's")
                ctypes.memmove(address, b"written by numpy.", 17)
                for other in others:
                    self.assertEqual(other.read(0, 17), b"another guest's..")

    def test_what_nobody_can_see_any_more_is_given_back(self):
        def mapped():
            gc.collect()
            with open("/proc/self/maps") as maps:
                return sum(1 for _ in maps)

        def many(count):
            for _ in range(count):
                store = Store(ENGINE)
                memory = instance(self.TEXT, store)["memory"]
                again = instance(self.TEXT, store)["memory"]
                self.assertNotEqual(self.address(memory), self.address(again))
                store.close()
                with self.assertRaisesRegex(Error, "closed"):
                    memory.read(0, 1)

        many(100)
        before = mapped()
        many(1000)
        self.assertLess(mapped(), before + 50)

    def test_arrays_of_numpy_are_good(self):
        try:
            import numpy
        except ImportError:
            return
        store = Store(ENGINE)
        memory = instance(self.TEXT, store)["memory"]
        array = numpy.ndarray((4,), numpy.uint8, memory)
        store.close()
        other = instance(self.TEXT)["memory"]
        array[:] = list(b"mine")
        self.assertEqual((other.read(0, 4), array.tobytes()), (bytes(4), b"mine"))


class Objects(unittest.TestCase):
    """Objects behind `externref`s, whose sizes nobody knows."""

    def test_those_that_guests_drop_do_not_pile_up(self):
        class Counted:
            alive = most = 0

            def __init__(self):
                Counted.alive += 1
                Counted.most = max(Counted.most, Counted.alive)

            def __del__(self):
                Counted.alive -= 1

        text = """(module (import "host" "f" (func $f (param externref) (result externref)))
            (global (export "global") (mut externref) (ref.null extern))
            (func (export "drop") (param externref))
            (func (export "many") (param i32)
                (loop $l (drop (call $f (ref.null extern)))
                    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
        store = Store(ENGINE)
        guest = instance(text, store, f=lambda value: Counted())
        drop, many, kept = guest["drop"], guest["many"], guest["global"]

        def arguments():
            for _ in range(10000):
                drop(Counted())

        def values():
            for _ in range(10000):
                kept.value = Counted()
            kept.value = None

        for fill in (arguments, values, lambda: many(10000)):
            Counted.most = Counted.alive
            fill()
            self.assertLess(Counted.most, 4000)
            # As soon as anybody wants.
            store.collect_garbage()
            self.assertLess(Counted.alive, 10)


class Greenlets(unittest.TestCase):
    """Functions that guests call must not switch greenlets: nobody uses a guest from another one meanwhile."""

    TEXT = """(module (import "host" "f" (func $f)) (memory (export "memory") 1)
        (func (export "call") (call $f)) (func (export "ok")))"""

    def test_other_greenlets_are_refused(self):
        # What the module asks of the package.
        first = types.SimpleNamespace(parent=None)
        second = types.SimpleNamespace(parent=first)
        now = [first]
        package = types.ModuleType("greenlet")
        package.getcurrent = lambda: now[0]
        checked = []

        def f():
            sys.modules["greenlet"] = package
            for use in (guest["ok"], other["ok"], lambda: memory.read(0, 1), lambda: instance(self.TEXT, f=print)):
                now[0] = second
                with self.assertRaisesRegex(Error, "greenlet"):
                    use()
                now[0] = first
                use()
            checked.append(None)

        # It may have been imported before, or by the function.
        for is_there in (True, False):
            guest, other = instance(self.TEXT, f=f), instance(self.TEXT, f=print)
            memory = guest["memory"]
            before = sys.modules.pop("greenlet", None)
            try:
                if is_there:
                    sys.modules["greenlet"] = package
                guest["call"]()
                now[0] = second
                # It has returned.
                guest["ok"]()
            finally:
                now[0] = first
                sys.modules.pop("greenlet", None)
                if before is not None:
                    sys.modules["greenlet"] = before
        self.assertEqual(len(checked), 2)

    def test_switches_of_real_ones_are_refused(self):
        try:
            from greenlet import getcurrent, greenlet
        except ImportError:
            return
        main = getcurrent()
        guest = instance(self.TEXT, f=lambda: main.switch("away"))
        inner = greenlet(guest["call"])
        self.assertEqual(inner.switch(), "away")
        with self.assertRaisesRegex(Error, "greenlet"):
            guest["ok"]()
        inner.switch()
        self.assertTrue(inner.dead)
        guest["ok"]()


class Exits(unittest.TestCase):
    """The interpreter ends while guests of other threads are in Python, or come back to it."""

    PROGRAM = """
import sys, threading
from innkeeper import *
begun = threading.Event()
engine = Engine()
module = Module(engine, '''(module (import "host" "f" (func $f))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 8) "\\\\10\\\\00\\\\00\\\\00\\\\01\\\\00\\\\00\\\\00x")
    (func (export "ok"))
    (func (export "function") (loop $l (call $f) (br $l)))
    (func (export "output") (loop $l (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))) (br $l))))''')
way = sys.argv[1]

def guest():
    def f(*_):
        begun.set()
        if way == "views":
            memoryview(instance["memory"]).release()
    linker = Linker(engine)
    linker.define_wasi()
    linker.define("host", "f", f)
    instance = linker.instantiate(Store(engine, Keys(stdout=f)), module)
    return instance

def work(instance):
    while way == "calls":
        instance["ok"]()
        begun.set()
    instance["output" if way == "output" else "function"]()

for _ in range(4):
    threading.Thread(target=work, args=(guest(),), daemon=True).start()
begun.wait()
"""

    def test_they_end_the_process_in_order(self):
        for way in ("function", "output", "views", "calls"):
            with self.subTest(way=way):
                for _ in range(8):
                    ran = subprocess.run([sys.executable, "-c", self.PROGRAM, way], capture_output=True, text=True)
                    self.assertEqual((ran.returncode, ran.stderr), (0, ""))


class Output(unittest.TestCase):
    """Functions that the guest's output goes to."""

    TEXT = """(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (global (export "after") (mut i32) (i32.const 0))
        (data (i32.const 0) "\\20\\00\\00\\00\\01\\00\\00\\00\\21\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "ab")
        (func (export "write") (result i32)
            (call $write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 16))
            (global.set 0 (i32.const 1))))"""

    def guest(self, take):
        linker = Linker(ENGINE)
        linker.define_wasi()
        return linker.instantiate(Store(ENGINE, Keys(stdout=take)), Module(ENGINE, self.TEXT))

    def test_what_they_raise_ends_the_guest(self):
        class Mine(Exception):
            pass

        for kind in (Mine, KeyboardInterrupt, SystemExit):
            # At the first part of what is written, or the second.
            for bad in (b"a", b"b"):
                with self.subTest(kind=kind, bad=bad):
                    taken, fails = [], [True]

                    def take(bytes):
                        taken.append(bytes)
                        if fails[0] and bytes == bad:
                            raise kind("here")

                    guest = self.guest(take)
                    with self.assertRaises(kind) as raised:
                        guest["write"]()
                    self.assertEqual((raised.exception.args, guest["after"].value), (("here",), 0))
                    # The next call is as ever.
                    fails[0] = False
                    taken.clear()
                    self.assertEqual((guest["write"](), taken, guest["after"].value), (0, [b"a", b"b"], 1))

    def test_they_do_not_use_the_store(self):
        said = []

        def take(bytes):
            try:
                guest["write"]()
            except Error as error:
                said.append(str(error))

        guest = self.guest(take)
        self.assertEqual((guest["write"](), len(said)), (0, 2))
        self.assertIn("by this thread itself", said[0])


class Order(unittest.TestCase):
    TELLS = """(module
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $size (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func $say (param i32 i32)
            (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
        (func (export "_start") (local $fd i32)
            (drop (call $environ (i32.const 100) (i32.const 400))) (call $say (i32.const 400) (i32.const 40))
            (local.set $fd (i32.const 3))
            (block $end (loop $next
                (br_if $end (call $size (local.get $fd) (i32.const 32)))
                (drop (call $name (local.get $fd) (i32.const 1000) (i32.load (i32.const 36))))
                (call $say (i32.const 1000) (i32.load (i32.const 36)))
                (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
                (br $next)))))"""

    def test_directories_and_variables_have_the_order_they_are_given_in(self):
        module = Module(ENGINE, self.TELLS)
        here = str(pathlib.Path(__file__).parent)
        for order in ("abcdefghij", "jihgfedcba", "cbfjaehdgi"):
            keys = dict(env={name: name for name in order}, tmp={"/" + name: {} for name in order}, dirs=[(here, "/z", "ro")])
            wanted = "".join(f"{name}={name}\0" for name in order) + "/z" + "".join("/" + name for name in order)
            self.assertEqual(innkeeper.run(module, **keys).stdout.decode(), wanted)
        for keys in (dict(tmp={"/a": {}, "/a/": {}}), dict(tmp={"/a": {}}, dirs=[(here, "/a", "ro")]), dict(dirs=[(here, "/a", "ro")] * 2)):
            with self.assertRaisesRegex(Error, "two directories are called"):
                Keys(**keys)
        for path in ("/a", "a/", "/"):
            with self.assertRaisesRegex(Error, "no path of a file"):
                Keys(tmp={"/t": {path: b""}})


class Definitions(unittest.TestCase):
    """What is defined last under a name counts."""

    def test_the_last_one_counts(self):
        store = Store(ENGINE)
        module = Module(ENGINE, '(module (import "m" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))')

        def gives(number):
            return instance(f'(module (func (export "f") (result i32) (i32.const {number})))', store)

        ways = {
            "python": lambda linker, number: linker.define("m", "f", lambda: number),
            "func": lambda linker, number: linker.define("m", "f", gives(number)["f"]),
            "instance": lambda linker, number: linker.define_instance("m", gives(number)),
        }
        for first in ways:
            for second in ways:
                with self.subTest(first=first, second=second):
                    linker = Linker(ENGINE)
                    ways[first](linker, 1)
                    self.assertEqual(linker.instantiate(store, module)["g"](), 1)
                    ways[second](linker, 2)
                    self.assertEqual(linker.instantiate(store, module)["g"](), 2)

    def test_wasi_is_defined_like_the_rest(self):
        module = Module(ENGINE, """(module (import "wasi_snapshot_preview1" "sched_yield" (func $f (result i32)))
            (memory (export "memory") 1) (func (export "g") (result i32) (call $f)))""")
        for order in ((0, 1), (1, 0), (0, 1, 1), (0, 1, 0)):
            linker = Linker(ENGINE)
            for what in order:
                if what:
                    linker.define_wasi()
                else:
                    linker.define("wasi_snapshot_preview1", "sched_yield", lambda: 7)
            self.assertEqual(linker.instantiate(Store(ENGINE), module)["g"](), 0 if order[-1] else 7)


class Names(unittest.TestCase):
    def test_instances_are_like_mappings(self):
        guest = instance("""(module (memory (export "memory") 1) (global (export "n") i32 (i32.const 7))
            (func (export "f") (result i32) (i32.const 3)))""")
        self.assertEqual((list(guest), len(guest), sorted(dict(guest))), (guest.exports, 3, ["f", "memory", "n"]))
        self.assertEqual((dict(guest)["f"](), "f" in guest), (3, True))
        with self.assertRaisesRegex(KeyError, "no export is called g: there is .*memory"):
            guest["g"]

    def test_objects_say_what_they_are(self):
        guest = instance("""(module (memory (export "memory") 2) (global (export "n") (mut i32) (i32.const 7))
            (func (export "f") (param i32) (result f64) unreachable))""")
        store = Store(ENGINE)
        said = {
            repr(guest): "Instance with .*memory", repr(guest["f"]): "Func.*i32.*f64", repr(guest["memory"]): "2 pages",
            repr(guest["n"]): "Global.*i32", repr(store): "Store>", repr(Linker(ENGINE)): "Linker",
            repr(Module(ENGINE, "(module)")): "imports 0",
        }
        for text, wanted in said.items():
            self.assertRegex(text, wanted)
            self.assertNotIn(" at 0x", text)
        store.close()
        self.assertIn("closed", repr(store))
        self.assertRegex(innkeeper.__version__, r"^\d+\.\d+\.\d+$")

    def test_traps_have_codes(self):
        engine = Engine(fuel=True)
        module = Module(engine, """(module (memory 1)
            (func (export "unreachable") unreachable) (func (export "out_of_fuel") (loop $l (br $l)))
            (func (export "memory_out_of_bounds") (drop (i32.load (i32.const -1))))
            (func (export "integer_divide_by_zero") (drop (i32.div_u (i32.const 1) (i32.const 0)))))""")
        for name, _ in module.exports:
            with self.assertRaises(Trap) as trap:
                Linker(engine).instantiate(Store(engine, fuel=1000), module)[name]()
            self.assertEqual((trap.exception.code, pickle.loads(pickle.dumps(trap.exception)).code), (name, name))
        with self.assertRaises(Trap) as trap:
            instance('(module (func (export "f") (loop $l (br $l))))', Store(ENGINE, deadline=0.01))["f"]()
        self.assertEqual((trap.exception.code, Trap().code), ("deadline_exceeded", ""))


if __name__ == "__main__":
    unittest.main()
