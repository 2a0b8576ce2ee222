"""Random types and values, and what the component model's own definitions make of them, as scripts for `inn wast`.

    pairs.py SEED TYPES VALUES

`definitions.py` of the component model is imported from PYTHONPATH. A script has a component for each type, with two components in it, C and D, and for each value the calls

    give   the host hands the value to C,          take      C hands it to the host,
    pass   D hands it to C,                        pass-back C hands it to D

with the memory that the definitions leave. A *picture* is such a memory, from 0 to where the next allocation would be: up to 16 slots of 8 bytes, which are the core
values that are passed, room for a result, then what was allocated. Pictures lie behind the memory that is used, and are put in its place and compared by the guests.
"""

import math
import random
import re
import struct
import sys

import definitions as d

# Bits of NaNs are canonical.
d.DETERMINISTIC_PROFILE = True


def remembered(function):
    """The function, asked once for each type: most of the time would go into what a type's size is."""
    known = {}

    def ask(ty, *rest):
        if id(ty) not in known:
            # With the type, so that no other one is ever at its address.
            known[id(ty)] = ty, function(ty, *rest)
        return known[id(ty)][1]

    return ask


for name in ["despecialize", "alignment", "elem_size"]:
    setattr(d, name, remembered(getattr(d, name)))

RESULT_AT = 128
ALLOCATED_FROM = 1024
PICTURES_FROM = 65536
MOST_ALLOCATED = 20000

rnd = random.Random(int(sys.argv[1]))


class Memory(d.LiftLowerContext):
    """A guest's memory with an allocator that never frees, as the guests below have it."""

    def __init__(self, encoding):
        class Options:
            memory = d.MemInst(bytearray(PICTURES_FROM), "i32")
            string_encoding = encoding
            async_ = False

        self.opts, self.inst, self.borrow_scope = Options, None, None
        self.next = ALLOCATED_FROM

    def reallocate(self, old, old_length, align, length):
        at = (self.next + align - 1) & -align
        self.next = at + length
        if self.next > MOST_ALLOCATED:
            raise TooLarge
        kept = min(old_length, length)
        bytes_ = self.opts.memory.bytes
        bytes_[at : at + kept] = bytes(bytes_[old : old + kept])
        return at

    def picture(self, slots, types):
        bytes_ = self.opts.memory.bytes
        for i, (slot, ty) in enumerate(zip(slots, types)):
            bytes_[i * 8 : i * 8 + 8] = slot_bits(slot, ty).to_bytes(8, "little")
        return bytes(bytes_[: self.next])


class TooLarge(Exception):
    pass


def slot_bits(value, ty):
    if ty == "f32":
        return struct.unpack("<I", struct.pack("<f", value))[0]
    if ty == "f64":
        return struct.unpack("<Q", struct.pack("<d", value))[0]
    return value


# Types: their text, and what they are for the definitions.

PRIMITIVES = {
    "bool": d.BoolType, "s8": d.S8Type, "u8": d.U8Type, "s16": d.S16Type, "u16": d.U16Type, "s32": d.S32Type, "u32": d.U32Type,
    "s64": d.S64Type, "u64": d.U64Type, "f32": d.F32Type, "f64": d.F64Type, "char": d.CharType, "string": d.StringType,
}
INTEGERS = {ty: name for name, ty in PRIMITIVES.items() if name[0] in "su" and name != "string"}


