//! Attaches the programs for sockets to a cgroup: they serve the processes there and in all below it.
//!
//! Links are pinned, as those of interfaces are: the next agent puts its programs into them, and no connect
//! in between goes unserved.

use super::{
    bpffs,
    error::{DataplaneError, chain},
    load::load_program,
    syscall::{cgroup_of_link, detach_link, replace_program},
};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program as AyaProgram, links::FdLink},
};
use std::{
    collections::BTreeSet,
    error::Error,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};
use svc_lb_common::counters::Program;

/// The directory of the pinned links, each by its program's name.
const PINS: &str = "cgroup";

/// What answers and what tidies up comes first: from the moment on in which sockets are sent to backends,
/// they are told of the service.
const ORDER: [Program; 9] = [
    Program::SockRelease,
    Program::SockGetpeername4,
    Program::SockGetpeername6,
    Program::SockRecvmsg4,
    Program::SockRecvmsg6,
    Program::SockConnect4,
    Program::SockConnect6,
    Program::SockSendmsg4,
    Program::SockSendmsg6,
];

/// Attaches and detaches, and remembers what this agent has attached.
#[derive(Debug)]
pub struct CgroupPrograms {
    pins: PathBuf,
    attached: BTreeSet<&'static str>,
}

/// A program that is not attached, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{program} is not attached: {reason}")]
pub struct Unattached {
    /// The program's name.
    pub program: &'static str,
    /// Why.
    pub reason: String,
}

impl CgroupPrograms {
    /// With the pins of a pin directory.
    pub fn new(pin_dir: &Path) -> Self {
        Self { pins: pin_dir.join(PINS), attached: BTreeSet::new() }
    }

    /// Serves the processes of a cgroup and no others; `None`: nobody's. Only what is not so yet takes
    /// work. What could not be attached is tried again the next time.
    pub fn set(&mut self, ebpf: &mut Ebpf, cgroup: Option<&Path>) -> Result<Vec<Unattached>, DataplaneError> {
        let Some(cgroup) = cgroup else {
            self.attached.clear();
            return detach_all(&self.pins).map(|()| Vec::new());
        };
        bpffs::create(&self.pins)?;
        let mut unattached = Vec::new();
        for program in ORDER.map(Program::name) {
            if let Err(error) = self.attach(ebpf, program, cgroup) {
                let reason = chain(error.as_ref());
                unattached.push(Unattached { program, reason });
            }
        }
        Ok(unattached)
    }

    /// Whether this agent has any program attached.
    pub fn is_attached(&self) -> bool {
        !self.attached.is_empty()
    }

    fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        program: &'static str,
        cgroup: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let path = self.pins.join(program);
        let directory = File::open(cgroup)?;
        // A cgroup's number is that of its directory; a link whose cgroup is gone has 0.
        let there = match cgroup_of_link(&path) {
            Ok(cgroup) => cgroup == directory.metadata()?.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        if there && self.attached.contains(program) {
            return Ok(());
        }
        load_program(ebpf, program)?;
        let Some(loaded) = ebpf.program_mut(program) else {
            return Err("the object has no such program".into());
        };
        if there {
            replace_program(&path, loaded.fd()?.as_fd())?;
        } else {
            forget(&path)?;
            link(loaded, &directory)?.pin(&path)?;
        }
        self.attached.insert(program);
        Ok(())
    }
}

/// Attaches a program to a cgroup.
fn link(program: &mut AyaProgram, cgroup: &File) -> Result<FdLink, Box<dyn Error>> {
    let mode = CgroupAttachMode::default();
    Ok(match program {
        AyaProgram::CgroupSockAddr(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()?
        }
        AyaProgram::CgroupSock(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()?
        }
        _ => return Err("it is no program for a cgroup".into()),
    })
}

/// Detaches what is attached under a pin directory.
pub fn detach(pin_dir: &Path) -> Result<(), DataplaneError> {
    detach_all(&pin_dir.join(PINS))
}

fn detach_all(pins: &Path) -> Result<(), DataplaneError> {
    // The other way round: while a socket may be sent to a backend, it is told of the service.
    ORDER.iter().rev().try_for_each(|program| forget(&pins.join(program.name())))?;
    bpffs::remove_all(pins)
}

/// Detaches and removes a link, if it is there.
fn forget(path: &Path) -> Result<(), DataplaneError> {
    match detach_link(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Its cgroup went before.
        Err(error) => tracing::debug!("{}: {error}", path.display()),
        Ok(()) => {}
    }
    bpffs::remove(path)
}
