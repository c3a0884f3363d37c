use serde_json::json;

use super::*;

fn ranges(ranges: &[&str]) -> Value {
    json!({"metadata": {"name": "c"}, "spec": {"cidrs": ranges}})
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn refused_when_created() {
    let rows: [(&[&str], &[&str]); 6] = [
        (&["10.98.0.0/24"], &[]),
        (&["10.98.0.0/24", "fd00::/32"], &[]),
        (&[], &["spec.cidrs: Required value: at least one CIDR required"]),
        (
            &["10.98.0.0/24", "10.98.1.0/24"],
            &[
                r#"spec.cidrs: Invalid value: ["10.98.0.0/24","10.98.1.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#,
            ],
        ),
        (&["a", "b", "c"], &[r#"spec.cidrs: Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2 values"#]),
        (
            &["10.98.0.1/24", "FD00::/64"],
            &[
                r#"spec.cidrs[0]: Invalid value: "10.98.0.1/24": must not have bits set beyond the prefix length"#,
                r#"spec.cidrs[1]: Invalid value: "FD00::/64": must be in canonical form ("fd00::/64")"#,
            ],
        ),
    ];
    for (given, want) in rows {
        assert_eq!(texts_of(ServiceCidr.validate(&ranges(given))), want, "{given:?}");
    }
}

#[test]
fn changes() {
    let change = |old: &[&str], new: &[&str]| texts_of(ServiceCidr.validate_update(&ranges(new), &ranges(old)));
    assert!(change(&["10.98.0.0/24"], &["10.98.0.0/24"]).is_empty());
    assert!(change(&["10.98.0.0/24"], &["10.98.0.0/24", "fd00::/64"]).is_empty());
    assert_eq!(
        change(&["10.98.0.0/24"], &["10.99.0.0/24"]),
        ["spec.cidrs[0]: Invalid value: \"10.99.0.0/24\": field is immutable"]
    );
    assert_eq!(
        change(&["10.98.0.0/24", "fd00::/64"], &["10.98.0.0/24"]),
        ["spec.cidrs: Invalid value: [\"10.98.0.0/24\"]: field is immutable"]
    );
    assert_eq!(change(&["10.98.0.0/24"], &["10.99.0.0/24", "x"]).len(), 2);
}

#[test]
fn status_and_rows() {
    let mut object = ranges(&["10.98.0.0/24", "fd00::/64"]);
    object["status"] = json!({"conditions": [{"type": "Ready"}]});
    let stored = object.clone();
    ServiceCidr.prepare_for_create(&mut object);
    assert_eq!(object["status"], json!({}));
    ServiceCidr.prepare_for_update(&mut object, &stored);
    assert_eq!(object, stored);
    assert_eq!(ServiceCidr.row(&object, 0)[1], "10.98.0.0/24,fd00::/64");
}
