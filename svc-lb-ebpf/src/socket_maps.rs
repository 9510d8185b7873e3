//! The maps of what is remembered of sockets, private behind functions that say what they are for.

use aya_ebpf::{
    EbpfContext,
    btf_maps::{LruHashMap, SkStorage},
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_storage_get},
    macros::btf_map,
    programs::{SockAddrContext, SockContext},
};
use svc_lb_common::socket::{Connection, MAX_CONNECTIONS, MAX_SOCKET_PEERS, Peer, PeerKey};

#[btf_map]
static CONNECTIONS: LruHashMap<u64, Connection, { MAX_CONNECTIONS as usize }> = LruHashMap::new();
#[btf_map]
static SOCKETS: SkStorage<Peer> = SkStorage::new();
#[btf_map]
static SOCKET_PEERS: LruHashMap<PeerKey, Peer, { MAX_SOCKET_PEERS as usize }> = LruHashMap::new();

/// What is kept with a socket, if anything is.
#[inline(always)]
pub fn socket(context: &SockAddrContext) -> Option<&'static mut Peer> {
    // SAFETY: the context's socket is there as long as the program runs, and so is what is kept with it.
    // The kernel holds the socket's lock: nothing else writes to it meanwhile.
    unsafe { SOCKETS.get_ptr_mut(context).as_mut() }
}

/// What is kept with a socket that is closed, if anything is.
#[inline(always)]
pub fn closed_socket(context: &SockContext) -> Option<&'static mut Peer> {
    let map = (&raw const SOCKETS).cast_mut().cast();
    // SAFETY: the helper takes a map of this kind and the context's socket. What it gives is there as long as
    // the program runs, and nobody else has the socket any more.
    unsafe { bpf_sk_storage_get(map, context.sock.cast(), core::ptr::null_mut(), 0).cast::<Peer>().as_mut() }
}

/// Keeps something with a socket that has nothing yet. `false`: there is no memory.
#[inline(always)]
pub fn keep_socket(context: &SockAddrContext, peer: &Peer) -> bool {
    let mut peer = *peer;
    // SAFETY: as above; the kernel copies the value.
    unsafe { !SOCKETS.get_or_insert_ptr_mut(context, Some(&mut peer)).is_null() }
}

/// A number that no other socket ever has.
#[inline(always)]
pub fn socket_cookie(context: &impl EbpfContext) -> u64 {
    // SAFETY: the helper takes the context of a program for sockets.
    unsafe { bpf_get_socket_cookie(context.as_ptr()) }
}

/// What is kept of a TCP connection, by its socket's cookie.
#[inline(always)]
pub fn connection(cookie: u64) -> Option<&'static Connection> {
    // SAFETY: only the program that connects the socket writes to it, and the kernel holds the socket's lock.
    // An entry that is evicted meanwhile may be reused: an accepted risk of every LRU table, of some
    // nanoseconds.
    unsafe { CONNECTIONS.get(cookie) }
}

/// Keeps a TCP connection.
#[inline(always)]
pub fn keep_connection(cookie: u64, connection: &Connection) {
    // Without an entry the socket shows the backend's address: no reason to refuse the connection.
    let _ = CONNECTIONS.insert(cookie, connection, 0);
}

/// Forgets a TCP connection.
#[inline(always)]
pub fn forget_connection(cookie: u64) {
    // Most sockets have none.
    let _ = CONNECTIONS.remove(cookie);
}

/// One of several peers of an unconnected socket.
#[inline(always)]
pub fn socket_peer(key: &PeerKey) -> Option<&'static mut Peer> {
    // SAFETY: the kernel holds the lock of the one socket that has this key. An entry that is evicted
    // meanwhile may be reused: an accepted risk of every LRU table, of some nanoseconds.
    SOCKET_PEERS.get_ptr_mut(key).map(|peer| unsafe { &mut *peer })
}

/// Keeps one of several peers of an unconnected socket. `false`: there is no memory.
#[inline(always)]
pub fn keep_socket_peer(key: &PeerKey, peer: &Peer) -> bool {
    SOCKET_PEERS.insert(key, peer, 0).is_ok()
}

/// Forgets one of several peers of an unconnected socket.
#[inline(always)]
pub fn forget_socket_peer(key: &PeerKey) {
    // One that is gone already is as good.
    let _ = SOCKET_PEERS.remove(key);
}
