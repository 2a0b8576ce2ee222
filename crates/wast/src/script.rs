//! Executes directives one by one, keeping the modules and instances that later ones refer to.

use std::collections::{HashMap, HashSet};
use std::thread::Scope;

use innkeeper::{Engine, Error, ErrorKind, Extern, Instance, Linker, Module, Store, Trap, Val};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, WastDirective, WastExecute, WastInvoke, WastRet, WastThread, Wat};

use crate::component::{Components, is_component};
use crate::thread::{self, SharedExports, Thread};
use crate::{Failure, Outcome, spectest, value};

/// The state of a script, or of one of its threads: `'scope` is the time that its threads may run.
pub(crate) struct Script<'scope, 'text> {
    text: &'text str,
    scope: &'scope Scope<'scope, 'text>,
    threads: HashMap<String, Thread<'scope>>,
    /// Of other threads: what this one may register.
    shared: HashMap<String, SharedExports>,
    outcome: Outcome,
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    /// What was registered under a name that the script gave for it, which no module's own name replaces.
    registered: HashSet<String>,
    definitions: HashMap<String, Module>,
    last_definition: Option<Module>,
    components: Components,
}

type Result<T = (), E = String> = std::result::Result<T, E>;

impl<'scope, 'text> Script<'scope, 'text> {
    pub(crate) fn new(
        engine: &Engine,
        text: &'text str,
        scope: &'scope Scope<'scope, 'text>,
    ) -> Result<Script<'scope, 'text>, Error> {
        let mut store = Store::new(engine, ())?;
        let mut linker = Linker::new(engine);
        spectest::define(&mut linker, &mut store)?;
        // Scripts give names again.
        linker.allow_shadowing(true);
        Ok(Script {
            text,
            scope,
            threads: HashMap::new(),
            shared: HashMap::new(),
            outcome: Outcome::default(),
            engine: engine.clone(),
            store,
            linker,
            current: None,
            instances: HashMap::new(),
            registered: HashSet::from(["spectest".to_owned()]),
            definitions: HashMap::new(),
            last_definition: None,
            components: Components::new(engine, crate::component_features()),
        })
    }

    /// Runs directives to the end of their threads.
    pub(crate) fn run_all(mut self, directives: Vec<WastDirective<'text>>) -> Outcome {
        for directive in directives {
            let span = directive.span();
            match self.run(directive) {
                Ok(()) => self.outcome.passed += 1,
                Err(message) => {
                    // Only now: all the text before it is counted.
                    let line = span.linecol_in(self.text).0 + 1;
                    self.outcome.failures.push(Failure { line, message });
                }
            }
        }
        for (_, thread) in self.threads.drain() {
            self.outcome.merge(thread.join());
        }
        self.outcome
    }

