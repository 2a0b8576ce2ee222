//! The module that is made of generated functions: its types, its imports, and which function is which.
//!
//! Must stay true: the same plan gives the same bytes, so that what is compiled of them is found again.

use std::borrow::Cow;
use std::collections::HashMap;

use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, Instruction, MemoryType, Module, NameMap, NameSection, TypeSection, ValType,
};

use super::code::{Code, Local, Op};
use super::cost::Known;
use super::host::HostFunction;
use super::which::Seen;
use super::{Allowance, Import, Needs, Parts, Walked, flags_name};
use crate::decode::Encoding;
use crate::plan::{CoreDef, InstanceNumber, Options, Plan, TrampolineNumber};
use crate::types::{Flat, TypeIndex};

/// A function of the module: an import, or one that it defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FuncRef {
    Import(u32),
    Defined(u32),
}

/// One side of a call: an instance, and the options that the function was lifted or lowered with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SideDef {
    pub(super) instance: InstanceNumber,
    pub(super) encoding: Encoding,
    pub(super) memory: Option<CoreDef>,
    pub(super) realloc: Option<CoreDef>,
}

/// The number of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SideIndex(pub(super) u32);

/// A function that takes a value of a type from one memory to another, so that its code is there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outlined {
    pub(super) types: (TypeIndex, TypeIndex),
    pub(super) sides: (SideIndex, SideIndex),
}

/// The type of an instance's flags.
const FLAGS: GlobalType = GlobalType { val_type: ValType::I32, mutable: true, shared: false };

struct Defined {
    ty: u32,
    code: Code,
}

/// See the module's documentation.
pub(super) struct Builder<'p> {
    pub(super) plan: &'p Plan,
    /// NaNs are to be the canonical ones.
    pub(super) canonical_nans: bool,
    /// Functions may throw exceptions, which end at the boundary.
    pub(super) may_throw: bool,
    pub(super) has_tail_calls: bool,
    types: Vec<(Vec<ValType>, Vec<ValType>)>,
    by_type: HashMap<(Vec<ValType>, Vec<ValType>), u32>,
    imports: Vec<(Import, EntityType)>,
    by_import: HashMap<Import, u32>,
    /// How many functions, memories and globals are imported.
    counts: [u32; 3],
    /// The instances whose flags the module defines; none where it imports them.
    own_flags: Option<Vec<InstanceNumber>>,
    defined: Vec<Option<Defined>>,
    sides: Vec<SideDef>,
    by_side: HashMap<SideDef, SideIndex>,
    reallocs: HashMap<SideIndex, FuncRef>,
    /// What traps in the place of functions with such results.
    failing: HashMap<Vec<ValType>, FuncRef>,
    /// What copies strings from one memory to another.
    text_copies: HashMap<(CoreDef, CoreDef), FuncRef>,
    outlined: HashMap<Outlined, FuncRef>,
    /// Functions of the former that have no code yet.
    pub(super) waiting: Vec<(Outlined, u32)>,
    exports: Vec<FuncRef>,
    ops: usize,
    /// What the module's functions have at most.
    most_ops: usize,
    /// Memoized, by type.
    pub(super) known: HashMap<TypeIndex, Known>,
    seen: &'p Seen,
}

