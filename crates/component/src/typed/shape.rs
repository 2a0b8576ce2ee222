//! Where the parts of a value are, worked out when Rust is compiled (canonical ABI, "Alignment", "Element Size", "Flattening").

/// How values of a type are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    size: u32,
    align: u32,
    flat: usize,
    has_handles: bool,
}

impl Shape {
    /// A number of so many bytes.
    pub(crate) const fn number(size: u32) -> Shape {
        Shape { size, align: size, flat: 1, has_handles: false }
    }

    /// A handle.
    pub(crate) const HANDLE: Shape = Shape { has_handles: true, ..Shape::number(4) };

    /// An address and a length of a list of such elements; a string is one of bytes.
    pub(crate) const fn list(element: Shape) -> Shape {
        Shape { size: 8, align: 4, flat: 2, has_handles: element.has_handles }
    }

    /// Bytes in a memory.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.size
    }

    /// What addresses are multiples of.
    #[must_use]
    pub const fn align(self) -> u32 {
        self.align
    }

    /// How many core values it is passed in, where it is.
    #[must_use]
    pub const fn flat(self) -> usize {
        self.flat
    }

    /// Whether there are handles of resources among the values.
    #[must_use]
    pub const fn has_handles(self) -> bool {
        self.has_handles
    }

    /// A record or tuple of these fields.
    #[must_use]
    pub const fn record(fields: &[Shape]) -> Shape {
        let (mut size, mut align, mut flat, mut has_handles, mut i) = (0, 1, 0, false, 0);
        while i < fields.len() {
            let field = fields[i];
            size = align_to(size, field.align) + field.size;
            align = if field.align > align { field.align } else { align };
            flat += field.flat;
            has_handles |= field.has_handles;
            i += 1;
        }
        Shape { size: align_to(size, align), align, flat, has_handles }
    }

    /// A variant of these cases; an enum, where none has a payload.
    #[must_use]
    pub const fn variant(cases: &[Option<Shape>]) -> Shape {
        let discriminant = discriminant_size(cases.len());
        let (mut size, mut align, mut flat, mut has_handles, mut i) = (0, discriminant, 0, false, 0);
        while i < cases.len() {
            if let Some(case) = cases[i] {
                size = if case.size > size { case.size } else { size };
                align = if case.align > align { case.align } else { align };
                flat = if case.flat > flat { case.flat } else { flat };
                has_handles |= case.has_handles;
            }
            i += 1;
        }
        Shape { size: align_to(Shape::payload(cases) + size, align), align, flat: 1 + flat, has_handles }
    }

    /// Where the payload of a variant of these cases is.
    #[must_use]
    pub const fn payload(cases: &[Option<Shape>]) -> u32 {
        let (mut align, mut i) = (1, 0);
        while i < cases.len() {
            if let Some(case) = cases[i] {
                align = if case.align > align { case.align } else { align };
            }
            i += 1;
        }
        align_to(discriminant_size(cases.len()), align)
    }

    /// An enum of so many labels.
    #[must_use]
    pub const fn enumeration(labels: usize) -> Shape {
        Shape::number(discriminant_size(labels))
    }

    /// Flags of so many labels; of more than 32 there are none.
    #[must_use]
    pub const fn flags(labels: usize) -> Shape {
        match labels {
            0..=8 => Shape::number(1),
            9..=16 => Shape::number(2),
            _ => Shape::number(4),
        }
    }

    /// Where a field of this shape is, of which the one before ends at `end`.
    #[must_use]
    pub const fn field_at(self, end: u32) -> u32 {
        align_to(end, self.align)
    }
}

const fn align_to(offset: u32, align: u32) -> u32 {
    (offset + align - 1) & !(align - 1)
}

/// Bytes of the number of a case (canonical ABI, `discriminant_type`).
pub(crate) const fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}
