//! Finds a toolchain that can build eBPF from Rust, and builds the eBPF packages of the workspace with it.
//!
//! - [`compiler`]: a Rust compiler with the library sources that `-Z build-std=core` needs
//! - [`linker`]: a bpf-linker built on the compiler's LLVM
//! - [`Toolchain`]: a compiler and a linker that fit
//! - [`build`]: compiles, [lints](lint) and [strips](strip) an object
//! - [`embed`]: the build script of a crate that embeds one
//!
//! Used by the build scripts of the agent and of its benchmarks, and by `cargo xtask setup`, which installs what is missing.

pub mod build;
pub mod compiler;
pub mod embed;
pub mod error;
pub mod linker;
pub mod lint;
pub mod strip;

mod calls;
#[cfg(test)]
mod crafted;
mod environment;
mod toolchain;
mod version;

pub use error::Error;
pub use toolchain::Toolchain;
