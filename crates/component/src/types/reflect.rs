//! Types as the embedder sees them.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::{FuncTypeIndex, ResourceSlot, TypeIndex, TypeTable, ValType};

/// The type of a value. Printed, it is what one would write in WIT, with types that have names there written out.
#[derive(Clone)]
pub struct Type {
    table: Arc<TypeTable>,
    index: TypeIndex,
}

/// What a type is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TypeKind {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    Float32,
    /// `f64`
    Float64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `error-context`
    ErrorContext,
    /// `list<T>`
    List(Type),
    /// `list<T, N>`
    FixedLengthList(Type, u32),
    /// `map<K, V>`
    Map(Type, Type),
    /// The fields of a record, in order.
    Record(Vec<(Arc<str>, Type)>),
    /// `tuple<T, ...>`
    Tuple(Vec<Type>),
    /// The cases of a variant, in order.
    Variant(Vec<(Arc<str>, Option<Type>)>),
    /// The labels of an enum, in order.
    Enum(Vec<Arc<str>>),
    /// `option<T>`
    Option(Type),
    /// `result<T, E>`
    Result(Option<Type>, Option<Type>),
    /// The labels of flags, in order.
    Flags(Vec<Arc<str>>),
    /// An owned handle.
    Own,
    /// A borrowed handle.
    Borrow,
    /// `stream<T>`
    Stream(Option<Type>),
    /// `future<T>`
    Future(Option<Type>),
}

/// Which of a component's resource types the handles of a type are of. Two of the same component's types are of the same one where these are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeResource {
    slot: ResourceSlot,
    name: Option<Arc<str>>,
}

impl TypeResource {
    /// What the component calls it, where it imports or exports it under a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Type {
    pub(crate) fn new(table: &Arc<TypeTable>, index: TypeIndex) -> Type {
        Type { table: Arc::clone(table), index }
    }

    pub(crate) fn val_type(&self) -> &ValType {
        self.table.get(self.index)
    }

    /// Of a type of handles, which resource type these are of.
    #[must_use]
    pub fn resource(&self) -> Option<TypeResource> {
        match self.table.get(self.index) {
            ValType::Own(slot) | ValType::Borrow(slot) => {
                Some(TypeResource { slot: *slot, name: self.table.resource_name(*slot).cloned() })
            }
            _ => None,
        }
    }

