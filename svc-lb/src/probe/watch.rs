//! Which Pods are probed, and what is known of them.

use super::{
    runner::{Job, Outcome},
    spec::{Action, Probe, requested},
    tally::Tally,
};
use crate::source::{Name, Object, parse_address};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    mem,
    net::IpAddr,
    sync::Arc,
};

/// The probed Pods.
#[derive(Debug, Default)]
pub struct Watch {
    pods: BTreeMap<Name, Watched>,
    /// The place of each job's container.
    jobs: HashMap<u64, (Name, String)>,
    last_job: u64,
    /// What an earlier agent knew, until the first Pods are followed.
    memory: Memory,
}

/// A Pod with probes. It is the same one as long as uid and address are.
#[derive(Debug)]
struct Watched {
    uid: Option<String>,
    address: IpAddr,
    /// The Pod as its manifest has it.
    pod: Arc<Pod>,
    /// Whether the conditions in the manifest count too.
    conditions_count: bool,
    /// The Pod with the condition that its probes give it.
    settled: Arc<Pod>,
    /// It is probed no more, and stays as it was.
    is_terminating: bool,
    containers: BTreeMap<String, Container>,
}

/// A container with a probe.
#[derive(Clone, Debug)]
struct Container {
    job: u64,
    probe: Probe,
    tally: Tally,
    is_new: bool,
}

/// The containers that were ready, to be kept for the next agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(BTreeMap<Name, Remembered>);

/// A Pod of which containers were ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    uid: Option<String>,
    address: IpAddr,
    /// What was tried with success, by container.
    ready: BTreeMap<String, Action>,
}

