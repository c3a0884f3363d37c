use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::json;

use super::*;

/// A server that has one Secret, whose password can be changed.
fn server(password: Arc<Mutex<Option<&'static str>>>) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let password = *password.lock().unwrap();
        async move {
            let secret = |password: &str| {
                // "portolan\n", or what else is said, in base64.
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bgp"}, "data": {"password": password}})
            };
            let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "none", "reason": "NotFound", "code": 404});
            let (status, body) = match password {
                Some(password) if request.uri().path() == "/api/v1/namespaces/kube-system/secrets/bgp" => {
                    (StatusCode::OK, secret(password))
                }
                _ => (StatusCode::NOT_FOUND, missing),
            };
            let body = Body::from(body.to_string().into_bytes());
            Ok::<_, std::io::Error>(Response::builder().status(status).body(body).unwrap())
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn a_password_is_read_and_read_again() {
    let held = Arc::new(Mutex::new(Some("cG9ydG9sYW4K")));
    let place = ("bgp".to_owned(), "password".to_owned());
    let both = BTreeSet::from([place.clone(), ("other".to_owned(), "password".to_owned())]);
    let (want, wanted) = watch::channel(both.clone());
    let (tell, mut told) = watch::channel(Passwords::new());
    let stop = CancellationToken::new();
    let kept = tokio::spawn(keep(server(held.clone()), wanted, tell, stop.clone()));
    let has = |word: &str| Passwords::from([(place.clone(), word.to_owned())]);
    told.wait_for(|told| *told == has("portolan")).await.unwrap();

    // "changed", and then what is no text: that changes nothing.
    for (now, wanted) in [("Y2hhbmdlZA==", "changed"), ("/w==", "changed"), ("c2Vjb25k", "second")] {
        *held.lock().unwrap() = Some(now);
        want.send_replace(both.clone());
        told.wait_for(|told| *told == has(wanted)).await.unwrap();
    }
    want.send_replace(BTreeSet::new());
    told.wait_for(Passwords::is_empty).await.unwrap();
    stop.cancel();
    kept.await.unwrap();
}
