use serde_json::{Value, json};

use super::*;

fn run(of_pod: Value, own: Value, image_user: &str) -> Result<Rights, SpecificationError> {
    let container = json!({"name": "c", "securityContext": own});
    let pod = json!({"spec": {"containers": [container], "securityContext": of_pod}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    rights(&pod, &pod.spec.as_ref().unwrap().containers[0], image_user)
}

#[test]
fn no_new_privileges_unless_asked_for() {
    let cases = [
        (json!({}), true),
        (json!({"allowPrivilegeEscalation": true}), false),
        (json!({"allowPrivilegeEscalation": false, "privileged": false}), true),
        (json!({"privileged": true}), false),
        (json!({"capabilities": {"add": ["SYS_ADMIN"]}}), false),
    ];
    for (own, want) in cases {
        assert_eq!(run(json!({}), own.clone(), "").unwrap().no_new_privileges, want, "{own}");
    }
}

#[test]
fn who_it_is() {
    let of_pod = json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4, 5]});
    let rights = run(of_pod, json!({"runAsUser": 6}), "web").unwrap();
    let want = User { image: "web".into(), uid: Some(6), gid: Some(2), groups: vec![4, 5, 3], image_groups: true };
    assert_eq!(rights.user, want);
    assert!(run(json!({"supplementalGroupsPolicy": "Strict"}), json!({}), "").is_ok_and(|r| !r.user.image_groups));
}

#[test]
fn what_is_refused() {
    let non_root = || json!({"runAsNonRoot": true});
    let cases = [
        (non_root(), json!({}), "", "container has runAsNonRoot and image will run as root"),
        (non_root(), json!({}), "0:5", "container has runAsNonRoot and image will run as root"),
        (non_root(), json!({"runAsUser": 0}), "7", "container's runAsUser breaks non-root policy"),
        (
            non_root(),
            json!({}),
            "web",
            "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root",
        ),
        (json!({}), json!({"runAsUser": -1}), "", "runAsUser -1 is no id"),
        (json!({}), json!({"runAsUser": 4_294_967_295u32}), "", "runAsUser 4294967295 is no id"),
        (json!({}), json!({"capabilities": {"add": ["FLY"]}}), "", "there is no capability \"FLY\""),
    ];
    for (of_pod, own, image, message) in cases {
        assert_eq!(run(of_pod, own, image).unwrap_err().to_string(), message);
    }
    assert!(run(non_root(), json!({}), "7").is_ok());
    assert!(run(non_root(), json!({"runAsUser": 7}), "root").is_ok());
}
