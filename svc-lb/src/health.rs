//! `/healthz` and `/livez`, as kube-proxy answers them.

use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a change may wait for its sync until the agent counts as unhealthy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether the agent does its work; told by the loop, asked by the server.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Facts>>);

/// What is known.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// When the last successful sync ended.
    updated: Option<Timestamp>,
    /// When the oldest change came that no successful sync has covered.
    waiting_since: Option<Instant>,
    /// The Node is gone, being deleted, or about to be.
    node_leaves: bool,
}

/// The answer's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The present while healthy; else when the last successful sync ended.
    last_updated: Option<Timestamp>,
    /// The present.
    current_time: Timestamp,
    /// Whether the Node is there to stay; only `/healthz` tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    /// Whether the status code is 200.
    healthy: bool,
}

impl Health {
    /// A change came that needs a sync.
    pub fn queued(&self) {
        self.change(|facts| {
            facts.waiting_since.get_or_insert_with(Instant::now);
        });
    }

    /// A sync succeeded that covers every change so far.
    pub fn synced(&self) {
        self.change(|facts| {
            facts.waiting_since = None;
            facts.updated = Some(Timestamp::now());
        });
    }

    /// Whether the Node is gone, being deleted or tainted `ToBeDeletedByClusterAutoscaler`, so that load
    /// balancers should send nothing more.
    pub fn node_leaves(&self, leaves: bool) {
        self.change(|facts| facts.node_leaves = leaves);
    }

    /// Whether a sync has succeeded and no change waits for too long; whatever is to become of the Node.
    pub fn is_healthy(&self) -> bool {
        self.facts().answer(false, Instant::now(), Timestamp::now()).healthy
    }

    /// The server of `/healthz` and `/livez`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(async |State(health): State<Self>| health.answer(true)))
            .route("/livez", get(async |State(health): State<Self>| health.answer(false)))
            .with_state(self.clone())
    }

    fn facts(&self) -> Facts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn answer(&self, asks_for_node: bool) -> impl IntoResponse + use<> {
        let answer = self.facts().answer(asks_for_node, Instant::now(), Timestamp::now());
        let status = if answer.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let headers: [(HeaderName, &str); 2] =
            [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        match serde_json::to_string(&answer) {
            Ok(body) => (status, headers, body).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

impl Facts {
    /// `asks_for_node`: the state of the Node counts.
    fn answer(self, asks_for_node: bool, now: Instant, current_time: Timestamp) -> Answer {
        let is_late = self.waiting_since.is_some_and(|since| now.duration_since(since) > PATIENCE);
        let healthy = self.updated.is_some() && !is_late && !(asks_for_node && self.node_leaves);
        Answer {
            last_updated: if healthy { Some(current_time) } else { self.updated },
            current_time,
            node_eligible: asks_for_node.then_some(!self.node_leaves),
            healthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNCED: Timestamp = Timestamp::UNIX_EPOCH;

    fn facts() -> Facts {
        Facts { updated: Some(SYNCED), ..Facts::default() }
    }

    fn healthz(facts: Facts) -> Answer {
        facts.answer(true, Instant::now(), Timestamp::now())
    }

    fn livez(facts: Facts) -> Answer {
        facts.answer(false, Instant::now(), Timestamp::now())
    }

    #[test]
    fn nothing_is_healthy_before_the_first_sync() {
        let answer = healthz(Facts::default());
        assert_eq!((answer.healthy, answer.last_updated, answer.node_eligible), (false, None, Some(true)));
        assert!(!livez(Facts::default()).healthy);
    }

    #[test]
    fn a_change_may_wait_for_a_minute() {
        let now = Instant::now();
        let late = |seconds| {
            let waiting = Facts { waiting_since: Some(now), ..facts() };
            waiting.answer(true, now + Duration::from_secs(seconds), Timestamp::now())
        };
        assert!(late(60).healthy);
        assert!(!late(61).healthy);
        assert_eq!(late(61).last_updated, Some(SYNCED));
    }

    #[test]
    fn a_sync_covers_what_waited_and_a_second_change_waits_no_longer_than_the_first() {
        let health = Health::default();
        let waiting = || health.0.lock().expect("no panic").waiting_since;
        health.queued();
        let first = waiting();
        health.queued();
        assert_eq!(waiting(), first);
        health.synced();
        assert_eq!(waiting(), None);
        assert!(health.0.lock().expect("no panic").updated.is_some());
    }

    #[test]
    fn a_node_that_leaves_is_alive_but_not_healthy() {
        let leaving = Facts { node_leaves: true, ..facts() };
        assert_eq!((healthz(leaving).healthy, healthz(leaving).node_eligible), (false, Some(false)));
        assert_eq!((livez(leaving).healthy, livez(leaving).node_eligible), (true, None));
    }

    #[test]
    fn the_body_is_that_of_kube_proxy() {
        let answer = facts().answer(true, Instant::now(), SYNCED);
        let body = serde_json::to_string(&answer).expect("JSON");
        assert_eq!(
            body,
            r#"{"lastUpdated":"1970-01-01T00:00:00Z","currentTime":"1970-01-01T00:00:00Z","nodeEligible":true,"healthy":true}"#
        );
    }
}
