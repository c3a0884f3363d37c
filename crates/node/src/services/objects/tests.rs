use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::protobuf::encode::{bytes_field, encode, envelope};
use crate::views::EndpointSlice;

impl From<Change<EndpointSlice>> for String {
    fn from(change: Change<EndpointSlice>) -> String {
        match change {
            Change::Set(name, slice) => {
                let count = slice.endpoints.map_or(0, |endpoints| endpoints.len());
                format!("set {name} at {} to {count}", slice.metadata.resource_version.unwrap_or_default())
            }
            Change::Gone(name) => format!("gone {name}"),
            Change::Synced => "synced".to_owned(),
        }
    }
}

/// HTTP's status, and a body.
type Answered = (u16, Vec<u8>);

/// What a server answers, one request after the other; then nothing any more.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answered>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    heard: Arc<Mutex<Vec<bool>>>,
    labels: &'static str,
}

impl Script {
    fn answer(self, code: u16, body: Vec<u8>) -> Script {
        self.answers.lock().push_back((code, body));
        self
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let answer = move |request: Request<Body>| {
            let accept = request.headers().get("accept").map(|v| v.to_str().unwrap_or_default().to_owned());
            script.asked.lock().push((request.uri().to_string(), accept.unwrap_or_default()));
            let next = script.answers.lock().pop_front();
            async move {
                let Some((code, body)) = next else { return std::future::pending().await };
                let response = Response::builder().status(code).body(Full::new(Bytes::from(body)));
                Ok::<_, Infallible>(response.unwrap())
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    /// The first changes that are told.
    async fn told(&self, count: usize) -> Vec<String> {
        let (tell, mut told) = mpsc::channel::<Vec<String>>(4);
        let heard = self.heard.clone();
        let heard = Box::new(move |there| heard.lock().push(there));
        let followed = Followed { client: self.client(), labels: self.labels.to_owned(), heard };
        let task = tokio::spawn(follow_kind::<EndpointSlice, String>(followed, tell));
        let mut all = Vec::new();
        while all.len() < count {
            let next = tokio::time::timeout(std::time::Duration::from_secs(10), told.recv()).await;
            all.extend(next.unwrap_or_else(|_| panic!("nothing more is told after {all:?}")).expect("it is followed"));
        }
        task.abort();
        all
    }
}

fn slice(name: &str, version: u32, endpoints: u32) -> Value {
    let endpoint = |n| json!({ "addresses": [format!("10.244.0.{n}")] });
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "resourceVersion": version.to_string(),
            "labels": { "kubernetes.io/service-name": "web" },
        },
        "addressType": "IPv4", "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
    })
}

fn list(version: u32, items: &[Value]) -> Vec<u8> {
    let document = json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items });
    envelope(&encode("disc.EndpointSliceList", &document))
}

fn event(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    bytes_field(1, &envelope(object), &mut raw);
    let mut message = Vec::new();
    bytes_field(1, kind.as_bytes(), &mut message);
    bytes_field(2, &raw, &mut message);
    let mut frame = (message.len() as u32).to_be_bytes().to_vec();
    frame.append(&mut message);
    frame
}

fn of_slice(kind: &str, document: &Value) -> Vec<u8> {
    event(kind, &encode("disc.EndpointSlice", document))
}

fn status(code: u16) -> Vec<u8> {
    encode("m.Status", &json!({ "message": "too old resource version", "code": code }))
}