impl Watch {
    /// Of no Pods yet; with what an earlier agent knew.
    pub fn new(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Follows these Pods and no others: those that have an address and have not ended. What is known of a
    /// container stays known while the Pod is the same, and the probe tries the same.
    pub fn follow(&mut self, pods: &BTreeMap<Arc<Name>, Object<Pod>>) {
        let mut before = mem::take(&mut self.pods);
        let mut memory = mem::take(&mut self.memory);
        for (name, object) in pods {
            let before = before.remove(&**name);
            // What was settled here is taken as its manifest has it.
            let settled = before.as_ref().filter(|before| Arc::ptr_eq(&before.settled, &object.value));
            let pod = &settled.map_or_else(|| Arc::clone(&object.value), |before| Arc::clone(&before.pod));
            let (Some(address), uid) = (address(pod), pod.metadata.uid.clone()) else { continue };
            let before = before.filter(|it| (&it.uid, it.address) == (&uid, address));
            let remembered = memory.0.remove(&**name).filter(|it| (&it.uid, it.address) == (&uid, address));
            let mut requested = requested(pod, address);
            let is_terminating = pod.metadata.deletion_timestamp.is_some();
            if is_terminating && before.is_none() && remembered.is_none() {
                // Nothing is known of it but its conditions.
                requested.probes.clear();
            }
            if requested.probes.is_empty() {
                continue;
            }
            let containers = requested.probes.into_iter().map(|(container, probe)| {
                let known = before.as_ref().and_then(|pod| pod.containers.get(&container));
                let known = known.filter(|known| known.probe.action == probe.action);
                let ready =
                    remembered.as_ref().is_some_and(|it| it.ready.get(&container) == Some(&probe.action));
                let continued = self.continued(known, ready, probe);
                (container, continued)
            });
            let mut watched = Watched {
                containers: containers.collect(),
                uid,
                address,
                pod: Arc::clone(pod),
                settled: Arc::clone(pod),
                conditions_count: requested.conditions_count,
                is_terminating,
            };
            watched.settled = match before {
                // The same one, so that whoever compares sees that nothing changed.
                Some(before) if Arc::ptr_eq(&before.pod, pod) && before.passes() == watched.passes() => {
                    before.settled
                }
                _ => watched.settle(),
            };
            self.pods.insert(Name::clone(name), watched);
        }
        let jobs = self.pods.iter().flat_map(|(name, pod)| {
            pod.containers.iter().map(|(container, it)| (it.job, (name.clone(), container.clone())))
        });
        self.jobs = jobs.collect();
    }

    /// A container as it goes on from what is known of it. `ready`: that an earlier agent knew it to be.
    fn continued(&mut self, known: Option<&Container>, ready: bool, probe: Probe) -> Container {
        if let Some(known) = known.filter(|known| known.probe == probe) {
            return known.clone();
        }
        self.last_job += 1;
        let tally = known.map_or_else(|| Tally::new(ready), |known| known.tally.clone());
        Container { job: self.last_job, probe, tally, is_new: known.is_none() && !ready }
    }

    /// What is to be run.
    pub fn jobs(&self) -> BTreeMap<u64, Job> {
        let probed = self.pods.iter().filter(|(_, pod)| !pod.is_terminating);
        let jobs = probed.flat_map(|(name, pod)| {
            pod.containers.iter().map(move |(container, it)| {
                let job =
                    Job { probe: it.probe.clone(), is_new: it.is_new, place: format!("{name}/{container}") };
                (it.job, job)
            })
        });
        jobs.collect()
    }

    /// Counts results. Returns the Pods whose readiness is another now, and what it is. What comes of a job
    /// that has been taken back does not count.
    pub fn record(&mut self, outcomes: Vec<Outcome>) -> BTreeMap<Name, bool> {
        let mut before = BTreeMap::new();
        for Outcome { job, result } in outcomes {
            let Some((name, container)) = self.jobs.get(&job) else { continue };
            let Some(pod) = self.pods.get_mut(name).filter(|pod| !pod.is_terminating) else { continue };
            before.entry(name.clone()).or_insert(pod.passes());
            if let Some(container) = pod.containers.get_mut(container) {
                container.tally.count(result, container.probe.thresholds);
            }
        }
        let mut changes = BTreeMap::new();
        for (name, before) in before {
            if let Some(pod) = self.pods.get_mut(&name).filter(|pod| pod.passes() != before) {
                pod.settled = pod.settle();
                changes.insert(name, !before);
            }
        }
        changes
    }

    /// A probed Pod with what is known in its Ready condition, as kubelet has it; `None` if it is not probed.
    pub fn settled(&self, name: &Name) -> Option<Arc<Pod>> {
        self.pods.get(name).map(|pod| Arc::clone(&pod.settled))
    }

    /// The containers that are not ready, and why, a line each.
    pub fn not_ready(&self) -> Vec<String> {
        let probed = self.pods.iter().filter(|(_, pod)| !pod.is_terminating);
        let lines = probed.flat_map(|(name, pod)| {
            let not_ready = pod.containers.iter().filter(|(_, it)| !it.tally.is_ready());
            not_ready.map(move |(container, Container { probe, tally, .. })| {
                let why = tally.why_not(probe.thresholds);
                format!("{name}, container {container}: {}: {why}", probe.action)
            })
        });
        lines.collect()
    }

    /// What the next agent is to know.
    pub fn memory(&self) -> Memory {
        let remembered = self.pods.iter().filter_map(|(name, pod)| {
            let ready = pod.containers.iter().filter(|(_, it)| it.tally.is_ready());
            let ready: BTreeMap<_, _> =
                ready.map(|(container, it)| (container.clone(), it.probe.action.clone())).collect();
            let remembered = Remembered { uid: pod.uid.clone(), address: pod.address, ready };
            (!remembered.ready.is_empty()).then(|| (name.clone(), remembered))
        });
        Memory(remembered.collect())
    }
}

impl Watched {
    /// Whether all its probes pass.
    fn passes(&self) -> bool {
        self.containers.values().all(|container| container.tally.is_ready())
    }

    /// The Pod with the condition that its probes give it.
    fn settle(&self) -> Arc<Pod> {
        let ready = self.passes();
        if ready && self.conditions_count {
            return Arc::clone(&self.pod);
        }
        let mut pod = Pod::clone(&self.pod);
        let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != "Ready");
        conditions.push(PodCondition {
            type_: "Ready".to_owned(),
            status: if ready { "True" } else { "False" }.to_owned(),
            ..PodCondition::default()
        });
        Arc::new(pod)
    }
}

