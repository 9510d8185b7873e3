//! The services that a socket speaks to, and which backend each of them is for it.
//!
//! One is kept with the socket itself, and goes with it. An unconnected UDP socket that speaks to several
//! has the others in a table. The kernel holds the socket's lock while a program looks here.

use crate::{
    config, load,
    maps::{self, Maps},
    socket_maps,
};
use aya_ebpf::programs::SockAddrContext;
use svc_lb_common::{
    address::{Ipv4, Ipv6},
    connection::Phase,
    socket::{Peer, PeerKey, Remote},
    timeout::is_past,
};

/// A socket and what is kept with it.
pub struct Peers<'a> {
    context: &'a SockAddrContext,
    own: Option<&'static mut Peer>,
}

impl<'a> Peers<'a> {
    /// Those of the socket at hand.
    #[inline(always)]
    pub fn of(context: &'a SockAddrContext) -> Self {
        Self { context, own: socket_maps::socket(context) }
    }

    /// Keeps the one service that is kept with the socket itself: only this one counts as open.
    /// `false`: there is no memory.
    #[inline(always)]
    pub fn set(&mut self, peer: &Peer) -> bool {
        if peer.has(Peer::COUNTED) {
            load::socket_opened(&peer.backend, peer.index);
        }
        match &mut self.own {
            Some(own) => {
                stop_counting(own);
                let others = own.flags & Peer::HAS_OTHERS;
                **own = *peer;
                own.flags |= others;
                true
            }
            None => socket_maps::keep_socket(self.context, peer),
        }
    }

    /// Keeps one more service that an unconnected socket speaks to. `false`: there is no memory.
    #[inline(always)]
    pub fn add(&mut self, peer: &Peer, now: u32) -> bool {
        match &mut self.own {
            // What a socket was connected to stays, also when it is lost: the agent closes the socket for it.
            Some(own) if own.has(Peer::CONNECTED) || own.frontend != peer.frontend && is_usable(own, now) => {
                own.flags |= Peer::HAS_OTHERS;
                shadow(own, peer);
                keep_twice(self.context, peer)
            }
            _ => self.set(peer),
        }
    }

    /// The service that a socket speaks to that is connected to a backend.
    #[inline(always)]
    pub fn connected_to(&self, backend: &Remote) -> Option<&Remote> {
        let own = self.own.as_deref().filter(|own| own.has(Peer::CONNECTED) && own.backend == *backend);
        own.map(|own| &own.frontend)
    }

    /// Forgets the service that a socket was connected to.
    #[inline(always)]
    pub fn clear(&mut self) {
        if let Some(own) = &mut self.own {
            stop_counting(own);
            own.frontend = Remote::default();
            own.flags &= Peer::HAS_OTHERS;
        }
    }

    /// Forgets for which service a backend stands: the socket speaks to that address itself now.
    #[inline(always)]
    pub fn forget(&mut self, backend: &Remote) {
        let Some(own) = &mut self.own else { return };
        if own.backend == *backend {
            own.frontend = Remote::default();
        }
        if own.has(Peer::HAS_OTHERS) {
            let key = key(self.context, backend, PeerKey::BACKEND);
            if let Some(peer) = socket_maps::socket_peer(&key) {
                socket_maps::forget_socket_peer(&PeerKey {
                    remote: peer.frontend,
                    side: PeerKey::FRONTEND,
                    ..key
                });
                socket_maps::forget_socket_peer(&key);
            }
        }
    }