#[tokio::test]
async fn a_list_then_events_then_a_list_when_the_version_is_forgotten() {
    let events = [
        of_slice("ADDED", &slice("c", 11, 1)),
        of_slice("MODIFIED", &slice("a", 12, 3)),
        of_slice("DELETED", &slice("b", 13, 0)),
        of_slice("BOOKMARK", &json!({ "metadata": { "resourceVersion": "20" } })),
    ];
    let script = Script::default()
        .answer(200, list(10, &[slice("a", 4, 2), slice("b", 5, 0)]))
        .answer(200, events.concat())
        .answer(200, event("ERROR", &status(410)))
        .answer(200, list(30, &[slice("a", 29, 1)]));
    let told = script.told(9).await;
    assert_eq!(script.heard.lock()[..4], [true; 4], "a version that is forgotten is no server that is away");
    assert_eq!(
        told,
        [
            "set shop/a at 4 to 2",
            "set shop/b at 5 to 0",
            "synced",
            "set shop/c at 11 to 1",
            "set shop/a at 12 to 3",
            "gone shop/b",
            "set shop/a at 29 to 1",
            "gone shop/c",
            "synced"
        ]
    );
    let asked = script.asked.lock().clone();
    let watched_from = |n: usize| asked[n].0.rsplit_once("resourceVersion=").map(|(_, version)| version.to_owned());
    assert_eq!(asked[0].0, "/apis/discovery.k8s.io/v1/endpointslices");
    assert_eq!((watched_from(1).as_deref(), watched_from(2).as_deref()), (Some("10"), Some("20")));
    assert_eq!(asked[3].0, asked[0].0, "a list again");
    assert_eq!(asked[1].1, "application/vnd.kubernetes.protobuf;stream=watch");
}

#[tokio::test]
async fn a_list_that_breaks_off_forgets_nothing() {
    let whole = list(10, &[slice("a", 4, 2), slice("b", 5, 1)]);
    let cut = whole[..whole.len() - 60].to_vec();
    let script = Script::default()
        .answer(200, whole)
        .answer(410, envelope(&status(410)))
        .answer(200, cut)
        .answer(503, b"not now".to_vec())
        .answer(200, list(12, &[slice("b", 11, 1)]));
    let told = script.told(7).await;
    // A list and a watch that is refused; a list that breaks off, one that is refused, and one that is whole.
    assert_eq!(script.heard.lock()[..5], [true, true, false, false, true]);
    assert_eq!(
        told,
        [
            "set shop/a at 4 to 2",
            "set shop/b at 5 to 1",
            "synced",
            "set shop/a at 4 to 2",
            "set shop/b at 11 to 1",
            "gone shop/a",
            "synced"
        ]
    );
}

#[tokio::test]
async fn a_server_without_protobuf_is_asked_for_documents() {
    let page = |next: &str, items: &[Value]| {
        let metadata = json!({ "resourceVersion": "10", "continue": next });
        let document = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": metadata, "items": items
        });
        document.to_string().into_bytes()
    };
    let added = json!({ "type": "ADDED", "object": slice("c", 11, 3) });
    let script = Script::default()
        .answer(406, b"only JSON is spoken".to_vec())
        .answer(200, page("more", &[slice("a", 4, 2)]))
        .answer(200, page("", &[slice("b", 5, 1)]))
        .answer(200, format!("{added}\n").into_bytes());
    let told = script.told(4).await;
    assert_eq!(told, ["set shop/a at 4 to 2", "set shop/b at 5 to 1", "synced", "set shop/c at 11 to 3"]);
}

#[tokio::test]
async fn objects_are_chosen_by_their_labels() {
    let script = Script { labels: "tier in (front),!old", ..Script::default() };
    let script = script.answer(200, list(10, &[slice("a", 4, 2)])).answer(200, Vec::new());
    assert_eq!(script.told(2).await, ["set shop/a at 4 to 2", "synced"]);
    let path = "/apis/discovery.k8s.io/v1/endpointslices";
    assert_eq!(script.asked.lock()[0].0, format!("{path}?labelSelector=tier%20in%20%28front%29%2C%21old"));
}

#[test]
fn only_what_a_whole_list_lacks_is_gone() {
    let name = |text: &str| NamespacedName::new("shop", text);
    let mut known = Known::default();
    known.begin();
    known.set(name("a"));
    known.set(name("b"));
    assert!(known.end().is_empty());
    known.set(name("c"));
    known.begin();
    known.set(name("a"));
    // It breaks off, and begins again.
    known.begin();
    known.set(name("b"));
    assert_eq!(known.end(), [name("a"), name("c")]);
    known.gone(&name("b"));
    known.begin();
    assert!(known.end().is_empty());
}
