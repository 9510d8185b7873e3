//! The maps, private behind functions that say what they are for.

use crate::{flow::Place, packet::Headers, route::Neighbour, source_port::Probe};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, lpm_trie::Key},
    macros::btf_map,
};
use svc_lb_common::{
    address::{Address, Ipv4, Ipv6},
    affinity::{Affinity, AffinityKey, MAX_AFFINITIES},
    backend::{Backend, BackendLoad, MAX_BACKENDS},
    counters::{DropReason, Program, ProgramCounters, ServiceCounters},
    flow::{Flow, FlowKey, NextHop},
    fragment::{FragmentKey, FragmentPorts, MAX_FRAGMENTED},
    frontend::{Frontend, FrontendKey},
    hint::HINTS,
    interface::{INTERFACE_SLOTS, Interface, MAX_OTHER_INTERFACES, Settings, slot as interface_slot},
    service::{MAX_CURSORS, MAX_SERVICES, MAX_SLOTS, Service},
    source_range::{MAX_SOURCE_RANGES, SourceRange},
};

/// How many entries the flow tables hold unless the loader says otherwise.
const FLOW_ENTRIES: usize = 1 << 19;
/// How many frontends one family may have.
const FRONTENDS: usize = 1 << 19;
const SERVICES_LENGTH: usize = MAX_SERVICES as usize;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// A flow table.
pub type Flows<A> = LruHashMap<FlowKey<A>, Flow<A>, FLOW_ENTRIES>;
/// A table of datagrams in pieces.
pub type Fragments<A> = LruHashMap<FragmentKey<A>, FragmentPorts, MAX_FRAGMENTED>;
/// A table of frontends.
pub type Frontends<A> = HashMap<FrontendKey<A>, Frontend, FRONTENDS, NO_PREALLOC>;
/// A table of hints at addresses.
pub type Hints = Array<u64, { HINTS as usize }>;
/// A table of backends.
pub type Backends<A> = Array<Backend<A>, { MAX_BACKENDS as usize }>;
/// A table of what backends have to do.
pub type BackendLoads = Array<BackendLoad, { MAX_BACKENDS as usize }>;
/// A table of the backends that clients had last.
pub type Affinities<A> = LruHashMap<AffinityKey<A>, Affinity, { MAX_AFFINITIES as usize }>;
/// A table of ranges of sources.
pub type SourceRanges<A> = LpmTrie<SourceRange<A>, u32, { MAX_SOURCE_RANGES as usize }>;

