//! The functions of `wasm.h`, by its chapters.

pub(crate) mod engine;
mod foreign;
pub(crate) mod func;
mod global;
pub(crate) mod instance;
mod memory;
pub(crate) mod module;
mod references;
mod table;
pub(crate) mod trap;
pub(crate) mod types;
pub(crate) mod value;

crate::vector::vector_functions! {
    u8: wasm_byte_vec_new_empty wasm_byte_vec_new_uninitialized wasm_byte_vec_new wasm_byte_vec_copy wasm_byte_vec_delete;
}
