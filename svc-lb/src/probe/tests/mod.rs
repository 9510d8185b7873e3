//! Probes that are run, against servers in a network namespace of their own.

use super::{
    attempt::attempt,
    runner::{Job, Outcome, Outcomes, Runner},
    spec::{Action, Probe, Request, Target, Thresholds, Timing},
};
use nix::sched::{CloneFlags, unshare};
use std::{
    future::Future,
    net::{Ipv6Addr, SocketAddr},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

/// Where every server listens.
const HOST: &str = "127.0.0.1";

/// Runs in a network namespace whose loopback link is up.
fn in_a_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    thread::scope(|scope| {
        let tested = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("run this as root");
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
            assert!(up.success());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(test());
        });
        if let Err(panic) = tested.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn probe(action: Action) -> Probe {
    // The machine may be busy with something else.
    let patience = Duration::from_secs(30);
    let timing = Timing { initial_delay: Duration::ZERO, period: patience, timeout: patience };
    Probe { action, timing, thresholds: Thresholds { success: 1, failure: 1 } }
}

fn target(port: u16) -> Target {
    Target { host: HOST.to_owned(), port }
}

fn get(port: u16, path: &str, https: bool) -> Action {
    let (target, path) = (target(port), path.to_owned());
    Action::Get(Request { https, target, path, headers: vec![("X-Asks".to_owned(), "a probe".to_owned())] })
}

/// A server that answers the requests for each path with a text, word for word. Those that it sees are told.
async fn serve(
    pages: &'static [(&str, &str)],
    tls: Option<TlsAcceptor>,
) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (asked, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, asked) = (tls.clone(), asked.clone());
            tokio::spawn(async move {
                match tls {
                    Some(tls) => answer(tls.accept(stream).await.expect("TLS"), pages, &asked).await,
                    None => answer(stream, pages, &asked).await,
                }
            });
        }
    });
    (port, requests)
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    pages: &[(&str, &str)],
    asked: &mpsc::UnboundedSender<String>,
) {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(char::from(stream.read_u8().await.expect("a request")));
    }
    let path = request.split(' ').nth(1).expect("a path");
    let page = pages.iter().find(|(known, _)| *known == path).expect("a known path").1;
    let page = page.to_owned();
    asked.send(request).expect("somebody listens");
    stream.write_all(page.as_bytes()).await.expect("somebody reads");
    if page.is_empty() {
        std::future::pending::<()>().await;
    }
}

fn acceptor() -> TlsAcceptor {
    // Signed by itself, for another name, and past its time.
    let certificate = CertificateDer::from(&include_bytes!("certificate.der")[..]);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("key.der")[..]);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn a_tcp_probe_succeeds_where_somebody_listens() {
    in_a_namespace(async || {
        let v4 = TcpListener::bind((HOST, 0)).await.expect("a port");
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.expect("a port");
        for listener in [v4, v6] {
            let address = listener.local_addr().expect("its address");
            let action = Action::Connect(Target { host: address.ip().to_string(), port: address.port() });
            assert_eq!(attempt(&probe(action.clone())).await, Ok(()));
            drop(listener);
            // A process that another test is about to start may have it for a moment more.
            let refused = async {
                loop {
                    if let Err(error) = attempt(&probe(action.clone())).await {
                        return error;
                    }
                }
            };
            let refused = time::timeout(Duration::from_secs(30), refused).await;
            assert_eq!(refused.expect("nobody listens"), "connection refused");
        }
    });
}

#[test]
fn a_server_that_says_nothing_fails_the_probe_in_time() {
    in_a_namespace(async || {
        let (port, _requests) = serve(&[("/", "")], None).await;
        let mut probe = probe(get(port, "/", false));
        probe.timing.timeout = Duration::from_millis(100);
        let start = Instant::now();
        assert_eq!(attempt(&probe).await, Err("no answer within 0.1 s".to_owned()));
        assert!(start.elapsed() >= probe.timing.timeout);
    });
}

