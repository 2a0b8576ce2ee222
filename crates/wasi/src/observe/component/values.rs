//! Values as records have them: each as its type says, so that nothing says what is what. Written part by part, and read by the type.
//!
//! Numbers are LEB128, a float its bits, a string pieces that an empty one ends, a list of bytes its length and pieces, another list its length and elements, a case its
//! number and what it holds, flags their bits, a handle its number. A block may end wherever a part does.

use innkeeper_component::{Compound, List, Part, Type, TypeKind, Val};

use crate::observe::format::{Cursor, put_bytes, put_number, put_signed};

/// Writes the parts of one value.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Of what has begun, whether it is a string.
    strings: Vec<bool>,
}

impl Encoder {
    pub(super) fn put(&mut self, to: &mut Vec<u8>, part: Part<'_>) {
        match part {
            Part::Bool(value) => to.push(value.into()),
            Part::Signed(value) => put_signed(to, value),
            Part::Unsigned(value) => put_number(to, value),
            Part::Float32(value) => to.extend(value.to_bits().to_le_bytes()),
            Part::Float64(value) => to.extend(value.to_bits().to_le_bytes()),
            Part::Char(value) => put_number(to, u32::from(value).into()),
            Part::Text(piece) => put_bytes(to, piece.as_bytes()),
            Part::Bytes(piece) => put_bytes(to, piece),
            Part::Handle { index, .. } => put_number(to, index.into()),
            Part::Flags(_, bits) => put_number(to, bits.into()),
            Part::Case(case, _, has_payload) => {
                put_number(to, case.into());
                if has_payload {
                    self.strings.push(false);
                }
            }
            Part::Begin(compound) => {
                if let Compound::Bytes(length) | Compound::List(length) = compound {
                    put_number(to, length.into());
                }
                self.strings.push(compound == Compound::String);
            }
            Part::End if self.strings.pop() == Some(true) => put_number(to, 0),
            _ => {}
        }
    }
}

/// Where values are read from: what gives the next part's bytes, and resources.
pub(super) trait Source {
    type Error;

    /// The bytes, which are not at their end.
    fn cursor(&mut self) -> Result<&mut Cursor, Self::Error>;

    /// A resource for a handle of this type.
    fn resource(&mut self, ty: &Type) -> Result<Val, Self::Error>;

    /// Charges bytes that are about to be allocated, for as long as the values are held.
    fn hold(&mut self, bytes: usize) -> Result<(), Self::Error>;

    /// The error for what means nothing.
    fn damaged(&self) -> Self::Error;
}

/// Elements of a list that are made room for before any was read.
const FIRST_ELEMENTS: u64 = 1024;

