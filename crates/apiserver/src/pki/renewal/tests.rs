use x509_parser::prelude::*;

use super::*;
use crate::pki::Subject;

const SHORT: Duration = Duration::from_secs(3);

/// The serial number of what is shown now, which must not be over.
fn serial(renewing: &Renewing) -> Vec<u8> {
    let key = ResolvesClientCert::resolve(renewing, &[], &[]).unwrap();
    let (_, certificate) = X509Certificate::from_der(&key.cert[0]).unwrap();
    assert!(certificate.validity().is_valid());
    certificate.raw_serial().to_owned()
}

fn renewing(life: Duration) -> Arc<Renewing> {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(dir.path()).unwrap().with_identity_life(life);
    Renewing::new(Arc::new(authority), |authority| authority.issue_client(&Subject::alone("somebody"))).unwrap()
}

#[test]
fn an_identity_is_signed_anew_before_it_is_over() {
    let renewing = renewing(SHORT);
    let first = serial(&renewing);
    assert_eq!(serial(&renewing), first);
    testbed::wait_until(SHORT * 10, "another certificate", || serial(&renewing) != first).unwrap();
}

#[test]
fn one_that_cannot_be_renewed_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(dir.path()).unwrap().with_identity_life(Duration::ZERO);
    let first = std::sync::atomic::AtomicBool::new(true);
    let renewing = Renewing::new(Arc::new(authority), move |authority| {
        let name =
            if first.swap(false, std::sync::atomic::Ordering::Relaxed) { "good.example" } else { "no name \u{e9}" };
        authority.issue_server(&Subject::alone("somebody"), &[name], &[])
    });
    let renewing = renewing.unwrap();
    let shown = || ResolvesClientCert::resolve(&*renewing, &[], &[]).unwrap();
    assert!(Arc::ptr_eq(&shown(), &shown()));
}
