//! `wasi:http/types.response-outparam`: where a guest puts its answer.

use std::sync::Arc;

use innkeeper_component::Resource;
use innkeeper_engine::Error;
use innkeeper_wasi::p2::{FindContext, Held, Interface};

use super::outgoing::OutgoingResponse;
use crate::types::{Answer, Content, ErrorCode, Head};

/// `wasi:http/types.response-outparam`
#[derive(Debug)]
pub(super) struct ResponseOutparam(Arc<Answer>);

impl Held for ResponseOutparam {
    const NAME: &'static str = "wasi:http/types response-outparam";
}

impl ResponseOutparam {
    pub(super) fn new(answer: &Arc<Answer>) -> ResponseOutparam {
        ResponseOutparam(Arc::clone(answer))
    }
}

impl Drop for ResponseOutparam {
    fn drop(&mut self) {
        self.0.is_given_up();
    }
}

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    type Response = Result<Resource<OutgoingResponse>, ErrorCode>;
    types
        .resource::<ResponseOutparam>("response-outparam")
        .func::<(Resource<ResponseOutparam>, Response), ()>(
            "[static]response-outparam.set",
            |cx, (outparam, response)| {
                let response = match response {
                    Ok(response) => Ok(parts(cx.take(&response)?)?),
                    Err(code) => Err(code),
                };
                cx.take(&outparam)?.0.give(response);
                Ok(())
            },
        );
}

fn parts(response: OutgoingResponse) -> Result<(Head, Content), Error> {
    let OutgoingResponse { status, headers, body } = response;
    let head = Head { status, headers: headers.into_map()? };
    Ok((head, body.map_or(Content::Nothing, Content::Pipe)))
}
