//! A Service and its Pods: steps 1 to 8.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::echo::who;
use crate::load::{Load, connect_times};

/// A cluster with `my-service` and its three Pods, all in rotation.
fn with_my_service(flags: &[&str]) -> Option<(Cluster, String)> {
    let cluster = Cluster::up(flags)?;
    cluster.apply_example("my-service.yaml");
    cluster.apply_example("my-app.yaml");
    cluster.wait_for_deployment("my-app");
    cluster.wait_for_endpoints("my-service", 3);
    let address = format!("{}:80", cluster.cluster_ip("my-service"));
    cluster.wait("the Service answers from the host", || who(&address).ok());
    Some((cluster, address))
}

/// The Pods that are not on their way out.
fn pods(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.get(&["pods", "-l", "app=MyApp"]);
    let stay = pods["items"].as_array().unwrap().iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    stay.map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn step_01_a_service_is_posted_and_answered_with_its_defaults() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let yaml = std::fs::read_to_string("/var/lib/portolan/portolan/kubeconfig").unwrap();
    for (key, file) in [
        ("client-certificate-data", "/tmp/tls.crt"),
        ("client-key-data", "/tmp/tls.key"),
        ("certificate-authority-data", "/tmp/ca.crt"),
    ] {
        let data = yaml.lines().find_map(|l| l.trim().strip_prefix(&format!("{key}: "))).unwrap();
        let decoded = Command::new("sh").args(["-c", &format!("echo {data} | base64 -d > {file}")]).status().unwrap();
        assert!(decoded.success());
    }
    let body = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/my-service.json")).unwrap();
    let output = Command::new("curl")
        .args(["-sS", "--cacert", "/tmp/ca.crt", "--cert", "/tmp/tls.crt", "--key", "/tmp/tls.key"])
        .args(["-H", "Content-Type: application/json", "-w", "\n%{http_code}", "-d", body.trim()])
        .arg("https://127.0.0.1:6443/api/v1/namespaces/default/services")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (answer, code) = text.rsplit_once('\n').unwrap();
    assert_eq!(code, "201", "{text}{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_str(answer).unwrap();
    let spec = &answer["spec"];
    assert!(spec["clusterIP"].as_str().unwrap().starts_with("10.96."), "{spec}");
    assert_eq!(spec["clusterIPs"][0], spec["clusterIP"]);
    assert_eq!(spec["type"], "ClusterIP");
    assert_eq!(spec["sessionAffinity"], "None");
    assert_eq!(spec["internalTrafficPolicy"], "Cluster");
    assert_eq!(spec["ipFamilies"], serde_json::json!(["IPv4"]));
    assert_eq!(spec["ipFamilyPolicy"], "SingleStack");
    assert_eq!(answer["status"], serde_json::json!({ "loadBalancer": {} }));

    cluster.kubectl(&["delete", "service", "my-service"]);
    cluster.apply_example("my-service.yaml");
    assert_eq!(cluster.get(&["service", "my-service"])["spec"]["ports"][0]["targetPort"], 9376);
}

#[test]
fn step_02_the_selector_finds_three_pods() {
    let Some((cluster, _)) = with_my_service(&[]) else { return };
    let endpoints = cluster.endpoints("my-service");
    assert_eq!(endpoints.len(), 3);
    assert!(endpoints.iter().all(|e| e.starts_with("10.244.") && e.ends_with(":9376")), "{endpoints:?}");
    assert_eq!(cluster.get(&["endpoints", "my-service"])["kind"], "Endpoints");

    let slices = cluster.get(&["endpointslices", "-l", "kubernetes.io/service-name=my-service"]);
    let mut found = Vec::new();
    for slice in slices["items"].as_array().unwrap() {
        assert_eq!(slice["ports"][0]["port"], 9376);
        for endpoint in slice["endpoints"].as_array().unwrap() {
            assert_eq!(
                endpoint["conditions"],
                serde_json::json!({ "ready": true, "serving": true, "terminating": false })
            );
            let (node, zone) = (endpoint["nodeName"].as_str().unwrap(), endpoint["zone"].as_str().unwrap());
            assert!([("node-1", "a"), ("node-2", "b"), ("node-3", "c")].contains(&(node, zone)), "{node} in {zone}");
            found.push(format!("{}:9376", endpoint["addresses"][0].as_str().unwrap()));
        }
    }
    found.sort();
    assert_eq!(found, endpoints);
}

#[test]
fn step_03_traffic_reaches_all_three_at_random() {
    let Some((cluster, address)) = with_my_service(&[]) else { return };
    cluster.start_client("default");
    // Without keep-alive each request is a connection of its own.
    let url = format!("http://{address}/?[1-3000]");
    let said =
        cluster.exec("client", &["curl", "-sS", "-H", "Connection: close", "-H", "Accept: application/json", &url]);
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for answer in serde_json::Deserializer::from_str(&said).into_iter::<Value>() {
        *answers.entry(answer.unwrap()["pod"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let counts: Vec<f64> = answers.values().map(|c| *c as f64).collect();
    assert_eq!(counts.len(), 3, "{answers:?}");
    assert_eq!(counts.iter().sum::<f64>(), 3000.0, "{answers:?}");
    // Two degrees of freedom: a uniform choice gives more than 13.8 once in a thousand runs, 23 once in 100,000.
    let chi_squared: f64 = counts.iter().map(|c| (c - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi_squared < 23.0, "chi-squared {chi_squared} of {counts:?}");
}

#[test]
fn step_04_pods_are_mortal_and_no_client_notices() {
    let Some((cluster, address)) = with_my_service(&[]) else { return };
    let load = Load::start(address.parse().unwrap(), 1000);
    let victim = pods(&cluster)[0].clone();
    cluster.kubectl(&["delete", "pod", &victim]);
    cluster.wait_for_endpoints("my-service", 3);
    cluster.wait("the new Pod answers", || {
        let seen = connect_times(address.parse().unwrap(), 30);
        (seen.answers.len() == 3 && !seen.answers.contains_key(&victim)).then_some(())
    });
    let seen = load.stop();
    assert_eq!(seen.errors, Vec::<String>::new(), "{} answers", seen.total());
    assert!(seen.total() > 100, "{seen:?}");
    assert!(!pods(&cluster).contains(&victim));
}

#[test]
fn step_05_nodes_die_and_others_take_over() {
    let Some((cluster, address)) = with_my_service(&[]) else { return };
    // The host's way to cluster IPs is by way of the first node that is ready; another one dies.
    cluster.portolan(&["stop-node", "node-3"]);
    let started = Instant::now();
    cluster.wait("the dead node's endpoint is out of rotation", || {
        let slices = cluster.get(&["endpointslices", "-l", "kubernetes.io/service-name=my-service"]);
        let endpoints = slices["items"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default());
        let ready = endpoints.filter(|e| e["conditions"]["ready"] == true);
        (!ready.into_iter().any(|e| e["nodeName"] == "node-3")).then_some(())
    });
    cluster.wait("three Pods on the two nodes that are left", || {
        let endpoints = cluster.endpoints("my-service");
        let alive = cluster.get(&["pods", "-l", "app=MyApp"]);
        let on_dead = alive["items"].as_array().unwrap().iter().any(|p| p["spec"]["nodeName"] == "node-3");
        (endpoints.len() == 3 && !on_dead).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(60));
    let seen = connect_times(address.parse().unwrap(), 100);
    assert_eq!(seen.errors, Vec::<String>::new());
    assert_eq!(seen.answers.len(), 3);

    cluster.portolan(&["start-node", "node-3"]);
    cluster.kubectl(&["wait", "node/node-3", "--for=condition=Ready", "--timeout=60s"]);
}

#[test]
fn step_06_labels_live() {
    let Some((cluster, _)) = with_my_service(&[]) else { return };
    let pod = pods(&cluster)[0].clone();
    cluster.kubectl(&["scale", "deployment/my-app", "--replicas=3"]);
    let address = cluster.get(&["pod", &pod])["status"]["podIP"].as_str().unwrap().to_owned();
    let endpoint = format!("{address}:9376");
    cluster.kubectl(&["label", "pod", &pod, "app=other", "--overwrite"]);
    cluster.wait("the Pod has left", || (!cluster.endpoints("my-service").contains(&endpoint)).then_some(()));
    cluster.kubectl(&["label", "pod", &pod, "app=MyApp", "--overwrite"]);
    let selected = cluster.kubectl(&["get", "pods", "-l", "app in (MyApp,other),!missing", "-o", "name"]);
    assert!(selected.lines().count() >= 3, "{selected}");
    let none = cluster.kubectl(&["get", "pods", "-l", "!app", "-o", "name"]);
    assert_eq!(none, "");
}

#[test]
fn step_07_readiness_decides_who_is_in_rotation() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("readiness.yaml");
    cluster.wait_for_deployment("careful");
    let both = cluster.wait_for_endpoints("careful", 2);
    let sick = both[0].replace(":8080", "");
    crate::echo::curl(&["-X", "POST", &format!("http://{sick}:8080/healthz?fail")]).unwrap();
    let left = cluster.wait_for_endpoints("careful", 1);
    assert_eq!(left, [both[1].clone()]);
    crate::echo::curl(&["-X", "POST", &format!("http://{sick}:8080/healthz?ok")]).unwrap();
    cluster.wait_for_endpoints("careful", 2);
}

#[test]
fn step_08_a_rolling_update_under_load_drops_nothing() {
    let Some((cluster, address)) = with_my_service(&[]) else { return };
    cluster.kubectl(&["scale", "deployment/my-app", "--replicas=5"]);
    cluster.wait_for_deployment("my-app");
    cluster.wait_for_endpoints("my-service", 5);
    let load = Load::start(address.parse().unwrap(), 500);
    let before = pods(&cluster);
    cluster.kubectl(&["set", "image", "deployment/my-app", "echo=portolan/echo:latest"]);
    cluster.wait_for_deployment("my-app");
    assert!(pods(&cluster).iter().filter(|p| before.contains(p)).count() < 5);
    cluster.kubectl(&["rollout", "undo", "deployment/my-app"]);
    cluster.wait_for_deployment("my-app");
    let image =
        cluster.kubectl(&["get", "deployment", "my-app", "-o", "jsonpath={.spec.template.spec.containers[0].image}"]);
    assert_eq!(image, "portolan/echo");
    let seen = load.stop();
    assert_eq!(seen.errors, Vec::<String>::new(), "{} answers", seen.total());
    assert!(seen.total() > 100);
}
