//! Modules that have as many of something as validation admits, and use the last of them.
//!
//! Must stay true: [`Count::ALL`] lists everything that a module can have many of; the export [`LAST`] gives 7, by way of the last one.

use std::borrow::Cow;

use wasm_encoder::{
    BlockType, Catch, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements,
    EntityType, ExportKind, ExportSection, FieldType, Function, FunctionSection, GlobalSection, GlobalType,
    ImportSection, MemArg, MemArgTarget, MemorySection, MemoryType, Module, NameMap, NameSection, RefType,
    StorageType, SubType, TableSection, TableType, TagKind, TagSection, TagType, TypeSection, ValType,
};

/// The export that uses the last one of many; it takes nothing and gives 7.
pub const LAST: &str = "last";

/// Something that a module can have many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Types.
    Types,
    /// Functions that the module defines, imported ones included in what is counted.
    Functions,
    /// Imports.
    Imports,
    /// Exports.
    Exports,
    /// Globals.
    Globals,
    /// Tables.
    Tables,
    /// Memories.
    Memories,
    /// Tags.
    Tags,
    /// Element segments.
    Elements,
    /// Data segments.
    Data,
    /// Fields of a structure.
    Fields,
    /// Handlers of one `try_table`.
    Catches,
    /// Types above each other, by declaration.
    Supertypes,
    /// Locals of a function.
    Locals,
    /// Parameters of a function.
    Params,
    /// Results of a function.
    Results,
    /// Bytes of a name.
    NameBytes,
    /// Bytes of a function's body.
    BodyBytes,
    /// Names of functions in the section for tools, which nothing limits.
    FunctionNames,
}

impl Count {
    /// All of them.
    pub const ALL: [Count; 19] = [
        Count::Types,
        Count::Functions,
        Count::Imports,
        Count::Exports,
        Count::Globals,
        Count::Tables,
        Count::Memories,
        Count::Tags,
        Count::Elements,
        Count::Data,
        Count::Fields,
        Count::Catches,
        Count::Supertypes,
        Count::Locals,
        Count::Params,
        Count::Results,
        Count::NameBytes,
        Count::BodyBytes,
        Count::FunctionNames,
    ];

