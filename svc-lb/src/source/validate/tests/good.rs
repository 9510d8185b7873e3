//! What the API server takes.

use super::{STAYS, assert_findings};

#[test]
fn what_the_api_server_takes_has_no_findings() {
    let object = |kind: &str, rest: &str| format!("kind: {kind}\nmetadata: {{name: a-1}}\n{rest}");
    let service = |rest: &str| object("Service", &format!("spec:\n  ports: [{{port: 80}}]\n{rest}"));
    let texts = [
        object(
            "Service",
            "spec:
  ports:
  - {name: http, port: 80, targetPort: http-alt, appProtocol: kubernetes.io/h2c}
  - {name: dns, port: 53, protocol: TCP, targetPort: 0}
  - {name: dns-udp, port: 53, protocol: UDP, targetPort: ''}
  selector: {app.kubernetes.io/name: Web_1.2, empty: ''}
  internalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 86400}}
  trafficDistribution: PreferSameNode
  publishNotReadyAddresses: true
",
        ),
        service("  type: NodePort\n  externalTrafficPolicy: Local\n"),
        service("  externalIPs: [192.0.2.1, '2001:db8::1']\n  externalTrafficPolicy: Cluster\n"),
        service("  sessionAffinity: None\n  sessionAffinityConfig:\n  clusterIP: ''\n"),
        service("  ipFamilyPolicy: RequireDualStack\n  clusterIP: 10.96.0.1\n"),
        service("  ipFamilyPolicy: PreferDualStack\n  ipFamilies: [IPv6]\n"),
        service(
            "  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv6, IPv4]\n  clusterIP: fd00::1\n  \
             clusterIPs: ['fd00::1', 10.96.0.1]\n",
        ),
        service(
            "  type: LoadBalancer\n  loadBalancerClass: example.org/internal\n  \
             allocateLoadBalancerNodePorts: false\n  externalTrafficPolicy: Local\n  \
             healthCheckNodePort: 30000\n  loadBalancerSourceRanges: [' 10.0.0.0/8 ', '::/0']\n\
             status:\n  loadBalancer:\n    ingress:\n    - {ip: 192.0.2.1}\n    - {ip: 192.0.2.2, ipMode: Proxy}\n    \
             - {hostname: lb.example.org}\n",
        ),
        object(
            "Pod",
            "spec: {containers: []}\nstatus: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n",
        ),
        object(
            "Pod",
            "spec:
  nodeName: node-1.example.org
  initContainers:
  - name: proxy
    restartPolicy: Always
    readinessProbe: {tcpSocket: {port: 1}}
  containers:
  - name: web
    ports: [{name: web, containerPort: 80}, {name: web-udp, containerPort: 80, protocol: UDP}]
    readinessProbe:
      httpGet: {port: web, path: /ready, scheme: HTTPS, httpHeaders: [{name: X-A, value: b}]}
      initialDelaySeconds: 0
      periodSeconds: 0
      timeoutSeconds: 1
      successThreshold: 1
      failureThreshold: 3
",
        ),
        object(
            "Endpoints",
            "subsets:\n- addresses: [{ip: 10.0.0.1, nodeName: node-1, hostname: a}]\n  \
             notReadyAddresses: [{ip: 'fd00::1'}]\n  ports: [{name: a, port: 1}, {name: b, port: 1, protocol: UDP}]\n",
        ),
        object(
            "Node",
            "spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, 'fd00:1::/64']}\nstatus:\n  addresses:\n  \
             - {type: InternalIP, address: 192.0.2.1}\n  - {type: Hostname, address: node-1}\n  \
             - {type: ExternalIP, address: 192.0.2.1}\n",
        ),
    ];
    for text in texts {
        assert_findings("apiVersion: v1\n", &[(&text, STAYS, "")]);
    }
}

#[test]
fn a_slice_that_the_api_server_takes_has_no_findings() {
    let slice = "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-abcde
  labels: {kubernetes.io/service-name: web}
  annotations: {svc-lb.io/weight: '100'}
addressType: IPv4
endpoints:
- addresses: [10.0.0.1]
  nodeName: node-1
  zone: eu-1
  hints: {forZones: [{name: eu-1}, {name: eu-2}], forNodes: [{name: node-1}]}
ports: [{name: '', port: 80}, {name: any, port: null}]
";
    assert_findings(slice, &[("", STAYS, "")]);
}
