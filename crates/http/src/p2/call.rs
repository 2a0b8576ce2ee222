//! Calls the handler of a component of the world `wasi:http/proxy`.

use std::sync::Arc;

use http::uri;
use innkeeper_component::{Instance, Resource, TypedFunc};
use innkeeper_engine::{Error, Store};
use innkeeper_wasi::p2::Context;

use super::incoming::IncomingRequest;
use super::outparam::ResponseOutparam;
use crate::Body;
use crate::types::Answer;

/// Has an instance's `handle` answer a request, and waits until it has ended.
///
/// # Errors
/// Where it traps, or cannot be given the request.
pub(crate) async fn call(
    store: &mut Store<Context>,
    (instance, function): (Instance, &str),
    (request, scheme): (http::Request<Body>, uri::Scheme),
    answer: &Arc<Answer>,
) -> Result<(), Error> {
    let handle: TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()> =
        instance.get_typed_func(&mut *store, function)?;
    let context = store.data_mut();
    let request = IncomingRequest::new(context, request.into_parts(), scheme)?;
    let room = context.room_with(request.held_bytes())?;
    let request = context.push_into(room, request);
    let outparam = context.push(ResponseOutparam::new(answer))?;
    handle.call_async(&mut *store, (request, outparam)).await
}
