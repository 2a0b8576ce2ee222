//! Binding an interface of WASI 0.2 into the component linker: its functions with the types that Rust has for them, and its resources.

use std::future::Future;

use innkeeper_component::{Lift, Linker, LinkerInstance, Lower, ParamList, Resource};
use innkeeper_engine::Error;

use super::context::Context;
use super::table::Held;
use crate::host::{WaitMode, hold_thread};

/// The version of all interfaces, which serves guests that want any version since 0.2.0.
pub const VERSION: &str = "0.2.12";

/// Finds a guest's context in the data of its store.
pub trait FindContext<T>: Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static {}

impl<T, F: Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static> FindContext<T> for F {}

/// An `async fn` that a guest calls, whose future any executor may poll.
pub trait Waits<'c, P, R>: Fn(&'c mut Context, P) -> Self::Answer {
    /// What is waited for.
    type Answer: Future<Output = Result<R, Error>> + Send + 'c;
}

impl<'c, P, R, F, A> Waits<'c, P, R> for F
where
    F: Fn(&'c mut Context, P) -> A,
    A: Future<Output = Result<R, Error>> + Send + 'c,
{
    type Answer = A;
}

/// An interface whose functions are being bound.
pub struct Interface<'a, T: 'static, F> {
    instance: LinkerInstance<'a, T>,
    context: F,
}

impl<T: 'static, F> std::fmt::Debug for Interface<'_, T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interface").finish_non_exhaustive()
    }
}

impl<'a, T: Send + 'static, F: FindContext<T>> Interface<'a, T, F> {
    /// The interface of a name without a version, such as `wasi:io/poll`.
    ///
    /// # Errors
    /// Where the linker has something else under that name.
    pub fn new(linker: &'a mut Linker<T>, name: &str, context: F) -> Result<Interface<'a, T, F>, Error> {
        Ok(Interface { instance: linker.instance(&format!("{name}@{VERSION}"))?, context })
    }

    /// Binds a function that does not wait. `P` is the tuple of its parameters, `R` its result.
    pub fn func<P, R>(
        &mut self,
        name: &str,
        call: impl for<'c> Fn(&'c mut Context, P::Lifted<'c>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + 'static,
    {
        let context = self.context;
        self.instance.func_wrap_interruptible::<P, R>(name, move |data, interrupts, params| {
            let context = context(data);
            context.host.serve_store(interrupts, WaitMode::HoldThread);
            call(context, params)
        });
        self
    }

    /// Binds a function that may have to wait: in calls that can wait it holds no thread.
    pub fn waiting<P, R>(
        &mut self,
        name: &str,
        call: impl for<'c> Waits<'c, P::Lifted<'c>, R> + Copy + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + Send + 'static,
    {
        #[cfg(not(feature = "async"))]
        self.func::<P, R>(name, move |context, params| hold_thread(call(context, params)));
        #[cfg(feature = "async")]
        {
            let context = self.context;
            self.instance.func_wrap_blocking_or_async::<P, R>(
                name,
                move |data, interrupts, params| {
                    let context = context(data);
                    context.host.serve_store(interrupts, WaitMode::HoldThread);
                    hold_thread(call(context, params))
                },
                move |data, interrupts, params| {
                    let context = context(data);
                    context.host.serve_store(interrupts, WaitMode::Suspend);
                    Box::pin(call(context, params))
                },
            );
        }
        self
    }

    /// Binds a resource: what stands behind it is dropped with its last handle.
    pub fn resource<H: Held>(&mut self, name: &str) -> &mut Self {
        let context = self.context;
        self.instance.resource_of::<H>(name, move |mut store, resource: Resource<H>| {
            Ok(context(store.data_mut()).table.delete(&resource)?)
        });
        self
    }
}
