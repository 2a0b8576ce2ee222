//! The trace that a request belongs to: its sender's, or one of its own.
//!
//! Specification: <https://www.w3.org/TR/trace-context/>, version 00.

use http::{HeaderMap, HeaderName, HeaderValue};
use rustix::rand::{GetRandomFlags, getrandom};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A trace, and the span of a request in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// 32 hexadecimal digits, not all zero.
    trace: String,
    /// 16 hexadecimal digits, not all zero.
    span: String,
    /// Two hexadecimal digits.
    flags: String,
}

impl TraceContext {
    /// A new span in the trace that a request names, or in a new one.
    pub(super) fn of(headers: &HeaderMap) -> TraceContext {
        let [first, second, third] = random();
        let span = format!("{third:016x}");
        let mut all = headers.get_all(TRACEPARENT).iter();
        let known = match (all.next(), all.next()) {
            (Some(value), None) => value.to_str().ok().and_then(parse),
            _ => None,
        };
        let (trace, flags) =
            known.unwrap_or_else(|| (format!("{first:016x}{second:016x}"), String::from("00")));
        TraceContext { trace, span, flags }
    }

    /// The trace's identifier.
    pub(super) fn trace(&self) -> &str {
        &self.trace
    }

    /// Tells whoever handles the request.
    pub(super) fn insert_into(&self, headers: &mut HeaderMap) {
        let TraceContext { trace, span, flags } = self;
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace}-{span}-{flags}")) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// The trace and the flags that a value names. Later versions begin as this one does.
fn parse(value: &str) -> Option<(String, String)> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_some = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fits = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && is_some(trace)
        && is_hex(span, 16)
        && is_some(span)
        && is_hex(flags, 2);
    fits.then(|| (trace.to_owned(), flags.to_owned()))
}

/// Three random numbers, none of which is zero. They need not be secret.
fn random() -> [u64; 3] {
    let mut bytes = [0; 24];
    // Where the system has none, all traces are one.
    let _ = getrandom(&mut bytes, GetRandomFlags::INSECURE);
    let mut numbers = [1; 3];
    for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)).max(1);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_is_replaced() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let good = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(parse(&good), Some((trace.to_owned(), String::from("01"))));
        assert!(parse(&format!("01-{trace}-b7ad6b7169203331-01-more")).is_some());
        for bad in [
            String::new(),
            good.to_uppercase(),
            good.replace(trace, &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
            format!("{good}-more"),
            good.replacen("00", "ff", 1),
            good.replace("-01", ""),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::try_from(&good).unwrap());
        let context = TraceContext::of(&headers);
        assert_eq!((context.trace(), &*context.flags), (trace, "01"));
        context.insert_into(&mut headers);
        assert!(parse(headers[TRACEPARENT].to_str().unwrap()).is_some());
        assert_ne!(headers[TRACEPARENT], *good, "it names the span of this request");
    }
}
