//! Where a program runs on one packet after another (`BPF_PROG_TEST_RUN`): svc-lb's own, with its maps, and
//! those to compare it with.

use super::{
    case::{Case, Effect, Flows, Subject},
    node::{self, Links, Node, Purpose},
};
use crate::processor;
use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{Array, MapData, PerCpuArray, ProgramArray},
    programs::{ProgramFd, SchedClassifier, Xdp, XdpMode as Attachment},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use svc_lb::{
    compile::Family,
    dataplane::{Dataplane, Options},
    options::XdpMode,
};
use svc_lb_bench_ebpf::{ADDRESSES, Course, LENGTH_V6, STRIDE};
use svc_lb_common::{
    LAYOUT_VERSION,
    address::{Address, Be16, Ipv4, Ipv6},
    backend::Backend,
    counters::{ProgramCounters, ServiceCounters},
    snat::PortRange,
    timeout::Timeouts,
};
use svc_lb_tests::{plan::FAMILIES, private_run::PrivateRun};

/// The programs to compare with.
static FLOORS: &[u8] = aya::include_bytes_aligned!(env!("FLOORS_OBJECT"));
/// Where svc-lb's maps are pinned.
const PIN_DIR: &str = "/run/bpf/svc-lb";
/// Those of its maps that the floors use too.
const SHARED: [&str; 5] = ["FLOWS_V4", "FLOWS_V6", "FRONTENDS_V4", "FRONTENDS_V6", "NEW_FLOW_RATE"];
/// The flow tables of the floors alone.
const CONNECTED: [&str; 2] = ["CONNECTED_V4", "CONNECTED_V6"];
/// Bytes of the addresses that a frame begins with.
const LINK_ADDRESSES: usize = 12;

/// The packets of svc-lb's own that a program finished, and the flows that were made for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    finished: ProgramCounters,
    new_flows: u64,
    missed: u64,
}

/// The programs and maps.
pub struct Bed {
    /// The interfaces.
    pub links: Links,
    dataplane: Dataplane,
    floors: Ebpf,
    course: Array<MapData, [u64; Course::WORDS]>,
    missed: Array<MapData, u64>,
    xdp_program: ProgramArray<MapData>,
    tc_program: ProgramArray<MapData>,
    program_counters: PerCpuArray<MapData, [u64; size_of::<ProgramCounters>() / 8]>,
    service_counters: PerCpuArray<MapData, [u64; size_of::<ServiceCounters>() / 8]>,
    /// By namespace/name and family.
    service_ids: BTreeMap<(String, String), u32>,
    descriptors: BTreeMap<&'static str, ProgramFd>,
}

impl Bed {
    /// Runs something on the bed, on one processor. `flow_entries`: as of the flag of that name.
    pub fn with<T: Send>(flow_entries: u32, inside: impl FnOnce(&mut Self) -> Result<T> + Send) -> Result<T> {
        let (node, run) = (Node::new()?, PrivateRun::new()?);
        node.namespace().enter(|| {
            processor::stay_on_one()?;
            run.enter()?;
            inside(&mut Self::load(&node, flow_entries).context("cannot load the programs")?)
        })
    }

    fn load(node: &Node, flow_entries: u32) -> Result<Self> {
        let mut dataplane = Dataplane::open(&Options {
            pin_dir: PIN_DIR.into(),
            xdp_mode: XdpMode::Off,
            flow_entries,
            timeouts: Timeouts::default(),
            snat_ports: PortRange { first: 10000, last: 29999 },
            external_cluster_ips: false,
            own_ranges: Vec::new(),
        })?;
        dataplane.sync(&node::tables())?;
        dataplane.set_interfaces(&node.facts()?, &FAMILIES.map(node::address))?;
        let mut service_ids = BTreeMap::new();
        for service in dataplane.services()? {
            service_ids.insert((service.name, service.family), service.id);
        }
        let maps = PathBuf::from(PIN_DIR).join(format!("maps-v{LAYOUT_VERSION}"));
        let mut floors = load_floors(&maps, flow_entries)?;
        let map = |name: &str| MapData::from_pin(maps.join(name)).map(aya::maps::Map::PerCpuArray);
        let (program_counters, service_counters) = (map("PROGRAMS")?, map("COUNTERS")?);
        fill_choices::<Ipv4, { size_of::<Backend<Ipv4>>() / 4 }>(&mut floors, "CHOICES_V4", Family::V4)?;
        fill_choices::<Ipv6, { size_of::<Backend<Ipv6>>() / 4 }>(&mut floors, "CHOICES_V6", Family::V6)?;
        let mut take = |name: &str| floors.take_map(name).with_context(|| format!("no map {name}"));
        Ok(Self {
            course: take("COURSE")?.try_into()?,
            missed: take("MISSED")?.try_into()?,
            xdp_program: take("XDP_PROGRAM")?.try_into()?,
            tc_program: take("TC_PROGRAM")?.try_into()?,
            program_counters: program_counters.try_into()?,
            service_counters: service_counters.try_into()?,
            service_ids,
            descriptors: BTreeMap::new(),
            links: node.links,
            dataplane,
            floors,
        })
    }

