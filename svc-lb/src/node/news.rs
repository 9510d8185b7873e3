//! What the kernel's messages mean: which ways of packets they change, and what is to be read again.

use super::{kernel::route, neighbours::Entry, subscription::Message};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkFlags, LinkMessage},
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

/// What was heard and not dealt with yet.
#[derive(Debug, Default)]
pub struct News {
    /// Packets may go other ways.
    pub ways: bool,
    /// The links (ifindex) at which a neighbour has another link-layer address now, or none.
    pub neighbours: BTreeSet<u32>,
    /// What was read is older than what was heard.
    pub stale: Stale,
    /// The neighbours whose link-layer address is known.
    known: HashMap<(u32, IpAddr), [u8; 6]>,
}

/// What is to be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Links and their addresses.
    pub interfaces: bool,
    /// The main routing table.
    pub routes: bool,
    /// Which neighbours are known.
    pub neighbours: bool,
}

impl News {
    /// Takes a message in.
    pub fn hear(&mut self, message: &Message) {
        match message {
            Message::Change(RouteNetlinkMessage::NewNeighbour(message)) => {
                if let Some(entry) = Entry::read(message) {
                    self.neighbour(&entry, entry.mac);
                }
            }
            Message::Change(RouteNetlinkMessage::DelNeighbour(message)) => {
                if let Some(entry) = Entry::read(message) {
                    self.neighbour(&entry, None);
                }
            }
            Message::Change(change) => {
                self.ways = true;
                self.change(change);
            }
            Message::Other => {
                self.ways = true;
                self.stale.routes = true;
            }
            Message::Lost => {
                self.ways = true;
                self.stale = Stale { interfaces: true, routes: true, neighbours: true };
            }
        }
    }

    /// All neighbours were read.
    pub fn know(&mut self, entries: Vec<Entry>) {
        let known = entries.into_iter().filter_map(|it| Some(((it.interface, it.address), it.mac?)));
        self.known = known.collect();
        self.stale.neighbours = false;
    }

    /// What is to be read again after a change of links, addresses, routes or rules.
    fn change(&mut self, change: &RouteNetlinkMessage) {
        let stale = &mut self.stale;
        match change {
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
                stale.routes |= route(message).is_some();
            }
            RouteNetlinkMessage::NewLink(message) => {
                stale.interfaces = true;
                stale.routes |= !is_up(message);
            }
            // The kernel takes the routes of an address away with it.
            RouteNetlinkMessage::DelLink(_) | RouteNetlinkMessage::DelAddress(_) => {
                stale.interfaces = true;
                stale.routes = true;
            }
            RouteNetlinkMessage::NewAddress(_) => stale.interfaces = true,
            _ => {}
        }
    }

    /// A neighbour has this link-layer address now. That it is being confirmed, or was found where it was, is no
    /// news; nor is one that was not known before, because nothing was sent to it yet.
    fn neighbour(&mut self, entry: &Entry, mac: Option<[u8; 6]>) {
        let key = (entry.interface, entry.address);
        let before = match mac {
            Some(mac) => self.known.insert(key, mac),
            None => self.known.remove(&key),
        };
        if before.is_some() && before != mac {
            self.neighbours.insert(entry.interface);
        }
    }
}

/// Whether a link works. The kernel takes the IPv4 routes over one that does not away without a word.
fn is_up(message: &LinkMessage) -> bool {
    message.header.flags.contains(LinkFlags::Up) && message.header.flags.contains(LinkFlags::LowerUp)
}
