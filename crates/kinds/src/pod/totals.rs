//! What a Pod asks for in all: its containers together, or what it needs to begin if that is more.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{at, entries, list, text};
use crate::quantity::Quantity;

/// Amounts by the names of resources.
pub type Amounts = BTreeMap<String, Quantity>;

/// The sum of a Pod's `requests` or `limits`. What the Pod says for all of its containers (`spec.resources`) goes before
/// what they say.
pub fn totals(pod: &Value, field: &str) -> Amounts {
    let spec = at(pod, "spec");
    let of = |container: &Value| amounts(at(container, "resources"), field);
    let mut total = Amounts::new();
    for container in list(spec, "containers") {
        add(&mut total, &of(container));
    }
    let (mut beside, mut to_begin) = (Amounts::new(), Amounts::new());
    for container in list(spec, "initContainers") {
        let mut needed = of(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &needed);
            add(&mut beside, &needed);
            needed = beside.clone();
        } else {
            add(&mut needed, &beside);
        }
        raise(&mut to_begin, needed);
    }
    raise(&mut total, to_begin);
    total.extend(amounts(at(spec, "resources"), field));
    add(&mut total, &if field == "requests" { amounts(spec, "overhead") } else { Amounts::new() });
    total
}

/// A map of resources; what is no amount is left out.
pub fn amounts(object: &Value, field: &str) -> Amounts {
    let read = |(name, value): (&str, &Value)| Some((name.to_owned(), Quantity::from_value(value).ok()?));
    entries(object, field).into_iter().filter_map(read).collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |there| there.plus(*amount));
        total.insert(name.clone(), sum);
    }
}

/// Takes the greater of both.
fn raise(total: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        if total.get(&name).is_none_or(|there| there.nanos() < amount.nanos()) {
            total.insert(name, amount);
        }
    }
}