class Types:
    def __init__(self):
        self.named = []

    def name(self, text):
        self.named.append(text)
        return f"$t{len(self.named) - 1}"

    def primitive(self, names=tuple(PRIMITIVES)):
        name = rnd.choice(names)
        return name, PRIMITIVES[name]()

    def maybe(self, depth):
        return self.any(depth) if rnd.random() < 0.7 else (None, None)

    def any(self, depth):
        kinds = [self.record, self.tuple, self.variant, self.enum, self.option, self.result, self.flags, self.list, self.map]
        if depth == 0 or rnd.random() < 0.25:
            return self.primitive()
        return rnd.choice(kinds)(depth - 1)

    def list(self, depth):
        text, ty = self.any(depth)
        return f"(list {text})", d.ListType(ty)

    def map(self, depth):
        key, key_type = self.primitive([name for name in PRIMITIVES if name not in ("f32", "f64")])
        text, ty = self.any(depth)
        return f"(map {key} {text})", d.MapType(key_type, ty)

    def record(self, depth):
        fields = [(f"f{i}", *self.any(depth)) for i in range(rnd.randint(1, 5))]
        text = " ".join(f'(field "{label}" {text})' for label, text, _ in fields)
        return self.name(f"(record {text})"), d.RecordType([d.FieldType(label, ty) for label, _, ty in fields])

    def tuple(self, depth):
        parts = [self.any(depth) for _ in range(rnd.randint(1, 5))]
        return f"(tuple {' '.join(text for text, _ in parts)})", d.TupleType([ty for _, ty in parts])

    def variant(self, depth):
        count = rnd.choice([1, 2, 3, 4, 5, 256, 257])
        cases = [(f"c{i}", *(self.maybe(depth) if i < 6 else (None, None))) for i in range(count)]
        text = " ".join(f'(case "{label}" {text or ""})' for label, text, _ in cases)
        return self.name(f"(variant {text})"), d.VariantType([d.CaseType(label, ty) for label, _, ty in cases])

    def enum(self, _):
        labels = [f"e{i}" for i in range(rnd.choice([1, 2, 5, 256, 257]))]
        return self.name(f"(enum {quoted(labels)})"), d.EnumType(labels)

    def option(self, depth):
        text, ty = self.any(depth)
        return f"(option {text})", d.OptionType(ty)

    def result(self, depth):
        (ok, ok_type), (error, error_type) = self.maybe(depth), self.maybe(depth)
        text = f"(result {ok or ''} {f'(error {error})' if error else ''})"
        return text, d.ResultType(ok_type, error_type)

    def flags(self, _):
        labels = [f"l{i}" for i in range(rnd.choice([1, 7, 8, 9, 16, 17, 31, 32]))]
        return self.name(f"(flags {quoted(labels)})"), d.FlagsType(labels)


def quoted(labels):
    return " ".join(f'"{label}"' for label in labels)


# Values: what they are for the definitions, and their text.

ALPHABETS = ["abc xyz", "abé\u00ff", "aé€", "a\U0001f370€", "\0\x7f\x80", "一二三", "\ud7ff\ue000\uffff\U0010ffff"]


def text_value():
    # Around the sizes of blocks in which text is transcoded.
    length = rnd.choice([0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65])
    first, rest = rnd.choice(ALPHABETS), rnd.choice(ALPHABETS)
    turn = rnd.randint(0, length)
    return "".join(rnd.choice(first if i < turn else rest) for i in range(length))


def escaped(text):
    return '"' + "".join(f"\\u{{{ord(character):x}}}" for character in text) + '"'


def float_text(value):
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value.hex()


def value_of(ty):
    kind = type(ty)
    if kind in INTEGERS:
        name = INTEGERS[kind]
        bits = int(name[1:])
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if name[0] == "s" else (0, (1 << bits) - 1)
        value = rnd.choice([least, most, 0, 1, rnd.randint(least, most)])
        return value, f"({name}.const {value})"
    return VALUES[kind](ty)


def bool_value(_):
    value = rnd.random() < 0.5
    return value, f"(bool.const {str(value).lower()})"


def f32_value(_):
    bits = rnd.choice([0, 0x8000_0000, 0x7F80_0000, 0x7FC0_0000, 1, rnd.getrandbits(32)])
    value = d.canonicalize_nan32(struct.unpack("<f", struct.pack("<I", bits))[0])
    return value, f"(f32.const {float_text(value)})"


def f64_value(_):
    bits = rnd.choice([0, 1 << 63, 0x7FF << 52, 0x7FF8 << 48, 1, rnd.getrandbits(64)])
    value = d.canonicalize_nan64(struct.unpack("<d", struct.pack("<Q", bits))[0])
    return value, f"(f64.const {float_text(value)})"


def char_value(_):
    value = chr(rnd.choice([0, 0x41, 0xE9, 0xD7FF, 0xE000, 0x10FFFF, 0x1F350]))
    return value, f"(char.const {escaped(value)})"


def string_value(_):
    value = text_value()
    return (value, "utf8", len(value.encode())), f"(str.const {escaped(value)})"


def list_value(ty):
    count = rnd.choice([0, 1, 2, 3, 9])
    if type(ty.t) in INTEGERS:
        count = rnd.choice([count, 33])
    values = [value_of(ty.t) for _ in range(count)]
    return [value for value, _ in values], f"(list.const {' '.join(text for _, text in values)})"


def map_value(ty):
    values = [(value_of(ty.k), value_of(ty.v)) for _ in range(rnd.choice([0, 1, 2, 3]))]
    pairs = [{"0": key[0], "1": value[0]} for key, value in values]
    return pairs, f"(list.const {' '.join(f'(tuple.const {key[1]} {value[1]})' for key, value in values)})"


def record_value(ty):
    fields = [(field.label, *value_of(field.t)) for field in ty.fields]
    text = " ".join(f'(field "{label}" {text[1:-1]})' for label, _, text in fields)
    return {label: value for label, value, _ in fields}, f"(record.const {text})"


