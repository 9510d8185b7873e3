//! What the programs are to have counted, and what has occurred at all.

use super::outcome::Outcome;
use std::collections::BTreeMap;
use svc_lb_common::counters::{DropReason, Program};

/// What became of a packet, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// It was left as it was.
    Untouched,
    /// It was translated on its way to a backend.
    Forwarded,
    /// It was translated on its way to a client.
    Replied,
    /// It was answered with a RST or an ICMP error.
    Rejected,
    /// It was a ping, and answered.
    Echoed,
    /// It was dropped.
    Dropped,
}

/// What was counted for a Service: as `svc-lb get services` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections that became known.
    pub new_flows: u64,
    /// Packets and bytes, from the IP header on, from clients to backends.
    pub forward: (u64, u64),
    /// From backends to clients.
    pub reply: (u64, u64),
}

/// Numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was done for each Service, by its number.
    pub services: BTreeMap<u32, Served>,
    /// What each program did to how many packets.
    pub events: BTreeMap<(&'static str, Event), u64>,
    /// How many packets were dropped for each reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// What else is worth to have happened: how often.
    pub occasions: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one packet.
    pub fn count(&mut self, program: Program, event: Event) {
        *self.events.entry((program.name(), event)).or_default() += 1;
    }

    /// Counts a packet that was dropped.
    pub fn drop(&mut self, reason: DropReason) {
        *self.drops.entry(reason.name()).or_default() += 1;
    }

    /// Notes that something happened.
    pub fn note(&mut self, occasion: impl Into<String>) {
        *self.occasions.entry(occasion.into()).or_default() += 1;
    }

    /// How many packets the programs saw.
    pub fn packets(&self) -> u64 {
        self.events.values().sum()
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        fn add<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *to.entry(key).or_default() += count;
            }
        }
        add(&mut self.events, other.events);
        add(&mut self.drops, other.drops);
        add(&mut self.occasions, other.occasions);
    }

    /// Counts what became of a packet that was not translated.
    pub fn conclude(&mut self, program: Program, outcome: &Outcome) {
        let event = match outcome {
            Outcome::Dropped(reason) => {
                self.drop(*reason);
                Event::Dropped
            }
            Outcome::Rejected | Outcome::TimeExceeded | Outcome::TooLong(_) => Event::Rejected,
            Outcome::Untouched | Outcome::Passed(_) | Outcome::Sent(_) => Event::Untouched,
        };
        self.count(program, event);
        if event == Event::Rejected {
            self.note(match outcome {
                Outcome::TimeExceeded => "time exceeded",
                Outcome::TooLong(_) => "too long",
                _ => "rejected",
            });
        }
    }
}
