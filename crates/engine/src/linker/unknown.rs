//! What stands for imports that nobody provides, where somebody wants a module to be instantiated all the same.

use super::{Definition, HostDefinition, HostType, Linker};
use crate::error::Error;
use crate::extern_::{Extern, Global, Memory, Table, Tag};
use crate::module::{Item, Module};
use crate::runtime::host::{self, Dynamic};
use crate::store::AsContextMut;
use crate::types::{ExternType, FuncType, RefType, ValType};
use crate::value::Val;
use crate::vmctx::shared_memory::SharedMemory;

/// How many imports that nobody provides are listed: a message that can be read.
const MAX_LISTED: usize = 20;

impl<T: 'static> Linker<T> {
    /// Defines each function that a module imports and nobody provides, as one that fails when it is called, with an error that names it.
    ///
    /// # Errors
    /// Where something else than a function is missing, which is named.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> Result<(), Error> {
        for missing in self.missing(module) {
            match &missing.ty {
                ExternType::Func(ty) => {
                    let what = format!("`{}` `{}`", missing.module, missing.name);
                    let code = move |_: crate::Caller<'_, T>, _: &[Val], _: &mut [Val]| {
                        Err(Error::link(format!(
                            "unknown import: the guest has called {what}, which nobody provides"
                        )))
                    };
                    self.define_missing(&missing, ty, code)?;
                }
                _ => return Err(unknown_import(&[missing.to_string()], 0)),
            }
        }
        Ok(())
    }

    /// Defines what a module imports and nobody provides: functions that return zeros and nulls, memories and tables as small as they may be, of zeros and nulls, and
    /// globals that are zero or null.
    ///
    /// # Errors
    /// Where a function would have to return, or a table or a global to hold, a reference that is not null; limits.
    #[doc(alias = "define_unknown_imports_as_default_values")]
    pub fn define_unknown_imports_as_defaults(
        &mut self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<(), Error> {
        for missing in self.missing(module) {
            let item: Extern = match &missing.ty {
                ExternType::Func(ty) => {
                    if let Some(result) = ty.results().iter().find(|ty| !has_default(**ty)) {
                        return Err(missing.without_default(*result));
                    }
                    // The results are zeros and nulls before anybody writes them.
                    self.define_missing(&missing, ty, |_, _, _| Ok(()))?;
                    continue;
                }
                ExternType::Memory(ty) if ty.sharing == crate::types::Sharing::Shared => {
                    let memory = SharedMemory::new(&self.engine, *ty)?;
                    self.define_shared(&missing.module, &missing.name, &memory)?;
                    continue;
                }
                ExternType::Memory(ty) => Memory::new(&mut store, *ty)?.into(),
                ExternType::Table(ty) => {
                    let element = ValType::Ref(ty.element);
                    let null = missing.default(module, element)?;
                    Table::new(&mut store, *ty, null)?.into()
                }
                ExternType::Global(ty) => {
                    let zero = missing.default(module, ty.content)?;
                    Global::new(&mut store, *ty, zero)?.into()
                }
                ExternType::Tag(ty) => Tag::new(&mut store, ty)?.into(),
            };
            self.define(&missing.module, &missing.name, item)?;
        }
        Ok(())
    }

    /// Each import that nobody provides, once.
    fn missing(&self, module: &Module) -> Vec<Missing> {
        let imports = module.0.imports.iter();
        let mut missing: Vec<Missing> = Vec::new();
        for import in imports.filter(|import| self.definition(&import.module, &import.name).is_none()) {
            if !missing.iter().any(|known| known.module == import.module && known.name == import.name) {
                let ty_of = |func| module.0.type_id(module.0.type_of_func(func));
                missing.push(Missing {
                    module: import.module.clone(),
                    name: import.name.clone(),
                    ty: module.0.item_type(import.item),
                    id: if let Item::Func(func) = import.item { Some(ty_of(func)) } else { None },
                });
            }
        }
        missing
    }

    /// Names all imports of a module's that nobody provides, so that they are not met one by one.
    #[cold]
    pub(super) fn unknown_imports(&self, module: &Module) -> Error {
        let missing = self.missing(module);
        let listed: Vec<String> = missing.iter().take(MAX_LISTED).map(Missing::to_string).collect();
        unknown_import(&listed, missing.len() - listed.len())
    }

    fn define_missing(
        &mut self,
        missing: &Missing,
        ty: &FuncType,
        code: impl Fn(crate::Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let code = host::code::<T, Dynamic>(crate::func::dynamic(ty.clone(), code));
        let ty = missing.id.map_or_else(|| HostType::Plain(ty.clone()), HostType::Defined);
        let definition: Definition = HostDefinition::of_type(ty, code);
        self.insert(&missing.module, &missing.name, definition).map(drop)
    }
}

/// An import that nobody provides.
struct Missing {
    module: Box<str>,
    name: Box<str>,
    ty: ExternType,
    /// A function's type.
    id: Option<crate::composite::TypeId>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` `{}` ({})", self.module, self.name, self.ty)
    }
}

impl Missing {
    /// Zero, or null.
    fn default(&self, module: &Module, ty: ValType) -> Result<Val, Error> {
        match has_default(ty) {
            true => Ok(module.engine().registry().zero(ty)),
            false => Err(self.without_default(ty)),
        }
    }

    fn without_default(&self, ty: ValType) -> Error {
        Error::link(format!(
            "unknown import: the module wants {self}, which nobody provides, and there is no default for {ty}"
        ))
    }
}

/// That nobody provides what is listed, and so many more. The reference tests expect the first two words.
fn unknown_import(listed: &[String], more: usize) -> Error {
    let (s, more) = match (listed.len(), more) {
        (1, 0) => ("", String::new()),
        (_, 0) => ("s", String::new()),
        (_, more) => ("s", format!(" and {more} more")),
    };
    Error::link(format!(
        "unknown import{s}: the module wants {}{more}, which nobody provides",
        listed.join(", ")
    ))
}

fn has_default(ty: ValType) -> bool {
    !matches!(ty, ValType::Ref(RefType { nullable: false, .. }))
}