def tuple_value(ty):
    values = [value_of(part) for part in ty.ts]
    parts = {str(i): value for i, (value, _) in enumerate(values)}
    return parts, f"(tuple.const {' '.join(text for _, text in values)})"


def case_value(label, ty, text):
    if ty is None:
        return {label: None}, f"({text})"
    value, payload = value_of(ty)
    return {label: value}, f"({text} {payload})"


def variant_value(ty):
    case = rnd.choice(ty.cases[:7] if rnd.random() < 0.8 else ty.cases)
    return case_value(case.label, case.t, f'variant.const "{case.label}"')


def enum_value(ty):
    label = rnd.choice(ty.labels)
    return {label: None}, f'(enum.const "{label}")'


def option_value(ty):
    if rnd.random() < 0.4:
        return case_value("none", None, "option.none")
    return case_value("some", ty.t, "option.some")


def result_value(ty):
    if rnd.random() < 0.5:
        return case_value("ok", ty.ok, "result.ok")
    return case_value("error", ty.error, "result.err")


def flags_value(ty):
    value = {label: rnd.random() < 0.5 for label in ty.labels}
    return value, f"(flags.const {quoted(label for label in ty.labels if value[label])})"


VALUES = {
    d.BoolType: bool_value, d.F32Type: f32_value, d.F64Type: f64_value, d.CharType: char_value, d.StringType: string_value,
    d.ListType: list_value, d.MapType: map_value, d.RecordType: record_value, d.TupleType: tuple_value, d.VariantType: variant_value,
    d.EnumType: enum_value, d.OptionType: option_value, d.ResultType: result_value, d.FlagsType: flags_value,
}


# Components.


class Guest:
    """One of the two components: its encoding of strings, and its pictures."""

    def __init__(self):
        self.encoding = rnd.choice(["utf8", "utf16", "latin1+utf16"])
        self.end = PICTURES_FROM
        self.data = []

    def keep(self, picture):
        at = self.end
        # What is not zero; most of a picture is.
        for part in re.finditer(rb"[^\0](?:\0{0,15}[^\0])*", picture):
            text = "\\" + part[0].hex("\\")
            self.data.append(f'(data (i32.const {at + part.start()}) "{text}")')
        self.end += len(picture)
        return f"(u32.const {at}) (u32.const {len(picture)})"

    def options(self):
        return f'(memory (core memory $m "mem")) (realloc (core func $m "realloc")) string-encoding={self.encoding}'

    def module(self, more):
        """Besides the allocator: `put` replaces what is in use by a picture, `check` gives where that differs from one, or -1."""
        return f"""(core module $m (memory (export "mem") {self.end // 65536 + 1}) {"".join(self.data)}
    (global $next (mut i32) (i32.const {ALLOCATED_FROM}))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1))) (i32.sub (i32.const 0) (local.get 2))))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (memory.copy (local.get $at) (local.get 0) (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
      (local.get $at))
    (func $put (export "put") (param i32 i32)
      (memory.fill (i32.const 0) (i32.const 0) (i32.const {PICTURES_FROM}))
      (memory.copy (i32.const 0) (local.get 0) (local.get 1))
      (global.set $next (i32.const {ALLOCATED_FROM})))
    (func (export "check") (param i32 i32) (result i32) (local $i i32)
      (if (i32.ne (global.get $next) (local.get 1)) (then (return (i32.sub (i32.const -2) (global.get $next)))))
      (loop $next_byte
        (if (i32.ne (i32.load8_u (local.get $i)) (i32.load8_u (i32.add (local.get 0) (local.get $i)))) (then (return (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next_byte (i32.lt_u (local.get $i) (local.get 1))))
      (call $put (i32.const 0) (i32.const 0))
      (i32.const -1))
    {more})
    (core instance $m (instantiate $m))
    (func (export "put") (param "at" u32) (param "length" u32) (canon lift (core func $m "put")))
    (func (export "check") (param "at" u32) (param "length" u32) (result u32) (canon lift (core func $m "check")))"""


def shapes(ty):
    """Core types of a parameter and a result of the type; none of a result that is in memory."""
    flat = d.flatten_types([ty], Memory("utf8").opts)
    return flat if len(flat) <= 16 else ["i32"], flat[0] if len(flat) == 1 else None


