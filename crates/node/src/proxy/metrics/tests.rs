use super::*;

#[test]
fn the_names_are_kube_proxys() {
    let metrics = Metrics::new(Arc::default());
    metrics.begin(&[IpFamily::V4, IpFamily::V6]);
    metrics.healthz.get_or_create(&PerCode { code: 503 }).inc();
    metrics.livez.get_or_create(&PerCode { code: 200 }).inc();
    metrics.sync_failures.get_or_create(&PerFamily::of(IpFamily::V6)).inc();
    let text = metrics.plain_text();
    for sample in [
        r#"kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="16.384",ip_family="IPv4"} 0"#,
        r#"kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv6"} 0"#,
        r#"kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.0"#,
        r#"kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 0.0"#,
        r#"kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv6"} 0.0"#,
        r#"kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 1"#,
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 0",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
        "kubeproxy_sync_proxy_rules_service_changes_total 0",
        "kubeproxy_sync_proxy_rules_service_changes_pending 0",
        r#"kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"} 0"#,
        r#"kubeproxy_network_programming_duration_seconds_bucket{le="300.0",ip_family="IPv4"} 0"#,
        "kubeproxy_conntrack_reconciler_deleted_entries_total 0",
        "kubeproxy_conntrack_reconciler_sync_duration_seconds_count 0",
        "portolan_udp_flows_stale_total 0",
        "portolan_loopback_connections_open 0",
        r#"kubeproxy_proxy_healthz_total{code="503"} 1"#,
        r#"kubeproxy_proxy_livez_total{code="200"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
    }
}

#[test]
fn the_older_format_describes_each_counter_under_the_name_of_its_samples() {
    let metrics = Metrics::new(Arc::default());
    let text = metrics.plain_text();
    assert!(text.contains("# TYPE kubeproxy_sync_proxy_rules_service_changes_total counter\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
    assert!(metrics.open_metrics().ends_with("# EOF\n"));
}
