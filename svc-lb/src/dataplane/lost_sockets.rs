//! Which connected UDP sockets have lost their backend: the program `lost_sockets` says it, an iterator over
//! the map of what is kept with sockets (Linux 5.9). sock_diag can show a socket's part of that map, too, but
//! does so for TCP only.

use super::{
    error::{DataplaneError, chain},
    load::load_program,
    maps::{self, SOCKETS},
    syscall::Access,
    typed::{MapError, SocketIterator, SocketStorage},
};
use aya::{Ebpf, programs::Program};
use std::{os::fd::AsFd, path::Path};
use svc_lb_common::socket::{LostSocket, Peer};

/// The name of the program.
const PROGRAM: &str = "lost_sockets";

/// The sockets that have lost their backend, of all network namespaces.
#[derive(Debug)]
pub struct LostSockets(SocketIterator<LostSocket>);

impl LostSockets {
    /// Over the map that is pinned under a pin directory.
    pub(super) fn open(ebpf: &mut Ebpf, pin_dir: &Path) -> Result<Self, DataplaneError> {
        load_program(ebpf, PROGRAM)?;
        let no_program = || DataplaneError::Object(format!("the object has no program {PROGRAM}"));
        let program = ebpf.program(PROGRAM).map(Program::fd).ok_or_else(no_program)?;
        let program = program.map_err(|error| DataplaneError::Object(chain(&error)))?;
        let sockets = SocketStorage::<Peer>::open(&maps::directory(pin_dir), SOCKETS, Access::Read)?;
        Ok(Self(sockets.iterator(program.as_fd())?))
    }

    /// Those that there are now. A socket is among them until it is closed or connected anew.
    pub fn read(&self) -> Result<Vec<LostSocket>, MapError> {
        self.0.read()
    }
}
