//! From bytes to [`ModuleParts`]: one pass over the sections, function bodies validated in parallel where it pays.
//!
//! Must stay true: everything in [`ModuleParts`] has been validated, now or by an engine of the same version at an earlier time, so that
//! later stages index without doubt.

use std::ops::Range;
use std::sync::OnceLock;

use wasmparser::{
    Encoding, ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody, Imports, Parser, Payload,
    TypeRef, ValidPayload, Validator, ValidatorResources,
};

use super::bytes::ModuleBytes;
use super::types::{TypeContext, memory_type};
use super::*;
use crate::error::ErrorKind;

pub(super) type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

/// Decodes a module, and validates it unless it is known to be valid.
pub(super) fn decode(engine: &Engine, bytes: ModuleBytes, verdict: Verdict) -> Result<ModuleParts, Error> {
    // Offsets are kept in 32 bits; beyond, what is executed would not be what was validated.
    if u32::try_from(bytes.len()).is_err() {
        return Err(Error::limit(format!(
            "the module has {} bytes; 4 GiB less one byte is the most",
            bytes.len()
        )));
    }
    let _room = room::charge(engine, &bytes)?;
    let mut parts = empty_parts(engine);
    let mut validator = match verdict {
        Verdict::Unknown => Some(Validator::new_with_features(engine.config().features.flags())),
        Verdict::Valid => None,
    };
    let mut bodies: Vec<Body<'_>> = Vec::new();
    let mut parser = Parser::new(0);
    parser.set_features(engine.config().features.flags());
    for payload in parser.parse_all(&bytes) {
        let payload = payload?;
        if let Payload::Version { encoding: Encoding::Component, .. } = payload {
            return Err(Error::new(ErrorKind::Unsupported(
                "this is a component, not a core module; load it with `Component::new`".to_owned(),
            )));
        }
        if let Some(validator) = &mut validator
            && let ValidPayload::Func(func, body) = validator.payload(&payload)?
        {
            bodies.push((func, body));
        }
        match payload {
            Payload::CodeSectionStart { count, .. } => {
                let count = (count as usize).min(bytes.len());
                let reserved = parts.bodies.try_reserve_exact(count);
                let waiting = validator.as_ref().map_or(0, |_| count);
                reserved.and(bodies.try_reserve_exact(waiting)).map_err(|_| no_memory(count, "functions"))?;
            }
            Payload::CodeSectionEntry(body) => parts.bodies.push(narrow(body.range())),
            payload => section(&mut parts, payload)?,
        }
    }
    validate_bodies(engine, &bodies, &bytes)?;
    drop(bodies);
    parts.referenced_funcs = referenced_funcs(&parts);
    parts.bytes = bytes;
    Ok(parts)
}

fn empty_parts(engine: &Engine) -> ModuleParts {
    ModuleParts {
        engine: engine.clone(),
        bytes: ModuleBytes::Own(Vec::new()),
        types: Vec::new(),
        held_types: HeldTypes::new(engine.registry()),
        type_numbers: OnceLock::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        funcs: Vec::new(),
        imported_funcs: 0,
        bodies: Vec::new(),
        tables: Vec::new(),
        imported_tables: 0,
        memories: Vec::new(),
        imported_memories: 0,
        globals: Vec::new(),
        imported_globals: 0,
        tags: Vec::new(),
        imported_tags: 0,
        start: None,
        elems: Vec::new(),
        datas: Vec::new(),
        referenced_funcs: Vec::new(),
        name_sections: super::names::Sections::default(),
        names: OnceLock::new(),
        #[cfg(feature = "component")]
        path: OnceLock::new(),
        image: super::image::ImageOnce::default(),
        purpose: Purpose::Guest,
        tiers: OnceLock::new(),
        this: OnceLock::new(),
    }
}