    /// Runs a case so many times, and returns how many nanoseconds each took, the course included. Fails if not
    /// all of them took the way that is measured.
    pub fn run(&mut self, case: &mut Case, times: u32) -> Result<f64> {
        self.prepare(case, times)?;
        let before = self.work(case)?;
        let duration = self.test_run(case, times)?;
        let after = self.work(case)?;
        let expected = expected(before, case.effect, times.into());
        ensure!(
            after == expected,
            "{}: {after:?} instead of {expected:?}, {times} after {before:?}",
            case.name
        );
        Ok(duration)
    }

    /// Lays the course.
    fn prepare(&mut self, case: &mut Case, times: u32) -> Result<()> {
        let (addresses, rest) = case.frame.split_at(LINK_ADDRESSES);
        let (ether_type, rest) = rest.split_at(size_of::<u16>());
        let (mut link, mut packet) = ([0; 16], [0; 64]);
        link[..addresses.len()].copy_from_slice(addresses);
        packet[..rest.len()].copy_from_slice(rest);
        let (first, mask, stride) = match case.flows {
            Flows::Known(number) => (0, number - 1, STRIDE),
            Flows::From(made) | Flows::New { made, .. } => (made, u32::MAX, 1),
        };
        let unhurried = !matches!(case.flows, Flows::New { flood: true, .. });
        let course = Course {
            packet: bytemuck::cast(packet),
            link: bytemuck::cast(link),
            ether_type: bytemuck::pod_read_unaligned(ether_type),
            address: case.address,
            ports: case.ports,
            shift: case.shift,
            made: first,
            mask,
            stride,
            unhurried: unhurried.into(),
        };
        self.course.set(0, bytemuck::cast::<_, [u64; Course::WORDS]>(course), 0)?;
        if let Flows::New { made, .. } = &mut case.flows {
            *made += times;
        }
        let descriptor = self.descriptor(case.subject)?;
        let program = if case.subject.is_xdp() { &mut self.xdp_program } else { &mut self.tc_program };
        Ok(program.set(0, &descriptor, 0)?)
    }

    fn descriptor(&mut self, subject: Subject) -> Result<ProgramFd> {
        if let Some(descriptor) = self.descriptors.get(subject.name()) {
            return Ok(descriptor.try_clone()?);
        }
        let descriptor = match subject {
            Subject::Own(program) => self.dataplane.program(program)?,
            Subject::Xdp(name) | Subject::Tc(name) => {
                self.floors.program(name).with_context(|| format!("no program {name}"))?.fd()?.try_clone()?
            }
        };
        self.descriptors.insert(subject.name(), descriptor.try_clone()?);
        Ok(descriptor)
    }

    /// What svc-lb's counters and the floors' say.
    fn work(&self, case: &Case) -> Result<Work> {
        let mut work = Work { missed: self.missed.get(&0, 0)?, ..Work::default() };
        if let Subject::Own(program) = case.subject {
            let mut finished = [0_u64; size_of::<ProgramCounters>() / 8];
            for processor in self.program_counters.get(&(program as u32), 0)?.iter() {
                finished.iter_mut().zip(processor).for_each(|(sum, counter)| *sum += counter);
            }
            work.finished = bytemuck::cast(finished);
        }
        if let Some(purpose) = case.purpose {
            let service = purpose.service(case.family);
            let key = (service.name, service.family.to_string());
            let id = self.service_ids.get(&key).with_context(|| format!("no service {key:?}"))?;
            work.new_flows = self.service_counters.get(id, 0)?.iter().map(|[new_flows, ..]| new_flows).sum();
        }
        Ok(work)
    }

