//! Every function of WASI 0.2 is traced, recorded and replayed, with whatever it is given and gives: values, handles, errors, and what ends the guest.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use innkeeper::component::{FuncType, List, ResourceAny, Type, TypeKind, Val};
use innkeeper::wasi::keys::{Access, Keys, StdinKey, StdoutKey};
use innkeeper::wasi::observe::{
    ComponentRecorder, ComponentReplayer, OpenedRecord, RecordHeader, TraceForm, Tracer,
};
use innkeeper::wasi::p2::{Context, Observers, ReplayedStreams};

use super::driver::{Driven, Driver, bytes_val, flags_val, follow, text_val};
use super::{engines, function_types};

/// What is written to it, for whoever has a clone.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

/// A guest with resources of every type that it can get, by the type's name.
struct Equipped {
    driver: Driver,
    pool: HashMap<String, ResourceAny>,
}

impl Equipped {
    fn new(mut driver: Driver) -> Equipped {
        let pool = HashMap::new();
        let directory = driver.directories()[0].0;
        let file = driver.open(directory, "f", (&[], &["read", "write"])).unwrap();
        let mut equipped = Equipped { driver, pool };
        equipped.pool.insert(String::from("descriptor"), file);
        for (name, params) in [
            ("[method]descriptor.read-directory", vec![Val::Resource(directory)]),
            ("get-stdin", vec![]),
            ("get-stdout", vec![]),
            ("subscribe-duration", vec![Val::U64(1)]),
            ("instance-network", vec![]),
            ("create-tcp-socket", vec![Val::Enum("ipv4".into())]),
            ("create-udp-socket", vec![Val::Enum("ipv4".into())]),
        ] {
            equipped.call(name, &params).unwrap();
        }
        equipped.call_with_defaults("[method]udp-socket.start-bind").unwrap();
        equipped.call_with_defaults("[method]udp-socket.finish-bind").unwrap();
        equipped.call_with_defaults("[method]udp-socket.stream").unwrap();
        equipped.call_with_defaults("resolve-addresses").unwrap();
        // The disk is full.
        equipped.call_with_defaults("[method]output-stream.blocking-write-and-flush").unwrap();
        equipped
    }

    /// Calls a function, by its own name or with its interface's before, and keeps what it gives.
    fn call(&mut self, name: &str, params: &[Val]) -> Result<Option<Val>, String> {
        let ty = self.function_type(name);
        let result = self.driver.call(name, params).map_err(|error| error.to_string())?;
        if let (Some(ty), Some(val)) = (ty.result(), &result) {
            self.keep(&ty, val);
        }
        Ok(result)
    }

    /// The same with arguments that mean something.
    fn call_with_defaults(&mut self, name: &str) -> Result<Option<Val>, String> {
        let ty = self.function_type(name);
        let params: Vec<Val> = ty.params().map(|(name, ty)| self.default(name, &ty)).collect();
        self.call(name, &params)
    }

    fn function_type(&self, name: &str) -> FuncType {
        let types = function_types(&self.driver);
        let is_it = |interface: &str, known: &str| known == name || format!("{interface} {known}") == name;
        let found = types.into_iter().find(|(interface, known, _)| is_it(interface, known));
        found.unwrap_or_else(|| panic!("there is no function {name}")).2
    }

    fn keep(&mut self, ty: &Type, val: &Val) {
        match (ty.kind(), val) {
            (TypeKind::Own, Val::Resource(any)) => {
                self.pool.insert(ty.resource().unwrap().name().unwrap().to_owned(), *any);
            }
            (TypeKind::Result(Some(ty), _), Val::Result(Ok(Some(val))))
            | (TypeKind::Option(ty), Val::Option(Some(val))) => self.keep(&ty, val),
            (TypeKind::Result(_, Some(ty)), Val::Result(Err(Some(val)))) => self.keep(&ty, val),
            (TypeKind::Variant(cases), Val::Variant(label, Some(val))) => {
                let (_, ty) = cases.into_iter().find(|(known, _)| known == label).unwrap();
                self.keep(&ty.unwrap(), val);
            }
            (TypeKind::Tuple(types), Val::Tuple(vals)) => {
                types.iter().zip(vals).for_each(|(ty, val)| self.keep(ty, val));
            }
            _ => {}
        }
    }

