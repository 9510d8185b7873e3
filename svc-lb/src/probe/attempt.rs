//! One probe, once.

use super::{
    http,
    spec::{Action, Probe, Target},
};
use std::{error::Error, io};
use tokio::{net::TcpStream, time::timeout};

/// Tries what a probe asks for. The error says, in a few words, why it failed.
pub async fn attempt(Probe { action, timing, .. }: &Probe) -> Result<(), String> {
    let tried = async {
        match action {
            Action::Connect(target) => connect(target).await.map(drop),
            Action::Get(request) => http::get(request).await,
            Action::Impossible(why) => Err(why.clone()),
        }
    };
    let in_time = timeout(timing.timeout, tried).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer within {} s", timing.timeout.as_secs_f32())))
}

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