fn section(parts: &mut ModuleParts, payload: Payload<'_>) -> Result<(), Error> {
    match payload {
        Payload::TypeSection(reader) => {
            for group in reader {
                let group = group?;
                let context = TypeContext { parts, start: parts.types.len() };
                let mut types = Vec::with_capacity(group.types().len());
                for ty in group.types() {
                    types.push(context.sub_type(ty)?);
                }
                // What follows takes as much again.
                drop(group);
                parts.types.extend(parts.held_types.intern(types)?);
            }
        }
        Payload::ImportSection(reader) => {
            for imports in reader {
                match imports? {
                    Imports::Single(_, import) => push_import(parts, &import)?,
                    Imports::Compact1 { .. } | Imports::Compact2 { .. } => {
                        return Err(Error::new(ErrorKind::Unsupported("compact import sections".to_owned())));
                    }
                }
            }
        }
        Payload::FunctionSection(reader) => {
            for ty in reader {
                parts.funcs.push(TypeIndex(ty?));
            }
        }
        Payload::TableSection(reader) => {
            for table in reader {
                let table = table?;
                let init = match &table.init {
                    wasmparser::TableInit::RefNull => None,
                    wasmparser::TableInit::Expr(expr) => Some(ConstExpr::decode(expr)?),
                };
                let ty = parts.context().table_type(&table.ty)?;
                parts.tables.push(TableDecl { ty, init });
            }
        }
        Payload::MemorySection(reader) => {
            for memory in reader {
                parts.memories.push(memory_type(&memory?));
            }
        }
        Payload::TagSection(reader) => {
            for tag in reader {
                parts.tags.push(TypeIndex(tag?.func_type_idx));
            }
        }
        Payload::GlobalSection(reader) => {
            for global in reader {
                let global = global?;
                let init = Some(ConstExpr::decode(&global.init_expr)?);
                let ty = parts.context().global_type(&global.ty)?;
                parts.globals.push(GlobalDecl { ty, init });
            }
        }
        Payload::ExportSection(reader) => {
            let range = narrow(reader.range());
            parts.name_sections.exports = Some(range.start as usize..range.end as usize);
            for export in reader {
                let export = export?;
                let item = match export.kind {
                    ExternalKind::Func | ExternalKind::FuncExact => Item::Func(FuncIndex(export.index)),
                    ExternalKind::Table => Item::Table(TableIndex(export.index)),
                    ExternalKind::Memory => Item::Memory(MemoryIndex(export.index)),
                    ExternalKind::Global => Item::Global(GlobalIndex(export.index)),
                    ExternalKind::Tag => Item::Tag(TagIndex(export.index)),
                };
                parts.exports.push(ExportDecl { name: export.name.into(), item });
            }
        }
        Payload::StartSection { func, .. } => parts.start = Some(FuncIndex(func)),
        Payload::ElementSection(reader) => {
            for elem in reader {
                parts.elems.push(elem_segment(elem?)?);
            }
        }
        Payload::DataSection(reader) => {
            for data in reader {
                parts.datas.push(data_segment(data?)?);
            }
        }
        Payload::CustomSection(reader) if reader.name() == "name" => {
            let range = narrow(reader.data_range());
            parts.name_sections.names = Some(range.start as usize..range.end as usize);
        }
        _ => {}
    }
    Ok(())
}

fn push_import(parts: &mut ModuleParts, import: &wasmparser::Import<'_>) -> Result<(), Error> {
    let item = match import.ty {
        TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
            parts.funcs.push(TypeIndex(ty));
            parts.imported_funcs += 1;
            Item::Func(FuncIndex(parts.imported_funcs - 1))
        }
        TypeRef::Table(ty) => {
            let ty = parts.context().table_type(&ty)?;
            parts.tables.push(TableDecl { ty, init: None });
            parts.imported_tables += 1;
            Item::Table(TableIndex(parts.imported_tables - 1))
        }
        TypeRef::Memory(ty) => {
            parts.memories.push(memory_type(&ty));
            parts.imported_memories += 1;
            Item::Memory(MemoryIndex(parts.imported_memories - 1))
        }
        TypeRef::Global(ty) => {
            let ty = parts.context().global_type(&ty)?;
            parts.globals.push(GlobalDecl { ty, init: None });
            parts.imported_globals += 1;
            Item::Global(GlobalIndex(parts.imported_globals - 1))
        }
        TypeRef::Tag(ty) => {
            parts.tags.push(TypeIndex(ty.func_type_idx));
            parts.imported_tags += 1;
            Item::Tag(TagIndex(parts.imported_tags - 1))
        }
    };
    parts.imports.push(ImportDecl { module: import.module.into(), name: import.name.into(), item });
    Ok(())
}

