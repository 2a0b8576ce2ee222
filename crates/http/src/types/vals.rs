//! Error codes, fields of trailers and outcomes as values of futures, which have no Rust types.

use innkeeper_component::Val;

use super::error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload, shortened};

/// A Rust type that futures carry values of.
trait Carried: Sized {
    fn to_val(&self) -> Val;

    /// None where it is of another type.
    fn of(val: &Val) -> Option<Self>;
}

macro_rules! numbers {
    ($($ty:ty, $case:ident;)*) => {$(
        impl Carried for $ty {
            fn to_val(&self) -> Val {
                Val::$case(self.clone())
            }

            fn of(val: &Val) -> Option<$ty> {
                match val {
                    Val::$case(value) => Some(value.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

numbers! {
    u8, U8;
    u16, U16;
    u32, U32;
    u64, U64;
}

/// Texts are those of errors, which guests make as long as they like.
impl Carried for String {
    fn to_val(&self) -> Val {
        Val::String(self.clone())
    }

    fn of(val: &Val) -> Option<String> {
        match val {
            Val::String(text) => Some(shortened(text).to_owned()),
            _ => None,
        }
    }
}

impl<V: Carried> Carried for Option<V> {
    fn to_val(&self) -> Val {
        Val::Option(self.as_ref().map(|value| Box::new(value.to_val())))
    }

    fn of(val: &Val) -> Option<Option<V>> {
        match val {
            Val::Option(None) => Some(None),
            Val::Option(Some(value)) => V::of(value).map(Some),
            _ => None,
        }
    }
}

macro_rules! records {
    ($($ty:ident { $($field:ident $label:literal),* })*) => {$(
        impl Carried for $ty {
            fn to_val(&self) -> Val {
                Val::record([$(($label, self.$field.to_val())),*])
            }

            fn of(val: &Val) -> Option<$ty> {
                let Val::Record(fields) = val else { return None };
                let mut fields = fields.iter();
                Some($ty { $($field: Carried::of(&fields.next().filter(|(name, _)| &**name == $label)?.1)?),* })
            }
        }
    )*};
}

records! {
    DnsErrorPayload { rcode "rcode", info_code "info-code" }
    TlsAlertReceivedPayload { alert_id "alert-id", alert_message "alert-message" }
    FieldSizePayload { field_name "field-name", field_size "field-size" }
}

macro_rules! codes {
    (alone: { $($code:ident $label:literal;)* } with_payload: { $($with:ident $with_label:literal;)* }) => {
        impl Carried for ErrorCode {
            fn to_val(&self) -> Val {
                match self {
                    $(ErrorCode::$code => Val::variant($label, None),)*
                    $(ErrorCode::$with(payload) => Val::variant($with_label, Some(payload.to_val())),)*
                }
            }

            fn of(val: &Val) -> Option<ErrorCode> {
                let Val::Variant(label, payload) = val else { return None };
                Some(match (&**label, payload) {
                    $(($label, None) => ErrorCode::$code,)*
                    $(($with_label, Some(payload)) => ErrorCode::$with(Carried::of(payload)?),)*
                    _ => return None,
                })
            }
        }

        #[cfg(test)]
        const LABELS: &[&str] = &[$($label,)* $($with_label,)*];
    };
}

codes! {
    alone: {
        DnsTimeout "DNS-timeout";
        DestinationNotFound "destination-not-found";
        DestinationUnavailable "destination-unavailable";
        DestinationIpProhibited "destination-IP-prohibited";
        DestinationIpUnroutable "destination-IP-unroutable";
        ConnectionRefused "connection-refused";
        ConnectionTerminated "connection-terminated";
        ConnectionTimeout "connection-timeout";
        ConnectionReadTimeout "connection-read-timeout";
        ConnectionWriteTimeout "connection-write-timeout";
        ConnectionLimitReached "connection-limit-reached";
        TlsProtocolError "TLS-protocol-error";
        TlsCertificateError "TLS-certificate-error";
        HttpRequestDenied "HTTP-request-denied";
        HttpRequestLengthRequired "HTTP-request-length-required";
        HttpRequestMethodInvalid "HTTP-request-method-invalid";
        HttpRequestUriInvalid "HTTP-request-URI-invalid";
        HttpRequestUriTooLong "HTTP-request-URI-too-long";
        HttpResponseIncomplete "HTTP-response-incomplete";
        HttpResponseTimeout "HTTP-response-timeout";
        HttpUpgradeFailed "HTTP-upgrade-failed";
        HttpProtocolError "HTTP-protocol-error";
        LoopDetected "loop-detected";
        ConfigurationError "configuration-error";
    }
    with_payload: {
        DnsError "DNS-error";
        TlsAlertReceived "TLS-alert-received";
        HttpRequestBodySize "HTTP-request-body-size";
        HttpRequestHeaderSectionSize "HTTP-request-header-section-size";
        HttpRequestHeaderSize "HTTP-request-header-size";
        HttpRequestTrailerSectionSize "HTTP-request-trailer-section-size";
        HttpRequestTrailerSize "HTTP-request-trailer-size";
        HttpResponseHeaderSectionSize "HTTP-response-header-section-size";
        HttpResponseHeaderSize "HTTP-response-header-size";
        HttpResponseBodySize "HTTP-response-body-size";
        HttpResponseTrailerSectionSize "HTTP-response-trailer-section-size";
        HttpResponseTrailerSize "HTTP-response-trailer-size";
        HttpResponseTransferCoding "HTTP-response-transfer-coding";
        HttpResponseContentCoding "HTTP-response-content-coding";
        InternalError "internal-error";
    }
}

impl ErrorCode {
    /// The code as a value of its type.
    pub(crate) fn to_val(&self) -> Val {
        Carried::to_val(self)
    }

    /// The code that a value is, with texts that can be kept and told, or a failure without a name where it is none.
    pub(crate) fn of_val(val: Option<&Val>) -> ErrorCode {
        val.and_then(Carried::of).unwrap_or(ErrorCode::InternalError(None))
    }
}

/// A result with nothing in it, as a value of its type.
pub(crate) fn outcome_to_val(outcome: Result<(), ErrorCode>) -> Val {
    Val::Result(match outcome {
        Ok(()) => Ok(None),
        Err(code) => Err(Some(Box::new(code.to_val()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code with some payload: first as good as empty, then full.
    fn payloads(label: &str) -> Vec<Option<Val>> {
        let some = |val: Val| Val::Option(Some(Box::new(val)));
        let of = |of: &dyn Fn(Option<Val>) -> Val, val: Val| vec![Some(of(None)), Some(of(Some(val)))];
        let option = |val: Option<Val>| val.map_or(Val::Option(None), some);
        let two = |labels: [&'static str; 2]| {
            move |vals: Option<Val>| {
                let vals = match vals {
                    Some(Val::Tuple(vals)) => {
                        vals.into_iter().map(|val| Val::Option(Some(Box::new(val)))).collect()
                    }
                    _ => vec![Val::Option(None); 2],
                };
                Val::record(labels.into_iter().zip(vals))
            }
        };
        let text = || Val::String(String::from("why"));
        let field = two(["field-name", "field-size"]);
        let fields = Val::Tuple(vec![text(), Val::U32(7)]);
        match label {
            "DNS-error" => of(&two(["rcode", "info-code"]), Val::Tuple(vec![text(), Val::U16(3)])),
            "TLS-alert-received" => {
                of(&two(["alert-id", "alert-message"]), Val::Tuple(vec![Val::U8(40), text()]))
            }
            "HTTP-request-body-size" | "HTTP-response-body-size" => of(&option, Val::U64(1 << 40)),
            "HTTP-request-header-size" => {
                vec![Some(option(None)), Some(some(field(None))), Some(some(field(Some(fields))))]
            }
            "HTTP-request-trailer-size" | "HTTP-response-header-size" | "HTTP-response-trailer-size" => {
                of(&field, fields)
            }
            _ if label.ends_with("section-size") => of(&option, Val::U32(9)),
            _ if label.ends_with("coding") || label == "internal-error" => of(&option, text()),
            _ => vec![None],
        }
    }

    /// By their labels, which are those that the types have in components.
    #[test]
    fn codes_are_the_same_as_values() {
        assert_eq!(LABELS.len(), 39);
        for label in LABELS {
            for payload in payloads(label) {
                let val = Val::variant(label, payload);
                let code = <ErrorCode as Carried>::of(&val).unwrap_or_else(|| panic!("{val:?}"));
                assert_eq!(code.to_val(), val);
            }
        }
        for other in
            [Val::Bool(true), Val::variant("other", None), Val::variant("loop-detected", Some(Val::U8(1)))]
        {
            assert_eq!(ErrorCode::of_val(Some(&other)), ErrorCode::InternalError(None));
        }
        assert_eq!(ErrorCode::of_val(None), ErrorCode::InternalError(None));
    }
}