    fn default(&self, name: &str, ty: &Type) -> Val {
        match ty.kind() {
            TypeKind::Borrow | TypeKind::Own => {
                let of = ty.resource().unwrap().name().unwrap().to_owned();
                let held = self.pool.get(&of).unwrap_or_else(|| panic!("no {of} is held"));
                Val::Resource(*held)
            }
            TypeKind::Bool => Val::Bool(true),
            TypeKind::U8 => Val::U8(if name == "status-code" { 7 } else { 127 }),
            TypeKind::U16 => Val::U16(0),
            TypeKind::U32 => Val::U32(1),
            TypeKind::U64 => Val::U64(1),
            TypeKind::String if name == "name" => text_val("127.0.0.1"),
            TypeKind::String => text_val("f"),
            TypeKind::List(of) => match of.kind() {
                TypeKind::U8 => bytes_val(b"xyz"),
                TypeKind::Borrow => Val::List(List::Vals(vec![self.default("", &of)])),
                _ => Val::List(List::Vals(Vec::new())),
            },
            TypeKind::Record(fields) => Val::Record(
                fields.into_iter().map(|(name, ty)| (name.clone(), self.default(&name, &ty))).collect(),
            ),
            TypeKind::Tuple(types) => {
                // An address of this machine.
                let part = |(at, ty): (usize, &Type)| match (at, ty.kind()) {
                    (1 | 2, TypeKind::U8) => Val::U8(0),
                    (3, TypeKind::U8) => Val::U8(1),
                    _ => self.default("", ty),
                };
                Val::Tuple(types.iter().enumerate().map(part).collect())
            }
            TypeKind::Variant(cases) => {
                let (label, ty) = &cases[0];
                Val::Variant(label.clone(), ty.as_ref().map(|ty| Box::new(self.default("", ty))))
            }
            TypeKind::Enum(labels) => Val::Enum(labels[0].clone()),
            TypeKind::Option(_) => Val::Option(None),
            TypeKind::Result(ok, _) => Val::Result(Ok(ok.map(|ty| Box::new(self.default("", &ty))))),
            TypeKind::Flags(_) => flags_val(&[]),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What a call has given, without the numbers that handles have in one store.
fn shown(outcome: &Result<Option<Val>, String>) -> String {
    fn without_handles(val: &Val) -> Val {
        let boxed = |val: &Option<Box<Val>>| val.as_ref().map(|val| Box::new(without_handles(val)));
        match val {
            Val::Resource(_) => text_val("a handle"),
            Val::List(list) => Val::List(List::Vals(list.iter().map(|val| without_handles(&val)).collect())),
            Val::Tuple(vals) => Val::Tuple(vals.iter().map(without_handles).collect()),
            Val::Record(fields) => {
                Val::Record(fields.iter().map(|(name, val)| (name.clone(), without_handles(val))).collect())
            }
            Val::Variant(label, val) => Val::Variant(label.clone(), boxed(val)),
            Val::Option(val) => Val::Option(boxed(val)),
            Val::Result(Ok(val)) => Val::Result(Ok(boxed(val))),
            Val::Result(Err(val)) => Val::Result(Err(boxed(val))),
            other => other.clone(),
        }
    }
    match outcome {
        Ok(val) => format!("{:?}", val.as_ref().map(without_handles)),
        Err(error) => error.clone(),
    }
}

#[test]
fn every_function_is_traced_recorded_and_replayed() {
    let [engine, _] = engines();
    let driven = Driven::new(&engine);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let network = ["connect:127.0.0.1:9", "listen:127.0.0.1:0", "udp:127.0.0.1:9", "resolve:localhost"];
    let keys = network.iter().fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap()));
    let keys = keys
        .dir(folder.path(), "/work", Access::ReadWrite)
        .stdin(StdinKey::Empty)
        .stdout(StdoutKey::Opened(Arc::new(full.into())))
        .build();
    let names: Vec<(String, String)> = function_types(&driven.start(Context::new(&keys).unwrap()))
        .into_iter()
        .map(|(interface, name, _)| (interface, name))
        .collect();
    assert!(names.len() > 110, "{}", names.len());
    for (interface, name) in names {
        let named = format!("{interface} {name}");
        let (record, trace, json) = (Shared::default(), Shared::default(), Shared::default());
        let recorder = ComponentRecorder::new(Box::new(record.clone()), &RecordHeader::new("", b"")).unwrap();
        let tracer = Tracer::new(Box::new(trace.clone()), TraceForm::Text);
        let observers = Arc::new(Observers::none().recorder(recorder).tracer(tracer));
        let recorded = exercise(driven.start_observed(Context::new(&keys).unwrap(), &observers), &named);
        observers.finish_record("done").unwrap();

        let replayer =
            ComponentReplayer::new(OpenedRecord::new(Box::new(io::Cursor::new(record.bytes()))).unwrap());
        let streams = ReplayedStreams::new(Box::new(io::sink()), Box::new(io::sink()));
        let tracer = Tracer::new(Box::new(json.clone()), TraceForm::Json);
        let observers = Arc::new(Observers::none().replayer(replayer, streams).tracer(tracer));
        // There is nothing that it may use.
        let replayed = exercise(driven.start_observed(super::context(), &observers), &named);
        assert_eq!(shown(&recorded), shown(&replayed), "{name}");
        observers.finish_replay("done").unwrap_or_else(|error| panic!("{name}: {error}"));

        let (trace, json) = (text(&trace), text(&json));
        let call = format!("{interface}.{name}(");
        assert!(trace.contains(&call), "{call} is not in {trace}");
        assert!(json.contains(&format!("{{\"call\":\"{interface}.{name}\",\"arguments\":{{")), "{json}");
    }
}

/// Calls a function, and then drops what is left.
fn exercise(driver: Driver, name: &str) -> Result<Option<Val>, String> {
    let mut equipped = Equipped::new(driver);
    let outcome = equipped.call_with_defaults(name);
    let mut left: Vec<_> = equipped.pool.into_iter().collect();
    left.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (_, any) in left {
        // Some must not be dropped before what was made from them.
        let _ = any.drop(&mut equipped.driver.store);
    }
    outcome
}

fn text(shared: &Shared) -> String {
    String::from_utf8(shared.bytes()).unwrap()
}

#[test]
fn a_trace_names_handles_and_values() {
    let [engine, _] = engines();
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    let trace = Shared::default();
    let observers = Arc::new(Observers::none().tracer(Tracer::new(Box::new(trace.clone()), TraceForm::Text)));
    let mut driver = Driven::new(&engine).start_observed(Context::new(&keys).unwrap(), &observers);
    let at = driver.directories()[0].0;
    let file = driver.open(at, "a \"b\"", (&["create"], &["read", "write"])).unwrap();
    driver
        .outcome("[method]descriptor.write", &[Val::Resource(file), bytes_val(b"hello\n"), Val::U64(0)])
        .unwrap();
    driver.at("stat-at", at, &[follow(false), text_val("none")]).unwrap_err();
    driver.open(at, "../x", (&[], &["read"])).unwrap_err();
    let trace = text(&trace);
    for line in [
        "wasi:filesystem/preopens.get-directories() -> [(descriptor#1, \"/work\")] <",
        "wasi:filesystem/types.[method]descriptor.open-at(descriptor#1, {symlink-follow}, \"a \\\"b\\\"\", {create}, {read, write}) -> ok(descriptor#",
        "b\"hello\\n\", 0) -> ok(6) <",
        ", {}, \"none\") -> err(no-entry) <",
        "\"../x\", {}, {read}) -> err(not-permitted) <",
    ] {
        assert!(trace.contains(line), "no {line} in {trace}");
    }
}
