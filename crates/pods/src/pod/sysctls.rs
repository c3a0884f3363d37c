//! Sysctls that a Pod may set: those of its own network namespace that Kubernetes calls safe.

use k8s_openapi::api::core::v1::Pod;

/// Names as a Pod writes them.
const SAFE: [&str; 9] = [
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// Paths beneath `/proc/sys/net` with their values.
///
/// # Errors
/// One that a Pod may not set.
pub fn of(pod: &Pod) -> Result<Vec<(String, String)>, String> {
    let security = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let one = |sysctl: &k8s_openapi::api::core::v1::Sysctl| {
        let name = sysctl.name.replace('/', ".");
        if !SAFE.contains(&name.as_str()) {
            return Err(format!("forbidden sysctl: {:?} is not one that this node allows", sysctl.name));
        }
        let path = name.strip_prefix("net.").unwrap_or(&name).replace('.', "/");
        Ok((path, sysctl.value.clone()))
    };
    security.iter().flat_map(|s| s.sysctls.iter().flatten()).map(one).collect()
}
