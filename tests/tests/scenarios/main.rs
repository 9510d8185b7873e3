//! The scenarios: what svc-lb promises, seen from outside, in networks that each scenario makes for itself.
//!
//! They are one program, so that the processors are busy to the end, and so that there is one program to link.

mod abuse;
mod affinity;
mod algorithms;
mod bulk;
mod changes;
mod checksums;
mod cluster_ip;
mod coexistence;
mod documentation;
mod draining;
mod echo;
mod flow_table;
mod fragments;
mod health_check;
mod icmp_errors;
mod icmp_frames;
mod load_balancer;
mod manifests;
mod mtu;
mod narrow_links;
mod neighbours;
mod network;
mod networks;
mod no_endpoints;
mod node_port;
mod not_ours;
mod policies;
mod ports;
mod programs;
mod readiness;
mod round_robin;
mod same_port;
mod sctp;
mod socket_changes;
mod socket_closing;
mod socket_exchanges;
mod socket_lb;
mod tcp_flows;
mod traceroute;
mod tunnels;
mod xdp_modes;