/// Reads a value of a type.
pub(super) fn decode<S: Source>(from: &mut S, ty: &Type) -> Result<Val, S::Error> {
    Ok(match ty.kind() {
        TypeKind::Bool => Val::Bool(fixed::<1, _>(from)? != [0]),
        TypeKind::S8 => Val::S8(signed(from)?),
        TypeKind::S16 => Val::S16(signed(from)?),
        TypeKind::S32 => Val::S32(signed(from)?),
        TypeKind::S64 => Val::S64(signed(from)?),
        TypeKind::U8 => Val::U8(number(from)?),
        TypeKind::U16 => Val::U16(number(from)?),
        TypeKind::U32 => Val::U32(number(from)?),
        TypeKind::U64 => Val::U64(number(from)?),
        TypeKind::Float32 => Val::Float32(f32::from_bits(u32::from_le_bytes(fixed(from)?))),
        TypeKind::Float64 => Val::Float64(f64::from_bits(u64::from_le_bytes(fixed(from)?))),
        TypeKind::Char => {
            let code = number(from)?;
            Val::Char(char::from_u32(code).ok_or_else(|| from.damaged())?)
        }
        TypeKind::String => {
            let mut bytes = Vec::new();
            loop {
                let length = match from.cursor()?.bytes() {
                    Some([]) => break Val::String(String::from_utf8(bytes).map_err(|_| from.damaged())?),
                    Some(piece) => {
                        bytes.extend_from_slice(piece);
                        piece.len()
                    }
                    None => return Err(from.damaged()),
                };
                // While it grows it is there twice.
                from.hold(3 * length)?;
            }
        }
        TypeKind::List(element) => {
            let length: u32 = number(from)?;
            match element.kind() {
                TypeKind::U8 => Val::List(List::U8(bytes(from, length)?)),
                _ => Val::List(List::Vals(elements(from, length, &element)?)),
            }
        }
        TypeKind::FixedLengthList(element, _) => {
            let length: u32 = number(from)?;
            Val::List(List::Vals(elements(from, length, &element)?))
        }
        TypeKind::Map(key, value) => {
            let length: u32 = number(from)?;
            let pair = |_| Ok((decode(from, &key)?, decode(from, &value)?));
            Val::Map((0..length).map(pair).collect::<Result<_, S::Error>>()?)
        }
        TypeKind::Record(fields) => {
            let mut vals = Vec::with_capacity(fields.len());
            for (name, ty) in fields {
                vals.push((name, decode(from, &ty)?));
            }
            Val::Record(vals)
        }
        TypeKind::Tuple(types) => {
            Val::Tuple(types.iter().map(|ty| decode(from, ty)).collect::<Result<_, _>>()?)
        }
        TypeKind::Variant(cases) => {
            let case: u32 = number(from)?;
            let (label, ty) = cases.get(case as usize).cloned().ok_or_else(|| from.damaged())?;
            Val::Variant(label, payload(from, ty.as_ref())?)
        }
        TypeKind::Enum(labels) => {
            let case: u32 = number(from)?;
            Val::Enum(labels.get(case as usize).cloned().ok_or_else(|| from.damaged())?)
        }
        TypeKind::Option(ty) => Val::Option(match number::<u32, _>(from)? {
            0 => None,
            1 => payload(from, Some(&ty))?,
            _ => return Err(from.damaged()),
        }),
        TypeKind::Result(ok, err) => Val::Result(match number::<u32, _>(from)? {
            0 => Ok(payload(from, ok.as_ref())?),
            1 => Err(payload(from, err.as_ref())?),
            _ => return Err(from.damaged()),
        }),
        TypeKind::Flags(labels) => {
            let bits: u32 = number(from)?;
            let set = labels.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 != 0);
            Val::Flags(set.map(|(_, label)| label).collect())
        }
        TypeKind::Own => {
            number::<u32, _>(from)?;
            from.resource(ty)?
        }
        // Nothing is recorded of these.
        _ => return Err(from.damaged()),
    })
}

fn payload<S: Source>(from: &mut S, ty: Option<&Type>) -> Result<Option<Box<Val>>, S::Error> {
    ty.map(|ty| decode(from, ty).map(Box::new)).transpose()
}

fn elements<S: Source>(from: &mut S, length: u32, element: &Type) -> Result<Vec<Val>, S::Error> {
    let mut vals = Vec::with_capacity(u64::from(length).min(FIRST_ELEMENTS) as usize);
    for _ in 0..length {
        from.hold(2 * size_of::<Val>())?;
        vals.push(decode(from, element)?);
    }
    Ok(vals)
}

/// Bytes, in pieces.
fn bytes<S: Source>(from: &mut S, length: u32) -> Result<Vec<u8>, S::Error> {
    let length = length as usize;
    from.hold(length)?;
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        return Err(from.damaged());
    }
    while bytes.len() < length {
        let room = length - bytes.len();
        match from.cursor()?.bytes() {
            Some(piece) if !piece.is_empty() && piece.len() <= room => bytes.extend_from_slice(piece),
            _ => return Err(from.damaged()),
        }
    }
    Ok(bytes)
}

fn number<N: TryFrom<u64>, S: Source>(from: &mut S) -> Result<N, S::Error> {
    let number = from.cursor()?.number().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| from.damaged())
}

fn fixed<const N: usize, S: Source>(from: &mut S) -> Result<[u8; N], S::Error> {
    let bytes = from.cursor()?.fixed();
    bytes.ok_or_else(|| from.damaged())
}

fn signed<N: TryFrom<i64>, S: Source>(from: &mut S) -> Result<N, S::Error> {
    let number = from.cursor()?.signed().and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| from.damaged())
}
