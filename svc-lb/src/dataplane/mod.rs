//! The kernel side, as the agent sees it: load, attach, pin, typed maps, sync, expiry. The only place
//! that knows aya, and the only one that touches a map.
//!
//! - [`Dataplane`]: everything of a running agent
//! - [`view::View`]: what the pinned maps hold, also while no agent runs
//! - [`cleanup`]: nothing is left
//!
//! A sync is a [`plan`](State::plan), which is pure, and its writing ([`sync`]). What an earlier agent
//! left in the maps is read back ([`adopt`]) before the first one.

mod adopt;
mod attach;
mod batch;
mod bpffs;
mod cgroup;
mod clock;
mod element;
mod error;
mod index;
mod interface_table;
mod interfaces;
mod load;
mod loads;
mod log;
mod lost_sockets;
mod maps;
mod name;
mod namespace_cookie;
mod options;
mod outdated;
mod place;
mod plan;
mod source_range;
mod spread;
mod state;
mod sweep;
mod sync;
mod syscall;
mod trial;
mod typed;
pub mod view;

pub use cgroup::Unattached;
pub use error::DataplaneError;
pub use lost_sockets::LostSockets;
pub use options::Options;
pub use plan::Refusal;
pub use sweep::Swept;
pub use sync::SyncReport;
pub use trial::Trial;
pub use typed::MapError;

use crate::{
    compile::{ServicePort, Tables},
    node::Facts,
    status::Attachment,
};
use aya::{Ebpf, programs::ProgramFd};
use cgroup::CgroupPrograms;
use clock::Clock;
use interfaces::Interfaces;
use maps::Maps;
use plan::Plan;
use state::State;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use svc_lb_common::counters::{DropReason, Program};
use sweep::Sweep;
use syscall::Access;

/// The programs and maps of a running agent. Dropped, it leaves them all in force: maps and links are
/// pinned.
pub struct Dataplane {
    pin_dir: PathBuf,
    ebpf: Ebpf,
    maps: Maps,
    clock: Clock,
    interfaces: Interfaces,
    cgroup: CgroupPrograms,
    /// What the maps hold; `None` before the first sync and after one that failed.
    state: Option<State>,
    /// Whether something did not fit in the last sync.
    refused: bool,
    /// Of which something is still to be taken away.
    unfinished: Option<Plan>,
    sweep: Sweep,
}

impl Dataplane {
    /// Loads the programs and makes the maps, or adopts those that an earlier agent pinned. Nothing is
    /// attached yet, and what is attached goes on as it is.
    pub fn open(options: &Options) -> Result<Self, DataplaneError> {
        let ebpf = load::load(options)?;
        let maps = Maps::open(&options.pin_dir, Access::Write)?;
        let interfaces = Interfaces::new(&options.pin_dir, options.xdp_mode, &maps)?;
        maps::remove_other_layouts(&options.pin_dir)?;
        Ok(Self {
            pin_dir: options.pin_dir.clone(),
            ebpf,
            clock: Clock::open(&options.pin_dir)?,
            maps,
            interfaces,
            cgroup: CgroupPrograms::new(&options.pin_dir),
            state: None,
            refused: false,
            unfinished: None,
            sweep: Sweep::new(options.timeouts),
        })
    }

    /// Brings the maps to the tables by writing the difference. Call it before the first
    /// [`Self::set_interfaces`], so that a program finds the services when it sees its first packet.
    /// An error leaves the maps in a state in which every frontend has its old or its new list; the
    /// next call reads them and goes on from there.
    pub fn sync(&mut self, tables: &Tables) -> Result<SyncReport, MapError> {
        self.finish()?;
        let now = Instant::now();
        let known = self.state.take();
        // What earlier syncs removed, perhaps not to the end, is not known here.
        let anew = known.is_none();
        let mut state = match known {
            Some(state) => state,
            None => State::adopt(&self.maps.contents()?, self.maps.limits(), now),
        };
        let plan = state.plan(tables, now);
        let report = self.apply(state, plan, anew)?;
        self.finish()?;
        Ok(report)
    }

    /// Brings the backends of some services to the tables, which differ in nothing else from those of the last
    /// [`Self::sync`]: it costs no more than these services. After one that failed, or that found something that
    /// does not fit, all is written. The backends are in force then; [`Self::finish`] is to follow.
    pub fn sync_backends(
        &mut self,
        tables: &Tables,
        services: &BTreeSet<Arc<ServicePort>>,
    ) -> Result<SyncReport, MapError> {
        self.finish()?;
        match self.state.take_if(|_| !self.refused) {
            Some(mut state) => {
                let plan = state.plan_backends(tables, services, Instant::now());
                self.apply(state, plan, false)
            }
            None => self.sync(tables),
        }
    }

    /// Takes away what the last sync left of backends that are not wanted any more, once no program uses it: the
    /// kernel takes some milliseconds to tell.
    pub fn finish(&mut self) -> Result<(), MapError> {
        let Some(plan) = self.unfinished.take() else { return Ok(()) };
        plan.take_away(&mut &self.maps).inspect_err(|_| self.state = None)
    }

