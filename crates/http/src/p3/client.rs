//! `wasi:http/client` and `wasi:http/handler`: requests that guests send.
//!
//! Must stay true: nothing is sent that the decision point has not allowed; whoever does not want the answer any more does not send the rest of the request, either.

use http::header;
use http_body_util::BodyExt as _;
use innkeeper_component::Resource;
use innkeeper_engine::Error;
use innkeeper_wasi::p2::{FindContext, Room};
use innkeeper_wasi::p3::{Beside, Interface};
use tokio::task::AbortHandle;

use super::request::Request;
use super::response::Response;
use super::sent::Leaving;
use crate::client::Client;
use crate::empty;
use crate::types::{Content, ErrorCode, Message, ReceivedResponse, Sent, runtime};

/// Binds the function of this name. Whoever has it bound with the same client shares its connections, as far as keys allow.
pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(
    interface: &mut Interface<'_, T, F>,
    name: &str,
    client: &Client,
) {
    let (client, context) = (client.clone(), interface.context());
    interface.beside::<(Resource<Request>,), Result<Resource<Response>, ErrorCode>, _>(
        name,
        move |beside: Beside<T, F>, (request,)| send((beside, context), client.clone(), request),
    );
}

async fn send<T: Send + 'static, F: FindContext<T>>(
    (beside, context): (Beside<T, F>, F),
    client: Client,
    request: Resource<Request>,
) -> Result<Result<Resource<Response>, ErrorCode>, Error> {
    let host = beside.host().await;
    let taken = beside.with(move |cx| -> Result<(Room<Response>, Request), Error> {
        Ok((cx.room_with(0)?, cx.take(&request)?))
    });
    let (place, request) = taken.await?;
    let has_good_path = request.has_good_path();
    let Request { head, headers, times, body, .. } = request;
    let times = times.unwrap_or_default();
    let headers = headers.into_map()?;
    let message = match has_good_path {
        true => client.room(&host).and_then(|room| Ok((head.message(headers)?, room))),
        false => Err(ErrorCode::HttpRequestUriInvalid),
    };
    let allowed = message.and_then(|((target, message, charge), room)| {
        let allowed = host.allow_request(target).map_err(|_| ErrorCode::HttpRequestDenied)?;
        Ok((allowed, (message, charge, room), runtime()?))
    });
    let (allowed, (mut message, _charge, room), runtime) = match allowed {
        Ok(allowed) => allowed,
        Err(code) => {
            body.refuse(&code);
            return Ok(Err(code));
        }
    };
    let to = (beside.accessor(), context);
    let leaving = body.leave(to, (Message::Request, message.headers())).await?;
    let Leaving { content, sent, .. } = match leaving {
        Ok(leaving) => leaving,
        Err(code) => return Ok(Err(code)),
    };
    let (body, pipe) = match content {
        Content::Nothing => {
            message.headers_mut().remove(header::CONTENT_LENGTH);
            (empty(), None)
        }
        Content::Passed(body) => (body, None),
        Content::Pipe(pipe) => (Sent::new(pipe.clone(), None).boxed_unsync(), Some(pipe)),
    };
    let message = message.map(|()| body);
    let sending = runtime.spawn({
        let host = host.clone();
        async move {
            let sent = client.send((&host, &allowed), (message, room), times.into()).await;
            // Charged as it comes, whenever the guest lets this function go on.
            sent.and_then(|response| ReceivedResponse::new(response, host.budget()))
        }
    });
    let _ends_with_this = Ends(sending.abort_handle());
    let answered = sending.await.unwrap_or(Err(ErrorCode::InternalError(None)));
    if let (Err(code), Some(pipe)) = (&answered, pipe) {
        pipe.fail(code.clone());
    }
    if let Some(sent) = sent {
        // Most guests do not ask.
        let _ = sent.send(answered.as_ref().map(drop).map_err(Clone::clone));
    }
    match answered {
        Err(code) => Ok(Err(code)),
        Ok(response) => {
            let between_bytes = times.between_bytes.map(|time| (time, runtime));
            let response = Response::received(response, between_bytes);
            Ok(Ok(beside.with(move |cx| cx.push_into(place, response)).await))
        }
    }
}

/// Ends a task when this is dropped.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
