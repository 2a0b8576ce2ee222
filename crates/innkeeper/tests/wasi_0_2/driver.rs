//! A guest that passes every function of a version of WASI on: what a test calls goes through the canonical ABI twice, from the host into the guest and from the guest into WASI.
//!
//! It is made from the text of what there is (`types::IMPORTS`): each function is imported, lowered, called by a core function with the parameters that it was given, and lifted with the type that it
//! was imported with. Handles that the guest was lent for a call are dropped by it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use innkeeper::component::{
    Component, Func, ImportItemKind, Instance, Linker, List, ResourceAny, Type, TypeKind, Val,
};
use innkeeper::wasi::p2;
use innkeeper::{Engine, Error, Store};

use super::bound::using;
use super::surface::Function;
use super::types::{IMPORTS, bound_functions};
use super::{add_to_linker, component};

/// The guest in a store.
pub(crate) struct Driver {
    pub(crate) store: Store<p2::Context>,
    pub(crate) functions: HashMap<String, Func>,
    linker: Linker<p2::Context>,
    component: Component,
    names: Vec<String>,
}

/// The guest's component, to be instantiated for many contexts.
pub(crate) struct Driven {
    component: Component,
    names: Vec<String>,
}

impl Driven {
    pub(crate) fn new(engine: &Engine) -> Driven {
        let (text, names) = text(engine);
        Driven { component: component(engine, &text), names }
    }

    pub(crate) fn start(&self, context: p2::Context) -> Driver {
        self.start_observed(context, &Arc::new(p2::Observers::none()))
    }

    pub(crate) fn start_observed(&self, context: p2::Context, observers: &Arc<p2::Observers>) -> Driver {
        let engine = self.component.engine();
        let mut linker = Linker::new(engine);
        add_to_linker(&mut linker).unwrap();
        // What is not bound is not called.
        linker.define_unknown_imports_as_traps(&self.component).unwrap();
        let budget = context.host().budget().clone();
        let mut store = Store::with_budget(engine, context, &budget).unwrap();
        observers.watch(&mut store);
        let (component, names) = (self.component.clone(), self.names.clone());
        let mut driver = Driver { store, functions: HashMap::new(), linker, component, names };
        driver.instantiate();
        driver
    }
}

impl Driver {
    /// Instantiates the guest, and calls that instance from then on.
    pub(crate) fn instantiate(&mut self) {
        let instance: Instance = self.linker.instantiate(&mut self.store, &self.component).unwrap();
        for (i, name) in self.names.iter().enumerate() {
            let func = instance.get_func(&mut self.store, &format!("f{i}")).unwrap();
            self.functions.insert(name.clone(), func);
        }
    }

    /// Calls a function of WASI by its own name, which is that of one interface only, or with the interface's before it.
    pub(crate) fn call(&mut self, name: &str, params: &[Val]) -> Result<Option<Val>, Error> {
        self.call_func(self.func(name), params)
    }

    /// What calls such a function.
    pub(crate) fn func(&self, name: &str) -> Func {
        let is_it = |known: &String| known == name || known.ends_with(&format!(" {name}"));
        let mut found = self.functions.iter().filter(|(known, _)| is_it(known));
        let (_, func) = found.next().unwrap_or_else(|| panic!("there is no function {name}"));
        assert!(found.next().is_none(), "{name} is in several interfaces");
        *func
    }

    /// Calls a function of an interface, `wasi:clocks/wall-clock now`.
    pub(crate) fn call_of(&mut self, interface: &str, name: &str) -> Result<Option<Val>, Error> {
        let func = self.functions[&format!("{interface} {name}")];
        self.call_func(func, &[])
    }

    fn call_func(&mut self, func: Func, params: &[Val]) -> Result<Option<Val>, Error> {
        let has_result = func.ty(&self.store).unwrap().result().is_some();
        let mut results = vec![Val::Bool(false); usize::from(has_result)];
        func.call(&mut self.store, params, &mut results)?;
        Ok(results.pop())
    }

