//! What a guest of WASI HTTP may make its host hold, beside what its keys say of all guests.

/// Bounds on what HTTP is made of. All of it is charged to the guest's budget too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Fields in one `fields`, values of one name counted singly. One more is refused as `forbidden`.
    pub max_fields: usize,
    /// Bytes of one `fields`: names, values, and 32 more for each field, as HTTP/2 counts them. More are refused as `forbidden`.
    pub max_fields_bytes: usize,
    /// Bytes of a body that a guest may have written before anybody takes them. Then it waits.
    pub body_buffer_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits { max_fields: 1024, max_fields_bytes: 128 << 10, body_buffer_bytes: 64 << 10 }
    }
}
