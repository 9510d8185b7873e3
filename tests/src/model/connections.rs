//! Connections, associations and exchanges: who speaks to whom under which addresses, and what was seen of them.

use super::{
    datagram::{
        Signal,
        protocol::{TCP, UDP},
    },
    services::Chosen,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};
use svc_lb_common::counters::Program;

/// Where a packet passes: it is only ever taken for one that passes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Into the node by an uplink.
    UplinkIn,
    /// Out of it by an uplink.
    UplinkOut,
    /// From a pod.
    PodIn,
    /// To a pod.
    PodOut,
}

impl Hook {
    /// The hook of a program.
    pub fn of(program: Program) -> Option<Self> {
        Some(match program {
            Program::XdpUplink | Program::TcUplinkIngress => Self::UplinkIn,
            Program::TcUplinkEgress => Self::UplinkOut,
            Program::TcPodIngress => Self::PodIn,
            Program::TcPodEgress => Self::PodOut,
            _ => return None,
        })
    }

    /// Whether packets pass it before the host's stack.
    pub fn is_ingress(self) -> bool {
        matches!(self, Self::UplinkIn | Self::PodIn)
    }
}

/// What a packet shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where.
    pub hook: Hook,
    /// The IP protocol.
    pub protocol: u8,
    /// From whom.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client → backend.
    Forward,
    /// Backend → client.
    Reply,
}

/// How its packets leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By the host's stack.
    Stack,
    /// By the node's routes, past the stack.
    Routed,
    /// Back to the pod that sent them.
    Returned,
}

/// What is known once a packet was seen translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The backend.
    pub backend: Chosen,
    /// Under which address and port it sees the client.
    pub seen_as: SocketAddr,
    /// The way.
    pub path: Path,
    /// Where replies pass.
    pub reply_hook: Hook,
}

/// What was seen of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The backend answered.
    pub answered: bool,
    /// The client went on after that.
    pub established: bool,
    /// Who has finished: client, backend.
    pub finished: [bool; 2],
    /// The backend was the first to finish, so that over TCP it is the one that remembers the connection.
    pub backend_was_first: bool,
    /// Who has reset it, and sent nothing since.
    pub reset: [bool; 2],
}

impl Progress {
    /// After one more packet.
    pub fn after(mut self, protocol: u8, direction: Direction, signal: Signal) -> Self {
        match direction {
            Direction::Reply => self.answered = true,
            Direction::Forward if protocol == UDP || signal.acknowledges => self.established |= self.answered,
            Direction::Forward => {}
        }
        let side = direction as usize;
        self.reset[side] = signal.resets;
        self.backend_was_first |= direction == Direction::Reply && signal.finishes && !self.finished[0];
        self.finished[side] |= signal.finishes;
        self
    }

    /// Whether nothing more is to come, so that a SYN is for a new connection.
    pub fn is_closed(self) -> bool {
        self.reset.contains(&true) || self.finished == [true; 2]
    }

    /// Whether its backend may still remember it when it is closed.
    pub fn is_remembered(self, protocol: u8) -> bool {
        protocol == TCP && self.backend_was_first && !self.reset.contains(&true)
    }

    /// Whether it may be given up for another one, where there is no free port.
    pub fn is_dispensable(self, protocol: u8) -> bool {
        if protocol == UDP { !self.answered } else { !self.established }
    }
}

/// A connection that svc-lb knows.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The first packet.
    pub key: Key,
    /// The Service's number; `None` if it is for none.
    pub service: Option<u32>,
    /// The choice that was made for it: its index in [`Connections::choices`].
    pub choice: usize,
    /// How it is translated, once that was seen.
    pub translation: Option<Translation>,
    /// What was seen of it.
    pub progress: Progress,
    /// It was there before, and was found again by its hash.
    pub continued: bool,
    /// It is not translated, and known for that only.
    pub untouched: bool,
}

impl Connection {
    /// What a reply shows of itself.
    pub fn reply_key(&self) -> Option<Key> {
        let translation = self.translation?;
        Some(Key {
            hook: translation.reply_hook,
            protocol: self.key.protocol,
            source: translation.backend.0,
            destination: translation.seen_as,
        })
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Connections {
    /// The backends that may have been chosen, as far as is known, of every choice.
    pub choices: Vec<BTreeSet<Chosen>>,
    known: HashMap<usize, Connection>,
    keys: HashMap<Key, (usize, Direction)>,
    next: usize,
}

impl Connections {
    /// The one that a packet belongs to.
    pub fn find(&self, key: &Key) -> Option<(usize, Direction)> {
        self.keys.get(key).copied()
    }

    /// By number.
    pub fn get(&self, id: usize) -> &Connection {
        &self.known[&id]
    }

    /// Notes one more packet of a connection.
    ///
    /// # Panics
    /// If there is none with this number.
    pub fn advance(&mut self, id: usize, direction: Direction, signal: Signal) {
        let connection = self.known.get_mut(&id).expect("a connection that was found");
        connection.progress = connection.progress.after(connection.key.protocol, direction, signal);
    }

    /// A new one; with its translation it answers to replies at once.
    pub fn add(&mut self, connection: Connection) -> usize {
        let id = self.next;
        self.next += 1;
        self.keys.insert(connection.key, (id, Direction::Forward));
        if let Some(reply) = connection.reply_key() {
            self.keys.insert(reply, (id, Direction::Reply));
        }
        self.known.insert(id, connection);
        id
    }

    /// How it is translated is known now. Whoever had the replies' key is gone.
    ///
    /// # Panics
    /// If there is none with this number.
    pub fn settle(&mut self, id: usize, translation: Translation) {
        let connection = self.known.get_mut(&id).expect("a connection that was found");
        connection.translation = Some(translation);
        let reply = connection.reply_key().expect("it was just given");
        if let Some((old, _)) = self.find(&reply) {
            self.remove(old);
        }
        self.keys.insert(reply, (id, Direction::Reply));
    }

    /// It is gone.
    pub fn remove(&mut self, id: usize) {
        let Some(connection) = self.known.remove(&id) else { return };
        for key in [Some(connection.key), connection.reply_key()].into_iter().flatten() {
            if self.find(&key).is_some_and(|(found, _)| found == id) {
                self.keys.remove(&key);
            }
        }
    }

    /// Adds a choice.
    pub fn choose(&mut self, candidates: BTreeSet<Chosen>) -> usize {
        self.choices.push(candidates);
        self.choices.len() - 1
    }

    /// A connection of which it is not known how it is translated.
    pub fn undecided(&self) -> Option<&Connection> {
        self.known.values().find(|connection| connection.translation.is_none())
    }
}
