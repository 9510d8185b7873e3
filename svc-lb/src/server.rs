//! The HTTP servers of the agent.

use axum::Router;
use std::{io, net::SocketAddr};
use tokio::net::TcpListener;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({flag}): {source}")]
pub struct ServerError {
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Listens, and answers in a task of its own until the runtime ends. `flag`: the one that gave the
/// address.
pub async fn serve(flag: &'static str, address: SocketAddr, router: Router) -> Result<(), ServerError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ServerError { flag, address, source })?;
    // It never ends: an error of a connection ends that connection.
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    #[tokio::test]
    async fn a_busy_port_is_an_error_that_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = taken.local_addr().expect("its address");
        let router = Router::new().route("/", get("never"));
        let error = serve("--some-bind-address", address, router).await.expect_err("a busy port").to_string();
        assert!(error.contains(&format!("{address} (--some-bind-address): ")), "{error}");
    }
}
