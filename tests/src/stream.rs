//! Datagrams with numbers, one after the other: which of them are lost on a way.

use crate::{conversation::Exchange, frame::Packet, load::Ending, namespace::join, wait::SOON, wire::Wire};
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// How often a datagram is sent.
pub const INTERVAL: Duration = Duration::from_millis(1);

/// What every datagram begins with, which servers do not answer. Its number follows.
const QUIET: &[u8] = b"quiet stream ";

/// A stream, and where its datagrams arrive.
#[derive(Debug)]
pub struct Stream {
    /// Who sends.
    pub sender: Exchange,
    /// Who sees them.
    pub receiver: Wire,
}

impl Stream {
    /// The numbers of the datagrams that did not arrive, up to the last one sent, which must.
    fn lost(&self, last: u32) -> Result<Vec<u32>> {
        let mut arrived = BTreeSet::new();
        let end = self.receiver.find(SOON, |frame| {
            let number = number(frame)?;
            arrived.insert(number);
            (number == last).then_some(())
        });
        end.with_context(|| format!("a stream of {last} broke off after {:?}", arrived.last()))?;
        Ok((0..last).filter(|number| !arrived.contains(number)).collect())
    }
}

/// Lets streams flow, in step, while something happens. Says for each which datagrams it lost.
pub fn during(streams: &[Stream], happening: impl FnOnce() -> Result<()>) -> Result<Vec<Vec<u32>>> {
    let over = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let sender = scope.spawn(|| send(streams, &over));
        let ending = Ending(&over);
        happening()?;
        drop(ending);
        Ok::<_, anyhow::Error>(join(sender)?)
    })?;
    streams.iter().map(|stream| stream.lost(last)).collect()
}

/// Sends datagrams by every stream until it is over, and returns the last one's number.
fn send(streams: &[Stream], over: &AtomicBool) -> io::Result<u32> {
    let mut number = 0_u32;
    loop {
        let last = over.load(Ordering::Relaxed);
        for stream in streams {
            stream.sender.send(&[QUIET, &number.to_be_bytes()].concat())?;
        }
        if last {
            return Ok(number);
        }
        number += 1;
        thread::sleep(INTERVAL);
    }
}

/// The number of a datagram of a stream.
fn number(frame: &[u8]) -> Option<u32> {
    let packet = Packet::read(frame)?;
    Some(u32::from_be_bytes(packet.payload.strip_prefix(QUIET)?.try_into().ok()?))
}
