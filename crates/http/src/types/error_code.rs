//! `wasi:http/types.error-code`: why something of HTTP has failed, and which failures of the host it is.

use std::fmt;

use http_body_util::LengthLimitError;
use innkeeper_component::{ComponentType, Lift, Lower};

use crate::BodyError;

/// `wasi:http/types.DNS-error-payload`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub struct DnsErrorPayload {
    /// The code of the answer, in words.
    pub rcode: Option<String>,
    /// More about it, as a number.
    pub info_code: Option<u16>,
}

/// `wasi:http/types.TLS-alert-received-payload`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub struct TlsAlertReceivedPayload {
    /// The alert's number.
    pub alert_id: Option<u8>,
    /// The alert in words.
    pub alert_message: Option<String>,
}

/// `wasi:http/types.field-size-payload`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub struct FieldSizePayload {
    /// Which field.
    pub field_name: Option<String>,
    /// Its size in bytes.
    pub field_size: Option<u32>,
}

/// `wasi:http/types.error-code`, with the names of the specification.
#[allow(missing_docs, reason = "the names say it, and the specification says no more")]
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub enum ErrorCode {
    #[component(name = "DNS-timeout")]
    DnsTimeout,
    #[component(name = "DNS-error")]
    DnsError(DnsErrorPayload),
    DestinationNotFound,
    DestinationUnavailable,
    #[component(name = "destination-IP-prohibited")]
    DestinationIpProhibited,
    #[component(name = "destination-IP-unroutable")]
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    #[component(name = "TLS-protocol-error")]
    TlsProtocolError,
    #[component(name = "TLS-certificate-error")]
    TlsCertificateError,
    #[component(name = "TLS-alert-received")]
    TlsAlertReceived(TlsAlertReceivedPayload),
    #[component(name = "HTTP-request-denied")]
    HttpRequestDenied,
    #[component(name = "HTTP-request-length-required")]
    HttpRequestLengthRequired,
    #[component(name = "HTTP-request-body-size")]
    HttpRequestBodySize(Option<u64>),
    #[component(name = "HTTP-request-method-invalid")]
    HttpRequestMethodInvalid,
    #[component(name = "HTTP-request-URI-invalid")]
    HttpRequestUriInvalid,
    #[component(name = "HTTP-request-URI-too-long")]
    HttpRequestUriTooLong,
    #[component(name = "HTTP-request-header-section-size")]
    HttpRequestHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-request-header-size")]
    HttpRequestHeaderSize(Option<FieldSizePayload>),
    #[component(name = "HTTP-request-trailer-section-size")]
    HttpRequestTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-request-trailer-size")]
    HttpRequestTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-incomplete")]
    HttpResponseIncomplete,
    #[component(name = "HTTP-response-header-section-size")]
    HttpResponseHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-response-header-size")]
    HttpResponseHeaderSize(FieldSizePayload),
    #[component(name = "HTTP-response-body-size")]
    HttpResponseBodySize(Option<u64>),
    #[component(name = "HTTP-response-trailer-section-size")]
    HttpResponseTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-response-trailer-size")]
    HttpResponseTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-transfer-coding")]
    HttpResponseTransferCoding(Option<String>),
    #[component(name = "HTTP-response-content-coding")]
    HttpResponseContentCoding(Option<String>),
    #[component(name = "HTTP-response-timeout")]
    HttpResponseTimeout,
    #[component(name = "HTTP-upgrade-failed")]
    HttpUpgradeFailed,
    #[component(name = "HTTP-protocol-error")]
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
    InternalError(Option<String>),
}

/// The most bytes of a text that a guest has said.
const MOST_TEXT_BYTES: usize = 256;

/// As much of a text as can be kept and told.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_TEXT_BYTES)]
}

impl ErrorCode {
    /// The same with texts that can be kept and told: guests make them as long as they like.
    pub(crate) fn shortened(mut self) -> ErrorCode {
        let text = match &mut self {
            ErrorCode::DnsError(payload) => &mut payload.rcode,
            ErrorCode::TlsAlertReceived(payload) => &mut payload.alert_message,
            ErrorCode::HttpRequestHeaderSize(Some(payload))
            | ErrorCode::HttpRequestTrailerSize(payload)
            | ErrorCode::HttpResponseHeaderSize(payload)
            | ErrorCode::HttpResponseTrailerSize(payload) => &mut payload.field_name,
            ErrorCode::HttpResponseTransferCoding(text)
            | ErrorCode::HttpResponseContentCoding(text)
            | ErrorCode::InternalError(text) => text,
            _ => return self,
        };
        if let Some(text) = text
            && text.len() > MOST_TEXT_BYTES
        {
            // Not cut off in place, where all of it would stay.
            *text = shortened(text).to_owned();
        }
        self
    }

    /// That a guest makes its host hold as much as it may.
    pub(crate) fn of_limit(error: impl fmt::Display) -> ErrorCode {
        ErrorCode::InternalError(Some(error.to_string())).shortened()
    }

    /// Why a body that is received has ended before its end.
    pub(crate) fn of_body(error: &BodyError) -> ErrorCode {
        ErrorCode::of_chain(&**error)
    }

    /// Why a request was not answered.
    pub(crate) fn of_error(error: &hyper::Error) -> ErrorCode {
        // What the guest has said of its own body goes before what became of the connection.
        match std::error::Error::source(error).map(ErrorCode::of_chain) {
            None | Some(ErrorCode::InternalError(None)) => ErrorCode::of_answer(error),
            Some(code) => code,
        }
    }

    /// Why an answer has ended before its end.
    pub(crate) fn of_answer(error: &hyper::Error) -> ErrorCode {
        match ErrorCode::of_hyper(error) {
            ErrorCode::ConnectionTerminated if error.is_incomplete_message() => {
                ErrorCode::HttpResponseIncomplete
            }
            code => code,
        }
    }

    fn of_chain(error: &(dyn std::error::Error + 'static)) -> ErrorCode {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(code) = error.downcast_ref::<ErrorCode>() {
                return code.clone();
            }
            if error.is::<LengthLimitError>() {
                return ErrorCode::HttpRequestBodySize(None);
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                return ErrorCode::of_hyper(error);
            }
            cause = error.source();
        }
        ErrorCode::InternalError(None)
    }

    /// What has happened to a connection.
    pub(crate) fn of_hyper(error: &hyper::Error) -> ErrorCode {
        if error.is_timeout() {
            ErrorCode::ConnectionReadTimeout
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            ErrorCode::ConnectionTerminated
        } else if std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>()) {
            // It was reset, most often.
            ErrorCode::ConnectionTerminated
        } else {
            ErrorCode::HttpProtocolError
        }
    }
}

/// As logs and `to-debug-string` have it.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for ErrorCode {}
