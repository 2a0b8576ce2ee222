//! What stands in Rust where a type of WIT is used.
//!
//! A type has several forms: what is the host's own, what a function of the host borrows from a guest's memory, and what the host lends to a guest for a call.

use wit_parser::{Handle, Resolve, Type, TypeDefKind, TypeId};

use crate::options::Bindgen;
use crate::places::{Places, Side, relative};

/// What is written for.
pub(crate) struct Context<'a> {
    pub(crate) options: &'a Bindgen,
    pub(crate) resolve: &'a Resolve,
    pub(crate) places: &'a Places,
}

/// Where something is written.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) module: Vec<String>,
    pub(crate) side: Side,
    /// Names that the module has, which could hide others.
    pub(crate) names: Vec<String>,
}

/// In which form a type is meant. Lifetimes are as one writes them there: `'_ `, `'static ` or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It holds all that it is made of.
    Owned,
    /// As a function of the host is given it.
    Host,
    /// As the host gives it to a guest, borrowed for this.
    Guest { is_static: bool },
}

impl Form {
    /// Of a reference.
    fn reference(self) -> &'static str {
        if matches!(self, Form::Guest { is_static: true }) { "&'static " } else { "&" }
    }

    /// Of a type with a lifetime.
    fn lifetime(self) -> &'static str {
        if matches!(self, Form::Guest { is_static: true }) { "'static" } else { "'_" }
    }
}

/// What is no type of Rust yet.
pub(crate) type Unsupported = &'static str;

