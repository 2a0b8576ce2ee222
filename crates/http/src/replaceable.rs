//! A handler in whose place another is put while it answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use http::Request;

use crate::{Arrival, Body, Failure, Handler, Response};

/// Hands each request to the handler that there is when it comes. Requests that are being handled stay with the one that has them, which is gone when the last of them is over.
pub struct Replaceable(RwLock<Arc<dyn Handler>>);

impl Replaceable {
    /// Begins with this one.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>) -> Replaceable {
        Replaceable(RwLock::new(handler))
    }

    /// Has another answer from now on.
    pub fn replace(&self, handler: Arc<dyn Handler>) {
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), handler);
        // Not while others wait for the lock: it can be the last that has it.
        drop(before);
    }

    fn current(&self) -> Arc<dyn Handler> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Replaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaceable").finish_non_exhaustive()
    }
}

impl Handler for Replaceable {
    fn handle<'a>(
        &'a self,
        request: Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        let handler = self.current();
        Box::pin(async move { handler.handle(request, arrival).await })
    }
}