    /// As many as a module may have: the limits of the standard's JavaScript embedding, and what validation adds where it says nothing.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            // Each counts with its type.
            Count::Imports => 333_331,
            Count::Exports => 333_332,
            Count::Types | Count::Functions | Count::Globals | Count::Tags | Count::FunctionNames => {
                1_000_000
            }
            Count::Elements | Count::Data | Count::Tables | Count::NameBytes => 100_000,
            Count::Memories => 100,
            Count::Fields | Count::Catches => 10_000,
            Count::Supertypes => 63,
            Count::Locals => 50_000,
            Count::Params | Count::Results => 1000,
            Count::BodyBytes => 7_654_321,
        }
    }

    /// Whether one more is refused.
    #[must_use]
    pub fn is_limited(self) -> bool {
        self != Count::FunctionNames
    }

    /// A module that has so many, which must be two at least.
    #[must_use]
    pub fn module(self, count: u32) -> Vec<u8> {
        let mut parts = Parts::default();
        parts.types.ty().function([], [ValType::I32]);
        (parts.type_count, parts.function_count) = (1, 1);
        self.fill(&mut parts, count);
        parts.finish()
    }

    fn fill(self, parts: &mut Parts, count: u32) {
        let f = &mut parts.last;
        match self {
            Count::Types => {
                for _ in 1..count {
                    parts.types.ty().function([], [ValType::I32]);
                }
                parts.type_count = count;
                f.instructions().i32_const(7).block(BlockType::Empty).end();
                f.instructions().drop().block(BlockType::FunctionType(count - 1)).i32_const(7).end();
            }
            Count::Functions => {
                parts.function_count = count;
                f.instructions().call(count - 1);
            }
            Count::Imports => {
                for _ in 0..count {
                    parts.imports.import("host", "seven", EntityType::Function(0));
                }
                parts.imported = count;
                f.instructions().call(count - 1);
            }
            Count::Exports => {
                for number in 1..count {
                    parts.exports.export(&format!("e{number}"), ExportKind::Func, 0);
                }
                f.instructions().i32_const(7);
            }
            Count::Globals => {
                let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
                for number in 0..count {
                    parts.globals.global(ty, &ConstExpr::i32_const((number == count - 1).into()));
                }
                f.instructions().global_get(count - 1).i32_const(6).i32_add();
            }
            Count::Tables => {
                let ty = TableType {
                    element_type: RefType::FUNCREF,
                    table64: false,
                    minimum: 1,
                    maximum: Some(1),
                    shared: false,
                };
                for _ in 0..count {
                    parts.tables.table(ty);
                }
                f.instructions().table_size(count - 1).i32_const(0).table_get(count - 1).ref_is_null();
                f.instructions().i32_add().i32_const(5).i32_add();
            }
            Count::Memories => {
                let ty = MemoryType {
                    minimum: 1,
                    maximum: Some(1),
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                };
                for _ in 0..count {
                    parts.memories.memory(ty);
                }
                let at = memory_at(65_532, count - 1);
                f.instructions().i32_const(0).i32_const(7).i32_store(at).i32_const(0).i32_load(at);
            }
            Count::Tags => {
                parts.types.ty().function([ValType::I32], []);
                parts.type_count = 2;
                for _ in 0..count {
                    parts.tags.tag(TagType { kind: TagKind::Exception, func_type_idx: 1 });
                }
                let catch = Catch::One { tag: count - 1, label: 0 };
                f.instructions().block(BlockType::Result(ValType::I32));
                f.instructions().try_table(BlockType::Empty, [catch]).i32_const(7).throw(count - 1).end();
                f.instructions().unreachable().end();
            }
            Count::Elements => {
                let ty = TableType {
                    element_type: RefType::FUNCREF,
                    table64: false,
                    minimum: 1,
                    maximum: Some(1),
                    shared: false,
                };
                parts.tables.table(ty);
                for _ in 0..count {
                    parts.elements.passive(Elements::Functions(Cow::Borrowed(&[1])));
                }
                parts.function_count = 2;
                f.instructions().i32_const(0).i32_const(0).i32_const(1).table_init(0, count - 1);
                f.instructions().i32_const(0).call_indirect(0, 0);
            }
            Count::Data => {
                parts.memories.memory(MemoryType {
                    minimum: 1,
                    maximum: None,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                });
                for _ in 0..count {
                    parts.data.passive([7]);
                }
                parts.data_count = Some(count);
                f.instructions().i32_const(0).i32_const(0).i32_const(1).memory_init(0, count - 1);
                f.instructions().i32_const(0).i32_load8_u(memory_at(0, 0));
            }
            Count::Fields => {
                let field = FieldType { element_type: StorageType::Val(ValType::I32), mutable: true };
                parts.types.ty().struct_(vec![field; count as usize]);
                parts.type_count = 2;
                let object =
                    ValType::Ref(RefType { nullable: true, heap_type: wasm_encoder::HeapType::Concrete(1) });
                parts.last = Function::new([(1, object)]);
                let f = &mut parts.last;
                f.instructions().struct_new_default(1).local_tee(0).i32_const(7).struct_set(1, count - 1);
                f.instructions().local_get(0).struct_get(1, count - 1);
            }
            Count::Catches => {
                parts.types.ty().function([], []);
                parts.type_count = 2;
                for _ in 0..2 {
                    parts.tags.tag(TagType { kind: TagKind::Exception, func_type_idx: 1 });
                }
                let mut catches = vec![Catch::One { tag: 0, label: 0 }; count as usize - 1];
                catches.push(Catch::One { tag: 1, label: 1 });
                f.instructions().block(BlockType::Empty).block(BlockType::Empty);
                f.instructions().try_table(BlockType::Empty, catches).throw(1).end();
                f.instructions().end().unreachable().end().i32_const(7);
            }
            Count::Supertypes => {
                // The first has none above it.
                for depth in 0..=count {
                    parts.types.ty().subtype(&SubType {
                        is_final: false,
                        supertype_idxs: depth.checked_sub(1).map(|above| above + 1).into_iter().collect(),
                        composite_type: wasm_encoder::CompositeType {
                            inner: wasm_encoder::CompositeInnerType::Struct(wasm_encoder::StructType {
                                fields: Box::new([]),
                            }),
                            shared: false,
                            descriptor: None,
                            describes: None,
                        },
                    });
                }
                parts.type_count = count + 2;
                let first = wasm_encoder::HeapType::Concrete(1);
                f.instructions().struct_new_default(count + 1).ref_test_non_null(first);
                f.instructions().i32_const(6).i32_add();
            }
            Count::Locals => {
                parts.last = Function::new([(count, ValType::I64)]);
                let f = &mut parts.last;
                f.instructions().i64_const(7).local_set(count - 1).local_get(count - 1).i32_wrap_i64();
            }
            Count::Params => {
                parts.types.ty().function(vec![ValType::I32; count as usize], [ValType::I32]);
                (parts.type_count, parts.function_count) = (2, 2);
                parts.second = (1, Function::new([]));
                parts.second.1.instructions().local_get(count - 1).end();
                for number in 0..count {
                    f.instructions().i32_const(if number + 1 == count { 7 } else { 1 });
                }
                f.instructions().call(1);
            }
            Count::Results => {
                parts.types.ty().function([], vec![ValType::I32; count as usize]);
                (parts.type_count, parts.function_count) = (2, 2);
                parts.second = (1, Function::new([]));
                for number in 0..count {
                    parts.second.1.instructions().i32_const(if number == 0 { 7 } else { 1 });
                }
                parts.second.1.instructions().end();
                f.instructions().call(1);
                for _ in 1..count {
                    f.instructions().drop();
                }
            }
            Count::NameBytes => {
                parts.exports.export(&"n".repeat(count as usize), ExportKind::Func, 0);
                f.instructions().i32_const(7);
            }
            Count::BodyBytes => {
                // Declarations of locals take a byte, the constant two, the end one.
                for _ in 0..count - 4 {
                    f.instructions().nop();
                }
                f.instructions().i32_const(7);
            }
            Count::FunctionNames => {
                let mut map = NameMap::new();
                for number in 0..count {
                    map.append(number, "f");
                }
                parts.names = Some(map);
                f.instructions().i32_const(7);
            }
        }
    }
}

