//! Attaches a program to an interface, and detaches it.
//!
//! Links are pinned: they outlive the agent, and the next one puts its program into the link without
//! losing a packet. Before Linux 6.6 tc has no links; a filter stays by itself and is replaced in
//! place.

use super::{
    bpffs,
    error::{DataplaneError, chain},
    load::load_program,
    place::{Pins, Place, direction},
    syscall::{detach_link, interface_of_link},
};
use crate::{node, status::Hook};
use aya::{
    Ebpf,
    programs::{
        Program as AyaProgram, SchedClassifier, TcAttachType, TcHandle, Xdp, XdpMode,
        links::{FdLink, LinkOrder, PinnedLink},
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_add_clsact, qdisc_detach_program},
        xdp::XdpLink,
    },
};
use std::{error::Error, fs, io, path::Path};
use svc_lb_common::counters::Program;

/// The handle of a filter in a clsact qdisc, by which the next agent finds it.
const FILTER: TcHandle = TcHandle::new(0, 0x5c1b);
/// The first priority there is: nothing runs before it at ingress.
const FIRST: u16 = 1;
/// The last priority there is: nothing runs behind it at egress.
const LAST: u16 = u16::MAX;

/// Anything that aya says.
type Failure = Box<dyn Error>;

/// Attaches and detaches, and remembers what is attached.
#[derive(Debug)]
pub struct Attacher {
    pins: Pins,
    /// Whether the kernel has tcx links.
    tcx: bool,
}

impl Attacher {
    /// With the pins of a pin directory.
    pub fn new(pin_dir: &Path) -> Result<Self, DataplaneError> {
        let pins = Pins::new(pin_dir);
        pins.create()?;
        // The loopback is asked what is attached to it; a kernel without tcx does not know the question.
        Ok(Self { pins, tcx: SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok() })
    }

    /// As on a kernel before Linux 6.6.
    #[cfg(test)]
    pub fn without_tcx(&mut self) {
        self.tcx = false;
    }

    /// The interfaces and places to which something is or was attached.
    pub fn attached(&self) -> Result<Vec<(String, Place)>, DataplaneError> {
        self.pins.list()
    }

    /// Whether what was attached to a place still is, as far as the kernel tells: a filter leaves no
    /// trace of its own.
    pub fn is_attached(&self, interface: &node::Interface, place: Place) -> bool {
        let path = self.pins.path(&interface.name, place);
        path.is_dir() || interface_of_link(&path).is_ok_and(|index| index == interface.index)
    }

    /// Attaches a program to a place on an interface, or replaces what an earlier agent attached there.
    /// Why not, in words.
    pub fn attach(&self, ebpf: &mut Ebpf, interface: &node::Interface, place: Place) -> Result<Hook, String> {
        load_program(ebpf, place.program().name()).map_err(|error| error.to_string())?;
        let path = self.pins.path(&interface.name, place);
        let result = match (ebpf.program_mut(place.program().name()), place) {
            (Some(AyaProgram::Xdp(xdp)), Place::NativeXdp) => {
                attach_xdp(xdp, interface, XdpMode::Driver, &path).map(|()| Hook::NativeXdp)
            }
            (Some(AyaProgram::Xdp(xdp)), Place::GenericXdp) => {
                attach_xdp(xdp, interface, XdpMode::Skb, &path).map(|()| Hook::GenericXdp)
            }
            (Some(AyaProgram::SchedClassifier(classifier)), Place::Tc(program)) if self.tcx => {
                attach_tcx(classifier, interface, program, &path).map(|()| Hook::Tcx)
            }
            (Some(AyaProgram::SchedClassifier(classifier)), Place::Tc(program)) => {
                attach_clsact(classifier, &interface.name, program, &path).map(|()| Hook::Clsact)
            }
            _ => Err("the object has no such program".into()),
        };
        result.map_err(|error| match os_error(error.as_ref()) {
            Some(libc::EBUSY) => "another XDP program is attached".to_owned(),
            _ => format!("cannot be attached: {}", chain(error.as_ref())),
        })
    }

