//! Which sockets have lost their backend, for the agent: an iterator over `SOCKETS`, which meets the sockets
//! of every network namespace (`bpf_iter_bpf_sk_storage_map` in `net/core/bpf_sk_storage.c`).

use crate::peers;
use aya_ebpf::{
    bindings::seq_file,
    cty::c_void,
    helpers::generated::{bpf_get_socket_cookie, bpf_seq_write},
};
use svc_lb_common::socket::{LostSocket, Peer};

/// One step of the iterator: `struct bpf_iter__bpf_sk_storage_map`.
#[repr(C)]
pub struct Step {
    meta: *const Meta,
    map: *const c_void,
    /// Null in the last step, in which there is no socket any more.
    socket: *mut c_void,
    /// Null in the last step.
    peer: *const Peer,
}

/// The first field of `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    output: *mut seq_file,
}

/// Writes a [`LostSocket`] if the socket of this step is one.
#[inline(always)]
pub fn tell(step: &Step) {
    // SAFETY: what is not null is there as long as the program runs. The peer may be written meanwhile;
    // every bit pattern of it is valid, and whether the socket is connected there the agent asks the kernel.
    let Some(peer) = (unsafe { step.peer.as_ref() }) else { return };
    let is_connected = peer.has(Peer::CONNECTED) && peer.frontend.port.raw() != 0;
    if step.socket.is_null() || !is_connected || peers::has_its_backend(peer) {
        return;
    }
    // SAFETY: the helpers take the step's socket and its output, and read a value of the length stated.
    unsafe {
        let cookie = bpf_get_socket_cookie(step.socket);
        let lost = LostSocket { cookie, backend: peer.backend, padding: 0 };
        bpf_seq_write((*step.meta).output, (&raw const lost).cast(), size_of::<LostSocket>() as u32);
    }
}
