//! The function that checks itself, and the module around it.
//!
//! ```text
//! intact: calls f(3, ..) and gives the number of changes, which everybody adds to a global
//! f(n, params): checks its parameters; marks its locals; pushes operands; is left on its way (with n - 1, while n is not 0);
//!               then checks operands and locals
//! ```

use wasm_encoder::{
    BlockType, Catch, CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, FieldType, Function, FunctionSection, GlobalSection, GlobalType, HeapType, ImportSection,
    MemorySection, MemoryType, Module, RefType, StorageType, TableSection, TableType, TagKind, TagSection,
    TagType, TypeSection, ValType,
};

use super::value::{Kind, Mark, STRUCT, differs, make};
use super::{Axes, INTACT, Way};

/// Locals of the function beside those of its axes: see [`Shape`].
pub(crate) const OWN_LOCALS: u32 = 2;

const TYPE_F: u32 = STRUCT + 1;
const TYPE_INTACT: u32 = STRUCT + 2;
const TYPE_TAG: u32 = STRUCT + 3;
const TYPE_HOST: u32 = STRUCT + 4;
const TYPE_BLOCK: u32 = STRUCT + 5;
const HOST: u32 = 0;
const F: u32 = 1;
/// How deep the function calls itself.
const DEPTH: i32 = 3;
/// Of many locals, those are marked that are among the first or last so many, or at a multiple of the other number.
const EDGE: u32 = 40;
const STRIDE: u32 = 17;

/// The module of some axes.
pub(super) fn module(axes: &Axes) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().struct_([FieldType { element_type: StorageType::Val(ValType::I64), mutable: true }]);
    let params: Vec<ValType> =
        std::iter::once(ValType::I32).chain(axes.params.iter().map(|kind| kind.ty())).collect();
    types.ty().function(params, axes.results.iter().map(|kind| kind.ty()));
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I64], []);
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    types.ty().function([], []);
    module.section(&types);
    let mut imports = ImportSection::new();
    imports.import("host", "f", EntityType::Function(TYPE_HOST));
    module.section(&imports);
    let mut functions = FunctionSection::new();
    functions.function(TYPE_F).function(TYPE_INTACT);
    module.section(&functions);
    let mut tables = TableSection::new();
    let funcref = RefType { nullable: true, heap_type: HeapType::FUNC };
    tables.table(TableType {
        element_type: funcref,
        table64: false,
        minimum: 2,
        maximum: Some(40),
        shared: false,
    });
    module.section(&tables);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(20),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    module.section(&memories);
    let mut tags = TagSection::new();
    tags.tag(TagType { kind: TagKind::Exception, func_type_idx: TYPE_TAG });
    module.section(&tags);
    let mut globals = GlobalSection::new();
    globals.global(
        GlobalType { val_type: ValType::I32, mutable: true, shared: false },
        &ConstExpr::i32_const(0),
    );
    module.section(&globals);
    let mut exports = ExportSection::new();
    exports.export(INTACT, ExportKind::Func, F + 1).export("changes", ExportKind::Global, 0);
    module.section(&exports);
    let mut elements = ElementSection::new();
    elements.active(Some(0), &ConstExpr::i32_const(0), Elements::Functions(vec![F].into()));
    module.section(&elements);
    let mut code = CodeSection::new();
    code.function(&Shape::new(axes).function()).function(&intact(axes));
    module.section(&code);
    module.finish()
}

/// `intact`: calls the function, checks its results, and gives what is counted.
fn intact(axes: &Axes) -> Function {
    let mut f = Function::new(axes.results.iter().map(|kind| (1, kind.ty())));
    f.instructions().i32_const(DEPTH);
    push_params(&mut f, axes);
    f.instructions().call(F);
    check_results(&mut f, axes);
    f.instructions().global_get(0).end();
    f
}