    /// What the type is made of.
    #[must_use]
    pub fn kind(&self) -> TypeKind {
        let ty = |index: &TypeIndex| Type::new(&self.table, *index);
        let optional = |index: &Option<TypeIndex>| index.as_ref().map(ty);
        match self.table.get(self.index) {
            ValType::Bool => TypeKind::Bool,
            ValType::S8 => TypeKind::S8,
            ValType::U8 => TypeKind::U8,
            ValType::S16 => TypeKind::S16,
            ValType::U16 => TypeKind::U16,
            ValType::S32 => TypeKind::S32,
            ValType::U32 => TypeKind::U32,
            ValType::S64 => TypeKind::S64,
            ValType::U64 => TypeKind::U64,
            ValType::Float32 => TypeKind::Float32,
            ValType::Float64 => TypeKind::Float64,
            ValType::Char => TypeKind::Char,
            ValType::String => TypeKind::String,
            ValType::ErrorContext => TypeKind::ErrorContext,
            ValType::List(element) => TypeKind::List(ty(element)),
            ValType::FixedLengthList(element, length) => TypeKind::FixedLengthList(ty(element), *length),
            ValType::Map(key, value, _) => TypeKind::Map(ty(key), ty(value)),
            ValType::Record(fields) => {
                TypeKind::Record(fields.iter().map(|(name, field)| (Arc::clone(name), ty(field))).collect())
            }
            ValType::Tuple(types) => TypeKind::Tuple(types.iter().map(ty).collect()),
            ValType::Variant(cases) => TypeKind::Variant(
                cases.iter().map(|(name, case)| (Arc::clone(name), optional(case))).collect(),
            ),
            ValType::Enum(labels) => TypeKind::Enum(labels.to_vec()),
            ValType::Option(payload) => TypeKind::Option(ty(payload)),
            ValType::Result(ok, err) => TypeKind::Result(optional(ok), optional(err)),
            ValType::Flags(labels) => TypeKind::Flags(labels.to_vec()),
            ValType::Own(_) => TypeKind::Own,
            ValType::Borrow(_) => TypeKind::Borrow,
            ValType::Stream(payload) => TypeKind::Stream(optional(payload)),
            ValType::Future(payload) => TypeKind::Future(optional(payload)),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write_type(&mut text, &self.table, self.index);
        f.write_str(&text)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type of a function. Printed, it is what one would write in WIT.
#[derive(Clone)]
pub struct FuncType {
    table: Arc<TypeTable>,
    index: FuncTypeIndex,
}

impl FuncType {
    pub(crate) fn new(table: &Arc<TypeTable>, index: FuncTypeIndex) -> FuncType {
        FuncType { table: Arc::clone(table), index }
    }

    /// The parameters, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, Type)> {
        let params = self.table.func(self.index).params.iter();
        params.map(|(name, ty)| (&**name, Type::new(&self.table, *ty)))
    }

    /// The result, if there is one.
    #[must_use]
    pub fn result(&self) -> Option<Type> {
        self.table.func(self.index).result.map(|ty| Type::new(&self.table, ty))
    }

    /// Whether it is an `async` function.
    #[must_use]
    pub fn is_async(&self) -> bool {
        self.table.func(self.index).is_async
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ty = self.table.func(self.index);
        f.write_str(if ty.is_async { "async func(" } else { "func(" })?;
        for (i, (name, param)) in self.params().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}: {param}")?;
        }
        f.write_char(')')?;
        match self.result() {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a few types can grow to when they are written out is bounded.
const MAX_TEXT_BYTES: usize = 1000;

fn write_type(to: &mut String, table: &TypeTable, index: TypeIndex) {
    if to.len() > MAX_TEXT_BYTES {
        if !to.ends_with('…') {
            to.push('…');
        }
        return;
    }
    let ty = table.get(index);
    if let ValType::Own(slot) | ValType::Borrow(slot) = ty
        && let Some(name) = table.resource_name(*slot)
    {
        let (open, close) = if matches!(ty, ValType::Borrow(_)) { ("borrow<", ">") } else { ("", "") };
        let _ = write!(to, "{open}{name}{close}");
        return;
    }
    let optional = |to: &mut String, ty: &Option<TypeIndex>| match ty {
        Some(ty) => write_type(to, table, *ty),
        None => to.push('_'),
    };
    to.push_str(ty.kind_name().split(' ').next().unwrap_or_default());
    match ty {
        ValType::List(element) | ValType::Option(element) => {
            to.push('<');
            write_type(to, table, *element);
            to.push('>');
        }
        ValType::FixedLengthList(element, length) => {
            to.push('<');
            write_type(to, table, *element);
            let _ = write!(to, ", {length}>");
        }
        ValType::Map(key, value, _) => write_list(to, ('<', '>'), &[*key, *value], |to, ty| {
            write_type(to, table, *ty);
        }),
        ValType::Tuple(types) => write_list(to, ('<', '>'), types, |to, ty| write_type(to, table, *ty)),
        ValType::Record(fields) => write_list(to, ('{', '}'), fields, |to, (name, ty)| {
            let _ = write!(to, "{name}: ");
            write_type(to, table, *ty);
        }),
        ValType::Variant(cases) => write_list(to, ('{', '}'), cases, |to, (name, ty)| {
            to.push_str(name);
            if let Some(ty) = ty {
                to.push('(');
                write_type(to, table, *ty);
                to.push(')');
            }
        }),
        ValType::Enum(labels) | ValType::Flags(labels) => {
            write_list(to, ('{', '}'), labels, |to, label| to.push_str(label));
        }
        ValType::Result(None, None) | ValType::Stream(None) | ValType::Future(None) => {}
        ValType::Result(ok, err) => {
            to.push('<');
            optional(to, ok);
            to.push_str(", ");
            optional(to, err);
            to.push('>');
        }
        ValType::Stream(payload) | ValType::Future(payload) => {
            to.push('<');
            optional(to, payload);
            to.push('>');
        }
        _ => {}
    }
}

fn write_list<T>(to: &mut String, (open, close): (char, char), items: &[T], write: impl Fn(&mut String, &T)) {
    to.push(open);
    for (i, item) in items.iter().enumerate() {
        if to.len() > MAX_TEXT_BYTES {
            to.push('…');
            break;
        }
        if i > 0 {
            to.push_str(", ");
        }
        write(to, item);
    }
    to.push(close);
}
