use std::os::unix::fs::PermissionsExt;

use x509_parser::prelude::*;

use super::*;

fn parsed(pem: &str, look: impl FnOnce(&X509Certificate<'_>)) {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    look(&pem.parse_x509().unwrap());
}

#[test]
fn an_authority_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::load_or_create(dir.path()).unwrap();
    let again = Authority::load_or_create(dir.path()).unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    assert_eq!(first.service_account_key_pem(), again.service_account_key_pem());
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path()).unwrap();
    for name in ["ca.key", "sa.key", "secrets.keys"] {
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn an_identity_says_user_and_group_and_is_signed_by_the_authority_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path()).unwrap();
    let authority = Authority::load_or_create(dir.path()).unwrap();
    let node = authority.issue_client(&Subject::in_group("system:node:node-1", "system:nodes")).unwrap();
    parsed(authority.certificate_pem(), |ca| {
        parsed(&node.certificate_pem, |leaf| {
            leaf.verify_signature(Some(ca.public_key())).unwrap();
            assert_eq!(leaf.issuer(), ca.subject());
            assert_eq!(leaf.subject().iter_common_name().next().unwrap().as_str().unwrap(), "system:node:node-1");
            assert_eq!(leaf.subject().iter_organization().next().unwrap().as_str().unwrap(), "system:nodes");
        });
    });
}

#[test]
fn a_server_certificate_names_its_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(dir.path()).unwrap();
    let address: IpAddr = "10.96.0.1".parse().unwrap();
    let server = authority.issue_server(&Subject::alone("kube-apiserver"), &["kubernetes"], &[address]).unwrap();
    parsed(&server.certificate_pem, |leaf| {
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert!(names.value.general_names.contains(&GeneralName::DNSName("kubernetes")));
        assert!(names.value.general_names.contains(&GeneralName::IPAddress(&[10, 96, 0, 1])));
    });
}

#[test]
fn a_damaged_key_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path()).unwrap();
    fs::write(dir.path().join("ca.key"), "nonsense").unwrap();
    let error = Authority::load_or_create(dir.path()).err().unwrap().to_string();
    assert!(error.contains("ca.key"), "{error}");
}
