//! `svc-lb run` as a process, in namespaces of its own: what those who start it see of it.

mod common;

use common::{in_namespace, ip};
use nix::{
    mount::{MsFlags, mount},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use svc_lb::{
    state_dir::StateDir,
    status::{Role, SocketLb, Status},
};
use tempfile::TempDir;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.244.0.2}, {ip: 10.244.0.3}], ports: [{port: 8080}]}]
";

/// A node with an uplink and a pod's interface, a BPF file system of its own, no cgroups, and manifests.
struct Node {
    directory: TempDir,
}

impl Node {
    fn new() -> Self {
        ip("link set lo up");
        ip("link add up0 type veth peer name far0");
        ip("link add vethpod0 type veth peer name far1");
        ip("link set up0 up");
        ip("link set vethpod0 up");
        ip("address add 192.0.2.1/24 dev up0");
        let node = Self { directory: tempfile::tempdir().expect("a directory") };
        fs::create_dir(node.path("bpf")).expect("a directory");
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
        mount(Some("bpf"), &node.path("bpf"), Some("bpf"), MsFlags::empty(), None::<&str>)
            .expect("a BPF file system");
        // Or the agent would serve every process of this machine.
        let umount = Command::new("umount").args(["--all", "--lazy", "--types", "cgroup2"]).status();
        assert!(umount.expect("util-linux is installed").success(), "cgroup v2 is still mounted");
        node.write(SERVICE);
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the manifests.
    fn write(&self, manifests: &str) {
        fs::write(self.path("new"), manifests).expect("a file");
        fs::rename(self.path("new"), self.path("services.yaml")).expect("a file");
    }

    fn command(&self, flags: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_svc-lb"));
        command
            .env("RUST_LOG", "error")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .arg("run")
            .arg("--services")
            .arg(self.path("services.yaml"));
        command.arg("--pin-dir").arg(self.path("bpf/svc-lb")).arg("--state-dir").arg(self.path("state"));
        command
            .args(["--hostname-override", "node-1", "--flow-entries", "1024"])
            .args(flags.split_whitespace());
        command
    }

    /// Runs an agent that is not expected to serve.
    fn fail(&self, flags: &str) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(flags).output().expect("the agent");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Runs an agent until it is ready.
    fn start(&self, flags: &str) -> Agent {
        let mut child = self.command(flags).stdout(Stdio::piped()).spawn().expect("the agent");
        let stdout = child.stdout.take().expect("its output");
        let agent = Agent(child);
        let (sender, line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(PATIENCE).expect("the agent never became ready");
        assert!(line.starts_with("svc-lb ready: "), "{line:?}");
        agent
    }

    /// Waits until the status satisfies a condition.
    fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let status = Status::read(&StateDir::new(self.path("state"))).expect("a status");
            if let Some(status) = status.clone().filter(&condition) {
                return status;
            }
            assert!(Instant::now() < give_up, "never: {what}: {status:#?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A running agent; killed if the test fails.
struct Agent(Child);

impl Agent {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).expect("the agent runs");
    }

    fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.0.wait().expect("the agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a path of a local server answers: the status line, headers and body.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn it_serves_until_it_is_asked_to_stop_and_leaves_the_dataplane() {
    in_namespace(|| {
        let node = Node::new();
        let supervisor = UnixDatagram::bind(node.path("notify")).expect("a socket");
        let agent = node.start("");
        let mut message = [0; 64];
        supervisor.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let length = supervisor.recv(&mut message).expect("a message");
        assert_eq!(&message[..length], b"READY=1\n");
        let status = node.until("a sync", |status| status.last_sync.is_some());
        assert_eq!((status.counts.service_ports, status.counts.frontends, status.counts.backends), (1, 2, 2));
        assert_eq!(status.node.addresses, [std::net::Ipv4Addr::new(192, 0, 2, 1)]);
        for (name, role) in [("up0", Role::Uplink), ("vethpod0", Role::Pod), ("lo", Role::None)] {
            let interface = status.interfaces.iter().find(|interface| interface.name == name).expect(name);
            assert_eq!(interface.role, role, "{interface:?}");
            assert_eq!(
                interface.attachments.iter().any(|it| it.by.is_some()),
                role != Role::None,
                "{interface:?}"
            );
        }
        let health = get(10256, "/healthz");
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        assert!(health.contains(r#""nodeEligible":true,"healthy":true"#), "{health}");
        assert!(get(10256, "/livez").starts_with("HTTP/1.1 200"));
        let metrics = get(10249, "/metrics");
        assert!(metrics.contains("\nsvc_lb_frontends 2\n"), "{metrics}");
        assert!(
            metrics.contains(r#"svc_lb_service_new_flows_total{namespace="default",service="web""#),
            "{metrics}"
        );
        assert_eq!(agent.stop().code(), Some(0));
        assert!(node.path("bpf/svc-lb").exists());
    });
}

#[test]
fn without_cgroup_v2_the_status_says_who_is_not_served() {
    in_namespace(|| {
        let node = Node::new();
        let _agent = node.start("");
        let status = node.until("a sync", |status| status.last_sync.is_some());
        let reason = "cgroup v2 is not mounted, so the node's own processes are not served";
        let expected = SocketLb { reason: reason.to_owned(), ..SocketLb::default() };
        assert_eq!(status.socket_lb, expected);
    });
}

#[test]
fn a_change_of_the_manifests_is_served_and_a_bad_document_takes_nothing_with_it() {
    in_namespace(|| {
        let node = Node::new();
        let _agent = node.start("");
        let more = SERVICE.replace("name: web", "name: more").replace("30080", "30081");
        node.write(&format!(
            "{SERVICE}---\n{more}---\nkind: Service\napiVersion: v1\nmetadata: {{name: [bad]}}\n"
        ));
        let status = node.until("both services", |status| status.counts.service_ports == 2);
        assert_eq!(status.findings.len(), 1, "{:?}", status.findings);
        assert!(status.findings[0].contains("services.yaml:"), "{:?}", status.findings);
        node.write(SERVICE);
        node.until("one service", |status| status.counts.service_ports == 1 && status.findings.is_empty());
    });
}

#[test]
fn interfaces_come_and_go() {
    in_namespace(|| {
        let node = Node::new();
        let _agent = node.start("");
        let is_attached = |status: &Status| {
            let pod = status.interfaces.iter().find(|interface| interface.name == "vethpod1");
            pod.is_some_and(|pod| {
                !pod.attachments.is_empty() && pod.attachments.iter().all(|it| it.by.is_some())
            })
        };
        ip("link add vethpod1 type veth peer name far2");
        node.until("the new interface", is_attached);
        ip("link delete vethpod1");
        node.until("the interface is gone", |status| {
            status.interfaces.iter().all(|it| it.name != "vethpod1")
        });
    });
}

#[test]
fn an_interface_is_an_uplink_while_another_node_is_behind_it() {
    in_namespace(|| {
        let node = Node::new();
        ip("link add up1 type veth peer name far3");
        ip("link set up1 up");
        ip("link set far3 up");
        ip("address add 203.0.113.1/24 dev up1");
        let agent = node.start("--detach-on-exit");
        let has_role = |status: &Status, role: Role, reason: &str| {
            let up1 = status.interfaces.iter().find(|interface| interface.name == "up1");
            up1.is_some_and(|up1| {
                let serves = up1.attachments.iter().any(|it| it.by.is_some());
                up1.role == role && up1.reason.contains(reason) && serves == (role == Role::Uplink)
            })
        };
        node.until("an interface without a role", |status| {
            has_role(status, Role::None, "no way to other nodes or remote backends")
        });
        let other = "kind: Node\napiVersion: v1\nmetadata: {name: node-2}\nspec: {podCIDR: 10.244.2.0/24}\n";
        node.write(&format!("{SERVICE}---\n{other}"));
        ip("route add 10.244.2.0/24 via 203.0.113.2");
        node.until("an uplink", |status| has_role(status, Role::Uplink, "leads to the node node-2"));
        let is_kept = || {
            let words = ["-d", "neighbour", "show", "to", "203.0.113.2", "dev", "up1", "nud", "all"];
            let output = Command::new("ip").args(words).output().expect("iproute2 is installed");
            String::from_utf8_lossy(&output.stdout).contains("managed")
        };
        let give_up = Instant::now() + PATIENCE;
        while !is_kept() {
            assert!(Instant::now() < give_up, "the gateway is never kept");
            thread::sleep(Duration::from_millis(2));
        }
        ip("route delete 10.244.2.0/24");
        node.until("no uplink", |status| has_role(status, Role::None, ""));
        ip("route add 10.244.2.0/24 via 203.0.113.2");
        node.until("an uplink", |status| has_role(status, Role::Uplink, "leads to the node node-2"));
        assert_eq!(agent.stop().code(), Some(0));
        assert!(!is_kept());
    });
}

#[test]
fn a_signal_reads_the_manifests_again() {
    in_namespace(|| {
        let node = Node::new();
        let agent = node.start("");
        let first = node.until("a sync", |status| status.last_sync.is_some()).last_sync;
        agent.signal(Signal::SIGHUP);
        node.until("another sync", |status| status.last_sync != first);
    });
}

#[test]
fn with_detach_on_exit_nothing_is_left() {
    in_namespace(|| {
        let forwarding = || fs::read_to_string("/proc/sys/net/ipv4/conf/up0/forwarding").expect("a sysctl");
        let node = Node::new();
        let before = forwarding();
        let agent = node.start("--detach-on-exit");
        assert_eq!(forwarding(), "1\n");
        assert_eq!(agent.stop().code(), Some(0));
        assert!(!node.path("bpf/svc-lb").exists());
        assert!(!node.path("state/status.json").exists());
        assert_eq!(forwarding(), before);
    });
}

#[test]
fn one_agent_serves_a_node() {
    in_namespace(|| {
        let node = Node::new();
        let _agent = node.start("");
        let (code, words) = node.fail("--healthz-bind-address= --metrics-bind-address=");
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("another agent runs with --state-dir "), "{words}");
    });
}

#[test]
fn a_busy_port_is_a_failure_that_names_the_flag() {
    in_namespace(|| {
        let node = Node::new();
        let _taken = TcpListener::bind("127.0.0.1:10249").expect("a free port");
        let (code, words) = node.fail("");
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("127.0.0.1:10249 (--metrics-bind-address)"), "{words}");
        assert_eq!(words.matches("in use").count(), 1, "{words}");
    });
}

#[test]
fn what_does_not_go_with_the_node_is_a_usage_error() {
    in_namespace(|| {
        let node = Node::new();
        for (flags, expected) in [
            ("--snat-port-range 20000-40000", "--snat-port-range 20000-40000 meets 32768-60999"),
            ("--snat-port-range 30000-30005", "meets --service-node-port-range 30000-32767"),
            ("--service-cluster-ip-range 192.0.2.0/28", "meets 192.0.2.1/24, an address of up0"),
            (
                "--cluster-cidr 10.244.0.0/16 --service-cluster-ip-range 10.0.0.0/8",
                "meets --cluster-cidr 10.244.0.0/16",
            ),
            ("--pod-interface veth[", "--pod-interface"),
            ("--xdp-mode fast", "expected auto, native, generic or off"),
            ("--socket-lb on", "--socket-lb on: cgroup v2 is not mounted"),
            ("--cgroup /proc", "--cgroup /proc is no cgroup"),
        ] {
            let (code, words) = node.fail(flags);
            assert_eq!(code, Some(2), "{flags}: {words}");
            assert!(words.contains(expected), "{flags}: {words}");
        }
    });
}
