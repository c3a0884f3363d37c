//! Many Services at once: written into etcd beside the API server, which would take the better part of an hour to make a
//! hundred thousand. Each is what the API server made of the first, under another name and address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::cluster::Name;

/// Where etcd speaks HTTP.
pub const ETCD: &str = "http://127.0.0.1:2379";
/// Keys that one transaction writes; etcd takes no more than 128.
const TOGETHER: usize = 120;
/// Transactions under way at the same time.
const TRANSACTIONS: usize = 8;

/// What the API server made of the first Service: the Service, its slice, and the claim of its address.
pub struct Pattern {
    pub service: Value,
    pub slice: Value,
    pub address: Value,
}

impl Pattern {
    /// The keys and values of the `n`th.
    fn entries(&self, n: u32) -> [(String, Value); 3] {
        let name = Name::Many(n);
        let (text, ip) = (name.text(), name.vip().ip().to_string());
        let uid = |kind: u32| format!("00000000-0000-4000-8000-{kind:04x}{n:08x}");
        let renamed = |pattern: &Value, name: &str, kind: u32| {
            let mut object = pattern.clone();
            let metadata = &mut object["metadata"];
            metadata["name"] = json!(name);
            metadata["uid"] = json!(uid(kind));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("resourceVersion");
            }
            object
        };
        let mut service = renamed(&self.service, &text, 1);
        service["spec"]["clusterIP"] = json!(ip);
        service["spec"]["clusterIPs"] = json!([ip]);
        let slice_name = format!("{text}-0");
        let mut slice = renamed(&self.slice, &slice_name, 2);
        slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!(text);
        slice["endpoints"] = name.slice(0, 3 * n, 3)["endpoints"].take();
        let mut address = renamed(&self.address, &ip, 3);
        address["spec"]["parentRef"]["name"] = json!(text);
        [
            (format!("/registry/services/specs/default/{text}"), service),
            (format!("/registry/endpointslices/default/{slice_name}"), slice),
            (format!("/registry/ipaddresses/{ip}"), address),
        ]
    }
}

/// Writes Services with their slices.
pub async fn write(numbers: std::ops::Range<u32>, pattern: &Pattern) {
    let config = kube::Config::new(ETCD.parse().expect("an address"));
    let etcd = kube::Client::try_from(config).expect("a client of etcd");
    let puts = numbers.flat_map(|n| pattern.entries(n)).map(|(key, value)| {
        let (key, value) = (STANDARD.encode(key), STANDARD.encode(value.to_string()));
        json!({ "requestPut": { "key": key, "value": value } })
    });
    let transactions = futures::stream::iter(puts).chunks(TOGETHER).map(|puts| {
        let etcd = etcd.clone();
        async move {
            let body = json!({ "success": puts }).to_string().into_bytes();
            let request = http::Request::post("/v3/kv/txn").header("Content-Type", "application/json").body(body);
            etcd.request_text(request.expect("a request")).await.expect("etcd writes");
        }
    });
    transactions.for_each_concurrent(TRANSACTIONS, |one| one).await;
}