    fn test_run(&mut self, case: &Case, times: u32) -> Result<f64> {
        let context = context(case);
        let mut left = [0; LENGTH_V6];
        let options = TestRunOptions {
            data_in: Some(&case.frame),
            data_out: Some(&mut left),
            ctx_in: Some(bytemuck::cast_slice(&context)),
            repeat: times,
            ..TestRunOptions::default()
        };
        let name = match (case.subject.is_xdp(), case.family) {
            (true, Family::V4) => "course_xdp_v4",
            (true, Family::V6) => "course_xdp_v6",
            (false, Family::V4) => "course_tc_v4",
            (false, Family::V6) => "course_tc_v6",
        };
        let course = self.floors.program_mut(name).with_context(|| format!("no program {name}"))?;
        let result = if case.subject.is_xdp() {
            <&mut Xdp>::try_from(course)?.test_run(options)?
        } else {
            <&mut SchedClassifier>::try_from(course)?.test_run(options)?
        };
        let verdict = result.return_value.cast_signed();
        let drops = || self.dataplane.statistics().map(|it| it.drops);
        ensure!(verdict == case.verdict, "{}: the verdict is {verdict}; {:?}", case.name, drops());
        Ok(result.duration.as_secs_f64() * 1e9)
    }
}

/// Loads the floors, with the maps of svc-lb that they share.
fn load_floors(maps: &Path, flow_entries: u32) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    for name in SHARED {
        loader.map_pin_path(name, maps.join(name));
    }
    for name in CONNECTED {
        loader.map_max_entries(name, flow_entries);
    }
    let mut floors = loader.load(FLOORS)?;
    for (name, program) in floors.programs_mut() {
        match program {
            aya::programs::Program::Xdp(xdp) => xdp.load(),
            aya::programs::Program::SchedClassifier(tc) => tc.load(),
            _ => continue,
        }
        .with_context(|| format!("the kernel refuses {name}"))?;
    }
    attach_courses(&mut floors)?;
    Ok(floors)
}

/// Attaches the courses for XDP where there are no packets. The kernel has a list of the attached programs, to call
/// them fast; a program that is on none would be put there for each test run and taken off again, and for each of both
/// the kernel waits until nobody uses the old list: some milliseconds.
fn attach_courses(floors: &mut Ebpf) -> Result<()> {
    for (name, interface) in ["course_xdp_v4", "course_xdp_v6"].into_iter().zip(node::UNUSED) {
        let course: &mut Xdp =
            floors.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
        course.attach(interface, Attachment::default())?;
    }
    Ok(())
}

/// Gives a floor the backends of the service with remote ones. `WORDS`: of 32 bits, of a backend.
fn fill_choices<A: Address, const WORDS: usize>(floors: &mut Ebpf, map: &str, family: Family) -> Result<()> {
    let mut choices: Array<_, [u32; WORDS]> =
        floors.map_mut(map).with_context(|| format!("no map {map}"))?.try_into()?;
    for number in 0..ADDRESSES {
        let at = node::following(Purpose::Remote.backend(family).ip(), number);
        let backend = Backend {
            address: A::from_ip(at).context("an address of another family")?,
            port: Be16::new(node::TARGET_PORT),
            ..Backend::default()
        };
        choices.set(number, bytemuck::cast::<Backend<A>, [u32; WORDS]>(backend), 0)?;
    }
    Ok(())
}

/// What must be counted after so many packets.
fn expected(before: Work, effect: Effect, times: u64) -> Work {
    let mut after = before;
    match effect {
        Effect::Nothing => {}
        Effect::Forwarded => after.finished.forwarded += times,
        Effect::Replied => after.finished.replied += times,
        Effect::Rejected => after.finished.rejected += times,
        Effect::Opened => after.new_flows += times,
        Effect::OpenedAndForwarded => {
            after.new_flows += times;
            after.finished.forwarded += times;
        }
    }
    after
}

/// The beginning of a program's context, as of `struct xdp_md` and `struct __sk_buff` (linux/bpf.h): the kernel
/// takes the rest for zeros.
fn context(case: &Case) -> Vec<u32> {
    /// The end of the data, in bytes from its beginning.
    const XDP_DATA_END: usize = 1;
    const XDP_INGRESS_IFINDEX: usize = 3;
    const SKB_IFINDEX: usize = 10;
    if case.subject.is_xdp() {
        let mut context = vec![0; XDP_INGRESS_IFINDEX + 1];
        context[XDP_DATA_END] = case.frame.len() as u32;
        context[XDP_INGRESS_IFINDEX] = case.interface;
        return context;
    }
    let mut context = vec![0; SKB_IFINDEX + 1];
    context[SKB_IFINDEX] = case.interface;
    context
}