    /// Calls a function that gives a `result`: what it gives, or the name of the error.
    pub(crate) fn outcome(&mut self, name: &str, params: &[Val]) -> Result<Option<Val>, String> {
        match self.call(name, params).unwrap_or_else(|error| panic!("{name}: {error}")) {
            Some(Val::Result(Ok(value))) => Ok(value.map(|value| *value)),
            Some(Val::Result(Err(Some(error)))) => Err(match *error {
                Val::Enum(label) => label.to_string(),
                Val::Variant(label, payload) => match payload.map(|payload| *payload) {
                    // Errors are resources.
                    Some(Val::Resource(error)) => {
                        let code = self.call("filesystem-error-code", &[Val::Resource(error)]).unwrap();
                        self.drop(error);
                        format!("{label}({code:?})")
                    }
                    _ => label.to_string(),
                },
                other => format!("{other:?}"),
            }),
            other => panic!("{name} gives {other:?}"),
        }
    }

    /// A method of a descriptor on a path.
    pub(crate) fn at(
        &mut self,
        method: &str,
        directory: ResourceAny,
        rest: &[Val],
    ) -> Result<Option<Val>, String> {
        let params = [&[Val::Resource(directory)], rest].concat();
        self.outcome(&format!("[method]descriptor.{method}"), &params)
    }

    /// Opens a path; flags by name.
    pub(crate) fn open(
        &mut self,
        directory: ResourceAny,
        path: &str,
        (open, flags): (&[&str], &[&str]),
    ) -> Result<ResourceAny, String> {
        let rest = [follow(true), text_val(path), flags_val(open), flags_val(flags)];
        Ok(resource(self.at("open-at", directory, &rest)?))
    }