    fn run(&mut self, directive: WastDirective<'text>) -> Result {
        match directive {
            WastDirective::Module(wat) if is_component(&wat) => {
                self.components.component(&mut self.store, wat)
            }
            WastDirective::Module(mut wat) => {
                let name = wat.name().map(|id| id.name().to_owned());
                let module = self.module(&mut wat)?;
                let instance =
                    self.linker.instantiate(&mut self.store, &module).map_err(|error| error.to_string())?;
                self.remember(name, instance)?;
                Ok(())
            }
            WastDirective::ModuleDefinition(wat) if is_component(&wat) => {
                self.components.define(&mut self.store, wat)
            }
            WastDirective::ModuleDefinition(mut wat) => {
                self.components.set_aside();
                let module = self.module(&mut wat)?;
                if let Some(id) = wat.name() {
                    self.definitions.insert(id.name().to_owned(), module.clone());
                }
                self.last_definition = Some(module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. }
                if self.components.has_definition(module) =>
            {
                self.components.instantiate_definition(&mut self.store, instance, module)
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                self.instantiate_definition(instance, module)
            }
            WastDirective::AssertMalformed { module, message, .. }
            | WastDirective::AssertInvalid { module, message, .. }
                if is_component(&module) =>
            {
                self.components.assert_rejected(&self.engine, module, message)
            }
            WastDirective::AssertMalformed { module, message, .. }
            | WastDirective::AssertInvalid { module, message, .. }
            | WastDirective::AssertMalformedCustom { module, message, .. }
            | WastDirective::AssertInvalidCustom { module, message, .. } => {
                self.assert_rejected(module, message)
            }
            WastDirective::Thread(thread) => self.start(thread),
            WastDirective::Wait { thread, .. } => match self.threads.remove(thread.name()) {
                Some(thread) => {
                    self.outcome.merge(thread.join());
                    Ok(())
                }
                None => Err(format!("no thread named {}", thread.name())),
            },
            WastDirective::Register { name, module: Some(id), .. } if self.shared.contains_key(id.name()) => {
                self.registered.insert(name.to_owned());
                for (export, memory) in &self.shared[id.name()] {
                    self.linker.define_shared(name, export, memory).map_err(in_words)?;
                }
                Ok(())
            }
            WastDirective::Register { name, module, .. } if self.components.is_current(module) => {
                self.components.register_named(&mut self.store, name, module)
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?;
                self.registered.insert(name.to_owned());
                self.linker.instance(&mut self.store, name, instance).map_err(in_words)?;
                Ok(())
            }
            WastDirective::Invoke(invoke) if self.components.is_current(invoke.module) => {
                let outcome = self.components.invoke(&mut self.store, &invoke)?;
                outcome.map(drop).map_err(|error| error.to_string())
            }
            WastDirective::Invoke(invoke) => {
                self.invoke(&invoke).map(drop).map_err(|error| error.to_string())
            }
            WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), message, .. }
                if self.components.is_current(invoke.module) =>
            {
                let outcome = self.components.invoke(&mut self.store, &invoke)?;
                self.components.assert_trap(outcome, message)
            }
            WastDirective::AssertTrap {
                exec: WastExecute::Wat(wat @ Wat::Component(_)), message, ..
            } => {
                let outcome = self.components.instantiate_wat(&mut self.store, wat)?;
                self.components.assert_trap(outcome, message)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcome = self.execute(exec)?;
                assert_trap(outcome, message)
            }
            WastDirective::AssertExhaustion { call, .. } => match self.invoke(&call) {
                Err(error) if error.trap() == Some(Trap::CallStackExhausted) => Ok(()),
                Err(error) => Err(format!("exhaustion was expected, but: {error}")),
                Ok(values) => Err(format!("exhaustion was expected, but it returned {values:?}")),
            },
            WastDirective::AssertReturn { exec: WastExecute::Invoke(invoke), results, .. }
                if self.components.is_current(invoke.module) =>
            {
                let outcome = self.components.invoke(&mut self.store, &invoke)?;
                self.components.assert_return(outcome, &results)
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let values = self.execute(exec)?.map_err(|error| error.to_string())?;
                self.assert_values(&values, &results)
            }
            WastDirective::AssertException { exec, .. } => match self.execute(exec)? {
                Err(error) if matches!(error.kind(), ErrorKind::Exception(_)) => Ok(()),
                Err(error) => Err(format!("an exception was expected, but: {error}")),
                Ok(values) => Err(format!("an exception was expected, but it returned {values:?}")),
            },
            WastDirective::AssertUnlinkable { module: wat @ Wat::Component(_), message, .. } => {
                self.components.assert_unlinkable(&mut self.store, wat, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.assert_unlinkable(module, message)
            }
            other => Err(format!("the directive is not supported: {}", directive_name(&other))),
        }
    }

    /// Starts a thread that sees the shared memories of the module it names; an earlier thread of its name is waited for.
    fn start(&mut self, directive: WastThread<'text>) -> Result {
        let mut shared = HashMap::new();
        if let Some(id) = directive.shared_module {
            let instance = self.instance(Some(id))?;
            shared.insert(id.name().to_owned(), thread::shared_exports(&mut self.store, instance)?);
        }
        let (engine, text, scope) = (self.engine.clone(), self.text, self.scope);
        let (line, name) = (directive.span.linecol_in(text).0 + 1, directive.name.name().to_owned());
        let handle = scope.spawn(move || match Script::new(&engine, text, scope) {
            Ok(script) => Script { shared, ..script }.run_all(directive.directives),
            Err(error) => Outcome { passed: 0, failures: vec![Failure { line, message: error.to_string() }] },
        });
        if let Some(before) = self.threads.insert(name, Thread { handle, line }) {
            self.outcome.merge(before.join());
        }
        Ok(())
    }

    /// Keeps an instance for later directives; modules can import from one with a name by that name.
    fn remember(&mut self, name: Option<String>, instance: Instance) -> Result {
        if let Some(name) = name {
            if !self.registered.contains(&name) {
                self.linker.instance(&mut self.store, &name, instance).map_err(in_words)?;
            }
            self.instances.insert(name, instance);
        }
        self.components.set_aside();
        self.current = Some(instance);
        Ok(())
    }

    fn module(&self, wat: &mut QuoteWat<'_>) -> Result<Module> {
        let bytes = wat.encode().map_err(|error| error.message())?;
        Module::new(&self.engine, bytes).map_err(|error| error.to_string())
    }