def pictures(ty, value, c, d_):
    """What memories hold: C's given the value by the host, C's to take it from, D's to pass it from, C's passed it, D's passed it back."""
    params, result = shapes(ty)

    def lowered(guest, value):
        memory = Memory(guest.encoding)
        return memory, d.lower_flat_values(memory, 16, [value], [ty])

    def returned(guest, value):
        memory = Memory(guest.encoding)
        if result:
            slots = d.lower_flat_values(memory, 16, [value], [ty])
            return memory, memory.picture(slots, [result])
        d.store(memory, value, ty, RESULT_AT)
        return memory, memory.picture([], [])

    def lifted(memory, slots):
        return d.lift_flat_values(memory, 16, d.CoreValueIter(list(slots)), [ty])[0]

    given, slots = lowered(c, value)
    given = given.picture(slots, params)
    giving, giving_slots = lowered(d_, value)
    passed, slots = lowered(c, lifted(giving, giving_slots))
    passed = passed.picture(slots, params)
    taking, taken = returned(c, value)
    back = d.load(taking, RESULT_AT, ty) if not result else lifted(*lowered(c, value))
    _, passed_back = returned(d_, back)
    return c.keep(given), c.keep(taken), d_.keep(giving.picture(giving_slots, params)), c.keep(passed), d_.keep(passed_back)


def script(values):
    types = Types()
    text, ty = types.any(4)
    if d.elem_size(ty, "i32") > ALLOCATED_FROM - RESULT_AT:
        raise TooLarge
    c, d_ = Guest(), Guest()
    params, result = shapes(ty)
    directives = []
    for _ in range(values):
        value, value_text = value_of(ty)
        given, taken, giving, passed, passed_back = pictures(ty, value, c, d_)
        directives.append(f"""(invoke "c#give" {value_text})
(assert_return (invoke "c#check" {given}) (u32.const 0xffffffff))
(invoke "c#put" {taken})
(assert_return (invoke "c#take") {value_text})
(invoke "d#pass-back")
(assert_return (invoke "d#check" {passed_back}) (u32.const 0xffffffff))
(invoke "c#put" (u32.const 0) (u32.const 0))
(invoke "d#put" {giving})
(invoke "d#pass")
(invoke "d#put" (u32.const 0) (u32.const 0))
(assert_return (invoke "c#check" {passed}) (u32.const 0xffffffff))""")
    own = "".join(f'(type $t{n}\' {ty}) (export $t{n} "t{n}" (type $t{n}\'))' for n, ty in enumerate(types.named))
    imported = "".join(f'(type $t{n}\' {ty}) (export "t{n}" (type $t{n} (eq $t{n}\')))' for n, ty in enumerate(types.named))
    stored = "".join(f"({slot}.store (i32.const {i * 8}) (local.get {i}))" for i, slot in enumerate(params))
    loaded = " ".join(f"({slot}.load (i32.const {i * 8}))" for i, slot in enumerate(params))
    take = f"({result}.load (i32.const 0))" if result else f"(i32.const {RESULT_AT})"
    of_c = f"""(func (export "give") (param {" ".join(params)}) {stored})
    (func (export "take") (result {result or "i32"}) {take})"""
    back = f"({result}.store (i32.const 0) (call $take))" if result else f"(call $take (i32.const {RESULT_AT}))"
    lowered = f"(result {result})" if result else "(param i32)"
    print(f"""(component
  (component $C {own} {c.module(of_c)}
    (func (export "give") (param "v" {text}) (canon lift (core func $m "give") {c.options()}))
    (func (export "take") (result {text}) (canon lift (core func $m "take") {c.options()})))
  (component $D {own}
    (import "c" (instance $c {imported} (export "give" (func (param "v" {text}))) (export "take" (func (result {text})))))
    {d_.module("")}
    (core func $give (canon lower (func $c "give") {d_.options()}))
    (core func $take (canon lower (func $c "take") {d_.options()}))
    (core module $calls (import "" "mem" (memory 1))
      (import "" "give" (func $give (param {" ".join(params)}))) (import "" "take" (func $take {lowered}))
      (func (export "pass") (call $give {loaded}))
      (func (export "pass-back") {back}))
    (core instance $calls (instantiate $calls
      (with "" (instance (export "mem" (memory $m "mem")) (export "give" (func $give)) (export "take" (func $take))))))
    (func (export "pass") (canon lift (core func $calls "pass")))
    (func (export "pass-back") (canon lift (core func $calls "pass-back"))))
  (instance $c (instantiate $C)) (instance $d (instantiate $D (with "c" (instance $c))))
  (export "c" (instance $c)) (export "d" (instance $d)))""")
    print("\n".join(directives))


def main():
    types, values = int(sys.argv[2]), int(sys.argv[3])
    while types:
        try:
            script(values)
            types -= 1
        except TooLarge:
            pass


main()
