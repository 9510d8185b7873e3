//! Connected UDP sockets whose backend is gone: closed with an error (`ECONNABORTED`), so that resolvers
//! and QUIC clients connect anew instead of waiting for nobody.
//!
//! The dataplane tells which sockets have lost their backend; most of the time there are none. Each
//! network namespace of the machine is then asked for its connected UDP sockets, and told to close those
//! (sock_diag(7)). A namespace is found by the threads that are in it and by its name in `/run/netns`: in a
//! pod the agent needs the host's PID namespace.

mod closer;
mod diagnosis;
mod message;
mod namespaces;
mod pass;
#[cfg(test)]
mod tests;

pub use closer::Closer;
