//! `healthCheckNodePort`: load balancers ask a node whether it has endpoints of its own for a Service, and send
//! nothing to one that has none. It answers as kube-proxy does.

use crate::{compile::HealthCheck, health::Health, source::Name};
use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::{net::TcpListener, sync::oneshot};

/// How many ready endpoints the node has, for load balancers that weigh their nodes.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// A server at each port and address. They end with this.
#[derive(Default)]
pub struct HealthChecks {
    health: Health,
    checks: Checks,
    addresses: BTreeSet<IpAddr>,
    servers: BTreeMap<SocketAddr, Server>,
    /// The servers that do not run, and why.
    problems: BTreeMap<SocketAddr, io::Error>,
}

/// What is asked, by port.
type Checks = Arc<RwLock<BTreeMap<u16, HealthCheck>>>;

/// A server that runs. When this is dropped, it takes no more connections and ends those that are idle.
struct Server(#[expect(dead_code, reason = "the server notices when it is dropped")] oneshot::Sender<()>);

impl HealthChecks {
    /// None yet. `health`: that of the agent, which is part of the answer.
    pub fn new(health: Health) -> Self {
        Self { health, ..Self::default() }
    }

    /// Answers these questions at these addresses, and no others. Must be called within a tokio runtime.
    pub fn serve(&mut self, checks: &[HealthCheck], addresses: &BTreeSet<IpAddr>) {
        let mut by_port = BTreeMap::new();
        for check in checks {
            by_port.entry(check.port).or_insert_with(|| check.clone());
        }
        *self.checks.write().unwrap_or_else(PoisonError::into_inner) = by_port;
        self.addresses.clone_from(addresses);
        self.mend();
    }

    /// Starts the servers that could not be started before.
    pub fn mend(&mut self) {
        let ports: Vec<u16> =
            self.checks.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        let places =
            ports.iter().flat_map(|port| self.addresses.iter().map(|ip| SocketAddr::new(*ip, *port)));
        let places: BTreeSet<SocketAddr> = places.collect();
        self.servers.retain(|place, _| places.contains(place));
        self.problems.clear();
        for place in places {
            if self.servers.contains_key(&place) {
                continue;
            }
            match self.start(place) {
                Ok(server) => {
                    self.servers.insert(place, server);
                }
                Err(error) => {
                    self.problems.insert(place, error);
                }
            }
        }
    }

    /// What is wrong, a line each.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        let line = |(place, error): (&SocketAddr, &io::Error)| {
            let service =
                checks.get(&place.port()).map(|check| check.service.to_string()).unwrap_or_default();
            format!(
                "the healthCheckNodePort of Service {service} does not answer at {place}: {error}; to be tried again"
            )
        };
        self.problems.iter().map(line).collect::<Vec<_>>().into_iter()
    }

    fn start(&self, place: SocketAddr) -> io::Result<Server> {
        let listener = StdListener::bind(place)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let asked =
            Asked { health: self.health.clone(), checks: Arc::clone(&self.checks), port: place.port() };
        let router =
            Router::new().fallback(async |State(asked): State<Asked>| asked.answer()).with_state(asked);
        let (server, dropped) = oneshot::channel();
        let end = async {
            // It is never told anything but that the other side is gone.
            let _ = dropped.await;
        };
        tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(end).into_future());
        Ok(Server(server))
    }
}

/// What an answer is made of.
#[derive(Clone)]
struct Asked {
    health: Health,
    checks: Checks,
    port: u16,
}

