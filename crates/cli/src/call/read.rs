//! Values in WAVE, as arguments are written, and words of the command line in their place.

use std::ffi::OsString;
use std::str::FromStr;
use std::sync::Arc;

use innkeeper::component::{FuncType, ResourceAny, Type, TypeKind, TypeResource, Val};
use wasm_wave::ast::{Node, NodeType};
use wasm_wave::parser::ParserError;
use wasm_wave::untyped::UntypedValue;

use super::Arguments;
use crate::report::short;

/// The handle of a name.
pub(super) type HandleOf<'a> = dyn Fn(&TypeResource, &str) -> Result<ResourceAny, String> + 'a;

/// The arguments of a function, of which the first few are given already.
///
/// # Errors
/// What does not fit.
pub(super) fn arguments(
    arguments: &Arguments<'_>,
    ty: &FuncType,
    mut given: Vec<Val>,
    handle_of: &HandleOf<'_>,
) -> Result<Vec<Val>, String> {
    let params: Vec<(&str, Type)> = ty.params().skip(given.len()).collect();
    let texts = match arguments {
        Arguments::Words(words) => words.iter().map(Text::Word).collect(),
        Arguments::Wave(text) => nodes(text)?,
    };
    if texts.len() > params.len() {
        return Err(format!("the function takes {}, and {} were given", counted(params.len()), texts.len()));
    }
    for (index, (name, ty)) in params.iter().enumerate() {
        let val = match texts.get(index) {
            Some(text) => text.value(ty, handle_of),
            // As WAVE has it.
            None if matches!(ty.kind(), TypeKind::Option(_)) => Ok(Val::Option(None)),
            None => {
                return Err(format!(
                    "the function takes {}, and {} were given",
                    counted(params.len()),
                    texts.len()
                ));
            }
        };
        given.push(val.map_err(|reason| format!("argument {} (`{}`): {reason}", index + 1, short(name)))?);
    }
    Ok(given)
}

fn counted(count: usize) -> String {
    match count {
        0 => String::from("no arguments"),
        1 => String::from("1 argument"),
        count => format!("{count} arguments"),
    }
}

/// How an argument is given.
enum Text<'a> {
    Word(&'a OsString),
    Node(Node, &'a str),
}

/// The values in parentheses.
fn nodes(text: &str) -> Result<Vec<Text<'_>>, String> {
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let value = UntypedValue::parse(text).map_err(|error| unread(&error, text))?;
    let tuple = value.node().as_tuple().map_err(|error| unread(&error, text))?;
    Ok(tuple.map(|node| Text::Node(node.clone(), text)).collect())
}

impl Text<'_> {
    fn value(&self, ty: &Type, handle_of: &HandleOf<'_>) -> Result<Val, String> {
        let word = match self {
            Text::Node(node, source) => return Reader { source, handle_of }.value(ty, node),
            Text::Word(word) => word.to_str().ok_or("it is not UTF-8")?,
        };
        // A shell has taken quotes away, or none were written.
        let mut characters = word.chars();
        match (ty.kind(), characters.next(), characters.next()) {
            (TypeKind::String, first, _) if first != Some('"') => return Ok(Val::from(word)),
            (TypeKind::Char, Some(character), None) => return Ok(Val::Char(character)),
            _ => {}
        }
        let value = UntypedValue::parse(word).map_err(|error| unread(&error, word))?;
        Reader { source: word, handle_of }.value(ty, value.node())
    }
}

/// What a text that is no WAVE lacks.
fn unread(error: &ParserError, text: &str) -> String {
    if has_named_arguments(text) {
        return String::from(
            "arguments have no names here: write their values alone, in the order of the parameters",
        );
    }
    let at = error.span().start.min(text.len());
    let rest = text.get(at..).unwrap_or_default();
    match rest.is_empty() {
        true => format!("it cannot be read: {}", error.kind()),
        false => format!("it cannot be read: {} at `{}`", error.kind(), short(rest)),
    }
}

/// Whether arguments are written as `name: value`, which is how fields of records are, in braces.
fn has_named_arguments(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('(') else { return false };
    let name = inner.trim_start();
    let rest =
        name.trim_start_matches(|part: char| part.is_ascii_alphanumeric() || matches!(part, '-' | '_'));
    rest.len() < name.len()
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && rest.trim_start().starts_with([':', '='])
}