#[test]
fn a_page_counts_by_its_status() {
    const PAGES: &[(&str, &str)] = &[
        ("/200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("/old", "HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        ("/399", "HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n"),
        ("/400", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        ("/503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        ("/304", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("/here", "HTTP/1.1 302 Found\r\nLocation: 503\r\nContent-Length: 0\r\n\r\n"),
        ("/there", "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n"),
        ("/nowhere", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        ("/round", "HTTP/1.1 307 Temporary Redirect\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n"),
    ];
    in_a_namespace(async || {
        let (port, mut requests) = serve(PAGES, None).await;
        for (path, expected) in [
            ("/200", Ok(())),
            ("/old", Ok(())),
            ("/399", Ok(())),
            ("/400", Err("HTTP 400")),
            ("/503", Err("HTTP 503")),
            ("/304", Ok(())),
            ("/here", Err("HTTP 503")),
            ("/there", Ok(())),
            ("/nowhere", Ok(())),
            ("/round", Err("stopped after 10 redirects")),
        ] {
            let result = attempt(&probe(get(port, path, false))).await;
            assert_eq!(result, expected.map_err(str::to_owned), "{path}");
        }
        let first = requests.recv().await.expect("a request");
        let lines: Vec<&str> = first.lines().collect();
        assert_eq!(lines[0], "GET /200 HTTP/1.1");
        let host = format!("Host: {HOST}:{port}");
        for header in ["X-Asks: a probe", "Accept: */*", "Connection: close", &host] {
            assert!(lines.contains(&header), "{header} is not in\n{first}");
        }
    });
}

#[test]
fn a_server_may_be_asked_by_tls_whatever_its_certificate() {
    const PAGES: &[(&str, &str)] = &[("/", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")];
    in_a_namespace(async || {
        let (port, _requests) = serve(PAGES, Some(acceptor())).await;
        assert_eq!(attempt(&probe(get(port, "/", true))).await, Ok(()));
        let (port, _requests) = serve(PAGES, None).await;
        let mut probe = probe(get(port, "/", true));
        probe.timing.timeout = Duration::from_millis(100);
        assert!(attempt(&probe).await.is_err(), "no TLS there");
    });
}

/// A listener that tells who connects.
struct Counted(SocketAddr, mpsc::UnboundedReceiver<SocketAddr>);

impl Counted {
    async fn start() -> Self {
        let listener = TcpListener::bind((HOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (connected, clients) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((_, client)) = listener.accept().await
                && connected.send(client).is_ok()
            {}
        });
        Self(address, clients)
    }

    /// Who has connected by now, since this was last asked.
    async fn clients(&mut self) -> Vec<SocketAddr> {
        let last = TcpStream::connect(self.0).await.expect("it listens").local_addr().expect("its address");
        let mut clients = Vec::new();
        loop {
            match self.1.recv().await.expect("it listens") {
                client if client == last => return clients,
                client => clients.push(client),
            }
        }
    }

    fn job(&self, is_new: bool) -> Job {
        let mut probe = probe(Action::Connect(target(self.0.port())));
        probe.timing.period = Duration::from_millis(200);
        Job { probe, is_new, place: self.0.to_string() }
    }
}

async fn outcome(outcomes: &mut Outcomes, job: u64) -> Outcome {
    loop {
        let several = outcomes.recv().await.expect("the runner runs");
        if let Some(outcome) = several.into_iter().find(|outcome| outcome.job == job) {
            return outcome;
        }
    }
}

#[test]
fn jobs_are_run_again_and_again_until_they_are_taken_back() {
    in_a_namespace(async || {
        let (runner, mut outcomes) = Runner::start().expect("a runner");
        let (mut first, second) = (Counted::start().await, Counted::start().await);
        runner.run([(1, first.job(true))].into());
        for _ in 0..3 {
            assert_eq!(outcome(&mut outcomes, 1).await.result, Ok(()));
        }
        // The first goes on when a second one comes, and ends alone.
        runner.run([(1, first.job(true)), (2, second.job(true))].into());
        assert_eq!(outcome(&mut outcomes, 2).await.result, Ok(()));
        assert_eq!(outcome(&mut outcomes, 1).await.result, Ok(()));
        // What comes of the third shows that the first was taken back.
        runner.run([(2, second.job(true)), (3, second.job(true))].into());
        outcome(&mut outcomes, 3).await;
        assert_ne!(first.clients().await, []);
        for _ in 0..3 {
            outcome(&mut outcomes, 2).await;
        }
        assert_eq!(first.clients().await, [], "it is probed still");
    });
}

#[test]
fn probes_that_hang_do_not_keep_others_waiting() {
    in_a_namespace(async || {
        let (runner, mut outcomes) = Runner::start().expect("a runner");
        let (port, _requests) = serve(&[("/", "")], None).await;
        let server = Counted::start().await;
        let hanging = Job { probe: probe(get(port, "/", false)), is_new: true, place: String::new() };
        let jobs = (1..100).map(|number| (number, hanging.clone()));
        runner.run(jobs.chain([(0, server.job(true))]).collect());
        let in_time = time::timeout(hanging.probe.timing.timeout / 2, outcome(&mut outcomes, 0)).await;
        assert_eq!(in_time.expect("an answer before the others give up").result, Ok(()));
    });
}

#[test]
fn a_name_is_resolved() {
    in_a_namespace(async || {
        let server = Counted::start().await;
        let target = Target { host: "localhost".to_owned(), port: server.0.port() };
        assert_eq!(attempt(&probe(Action::Connect(target))).await, Ok(()));
    });
}
