//! Without a selector: steps 12 and 13.

use crate::cluster::Cluster;
use crate::echo::who;

#[test]
fn step_12_endpoints_made_by_hand_carry_the_traffic_and_are_mirrored() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {ports: [{port: 80, targetPort: 9376}]}}",
    );
    cluster.apply_example("my-app.yaml");
    cluster.wait_for_deployment("my-app");
    cluster.kubectl_fails(&["get", "endpoints", "outside"]);
    let pod = cluster.get(&["pods", "-l", "app=MyApp"])["items"][0].clone();
    let ip = pod["status"]["podIP"].as_str().unwrap();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Endpoints, metadata: {{name: outside}}, subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 9376}}]}}]}}"
    ));
    let slice = cluster.wait("the Endpoints are mirrored", || {
        let slices = cluster.get(&["endpointslices", "-l", "kubernetes.io/service-name=outside"]);
        slices["items"].get(0).cloned()
    });
    assert_eq!(slice["endpoints"][0]["addresses"][0], ip);
    assert_eq!(slice["ports"][0]["port"], 9376);
    assert_eq!(
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
        "endpointslicemirroring-controller.k8s.io"
    );
    let address = format!("{}:80", cluster.cluster_ip("outside"));
    let answered = cluster.wait("it carries the traffic", || who(&address).ok());
    assert_eq!(answered, pod["metadata"]["name"].as_str().unwrap());

    cluster.kubectl(&[
        "delete",
        "-f",
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/without-selector.yaml"),
        "--ignore-not-found",
    ]);
    cluster.apply_example("without-selector.yaml");
    assert_eq!(cluster.wait_for_endpoints("outside", 1), ["1.2.3.4:9376"]);
}

#[test]
fn step_13_a_headless_service_has_no_address_and_dns_gives_the_pods_own() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("headless.yaml");
    cluster.apply_example("my-app.yaml");
    cluster.wait_for_deployment("my-app");
    assert_eq!(cluster.cluster_ip("headless"), "None");
    let pods: Vec<String> = cluster.wait_for_endpoints("headless", 3).iter().map(|e| e.replace(":9376", "")).collect();
    let mut answers = cluster.wait("DNS answers with three addresses", || {
        let found = crate::names::dig(&["headless.default.svc.cluster.local", "A"]);
        (found.len() == 3).then_some(found)
    });
    answers.sort();
    assert_eq!(answers, pods);
}