impl<'p> Builder<'p> {
    pub(super) fn new(plan: &'p Plan, needs: Needs<'p>, most_ops: usize) -> Builder<'p> {
        Builder {
            plan,
            canonical_nans: needs.canonical_nans,
            may_throw: needs.may_throw,
            has_tail_calls: needs.has_tail_calls,
            types: Vec::new(),
            by_type: HashMap::new(),
            imports: Vec::new(),
            by_import: HashMap::new(),
            counts: [0; 3],
            own_flags: needs.defines_flags.then(Vec::new),
            defined: Vec::new(),
            sides: Vec::new(),
            by_side: HashMap::new(),
            reallocs: HashMap::new(),
            failing: HashMap::new(),
            text_copies: HashMap::new(),
            outlined: HashMap::new(),
            waiting: Vec::new(),
            exports: Vec::new(),
            ops: 0,
            most_ops,
            known: HashMap::new(),
            seen: needs.seen,
        }
    }

    pub(super) fn sees_context(&self, instance: InstanceNumber) -> bool {
        self.seen.context.contains(&instance)
    }

    /// Whether code of an instance, or of one in it, can call anybody. Where not, nobody can tell its flags: see [`Seen`].
    pub(super) fn leads_out(&self, instance: InstanceNumber) -> bool {
        self.seen.leads_out.contains(&instance)
    }

    pub(super) fn ty(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let ty = (params.to_vec(), results.to_vec());
        if let Some(known) = self.by_type.get(&ty) {
            return *known;
        }
        let index = self.types.len() as u32;
        self.types.push(ty.clone());
        self.by_type.insert(ty, index);
        index
    }

    fn import(&mut self, import: Import, kind: usize, ty: EntityType) -> u32 {
        if let Some(known) = self.by_import.get(&import) {
            return *known;
        }
        let index = self.counts[kind];
        self.counts[kind] += 1;
        self.imports.push((import.clone(), ty));
        self.by_import.insert(import, index);
        index
    }

    /// A function of a module of the component.
    pub(super) fn core_func(&mut self, func: &CoreDef, params: &[ValType], results: &[ValType]) -> FuncRef {
        let ty = self.ty(params, results);
        FuncRef::Import(self.import(Import::Func(func.clone()), 0, EntityType::Function(ty)))
    }

    /// A function of the host's.
    pub(super) fn host(&mut self, func: HostFunction) -> FuncRef {
        let (params, results) = func.ty();
        let ty = self.ty(params, results);
        FuncRef::Import(self.import(Import::Host(func), 0, EntityType::Function(ty)))
    }

    pub(super) fn memory(&mut self, memory: &CoreDef) -> u32 {
        let any =
            MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
        self.import(Import::Memory(memory.clone()), 1, EntityType::Memory(any))
    }

    /// The flags of an instance.
    pub(super) fn flags(&mut self, instance: InstanceNumber) -> u32 {
        let Some(own) = &mut self.own_flags else {
            return self.import(Import::Flags(instance), 2, EntityType::Global(FLAGS));
        };
        let known = own.iter().position(|known| *known == instance);
        known.unwrap_or_else(|| {
            own.push(instance);
            own.len() - 1
        }) as u32
    }

    pub(super) fn side(&mut self, instance: InstanceNumber, options: &Options) -> SideIndex {
        let side = SideDef {
            instance,
            encoding: options.encoding,
            memory: options.memory.clone(),
            realloc: options.realloc.clone(),
        };
        if let Some(known) = self.by_side.get(&side) {
            return *known;
        }
        let index = SideIndex(self.sides.len() as u32);
        self.sides.push(side.clone());
        self.by_side.insert(side, index);
        index
    }

    pub(super) fn side_def(&self, side: SideIndex) -> &SideDef {
        &self.sides[side.0 as usize]
    }

    /// The memory of a side, where values are that do not fit into core values. Validation has demanded one.
    pub(super) fn memory_of(&mut self, side: SideIndex) -> Result<u32, Walked> {
        let memory = self.side_def(side).memory.clone().ok_or(Walked::Type)?;
        Ok(self.memory(&memory))
    }

    /// What has a side's instance allocate.
    pub(super) fn realloc_of(&mut self, side: SideIndex) -> Result<FuncRef, Walked> {
        if let Some(known) = self.reallocs.get(&side) {
            return Ok(*known);
        }
        let SideDef { instance, realloc, .. } = self.side_def(side);
        let (instance, realloc) = (*instance, realloc.clone().ok_or(Walked::Type)?);
        let core = self.core_func(&realloc, &[ValType::I32; 4], &[ValType::I32]);
        let func = match self.leads_out(instance) {
            true => {
                let (ty, code) = super::call::realloc(self, (side, instance), core);
                self.define(ty, code)?
            }
            // It has nobody to call meanwhile.
            false => core,
        };
        self.reallocs.insert(side, func);
        Ok(func)
    }

    /// What traps by a [`TrapCode`] in the place of a function with such results, which it is a tail call of: so that has no other calls, and needs no frame.
    pub(super) fn failing(&mut self, results: &[ValType]) -> Result<FuncRef, Walked> {
        if let Some(known) = self.failing.get(results) {
            return Ok(*known);
        }
        let trap = self.host(HostFunction::Trap);
        let mut code = Code::new(1);
        code.get(Local { index: 0, ty: Flat::I32 });
        code.i32(0);
        code.call(trap);
        code.op(Instruction::Unreachable);
        code.end();
        let ty = self.ty(&[ValType::I32], results);
        let func = self.define(ty, code)?;
        self.failing.insert(results.to_vec(), func);
        Ok(func)
    }

    /// What copies strings of UTF-8 from one memory to another.
    pub(super) fn text_copy(&mut self, from: CoreDef, to: CoreDef) -> Result<FuncRef, Walked> {
        let memories = (from, to);
        if let Some(known) = self.text_copies.get(&memories) {
            return Ok(*known);
        }
        let (ty, code) = super::text::copy(self, memories.0.clone(), memories.1.clone());
        let func = self.define(ty, code)?;
        self.text_copies.insert(memories, func);
        Ok(func)
    }

    /// The function that takes such values from memory to memory.
    pub(super) fn outline(&mut self, outlined: Outlined) -> FuncRef {
        if let Some(known) = self.outlined.get(&outlined) {
            return *known;
        }
        let index = self.defined.len() as u32;
        self.defined.push(None);
        self.waiting.push((outlined, index));
        self.outlined.insert(outlined, FuncRef::Defined(index));
        FuncRef::Defined(index)
    }

    pub(super) fn define(&mut self, ty: u32, code: Code) -> Result<FuncRef, Walked> {
        let index = self.defined.len() as u32;
        self.defined.push(None);
        self.define_at(index, ty, code)?;
        Ok(FuncRef::Defined(index))
    }

    pub(super) fn define_at(&mut self, index: u32, ty: u32, code: Code) -> Result<(), Walked> {
        self.ops += code.ops.len();
        self.defined[index as usize] = Some(Defined { ty, code });
        self.check_size(0)
    }

    /// Fails where the functions get too long, together with so many instructions of one that is being made.
    pub(super) fn check_size(&self, ops: usize) -> Result<(), Walked> {
        if self.ops + ops > self.most_ops { Err(Walked::TooLong) } else { Ok(()) }
    }

    /// What the functions take of the component's allowance.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    pub(super) fn export(&mut self, func: FuncRef) {
        self.ops += Allowance::OPS_OF_CALL;
        self.exports.push(func);
    }

    fn number(&self, func: FuncRef) -> u32 {
        match func {
            FuncRef::Import(index) => index,
            FuncRef::Defined(index) => self.counts[0] + index,
        }
    }

    /// The module for such calls.
    pub(super) fn finish(self, calls: Vec<TrampolineNumber>) -> (Vec<u8>, Parts) {
        let mut types = TypeSection::new();
        for (params, results) in &self.types {
            types.ty().function(params.iter().copied(), results.iter().copied());
        }
        let mut imports = ImportSection::new();
        for (import, ty) in &self.imports {
            let (from, name) = import.name();
            imports.import(from, name, *ty);
        }
        let (mut funcs, mut codes) = (FunctionSection::new(), CodeSection::new());
        for defined in self.defined.iter().flatten() {
            funcs.function(defined.ty);
            let locals = defined.code.locals().iter().map(|ty| (1, *ty));
            let mut function = Function::new(locals);
            for op in &defined.code.ops {
                match op {
                    Op::Plain(instruction) => function.instruction(instruction),
                    Op::Call(func) => function.instruction(&Instruction::Call(self.number(*func))),
                    Op::TailCall(func) => function.instruction(&Instruction::ReturnCall(self.number(*func))),
                };
            }
            codes.function(&function);
        }
        let mut exports = ExportSection::new();
        let mut func_names = NameMap::new();
        for (i, func) in self.exports.iter().enumerate() {
            exports.export(&i.to_string(), ExportKind::Func, self.number(*func));
            func_names.append(self.number(*func), "call between components");
        }
        let flags = self.own_flags.unwrap_or_default();
        let mut globals = GlobalSection::new();
        for i in 0..flags.len() {
            // What they are when the instances are made, whoever makes the module's says.
            globals.global(FLAGS, &ConstExpr::i32_const(0));
            exports.export(&flags_name(i), ExportKind::Global, i as u32);
        }
        let mut names = NameSection::new();
        names.module("adapters");
        names.functions(&func_names);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&funcs);
        module.section(&globals).section(&exports).section(&codes).section(&names);
        let imports = self.imports.into_iter().map(|(import, _)| import).collect();
        (module.finish(), Parts { imports, flags, calls })
    }
}

/// Catches everything, and goes on after so many blocks.
pub(super) fn try_all(label: u32) -> Instruction<'static> {
    let catches = vec![wasm_encoder::Catch::All { label }];
    Instruction::TryTable(wasm_encoder::BlockType::Empty, Cow::Owned(catches))
}