struct Reader<'a> {
    source: &'a str,
    handle_of: &'a HandleOf<'a>,
}

impl Reader<'_> {
    /// The value of a type that a node of WAVE is.
    fn value(&self, ty: &Type, node: &Node) -> Result<Val, String> {
        Ok(match ty.kind() {
            TypeKind::Bool => Val::Bool(node.as_bool().map_err(|_| self.expected(ty, node))?),
            TypeKind::S8 => Val::S8(self.number(ty, node)?),
            TypeKind::U8 => Val::U8(self.number(ty, node)?),
            TypeKind::S16 => Val::S16(self.number(ty, node)?),
            TypeKind::U16 => Val::U16(self.number(ty, node)?),
            TypeKind::S32 => Val::S32(self.number(ty, node)?),
            TypeKind::U32 => Val::U32(self.number(ty, node)?),
            TypeKind::S64 => Val::S64(self.number(ty, node)?),
            TypeKind::U64 => Val::U64(self.number(ty, node)?),
            TypeKind::Float32 => Val::Float32(self.number(ty, node)?),
            TypeKind::Float64 => Val::Float64(self.number(ty, node)?),
            TypeKind::Char => Val::Char(node.as_char(self.source).map_err(|_| self.expected(ty, node))?),
            TypeKind::String => Val::from(&*node.as_str(self.source).map_err(|_| self.expected(ty, node))?),
            TypeKind::List(element) => Val::from(self.elements(ty, &element, node)?),
            TypeKind::FixedLengthList(element, length) => {
                let elements = self.elements(ty, &element, node)?;
                if elements.len() != length as usize {
                    return Err(format!("the list has {length} elements, and {} were given", elements.len()));
                }
                Val::from(elements)
            }
            TypeKind::Map(key, value) => self.map(ty, (&key, &value), node)?,
            TypeKind::Record(fields) => self.record(ty, &fields, node)?,
            TypeKind::Tuple(types) => self.tuple(ty, &types, node)?,
            TypeKind::Variant(cases) => {
                let (label, payload) = node.as_variant(self.source).map_err(|_| self.expected(ty, node))?;
                let case = cases.iter().find(|(known, _)| **known == *label);
                let (name, ty) = case.ok_or_else(|| self.expected(ty, node))?;
                Val::Variant(Arc::clone(name), self.payload(label, ty.as_ref(), payload)?)
            }
            TypeKind::Enum(labels) => {
                let label = node.as_enum(self.source).map_err(|_| self.expected(ty, node))?;
                let label = labels.iter().find(|known| ***known == *label);
                Val::Enum(Arc::clone(label.ok_or_else(|| self.expected(ty, node))?))
            }
            TypeKind::Option(payload) => self.option(&payload, node)?,
            TypeKind::Result(ok, err) => self.result(ty, (ok.as_ref(), err.as_ref()), node)?,
            TypeKind::Flags(labels) => {
                let set = node.as_flags(self.source).map_err(|_| self.expected(ty, node))?;
                let set = set.map(|label| labels.iter().find(|known| ***known == *label).cloned());
                Val::Flags(set.collect::<Option<_>>().ok_or_else(|| self.expected(ty, node))?)
            }
            TypeKind::Own | TypeKind::Borrow => {
                let Some(resource) = ty.resource() else { return Err(self.expected(ty, node)) };
                let name = node.as_enum(self.source).map_err(|_| self.expected(ty, node))?;
                Val::Resource((self.handle_of)(&resource, name)?)
            }
            _ => return Err(format!("a value of type {ty} cannot be given on the command line")),
        })
    }

    fn number<N: FromStr>(&self, ty: &Type, node: &Node) -> Result<N, String> {
        node.as_number(self.source).map_err(|_| self.expected(ty, node))
    }

    fn elements(&self, ty: &Type, element: &Type, node: &Node) -> Result<Vec<Val>, String> {
        let nodes = node.as_list().map_err(|_| self.expected(ty, node))?;
        let vals = nodes.enumerate().map(|(index, node)| {
            self.value(element, node).map_err(|reason| format!("in element {index}: {reason}"))
        });
        vals.collect()
    }

    fn map(&self, ty: &Type, (key, value): (&Type, &Type), node: &Node) -> Result<Val, String> {
        let pairs = node.as_map().map_err(|_| self.expected(ty, node))?;
        let pairs = pairs.map(|(k, v)| {
            // What could be a field's name is one to WAVE, except where keys are of this type.
            let k = match (key.kind(), k.ty(), &self.source[k.span()]) {
                (TypeKind::Bool, NodeType::Label, "true") => Val::Bool(true),
                (TypeKind::Bool, NodeType::Label, "false") => Val::Bool(false),
                _ => self.value(key, k).map_err(|reason| format!("in a key: {reason}"))?,
            };
            Ok((k, self.value(value, v).map_err(|reason| format!("in a value: {reason}"))?))
        });
        pairs.collect::<Result<_, String>>().map(Val::Map)
    }

    fn record(&self, ty: &Type, fields: &[(Arc<str>, Type)], node: &Node) -> Result<Val, String> {
        let given: Vec<(&str, &Node)> =
            node.as_record(self.source).map_err(|_| self.expected(ty, node))?.collect();
        if let Some((unknown, _)) =
            given.iter().find(|(name, _)| !fields.iter().any(|(known, _)| **known == **name))
        {
            return Err(format!("the record has no field `{unknown}`; its type is {ty}"));
        }
        let vals = fields.iter().map(|(name, field)| {
            let val = match given.iter().find(|(known, _)| **known == **name) {
                Some((_, node)) => {
                    self.value(field, node).map_err(|reason| format!("in the field `{name}`: {reason}"))?
                }
                None if matches!(field.kind(), TypeKind::Option(_)) => Val::Option(None),
                None => return Err(format!("the field `{name}` is missing; the record's type is {ty}")),
            };
            Ok((Arc::clone(name), val))
        });
        vals.collect::<Result<_, String>>().map(Val::Record)
    }

    fn tuple(&self, ty: &Type, types: &[Type], node: &Node) -> Result<Val, String> {
        let parts = node.as_tuple().map_err(|_| self.expected(ty, node))?;
        if parts.len() != types.len() {
            return Err(self.expected(ty, node));
        }
        let vals = types.iter().zip(parts).enumerate().map(|(index, (ty, node))| {
            self.value(ty, node).map_err(|reason| format!("in part {index}: {reason}"))
        });
        vals.collect::<Result<_, String>>().map(Val::Tuple)
    }

    fn option(&self, payload: &Type, node: &Node) -> Result<Val, String> {
        Ok(Val::Option(match node.ty() {
            NodeType::OptionNone => None,
            NodeType::OptionSome => {
                let inner = node.as_option().ok().flatten();
                self.payload("some", Some(payload), inner)?
            }
            // A value stands for itself in `some`.
            _ => Some(Box::new(self.value(payload, node)?)),
        }))
    }

    fn result(
        &self,
        ty: &Type,
        (ok, err): (Option<&Type>, Option<&Type>),
        node: &Node,
    ) -> Result<Val, String> {
        Ok(Val::Result(match node.as_result() {
            Ok(Ok(payload)) => Ok(self.payload("ok", ok, payload)?),
            Ok(Err(payload)) => Err(self.payload("err", err, payload)?),
            // A value stands for itself in `ok`.
            Err(_) => Ok(Some(Box::new(self.value(ok.ok_or_else(|| self.expected(ty, node))?, node)?))),
        }))
    }

    fn payload(
        &self,
        case: &str,
        ty: Option<&Type>,
        node: Option<&Node>,
    ) -> Result<Option<Box<Val>>, String> {
        match (ty, node) {
            (Some(ty), Some(node)) => {
                let val = self.value(ty, node).map_err(|reason| format!("in `{case}`: {reason}"))?;
                Ok(Some(Box::new(val)))
            }
            (None, None) => Ok(None),
            (Some(ty), None) => Err(format!("`{case}` lacks its payload, of type {ty}")),
            (None, Some(_)) => Err(format!("`{case}` has no payload")),
        }
    }

    fn expected(&self, ty: &Type, node: &Node) -> String {
        format!("expected {ty}, found `{}`", short(&self.source[node.span()]))
    }
}