    /// Puts a plan in force. If that fails, what the maps hold is not known any more.
    fn apply(&mut self, state: State, plan: Plan, anew: bool) -> Result<SyncReport, MapError> {
        plan.put_in_force(&mut &self.maps)?;
        self.state = Some(state);
        self.refused = !plan.refusals.is_empty();
        let report = SyncReport {
            writes: plan.writes(),
            udp_backends_gone: anew || plan.udp_backends_gone,
            refusals: plan.refusals.clone(),
        };
        self.unfinished = Some(plan);
        Ok(report)
    }

    /// What tells which sockets have lost their backend, for as long as it lives.
    pub fn lost_sockets(&mut self) -> Result<LostSockets, DataplaneError> {
        LostSockets::open(&mut self.ebpf, &self.pin_dir)
    }

    /// Attaches to the interfaces that are served, and detaches from all others; only those that are
    /// new or have changed take work. `node`: the node's addresses, at most one a family. A program
    /// that cannot be attached is in the result with its reason, and tried again the next time.
    pub fn set_interfaces(
        &mut self,
        facts: &Facts,
        node: &[IpAddr],
    ) -> Result<Vec<Attachment>, DataplaneError> {
        self.interfaces.set(&mut self.ebpf, &self.maps, facts, node)
    }

    /// Serves the processes of a cgroup, and of all below it, when they connect; `None`: nobody's. Like
    /// [`Self::set_interfaces`], to be called after the first sync. A program that cannot be attached is
    /// in the result with its reason, and tried again the next time.
    pub fn set_cgroup(&mut self, cgroup: Option<&Path>) -> Result<Vec<Unattached>, DataplaneError> {
        self.cgroup.set(&mut self.ebpf, cgroup)
    }

    /// One step of a walk over the flow tables that deletes what is past its timeout. It only gives
    /// back memory, and corrects how many open flows backends have where that decides: a walk every ten
    /// seconds or so is enough, with pauses between its steps.
    pub fn sweep(&mut self) -> Result<Swept, DataplaneError> {
        let now = self.clock.now()?;
        let swept = self.sweep.step(&self.maps, now, self.interfaces.route_generation())?;
        if swept.finished {
            let open = self.sweep.take_open();
            // Before the first sync it is not known whose they are.
            if let Some(state) = &self.state {
                open.write(&self.maps, state, self.cgroup.is_attached())?;
            }
        }
        Ok(swept)
    }

    /// The neighbours to which flows have sent by themselves since this was last asked, as far as sweeps
    /// have seen them: the ifindex of the link, and the link-layer address.
    pub fn used_neighbours(&mut self) -> BTreeSet<(u32, [u8; 6])> {
        self.sweep.take_used().into_iter().map(|(index, mac)| (index, bytemuck::cast(mac))).collect()
    }

    /// Makes the programs look up anew where packets go that they send on by themselves: something of the
    /// routes changed. Without it they notice within a second.
    pub fn invalidate_next_hops(&mut self) -> Result<(), MapError> {
        self.interfaces.invalidate_next_hops(&self.maps)
    }

    /// How many packets were dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> Result<u64, MapError> {
        self.maps.drops.sum(reason as u32)
    }

    /// Runs a program on a frame that nobody sent, as if it had come in by the loopback interface.
    pub fn try_packet(&mut self, program: Program, frame: &[u8]) -> Result<Trial, DataplaneError> {
        trial::run(&mut self.ebpf, program, trial::LOOPBACK, frame)
    }

    /// Runs a program on a frame that nobody sent, as if it had come in by an interface, or were to leave by it.
    pub fn try_packet_at(
        &mut self,
        program: Program,
        interface: u32,
        frame: &[u8],
    ) -> Result<Trial, DataplaneError> {
        trial::run(&mut self.ebpf, program, interface, frame)
    }

    /// A program's descriptor, for other programs to go on with it (`bpf_tail_call`).
    pub fn program(&mut self, program: Program) -> Result<ProgramFd, DataplaneError> {
        load::descriptor(&mut self.ebpf, program.name())
    }

    /// What the programs counted, and how full the tables are; the flow tables as the last finished
    /// sweep left them.
    pub fn statistics(&self) -> Result<view::Statistics, MapError> {
        view::statistics(&self.maps, self.sweep.counted())
    }

    /// The services, with what was counted for each.
    pub fn services(&self) -> Result<Vec<view::Service>, MapError> {
        view::services(&self.maps)
    }

    /// Detaches the programs and removes every pin (`--detach-on-exit`).
    pub fn detach(self) -> Result<(), DataplaneError> {
        let Self { pin_dir, .. } = self;
        cleanup(&pin_dir)
    }
}

/// Detaches the programs and removes every pin of any version, whether an agent runs or not.
pub fn cleanup(pin_dir: &Path) -> Result<(), DataplaneError> {
    cgroup::detach(pin_dir)?;
    attach::detach_all(pin_dir)?;
    maps::remove(pin_dir)?;
    bpffs::remove(&pin_dir.join(clock::PROGRAM))?;
    bpffs::remove_if_empty(pin_dir)
}

#[cfg(test)]
pub(crate) mod tests;
