//! The flags of every subcommand. Names and defaults follow kube-proxy and kube-apiserver where the
//! meaning is the same.

use super::check::CheckArgs;
use crate::{
    options::{BindAddress, NodePortAddresses, Switch, XdpMode, port_range, seconds},
    state_dir,
};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use ipnet::IpNet;
use std::path::PathBuf;
use svc_lb_common::{snat::PortRange, timeout::Timeouts};

/// A load balancer for Kubernetes Services, whose dataplane is eBPF.
#[derive(Clone, Debug, Parser)]
#[command(name = "svc-lb", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve the Services of the manifests on this node.
    Run(Box<Run>),
    /// Say what is wrong with manifests, without privileges.
    Check(CheckArgs),
    /// Say what the agent does on this node.
    Status(Status),
    /// List what the dataplane holds, whether the agent runs or not.
    Get(Get),
    /// Detach and remove everything that the agent left, and undo its settings.
    Cleanup(Cleanup),
}

/// The flags of `run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "The variable RUST_LOG sets what is logged to stderr (default: info).")]
pub struct Run {
    /// Files of manifests (YAML or JSON), or directories of *.yaml, *.yml and *.json; followed.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub services: Vec<PathBuf>,
    /// The name of this node's Node [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// A YAML file with a key for every flag; what is given here as a flag wins.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How Services are understood.
    #[command(flatten)]
    pub services_options: ServicesOptions,
    /// Which interfaces are served, and how.
    #[command(flatten)]
    pub interfaces: Interfaces,
    /// Which processes connect straight to backends.
    #[command(flatten)]
    pub sockets: Sockets,
    /// The flow table.
    #[command(flatten)]
    pub flows: Flows,
    /// Set the sysctls that forwarding needs, and have cleanup restore them; false: only name them.
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub set_sysctls: bool,
    /// Where the dataplane is kept.
    #[command(flatten)]
    pub directories: Directories,
    /// Remove the dataplane when the agent stops: for demos and tests.
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set, require_equals = true,
          num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub detach_on_exit: bool,
    /// Where /healthz and /livez answer; empty: nowhere.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: BindAddress,
    /// Where /metrics answers; empty: nowhere.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10249")]
    pub metrics_bind_address: BindAddress,
}

/// How Services are understood.
#[derive(Clone, Debug, Args)]
pub struct ServicesOptions {
    /// Where pods' addresses come from; no range of ClusterIPs may meet it.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub cluster_cidr: Vec<IpNet>,
    /// What ClusterIPs come from [default: 10.96.0.0/12, for those that a manifest leaves out]. If given, at
    /// most one of each family: what is sent to an address there that no Service has is dropped.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub service_cluster_ip_range: Vec<IpNet>,
    /// What nodePorts come from.
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767", value_parser = port_range)]
    pub service_node_port_range: PortRange,
    /// Which of the node's addresses answer at NodePorts: primary (the Node's InternalIP of each
    /// family, else the first uplink's first address), or those within some CIDRs.
    #[arg(long, value_name = "primary|CIDR,…", default_value = "primary")]
    pub nodeport_addresses: NodePortAddresses,
    /// Serve ClusterIPs also to what comes in by an uplink.
    #[arg(long, value_name = "BOOL", default_value = "false", action = ArgAction::Set, require_equals = true,
          num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub external_cluster_ips: bool,
    /// Run the readiness probes of Pods (httpGet and tcpSocket): what they find decides whether a Pod is
    /// ready, instead of its status.conditions.
    #[arg(long, value_enum, value_name = "on|off", default_value = "on")]
    pub probe: Switch,
}

/// Which interfaces are served, and how.
#[derive(Clone, Debug, Args)]
pub struct Interfaces {
    /// The interfaces towards the world and the other nodes [default: those with a default route or
    /// a global address that are neither pod interfaces nor loopback].
    #[arg(long, value_name = "IFACE", num_args = 1.., value_delimiter = ',')]
    pub uplink: Vec<String>,
    /// The host sides of pods' interfaces, as they appear.
    #[arg(long, value_name = "GLOB", num_args = 1.., value_delimiter = ',',
          default_values = crate::node::DEFAULT_POD_INTERFACES)]
    pub pod_interface: Vec<String>,
    /// auto (native XDP where the kind of link can transmit by itself), native, generic or off.
    #[arg(long, value_name = "MODE", default_value_t)]
    pub xdp_mode: XdpMode,
}

