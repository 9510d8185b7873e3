//! For how long a client keeps its backend.

use super::*;

fn timeout(spec: &str) -> u32 {
    let yaml = service("web", &format!("  clusterIP: 10.96.0.10\n  ports: [{{port: 80}}]\n{spec}"));
    only_service(&compiled(&yaml)).affinity_timeout
}

#[test]
fn a_client_keeps_its_backend_for_three_hours_unless_told_otherwise() {
    let affine = "  sessionAffinity: ClientIP\n";
    let lasting = |seconds: u32| {
        format!("{affine}  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}\n")
    };
    for (spec, expected) in [
        (String::new(), 0),
        ("  sessionAffinity: None\n".to_owned(), 0),
        (affine.to_owned(), 10800),
        (format!("{affine}  sessionAffinityConfig: {{clientIP: {{}}}}\n"), 10800),
        (lasting(1), 1),
        (lasting(86400), 86400),
    ] {
        assert_eq!(timeout(&spec), expected, "{spec}");
    }
}

#[test]
fn both_families_and_all_frontends_of_a_port_have_the_same_timeout() {
    let compiled = compiled(&WEB.replace("  selector", "  sessionAffinity: ClientIP\n  selector"));
    assert_eq!(compiled.tables.services.len(), 4);
    assert!(compiled.tables.services.values().all(|service| service.affinity_timeout == 10800));
}
