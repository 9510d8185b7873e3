//! Follows the kernel's interfaces by netlink.

use super::{
    Facts, Roles,
    kernel::{is_default, read},
};
use futures_util::{FutureExt, StreamExt, stream::Stream};
use rtnetlink::{
    Handle, MulticastGroup, new_connection, new_multicast_connection, packet_core::NetlinkPayload,
    packet_route::RouteNetlinkMessage,
};
use std::{io, pin::Pin};

/// What tells of a change.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Why the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused a request.
    #[error("cannot read the interfaces: {0}")]
    Read(#[from] rtnetlink::Error),
    /// The netlink socket failed.
    #[error("the netlink socket that tells of changes was closed")]
    Closed,
}

/// The interfaces of the network namespace in which it was started, kept up to date.
pub struct Watcher {
    roles: Roles,
    kernel: Handle,
    /// Every message that may mean a change, also that messages were lost (ENOBUFS).
    messages: Pin<Box<dyn Stream<Item = NetlinkPayload<RouteNetlinkMessage>>>>,
    /// A message came since the facts were read.
    stale: bool,
    facts: Facts,
}

impl Watcher {
    /// Subscribes, and reads everything once. Must be called within a tokio runtime.
    pub async fn start(roles: Roles) -> Result<Self, NodeError> {
        let (subscription, _, messages) = new_multicast_connection(&GROUPS)?;
        tokio::spawn(subscription);
        let (connection, kernel, _) = new_connection()?;
        tokio::spawn(connection);
        let messages = Box::pin(messages.map(|(message, _)| message.payload));
        let facts = read_facts(&kernel, &roles).await?;
        Ok(Self { roles, kernel, messages, stale: false, facts })
    }

    /// The machine as it was last read.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the flags say about interfaces.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Waits until the machine differs from [`Self::facts`], which then are new. Messages that came
    /// together cost one reading. Nothing is lost if the future is dropped before it is ready.
    pub async fn changed(&mut self) -> Result<(), NodeError> {
        loop {
            while !self.stale {
                let message = self.messages.next().await.ok_or(NodeError::Closed)?;
                self.stale = concerns_us(&message);
            }
            while let Some(message) = self.messages.next().now_or_never() {
                message.ok_or(NodeError::Closed)?;
            }
            let facts = read_facts(&self.kernel, &self.roles).await?;
            self.stale = false;
            if facts != self.facts {
                self.facts = facts;
                return Ok(());
            }
        }
    }
}

/// Whether a message may mean that the facts changed. Of routes, of which there may be very many, only
/// default routes do.
fn concerns_us(message: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    match message {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => is_default(route),
        _ => true,
    }
}

/// Reads everything, and gives every interface its role.
async fn read_facts(kernel: &Handle, roles: &Roles) -> Result<Facts, NodeError> {
    let with_role = |(interface, traits)| {
        let role = roles.role(&interface, traits);
        super::Interface { role, ..interface }
    };
    Ok(Facts { interfaces: read(kernel).await?.into_iter().map(with_role).collect() })
}
