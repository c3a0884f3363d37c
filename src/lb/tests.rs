use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn service(name: &str, address: Option<&str>, condition: (&str, &str, &str, &str)) -> Service {
    let (kind, status, reason, message) = condition;
    let ingress: Vec<Value> = address.map(|ip| json!({"ip": ip, "ipMode": "VIP"})).into_iter().collect();
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let value = json!({
        "metadata": {"namespace": "shop", "name": name}, "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}, "conditions": [condition]},
    });
    serde_json::from_value(value).unwrap()
}

fn lease(which: &str, node: &str, annotation: (&str, &str)) -> Lease {
    let (key, value) = annotation;
    let metadata = json!({"name": name(which, node), "labels": {LABEL: which}, "annotations": {key: value}});
    let spec = json!({"renewTime": "2026-01-01T00:59:59.500000Z"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

#[test]
fn it_says_who_answers_for_what_and_why_not() {
    let report = |epoch: &str, held: Value, seen: Value| {
        json!({"epoch": epoch, "interfaces": {"eth0": "02:00:00:00:00:01"}, "held": held, "seen": seen}).to_string()
    };
    let holds = json!({"10.0.0.10": "2026-01-01T00:10:00Z"});
    let leases = [
        lease(LIFE, "node-1", (EPOCH, "e1")),
        lease(REPORT, "node-1", (ANNOTATION, &report("e1", holds.clone(), json!({})))),
        lease(LIFE, "node-2", (EPOCH, "")),
        lease(REPORT, "node-2", (ANNOTATION, &report("e0", json!({"10.0.0.9": "2026-01-01T00:10:00Z"}), json!({})))),
    ];
    let services = [
        service("web", Some("10.0.0.10"), (READY, "True", "Answers", "10.0.0.10 answers on node-1")),
        service("late", None, (ADDRESS, "False", "PoolExhausted", "all are taken: delete a Service")),
        service("lost", Some("10.0.0.9"), (READY, "False", "NotAnnounced", "no node has taken 10.0.0.9 yet")),
        serde_json::from_value(json!({"metadata": {"name": "plain"}, "spec": {"type": "ClusterIP"}})).unwrap(),
    ];
    let shown = table::show(&status(&services, &leases), "2026-01-01T01:00:00Z".parse().unwrap());
    let wanted = "\
ADDRESS     SERVICE     NODE     SINCE   READY   REASON
10.0.0.9    shop/lost   -        -       False   NotAnnounced
10.0.0.10   shop/web    node-1   50m     True    Answers
<pending>   shop/late   -        -       False   PoolExhausted

NODE     ANNOUNCES   RENEWED   HELD   SEEN   INTERFACES
node-1   yes         0s        1      0      eth0 (02:00:00:00:00:01)
node-2   no          0s        0      0      -

shop/lost: no node has taken 10.0.0.9 yet
shop/late: all are taken: delete a Service
";
    assert_eq!(shown, wanted);
    assert_eq!(table::show(&Status::default(), Timestamp::now()), "there is no Service of type LoadBalancer\n");
}