impl Context<'_> {
    /// Something of `innkeeper::component`, which modules use under its last name.
    pub(crate) fn component(&self, at: &At, name: &str) -> String {
        match at.module.is_empty() {
            true => format!("{}::{name}", self.options.component),
            false => format!("component::{name}"),
        }
    }

    /// What has [`Context::component`] right in a module.
    pub(crate) fn use_component(&self, code: &mut crate::code::Code) {
        let path = &self.options.component;
        match path.ends_with("::component") {
            true => code.line(format!("use {path};")),
            false => code.line(format!("use {path} as component;")),
        }
        code.gap();
    }

    /// A name of the standard library's prelude, or where the module hides that, its path.
    pub(crate) fn prelude(&self, at: &At, name: &str) -> String {
        let path = match name {
            "String" => "::std::string::String",
            "Vec" => "::std::vec::Vec",
            "Option" => "::core::option::Option",
            _ => "::core::result::Result",
        };
        if at.names.iter().any(|known| known == name) { path.to_owned() } else { name.to_owned() }
    }

    /// A type with a name.
    fn path(&self, at: &At, id: TypeId) -> Option<String> {
        self.places.type_path(self.resolve, id, at.side).map(|path| relative(&at.module, &path))
    }

    /// The resource that a type stands for, through other names of it.
    pub(crate) fn resource(&self, id: TypeId) -> TypeId {
        match self.resolve.types[id].kind {
            TypeDefKind::Type(Type::Id(of)) => self.resource(of),
            _ => id,
        }
    }

    /// What is written for a type.
    pub(crate) fn ty(&self, at: &At, ty: &Type, form: Form) -> Result<String, Unsupported> {
        Ok(match ty {
            Type::Bool => "bool".to_owned(),
            Type::String if form == Form::Owned => self.prelude(at, "String"),
            Type::String => format!("{}str", form.reference()),
            Type::ErrorContext => return Err("error contexts cannot be passed yet"),
            Type::Id(id) => return self.defined(at, *id, form),
            number => number_name(number).unwrap_or("char").to_owned(),
        })
    }

    fn defined(&self, at: &At, id: TypeId, form: Form) -> Result<String, Unsupported> {
        let def = &self.resolve.types[id];
        let is_named = matches!(
            def.kind,
            TypeDefKind::Record(_) | TypeDefKind::Flags(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_)
        ) || def.name.is_some()
            && (form == Form::Owned || self.places.replaced_types.contains_key(&id));
        if is_named && let Some(path) = self.path(at, id) {
            self.check(id)?;
            let is_small = matches!(def.kind, TypeDefKind::Flags(_) | TypeDefKind::Enum(_));
            let reference = match form {
                Form::Guest { .. } if !is_small => form.reference(),
                _ => "",
            };
            return Ok(format!("{reference}{path}"));
        }
        self.structure(at, &def.kind, form)
    }

    /// What is written for a type by what it is made of.
    pub(crate) fn structure(&self, at: &At, kind: &TypeDefKind, form: Form) -> Result<String, Unsupported> {
        match kind {
            TypeDefKind::Type(ty) => self.ty(at, ty, form),
            TypeDefKind::Handle(handle) => Ok(self.handle(at, handle, form)),
            TypeDefKind::List(element) => self.list(at, element, form),
            TypeDefKind::Option(ty) => {
                Ok(format!("{}<{}>", self.prelude(at, "Option"), self.ty(at, ty, form)?))
            }
            TypeDefKind::Result(result) => {
                let part =
                    |ty: &Option<Type>| ty.as_ref().map_or(Ok("()".to_owned()), |ty| self.ty(at, ty, form));
                Ok(format!("{}<{}, {}>", self.prelude(at, "Result"), part(&result.ok)?, part(&result.err)?))
            }
            TypeDefKind::Tuple(tuple) => self.tuple(at, &tuple.types, form),
            TypeDefKind::Map(..) => Err("maps cannot be passed yet"),
            TypeDefKind::FixedLengthList(..) => Err("lists of a fixed length cannot be passed yet"),
            TypeDefKind::Future(_) => Err("futures cannot be passed yet"),
            TypeDefKind::Stream(_) => Err("streams cannot be passed yet"),
            _ => Err("it is of a kind that is not known"),
        }
    }

    /// A tuple, with the comma that one of a single part has.
    pub(crate) fn tuple(&self, at: &At, types: &[Type], form: Form) -> Result<String, Unsupported> {
        let parts: Vec<String> = types.iter().map(|ty| self.ty(at, ty, form)).collect::<Result<_, _>>()?;
        let comma = if parts.len() == 1 { "," } else { "" };
        Ok(format!("({}{comma})", parts.join(", ")))
    }

    fn list(&self, at: &At, element: &Type, form: Form) -> Result<String, Unsupported> {
        Ok(match form {
            Form::Guest { .. } => format!("{}[{}]", form.reference(), self.ty(at, element, Form::Owned)?),
            Form::Host if self.is_integer(element) => {
                format!("{}[{}]", form.reference(), self.ty(at, element, form)?)
            }
            _ => format!("{}<{}>", self.prelude(at, "Vec"), self.ty(at, element, form)?),
        })
    }

    fn handle(&self, at: &At, handle: &Handle, form: Form) -> String {
        let (Handle::Own(id) | Handle::Borrow(id)) = *handle;
        let resource = self.resource(id);
        let path = self.path(at, resource).unwrap_or_default();
        let is_guests = self.places.is_guests(self.resolve, resource, at.side);
        match (handle, is_guests) {
            (Handle::Own(_), false) => self.component(at, &format!("Resource<{path}>")),
            (Handle::Own(_), true) => path,
            (Handle::Borrow(_), true) => {
                self.component(at, &format!("GuestBorrowed<{}, {path}Type>", form.lifetime()))
            }
            (Handle::Borrow(_), false) if form == Form::Owned => self.component(at, &format!("Lent<{path}>")),
            (Handle::Borrow(_), false) => {
                self.component(at, &format!("Borrowed<{}, {path}>", form.lifetime()))
            }
        }
    }

    /// Whether a function of the host can borrow a list of these.
    fn is_integer(&self, ty: &Type) -> bool {
        match ty {
            Type::Id(id) => match &self.resolve.types[*id].kind {
                TypeDefKind::Type(ty) => self.is_integer(ty),
                _ => false,
            },
            Type::F32 | Type::F64 => false,
            ty => number_name(ty).is_some(),
        }
    }

    /// Whether a type with a name can be passed, with all that is in it.
    pub(crate) fn check(&self, id: TypeId) -> Result<(), Unsupported> {
        let part = |ty: &Type| match ty {
            Type::Id(id) => self.check(*id),
            Type::ErrorContext => Err("error contexts cannot be passed yet"),
            _ => Ok(()),
        };
        let optional = |ty: &Option<Type>| ty.as_ref().map_or(Ok(()), part);
        match &self.resolve.types[id].kind {
            TypeDefKind::Record(record) => record.fields.iter().try_for_each(|field| part(&field.ty)),
            TypeDefKind::Variant(variant) => variant.cases.iter().try_for_each(|case| optional(&case.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().try_for_each(part),
            TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => part(ty),
            TypeDefKind::Result(result) => optional(&result.ok).and_then(|()| optional(&result.err)),
            TypeDefKind::Map(..) => Err("maps cannot be passed yet"),
            TypeDefKind::FixedLengthList(..) => Err("lists of a fixed length cannot be passed yet"),
            TypeDefKind::Future(_) => Err("futures cannot be passed yet"),
            TypeDefKind::Stream(_) => Err("streams cannot be passed yet"),
            _ => Ok(()),
        }
    }

    /// Whether values of a type have handles among them.
    pub(crate) fn has_handles(&self, ty: &Type) -> bool {
        let Type::Id(id) = ty else { return false };
        let optional = |ty: &Option<Type>| ty.as_ref().is_some_and(|ty| self.has_handles(ty));
        match &self.resolve.types[*id].kind {
            TypeDefKind::Handle(_) | TypeDefKind::Resource => true,
            TypeDefKind::Record(record) => record.fields.iter().any(|field| self.has_handles(&field.ty)),
            TypeDefKind::Variant(variant) => variant.cases.iter().any(|case| optional(&case.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().any(|ty| self.has_handles(ty)),
            TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => self.has_handles(ty),
            TypeDefKind::Result(result) => optional(&result.ok) || optional(&result.err),
            _ => false,
        }
    }
}

/// What Rust calls a type of numbers.
fn number_name(ty: &Type) -> Option<&'static str> {
    Some(match ty {
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "i8",
        Type::S16 => "i16",
        Type::S32 => "i32",
        Type::S64 => "i64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        _ => return None,
    })
}
