//! How Services are listed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ServiceSpec;
use serde_json::Value;

use super::type_of;
use crate::document::{at, integer, list, text, texts};
use crate::kind::{Column, age};
use crate::labels;

pub(super) static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::field::<ServiceSpec>("Type", "type"),
        Column::field::<ServiceSpec>("Cluster-IP", "clusterIP"),
        Column::field::<ServiceSpec>("External-IP", "externalIPs"),
        Column::field::<ServiceSpec>("Port(s)", "ports"),
        Column::age(),
        Column::field::<ServiceSpec>("Selector", "selector").wide(),
    ]
});

pub(super) fn row(service: &Value, now: i64) -> Vec<Value> {
    let spec = at(service, "spec");
    let cluster_ip = texts(spec, "clusterIPs").first().copied().unwrap_or("<none>");
    vec![
        text(at(service, "metadata"), "name").into(),
        type_of(service).into(),
        cluster_ip.into(),
        external_address(service).into(),
        ports(list(spec, "ports")).into(),
        age(service, now).into(),
        labels::print(spec, "selector").into(),
    ]
}

fn external_address(service: &Value) -> String {
    let spec = at(service, "spec");
    let mut addresses = texts(spec, "externalIPs");
    match type_of(service) {
        "ClusterIP" | "NodePort" if addresses.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => addresses.join(","),
        "LoadBalancer" => {
            let mut all: Vec<_> = ingress_points(service).into_iter().collect();
            all.append(&mut addresses);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(spec, "externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ingress_points(service: &Value) -> BTreeSet<&str> {
    let ingress = list(at(at(service, "status"), "loadBalancer"), "ingress");
    let points = ingress.iter().map(|point| match text(point, "ip") {
        "" => text(point, "hostname"),
        ip => ip,
    });
    points.filter(|point| !point.is_empty()).collect()
}

fn ports(ports: &[Value]) -> String {
    if ports.is_empty() {
        return "<none>".to_owned();
    }
    let printed = ports.iter().map(|port| {
        let (number, protocol) = (integer(port, "port"), text(port, "protocol"));
        match integer(port, "nodePort") {
            node_port if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    printed.collect::<Vec<_>>().join(",")
}
