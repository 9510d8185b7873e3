//! One Service port and family, as compiled.

use bytemuck::{Pod, Zeroable};

/// How many service ids there may be: the size of `SERVICES` and `COUNTERS`. Id 0 is never given. Every
/// processor has counters for each of them, 2.5 MiB in all.
pub const MAX_SERVICES: u32 = 1 << 16;

/// How many slots there may be: the size of `SLOTS`. Every backend may be in two lists, and a list that
/// changes has its old slots and its new ones for a while.
pub const MAX_SLOTS: u32 = 1 << 21;

/// How many cursors there may be: the size of `CURSORS`, two lists a service.
pub const MAX_CURSORS: u32 = MAX_SERVICES * 2;

/// A list of backends: a contiguous range of `SLOTS`, and the cursor that walks it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct SlotRange {
    /// Index of the first slot.
    pub first: u32,
    /// Number of slots; 0 if there is no backend.
    pub length: u32,
    /// Index into `CURSORS`. Equal lists of one service share it.
    pub cursor: u32,
}

/// The value of `SERVICES`; the key is the service id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Service {
    /// What sources inside the cluster choose from.
    pub internal: SlotRange,
    /// What sources outside the cluster choose from.
    pub external: SlotRange,
}

const _: () = assert!(size_of::<Service>() == 24);
