//! What becomes of a packet at a hook, and whether a program did it.

use super::{answer, datagram::Datagram, world::Interface};
use std::fmt::Write;
use svc_lb::dataplane::Trial;
use svc_lb_common::counters::{DropReason, Program};

/// Where a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The program.
    pub program: Program,
    /// The interface.
    pub interface: Interface,
}

/// What is to become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as it is.
    Untouched,
    /// It goes no further.
    Dropped(DropReason),
    /// Its sender is told that nobody is there.
    Rejected,
    /// Its sender is told that its TTL ended.
    TimeExceeded,
    /// Its sender is told how long it may be.
    TooLong(usize),
    /// It goes on to the host's stack, with these bytes.
    Passed(Vec<u8>),
    /// It leaves the host at once, with these bytes.
    Sent(Vec<u8>),
}

/// What a program returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `XDP_PASS`, `TC_ACT_UNSPEC`.
    Next,
    /// `XDP_DROP`, `TC_ACT_SHOT`.
    Drop,
    /// `XDP_TX`, `TC_ACT_REDIRECT`.
    Sent,
}

impl Verdict {
    /// Of a code of the kernel.
    pub fn of(program: Program, code: i32) -> Option<Self> {
        match (program, code) {
            (Program::XdpUplink, 2) | (_, -1) => Some(Self::Next),
            (Program::XdpUplink, 1) => Some(Self::Drop),
            (Program::XdpUplink, 3) => Some(Self::Sent),
            (Program::XdpUplink, _) => None,
            (_, 2) => Some(Self::Drop),
            (_, 7) => Some(Self::Sent),
            _ => None,
        }
    }
}

impl Outcome {
    /// Why a program did something else; `None`: it did this.
    ///
    /// # Panics
    /// If it is an answer, to what is no packet.
    pub fn contradicted_by(&self, at: Point, frame: &[u8], trial: &Trial) -> Option<String> {
        let wanted = match self {
            Self::Untouched | Self::Passed(_) => Verdict::Next,
            Self::Dropped(_) => Verdict::Drop,
            Self::Rejected | Self::TimeExceeded | Self::TooLong(_) | Self::Sent(_) => Verdict::Sent,
        };
        if Verdict::of(at.program, trial.verdict) != Some(wanted) {
            return Some(format!("the verdict is {}, not {wanted:?}", trial.verdict));
        }
        match self {
            Self::Dropped(_) => None,
            Self::Untouched => difference(frame, &trial.frame),
            Self::Passed(bytes) | Self::Sent(bytes) => difference(bytes, &trial.frame),
            Self::Rejected | Self::TimeExceeded | Self::TooLong(_) => {
                let packet = Datagram::read(frame).expect("only packets are answered");
                answer::mistake(self, at.interface, &packet, &trial.frame)
            }
        }
    }
}

/// In which bytes two frames differ.
pub fn difference(wanted: &[u8], found: &[u8]) -> Option<String> {
    if wanted == found {
        return None;
    }
    let mut words = format!("{} bytes, not {}", found.len(), wanted.len());
    let pairs = wanted.iter().zip(found).enumerate().filter(|(_, (one, other))| one != other);
    for (at, (one, other)) in pairs.take(12) {
        write!(words, "; at {at} {other:02x}, not {one:02x}").expect("a string takes everything");
    }
    Some(words)
}
