use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::json;

use super::plan::plan;
use crate::change::CONFIG_MAPS;
use crate::world::World;

#[test]
fn every_namespace_has_exactly_the_certificate() {
    let mut world = World::default();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    let get = |world: &World| world.get::<ConfigMap>("shop", "kube-root-ca.crt");
    world.apply(&plan(&namespace, None, "PEM").unwrap()).unwrap();
    assert_eq!(plan(&namespace, get(&world).as_deref(), "PEM"), None);

    let key = crate::cache::Key::new("shop", "kube-root-ca.crt");
    world.edit(CONFIG_MAPS, &key, |map| map["data"] = json!({"ca.crt": "forged", "more": "x"}));
    world.apply(&plan(&namespace, get(&world).as_deref(), "PEM").unwrap()).unwrap();
    assert_eq!(world.document(CONFIG_MAPS, "shop", "kube-root-ca.crt").unwrap()["data"], json!({"ca.crt": "PEM"}));

    world.apply(&plan(&namespace, get(&world).as_deref(), "NEW").unwrap()).unwrap();
    assert_eq!(plan(&namespace, get(&world).as_deref(), "NEW"), None);
}