#[btf_map]
static FLOWS_V4: Flows<Ipv4> = Flows::new();
#[btf_map]
static FLOWS_V6: Flows<Ipv6> = Flows::new();
#[btf_map]
static NEW_FLOWS_V4: Flows<Ipv4> = Flows::new();
#[btf_map]
static NEW_FLOWS_V6: Flows<Ipv6> = Flows::new();
#[btf_map]
static FRAGMENTS_V4: Fragments<Ipv4> = Fragments::new();
#[btf_map]
static FRAGMENTS_V6: Fragments<Ipv6> = Fragments::new();
#[btf_map]
static FRONTENDS_V4: Frontends<Ipv4> = Frontends::new();
#[btf_map]
static FRONTENDS_V6: Frontends<Ipv6> = Frontends::new();
#[btf_map]
static HINTS_V4: Hints = Hints::new();
#[btf_map]
static HINTS_V6: Hints = Hints::new();
#[btf_map]
static BACKENDS_V4: Backends<Ipv4> = Backends::new();
#[btf_map]
static BACKENDS_V6: Backends<Ipv6> = Backends::new();
#[btf_map]
static BACKEND_LOADS_V4: BackendLoads = BackendLoads::new();
#[btf_map]
static BACKEND_LOADS_V6: BackendLoads = BackendLoads::new();
#[btf_map]
static AFFINITY_V4: Affinities<Ipv4> = Affinities::new();
#[btf_map]
static AFFINITY_V6: Affinities<Ipv6> = Affinities::new();
#[btf_map]
static SOURCE_RANGES_V4: SourceRanges<Ipv4> = SourceRanges::new();
#[btf_map]
static SOURCE_RANGES_V6: SourceRanges<Ipv6> = SourceRanges::new();
#[btf_map]
static SERVICES: HashMap<u32, Service, SERVICES_LENGTH, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SLOTS: Array<u32, { MAX_SLOTS as usize }> = Array::new();
#[btf_map]
static CURSORS: Array<u32, { MAX_CURSORS as usize }> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<ServiceCounters, SERVICES_LENGTH> = PerCpuArray::new();
#[btf_map]
static PROGRAMS: PerCpuArray<ProgramCounters, { Program::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static DROPS: PerCpuArray<u64, { DropReason::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static INTERFACES: Array<Interface, { INTERFACE_SLOTS as usize }> = Array::new();
#[btf_map]
static OTHER_INTERFACES: HashMap<u32, Interface, { MAX_OTHER_INTERFACES as usize }, NO_PREALLOC> =
    HashMap::new();
#[btf_map]
static NEW_FLOW_RATE: PerCpuArray<Rate, 1> = PerCpuArray::new();
#[btf_map]
static UNFINISHED: Array<u32, 1> = Array::new();

#[btf_map]
static SCRATCH_V4: PerCpuArray<Scratch<Ipv4>, 1> = PerCpuArray::new();
#[btf_map]
static SCRATCH_V6: PerCpuArray<Scratch<Ipv6>, 1> = PerCpuArray::new();

#[btf_map]
static HEADERS_V4: PerCpuArray<Headers<Ipv4>, 2> = PerCpuArray::new();
#[btf_map]
static HEADERS_V6: PerCpuArray<Headers<Ipv6>, 2> = PerCpuArray::new();

/// The element of `HEADERS_V4/6` for the packet at hand.
const PACKET: u32 = 0;
/// The element of `HEADERS_V4/6` for the packet that an ICMP error quotes.
const QUOTED: u32 = 1;

/// Room for the making of a flow, which the stack has not, and for what stages of the pipeline hand on.
#[repr(C)]
pub struct Scratch<A> {
    /// Where the flow goes.
    pub place: Place,
    /// 1: the client's address is replaced.
    pub masqueraded: u32,
    /// Where the packet goes next, if not to the host's stack, as it was looked up last.
    pub next_hop: NextHop,
    /// The IP address of that neighbour, and its family.
    pub neighbour: Neighbour,
    /// The generation of the routes before it was looked up.
    pub route_generation: u32,
    /// The search for a source port.
    pub probe: Probe,
    /// The entry of the direction at hand.
    pub flow: Flow<A>,
    /// The key of the other direction.
    pub partner_key: FlowKey<A>,
    /// The entry of the other direction.
    pub partner: Flow<A>,
}

impl<A: Address> Scratch<A> {
    /// Makes the other direction from the one at hand, which has this key. With a stack frame of its own.
    #[inline(never)]
    pub fn pair(&mut self, key: &FlowKey<A>) {
        self.partner_key = self.flow.partner_key(key.protocol);
        self.partner = self.flow;
        self.partner.turn(key);
    }

    /// The same for a flow that changes what it translates: what its checksums need of that is not known yet.
    #[inline(always)]
    pub fn pair_translated(&mut self, key: &FlowKey<A>) {
        self.flow.set_differences(&key.tuple);
        self.pair(key);
    }
}

/// How many flows a processor has made in a second that nobody has confirmed since.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rate {
    /// The second, of the dataplane's clock.
    pub second: u32,
    /// The flows made in it, less those that were confirmed in it.
    pub flows: u32,
}

/// The maps that there are one of for each family.
pub trait Maps: Address {
    /// Flows.
    fn flows() -> &'static Flows<Self>;
    /// Unfinished flows, while there are too many.
    fn new_flows() -> &'static Flows<Self>;
    /// Datagrams in pieces.
    fn fragments() -> &'static Fragments<Self>;
    /// Frontends.
    fn frontends() -> &'static Frontends<Self>;
    /// Hints at addresses.
    fn hints() -> &'static Hints;
    /// Backends.
    fn backends() -> &'static Backends<Self>;
    /// What backends have to do.
    fn backend_loads() -> &'static BackendLoads;
    /// The backends that clients had last.
    fn affinities() -> &'static Affinities<Self>;
    /// Ranges of sources.
    fn source_ranges() -> &'static SourceRanges<Self>;
    /// This processor's room for the making of a flow.
    fn scratch() -> Option<*mut Scratch<Self>>;
    /// This processor's room for the headers of a packet, by its index.
    fn headers(index: u32) -> Option<*mut Headers<Self>>;
}

impl Maps for Ipv4 {
    #[inline(always)]
    fn flows() -> &'static Flows<Self> {
        &FLOWS_V4
    }
    #[inline(always)]
    fn new_flows() -> &'static Flows<Self> {
        &NEW_FLOWS_V4
    }
    #[inline(always)]
    fn fragments() -> &'static Fragments<Self> {
        &FRAGMENTS_V4
    }
    #[inline(always)]
    fn frontends() -> &'static Frontends<Self> {
        &FRONTENDS_V4
    }
    #[inline(always)]
    fn hints() -> &'static Hints {
        &HINTS_V4
    }
    #[inline(always)]
    fn backends() -> &'static Backends<Self> {
        &BACKENDS_V4
    }
    #[inline(always)]
    fn backend_loads() -> &'static BackendLoads {
        &BACKEND_LOADS_V4
    }
    #[inline(always)]
    fn affinities() -> &'static Affinities<Self> {
        &AFFINITY_V4
    }
    #[inline(always)]
    fn source_ranges() -> &'static SourceRanges<Self> {
        &SOURCE_RANGES_V4
    }
    #[inline(always)]
    fn scratch() -> Option<*mut Scratch<Self>> {
        SCRATCH_V4.get_ptr_mut(0)
    }
    #[inline(always)]
    fn headers(index: u32) -> Option<*mut Headers<Self>> {
        HEADERS_V4.get_ptr_mut(index)
    }
}

