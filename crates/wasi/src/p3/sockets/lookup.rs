//! `wasi:sockets/ip-name-lookup`.

use innkeeper_component::{ComponentType, Linker, Lower};
use innkeeper_engine::Error;

use crate::host;
use crate::p2::interface::FindContext;
use crate::p2::misuse::interrupted;
use crate::p2::sockets::types::IpAddress;
use crate::p3::interface::{Beside, Interface};

/// `wasi:sockets/ip-name-lookup.error-code`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component)]
enum ErrorCode {
    AccessDenied,
    InvalidArgument,
    NameUnresolvable,
    TemporaryResolverFailure,
    PermanentResolverFailure,
    Other(Option<String>),
}

impl From<host::Error> for ErrorCode {
    fn from(error: host::Error) -> ErrorCode {
        use host::Error;
        match error {
            Error::Denied | Error::Locked | Error::Access | Error::NotPermitted => ErrorCode::AccessDenied,
            Error::Invalid => ErrorCode::InvalidArgument,
            Error::NameNotFound => ErrorCode::NameUnresolvable,
            Error::NameTemporary => ErrorCode::TemporaryResolverFailure,
            Error::NamePermanent => ErrorCode::PermanentResolverFailure,
            error => ErrorCode::Other(Some(error.to_string())),
        }
    }
}

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(
    linker: &mut Linker<T>,
    context: F,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:sockets/ip-name-lookup", context)?
        .beside::<(String,), Result<Vec<IpAddress>, ErrorCode>, _>(
            "resolve-addresses",
            |beside: Beside<T, F>, (name,)| async move {
                let host = beside.host().await;
                match host.look_up(&name).await {
                    Ok(addresses) => Ok(Ok(addresses.iter().copied().map(IpAddress::from).collect())),
                    Err(host::Error::Interrupted) => Err(interrupted()),
                    Err(error) => Ok(Err(error.into())),
                }
            },
        );
    Ok(())
}
