//! Copies strings of UTF-8 from one memory to another. A short one that is ASCII is copied here, since a call of the host takes longer than that; the host copies all others
//! (`utf8`).
//!
//! Must stay true: whatever the host refuses comes to the host.

use wasm_encoder::{BlockType, Instruction, ValType};

use super::code::{Address, Code, Local, mem_arg};
use super::host::HostFunction;
use super::module::Builder;
use crate::plan::CoreDef;
use crate::types::Flat;

/// Bytes of the longest string that is copied here.
const SHORT: u32 = 96;

/// The bits that no byte of ASCII has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// Generates what copies a string, whose places were checked: where it is, how many bytes it has, where it goes.
pub(super) fn copy(builder: &mut Builder<'_>, from: CoreDef, to: CoreDef) -> (u32, Code) {
    let memories = (builder.memory(&from), builder.memory(&to));
    let host = builder.host(HostFunction::CopyUtf8 { from, to });
    let mut text = Text::new(memories);
    text.code.op(Instruction::Block(BlockType::Empty));
    text.code.get(text.bytes);
    text.code.i32(SHORT);
    text.code.op(Instruction::I32GtU);
    text.code.op(Instruction::BrIf(0));
    text.code.get(text.bytes);
    text.code.i32(8);
    text.code.op(Instruction::I32GeU);
    text.code.if_();
    text.words();
    text.code.op(Instruction::Else);
    text.single_bytes();
    text.code.end();
    text.code.get(text.all);
    text.code.i64(NOT_ASCII);
    text.code.op(Instruction::I64And);
    text.code.op(Instruction::I64Eqz);
    text.code.if_();
    text.code.op(Instruction::Return);
    text.code.end();
    text.code.end();
    [text.source, text.bytes, text.target].into_iter().for_each(|local| text.code.get(local));
    text.code.call(host);
    text.code.end();
    (builder.ty(&[ValType::I32; 3], &[]), text.code)
}

/// The function, while it is generated.
struct Text {
    code: Code,
    memories: (u32, u32),
    /// The parameters.
    source: Local,
    bytes: Local,
    target: Local,
    /// The bits that are in any byte so far.
    all: Local,
    /// How many bytes are copied.
    done: Local,
    word: Local,
}

impl Text {
    fn new(memories: (u32, u32)) -> Text {
        let mut code = Code::new(3);
        let (all, done, word) = (code.local(Flat::I64), code.local(Flat::I32), code.local(Flat::I64));
        let [source, bytes, target] = [0, 1, 2].map(|index| Local { index, ty: Flat::I32 });
        Text { code, memories, source, bytes, target, all, done, word }
    }

    /// Copies eight bytes or more: word by word, and last the word that ends where the string does.
    fn words(&mut self) {
        self.code.op(Instruction::Loop(BlockType::Empty));
        self.word();
        self.code.get(self.done);
        self.code.i32(8);
        self.code.op(Instruction::I32Add);
        self.code.tee(self.done);
        self.code.get(self.bytes);
        self.code.i32(8);
        self.code.op(Instruction::I32Sub);
        self.code.op(Instruction::I32LtU);
        self.code.op(Instruction::BrIf(0));
        self.code.end();
        self.code.get(self.bytes);
        self.code.i32(8);
        self.code.op(Instruction::I32Sub);
        self.code.set(self.done);
        self.word();
    }

    /// Copies fewer than eight bytes, one by one.
    fn single_bytes(&mut self) {
        self.code.get(self.bytes);
        self.code.if_();
        self.code.op(Instruction::Loop(BlockType::Empty));
        self.copy(Instruction::I64Load8U, Instruction::I64Store8);
        self.code.get(self.done);
        self.code.i32(1);
        self.code.op(Instruction::I32Add);
        self.code.tee(self.done);
        self.code.get(self.bytes);
        self.code.op(Instruction::I32LtU);
        self.code.op(Instruction::BrIf(0));
        self.code.end();
        self.code.end();
    }

    fn word(&mut self) {
        self.copy(Instruction::I64Load, Instruction::I64Store);
    }

    /// Copies what is loaded and stored so, behind what is done, and notes its bits.
    fn copy(
        &mut self,
        load: fn(wasm_encoder::MemArg) -> Instruction<'static>,
        store: fn(wasm_encoder::MemArg) -> Instruction<'static>,
    ) {
        let at = |code: &mut Code, local| {
            code.get(local);
            code.get(self.done);
            code.op(Instruction::I32Add);
        };
        at(&mut self.code, self.target);
        at(&mut self.code, self.source);
        self.code.op(load(mem_arg(self.memories.0, Address::at(self.source))));
        self.code.tee(self.word);
        self.code.op(store(mem_arg(self.memories.1, Address::at(self.target))));
        self.code.get(self.all);
        self.code.get(self.word);
        self.code.op(Instruction::I64Or);
        self.code.set(self.all);
    }
}
