//! Why a packet is not simply translated.

use svc_lb_common::counters::DropReason;

/// Why a packet does not simply go to its backend or client. What becomes of it is decided in
/// one place, at the end of the pipeline. It fits a register: the verifier takes no function whose
/// arguments are only sometimes there.
#[derive(Clone, Copy)]
pub enum Exception {
    /// It does not concern svc-lb, or another program finishes it: it stays as it is.
    NotOurs,
    /// It belongs to a flow, if at all, by what another packet says: a fragment that is not the first, or
    /// an ICMP error. Only in tc; what was parsed of it is in the map.
    Related,
    /// It is an answer, but not to what its flow has sent: the flow makes way.
    Untranslated,
    /// There is nobody to answer it: its sender is told so.
    Reject,
    /// Its TTL or hop limit ends here: its sender is told so.
    TimeExceeded,
    /// It is longer than the way takes, to the next hop in the scratch: its sender is told so.
    TooLong,
    /// Who sends it decides, and of a socket that is not known yet: its packets will tell.
    SourceUnknown,
    /// It goes no further.
    Drop(DropReason),
}

impl Exception {
    /// What may come of a choice, as a number: a function that the verifier follows by itself gives nothing
    /// else. 0: no exception.
    #[inline(always)]
    pub fn code(outcome: Result<(), Self>) -> u32 {
        match outcome {
            Ok(()) => 0,
            Err(Self::Reject) => 1,
            Err(Self::Drop(reason)) => FIRST_REASON + reason as u32,
            Err(_) => 2,
        }
    }

    /// The opposite of [`Self::code`].
    #[inline(always)]
    pub fn of_code(code: u32) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            1 => Err(Self::Reject),
            _ => match DropReason::ALL.get(code.wrapping_sub(FIRST_REASON) as usize) {
                Some(reason) => Err(Self::Drop(*reason)),
                None => Err(Self::NotOurs),
            },
        }
    }
}

/// The code of the first reason for a drop.
const FIRST_REASON: u32 = 3;