fn elem_segment(elem: wasmparser::Element<'_>) -> Result<ElemSegment, Error> {
    let mode = match elem.kind {
        wasmparser::ElementKind::Passive => SegmentMode::Passive,
        wasmparser::ElementKind::Declared => SegmentMode::Declared,
        wasmparser::ElementKind::Active { table_index, offset_expr } => SegmentMode::Active {
            target: TableIndex(table_index.unwrap_or(0)),
            offset: ConstExpr::decode(&offset_expr)?,
        },
    };
    let items = match elem.items {
        wasmparser::ElementItems::Functions(funcs) => {
            let mut all = list_of(funcs.count(), "elements")?;
            for func in funcs {
                all.push(FuncIndex(func?));
            }
            ElemItems::Funcs(all.into())
        }
        wasmparser::ElementItems::Expressions(_, exprs) => {
            let mut all = list_of(exprs.count(), "elements")?;
            for expr in exprs {
                all.push(ConstExpr::decode(&expr?)?);
            }
            ElemItems::Exprs(all.into())
        }
    };
    Ok(ElemSegment { mode, items })
}

/// A list with room for so many: one that grows takes several times as much, in ways that do not fail gently. The validator has found that there are as many.
fn list_of<T>(count: u32, what: &str) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| no_memory(count as usize, what))?;
    Ok(list)
}

fn data_segment(data: wasmparser::Data<'_>) -> Result<DataSegment, Error> {
    let mode = match data.kind {
        wasmparser::DataKind::Passive => SegmentMode::Passive,
        wasmparser::DataKind::Active { memory_index, offset_expr } => SegmentMode::Active {
            target: MemoryIndex(memory_index),
            offset: ConstExpr::decode(&offset_expr)?,
        },
    };
    // The contents are the segment's last bytes.
    let end = narrow(data.range.clone()).end;
    Ok(DataSegment { mode, contents: end - data.data.len() as u32..end })
}

/// Validates every function body, on several threads where the module is large; the error is that of the first body.
pub(super) fn validate_bodies(engine: &Engine, bodies: &[Body<'_>], bytes: &[u8]) -> Result<(), Error> {
    // Where it is known to be valid, there are none.
    if bodies.is_empty() {
        return Ok(());
    }
    // Asking for the number of processors costs more than validating a small module.
    if bytes.len() < engine.config().tuning.parallel_validation_bytes {
        return validate_run(bodies);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    // Runs of several hundred kilobytes each keep the threads evenly loaded without a queue.
    let run = bodies.len().div_ceil(threads * 4).max(1);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let runs: Vec<&[Body<'_>]> = bodies.chunks(run).collect();
    let results: Vec<OnceLock<Result<(), Error>>> = runs.iter().map(|_| OnceLock::new()).collect();
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(run) = runs.get(i) else { break };
                let _ = results[i].set(validate_run(run));
            }
        };
        for _ in 1..threads {
            // Where the system refuses another thread, this one does the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// Threads that validate a module at the most.
const MAX_THREADS: usize = 16;

fn validate_run(bodies: &[Body<'_>]) -> Result<(), Error> {
    let mut allocations = FuncValidatorAllocations::default();
    for (func, body) in bodies {
        let func = FuncToValidate {
            resources: func.resources.clone(),
            index: func.index,
            ty: func.ty,
            features: func.features,
        };
        let mut validator = func.into_validator(allocations);
        validator.validate(body)?;
        allocations = validator.into_allocations();
    }
    Ok(())
}

/// Functions that `ref.func`, a segment, a global or an export may make a reference to.
fn referenced_funcs(parts: &ModuleParts) -> Vec<FuncIndex> {
    let mut funcs: Vec<FuncIndex> = Vec::new();
    let mut from_expr = |expr: &ConstExpr| {
        funcs.extend(expr.ops().iter().filter_map(|op| match op {
            ConstOp::RefFunc(func) => Some(*func),
            _ => None,
        }));
    };
    for elem in &parts.elems {
        if let ElemItems::Exprs(exprs) = &elem.items {
            exprs.iter().for_each(&mut from_expr);
        }
    }
    parts.globals.iter().filter_map(|global| global.init.as_ref()).for_each(&mut from_expr);
    parts.tables.iter().filter_map(|table| table.init.as_ref()).for_each(&mut from_expr);
    for elem in &parts.elems {
        if let ElemItems::Funcs(items) = &elem.items {
            funcs.extend(items);
        }
    }
    funcs.extend(parts.exports.iter().filter_map(|export| match export.item {
        Item::Func(func) => Some(func),
        _ => None,
    }));
    funcs.extend(parts.start);
    funcs.sort_unstable();
    funcs.dedup();
    funcs
}

/// Offsets fit: [`decode`] has refused longer modules.
fn narrow(range: Range<u64>) -> Range<u32> {
    range.start as u32..range.end as u32
}