/// Which processes connect straight to backends.
#[derive(Clone, Debug, Args)]
pub struct Sockets {
    /// Send the processes of a cgroup straight to backends when they connect: no cost per packet, and the
    /// only way in which the node's own processes are served [default: on where cgroup v2 is mounted].
    #[arg(long, value_enum, value_name = "on|off")]
    pub socket_lb: Option<Switch>,
    /// The cgroup whose processes are served so, with all below it [default: the root of cgroup v2].
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
}

/// The flow table.
#[derive(Clone, Debug, Args)]
pub struct Flows {
    /// The source ports of connections to backends on other nodes.
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-29999", value_parser = port_range)]
    pub snat_port_range: PortRange,
    /// Entries of the flow table of each family; a flow takes two.
    #[arg(long, value_name = "N", default_value = "262144",
          value_parser = clap::value_parser!(u32).range(1024..=1 << 26))]
    pub flow_entries: u32,
    /// After which time without a packet a TCP flow is gone: the backend has not answered.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = seconds)]
    pub conntrack_tcp_timeout_syn_sent: u32,
    /// The client has not acknowledged the answer.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = seconds)]
    pub conntrack_tcp_timeout_syn_recv: u32,
    /// Established.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = seconds)]
    pub conntrack_tcp_timeout_established: u32,
    /// One side has closed.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = seconds)]
    pub conntrack_tcp_timeout_close_wait: u32,
    /// Both sides have closed.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = seconds)]
    pub conntrack_tcp_timeout_time_wait: u32,
    /// One side has reset the connection.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = seconds)]
    pub conntrack_tcp_timeout_close: u32,
    /// After which time without a packet a UDP flow is gone: the backend has not answered.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = seconds)]
    pub conntrack_udp_timeout: u32,
    /// The backend has answered.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = seconds)]
    pub conntrack_udp_timeout_stream: u32,
    /// After which time without a packet an SCTP flow is gone: the client has asked for an association.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = seconds)]
    pub conntrack_sctp_timeout_cookie_wait: u32,
    /// Established.
    #[arg(long, value_name = "DURATION", default_value = "3m30s", value_parser = seconds)]
    pub conntrack_sctp_timeout_established: u32,
    /// The client has begun the shutdown.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = seconds)]
    pub conntrack_sctp_timeout_shutdown_sent: u32,
    /// The backend has begun the shutdown.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = seconds)]
    pub conntrack_sctp_timeout_shutdown_recd: u32,
    /// Both sides have agreed to the shutdown.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = seconds)]
    pub conntrack_sctp_timeout_shutdown_ack_sent: u32,
    /// The shutdown is complete, or one side has aborted the association.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = seconds)]
    pub conntrack_sctp_timeout_closed: u32,
}

impl Flows {
    /// When flows are gone.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            tcp_syn_sent: self.conntrack_tcp_timeout_syn_sent,
            tcp_syn_recv: self.conntrack_tcp_timeout_syn_recv,
            tcp_established: self.conntrack_tcp_timeout_established,
            tcp_close_wait: self.conntrack_tcp_timeout_close_wait,
            tcp_time_wait: self.conntrack_tcp_timeout_time_wait,
            tcp_close: self.conntrack_tcp_timeout_close,
            udp: self.conntrack_udp_timeout,
            udp_stream: self.conntrack_udp_timeout_stream,
            sctp_cookie_wait: self.conntrack_sctp_timeout_cookie_wait,
            sctp_established: self.conntrack_sctp_timeout_established,
            sctp_shutdown_sent: self.conntrack_sctp_timeout_shutdown_sent,
            sctp_shutdown_recd: self.conntrack_sctp_timeout_shutdown_recd,
            sctp_shutdown_ack_sent: self.conntrack_sctp_timeout_shutdown_ack_sent,
            sctp_closed: self.conntrack_sctp_timeout_closed,
        }
    }
}

/// Where the agent keeps what outlives it.
#[derive(Clone, Debug, Args)]
pub struct Directories {
    /// Where programs, links and maps are pinned: a bpffs.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/svc-lb")]
    pub pin_dir: PathBuf,
    /// Where allocated ClusterIPs and nodePorts, sysctls to restore, which Pods were ready and the agent's
    /// status are kept.
    #[arg(long, value_name = "DIR", default_value = state_dir::DEFAULT)]
    pub state_dir: PathBuf,
}

