//! Somebody else's classifier: it sees packets at tc, remembers them, and lets them go on.

use crate::{
    bpf::{self, Queue},
    links,
    namespace::Namespace,
};
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::os::fd::{AsRawFd, OwnedFd};

const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_BEFORE: u32 = 1 << 3;
const BPF_F_AFTER: u32 = 1 << 4;

/// How many bytes of a frame are remembered.
const SNAP: u8 = 192;

/// A value of the queue: how many bytes of the frame follow, and those.
const VALUE: usize = 8 + SNAP as usize;

/// How many frames are remembered.
const FRAMES: u32 = 4096;

/// Which packets of an interface a classifier sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come in.
    Ingress,
    /// Those that go out.
    Egress,
}

/// How a classifier is attached, and where among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// By tcx, before all others.
    First,
    /// By tcx, behind all others.
    Last,
    /// As a filter of the clsact qdisc, which the kernel runs behind all of tcx.
    Clsact,
}

impl Stand {
    /// All of them, in the order in which a packet meets them.
    pub const ALL: [Self; 3] = [Self::First, Self::Last, Self::Clsact];
}

/// The attached classifier; detached on drop, or with the interface.
#[derive(Debug)]
pub struct Tap {
    seen: Queue<VALUE>,
    _link: Option<OwnedFd>,
}

impl Tap {
    /// Attaches one to an interface.
    pub fn attach(
        namespace: &Namespace,
        interface: &str,
        direction: Direction,
        stand: Stand,
    ) -> Result<Self> {
        let attach = || -> Result<Self> {
            let seen = Queue::new(FRAMES)?;
            let program = bpf::load(bpf::BPF_PROG_TYPE_SCHED_CLS, &instructions(seen.descriptor()), 0)?;
            let (attach_type, ingress) = match direction {
                Direction::Ingress => (BPF_TCX_INGRESS, true),
                Direction::Egress => (BPF_TCX_EGRESS, false),
            };
            let flags = match stand {
                Stand::First => BPF_F_BEFORE,
                Stand::Last => BPF_F_AFTER,
                Stand::Clsact => {
                    let program = program.as_raw_fd().cast_unsigned();
                    links::configure(namespace, async |links| {
                        links.filter(interface, ingress, program).await
                    })?;
                    return Ok(Self { seen, _link: None });
                }
            };
            let link = bpf::link(&program, if_nametoindex(interface)?, attach_type, flags)?;
            Ok(Self { seen, _link: Some(link) })
        };
        namespace.enter(attach).with_context(|| {
            format!(
                "{}: cannot attach a {stand:?} classifier to {interface}'s {direction:?}",
                namespace.name()
            )
        })
    }

    /// The frames that it saw since the last time, each up to its first 192 bytes.
    pub fn frames(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        while let Some(value) = self.seen.pop()? {
            let (length, frame) = value.split_first_chunk().context("a value begins with a length")?;
            let length = usize::try_from(u64::from_ne_bytes(*length))?;
            frames.push(frame[..length.min(SNAP.into())].to_vec());
        }
        Ok(frames)
    }
}

/// The program: it puts the length and the first bytes of the frame on its stack, pushes them to the
/// queue, and returns TCX_NEXT, which is TC_ACT_UNSPEC.
fn instructions(queue: u32) -> Vec<u64> {
    const FRAME_POINTER: u8 = 10;
    const LOAD_BYTES: i32 = 26;
    const MAP_PUSH: i32 = 87;
    let (value, bytes) = (-8 - i16::from(SNAP), -i16::from(SNAP));
    let (mov, mov_register, add, store, store_register, load_word) = (0xb7, 0xbf, 0x07, 0x7a, 0x7b, 0x61);
    let (jump_if_less_or_equal, jump_if_less, call, load_map, exit) = (0xb5, 0xa5, 0x85, 0x18, 0x95);
    // The context outlives calls in register 6, the length in 7.
    let mut code = vec![instruction(mov_register, 6, 1, 0, 0)];
    code.extend(
        (0..=i16::from(SNAP / 8)).map(|word| instruction(store, FRAME_POINTER, 0, value + 8 * word, 0)),
    );
    code.extend([
        instruction(load_word, 7, 6, 0, 0),
        instruction(jump_if_less_or_equal, 7, 0, 1, SNAP.into()),
        instruction(mov, 7, 0, 0, SNAP.into()),
        instruction(store_register, FRAME_POINTER, 7, value, 0),
        // An empty packet would be refused by the helper: to the end.
        instruction(jump_if_less, 7, 0, 12, 1),
        instruction(mov_register, 1, 6, 0, 0),
        instruction(mov, 2, 0, 0, 0),
        instruction(mov_register, 3, FRAME_POINTER, 0, 0),
        instruction(add, 3, 0, 0, bytes.into()),
        instruction(mov_register, 4, 7, 0, 0),
        instruction(call, 0, 0, 0, LOAD_BYTES),
        instruction(load_map, 1, 1, 0, queue.cast_signed()),
        0,
        instruction(mov_register, 2, FRAME_POINTER, 0, 0),
        instruction(add, 2, 0, 0, value.into()),
        instruction(mov, 3, 0, 0, 0),
        instruction(call, 0, 0, 0, MAP_PUSH),
        instruction(mov, 0, 0, 0, -1),
        instruction(exit, 0, 0, 0, 0),
    ]);
    code
}

/// `struct bpf_insn`.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let registers = destination | source << 4;
    let [low, high] = offset.to_ne_bytes();
    let [a, b, c, d] = immediate.to_ne_bytes();
    u64::from_ne_bytes([code, registers, low, high, a, b, c, d])
}
