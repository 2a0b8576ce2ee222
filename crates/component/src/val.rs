//! Values of components, as the embedder gives and gets them.

use std::sync::Arc;

use crate::concurrent::{FutureAny, StreamAny};
use crate::resource::ResourceAny;

/// A value. Names of fields, cases and labels are shared, so that many values of one type hold each once.
#[derive(Clone, Debug)]
pub enum Val {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    Float32(f32),
    /// `f64`
    Float64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<T>`, of any length or of a fixed one
    List(List),
    /// `map<K, V>`, in order, with keys as often as they come
    Map(Vec<(Val, Val)>),
    /// The fields of a record, in the order of its type.
    Record(Vec<(Arc<str>, Val)>),
    /// `tuple<T, ...>`
    Tuple(Vec<Val>),
    /// A variant's case, and its payload.
    Variant(Arc<str>, Option<Box<Val>>),
    /// The label of an enum.
    Enum(Arc<str>),
    /// `option<T>`
    Option(Option<Box<Val>>),
    /// `result<T, E>`
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// The labels of flags that are set.
    Flags(Vec<Arc<str>>),
    /// A handle, owned or borrowed.
    Resource(ResourceAny),
    /// The readable end of a stream.
    Stream(StreamAny),
    /// The readable end of a future.
    Future(FutureAny),
}

impl Val {
    /// What is written for the kind of value, as in "expected u32, found string".
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Val::Bool(_) => "bool",
            Val::S8(_) => "s8",
            Val::U8(_) => "u8",
            Val::S16(_) => "s16",
            Val::U16(_) => "u16",
            Val::S32(_) => "s32",
            Val::U32(_) => "u32",
            Val::S64(_) => "s64",
            Val::U64(_) => "u64",
            Val::Float32(_) => "f32",
            Val::Float64(_) => "f64",
            Val::Char(_) => "char",
            Val::String(_) => "string",
            Val::List(_) => "list",
            Val::Map(_) => "map",
            Val::Record(_) => "record",
            Val::Tuple(_) => "tuple",
            Val::Variant(..) => "variant",
            Val::Enum(_) => "enum",
            Val::Option(_) => "option",
            Val::Result(_) => "result",
            Val::Flags(_) => "flags",
            Val::Resource(_) => "resource",
            Val::Stream(_) => "stream",
            Val::Future(_) => "future",
        }
    }

    /// A record of fields.
    pub fn record<'a>(fields: impl IntoIterator<Item = (&'a str, Val)>) -> Val {
        Val::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Flags with these labels set.
    pub fn flags<'a>(labels: impl IntoIterator<Item = &'a str>) -> Val {
        Val::Flags(labels.into_iter().map(Arc::from).collect())
    }

    /// A variant's case.
    #[must_use]
    pub fn variant(case: &str, payload: Option<Val>) -> Val {
        Val::Variant(case.into(), payload.map(Box::new))
    }

    /// The label of an enum.
    #[must_use]
    pub fn enumeration(label: &str) -> Val {
        Val::Enum(label.into())
    }
}

impl PartialEq for Val {
    /// As numbers are equal: no NaN is, and 0 and -0 are. Flags are the same in any order. Handles are equal where they are the same one.
    fn eq(&self, other: &Val) -> bool {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::S8(a), Val::S8(b)) => a == b,
            (Val::U8(a), Val::U8(b)) => a == b,
            (Val::S16(a), Val::S16(b)) => a == b,
            (Val::U16(a), Val::U16(b)) => a == b,
            (Val::S32(a), Val::S32(b)) => a == b,
            (Val::U32(a), Val::U32(b)) => a == b,
            (Val::S64(a), Val::S64(b)) => a == b,
            (Val::U64(a), Val::U64(b)) => a == b,
            (Val::Float32(a), Val::Float32(b)) => a == b,
            (Val::Float64(a), Val::Float64(b)) => a == b,
            (Val::Char(a), Val::Char(b)) => a == b,
            (Val::String(a), Val::String(b)) => a == b,
            (Val::List(a), Val::List(b)) => a == b,
            (Val::Map(a), Val::Map(b)) => a == b,
            (Val::Record(a), Val::Record(b)) => a == b,
            (Val::Tuple(a), Val::Tuple(b)) => a == b,
            (Val::Variant(a, x), Val::Variant(b, y)) => a == b && x == y,
            (Val::Enum(a), Val::Enum(b)) => a == b,
            (Val::Option(a), Val::Option(b)) => a == b,
            (Val::Result(a), Val::Result(b)) => a == b,
            (Val::Flags(a), Val::Flags(b)) => a.len() == b.len() && a.iter().all(|label| b.contains(label)),
            (Val::Resource(a), Val::Resource(b)) => a == b,
            _ => false,
        }
    }
}

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident($ty:ty) = $val:ident;)*) => {
        /// A list: of values, or of numbers in one piece. Both are equal where their elements are.
        #[derive(Clone, Debug)]
        pub enum List {
            /// Of any type, numbers too.
            Vals(Vec<Val>),
            $($(#[$doc])* $name(Vec<$ty>),)*
        }

        impl List {
            /// How many elements there are.
            #[must_use]
            pub fn len(&self) -> usize {
                match self {
                    List::Vals(vals) => vals.len(),
                    $(List::$name(numbers) => numbers.len(),)*
                }
            }

            /// The element at a position.
            #[must_use]
            pub fn get(&self, index: usize) -> Option<Val> {
                match self {
                    List::Vals(vals) => vals.get(index).cloned(),
                    $(List::$name(numbers) => numbers.get(index).copied().map(Val::$val),)*
                }
            }
        }

        $(impl From<Vec<$ty>> for List {
            fn from(numbers: Vec<$ty>) -> List {
                List::$name(numbers)
            }
        }

        impl From<Vec<$ty>> for Val {
            fn from(numbers: Vec<$ty>) -> Val {
                Val::List(List::$name(numbers))
            }
        })*
    };
}

lists! {
    /// `list<s8>`
    S8(i8) = S8;
    /// `list<u8>`
    U8(u8) = U8;
    /// `list<s16>`
    S16(i16) = S16;
    /// `list<u16>`
    U16(u16) = U16;
    /// `list<s32>`
    S32(i32) = S32;
    /// `list<u32>`
    U32(u32) = U32;
    /// `list<s64>`
    S64(i64) = S64;
    /// `list<u64>`
    U64(u64) = U64;
    /// `list<f32>`
    Float32(f32) = Float32;
    /// `list<f64>`
    Float64(f64) = Float64;
}

impl List {
    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Val> + '_ {
        (0..self.len()).map(|index| self.get(index).unwrap_or(Val::Bool(false)))
    }
}

impl PartialEq for List {
    fn eq(&self, other: &List) -> bool {
        match (self, other) {
            (List::Vals(a), List::Vals(b)) => a == b,
            (List::U8(a), List::U8(b)) => a == b,
            _ => self.len() == other.len() && self.iter().eq(other.iter()),
        }
    }
}

impl From<Vec<Val>> for Val {
    fn from(vals: Vec<Val>) -> Val {
        Val::List(List::Vals(vals))
    }
}

impl From<&str> for Val {
    fn from(text: &str) -> Val {
        Val::String(text.to_owned())
    }
}

macro_rules! from {
    ($($ty:ty => $name:ident,)*) => {$(
        impl From<$ty> for Val {
            fn from(value: $ty) -> Val {
                Val::$name(value)
            }
        }
    )*};
}

from! {
    bool => Bool,
    i8 => S8,
    u8 => U8,
    i16 => S16,
    u16 => U16,
    i32 => S32,
    u32 => U32,
    i64 => S64,
    u64 => U64,
    f32 => Float32,
    f64 => Float64,
    char => Char,
    String => String,
    ResourceAny => Resource,
}
