//! Values in WAVE, as results are printed.

use std::fmt::Write as _;

use innkeeper::component::{List, ResourceAny, Type, TypeKind, TypeResource, Val};

use crate::report::visible;

/// Says what a handle is called, in the place of its value.
pub(super) type NameOf<'a> = dyn FnMut(&TypeResource, ResourceAny) -> String + 'a;

/// A value of a type in WAVE.
pub(super) fn text(val: &Val, ty: &Type, name_of: &mut NameOf<'_>) -> String {
    let mut text = String::new();
    write(&mut text, val, ty, name_of);
    text
}

fn write(to: &mut String, val: &Val, ty: &Type, name_of: &mut NameOf<'_>) {
    // Writing to a string does not fail, here and below.
    let _ = match val {
        Val::Resource(any) => {
            if let Some(resource) = ty.resource() {
                to.push_str(&name_of(&resource, *any));
            }
            Ok(())
        }
        Val::Bool(value) => write!(to, "{value}"),
        Val::S8(value) => write!(to, "{value}"),
        Val::U8(value) => write!(to, "{value}"),
        Val::S16(value) => write!(to, "{value}"),
        Val::U16(value) => write!(to, "{value}"),
        Val::S32(value) => write!(to, "{value}"),
        Val::U32(value) => write!(to, "{value}"),
        Val::S64(value) => write!(to, "{value}"),
        Val::U64(value) => write!(to, "{value}"),
        Val::Float32(value) => write!(to, "{}", float(value.to_string(), format!("{value:e}"))),
        Val::Float64(value) => write!(to, "{}", float(value.to_string(), format!("{value:e}"))),
        Val::Char(value) => write!(to, "'{}'", escaped(*value, '\'')),
        Val::String(value) => {
            to.push('"');
            value.chars().for_each(|character| *to += &escaped(character, '"'));
            to.push('"');
            Ok(())
        }
        _ => {
            compound(to, val, &ty.kind(), name_of);
            Ok(())
        }
    };
}

fn compound(to: &mut String, val: &Val, kind: &TypeKind, name_of: &mut NameOf<'_>) {
    match (val, kind) {
        (Val::List(list), TypeKind::List(element) | TypeKind::FixedLengthList(element, _)) => {
            write_list(to, list, element, name_of);
        }
        (Val::Map(pairs), TypeKind::Map(key, value)) => {
            if pairs.is_empty() {
                to.push_str("{:}");
                return;
            }
            each(to, ('{', '}'), pairs, |to, (k, v)| {
                write(to, k, key, name_of);
                to.push_str(": ");
                write(to, v, value, name_of);
            });
        }
        (Val::Record(fields), TypeKind::Record(types)) => {
            each(to, ('{', '}'), fields.iter().zip(types), |to, ((name, val), (_, ty))| {
                to.push_str(name);
                to.push_str(": ");
                write(to, val, ty, name_of);
            });
        }
        (Val::Tuple(parts), TypeKind::Tuple(types)) => {
            each(to, ('(', ')'), parts.iter().zip(types), |to, (val, ty)| write(to, val, ty, name_of));
        }
        (Val::Variant(case, payload), TypeKind::Variant(cases)) => {
            let ty = cases.iter().find(|(known, _)| known == case).and_then(|(_, ty)| ty.as_ref());
            write_label(to, case);
            write_payload(to, payload, ty, name_of);
        }
        (Val::Enum(label), _) => write_label(to, label),
        (Val::Option(payload), TypeKind::Option(ty)) => {
            to.push_str(if payload.is_some() { "some" } else { "none" });
            write_payload(to, payload, Some(ty), name_of);
        }
        (Val::Result(Ok(payload)), TypeKind::Result(ty, _)) => {
            to.push_str("ok");
            write_payload(to, payload, ty.as_ref(), name_of);
        }
        (Val::Result(Err(payload)), TypeKind::Result(_, ty)) => {
            to.push_str("err");
            write_payload(to, payload, ty.as_ref(), name_of);
        }
        (Val::Flags(labels), _) => each(to, ('{', '}'), labels, |to, label| to.push_str(label)),
        // Values are of the types of what has given them.
        _ => {}
    }
}

fn write_payload(to: &mut String, payload: &Option<Box<Val>>, ty: Option<&Type>, name_of: &mut NameOf<'_>) {
    if let (Some(val), Some(ty)) = (payload, ty) {
        to.push('(');
        write(to, val, ty, name_of);
        to.push(')');
    }
}

fn write_list(to: &mut String, list: &List, element: &Type, name_of: &mut NameOf<'_>) {
    each(to, ('[', ']'), list.iter(), |to, val| write(to, &val, element, name_of));
}

fn each<I: IntoIterator>(
    to: &mut String,
    (open, close): (char, char),
    items: I,
    mut write: impl FnMut(&mut String, I::Item),
) {
    to.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            to.push_str(", ");
        }
        write(to, item);
    }
    to.push(close);
}

/// Labels that are words of WAVE are marked.
fn write_label(to: &mut String, label: &str) {
    if matches!(label, "true" | "false" | "some" | "none" | "ok" | "err" | "inf" | "nan") {
        to.push('%');
    }
    to.push_str(label);
}

/// A float, in decimal or with an exponent where that is much shorter.
fn float(decimal: String, with_exponent: String) -> String {
    match decimal.as_str() {
        "NaN" => String::from("nan"),
        long if long.len() > 24 => with_exponent,
        _ => decimal,
    }
}

fn escaped(character: char, quote: char) -> String {
    match character {
        '\n' => String::from("\\n"),
        '\r' => String::from("\\r"),
        '\t' => String::from("\\t"),
        '\\' => String::from("\\\\"),
        _ if character == quote => format!("\\{quote}"),
        _ if visible(character.encode_utf8(&mut [0; 4])).chars().count() > 1 => {
            format!("\\u{{{:x}}}", u32::from(character))
        }
        _ => character.to_string(),
    }
}