impl Maps for Ipv6 {
    #[inline(always)]
    fn flows() -> &'static Flows<Self> {
        &FLOWS_V6
    }
    #[inline(always)]
    fn new_flows() -> &'static Flows<Self> {
        &NEW_FLOWS_V6
    }
    #[inline(always)]
    fn fragments() -> &'static Fragments<Self> {
        &FRAGMENTS_V6
    }
    #[inline(always)]
    fn frontends() -> &'static Frontends<Self> {
        &FRONTENDS_V6
    }
    #[inline(always)]
    fn hints() -> &'static Hints {
        &HINTS_V6
    }
    #[inline(always)]
    fn backends() -> &'static Backends<Self> {
        &BACKENDS_V6
    }
    #[inline(always)]
    fn backend_loads() -> &'static BackendLoads {
        &BACKEND_LOADS_V6
    }
    #[inline(always)]
    fn affinities() -> &'static Affinities<Self> {
        &AFFINITY_V6
    }
    #[inline(always)]
    fn source_ranges() -> &'static SourceRanges<Self> {
        &SOURCE_RANGES_V6
    }
    #[inline(always)]
    fn scratch() -> Option<*mut Scratch<Self>> {
        SCRATCH_V6.get_ptr_mut(0)
    }
    #[inline(always)]
    fn headers(index: u32) -> Option<*mut Headers<Self>> {
        HEADERS_V6.get_ptr_mut(index)
    }
}

/// This processor's room for the making of a flow.
#[inline(always)]
pub fn scratch<A: Maps>() -> Option<&'static mut Scratch<A>> {
    // SAFETY: a pointer into this processor's value. Programs at these hooks do not interrupt each
    // other on a processor, and none keeps a reference over another call.
    A::scratch().map(|scratch| unsafe { &mut *scratch })
}

/// This processor's room for the headers of a packet.
#[inline(always)]
pub fn headers<A: Maps>() -> Option<&'static mut Headers<A>> {
    // SAFETY: as above; only the parser writes to it.
    A::headers(PACKET).map(|headers| unsafe { &mut *headers })
}

/// This processor's room for the headers of the packet that an ICMP error quotes.
#[inline(always)]
pub fn quoted_headers<A: Maps>() -> Option<&'static mut Headers<A>> {
    // SAFETY: as above.
    A::headers(QUOTED).map(|headers| unsafe { &mut *headers })
}

