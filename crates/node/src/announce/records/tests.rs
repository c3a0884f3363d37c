use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

fn lease(which: &str, annotations: BTreeMap<String, String>) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(name(which, "node-1.example")),
            labels: Some(BTreeMap::from([(LABEL.to_owned(), which.to_owned())])),
            annotations: Some(annotations),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

#[test]
fn what_is_written_is_read() {
    let (node, version) = ("node-1.example".to_owned(), "7".to_owned());
    let lasts = Duration::from_millis(700);
    let at = vec!["10.0.0.2".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()];
    let written = lease(LIFE, life("e1", lasts, &at));
    let epoch = Some("e1".to_owned());
    let wanted = Life { node: node.clone(), epoch, lease: lasts, addresses: at.clone(), version: version.clone() };
    assert_eq!(read(&written), Some(Record::Life(wanted.clone())));
    // An epoch that was ended is empty.
    assert_eq!(read(&lease(LIFE, life("", lasts, &at))), Some(Record::Life(Life { epoch: None, ..wanted })));

    for text in [&["10.0.0.9", "fd00::1"][..], &[]] {
        let addresses: BTreeSet<IpAddr> = text.iter().map(|address| address.parse().unwrap()).collect();
        let written = lease(CLAIMS, claims("e1", 5, &addresses));
        let (node, epoch, version) = (node.clone(), "e1".to_owned(), version.clone());
        assert_eq!(read(&written), Some(Record::Claims(Claims { node, epoch, sequence: 5, addresses, version })));
    }
    assert_eq!(read(&lease("report", BTreeMap::new())), None);
    assert_eq!(read(&Lease::default()), None);
}