/// Where a Pod is probed: its first address. `None` if it has none, or has ended.
fn address(pod: &Pod) -> Option<IpAddr> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let first = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
    first.chain(status.pod_ip.as_deref()).find_map(parse_address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::read_text;

    const TCP: &str = "{tcpSocket: {port: 80}, failureThreshold: 1}";

    /// A Pod's manifest with a container for each of these probes: `c0`, `c1`, …
    fn pod(name: &str, metadata: &str, status: &str, probes: &[&str]) -> String {
        let container =
            |(index, probe): (usize, &&str)| format!("{{name: c{index}, readinessProbe: {probe}}}");
        let containers: Vec<String> = probes.iter().enumerate().map(container).collect();
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: ns{metadata}}}\n\
             spec: {{containers: [{}]}}\nstatus: {{{status}}}\n",
            containers.join(", ")
        )
    }

    fn web(probes: &[&str]) -> String {
        pod("web", "", "podIP: 10.0.0.1", probes)
    }

    type Pods = BTreeMap<Arc<Name>, Object<Pod>>;

    fn pods(text: &str) -> Pods {
        read_text("pods.yaml", text).objects.pods
    }

    fn follow(watch: &mut Watch, text: &str) -> Vec<u64> {
        watch.follow(&pods(text));
        watch.jobs().into_keys().collect()
    }

    fn success(job: u64) -> Vec<Outcome> {
        vec![Outcome { job, result: Ok(()) }]
    }

    fn failure(job: u64) -> Vec<Outcome> {
        vec![Outcome { job, result: Err("HTTP 503".to_owned()) }]
    }

    /// The Ready condition of each Pod in force; `None` if it has none.
    fn conditions(watch: &Watch, text: &str) -> Vec<Option<String>> {
        let mut pods = pods(text);
        for (name, pod) in &mut pods {
            pod.value = watch.settled(name).unwrap_or_else(|| Arc::clone(&pod.value));
        }
        let condition = |pod: &Object<Pod>| {
            let conditions = pod.value.status.clone()?.conditions?;
            assert!(conditions.iter().filter(|it| it.type_ == "Ready").count() <= 1);
            conditions.into_iter().find(|it| it.type_ == "Ready").map(|it| it.status)
        };
        pods.values().map(condition).collect()
    }

    fn ready(watch: &Watch, text: &str) -> bool {
        let conditions = conditions(watch, text);
        let [Some(status)] = &conditions[..] else { panic!("{conditions:?}") };
        status == "True"
    }

    fn changes(changes: &BTreeMap<Name, bool>) -> Vec<bool> {
        changes.values().copied().collect()
    }

    #[test]
    fn a_pod_is_ready_when_all_its_containers_are() {
        let mut watch = Watch::default();
        let text = web(&[TCP, TCP]);
        let jobs = follow(&mut watch, &text);
        assert!(!ready(&watch, &text));
        assert!(watch.record(success(jobs[0])).is_empty());
        assert_eq!(changes(&watch.record(success(jobs[1]))), [true]);
        assert!(ready(&watch, &text));
        let both = [failure(jobs[0]), failure(jobs[1])].concat();
        assert_eq!(changes(&watch.record(both)), [false]);
        assert!(!ready(&watch, &text));
    }

    #[test]
    fn a_change_that_takes_itself_back_is_none() {
        let mut watch = Watch::default();
        let jobs = follow(&mut watch, &web(&[TCP]));
        assert!(watch.record([success(jobs[0]), failure(jobs[0])].concat()).is_empty());
    }

    #[test]
    fn the_probe_decides_instead_of_the_conditions() {
        let mut watch = Watch::default();
        let text = pod("web", "", "podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]", &[TCP]);
        let jobs = follow(&mut watch, &text);
        watch.record(success(jobs[0]));
        assert!(ready(&watch, &text));
    }

    #[test]
    fn where_a_probe_is_not_run_the_conditions_decide_too() {
        let exec = "{exec: {command: [ls]}}";
        let of = |status: &str, result: fn(u64) -> Vec<Outcome>| {
            let mut watch = Watch::default();
            let text = pod("web", "", &format!("podIP: 10.0.0.1, conditions: [{status}]"), &[exec, TCP]);
            let jobs = follow(&mut watch, &text);
            watch.record(result(jobs[0]));
            conditions(&watch, &text)
        };
        let [yes, no] = ["{type: Ready, status: 'True'}", "{type: Ready, status: 'False'}"];
        assert_eq!(of(yes, success), [Some("True".to_owned())]);
        assert_eq!(of(no, success), [Some("False".to_owned())]);
        assert_eq!(of(yes, failure), [Some("False".to_owned())]);
        assert_eq!(of("", success), [None]);
        let mut watch = Watch::default();
        let text = web(&[exec]);
        assert_eq!((follow(&mut watch, &text), conditions(&watch, &text)), (vec![], vec![None]));
    }

    #[test]
    fn pods_without_probes_or_address_and_those_that_have_ended_are_left_alone() {
        let text = pod("a", "", "podIP: 10.0.0.1", &[])
            + &pod("b", "", "phase: Pending", &[TCP])
            + &pod("c", "", "phase: Succeeded, podIP: 10.0.0.1", &[TCP])
            + &pod("d", "", "phase: Failed, podIP: 10.0.0.1", &[TCP]);
        let mut watch = Watch::default();
        assert!(follow(&mut watch, &text).is_empty());
        assert_eq!(conditions(&watch, &text), [None, None, None, None]);
    }

    #[test]
    fn an_edit_leaves_the_probes_of_others_running() {
        let mut watch = Watch::default();
        let (first, second) = (web(&[TCP]), pod("other", "", "podIP: 10.0.0.2", &[TCP]));
        let before = follow(&mut watch, &first);
        watch.record(success(before[0]));
        let both = follow(&mut watch, &(first.clone() + &second));
        assert!(both.contains(&before[0]) && both.len() == 2);
        assert_eq!(follow(&mut watch, &first), before);
        assert!(ready(&watch, &first));
    }

    #[test]
    fn what_is_known_stays_known_while_the_pod_is_the_same_and_the_probe_tries_the_same() {
        let original = pod("web", ", uid: a", "podIP: 10.0.0.1", &[TCP]);
        for (edited, stays) in [
            (pod("web", ", uid: a, labels: {a: b}", "podIP: 10.0.0.1", &[TCP]), true),
            (pod("web", ", uid: a", "podIP: 10.0.0.1", &["{tcpSocket: {port: 80}, periodSeconds: 1}"]), true),
            (pod("web", ", uid: a", "podIP: 10.0.0.1", &["{tcpSocket: {port: 81}}"]), false),
            (pod("web", ", uid: b", "podIP: 10.0.0.1", &[TCP]), false),
            (pod("web", ", uid: a", "podIP: 10.0.0.2", &[TCP]), false),
        ] {
            let mut watch = Watch::default();
            let jobs = follow(&mut watch, &original);
            watch.record(success(jobs[0]));
            let memory = serde_json::to_string(&watch.memory()).expect("JSON");
            follow(&mut watch, &edited);
            assert_eq!(ready(&watch, &edited), stays, "{edited}");
            // The same holds for the next agent.
            let mut next = Watch::new(serde_json::from_str(&memory).expect("what was written"));
            follow(&mut next, &edited);
            assert_eq!(ready(&next, &edited), stays, "{edited}");
            assert!(next.jobs().values().all(|job| job.is_new != stays));
        }
    }

    #[test]
    fn what_an_earlier_agent_knew_counts_once() {
        let mut watch = Watch::default();
        let text = web(&[TCP]);
        let jobs = follow(&mut watch, &text);
        watch.record(success(jobs[0]));
        let mut next = Watch::new(watch.memory());
        follow(&mut next, "");
        assert_eq!(next.memory(), Memory::default());
        follow(&mut next, &text);
        assert!(!ready(&next, &text), "it was away");
    }

    #[test]
    fn a_terminating_pod_is_probed_no_more_and_stays_as_it_was() {
        let going = pod("web", ", deletionTimestamp: 2026-01-01T00:00:00Z", "podIP: 10.0.0.1", &[TCP]);
        for result in [success, failure] {
            let mut watch = Watch::default();
            let jobs = follow(&mut watch, &web(&[TCP]));
            watch.record(result(jobs[0]));
            let before = ready(&watch, &web(&[TCP]));
            assert!(follow(&mut watch, &going).is_empty());
            assert!(watch.record(if before { failure(jobs[0]) } else { success(jobs[0]) }).is_empty());
            assert_eq!(ready(&watch, &going), before);
            assert_eq!(watch.not_ready(), [] as [String; 0]);
        }
        let mut watch = Watch::default();
        assert_eq!((follow(&mut watch, &going), conditions(&watch, &going)), (vec![], vec![None]));
    }

    #[test]
    fn results_of_a_probe_that_was_taken_back_do_not_count() {
        let mut watch = Watch::default();
        let before = follow(&mut watch, &web(&[TCP]));
        let after = follow(&mut watch, &web(&["{tcpSocket: {port: 81}}"]));
        assert_ne!(before, after);
        assert!(watch.record(success(before[0])).is_empty());
        assert_eq!(changes(&watch.record(success(after[0]))), [true]);
    }

    #[test]
    fn who_is_not_ready_is_told_with_the_reason() {
        let mut watch = Watch::default();
        let jobs = follow(&mut watch, &web(&[TCP]));
        assert_eq!(watch.not_ready(), ["ns/web, container c0: tcp 10.0.0.1:80: not probed yet"]);
        watch.record(failure(jobs[0]));
        assert_eq!(watch.not_ready(), ["ns/web, container c0: tcp 10.0.0.1:80: HTTP 503"]);
        watch.record(success(jobs[0]));
        assert_eq!(watch.not_ready(), [] as [String; 0]);
    }
}
