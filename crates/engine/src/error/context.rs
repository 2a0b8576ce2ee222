//! What was being done when something went wrong, told on the way out.

use std::fmt;

use super::{Error, Message, Result};

impl Error {
    /// The same error, with what was being done when it came up. That is what it displays as from now on; `{:#}` displays what went wrong as well, and `{:?}` also the
    /// guest's frames. Its kind, trap, exit code and everything else that programs ask for stay what they are.
    ///
    /// ```
    /// # use innkeeper_engine::{Error, Trap};
    /// let error = Error::from(Trap::Unreachable).context("calling `transform`").context("the plugin `shouts`");
    /// assert_eq!(error.to_string(), "the plugin `shouts`");
    /// assert_eq!(format!("{error:#}"), "the plugin `shouts`: calling `transform`: wasm trap: unreachable");
    /// assert_eq!(error.trap(), Some(Trap::Unreachable));
    /// ```
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.0.contexts.push(Message(context.to_string()));
        self
    }
}

/// Tells what was being done where something fails, or is not there; [`Error::context`] says what becomes of it.
///
/// ```
/// use innkeeper_engine::{Context, Result};
///
/// fn port(text: Option<&str>) -> Result<u16> {
///     let text = text.context("no port was given")?;
///     text.parse().with_context(|| format!("the port `{text}`"))
/// }
///
/// assert_eq!(port(None).unwrap_err().to_string(), "no port was given");
/// assert_eq!(format!("{:#}", port(Some("x")).unwrap_err()), "the port `x`: invalid digit found in string");
/// ```
pub trait Context<T>: sealed::Sealed {
    /// With what was being done.
    ///
    /// # Errors
    /// Where this is one, or none.
    fn context(self, context: impl fmt::Display) -> Result<T>;

    /// With what was being done, which is put into words only where it is needed.
    ///
    /// # Errors
    /// As [`Context::context`].
    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::msg(context))
    }

    fn with_context<C: fmt::Display>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context()))
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
    impl<T> Sealed for Option<T> {}
}
