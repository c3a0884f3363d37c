//! ServiceCIDR (`networking.k8s.io/v1`): a range that addresses of Services are taken from.

use std::sync::LazyLock;

use k8s_openapi::api::networking::v1 as api;
use serde_json::{Value, json};

use crate::addresses;
use crate::document::{at, given, set, set_or_remove, text, texts};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};

#[cfg(test)]
mod tests;

/// ServiceCIDR.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "ServiceCIDR",
    plural: "servicecidrs",
    singular: "servicecidr",
    short_names: &[],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    strategy: &ServiceCidr,
};

static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::field::<api::ServiceCIDRSpec>("CIDRs", "cidrs"), Column::age()]);

struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_ranges(object)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let path = Path::new("spec").child("cidrs");
        let (ranges, stored) = (texts(at(new, "spec"), "cidrs"), texts(at(old, "spec"), "cidrs"));
        let changed = stored.iter().zip(&ranges).enumerate().filter(|(_, (stored, range))| stored != range);
        let mut faults: Vec<_> =
            changed.map(|(i, (_, range))| Error::invalid(&path.index(i), *range, "field is immutable")).collect();
        match (stored.len(), ranges.len()) {
            (before, after) if before == after => faults,
            // A cluster of one family may become one of two.
            (1, 2) => {
                faults.extend(validate_ranges(new));
                faults
            }
            _ => vec![Error::invalid(&path, at(at(new, "spec"), "cidrs").clone(), "field is immutable")],
        }
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            text(at(object, "metadata"), "name").into(),
            texts(at(object, "spec"), "cidrs").join(",").into(),
            age(object, now).into(),
        ]
    }
}

fn validate_ranges(object: &Value) -> Vec<Error> {
    let spec = at(object, "spec");
    let path = Path::new("spec").child("cidrs");
    let ranges = texts(spec, "cidrs");
    if ranges.is_empty() {
        return vec![Error::required(&path, "at least one CIDR required")];
    }
    if ranges.len() > 2 {
        let printed = format!("{{\"CIDRs\":{}}}", marshal(at(spec, "cidrs")));
        return vec![Error::invalid(&path, Value::Null, "may only hold up to 2 values").printed_as(printed)];
    }
    let each = ranges.iter().enumerate();
    let mut faults: Vec<_> = each.flat_map(|(i, range)| addresses::validate_range(&path.index(i), range)).collect();
    if let [first, second] = ranges[..]
        && let Some(family) = addresses::range_family(first)
        && addresses::range_family(second) == Some(family)
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        faults.push(Error::invalid(&path, at(spec, "cidrs").clone(), detail));
    }
    faults
}
