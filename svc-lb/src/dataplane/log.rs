//! What the programs log, for debugging: `RUST_LOG=svc_lb_ebpf=debug` shows it. The level is settled
//! before the programs are verified, so a level that is off costs no packet anything.

use super::error::{DataplaneError, chain};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{os::fd::AsFd, thread};

/// The level up to which the programs log: [`aya_log::Level`], or 0 for nothing.
pub struct LogLevel(u8);

impl LogLevel {
    /// The one that the subscriber of `tracing` asks for.
    pub fn wanted() -> Self {
        let debug = tracing::enabled!(target: "svc_lb_ebpf::pipeline", tracing::Level::DEBUG);
        Self(if debug { aya_log::Level::Debug as u8 } else { 0 })
    }

    /// Makes it a constant of the programs that are loaded next.
    pub fn settle<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.override_global(aya_log::LEVEL, &self.0, true);
    }

    /// Passes what the programs log on to the log of the agent, on a thread of its own.
    pub fn follow(&self, ebpf: &mut Ebpf) -> Result<(), DataplaneError> {
        if self.0 == 0 {
            return Ok(());
        }
        let failed = |error: &dyn std::error::Error| DataplaneError::Object(chain(error));
        let mut logger = EbpfLogger::init(ebpf).map_err(|error| failed(&error))?;
        let follow = move || {
            while poll(&mut [PollFd::new(logger.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).is_ok() {
                logger.flush();
            }
        };
        thread::Builder::new().name("ebpf-log".to_owned()).spawn(follow).map_err(|error| failed(&error))?;
        Ok(())
    }
}
