//! Applications that connect or send to a frontend are sent straight to a backend: their packets carry the
//! backend's address and meet no translation. What they ask of the socket shows the frontend.

use crate::{
    choice::{self, Client, Request},
    clock, config,
    exception::Exception,
    frontend, load,
    maps::{self, Maps},
    peers::{self, Peers},
    select,
    socket_address::SocketAddress,
    socket_maps, stats,
};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_TCP_ESTABLISHED,
    helpers::generated::{bpf_get_netns_cookie, bpf_set_retval},
    programs::{SockAddrContext, SockContext},
};
use svc_lb_common::{
    counters::Program,
    flow::{TCP, UDP},
    socket::{Connection, Mapped, Peer, Remote},
};

/// What a program returns: the call goes on, with the address as it is now.
const PROCEED: i32 = 1;
/// What a program returns: the call fails, with the error that was set.
const FAIL: i32 = 0;

/// `errno`: no memory for what must be remembered.
const ENOBUFS: i32 = 105;
/// `errno`: there is nobody to answer.
const ECONNREFUSED: i32 = 111;
/// `errno`: it goes nowhere.
const EHOSTUNREACH: i32 = 113;

/// A socket connects.
#[inline(always)]
pub fn connect<S: SocketAddress>(context: &SockAddrContext, program: Program) -> i32 {
    let (to, now) = (S::read(context), clock::now());
    match choose(context, &to, now) {
        Ok(peer) => {
            if protocol(context) == TCP {
                connected(context, &peer);
            } else if !Peers::of(context).set(&Peer { flags: peer.flags | Peer::CONNECTED, ..peer }) {
                return fail(ENOBUFS);
            }
            S::write(context, &peer.backend);
            stats::socket_connection(program, peer.service);
            PROCEED
        }
        Err(exception) if is_left_to_packets(exception) || is_probe(context, &to) => {
            if protocol(context) == UDP {
                Peers::of(context).clear();
            }
            PROCEED
        }
        Err(exception) => conclude(context, exception, program),
    }
}

/// Remembers the backend that a TCP socket connects to.
#[inline(always)]
fn connected(context: &SockAddrContext, peer: &Peer) {
    let cookie = socket_maps::socket_cookie(context);
    let counted = if peer.has(Peer::COUNTED) { peer.generation } else { 0 };
    if counted != 0 {
        // A socket may connect again where it could not at first.
        closed(cookie);
        load::socket_opened(&peer.backend, peer.index);
    }
    let Peer { frontend, backend, index, .. } = *peer;
    socket_maps::keep_connection(cookie, &Connection { frontend, backend, index, counted });
}

/// Whether an application speaks to the address that it names: nobody's, or one whose service asks who speaks.
#[inline(always)]
fn is_left_to_packets(exception: Exception) -> bool {
    matches!(exception, Exception::NotOurs | Exception::SourceUnknown)
}

/// Whether a pod connects a UDP socket to a port that no Service has. To learn which source an address would
/// get, resolvers connect to any port of it and send nothing (RFC 6724, getaddrinfo(3)): it is not for the
/// connect to fail. What a pod does send there is rejected on its way.
#[inline(always)]
fn is_probe(context: &SockAddrContext, to: &Remote) -> bool {
    let is_frontend = || match to.v4() {
        Some(address) => frontend::find(address, to.port, UDP).is_some(),
        None => frontend::find(to.address, to.port, UDP).is_some(),
    };
    protocol(context) == UDP && !is_of_node(context) && !is_frontend()
}

/// A UDP socket sends to somebody by name.
#[inline(always)]
pub fn sendmsg<S: SocketAddress>(context: &SockAddrContext, program: Program) -> i32 {
    let (to, now) = (S::read(context), clock::now());
    let mut peers = Peers::of(context);
    // What a socket of IPv6 sends that is connected to an IPv4-mapped address, the kernel sends by name.
    if peers.connected_to(&to).is_some() && is_connected(context) {
        return PROCEED;
    }
    if let Some(backend) = peers.backend_of(&to, now) {
        S::write(context, backend);
        stats::socket_sent(program);
        return PROCEED;
    }
    match choose(context, &to, now) {
        Ok(peer) => {
            if !peers.add(&peer, now) {
                return fail(ENOBUFS);
            }
            S::write(context, &peer.backend);
            stats::socket_connection(program, peer.service);
            PROCEED
        }
        Err(exception) if is_left_to_packets(exception) => {
            peers.forget(&to);
            PROCEED
        }
        Err(exception) => conclude(context, exception, program),
    }
}

/// A UDP socket asks who sent a datagram.
#[inline(always)]
pub fn recvmsg<S: SocketAddress>(context: &SockAddrContext, program: Program) -> i32 {
    if let Some(frontend) = Peers::of(context).frontend_of(&S::read(context)) {
        S::write(context, frontend);
        stats::socket_received(program);
    }
    PROCEED
}

