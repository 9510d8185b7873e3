//! One Service port and family, as compiled.

use bytemuck::{Pod, Zeroable};

/// How many service ids there may be: the size of `SERVICES` and `COUNTERS`. Id 0 is never given. Every
/// processor has counters for each of them, 2.5 MiB in all.
pub const MAX_SERVICES: u32 = 1 << 16;

/// How many slots there may be: the size of `SLOTS`. Every backend may be in two lists, a list that
/// changes has its old slots and its new ones for a while, and a Maglev table has thousands.
pub const MAX_SLOTS: u32 = 1 << 22;

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
    /// The usable endpoints of the whole cluster: the traffic policy `Cluster`.
    pub cluster: SlotRange,
    /// The usable endpoints of this node, where a traffic policy is `Local`; else empty.
    pub local: SlotRange,
    /// For how many seconds after its last connection a client gets the backend that it had
    /// (`spec.sessionAffinityConfig.clientIP.timeoutSeconds`); 0: for none.
    pub affinity_timeout: u32,
    /// An [`Algorithm`](crate::selection::Algorithm).
    pub algorithm: u16,
    /// Bits of [`Service`]'s constants.
    pub flags: u16,
}

const _: () = assert!(size_of::<Service>() == 32);

impl Service {
    /// `internalTrafficPolicy` is `Local`: its ClusterIP leads to endpoints of this node only.
    pub const INTERNAL_LOCAL: u16 = 1 << 0;
    /// `externalTrafficPolicy` is `Local`: its other frontends lead sources from outside the cluster to
    /// endpoints of this node only.
    pub const EXTERNAL_LOCAL: u16 = 1 << 1;

    /// Whether a bit is set.
    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
