use dataplane::SyncReport;
use serde_json::json;

use super::*;

fn service(version: &str) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web", "resourceVersion": version}}))
        .unwrap()
}

fn slice(version: &str) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web-1", "resourceVersion": version},
        "addressType": "IPv4", "endpoints": [],
    }))
    .unwrap()
}

#[test]
fn only_what_was_programmed_is_told() {
    let (tell, held) = watch::channel(None);
    let mut progress = Progress::new(tell);
    let key = ("shop".to_owned(), "web".to_owned());
    progress.set_service(&key, &service("7"), None);
    progress.set_service(&key, &service("5"), None);
    progress.set_slice(&key, &slice("9"), None);
    assert_eq!(*held.borrow(), None, "the kernel has not answered yet");
    progress.synced(&Ok(SyncReport::default()), &Model::default());
    let told = held.borrow().clone().unwrap();
    assert_eq!((told.services, told.slices), (7, 9));
    assert_eq!(told.annotations()[SERVICES], "7");
    assert!(held.has_changed().is_ok());

    let mut held = held;
    held.mark_unchanged();
    progress.synced(&Ok(SyncReport::default()), &Model::default());
    assert!(!held.has_changed().unwrap(), "nothing new is nothing to report");

    let refused = vec![dataplane::NamespacedName::new("shop", "web")];
    progress.synced(&Ok(SyncReport { quarantined: refused, ..SyncReport::default() }), &Model::default());
    assert_eq!(held.borrow().clone().unwrap().annotations()[REFUSED], "shop/web");
}
