use super::*;

#[test]
fn text_becomes_lower_case_wire_form_and_back() {
    let name = Name::parse("Web.Default.svc.Cluster.LOCAL").unwrap();
    assert_eq!(name.wire(), b"\x03web\x07default\x03svc\x07cluster\x05local\x00");
    assert_eq!(name.to_string(), "web.default.svc.cluster.local.");
    assert_eq!(name.label_count(), 5);
    assert_eq!(Name::parse("web.default.svc.cluster.local.").unwrap(), name);
}

#[test]
fn the_root_is_the_empty_name() {
    assert_eq!(Name::parse(".").unwrap().wire(), [0]);
    assert_eq!(Name::parse("").unwrap().to_string(), ".");
}

#[test]
fn bad_labels_and_lengths_are_refused() {
    assert!(matches!(Name::parse("a..b"), Err(NameError::Label { length: 0, .. })));
    assert!(matches!(Name::parse(&"x".repeat(64)), Err(NameError::Label { length: 64, .. })));
    let long = vec!["x".repeat(63); 4].join(".");
    assert!(matches!(Name::parse(&long), Err(NameError::TooLong { .. })));
    let fits = format!("{}.{}", vec!["x".repeat(63); 3].join("."), "x".repeat(61));
    assert_eq!(Name::parse(&fits).unwrap().wire().len(), 255);
}

#[test]
fn labels_stop_at_a_part_that_is_cut_off() {
    assert_eq!(labels(b"\x03web\x07def").collect::<Vec<_>>(), [b"web".as_slice()]);
}
