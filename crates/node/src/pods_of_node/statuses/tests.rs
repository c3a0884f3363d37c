use k8s_openapi::api::core::v1::{PodCondition, PodIP, PodStatus};

use super::*;

#[test]
fn what_a_pod_had_before_does_not_stay_in_its_status() {
    let ready = PodCondition { type_: "Ready".to_owned(), status: "True".to_owned(), ..PodCondition::default() };
    let status = PodStatus {
        phase: Some("Running".to_owned()),
        conditions: Some(vec![ready]),
        pod_ip: Some("10.244.0.3".to_owned()),
        pod_ips: Some(vec![PodIP { ip: "10.244.0.3".to_owned() }]),
        ..PodStatus::default()
    };
    let change = StatusChange {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "u".to_owned(),
        status,
        gone: false,
    };
    let status = patch(&change).unwrap()["status"].take();
    assert_eq!(status["podIPs"], json!([{ "$patch": "replace" }, { "ip": "10.244.0.3" }]));
    assert_eq!(status["conditions"][0]["message"], Value::Null);
    assert!(status["conditions"][0].as_object().unwrap().contains_key("reason"));
    assert!(status.as_object().unwrap().contains_key("message"));
    assert!(!status.as_object().unwrap().contains_key("hostIPs"), "what is not told is not touched");
}