    /// The backend that a service is for the socket, if it may send there once more.
    #[inline(always)]
    pub fn backend_of(&mut self, frontend: &Remote, now: u32) -> Option<&Remote> {
        let own = self.own.as_deref_mut()?;
        if own.frontend == *frontend && is_usable(own, now) {
            own.last_used = now;
            own.flags &= !Peer::SHADOWED;
            return Some(&own.backend);
        }
        if !own.has(Peer::HAS_OTHERS) {
            return None;
        }
        let peer = socket_maps::socket_peer(&key(self.context, frontend, PeerKey::FRONTEND))?;
        if !is_usable(peer, now) {
            return None;
        }
        peer.last_used = now;
        shadow(own, peer);
        // Another service may have the same backend, or the table may have lost this half.
        let by_backend = key(self.context, &peer.backend, PeerKey::BACKEND);
        if socket_maps::socket_peer(&by_backend).is_none_or(|other| other.frontend != peer.frontend) {
            socket_maps::keep_socket_peer(&by_backend, peer);
        }
        Some(&peer.backend)
    }

    /// The service that the socket speaks to where something comes from a backend.
    #[inline(always)]
    pub fn frontend_of(&mut self, backend: &Remote) -> Option<&Remote> {
        let own = self.own.as_deref_mut()?;
        if own.backend == *backend && own.frontend.port.raw() != 0 && !own.has(Peer::SHADOWED) {
            own.flags |= Peer::ANSWERED;
            return Some(&own.frontend);
        }
        if !own.has(Peer::HAS_OTHERS) {
            return None;
        }
        let key = key(self.context, backend, PeerKey::BACKEND);
        let peer = socket_maps::socket_peer(&key)?;
        if !peer.has(Peer::ANSWERED) {
            peer.flags |= Peer::ANSWERED;
            let by_frontend = PeerKey { remote: peer.frontend, side: PeerKey::FRONTEND, ..key };
            if let Some(peer) = socket_maps::socket_peer(&by_frontend) {
                peer.flags |= Peer::ANSWERED;
            }
        }
        Some(&peer.frontend)
    }
}

/// A socket speaks no more to the service that is kept with it.
#[inline(always)]
pub fn stop_counting(own: &mut Peer) {
    if own.has(Peer::COUNTED) {
        own.flags &= !Peer::COUNTED;
        load::socket_closed(&own.backend, own.index, own.generation);
    }
}

/// Has answers of a backend count for another service than the one that is kept with the socket.
#[inline(always)]
fn shadow(own: &mut Peer, other: &Peer) {
    if own.backend == other.backend {
        own.flags |= Peer::SHADOWED;
    }
}

/// Whether a socket may send to its backend once more: that is still there, and they have not been silent
/// for so long that it counts as over.
#[inline(always)]
fn is_usable(peer: &Peer, now: u32) -> bool {
    let phase = if peer.has(Peer::ANSWERED) { Phase::UdpStream } else { Phase::Udp };
    peer.frontend.port.raw() != 0
        && has_its_backend(peer)
        && (peer.last_used == now
            || peer.has(Peer::CONNECTED)
            || !is_past(config::timeout(phase), peer.last_used, now))
}

/// Whether the backend is still the one that was chosen.
#[inline(always)]
pub fn has_its_backend(peer: &Peer) -> bool {
    let generation = match peer.backend.v4() {
        Some(_) => generation::<Ipv4>(peer.index),
        None => generation::<Ipv6>(peer.index),
    };
    generation == Some(peer.generation)
}

#[inline(always)]
fn generation<A: Maps>(index: u32) -> Option<u32> {
    maps::backend::<A>(index).map(|backend| backend.generation)
}

/// Keeps a peer in the table, by its frontend and by its backend. `false`: there is no memory.
#[inline(always)]
fn keep_twice(context: &SockAddrContext, peer: &Peer) -> bool {
    socket_maps::keep_socket_peer(&key(context, &peer.backend, PeerKey::BACKEND), peer)
        && socket_maps::keep_socket_peer(&key(context, &peer.frontend, PeerKey::FRONTEND), peer)
}

#[inline(always)]
fn key(context: &SockAddrContext, remote: &Remote, side: u32) -> PeerKey {
    PeerKey { cookie: socket_maps::socket_cookie(context), remote: *remote, side }
}
