//! `inn run`: a guest's life from file to exit code.

use std::process::ExitCode;

use innkeeper::wasi::p1::{self, Context, Exit};
use innkeeper::{Config, Error, ErrorKind, ExternType, FuncType, Linker, Module, Store, Tiers, Val};

use crate::args::{RunArgs, Tier};
use crate::input::Input;
use crate::invoke;
use crate::keys;
use crate::report::{self, Explain, Problem, short};

/// The exit code after a trap: what a shell reports for a process that aborted.
const TRAP_EXIT_CODE: u8 = 134;

const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

/// Runs what the command line names.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Problem> {
    let keys = keys::keys(args)?;
    let mut input = Input::read(args.file())?;
    let tiers = match args.tier {
        Tier::Auto => Tiers::Auto,
        Tier::Interpreter => Tiers::Interpreter,
        Tier::Compiled => Tiers::Compiled,
    };
    let engine = innkeeper::engine_with(Config::default(), tiers);
    let module = input.module(&engine)?;
    let entry = Entry::choose(args, &input, &module)?;
    let context = Context::new(&keys).map_err(Problem::from_message)?;
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context);
    let mut store = Store::new(&engine, context).map_err(|error| input.problem(&error))?;
    let ending = Ending::of(entry.call(&linker, &mut store, &module));
    ending.report(args, &input, store.data())
}

/// What is called in the instance.
struct Entry {
    /// Whether a reactor is initialized first.
    initialize: bool,
    name: String,
    params: Vec<Val>,
    results: Vec<Val>,
}

/// How a guest ended.
enum Ending {
    /// The function returned these.
    Returned(Vec<Val>),
    /// The guest ended itself.
    Exited(Exit),
    /// It was stopped by a trap.
    Trapped(Error),
    /// It could not be started or continued.
    Failed(Error),
}

impl Entry {
    fn choose(args: &RunArgs, input: &Input, module: &Module) -> Result<Entry, Problem> {
        let name = args.invoke.as_deref().unwrap_or(START);
        let Some(ty) = function(module, name) else {
            return Err(no_such_function(args, input, module));
        };
        let params = match &args.invoke {
            Some(name) => invoke::arguments(name, &ty, args.guest_args())?,
            None if ty.params().is_empty() && ty.results().is_empty() => Vec::new(),
            None => {
                let reason = format!("its `{START}` has type {ty}, and a program's has () -> ()");
                return Err(Problem::new(&input.name, reason).help(format!("call it with --invoke {START}")));
            }
        };
        let is_reactor = function(module, START).is_none() && function(module, INITIALIZE).is_some();
        Ok(Entry {
            initialize: is_reactor && name != INITIALIZE,
            name: name.to_owned(),
            params,
            results: ty.results().iter().map(|ty| Val::zero(*ty)).collect(),
        })
    }

    fn call(
        mut self,
        linker: &Linker<Context>,
        store: &mut Store<Context>,
        module: &Module,
    ) -> Result<Vec<Val>, Error> {
        let instance = linker.instantiate(&mut *store, module)?;
        if self.initialize {
            instance.get_typed_func::<(), ()>(&mut *store, INITIALIZE)?.call(&mut *store, ())?;
        }
        if let Some(func) = instance.get_func(&mut *store, &self.name) {
            func.call(&mut *store, &self.params, &mut self.results)?;
        }
        Ok(self.results)
    }
}

impl Ending {
    fn of(result: Result<Vec<Val>, Error>) -> Ending {
        match result {
            Ok(results) => Ending::Returned(results),
            Err(error) => match error.host::<Exit>() {
                Some(exit) => Ending::Exited(*exit),
                None if error.trap().is_some() => Ending::Trapped(error),
                None => Ending::Failed(error),
            },
        }
    }

    /// Tells what there is to tell, and gives the process's exit code.
    fn report(&self, args: &RunArgs, input: &Input, context: &Context) -> Result<ExitCode, Problem> {
        let code = match self {
            Ending::Returned(results) => {
                let lines: String = results.iter().map(|value| invoke::result(value) + "\n").collect();
                report::output(&lines)?;
                ExitCode::SUCCESS
            }
            // As for every process, the system keeps the low 8 bits.
            Ending::Exited(Exit(code)) => ExitCode::from((code & 0xff) as u8),
            Ending::Trapped(error) => {
                report::stopped(error);
                ExitCode::from(TRAP_EXIT_CODE)
            }
            Ending::Failed(error) => {
                report::problem(&not_started(input, error));
                ExitCode::FAILURE
            }
        };
        let succeeded = matches!(self, Ending::Returned(_) | Ending::Exited(Exit(0)));
        match (args.explain, self) {
            (_, Ending::Failed(_)) => {}
            (true, _) => report::explain(context.host(), Explain::Asked),
            (false, _) if succeeded => {}
            (false, _) => report::explain(context.host(), Explain::Failure),
        }
        Ok(code)
    }
}

fn function(module: &Module, name: &str) -> Option<FuncType> {
    module.exports().find(|export| export.name == name).and_then(|export| match export.ty {
        ExternType::Func(ty) => Some(ty),
        _ => None,
    })
}

fn no_such_function(args: &RunArgs, input: &Input, module: &Module) -> Problem {
    let callable: Vec<(&str, FuncType)> = module
        .exports()
        .filter(|export| export.name != INITIALIZE)
        .filter_map(|export| match export.ty {
            ExternType::Func(ty) => Some((export.name, ty)),
            _ => None,
        })
        .collect();
    let reason = match &args.invoke {
        Some(name) => format!("it exports no function `{}`", short(name)),
        None if function(module, INITIALIZE).is_some() => {
            format!("it exports no `{START}`: it is a reactor, whose functions are called one by one")
        }
        None => format!("it exports no `{START}`, so it is not a program"),
    };
    let problem = Problem::new(&input.name, reason);
    match callable.first() {
        None => problem.help("it exports no function at all; `inn inspect` shows what it holds"),
        Some((first, _)) => {
            let listed: Vec<String> =
                callable.iter().take(8).map(|(name, ty)| format!("{} {ty}", short(name))).collect();
            let more = if callable.len() > listed.len() { ", ..." } else { "" };
            problem.help(format!(
                "call one with --invoke NAME, as in `inn --invoke {} {} ARGS...`; it exports {}{more}",
                short(first),
                if args.file() == "-" { "-" } else { &input.name },
                listed.join(", ")
            ))
        }
    }
}

fn not_started(input: &Input, error: &Error) -> Problem {
    let problem = Problem::new(&input.name, error);
    match error.kind() {
        ErrorKind::Link(_) => {
            problem.help("inn provides wasi_snapshot_preview1 and wasi_unstable; `inn inspect` lists what the module wants")
        }
        ErrorKind::Limit(_) => problem.help("build the guest to need less"),
        _ => problem,
    }
}
