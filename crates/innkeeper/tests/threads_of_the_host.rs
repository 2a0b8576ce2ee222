//! What may be moved to and shared between the embedder's threads.

use innkeeper::{Engine, Error, Instance, InterruptHandle, Linker, Module, SharedMemory, Store, TypedFunc};

fn is_send<T: Send>() {}

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn engines_and_modules_are_shared_and_stores_move() {
    is_send_and_sync::<Engine>();
    is_send_and_sync::<Module>();
    is_send_and_sync::<Linker<()>>();
    is_send_and_sync::<SharedMemory>();
    is_send_and_sync::<InterruptHandle>();
    is_send_and_sync::<Error>();
    is_send::<Store<()>>();
    is_send::<Instance>();
    is_send::<TypedFunc<i32, i32>>();
}