    /// Detaches what is attached to a place, if the interface is still there.
    pub fn detach(&self, interface: &str, place: Place) -> Result<(), DataplaneError> {
        let path = self.pins.path(interface, place);
        if path.is_dir() {
            let program = place.program();
            if let Err(error) = qdisc_detach_program(interface, direction(program), program.name()) {
                // Most likely the interface went and took the filter along.
                tracing::debug!("{interface}: {} was not detached: {}", program.name(), chain(&error));
            }
        }
        forget(&path)
    }
}

/// Detaches everything that is remembered under a pin directory.
pub fn detach_all(pin_dir: &Path) -> Result<(), DataplaneError> {
    let attacher = Attacher { pins: Pins::new(pin_dir), tcx: true };
    attacher.attached()?.iter().try_for_each(|(interface, place)| attacher.detach(interface, *place))?;
    attacher.pins.remove()
}

fn attach_xdp(xdp: &mut Xdp, interface: &node::Interface, mode: XdpMode, path: &Path) -> Result<(), Failure> {
    let replace = |link: FdLink| {
        let id = xdp.attach_to_link(XdpLink::try_from(link)?)?;
        drop(xdp.take_link(id)?);
        Ok(())
    };
    if adopt(path, interface, replace)? {
        return Ok(());
    }
    let id = xdp.attach_to_if_index(interface.index, mode)?;
    pin(FdLink::try_from(xdp.take_link(id)?)?, path)
}

fn attach_tcx(
    classifier: &mut SchedClassifier,
    interface: &node::Interface,
    program: Program,
    path: &Path,
) -> Result<(), Failure> {
    let replace = |link: FdLink| {
        let id = classifier.attach_to_link(SchedClassifierLink::try_from(link)?)?;
        drop(classifier.take_link(id)?);
        Ok(())
    };
    if adopt(path, interface, replace)? {
        return Ok(());
    }
    let direction = direction(program);
    let order = if direction == TcAttachType::Ingress { LinkOrder::first() } else { LinkOrder::last() };
    let id = classifier.attach_with_options(&interface.name, direction, TcAttachOptions::TcxOrder(order))?;
    pin(FdLink::try_from(classifier.take_link(id)?)?, path)
}

/// Puts a program into the link that an earlier agent pinned. `false` if there is none, or none that
/// is still good; then its pin is gone, too.
fn adopt(
    path: &Path,
    interface: &node::Interface,
    replace: impl FnOnce(FdLink) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    match interface_of_link(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Ok(index) if index == interface.index => match replace(PinnedLink::from_pin(path)?.into()) {
            Ok(()) => return Ok(true),
            Err(error) => tracing::debug!("{}: {}", path.display(), chain(error.as_ref())),
        },
        // The interface that it was attached to is gone, or has another name now.
        Ok(_) => {}
        Err(error) => tracing::debug!("{}: {error}", path.display()),
    }
    forget(path)?;
    Ok(false)
}

/// Removes what remembers that something is attached; a link is detached first.
fn forget(path: &Path) -> Result<(), DataplaneError> {
    if path.is_dir() {
        return bpffs::remove_all(path);
    }
    if let Err(error) = detach_link(path) {
        // Most likely the interface went before.
        tracing::debug!("{}: {error}", path.display());
    }
    bpffs::remove(path)
}

/// Pins a link, so that closing its file descriptor does not detach it.
fn pin(link: FdLink, path: &Path) -> Result<(), Failure> {
    link.pin(path).map(drop).map_err(Failure::from)
}

fn attach_clsact(
    classifier: &mut SchedClassifier,
    interface: &str,
    program: Program,
    path: &Path,
) -> Result<(), Failure> {
    match qdisc_add_clsact(interface) {
        Err(error) if os_error(&error) != Some(libc::EEXIST) => return Err(error.into()),
        _ => {}
    }
    let direction = direction(program);
    let priority = if direction == TcAttachType::Ingress { FIRST } else { LAST };
    let old = SchedClassifierLink::attached(interface, direction, priority, FILTER, None)?;
    let id = match classifier.attach_to_link(old) {
        Ok(id) => id,
        Err(_none) => {
            let options = NlOptions { priority, handle: FILTER, classid: None };
            classifier.attach_with_options(interface, direction, TcAttachOptions::Netlink(options))?
        }
    };
    // Dropped, it would take the filter along.
    std::mem::forget(classifier.take_link(id)?);
    fs::create_dir_all(path).map_err(Failure::from)
}

/// The errno at the bottom of an error.
fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        cause = error.source();
    }
    None
}