/// The backend at an index.
#[inline(always)]
pub fn backend<A: Maps>(index: u32) -> Option<&'static Backend<A>> {
    A::backends().get(index)
}

/// What the backend at an index has to do, counted by all processors.
#[inline(always)]
pub fn backend_load<A: Maps>(index: u32) -> Option<*mut BackendLoad> {
    A::backend_loads().get_ptr_mut(index)
}

/// Which backend a client had last. An entry that is evicted meanwhile may be reused for another client of any
/// service: use what it says only if it fits the service, and write no more to it than a time.
#[inline(always)]
pub fn affinity<A: Maps>(key: &AffinityKey<A>) -> Option<*mut Affinity> {
    A::affinities().get_ptr_mut(key)
}

/// Remembers which backend a client has.
#[inline(always)]
pub fn keep_affinity<A: Maps>(key: &AffinityKey<A>, affinity: &Affinity) {
    // Without an entry the client's next connection chooses anew: no reason to refuse this one.
    let _ = A::affinities().insert(key, affinity, 0);
}

/// A key of `SOURCE_RANGES_V4/6` that the compiler may write word by word: it is packed by itself.
#[repr(align(4))]
struct AlignedKey<A>(Key<SourceRange<A>>);

/// Whether one of a service's source ranges, or of the cluster's, holds an address.
#[inline(always)]
pub fn source_range_holds<A: Maps>(service: u32, address: A) -> bool {
    let key = AlignedKey(Key::new(SourceRange::<A>::BITS, SourceRange { service, address }));
    A::source_ranges().get(&key.0).is_some()
}

/// A service by its id.
#[inline(always)]
pub fn service(id: u32) -> Option<&'static Service> {
    // SAFETY: an entry is replaced as a whole and freed after a grace period of RCU, in which this
    // program runs.
    unsafe { SERVICES.get(id) }
}

/// The backend index in a slot.
#[inline(always)]
pub fn slot(index: u32) -> Option<u32> {
    SLOTS.get(index).copied()
}

/// A cursor, shared by all processors.
#[inline(always)]
pub fn cursor(index: u32) -> Option<*mut u32> {
    CURSORS.get_ptr_mut(index)
}

/// This processor's counters of a service.
#[inline(always)]
pub fn service_counters(id: u32) -> Option<*mut ServiceCounters> {
    COUNTERS.get_ptr_mut(id)
}

/// This processor's counters of a program.
#[inline(always)]
pub fn program_counters(program: Program) -> Option<*mut ProgramCounters> {
    PROGRAMS.get_ptr_mut(program as u32)
}

/// This processor's count of packets dropped for a reason.
#[inline(always)]
pub fn drops(reason: DropReason) -> Option<*mut u64> {
    DROPS.get_ptr_mut(reason as u32)
}

/// What the agent knows of the node.
#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// The generation of the routes and neighbours.
#[inline(always)]
pub fn route_generation() -> Option<u32> {
    let settings = SETTINGS.get_ptr(0)?;
    // SAFETY: a pointer into a map value; volatile because the agent changes it.
    Some(unsafe { core::ptr::read_volatile(&raw const (*settings).route_generation) })
}

/// What the agent knows of an interface; `None` if svc-lb does not serve it.
#[inline(always)]
pub fn interface(ifindex: u32) -> Option<&'static Interface> {
    match interface_at(interface_slot(ifindex)) {
        Some(interface) if interface.index == ifindex => Some(interface),
        // SAFETY: an entry is replaced as a whole and freed after a grace period of RCU, in which this
        // program runs.
        _ => unsafe { OTHER_INTERFACES.get(ifindex) },
    }
}

/// The interface in a slot.
#[inline(always)]
pub fn interface_at(slot: u32) -> Option<&'static Interface> {
    INTERFACES.get(slot)
}

/// This processor's rate of new flows.
#[inline(always)]
pub fn new_flow_rate() -> Option<*mut Rate> {
    NEW_FLOW_RATE.get_ptr_mut(0)
}

/// The last second in which the table of unfinished flows got one, or one of them was seen; 0: never.
#[inline(always)]
pub fn last_unfinished() -> Option<*mut u32> {
    UNFINISHED.get_ptr_mut(0)
}