/// A socket asks whom it is connected to.
#[inline(always)]
pub fn getpeername<S: SocketAddress>(context: &SockAddrContext) -> i32 {
    let backend = S::read(context);
    if protocol(context) == TCP {
        let connection = socket_maps::connection(socket_maps::socket_cookie(context));
        if let Some(connection) = connection.filter(|connection| connection.backend == backend) {
            S::write(context, &connection.frontend);
        }
    } else if let Some(frontend) = Peers::of(context).connected_to(&backend) {
        S::write(context, frontend);
    }
    PROCEED
}

/// A socket is closed. What is kept of UDP sockets goes with them.
#[inline(always)]
pub fn release(context: &SockContext) -> i32 {
    // SAFETY: the kernel's context, which the verifier checks every access to.
    if unsafe { (*context.sock).protocol } == u32::from(TCP) {
        let cookie = socket_maps::socket_cookie(context);
        closed(cookie);
        socket_maps::forget_connection(cookie);
    } else if let Some(peer) = socket_maps::closed_socket(context) {
        peers::stop_counting(peer);
    }
    PROCEED
}

/// A TCP socket speaks to its backend no more.
#[inline(always)]
fn closed(cookie: u64) {
    if let Some(connection) = socket_maps::connection(cookie).filter(|it| it.counted != 0) {
        load::socket_closed(&connection.backend, connection.index, connection.counted);
    }
}

/// Chooses a backend for a socket.
#[inline(always)]
fn choose(context: &SockAddrContext, to: &Remote, now: u32) -> Result<Peer, Exception> {
    match to.v4() {
        Some(address) => choose_of(context, address, to, now),
        None => choose_of(context, to.address, to, now),
    }
}

#[inline(always)]
fn choose_of<A: Maps + Mapped>(
    context: &SockAddrContext,
    address: A,
    to: &Remote,
    now: u32,
) -> Result<Peer, Exception> {
    let protocol = protocol(context);
    if protocol != TCP && protocol != UDP {
        return Err(Exception::NotOurs);
    }
    // Every process of this machine is inside the cluster.
    let frontend = frontend::at(address, to.port, protocol, false)?;
    let request = Request { opening: true, continuing: false };
    let choice = choice::choose::<A>(&request, frontend, &Caller { context }, now)?;
    let backend = choice.selected.backend;
    Ok(Peer {
        frontend: *to,
        backend: Remote::new(backend.address.mapped(), backend.port),
        service: choice.service,
        index: choice.selected.index,
        generation: backend.generation,
        last_used: now,
        flags: if choice.counted { Peer::COUNTED } else { 0 },
    })
}

/// Whose socket it is. Those of the node speak from its
/// address; what the address of another network namespace will be is not known yet.
struct Caller<'a> {
    context: &'a SockAddrContext,
}

impl<A: Maps> Client<A> for Caller<'_> {
    #[inline(always)]
    fn is_outside(&self) -> bool {
        false
    }

    #[inline(always)]
    fn address(&self) -> Option<A> {
        let settings = maps::settings()?;
        is_of_node(self.context).then(|| A::of(&settings.node))
    }

    /// The socket's port is not known, and no flow of it is ever to be found again.
    #[inline(always)]
    fn number(&self) -> u32 {
        select::any_number()
    }
}

/// Whether a UDP socket is still connected: no program hears of connect(2) to `AF_UNSPEC`.
#[inline(always)]
fn is_connected(context: &SockAddrContext) -> bool {
    // SAFETY: the context's socket is there as long as the program runs; the verifier checks the access.
    unsafe { (*(*context.sock_addr).__bindgen_anon_1.sk).state == BPF_TCP_ESTABLISHED }
}

/// The socket's IP protocol number.
#[inline(always)]
fn protocol(context: &SockAddrContext) -> u16 {
    // SAFETY: the kernel's context, which the verifier checks every access to.
    unsafe { (*context.sock_addr).protocol as u16 }
}

/// The one place where an exception becomes an error. What is dropped of a pod is left to the packet's way.
#[inline(always)]
fn conclude(context: &SockAddrContext, exception: Exception, program: Program) -> i32 {
    match exception {
        Exception::Reject => {
            stats::socket_rejected(program);
            fail(ECONNREFUSED)
        }
        Exception::Drop(reason) if is_of_node(context) => {
            stats::socket_dropped(program, reason);
            fail(EHOSTUNREACH)
        }
        _ => PROCEED,
    }
}

/// Whether the socket is in the network namespace of the node.
#[inline(always)]
fn is_of_node(context: &SockAddrContext) -> bool {
    // SAFETY: the helper takes the context of a program for sockets.
    unsafe { bpf_get_netns_cookie(context.as_ptr()) == config::node_namespace() }
}

/// Makes the call fail with an error.
#[inline(always)]
fn fail(errno: i32) -> i32 {
    // SAFETY: the helper takes a number.
    unsafe { bpf_set_retval(-errno) };
    FAIL
}
