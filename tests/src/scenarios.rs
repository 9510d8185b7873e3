//! Scenarios that hold with native XDP and with tc alone, for balanced sockets and for translated packets, or
//! in every kind of network.

/// Makes two tests of each function: one with [`Xdp::Native`](crate::Xdp), one with
/// [`Xdp::Off`](crate::Xdp).
#[macro_export]
macro_rules! with_and_without_xdp {
    ($($scenario:ident),+ $(,)?) => {
        mod native_xdp {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::Xdp::Native)
            })+
        }
        mod tc_alone {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::Xdp::Off)
            })+
        }
    };
}

/// Makes two tests of each function: one with [`SocketLb::On`](crate::SocketLb), one with
/// [`SocketLb::Off`](crate::SocketLb).
#[macro_export]
macro_rules! with_and_without_socket_lb {
    ($($scenario:ident),+ $(,)?) => {
        mod socket_lb {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::SocketLb::On)
            })+
        }
        mod packets_alone {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario($crate::SocketLb::Off)
            })+
        }
    };
}

/// Makes tests of a function that takes a [`Topology`](crate::Topology) and an [`Xdp`](crate::Xdp): in each
/// kind of network, with native XDP and with tc alone.
#[macro_export]
macro_rules! in_every_network {
    ($scenario:ident) => {
        mod $scenario {
            use $crate::{Topology, Xdp};

            $crate::with_and_without_xdp!(
                in_a_routed_network,
                at_a_bridge_that_netfilter_sees,
                at_a_bridge_that_netfilter_does_not_see,
                through_a_vxlan,
                between_two_uplinks,
            );

            fn in_a_routed_network(xdp: Xdp) -> anyhow::Result<()> {
                super::$scenario(Topology::Routed, xdp)
            }

            fn at_a_bridge_that_netfilter_sees(xdp: Xdp) -> anyhow::Result<()> {
                super::$scenario(Topology::Bridged { netfilter: true }, xdp)
            }

            fn at_a_bridge_that_netfilter_does_not_see(xdp: Xdp) -> anyhow::Result<()> {
                super::$scenario(Topology::Bridged { netfilter: false }, xdp)
            }

            fn through_a_vxlan(xdp: Xdp) -> anyhow::Result<()> {
                super::$scenario(Topology::Vxlan, xdp)
            }

            fn between_two_uplinks(xdp: Xdp) -> anyhow::Result<()> {
                super::$scenario(Topology::TwoUplinks, xdp)
            }
        }
    };
}