/// The answer's body, with kube-proxy's names in kube-proxy's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    service: Service<'a>,
    local_endpoints: u32,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct Service<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Asked {
    fn answer(&self) -> Response {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(check) = checks.get(&self.port) else {
            // The server is about to end.
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        let Name { namespace, name } = &check.service;
        let (local_endpoints, service_proxy_healthy) = (check.local_endpoints, self.health.is_healthy());
        let healthy = local_endpoints > 0 && service_proxy_healthy;
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (WEIGHT, local_endpoints.to_string()),
        ];
        let answer = Answer { service: Service { namespace, name }, local_endpoints, service_proxy_healthy };
        match serde_json::to_string(&answer) {
            Ok(body) => (status, headers, body).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::TcpStream,
    };

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn healthy() -> Health {
        let health = Health::default();
        health.synced();
        health
    }

    fn check(port: u16, local_endpoints: u32) -> HealthCheck {
        let service = Name { namespace: "ns".to_owned(), name: "web".to_owned() };
        HealthCheck { service, port, local_endpoints }
    }

    /// A port that nobody has.
    fn free_port() -> u16 {
        let listener = StdListener::bind((LOOPBACK, 0)).expect("a port");
        listener.local_addr().expect("its address").port()
    }

    /// What a server answers to a request, to the end.
    async fn ask(port: u16, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((LOOPBACK, port)).await?;
        let request = format!("{request} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn status(port: u16) -> io::Result<String> {
        Ok(ask(port, "GET /").await?.split(' ').nth(1).expect("a status").to_owned())
    }

    /// Waits until nobody listens any more.
    async fn await_end(port: u16) {
        while TcpStream::connect((LOOPBACK, port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_answer_is_that_of_kube_proxy_whatever_the_path() {
        let port = free_port();
        let mut checks = HealthChecks::new(healthy());
        checks.serve(&[check(port, 2)], &[LOOPBACK].into());
        for request in ["GET /", "GET /healthz?a=b", "POST /any"] {
            let answer = ask(port, request).await.expect("an answer");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            for header in [
                "content-type: application/json",
                "x-content-type-options: nosniff",
                "x-load-balancing-endpoint-weight: 2",
            ] {
                assert!(
                    head.lines().any(|line| line.eq_ignore_ascii_case(header)),
                    "{header} is not in\n{head}"
                );
            }
            assert_eq!(
                body,
                r#"{"service":{"namespace":"ns","name":"web"},"localEndpoints":2,"serviceProxyHealthy":true}"#
            );
        }
    }

    #[tokio::test]
    async fn a_node_is_asked_for_if_it_has_an_endpoint_and_its_agent_works() {
        for (health, endpoints, code, body) in [
            (healthy(), 1, 200, r#""localEndpoints":1,"serviceProxyHealthy":true}"#),
            (healthy(), 0, 503, r#""localEndpoints":0,"serviceProxyHealthy":true}"#),
            (Health::default(), 1, 503, r#""localEndpoints":1,"serviceProxyHealthy":false}"#),
        ] {
            let port = free_port();
            let mut checks = HealthChecks::new(health);
            checks.serve(&[check(port, endpoints)], &[LOOPBACK].into());
            let answer = ask(port, "GET /").await.expect("an answer");
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")) && answer.ends_with(body), "{answer}");
        }
    }

    #[tokio::test]
    async fn servers_that_stay_keep_their_connections() {
        let [port, other] = [free_port(), free_port()];
        let mut checks = HealthChecks::new(healthy());
        checks.serve(&[check(port, 1), check(other, 1)], &[LOOPBACK].into());
        let mut stream = BufReader::new(TcpStream::connect((LOOPBACK, port)).await.expect("a connection"));
        for (endpoints, expected) in [(1, "200"), (0, "503"), (3, "200")] {
            checks.serve(&[check(port, endpoints)], &[LOOPBACK].into());
            stream.get_mut().write_all(b"HEAD / HTTP/1.1\r\nHost: node\r\n\r\n").await.expect("a request");
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line: &String| line != "\r\n") {
                let mut line = String::new();
                assert_ne!(stream.read_line(&mut line).await.expect("a line"), 0, "the server hung up");
                lines.push(line);
            }
            assert_eq!(lines[0].split(' ').nth(1), Some(expected));
        }
        await_end(other).await;
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_server() {
        let port = free_port();
        let mut checks = HealthChecks::new(healthy());
        checks.serve(&[check(port, 1)], &[LOOPBACK].into());
        let mut stream = TcpStream::connect((LOOPBACK, port)).await.expect("a connection");
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: node\r\n\r\n").await.expect("a request");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        checks.serve(&[], &[LOOPBACK].into());
        stream.read_to_end(&mut Vec::new()).await.expect("the end");
        await_end(port).await;
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_a_problem_until_it_is_free() {
        let taken = StdListener::bind((LOOPBACK, 0)).expect("a port");
        let port = taken.local_addr().expect("its address").port();
        let mut checks = HealthChecks::new(healthy());
        checks.serve(&[check(port, 1)], &[LOOPBACK].into());
        let problems: Vec<String> = checks.problems().collect();
        let expected =
            format!("the healthCheckNodePort of Service ns/web does not answer at 127.0.0.1:{port}: ");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{problems:?}");
        drop(taken);
        await_end(port).await;
        checks.mend();
        assert_eq!(checks.problems().count(), 0);
        assert_eq!(status(port).await.expect("an answer"), "200");
    }
}
