//! Foreign objects: what C makes only to have an identity and host information, and guests hold as `externref`.

use std::sync::Arc;

use crate::boundary::{In, Own, c_functions};
use crate::object::{Object, Ref};
use crate::wasm_h::engine::StoreBox;

c_functions! {
    fn wasm_foreign_new(store: In<StoreBox>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        Ok(Own::new(Ref { store: Some(Arc::clone(store)), object: Object::Foreign(Arc::default()) }))
    }
}