    fn instantiate_definition(&mut self, instance: Option<Id<'_>>, module: Option<Id<'_>>) -> Result {
        let module = match module {
            Some(id) => self.definitions.get(id.name()).cloned(),
            None => self.last_definition.clone(),
        };
        let module = module.ok_or("no such module definition")?;
        let linked = self.linker.instantiate(&mut self.store, &module).map_err(|error| error.to_string())?;
        self.remember(instance.map(|id| id.name().to_owned()), linked)?;
        Ok(())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(id) => {
                self.instances.get(id.name()).copied().ok_or(format!("no instance named {}", id.name()))
            }
            None => self.current.ok_or_else(|| "no instance yet".to_owned()),
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Val>, Error> {
        let usage = |message: String| Error::new(ErrorKind::Usage(message));
        let instance = self.instance(invoke.module).map_err(usage)?;
        let func = instance.get_func(&mut self.store, invoke.name);
        let func = func.ok_or_else(|| usage(format!("no function named {}", invoke.name)))?;
        let params: Vec<Val> = invoke
            .args
            .iter()
            .map(|arg| value::argument(&mut self.store, arg))
            .collect::<Result<_>>()
            .map_err(usage)?;
        let ty = func.ty(&self.store)?;
        // What stands in them does not matter: they are written over.
        let mut results = vec![Val::I32(0); ty.results().len()];
        func.call(&mut self.store, &params, &mut results)?;
        Ok(results)
    }

    /// The outcome of the guest's execution inside the result of the directive's own.
    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Result<Vec<Val>, Error>> {
        match exec {
            WastExecute::Invoke(invoke) => match self.invoke(&invoke) {
                Err(error) if matches!(error.kind(), ErrorKind::Usage(_)) => Err(error.to_string()),
                outcome => Ok(outcome),
            },
            WastExecute::Wat(mut wat) => {
                let bytes = wat.encode().map_err(|error| error.message())?;
                let module = Module::new(&self.engine, bytes).map_err(|error| error.to_string())?;
                Ok(self.linker.instantiate(&mut self.store, &module).map(|_| Vec::new()))
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module)?;
                match instance.get_export(&mut self.store, global) {
                    Some(Extern::Global(found)) => Ok(found.get(&mut self.store).map(|value| vec![value])),
                    _ => Err(format!("no global named {global}")),
                }
            }
        }
    }

    fn assert_values(&self, values: &[Val], expected: &[WastRet<'_>]) -> Result {
        if values.len() != expected.len() {
            return Err(format!("{} results were expected, but there are {}", expected.len(), values.len()));
        }
        for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
            value::check(&self.store, value, expected).map_err(|message| format!("result {i}: {message}"))?;
        }
        Ok(())
    }

    fn assert_rejected(&self, mut wat: QuoteWat<'_>, message: &str) -> Result {
        // Text that is no module is malformed, whatever else it might be.
        let bytes = match wat.to_test() {
            Ok(QuoteWatTest::Binary(bytes)) => bytes,
            Ok(QuoteWatTest::Text(text)) => match innkeeper::to_binary(&text) {
                Ok(bytes) => bytes.into_owned(),
                Err(_) => return Ok(()),
            },
            Err(_) => return Ok(()),
        };
        match Module::new(&self.engine, bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::Malformed { .. }) => Ok(()),
            Err(error) => {
                Err(format!("rejection for `{message}` was expected, but it failed otherwise: {error}"))
            }
            Ok(_) => Err(format!("rejection for `{message}` was expected, but the module is accepted")),
        }
    }

    fn assert_unlinkable(&mut self, mut wat: Wat<'_>, message: &str) -> Result {
        let bytes = wat.encode().map_err(|error| error.message())?;
        let module = Module::new(&self.engine, bytes).map_err(|error| error.to_string())?;
        match self.linker.instantiate(&mut self.store, &module) {
            Err(error) if matches!(error.kind(), ErrorKind::Link(text) if text.starts_with(message)) => {
                Ok(())
            }
            Err(error) => Err(format!("`{message}` was expected, but: {error}")),
            Ok(_) => Err(format!("`{message}` was expected, but the module was instantiated")),
        }
    }
}

fn in_words(error: Error) -> String {
    error.to_string()
}

fn assert_trap(outcome: Result<Vec<Val>, Error>, message: &str) -> Result {
    match outcome {
        Err(error) => match error.trap() {
            Some(trap) if message.starts_with(&trap.to_string()) => Ok(()),
            _ => Err(format!("the trap `{message}` was expected, but: {error}")),
        },
        Ok(values) => Err(format!("the trap `{message}` was expected, but it returned {values:?}")),
    }
}

fn directive_name(directive: &WastDirective<'_>) -> &'static str {
    match directive {
        WastDirective::AssertSuspension { .. } => "assert_suspension",
        _ => "another",
    }
}
