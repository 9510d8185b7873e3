//! The TCP connection of a probe, and why something went wrong on it.

use super::spec::Target;
use std::{error::Error, io};
use tokio::net::TcpStream;

/// A TCP connection.
pub async fn connect(Target { host, port }: &Target) -> Result<TcpStream, String> {
    TcpStream::connect((host.as_str(), *port)).await.map_err(|error| reason(&error))
}

/// The innermost cause, in a few words.
pub fn reason(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>() {
        // "connection refused", without the number that the kernel has for it.
        Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        _ => cause.to_string(),
    }
}
