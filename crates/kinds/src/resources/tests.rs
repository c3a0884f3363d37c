use serde_json::json;

use super::*;

#[test]
fn names_of_resources() {
    for (name, native, extended, integer, of_containers) in [
        ("cpu", true, false, false, true),
        ("hugepages-2Mi", true, false, false, true),
        ("pods", true, false, true, false),
        ("example.com/gpu", false, true, true, false),
        ("kubernetes.io/odd", true, false, false, false),
        ("requests.example.com/gpu", false, false, false, false),
        ("example.com/", false, false, false, false),
    ] {
        let got = (is_native(name), is_extended(name), is_integer(name), is_of_containers(name));
        assert_eq!(got, (native, extended, integer, of_containers), "{name}");
    }
}

#[test]
fn amounts_of_resources() {
    let path = Path::new("status").child("capacity");
    let faults =
        |name, value: Value| validate_amount(&path, name, &value).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(faults("cpu", json!("1500m")).is_empty());
    assert_eq!(
        faults("cpu", json!("-1")),
        ["status.capacity: Invalid value: \"-1\": must be greater than or equal to 0"]
    );
    assert_eq!(faults("pods", json!("1500m")), ["status.capacity: Invalid value: \"1500m\": must be an integer"]);
}