    /// The directories that the guest begins with.
    pub(crate) fn directories(&mut self) -> Vec<(ResourceAny, String)> {
        let Some(Val::List(List::Vals(found))) = self.call("get-directories", &[]).unwrap() else {
            panic!("no list")
        };
        let pair = |val| match val {
            Val::Tuple(parts) => match &parts[..] {
                [Val::Resource(directory), Val::String(name)] => (*directory, name.clone()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        found.into_iter().map(pair).collect()
    }

    pub(crate) fn drop(&mut self, resource: ResourceAny) {
        resource.drop(&mut self.store).unwrap();
    }
}

pub(crate) fn resource(val: Option<Val>) -> ResourceAny {
    match val {
        Some(Val::Resource(resource)) => resource,
        other => panic!("no resource, but {other:?}"),
    }
}

pub(crate) fn text_val(text: &str) -> Val {
    Val::String(text.to_owned())
}

pub(crate) fn bytes_val(bytes: &[u8]) -> Val {
    Val::List(List::U8(bytes.to_vec()))
}

pub(crate) fn flags_val(labels: &[&str]) -> Val {
    Val::Flags(labels.iter().map(|label| (*label).into()).collect())
}

/// `path-flags`
pub(crate) fn follow(last_link: bool) -> Val {
    flags_val(if last_link { &["symlink-follow"] } else { &[] })
}

/// The guest's text, and the functions that it exports as `f0`, `f1` and so on.
fn text(engine: &Engine) -> (String, Vec<String>) {
    let functions = bound_functions();
    let mut text = IMPORTS.trim_end().strip_suffix(')').unwrap().to_owned();
    let types = define_types(&mut text);
    text += r#"(core module $m (memory (export "memory") 64) (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (if (i32.gt_u (global.get $next) (i32.const 0x200000)) (then (global.set $next (i32.const 1024))))
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
        (core instance $m (instantiate $m))"#;
    let (mut imports, mut items, mut drops) = (String::new(), String::new(), HashMap::new());
    for (name, ty) in &types.resources {
        let number = drops.len();
        write!(text, "(core func $drop{number} (canon resource.drop {ty}))").unwrap();
        write!(items, r#"(export "drop{number}" (func $drop{number}))"#).unwrap();
        write!(imports, r#"(import "" "drop{number}" (func $drop{number} (param i32)))"#).unwrap();
        drops.insert(name.clone(), number);
    }
    let options = r#"(memory (core memory $m "memory")) (realloc (core func $m "realloc"))"#;
    let mut bodies = String::new();
    for (i, (function, (params, result))) in functions.iter().zip(signatures(engine, &functions)).enumerate()
    {
        let Function { instance, name, .. } = function;
        write!(text, "(core func $f{i} (canon lower (func {instance} {name:?}) {options}))").unwrap();
        write!(items, r#"(export "f{i}" (func $f{i}))"#).unwrap();
        let flat: Vec<&str> = params.iter().flat_map(flatten).collect();
        let results: Vec<&str> = result.iter().flat_map(flatten).collect();
        let is_spilled = results.len() > 1;
        let result = if is_spilled { "i32" } else { results.first().copied().unwrap_or("") };
        let (given, returned) =
            (flat.join(" "), if result.is_empty() { String::new() } else { format!("(result {result})") });
        match is_spilled {
            true => write!(imports, r#"(import "" "f{i}" (func $f{i} (param {given} i32)))"#),
            false => write!(imports, r#"(import "" "f{i}" (func $f{i} (param {given}) {returned}))"#),
        }
        .unwrap();
        let passed: String = (0..flat.len()).map(|at| format!("(local.get {at})")).collect();
        let call = match is_spilled {
            true => format!(
                "(local.set $r (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 256)))
                (call $f{i} {passed} (local.get $r))"
            ),
            false if result.is_empty() => format!("(call $f{i} {passed})"),
            false => format!("(local.set $r (call $f{i} {passed}))"),
        };
        let kept = if result.is_empty() { "i32" } else { result };
        let back = if result.is_empty() { "" } else { "(local.get $r)" };
        let drop = drop_lent(&params, &drops);
        write!(bodies, r#"(func (export "f{i}") (param {given}) {returned} (local $r {kept}) (local $i i32) {call} {drop} {back})"#).unwrap();
    }
    write!(
        text,
        r#"(core module $d (import "m" "memory" (memory 1))
            (import "m" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32))) {imports} {bodies})
        (core instance $d (instantiate $d (with "m" (instance $m)) (with "" (instance {items}))))"#
    )
    .unwrap();
    for (i, function) in functions.iter().enumerate() {
        let ty = &types.functions[&format!("{} {}", function.interface, function.name)];
        write!(text, r#"(func (export "f{i}") (type {ty}) (canon lift (core func $d "f{i}") {options}))"#)
            .unwrap();
    }
    let name = |function: &Function| {
        let interface = function.interface.split('@').next().unwrap();
        format!("{interface} {}", function.name)
    };
    (text + ")", functions.iter().map(name).collect())
}

/// Drops the handles among the parameters that were lent.
fn drop_lent(params: &[Type], drops: &HashMap<String, usize>) -> String {
    let (mut text, mut at) = (String::new(), 0);
    let drop = |ty: &Type| drops[ty.resource().unwrap().name().unwrap()];
    for param in params {
        match param.kind() {
            TypeKind::Borrow => write!(text, "(call $drop{} (local.get {at}))", drop(param)).unwrap(),
            TypeKind::List(element) if matches!(element.kind(), TypeKind::Borrow) => write!(
                text,
                "(block $end (loop $next (br_if $end (i32.ge_u (local.get $i) (local.get {})))
                    (call $drop{} (i32.load (i32.add (local.get {at}) (i32.mul (local.get $i) (i32.const 4)))))
                    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))",
                at + 1,
                drop(&element)
            )
            .unwrap(),
            _ => {}
        }
        at += flatten(param).len();
    }
    text
}

/// The types of functions' parameters and result, as they are imported.
fn signatures(engine: &Engine, functions: &[Function]) -> Vec<(Vec<Type>, Option<Type>)> {
    let importing = component(engine, &using(IMPORTS, functions));
    let found: HashMap<String, _> = importing
        .imports()
        .filter_map(|import| match import.kind {
            ImportItemKind::Func(ty) => Some((import.path.join(" "), ty)),
            _ => None,
        })
        .collect();
    let of = |function: &Function| {
        let ty = &found[&format!("{} {}", function.interface, function.name)];
        (ty.params().map(|(_, ty)| ty).collect(), ty.result())
    };
    functions.iter().map(of).collect()
}

/// The core values that a type is passed in.
fn flatten(ty: &Type) -> Vec<&'static str> {
    let all = |types: Vec<Type>| types.iter().flat_map(flatten).collect();
    match ty.kind() {
        TypeKind::U64 | TypeKind::S64 => vec!["i64"],
        TypeKind::Float32 => vec!["f32"],
        TypeKind::Float64 => vec!["f64"],
        TypeKind::String | TypeKind::List(_) => vec!["i32", "i32"],
        TypeKind::Record(fields) => all(fields.into_iter().map(|(_, ty)| ty).collect()),
        TypeKind::Tuple(types) => all(types),
        TypeKind::Variant(cases) => joined(cases.into_iter().map(|(_, ty)| ty).collect()),
        TypeKind::Option(payload) => joined(vec![None, Some(payload)]),
        TypeKind::Result(ok, err) => joined(vec![ok, err]),
        _ => vec!["i32"],
    }
}

/// The core values that cases are passed in.
fn joined(cases: Vec<Option<Type>>) -> Vec<&'static str> {
    let mut joined = vec!["i32"];
    for case in cases.iter().flatten() {
        for (i, ty) in flatten(case).into_iter().enumerate() {
            match joined.get_mut(i + 1) {
                Some(known) if *known != ty => {
                    *known = if [*known, ty] == ["i32", "f32"] { "i32" } else { "i64" }
                }
                Some(_) => {}
                None => joined.push(ty),
            }
        }
    }
    joined
}

/// What types are called in the guest's text.
struct Types {
    /// By the resource's name.
    resources: Vec<(String, String)>,
    functions: HashMap<String, String>,
}

/// Defines the types of the imported instances anew, beside them, and gives them names.
fn define_types(text: &mut String) -> Types {
    let mut types = Types { resources: Vec::new(), functions: HashMap::new() };
    let (mut body, mut instance) = (Vec::new(), 0);
    for line in IMPORTS.lines() {
        if line.starts_with("      (") {
            body.push(line.trim());
        }
        if line.starts_with("  (import ") {
            let interface = line.split('"').nth(1).unwrap();
            define_types_of(text, (instance, interface), &std::mem::take(&mut body), &mut types);
            instance += 1;
        }
    }
    types
}

fn define_types_of(
    text: &mut String,
    (instance, interface): (usize, &str),
    body: &[&str],
    types: &mut Types,
) {
    let mut names: Vec<String> = Vec::new();
    for line in body {
        let name = format!("$t{instance}_{}", names.len());
        let quoted = || line.split('"').nth(1).unwrap();
        if let Some(rest) = line.strip_prefix("(alias outer 1 ") {
            names.push(rest.split(' ').next().unwrap().to_owned());
        } else if line.contains("(func (type ") {
            let number: usize = line.rsplit("(type ").next().unwrap().trim_end_matches(')').parse().unwrap();
            types.functions.insert(format!("{interface} {}", quoted()), names[number].clone());
        } else if line.starts_with("(export ") {
            write!(text, "(alias export {instance} {:?} (type {name}))", quoted()).unwrap();
            if line.contains("(sub resource)") {
                types.resources.push((quoted().to_owned(), name.clone()));
            }
            names.push(name);
        } else {
            let definition = line.strip_prefix("(type ").unwrap().split_once(' ').unwrap().1;
            write!(text, "(type {name} {}", renamed(definition, &names)).unwrap();
            names.push(name);
        }
    }
}

/// A definition with names in the place of numbers of types.
fn renamed(definition: &str, names: &[String]) -> String {
    let name = |word: &str| {
        let digits = word.trim_end_matches(')');
        match digits.parse::<usize>() {
            Ok(number) => format!("{}{}", names[number], &word[digits.len()..]),
            Err(_) => word.to_owned(),
        }
    };
    definition.split(' ').map(name).collect::<Vec<_>>().join(" ")
}
