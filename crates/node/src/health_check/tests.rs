use std::num::NonZeroU16;

use dataplane::backend::fake;
use dataplane::model::{EndpointSlice, Protocol, ServicePort, SliceEndpoint, SlicePort};
use dataplane::{Config, Dataplane, Node};

use super::*;

#[test]
fn the_answer_is_kube_proxys_to_the_byte() {
    let service = NamespacedName::new("shop", "web");
    let body = |answer: Answer| {
        use http_body_util::BodyExt as _;
        let bytes = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let good = answer(&service, 3, true);
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(good.headers()["content-type"], "application/json");
    assert_eq!(good.headers()["x-content-type-options"], "nosniff");
    assert_eq!(good.headers()["x-load-balancing-endpoint-weight"], "3");
    let golden = "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 3,\n\t\"serviceProxyHealthy\": true\n}";
    assert_eq!(body(good), golden);
    for (endpoints, healthy) in [(0, true), (3, false), (0, false)] {
        let bad = answer(&service, endpoints, healthy);
        assert_eq!(bad.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(bad.headers()["x-load-balancing-endpoint-weight"], endpoints.to_string());
        let (old, new) = (r#""localEndpoints": 3"#, format!(r#""localEndpoints": {endpoints}"#));
        let (was, is) = (r#""serviceProxyHealthy": true"#, format!(r#""serviceProxyHealthy": {healthy}"#));
        assert_eq!(body(bad), golden.replace(old, &new).replace(was, &is));
    }
}

fn number(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

/// What listens, beside rules in memory.
struct Scene {
    checks: HealthChecks,
    told: watch::Receiver<Checks>,
    dataplane: Dataplane<fake::Backend>,
}

impl Scene {
    fn new() -> Self {
        let (tell, told) = watch::channel(Checks::new());
        let node = Node { name: "here".into(), ..Node::default() };
        Self {
            checks: HealthChecks::new(tell),
            told,
            dataplane: Dataplane::new(fake::Backend::new(Config::default()), node),
        }
    }

    fn set_service(&mut self, name: &str, policy: TrafficPolicy, port: u16) {
        let service = model::Service {
            cluster_ips: vec!["10.96.0.9".parse().unwrap()],
            ports: vec![ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(80), node_port: None }],
            external_policy: policy,
            health_check_port: Some(number(port)),
            ..model::Service::default()
        };
        let key = ("shop".to_owned(), name.to_owned());
        self.checks.set_service(&key, &Service::default(), Some(&service));
        self.dataplane.model_mut().set_service(NamespacedName::new("shop", name), service);
    }

    /// One slice, with an endpoint on this node and one elsewhere; it may go over from one Service to another.
    fn set_slice(&mut self, service: &str) {
        let name = NamespacedName::new("shop", "slice");
        let mut slice = EndpointSlice::new(NamespacedName::new("shop", service));
        slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: number(8080) });
        for (address, node) in [("10.244.1.2", "here"), ("10.244.2.2", "there")] {
            let mut endpoint = SliceEndpoint::new(address.parse().unwrap());
            endpoint.node = Some(node.into());
            slice.endpoints.push(endpoint);
        }
        if let Some(owner) = self.dataplane.model().service_of_slice(&name).cloned() {
            self.checks.touched(&owner);
        }
        self.checks.touched(&slice.service);
        self.dataplane.model_mut().set_slice(name, slice);
    }

    /// After a sync: Service, port and endpoints of each check.
    fn told(&mut self) -> Vec<String> {
        let done = self.dataplane.sync();
        self.checks.synced(&done, self.dataplane.model());
        let told = self.told.borrow_and_update();
        told.iter().map(|(name, check)| format!("{name} {} {}", check.port, check.local_endpoints)).collect()
    }
}

#[test]
fn ports_are_wanted_for_local_policy_alone_and_endpoints_are_counted_as_they_move() {
    let mut scene = Scene::new();
    scene.set_service("web", TrafficPolicy::Local, 31_000);
    scene.set_service("all", TrafficPolicy::Cluster, 31_001);
    assert_eq!(scene.told(), ["shop/web 31000 0"]);
    scene.set_slice("web");
    assert_eq!(scene.told(), ["shop/web 31000 1"]);
    scene.set_service("other", TrafficPolicy::Local, 31_002);
    scene.set_slice("other");
    assert_eq!(scene.told(), ["shop/other 31002 1", "shop/web 31000 0"], "the slice has gone over");
    scene.set_service("other", TrafficPolicy::Cluster, 31_002);
    assert_eq!(scene.told(), ["shop/web 31000 0"]);
    scene.checks.remove_service(&("shop".to_owned(), "web".to_owned()));
    assert_eq!(scene.told(), Vec::<String>::new());
    assert!(!scene.told.has_changed().unwrap(), "nobody is told twice");
}