/// The flags of `status`.
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StatusOutput,
    /// Where the agent keeps its things.
    #[command(flatten)]
    pub directories: Directories,
}

/// How `status` is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The flags of `get`.
#[derive(Clone, Debug, Args)]
pub struct Get {
    /// What is listed.
    pub what: Listing,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: GetOutput,
    /// Where the agent keeps its things.
    #[command(flatten)]
    pub directories: Directories,
}

/// What `get` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Service ports, their counters.
    Services,
    /// Addresses and ports that are answered for.
    Frontends,
    /// Endpoints.
    Backends,
    /// Tracked connections.
    Flows,
    /// Which backends clients had last (sessionAffinity: ClientIP).
    Affinity,
}

/// How `get` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GetOutput {
    /// For people.
    #[default]
    Table,
    /// With more columns.
    Wide,
    /// For programs.
    Json,
}

/// The flags of `cleanup`.
#[derive(Clone, Debug, Args)]
pub struct Cleanup {
    /// Where the agent keeps its things.
    #[command(flatten)]
    pub directories: Directories,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(flags: &str) -> Run {
        let words = ["svc-lb", "run"].into_iter().chain(flags.split_whitespace());
        match Arguments::try_parse_from(words).expect("valid flags").command {
            Command::Run(run) => *run,
            other => panic!("not run: {other:?}"),
        }
    }

    fn refusal(flags: &str) -> String {
        let words = ["svc-lb", "run"].into_iter().chain(flags.split_whitespace());
        let error = Arguments::try_parse_from(words).expect_err("a refusal");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_dataplane() {
        let run = run("");
        assert_eq!(run.flows.timeouts(), Timeouts::default());
        assert_eq!(run.flows.snat_port_range, PortRange { first: 10000, last: 29999 });
        assert_eq!(run.services_options.service_node_port_range, PortRange { first: 30000, last: 32767 });
        assert!(run.set_sysctls && !run.detach_on_exit && !run.services_options.external_cluster_ips);
        assert_eq!(run.services_options.probe, Switch::On);
        assert!(run.healthz_bind_address.0.is_some_and(|address| address.port() == 10256));
        assert!(run.metrics_bind_address.0.is_some_and(|address| address.ip().is_loopback()));
    }

    #[test]
    fn lists_are_repeated_spaced_or_but_for_paths_separated_by_commas() {
        let run = run("--services a b --services c,d --uplink eth0 --cluster-cidr 10.244.0.0/16,fd00::/48");
        assert_eq!(run.services, ["a", "b", "c,d"].map(PathBuf::from));
        assert_eq!(run.interfaces.uplink, ["eth0"]);
        assert_eq!(run.services_options.cluster_cidr.len(), 2);
    }

    #[test]
    fn a_list_replaces_its_default() {
        assert!(run("").interfaces.pod_interface.contains(&"veth*".to_owned()));
        assert_eq!(run("--pod-interface pod*").interfaces.pod_interface, ["pod*"]);
    }

    #[test]
    fn switches_stand_alone_or_have_a_value() {
        assert!(run("--detach-on-exit").detach_on_exit);
        assert!(!run("--detach-on-exit=false").detach_on_exit);
        assert!(!run("--set-sysctls false").set_sysctls);
        assert!(!run("--set-sysctls=false").set_sysctls);
    }

    #[test]
    fn an_empty_bind_address_is_nowhere() {
        assert_eq!(run("--healthz-bind-address=").healthz_bind_address, BindAddress(None));
    }

    #[test]
    fn refusals_name_the_flag_and_what_is_expected() {
        for (flags, expected) in [
            ("--probe maybe", "[possible values: on, off]"),
            ("--xdp-mode fast", "expected auto, native, generic or off"),
            ("--snat-port-range 5", "first-last"),
            ("--conntrack-udp-timeout 0s", "at least one"),
            ("--metrics-bind-address localhost", "address:port"),
            ("--cluster-cidr 10.0.0.0", "--cluster-cidr"),
        ] {
            let refusal = refusal(flags);
            assert!(refusal.contains(expected), "{refusal}");
            assert!(refusal.contains(flags.split(' ').next().unwrap_or_default()), "{refusal}");
        }
    }
}
