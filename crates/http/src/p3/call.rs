//! Calls the handler of a component of the world `wasi:http/service`.

use std::sync::Arc;

use http::uri;
use innkeeper_component::{
    Accessor, Instance, Resource, ResourceAny, ResourceType, Val, run_concurrent, run_to_end,
};
use innkeeper_engine::{Error, ErrorKind, Store};
use innkeeper_wasi::p2::Context;
use tokio::sync::oneshot;

use super::request::Request;
use super::response::Response;
use super::sent::Leaving;
use crate::Body;
use crate::types::{Answer, ErrorCode, Head, Message};

/// Has an instance's `handle` answer a request, and waits until it has written its answer, and all that it has begun has ended.
///
/// # Errors
/// Where it traps, or cannot be given the request.
pub(crate) async fn call(
    store: &mut Store<Context>,
    (instance, function): (Instance, &str),
    (request, scheme): (http::Request<Body>, uri::Scheme),
    answer: &Arc<Answer>,
) -> Result<(), Error> {
    let missing = || Error::new(ErrorKind::Link(format!("the instance exports no function `{function}`")));
    let handle = instance.get_func(&mut *store, function).ok_or_else(missing)?;
    let context = store.data_mut();
    let request = Request::received(context, request.into_parts(), scheme)?;
    let room = context.room_with(request.held_bytes())?;
    let request = context.push_into(room, request).rep();
    let request = ResourceAny::new(&mut *store, &ResourceType::of::<Request>(), request)?;
    let mut returned = [Val::Bool(false)];
    handle.call_async(&mut *store, &[Val::Resource(request)], &mut returned).await?;
    let [returned] = returned;
    match returned {
        Val::Result(Ok(Some(response))) => {
            let Val::Resource(response) = *response else {
                answer.is_given_up();
                return Ok(());
            };
            let response = response.take(&mut *store, &ResourceType::of::<Response>())?;
            let response = store.data_mut().take(&Resource::new(response))?;
            let giving =
                run_concurrent(&mut *store, async |accessor| give(&accessor, response, answer).await);
            if let Some(written) = giving.await?? {
                run_concurrent(&mut *store, async |_| written.await).await?.unwrap_or(());
            }
        }
        Val::Result(Err(code)) => answer.give(Err(ErrorCode::of_val(code.as_deref()))),
        _ => answer.is_given_up(),
    }
    run_to_end(&mut *store).await
}

/// Gives a response to whoever waits for it; what tells that its body was written, where it has one.
async fn give(
    accessor: &Accessor<Context>,
    response: Response,
    answer: &Answer,
) -> Result<Option<oneshot::Receiver<()>>, Error> {
    let Response { status, headers, body } = response;
    let headers = headers.into_map()?;
    let of = (Message::Response, headers.map());
    let leaving = body.leave((accessor, itself), of).await?;
    let Leaving { content, sent, written } = match leaving {
        Ok(leaving) => leaving,
        Err(code) => {
            answer.give(Err(code));
            return Ok(None);
        }
    };
    answer.give(Ok((Head { status, headers }, content)));
    if let Some(sent) = sent {
        // As far as this is known here: whoever asked has it.
        let _ = sent.send(Ok(()));
    }
    Ok(written)
}

fn itself(context: &mut Context) -> &mut Context {
    context
}
