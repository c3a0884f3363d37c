use super::*;

fn health() -> (Health, tokio::sync::mpsc::Receiver<i32>) {
    let (exit, told) = tokio::sync::mpsc::channel(1);
    (Health::new("web-0".into(), Duration::ZERO, None, exit), told)
}

fn asked(method: &str, path: &str, query: &str) -> Asked {
    Asked {
        client: "[::ffff:10.0.0.1]:4242".parse().unwrap(),
        method: method.into(),
        path: path.into(),
        query: query.into(),
        version: "HTTP/1.1".into(),
        headers: vec![("host".into(), "web".into())],
        body: Vec::new(),
    }
}

#[test]
fn it_says_who_asked_whom_what() {
    let (health, _told) = health();
    let mut request = asked("POST", "/a", "b=c");
    request.body = b"hello".to_vec();
    let want = "pod: web-0\nclient: 10.0.0.1:4242\nPOST /a?b=c HTTP/1.1\nhost: web\n\nhello";
    assert_eq!(health.answer(&request).body, want);
    request.headers.push(("accept".into(), "application/json".into()));
    let parsed: serde_json::Value = serde_json::from_str(&health.answer(&request).body).unwrap();
    assert_eq!((&parsed["pod"], &parsed["client"]), (&json!("web-0"), &json!("10.0.0.1:4242")));
    assert_eq!(health.datagram(request.client, b"x"), b"pod: web-0\nclient: 10.0.0.1:4242\n\nx");
}

#[test]
fn switches() {
    let (health, mut told) = health();
    let status = |method: &str, path: &str, query: &str| health.answer(&asked(method, path, query)).status;
    assert_eq!((status("GET", "/healthz", ""), status("GET", "/readyz", "")), (200, 200));
    assert_eq!(status("POST", "/readyz", "fail"), 200);
    assert_eq!((status("GET", "/healthz", ""), status("GET", "/readyz", "")), (200, 503));
    assert_eq!(status("POST", "/readyz", "ok"), 200);
    assert_eq!((status("POST", "/healthz", ""), status("GET", "/readyz", "")), (400, 200));
    assert_eq!((status("POST", "/exit", "code=7"), status("POST", "/exit", "code=8")), (200, 409));
    assert_eq!(told.try_recv(), Ok(7));
}

#[test]
fn failing_by_itself() {
    let (exit, _told) = tokio::sync::mpsc::channel(1);
    let health = Health::new("a".into(), Duration::from_millis(3), Some(Instant::now()), exit);
    assert_eq!(health.answer(&asked("GET", "/healthz", "")).status, 503);
    assert_eq!(health.delay("delay=7"), Duration::from_millis(7));
    assert_eq!(health.delay("x"), Duration::from_millis(3));
}
