use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object(namespace: &str, name: &str, labels: &BTreeMap<String, String>, revision: u64) -> Arc<Object> {
    let metadata = json!({ "namespace": namespace, "name": name, "labels": labels });
    Arc::new(Object::new(&kinds::config_map::KIND, &json!({ "metadata": metadata }), revision))
}

proptest! {
    #[test]
    fn what_has_a_label_is_found_in_the_order_of_keys(
        steps in proptest::collection::vec(
            ("(a|a-b|a0)", "[xyz]", proptest::option::of(proptest::collection::btree_map("[kl]", "[vw]", 0..3))), 0..40)
    ) {
        let mut labelled = Labelled::default();
        let mut all: BTreeMap<Box<str>, Arc<Object>> = BTreeMap::new();
        for (revision, (namespace, name, labels)) in (1..).zip(steps) {
            // With labels it is written, without it is deleted.
            let new = labels.map(|labels| object(&namespace, &name, &labels, revision));
            let old = match &new {
                Some(new) => all.insert(new.key(), new.clone()),
                None => all.remove(format!("{namespace}/{name}").as_str()),
            };
            old.iter().for_each(|old| labelled.remove(old));
            new.iter().for_each(|new| labelled.insert(new));
        }
        for (name, value) in [("k", "v"), ("k", "w"), ("l", "v"), ("l", "w")] {
            let wanted: Vec<u64> = all.values().filter(|o| o.label(name) == Some(value)).map(|o| o.revision).collect();
            let found: Vec<u64> =
                labelled.of(name, value).filter(|o| o.label(name) == Some(value)).map(|o| o.revision).collect();
            prop_assert_eq!(found, wanted);
        }
        all.values().for_each(|object| labelled.remove(object));
        prop_assert!(labelled.by_pair.is_empty());
    }
}
