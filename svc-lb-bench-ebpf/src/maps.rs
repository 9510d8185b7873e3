//! The maps.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray},
    macros::btf_map,
};
use svc_lb_bench_ebpf::{ADDRESSES, Course};
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6},
    backend::Backend,
    flow::{Flow, FlowKey},
    frontend::{Frontend, FrontendKey},
};

const ENTRIES: usize = 1 << 19;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// A flow table, as large as the loader says.
pub type Flows<A> = LruHashMap<FlowKey<A>, Flow<A>, ENTRIES>;
/// svc-lb's table of frontends.
pub type Frontends<A> = HashMap<FrontendKey<A>, Frontend, ENTRIES, NO_PREALLOC>;
/// Backends, one as good as the other.
pub type Backends<A> = Array<Backend<A>, { ADDRESSES as usize }>;

/// svc-lb's own.
#[btf_map]
static FLOWS_V4: Flows<Ipv4> = Flows::new();
#[btf_map]
static FLOWS_V6: Flows<Ipv6> = Flows::new();
#[btf_map]
static FRONTENDS_V4: Frontends<Ipv4> = Frontends::new();
#[btf_map]
static FRONTENDS_V6: Frontends<Ipv6> = Frontends::new();
/// svc-lb's own: a second, and the flows that this processor has made in it.
#[btf_map]
static NEW_FLOW_RATE: PerCpuArray<[u32; 2], 1> = PerCpuArray::new();

#[btf_map]
static CONNECTED_V4: Flows<Ipv4> = Flows::new();
#[btf_map]
static CONNECTED_V6: Flows<Ipv6> = Flows::new();
#[btf_map]
static CHOICES_V4: Backends<Ipv4> = Backends::new();
#[btf_map]
static CHOICES_V6: Backends<Ipv6> = Backends::new();
#[btf_map]
static CURSOR: Array<u32, 1> = Array::new();

/// What packets are made.
#[btf_map]
static COURSE: Array<Course, 1> = Array::new();
/// How many packets did not take the way that they should.
#[btf_map]
static MISSED: Array<u64, 1> = Array::new();
/// What is measured, if that is XDP.
#[btf_map]
pub static XDP_PROGRAM: ProgramArray<1> = ProgramArray::new();
/// What is measured, if that is tc.
#[btf_map]
pub static TC_PROGRAM: ProgramArray<1> = ProgramArray::new();

/// The maps of a family.
pub trait Maps: Address {
    /// svc-lb's flows.
    fn flows() -> &'static Flows<Self>;
    /// svc-lb's frontends.
    fn frontends() -> &'static Frontends<Self>;
    /// Flows that a floor makes.
    fn connected() -> &'static Flows<Self>;
    /// The backends of those.
    fn choices() -> &'static Backends<Self>;
}

impl Maps for Ipv4 {
    #[inline(always)]
    fn flows() -> &'static Flows<Self> {
        &FLOWS_V4
    }
    #[inline(always)]
    fn frontends() -> &'static Frontends<Self> {
        &FRONTENDS_V4
    }
    #[inline(always)]
    fn connected() -> &'static Flows<Self> {
        &CONNECTED_V4
    }
    #[inline(always)]
    fn choices() -> &'static Backends<Self> {
        &CHOICES_V4
    }
}

impl Maps for Ipv6 {
    #[inline(always)]
    fn flows() -> &'static Flows<Self> {
        &FLOWS_V6
    }
    #[inline(always)]
    fn frontends() -> &'static Frontends<Self> {
        &FRONTENDS_V6
    }
    #[inline(always)]
    fn connected() -> &'static Flows<Self> {
        &CONNECTED_V6
    }
    #[inline(always)]
    fn choices() -> &'static Backends<Self> {
        &CHOICES_V6
    }
}

/// What packets are made.
#[inline(always)]
pub fn course() -> Option<&'static mut Course> {
    // SAFETY: one test run at a time, on one processor.
    COURSE.get_ptr_mut(0).map(|course| unsafe { &mut *course })
}

/// The cursor of the one list of backends.
#[inline(always)]
pub fn cursor() -> Option<*mut u32> {
    CURSOR.get_ptr_mut(0)
}

/// Counts a packet that did not take its way.
#[inline(always)]
pub fn count_miss() {
    if let Some(missed) = MISSED.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { *missed += 1 }
    }
}

/// Forgets how many flows were made in this second.
#[inline(always)]
pub fn reset_rate() {
    if let Some(rate) = NEW_FLOW_RATE.get_ptr_mut(0) {
        // SAFETY: this processor's value, which nothing else writes meanwhile.
        unsafe { (*rate)[1] = 0 }
    }
}
