//! What happens to a network in the field: neighbours are forgotten, addresses and routes move,
//! somebody else attaches a filter.

use super::{Links, index};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState,
        },
        tc::{TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
    },
};
use std::net::IpAddr;

/// `TCA_BPF_FLAG_ACT_DIRECT` (linux/pkt_cls.h): what the program returns is the verdict.
const DIRECT_ACTION: u32 = 1;

impl Links {
    /// Forgets every neighbour of an interface that was resolved.
    pub async fn flush_neighbours(&self, name: &str) -> Result<()> {
        for neighbour in self.neighbours(name).await? {
            if !matches!(neighbour.header.state, NeighbourState::Permanent | NeighbourState::Noarp) {
                // One that went by itself meanwhile is gone as well.
                let _ = self.handle.neighbours().del(neighbour).execute().await;
            }
        }
        Ok(())
    }

    /// The neighbours of an interface that the kernel resolves by itself, again and again
    /// (`NTF_EXT_MANAGED`).
    pub async fn managed_neighbours(&self, name: &str) -> Result<Vec<IpAddr>> {
        let managed = |neighbour: &NeighbourMessage| {
            neighbour.attributes.iter().any(|attribute| {
                matches!(attribute, NeighbourAttribute::ExtFlags(flags)
                    if flags.contains(NeighbourExtFlags::Managed))
            })
        };
        let neighbours = self.neighbours(name).await?;
        Ok(neighbours.iter().filter(|neighbour| managed(neighbour)).filter_map(address).collect())
    }

    /// Sends a route to another gateway.
    pub async fn reroute(&self, destination: IpNet, name: &str, gateway: IpAddr) -> Result<()> {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(destination.addr(), destination.prefix_len())?
            .output_interface(index(name)?)
            .gateway(gateway)?
            .onlink()
            .build();
        let request = self.handle.route().add(route).replace();
        request.execute().await.with_context(|| format!("route {destination} by {gateway}"))
    }

    /// Attaches a program to an interface as a filter of the clsact qdisc, which is added.
    pub async fn filter(&self, name: &str, ingress: bool, program: u32) -> Result<()> {
        let mut qdisc = TcMessage::with_index(index(name)?.cast_signed());
        qdisc.header.parent = TcHandle::CLSACT;
        qdisc.header.handle = TcHandle { major: 0xffff, minor: 0 };
        qdisc.attributes.push(TcAttribute::Kind("clsact".to_owned()));
        match self.create(RouteNetlinkMessage::NewQueueDiscipline(qdisc)).await {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::EEXIST => {}
            result => result.context("qdisc clsact")?,
        }
        let mut filter = TcMessage::with_index(index(name)?.cast_signed());
        let minor = if ingress { TcHandle::MIN_INGRESS } else { TcHandle::MIN_EGRESS };
        filter.header.parent = TcHandle { major: 0xffff, minor };
        // The upper half is the priority, the lower the protocol in network byte order.
        filter.header.info = 1 << 16 | u32::from((libc::ETH_P_ALL as u16).to_be());
        let options = [
            TcFilterBpfOption::ProgFd(program),
            TcFilterBpfOption::ProgName("foreign".to_owned()),
            TcFilterBpfOption::Flags(TcBpfFlags::from_bits_retain(DIRECT_ACTION)),
        ];
        filter.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        filter.attributes.push(TcAttribute::Options(options.map(TcOption::Bpf).into()));
        self.create(RouteNetlinkMessage::NewTrafficFilter(filter))
            .await
            .with_context(|| format!("filter of {name}"))
    }

    /// Every neighbour of an interface that the kernel knows.
    async fn neighbours(&self, name: &str) -> Result<Vec<NeighbourMessage>> {
        let index = index(name)?;
        let all: Vec<NeighbourMessage> = self.handle.neighbours().get().execute().try_collect().await?;
        Ok(all.into_iter().filter(|neighbour| neighbour.header.ifindex == index).collect())
    }

    /// Sends a request to make something, and waits for its acknowledgement.
    async fn create(&self, message: RouteNetlinkMessage) -> Result<(), rtnetlink::Error> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | libc::NLM_F_EXCL as u16;
        let mut answers = self.handle.clone().request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

/// The IP address of a neighbour.
fn address(neighbour: &NeighbourMessage) -> Option<IpAddr> {
    neighbour.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}
