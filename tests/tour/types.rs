//! Types: steps 14 to 18.

use crate::cluster::Cluster;
use crate::echo::{curl, who};
use crate::load::connect_times;

fn create(cluster: &Cluster, manifest: &str) -> Result<(), String> {
    std::fs::write("/tmp/object.yaml", format!("---\n{manifest}")).unwrap();
    let output = cluster.kubectl_command(&["create", "-f", "/tmp/object.yaml"]).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn with_address(name: &str, ip: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{clusterIP: {ip}, ports: [{{port: 80}}]}}}}"
    )
}

#[test]
fn step_14_an_explicit_cluster_ip_is_given_or_the_request_fails() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    create(&cluster, &with_address("first", "10.96.7.7")).unwrap();
    assert_eq!(cluster.cluster_ip("first"), "10.96.7.7");
    let taken = create(&cluster, &with_address("second", "10.96.7.7")).unwrap_err();
    assert!(taken.contains("failed to allocate IP 10.96.7.7: provided IP is already allocated"), "{taken}");
    let outside = create(&cluster, &with_address("second", "10.97.0.1")).unwrap_err();
    assert!(
        outside.contains("failed to allocate IP 10.97.0.1: the provided network does not match the current range"),
        "{outside}"
    );
    let changed = cluster.kubectl_fails(&[
        "patch",
        "service",
        "first",
        "-p",
        r#"{"spec":{"clusterIP":"10.96.7.8","clusterIPs":["10.96.7.8"]}}"#,
    ]);
    assert!(
        changed.contains("spec.clusterIPs[0]: Invalid value: [\"10.96.7.8\"]: may not change once set"),
        "{changed}"
    );
}

#[test]
fn step_15_a_node_port_is_the_same_on_every_node_and_nothing_is_half_allocated() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("my-app.yaml");
    cluster.apply_example("node-port.yaml");
    cluster.wait_for_deployment("my-app");
    cluster.wait_for_endpoints("node-port", 3);
    for node in ["172.30.0.2", "172.30.0.3", "172.30.0.4"] {
        cluster.wait("the node port answers on every node", || who(&format!("{node}:30080")).ok());
    }
    let port = |name: &str, ip: &str, port: u16| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: NodePort, clusterIP: {ip}, ports: [{{port: 80, nodePort: {port}}}]}}}}"
        )
    };
    let taken = create(&cluster, &port("late", "10.96.9.9", 30080)).unwrap_err();
    assert!(
        taken.contains("spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"),
        "{taken}"
    );
    // The cluster IP of the failed request is free again.
    create(&cluster, &port("late", "10.96.9.9", 30081)).unwrap();
    let range = create(&cluster, &port("far", "10.96.9.10", 80)).unwrap_err();
    assert!(
        range.contains("provided port is not in the valid range. The range of valid ports is 30000-32767"),
        "{range}"
    );
}

#[test]
fn step_16_a_load_balancer_gets_an_address_and_the_host_reaches_it() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("my-app.yaml");
    cluster.apply_example("load-balancer.yaml");
    let service = cluster.get(&["service", "load-balancer"]);
    assert!(service["spec"]["clusterIP"].is_string() && service["spec"]["ports"][0]["nodePort"].is_number());
    let address = cluster.wait("the address appears", || {
        let service = cluster.get(&["service", "load-balancer"]);
        service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned)
    });
    assert!(address.starts_with("172.30.0.2"), "{address}");
    cluster.wait_for_deployment("my-app");
    cluster.wait_for_endpoints("load-balancer", 3);
    let address = format!("{address}:80");
    cluster.wait("the host reaches it", || who(&address).ok());
    cluster.wait("it is spread over the Pods of all nodes", || {
        let seen = connect_times(address.parse().unwrap(), 60);
        (seen.errors.is_empty() && seen.answers.len() == 3).then_some(())
    });
}

#[test]
fn step_16_every_address_said_in_advance() {
    let flags = ["--service-cidr", "10.0.0.0/16", "--load-balancer-pool", "78.11.24.0/24"];
    let Some(cluster) = Cluster::up(&flags) else { return };
    cluster.apply_example("my-app.yaml");
    cluster.apply_example("load-balancer-by-address.yaml");
    cluster.wait_for_deployment("my-app");
    let service = cluster.wait("the wanted address appears", || {
        let service = cluster.get(&["service", "my-service"]);
        (service["status"]["loadBalancer"]["ingress"][0]["ip"] == "78.11.24.19").then_some(service)
    });
    assert_eq!(service["spec"]["clusterIP"], "10.0.171.239");
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 30061);
    for address in ["78.11.24.19:80", "10.0.171.239:80", "172.30.0.2:30061"] {
        cluster.wait("every address answers", || who(address).ok());
    }
}

#[test]
fn step_17_an_external_name_is_an_alias_and_may_become_a_service_and_back() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let cname = || crate::names::dig(&["database.default.svc.cluster.local", "CNAME"]);
    cluster.apply_example("external-name.yaml");
    cluster.wait("the alias answers", || (cname() == ["my.database.example.com."]).then_some(()));
    cluster.kubectl(&["patch", "service", "database", "-p", r#"{"spec":{"externalName":"other.example.com"}}"#]);
    cluster.wait("the new alias answers", || (cname() == ["other.example.com."]).then_some(()));

    cluster.apply_example("my-app.yaml");
    cluster.wait_for_deployment("my-app");
    let to_cluster = r#"{"spec":{"type":"ClusterIP","externalName":null,"selector":{"app":"MyApp"},"ports":[{"port":80,"targetPort":9376}]}}"#;
    cluster.kubectl(&["patch", "service", "database", "-p", to_cluster]);
    let ip = cluster.cluster_ip("database");
    cluster.wait("the name has the cluster IP", || {
        (crate::names::dig(&["database.default.svc.cluster.local", "A"]) == [ip.clone()]).then_some(())
    });
    cluster.wait("and it answers", || who(&format!("{ip}:80")).ok());
    let back = r#"{"spec":{"type":"ExternalName","externalName":"my.database.example.com","clusterIP":null,"clusterIPs":null}}"#;
    cluster.kubectl(&["patch", "service", "database", "--type=merge", "-p", back]);
    cluster.wait("the alias is back", || (cname() == ["my.database.example.com."]).then_some(()));
}

#[test]
fn step_18_session_affinity_keeps_a_client_at_its_pod_until_it_ends() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("my-app.yaml");
    cluster.apply_example("session-affinity.yaml");
    cluster.wait_for_deployment("my-app");
    cluster.wait_for_endpoints("sticky", 3);
    let address = format!("{}:80", cluster.cluster_ip("sticky"));
    let pod = cluster.wait("the Service answers", || who(&address).ok());
    let seen = connect_times(address.parse().unwrap(), 50);
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.answers.keys().collect::<Vec<_>>(), [&pod]);
    cluster.kubectl(&["delete", "pod", &pod]);
    let other = cluster.wait("another Pod serves the client", || who(&address).ok().filter(|p| *p != pod));
    let seen = connect_times(address.parse().unwrap(), 50);
    assert_eq!(seen.answers.keys().collect::<Vec<_>>(), [&other], "{seen:?}");
    assert!(curl(&[&format!("http://{address}/")]).is_ok());
    // The default is none.
    cluster.apply_example("my-service.yaml");
    assert_eq!(cluster.get(&["service", "my-service"])["spec"]["sessionAffinity"], "None");
}
