//! Binding an interface of WASI 0.3 into the component linker: its functions with the types that Rust has for them, and its resources.

use std::future::Future;

use innkeeper_component::{
    Accessor, ComponentType, FutureOf, Lift, LiftOwned, Linker, LinkerInstance, Lower, ParamList, Resource,
    Running, StreamOf, Val,
};
use innkeeper_engine::{AsContextMut, Error, InterruptHandle, StoreContextMut};

use super::streams::{self, Code, Ended, Start};
use crate::host::{self, Host, WaitMode};
use crate::p2::Context;
use crate::p2::interface::FindContext;
use crate::p2::streams::{InputSource, OutputSink};
use crate::p2::table::Held;

/// The version of all interfaces, which serves guests that want any version since 0.3.0.
pub const VERSION: &str = "0.3.2";

/// An interface whose functions are being bound.
pub struct Interface<'a, T: 'static, F> {
    instance: LinkerInstance<'a, T>,
    context: F,
}

/// The guest's context for a function that runs beside guests: for a step at a time.
pub struct Beside<T: 'static, F> {
    accessor: Accessor<T>,
    context: F,
}

impl<T: 'static, F> std::fmt::Debug for Interface<'_, T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interface").finish_non_exhaustive()
    }
}

impl<T: 'static, F> std::fmt::Debug for Beside<T, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

impl<T, F: Copy> Clone for Beside<T, F> {
    fn clone(&self) -> Self {
        Beside { accessor: self.accessor.clone(), context: self.context }
    }
}

impl<T: 'static, F: FindContext<T>> Beside<T, F> {
    /// Access to a store's context, for what a function begins that goes on when it has returned.
    #[must_use]
    pub fn new(accessor: Accessor<T>, context: F) -> Beside<T, F> {
        Beside { accessor, context }
    }

    /// Access to the store.
    #[must_use]
    pub fn accessor(&self) -> &Accessor<T> {
        &self.accessor
    }

    /// Does something with the context, while no guest runs.
    pub async fn with<R: Send + 'static>(&self, act: impl FnOnce(&mut Context) -> R + Send + 'static) -> R {
        let context = self.context;
        self.accessor
            .with(move |mut store| {
                let interrupts = store.interrupt_handle().clone();
                let context = context(store.data_mut());
                context.host.serve_store(&interrupts, WaitMode::HoldThread);
                act(context)
            })
            .await
    }

    /// The host, whose waits hold no thread.
    pub async fn host(&self) -> Host {
        let context = self.context;
        self.accessor
            .with(move |mut store| {
                let interrupts = store.interrupt_handle().clone();
                waiting_host(context(store.data_mut()), &interrupts)
            })
            .await
    }
}

/// The guest's host, for what waits beside the guest.
pub(super) fn waiting_host(context: &Context, interrupts: &InterruptHandle) -> Host {
    let mut host = context.host.clone();
    host.serve_store(interrupts, WaitMode::Suspend);
    host
}

impl<'a, T: Send + 'static, F: FindContext<T>> Interface<'a, T, F> {
    /// The interface of a name without a version, such as `wasi:cli/stdin`.
    ///
    /// # Errors
    /// Where the linker has something else under that name.
    pub fn new(linker: &'a mut Linker<T>, name: &str, context: F) -> Result<Interface<'a, T, F>, Error> {
        Ok(Interface { instance: linker.instance(&format!("{name}@{VERSION}"))?, context })
    }

    /// What finds the context.
    #[must_use]
    pub fn context(&self) -> F {
        self.context
    }

    /// Binds a function that is not `async`. `P` is the tuple of its parameters, `R` its result.
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

    /// Binds a function that needs the store, because it gives a stream which is neither of `reads` nor of `lists`.
    pub fn with_store<P, R>(
        &mut self,
        name: &str,
        call: impl Fn(StoreContextMut<'_, T>, F, P) -> Result<R, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + 'static,
        R: Lower + 'static,
    {
        let context = self.context;
        self.instance.func_wrap::<P, R>(name, move |store, params| call(store, context, params));
        self
    }

    /// Binds an `async` function that is done at once: as [`Interface::func`].
    pub fn at_once<P, R>(
        &mut self,
        name: &str,
        call: impl for<'c> Fn(&'c mut Context, P::Lifted<'c>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + Lift + 'static,
        R: Lower + 'static,
    {
        let context = self.context;
        self.instance.func_wrap_at_once::<P, R>(name, move |data, interrupts, params| {
            let context = context(data);
            context.host.serve_store(interrupts, WaitMode::HoldThread);
            call(context, params)
        });
        self
    }

    /// Binds an `async` function that may have to wait, which it does beside guests.
    pub fn beside<P, R, A>(
        &mut self,
        name: &str,
        call: impl Fn(Beside<T, F>, P) -> A + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + Send + 'static,
        R: Lower + Send + 'static,
        A: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let context = self.context;
        self.instance.func_wrap_concurrent::<P, R>(name, move |accessor, params| -> Running<R> {
            Box::pin(call(Beside::new(accessor, context), params))
        });
        self
    }

    /// Binds a function that gives a stream of what `source` says, and a future of how that has ended.
    pub(super) fn reads<P, C: Code>(
        &mut self,
        name: &str,
        source: impl Fn(&mut Context, P) -> Result<Result<InputSource, C>, Error> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + 'static,
    {
        let context = self.context;
        self.instance.func_wrap::<P, (StreamOf<u8>, FutureOf<Ended<C>>)>(name, move |mut store, params| {
            let start = Start::prepare(store.as_context_mut(), context, |cx| source(cx, params))?;
            streams::read(store, context, start)
        });
        self
    }

    /// Binds a function that gives a stream of values of type `E`, which `some` takes from what `source` says, some at a time and none at the end; and a future of how that has ended.
    pub(super) fn lists<P, E, C: Code, S: Send + 'static>(
        &mut self,
        name: &str,
        source: impl Fn(&mut Context, P) -> Result<Result<S, C>, Error> + Send + Sync + 'static,
        some: impl Fn(&mut S, &Host) -> Result<Vec<Val>, host::Error> + Copy + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + 'static,
        E: ComponentType + 'static,
    {
        let context = self.context;
        self.instance.func_wrap::<P, (StreamOf<E>, FutureOf<Ended<C>>)>(name, move |mut store, params| {
            let start = Start::prepare(store.as_context_mut(), context, |cx| source(cx, params))?;
            streams::list(store, context, (start, some))
        });
        self
    }

    /// Binds a function one of whose parameters is a stream, of which `sink` says where it goes and gives it back; it gives a future of how that has ended.
    pub(super) fn writes<P, C: Code>(
        &mut self,
        name: &str,
        sink: impl Fn(&mut Context, P) -> Result<(StreamOf<u8>, Result<OutputSink, C>), Error>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: ParamList + LiftOwned + 'static,
    {
        let context = self.context;
        self.instance.func_wrap::<P, FutureOf<Ended<C>>>(name, move |mut store, params| {
            let mut data = None;
            let start = Start::prepare(store.as_context_mut(), context, |cx| {
                let (stream, sink) = sink(cx, params)?;
                data = Some(stream);
                Ok(sink)
            })?;
            streams::write(store, context, (data, start))
        });
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