fn push_params(f: &mut Function, axes: &Axes) {
    for (number, kind) in (0..).zip(&axes.params) {
        make(f, *kind, Mark::of(PARAM + number));
    }
}

/// Pops the results of a call and counts those that are not what they must be.
fn check_results(f: &mut Function, axes: &Axes) {
    for (number, kind) in (0..axes.results.len() as u32).zip(&axes.results).rev() {
        differs(f, *kind, Mark::of(RESULT + number));
        count(f);
    }
}

/// Pops a number and adds it to the changes.
fn count(f: &mut Function) {
    f.instructions().global_get(0).i32_add().global_set(0);
}

/// Where marks of parameters, results, operands and locals start; multiples of 40, so that some structures are there.
const PARAM: u32 = 40_000_000;
const RESULT: u32 = 80_000_000;
const OPERAND: u32 = 120_000_000;
const LOCAL: u32 = 160_000_000;

/// The function being made. Its locals are `n`, the parameters, a counter, a spare number, and those of the axes.
struct Shape<'a> {
    axes: &'a Axes,
    f: Function,
    counter: u32,
    spare: u32,
}

impl<'a> Shape<'a> {
    fn new(axes: &'a Axes) -> Shape<'a> {
        let mut locals = vec![(OWN_LOCALS, ValType::I32)];
        locals.extend(axes.locals.iter().map(|(count, kind)| (*count, kind.ty())));
        let counter = axes.params.len() as u32 + 1;
        Shape { axes, f: Function::new(locals), counter, spare: counter + 1 }
    }

    fn function(mut self) -> Function {
        let axes = self.axes;
        for (number, kind) in (0..).zip(&axes.params) {
            self.f.instructions().local_get(1 + number);
            differs(&mut self.f, *kind, Mark::of(PARAM + number));
            count(&mut self.f);
        }
        for (local, kind) in self.marked() {
            make(&mut self.f, kind, mark_of_local(local));
            self.f.instructions().local_set(local);
        }
        let (operands, kind) = axes.operands;
        for number in 0..operands {
            make(&mut self.f, kind, Mark { number: OPERAND + number, local: Some(0) });
        }
        if !axes.way.is_tail_call() {
            self.leave_within_blocks();
        }
        for number in (0..operands).rev() {
            if is_marked(number, operands) {
                differs(&mut self.f, kind, Mark { number: OPERAND + number, local: Some(0) });
                count(&mut self.f);
            } else {
                self.f.instructions().drop();
            }
        }
        for (local, kind) in self.marked() {
            self.f.instructions().local_get(local);
            differs(&mut self.f, kind, mark_of_local(local));
            count(&mut self.f);
        }
        if axes.way.is_tail_call() {
            self.f.instructions().local_get(0).if_(BlockType::Empty);
            self.call();
            self.f.instructions().end();
        }
        for (number, kind) in (0..).zip(&axes.results) {
            make(&mut self.f, *kind, Mark::of(RESULT + number));
        }
        self.f.instructions().end();
        self.f
    }

    /// The locals of the axes that are looked at, with their kinds.
    fn marked(&self) -> Vec<(u32, Kind)> {
        let mut first = self.spare + 1;
        let mut marked = Vec::new();
        for (count, kind) in &self.axes.locals {
            let those = (0..*count).filter(|number| is_marked(*number, *count));
            marked.extend(those.map(|number| (first + number, *kind)));
            first += count;
        }
        marked
    }

    /// The way, while `n` is not 0, inside all the blocks.
    fn leave_within_blocks(&mut self) {
        let blocks = self.axes.blocks;
        for number in 0..blocks {
            match number % 3 {
                0 => self.f.instructions().block(BlockType::Empty),
                1 => self.f.instructions().loop_(BlockType::Empty),
                _ => self.f.instructions().i32_const(1).if_(BlockType::Empty),
            };
        }
        self.f.instructions().block(BlockType::Empty);
        if self.axes.targets > 0 {
            let targets: Vec<u32> = (0..self.axes.targets).map(|number| number % 2).collect();
            self.f.instructions().block(BlockType::Empty).local_get(0).br_table(targets, 0).end();
        }
        self.f.instructions().local_get(0).i32_eqz().br_if(0);
        self.leave();
        self.f.instructions().end();
        for _ in 0..blocks {
            self.f.instructions().end();
        }
        self.allocate();
    }

    fn leave(&mut self) {
        match self.axes.way {
            Way::Catch => self.catching(|shape| {
                shape.call_and_check();
                shape.f.instructions().i64_const(7).throw(0);
            }),
            Way::Unwind => {
                // Only the first frame catches what the last one throws, and finds its own locals as they were.
                self.f.instructions().local_get(0).i32_const(DEPTH).i32_eq().if_(BlockType::Empty);
                self.catching(Shape::call_and_check);
                self.f.instructions().else_().local_get(0).i32_const(1).i32_eq();
                self.f.instructions().if_(BlockType::Empty).i64_const(7).throw(0).end();
                self.call_and_check();
                self.f.instructions().end();
            }
            Way::Allocate => {
                self.allocate();
                self.call_and_check();
                self.allocate();
            }
            Way::Loop => {
                self.f.instructions().i32_const(0).local_set(self.counter).loop_(BlockType::Empty);
                self.allocate();
                self.f.instructions().local_get(self.counter).i32_const(1).i32_add();
                self.f.instructions().local_tee(self.counter).i32_const(30).i32_lt_u().br_if(0).end();
                self.call_and_check();
            }
            Way::Grow => {
                self.f.instructions().i32_const(1).memory_grow(0).drop();
                self.f.instructions().ref_null(HeapType::FUNC).i32_const(3).table_grow(0).drop();
                self.call_and_check();
            }
            Way::CallHost => {
                self.f.instructions().local_get(0).local_get(self.counter).call(HOST).local_set(self.spare);
                self.call_and_check();
            }
            _ => self.call_and_check(),
        }
    }

    /// What throws an exception, inside what catches it and looks at its value.
    fn catching(&mut self, body: impl FnOnce(&mut Self)) {
        self.f.instructions().block(BlockType::Result(ValType::I64));
        self.f
            .instructions()
            .try_table(BlockType::FunctionType(TYPE_BLOCK), [Catch::One { tag: 0, label: 0 }]);
        body(self);
        self.f.instructions().end().i64_const(7).end().i64_const(7).i64_ne();
        count(&mut self.f);
    }

    fn allocate(&mut self) {
        for number in 0..2 {
            make(&mut self.f, Kind::Struct, Mark { number: number * 40, local: Some(0) });
            self.f.instructions().drop();
        }
    }

    fn call_and_check(&mut self) {
        self.call();
        check_results(&mut self.f, self.axes);
    }

    /// Calls the function with one less.
    fn call(&mut self) {
        self.f.instructions().local_get(0).i32_const(1).i32_sub();
        push_params(&mut self.f, self.axes);
        let mut code = self.f.instructions();
        match self.axes.way {
            Way::CallIndirect => code.i32_const(0).call_indirect(0, TYPE_F),
            Way::CallRef => code.ref_func(F).call_ref(TYPE_F),
            Way::ReturnCall => code.return_call(F),
            Way::ReturnCallIndirect => code.i32_const(0).return_call_indirect(0, TYPE_F),
            Way::ReturnCallRef => code.ref_func(F).return_call_ref(TYPE_F),
            _ => code.call(F),
        };
    }
}

/// Different in each frame.
fn mark_of_local(local: u32) -> Mark {
    Mark { number: LOCAL + local, local: Some(0) }
}

/// Whether one of `count` things is looked at.
fn is_marked(number: u32, count: u32) -> bool {
    number < EDGE || number + EDGE >= count || number.is_multiple_of(STRIDE)
}
