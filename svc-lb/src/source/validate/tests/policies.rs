//! What a Service says about the choice of its endpoints.

use super::{LEFT_OUT, STAYS, assert_findings};

const START: &str = "kind: Service\napiVersion: v1\nmetadata:\n  name: web\nspec:\n  ports: [{port: 80}]\n";

#[test]
fn session_affinity_is_none_or_client_ip() {
    assert_findings(
        START,
        &[
            (
                "  sessionAffinity: clientip\n",
                LEFT_OUT,
                "7:20: error: spec.sessionAffinity is \"clientip\": it is one of None, ClientIP; write \
                 ClientIP",
            ),
            (
                "  sessionAffinity: Cookie\n",
                LEFT_OUT,
                "7:20: error: spec.sessionAffinity is \"Cookie\": it is one of None, ClientIP; write one \
                 of these, or leave it out",
            ),
        ],
    );
}

#[test]
fn affinity_ends_within_a_day() {
    assert_findings(
        START,
        &[
            (
                "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}\n",
                STAYS,
                "8:54: error: spec.sessionAffinityConfig.clientIP.timeoutSeconds is 0: it is from 1 to \
                 86400; write one of these numbers; until then it is 10800, as where it is left out",
            ),
            (
                "  sessionAffinity: ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: \
                 86401}}\n",
                STAYS,
                "8:54: error: spec.sessionAffinityConfig.clientIP.timeoutSeconds is 86401: it is from 1 \
                 to 86400; write one of these numbers; until then it is 10800, as where it is left out",
            ),
        ],
    );
}

#[test]
fn the_timeout_of_no_affinity_has_no_effect() {
    assert_findings(
        START,
        &[(
            "  sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}\n",
            STAYS,
            "7:3: warning: spec.sessionAffinityConfig has no effect: it is about spec.sessionAffinity, \
             which is not ClientIP; write sessionAffinity: ClientIP, or leave it out",
        )],
    );
}

#[test]
fn traffic_policies_are_cluster_or_local() {
    assert_findings(
        START,
        &[
            (
                "  type: NodePort\n  externalTrafficPolicy: local\n",
                LEFT_OUT,
                "8:26: error: spec.externalTrafficPolicy is \"local\": it is one of Cluster, Local; \
                 write Local",
            ),
            (
                "  internalTrafficPolicy: Node\n",
                LEFT_OUT,
                "7:26: error: spec.internalTrafficPolicy is \"Node\": it is one of Cluster, Local; write \
                 one of these, or leave it out",
            ),
        ],
    );
}

#[test]
fn the_external_policy_is_for_services_with_sources_outside() {
    assert_findings(
        START,
        &[
            (
                "  externalTrafficPolicy: Local\n",
                STAYS,
                "7:26: error: spec.externalTrafficPolicy is given: only Services of type NodePort or \
                 LoadBalancer, or with externalIPs, are for sources outside; leave it out; until then it \
                 has no effect",
            ),
            (
                "  type: ExternalName\n  externalName: a.b\n  externalTrafficPolicy: Cluster\n",
                STAYS,
                "9:26: error: spec.externalTrafficPolicy is given: only Services of type NodePort or \
                 LoadBalancer, or with externalIPs, are for sources outside; leave it out; until then it \
                 has no effect\n\
                 7:9: note: the Service is of type ExternalName: it is a name in the DNS, without an \
                 address; there is nothing for svc-lb to serve",
            ),
        ],
    );
}

#[test]
fn health_checks_are_of_load_balancers_that_stay_local() {
    assert_findings(
        START,
        &[
            (
                "  type: LoadBalancer\n  healthCheckNodePort: 30000\n",
                STAYS,
                "8:24: error: spec.healthCheckNodePort is given: only Services of type LoadBalancer with \
                 externalTrafficPolicy: Local have it; leave it out; until then it has no effect",
            ),
            (
                "  type: NodePort\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30000\n",
                STAYS,
                "9:24: error: spec.healthCheckNodePort is given: only Services of type LoadBalancer with \
                 externalTrafficPolicy: Local have it; leave it out; until then it has no effect",
            ),
            (
                "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 65536\n",
                STAYS,
                "9:24: error: spec.healthCheckNodePort is 65536: a port is a number from 1 to 65535; \
                 write one of these numbers; until then svc-lb gives one",
            ),
        ],
    );
}

#[test]
fn traffic_is_distributed_in_three_ways() {
    assert_findings(
        START,
        &[
            (
                "  trafficDistribution: PreferNear\n",
                STAYS,
                "7:24: error: spec.trafficDistribution is \"PreferNear\": it is one of PreferClose, \
                 PreferSameZone, PreferSameNode; write one of these, or leave it out; until then it has \
                 no effect",
            ),
            (
                "  trafficDistribution: preferclose\n",
                STAYS,
                "7:24: error: spec.trafficDistribution is \"preferclose\": it is one of PreferClose, \
                 PreferSameZone, PreferSameNode; write PreferClose; until then it has no effect",
            ),
        ],
    );
}
