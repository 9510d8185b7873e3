//! Has the kernel keep neighbours resolved, and confirm those that are in use.

use super::{
    entry::{Entry, protocol},
    wanted::Neighbour,
};
use futures_util::StreamExt;
use rtnetlink::{
    Error, Handle, new_connection,
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
            NeighbourState,
        },
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    io, mem,
    net::IpAddr,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle, time};
use tracing::debug;

/// Who made an entry: a number that no routing daemon is known to use (`NDA_PROTOCOL`, iproute2's
/// `rt_protos`).
const PROTOCOL: u8 = 0x5c;

/// How often the entries are looked after, which somebody else may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Keeps neighbours, until it is dropped; those that it has made stay.
pub struct Keeper {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

enum Order {
    Keep(BTreeSet<Neighbour>),
    Confirm(BTreeSet<(u32, [u8; 6])>),
    Look,
}

impl Keeper {
    /// Starts in the network namespace of this thread. Must be called within a tokio runtime.
    pub fn start() -> io::Result<Self> {
        let (connection, kernel, _) = new_connection()?;
        tokio::spawn(connection);
        let (orders, receiver) = mpsc::unbounded_channel();
        Ok(Self { orders, task: tokio::spawn(work(kernel, receiver)) })
    }

    /// Keeps these neighbours and no others.
    pub fn keep(&self, wanted: BTreeSet<Neighbour>) {
        self.order(Order::Keep(wanted));
    }

    /// Flows have used these link-layer addresses on these links (ifindex): the kernel is to confirm those that
    /// it holds for stale.
    pub fn confirm(&self, used: BTreeSet<(u32, [u8; 6])>) {
        self.order(Order::Confirm(used));
    }

    /// A neighbour was changed or removed.
    pub fn look(&self) {
        self.order(Order::Look);
    }

