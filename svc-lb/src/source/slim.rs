//! Leaves out of Pods what nobody here reads: there are many of them, and it is most of what they are.

use super::annotations;
use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use std::collections::BTreeMap;

/// Leaves out what is checked in a Pod, and then not read any more.
pub fn slim_pod(pod: &mut Pod) {
    slim_metadata(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        let PodSpec { affinity, containers, init_containers, tolerations, volumes, .. } = spec;
        (*affinity, *tolerations, *volumes) = (None, None, None);
        containers.iter_mut().chain(init_containers.iter_mut().flatten()).for_each(slim_container);
        containers.shrink_to_fit();
    }
    if let Some(status) = &mut pod.status {
        (status.container_statuses, status.init_container_statuses) = (None, None);
    }
}

fn slim_container(container: &mut Container) {
    let Container { args, command, env, env_from, resources, volume_mounts, .. } = container;
    (*args, *command, *env, *env_from) = (None, None, None, None);
    (*resources, *volume_mounts) = (None, None);
}

fn slim_metadata(metadata: &mut ObjectMeta) {
    let ObjectMeta { finalizers, generate_name, managed_fields, owner_references, resource_version, .. } =
        metadata;
    (*finalizers, *generate_name, *managed_fields) = (None, None, None);
    (*owner_references, *resource_version) = (None, None);
    retain(&mut metadata.annotations, annotations::is_ours);
}

/// Leaves out all but some keys; and the map, which takes memory also if it is empty.
fn retain(map: &mut Option<BTreeMap<String, String>>, is_read: impl Fn(&str) -> bool) {
    let kept = map.take().unwrap_or_default().into_iter().filter(|(key, _)| is_read(key));
    *map = Some(kept.collect()).filter(|map: &BTreeMap<_, _>| !map.is_empty());
}
