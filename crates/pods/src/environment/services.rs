//! Variables that tell of Services: `WEB_SERVICE_HOST`, and Docker's links `WEB_PORT_80_TCP_ADDR` and their like.

use std::collections::BTreeMap;

use crate::sources::ServiceAddress;

/// The variables of the Services of a Pod's namespace; without links just those of `default/kubernetes`, which every
/// Pod has. A Service of the Pod's own namespace goes before it.
#[must_use]
pub fn variables(services: &[ServiceAddress], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let master = |s: &&ServiceAddress| s.namespace == "default" && s.name == "kubernetes";
    let own = |s: &&ServiceAddress| links && s.namespace == namespace;
    let mut all = BTreeMap::new();
    for service in services.iter().filter(master).chain(services.iter().filter(own)) {
        all.extend(of_service(service));
    }
    all
}

fn of_service(service: &ServiceAddress) -> Vec<(String, String)> {
    let Some(first) = service.ports.first() else { return Vec::new() };
    let name = variable(&service.name);
    let ip = service.cluster_ip;
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    let mut all = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_string()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        all.push((format!("{name}_SERVICE_PORT_{}", variable(&port.name)), port.port.to_string()));
    }
    for (n, port) in service.ports.iter().enumerate() {
        let (upper, lower) = (port.protocol.to_ascii_uppercase(), port.protocol.to_ascii_lowercase());
        let url = format!("{lower}://{host}:{}", port.port);
        let prefix = format!("{name}_PORT_{}_{upper}", port.port);
        if n == 0 {
            all.push((format!("{name}_PORT"), url.clone()));
        }
        all.push((prefix.clone(), url));
        all.push((format!("{prefix}_PROTO"), lower));
        all.push((format!("{prefix}_PORT"), port.port.to_string()));
        all.push((format!("{prefix}_ADDR"), ip.to_string()));
    }
    all
}

fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace(['-', '.'], "_")
}