/// The sections of a module, and the functions that are not all alike: the last one of its export, and the second.
struct Parts {
    types: TypeSection,
    type_count: u32,
    imports: ImportSection,
    imported: u32,
    function_count: u32,
    tables: TableSection,
    memories: MemorySection,
    tags: TagSection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    data: DataSection,
    data_count: Option<u32>,
    names: Option<NameMap>,
    last: Function,
    /// Its type, and its body; others give 7 and are of the first type.
    second: (u32, Function),
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            types: TypeSection::new(),
            type_count: 0,
            imports: ImportSection::new(),
            imported: 0,
            function_count: 0,
            tables: TableSection::new(),
            memories: MemorySection::new(),
            tags: TagSection::new(),
            globals: GlobalSection::new(),
            exports: ExportSection::new(),
            elements: ElementSection::new(),
            data: DataSection::new(),
            data_count: None,
            names: None,
            last: Function::new([]),
            second: (0, seven()),
        }
    }
}

/// An access of a memory.
fn memory_at(offset: u64, memory: u32) -> MemArg {
    MemArg { offset, align: 0, target: MemArgTarget::Memory(memory), ordering: None }
}

/// A function that gives 7.
fn seven() -> Function {
    let mut f = Function::new([]);
    f.instructions().i32_const(7).end();
    f
}

impl Parts {
    fn finish(mut self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types);
        if self.imported > 0 {
            module.section(&self.imports);
        }
        let mut functions = FunctionSection::new();
        let mut code = CodeSection::new();
        let others = seven();
        functions.function(0);
        self.last.instructions().end();
        code.function(&self.last);
        for number in 1..self.function_count {
            functions.function(if number == 1 { self.second.0 } else { 0 });
            code.function(if number == 1 { &self.second.1 } else { &others });
        }
        self.exports.export(LAST, ExportKind::Func, self.imported);
        module.section(&functions).section(&self.tables).section(&self.memories).section(&self.tags);
        module.section(&self.globals).section(&self.exports).section(&self.elements);
        if let Some(count) = self.data_count {
            module.section(&DataCountSection { count });
        }
        module.section(&code).section(&self.data);
        if let Some(map) = &self.names {
            let mut names = NameSection::new();
            names.functions(map);
            module.section(&names);
        }
        module.finish()
    }
}
