use std::time::Duration;

use dataplane::backend::fake;
use dataplane::{Config, Dataplane, Node};
use serde_json::json;

use super::*;

/// A loop over Services without the loop: what is told is programmed into rules in memory.
struct Scene {
    figures: Figures,
    dataplane: Dataplane<fake::Backend>,
}

impl Scene {
    fn new() -> Self {
        let backend = fake::Backend::new(Config::default());
        let node = Node { name: "here".into(), ..Node::default() };
        let figures = Figures::new(Metrics::new(Default::default()), vec![Family::V4]);
        Self { figures, dataplane: Dataplane::new(backend, node) }
    }

    fn set_service(&mut self, policy: &str) {
        let object = json!({
            "metadata": { "namespace": "shop", "name": "web" },
            "spec": {
                "type": "NodePort", "clusterIPs": ["10.96.0.9"], "externalTrafficPolicy": policy,
                "ports": [{ "port": 80, "nodePort": 30080 }],
            },
        });
        let service: Service = serde_json::from_value(object).unwrap();
        let traffic = crate::services::traffic_of_service(&service);
        self.figures.set_service(&("shop".to_owned(), "web".to_owned()), &service, traffic.as_ref());
        self.dataplane.model_mut().set_service(NamespacedName::new("shop", "web"), traffic.unwrap());
    }

    fn set_slice(&mut self, node: &str, triggered: Option<Timestamp>) {
        let annotations = triggered.map(|t| json!({ TRIGGER_TIME: t.to_string() }));
        let object = json!({
            "metadata": {
                "namespace": "shop", "name": "web-1", "annotations": annotations,
                "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.244.1.2"], "nodeName": node }],
            "ports": [{ "port": 8080 }],
        });
        let slice: EndpointSlice = serde_json::from_value(object).unwrap();
        let traffic = crate::services::traffic_of_slice(&slice).unwrap();
        self.figures.set_slice(&("shop".to_owned(), "web-1".to_owned()), &slice, Some(&traffic));
        self.figures.touched(&traffic.service);
        self.dataplane.model_mut().set_slice(NamespacedName::new("shop", "web-1"), traffic);
    }

    fn sync(&mut self) {
        let done = self.dataplane.sync();
        self.figures.synced(&done, self.dataplane.model());
    }

    fn has(&self, sample: &str) {
        let text = self.figures.metrics.plain_text();
        assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
    }
}

#[test]
fn changes_are_pending_until_the_kernel_knows_them() {
    let mut scene = Scene::new();
    scene.set_service("Cluster");
    scene.set_slice("here", None);
    scene.set_slice("there", None);
    scene.has("kubeproxy_sync_proxy_rules_service_changes_pending 1");
    scene.has("kubeproxy_sync_proxy_rules_endpoint_changes_pending 2");
    scene.sync();
    scene.has("kubeproxy_sync_proxy_rules_service_changes_pending 0");
    scene.has("kubeproxy_sync_proxy_rules_endpoint_changes_pending 0");
    scene.has("kubeproxy_sync_proxy_rules_service_changes_total 1");
    scene.has("kubeproxy_sync_proxy_rules_endpoint_changes_total 2");
    scene.has(r#"kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1"#);
    scene.set_slice("here", None);
    scene.sync();
    scene.has(r#"kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1"#);
    scene.has(r#"kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 2"#);
}

#[test]
fn a_local_policy_without_local_endpoints_is_counted_while_there_are_others() {
    let lacking = |policy: &str, count: u32| {
        format!(
            r#"kubeproxy_sync_proxy_rules_no_local_endpoints_total{{ip_family="IPv4",traffic_policy="{policy}"}} {count}"#
        )
    };
    let mut scene = Scene::new();
    scene.set_service("Local");
    scene.sync();
    scene.has(&lacking("external", 0));
    scene.set_slice("there", None);
    scene.sync();
    scene.has(&lacking("external", 1));
    scene.has(&lacking("internal", 0));
    scene.set_slice("here", None);
    scene.sync();
    scene.has(&lacking("external", 0));
    scene.set_slice("there", None);
    scene.sync();
    scene.set_service("Cluster");
    scene.sync();
    scene.has(&lacking("external", 0));
}

#[test]
fn programming_is_timed_from_the_trigger_once_and_not_for_what_was_before() {
    let count = |n: u32| format!(r#"kubeproxy_network_programming_duration_seconds_count{{ip_family="IPv4"}} {n}"#);
    let mut scene = Scene::new();
    scene.set_service("Cluster");
    scene.set_slice("here", Some(scene.figures.begun - Duration::from_secs(3600)));
    scene.sync();
    scene.has(&count(0));
    let trigger = Timestamp::now();
    scene.set_slice("here", Some(trigger));
    scene.has(&count(0));
    scene.sync();
    scene.has(&count(1));
    scene.set_slice("here", Some(trigger));
    scene.sync();
    scene.has(&count(1));
}