    fn order(&self, order: Order) {
        // The task ends only with this.
        let _ = self.orders.send(order);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Removes every neighbour that an agent kept in this network namespace.
pub async fn remove() -> Result<(), Error> {
    let (connection, kernel, _) = new_connection().map_err(|_| Error::RequestFailed)?;
    tokio::spawn(connection);
    for entry in Entry::read_all(&kernel).await?.iter().filter(|entry| is_ours(entry)) {
        delete(&kernel, entry).await?;
    }
    Ok(())
}

async fn work(kernel: Handle, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut wanted = None;
    let mut used = BTreeSet::new();
    let mut tick = time::interval(LOOK_EVERY);
    loop {
        let mut next = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
            _ = tick.tick() => None,
        };
        while let Some(order) = next {
            match order {
                Order::Keep(neighbours) => wanted = Some(neighbours),
                Order::Confirm(others) => used.extend(others),
                Order::Look => {}
            }
            next = orders.try_recv().ok();
        }
        let Some(wanted) = &wanted else { continue };
        if let Err(error) = look_after(&kernel, wanted, &mem::take(&mut used)).await {
            debug!("the neighbours cannot be read: {error}");
        }
    }
}

/// Makes the entries what they are to be.
async fn look_after(
    kernel: &Handle,
    wanted: &BTreeSet<Neighbour>,
    used: &BTreeSet<(u32, [u8; 6])>,
) -> Result<(), Error> {
    let entries: HashMap<Neighbour, Entry> =
        Entry::read_all(kernel).await?.into_iter().map(|entry| (neighbour(&entry), entry)).collect();
    for neighbour in wanted {
        if needs_keeping(entries.get(neighbour)) {
            said(neighbour, keep(kernel, *neighbour).await);
        }
    }
    for (neighbour, entry) in &entries {
        if is_ours(entry) && !wanted.contains(neighbour) {
            said(neighbour, delete(kernel, entry).await);
        } else if needs_confirmation(entry, used) {
            said(neighbour, confirm(kernel, *neighbour).await);
        }
    }
    Ok(())
}

fn said(neighbour: &Neighbour, result: Result<(), Error>) {
    if let Err(error) = result {
        // It went away, or its link did: the next look finds out.
        debug!("neighbour {} on link {}: {error}", neighbour.address, neighbour.interface);
    }
}

fn neighbour(entry: &Entry) -> Neighbour {
    Neighbour { interface: entry.interface, address: entry.address }
}

/// Whether somebody set an entry: a person, or a program that knows it without asking the link.
fn is_set_by_others(entry: &Entry) -> bool {
    let fixed = matches!(entry.state, NeighbourState::Permanent | NeighbourState::Noarp);
    let of_others = entry.protocol != PROTOCOL && (entry.protocol != 0 || entry.managed);
    fixed || entry.learned || of_others
}

fn is_ours(entry: &Entry) -> bool {
    entry.protocol == PROTOCOL && !is_set_by_others(entry)
}

/// Whether the kernel is to be told to keep an entry. Linux before 5.16 overhears that it is to, and
/// confirms it once: it is told again every few seconds.
fn needs_keeping(entry: Option<&Entry>) -> bool {
    let is_kept = |entry: &Entry| entry.managed && entry.protocol == PROTOCOL;
    !entry.is_some_and(|entry| is_set_by_others(entry) || is_kept(entry))
}

/// Whether an entry is in use that the kernel believes is not. A program that sends to a link-layer
/// address that a flow holds never shows the kernel that it uses the entry, so that nobody would notice
/// that the neighbour is no longer there. (Managed ones are confirmed by the kernel.)
fn needs_confirmation(entry: &Entry, used: &BTreeSet<(u32, [u8; 6])>) -> bool {
    entry.state == NeighbourState::Stale
        && !entry.managed
        && !is_set_by_others(entry)
        && entry.mac.is_some_and(|mac| used.contains(&(entry.interface, mac)))
}

async fn keep(kernel: &Handle, neighbour: Neighbour) -> Result<(), Error> {
    let mut message = message(neighbour, NeighbourFlags::Use);
    message.attributes.extend([NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed), protocol(PROTOCOL)]);
    request(kernel, RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE).await
}

async fn confirm(kernel: &Handle, neighbour: Neighbour) -> Result<(), Error> {
    let message = message(neighbour, NeighbourFlags::Use);
    request(kernel, RouteNetlinkMessage::NewNeighbour(message), 0).await
}

async fn delete(kernel: &Handle, entry: &Entry) -> Result<(), Error> {
    let message = message(neighbour(entry), NeighbourFlags::empty());
    request(kernel, RouteNetlinkMessage::DelNeighbour(message), 0).await
}

/// A message about a neighbour that says nothing of its state.
fn message(neighbour: Neighbour, flags: NeighbourFlags) -> NeighbourMessage {
    let Neighbour { interface, address } = neighbour;
    let (family, address) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = interface;
    message.header.flags = flags;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}

/// Sends a request, and waits for what the kernel says to it.
async fn request(kernel: &Handle, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut answers = kernel.clone().request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: NeighbourState) -> Entry {
        Entry {
            interface: 2,
            address: [192, 0, 2, 2].into(),
            mac: Some([2; 6]),
            state,
            protocol: 0,
            managed: false,
            learned: false,
        }
    }

    #[test]
    fn what_somebody_set_is_left_alone() {
        let stale = entry(NeighbourState::Stale);
        let used = BTreeSet::from([(2, [2; 6])]);
        for set in [
            entry(NeighbourState::Permanent),
            entry(NeighbourState::Noarp),
            Entry { protocol: PROTOCOL, ..entry(NeighbourState::Permanent) },
            Entry { learned: true, ..stale.clone() },
            Entry { protocol: 11, ..stale.clone() },
            Entry { managed: true, ..stale.clone() },
        ] {
            let touched = needs_keeping(Some(&set)) || is_ours(&set) || needs_confirmation(&set, &used);
            assert!(!touched, "{set:?}");
        }
    }

    #[test]
    fn what_the_kernel_has_not_taken_over_is_told_again() {
        let ours = Entry { protocol: PROTOCOL, ..entry(NeighbourState::Reachable) };
        assert!(needs_keeping(None) && needs_keeping(Some(&entry(NeighbourState::Failed))));
        assert!(needs_keeping(Some(&ours)), "an old kernel");
        assert!(!needs_keeping(Some(&Entry { managed: true, ..ours })));
    }

    #[test]
    fn stale_neighbours_in_use_are_confirmed() {
        let used = BTreeSet::from([(2, [2; 6])]);
        assert!(needs_confirmation(&entry(NeighbourState::Stale), &used));
        assert!(!needs_confirmation(&entry(NeighbourState::Reachable), &used));
        assert!(!needs_confirmation(&Entry { interface: 3, ..entry(NeighbourState::Stale) }, &used));
        assert!(!needs_confirmation(&Entry { mac: Some([4; 6]), ..entry(NeighbourState::Stale) }, &used));
    }
}
