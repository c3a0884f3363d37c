//! Who owns which fields of an object (`metadata.managedFields`), and server-side apply, after structured-merge-diff v6.
//!
//! A write that is no apply makes its manager the owner of what it changes ([`record_update`]). An applier owns exactly
//! what it applies ([`apply`](apply())); what it no longer applies goes away unless another owns it, and what others own it may
//! only change by force.
//!
//! In reading order: `element` and `set` (fields as `fieldsV1` names them), `typed` (values and their parts),
//! `mentioned`, `compare`, `merge`, `validate`, `entries` (the list in the metadata), then [`record_update`] and [`apply`](apply()).

mod apply;
mod compare;
mod element;
mod entries;
mod mentioned;
mod merge;
mod set;
#[cfg(test)]
mod tests;
mod typed;
mod update;
mod validate;

use kinds::schema::Type;

pub use apply::{Applied, ApplyError, Conflict, apply};
pub use update::record_update;

use set::FieldSet;

/// A write, as far as the owners of fields care.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The type of the object.
    pub kind: &'static Type,
    /// Who writes: the `fieldManager` of the request, or the program of its user agent.
    pub manager: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// The version in which it is written: `apps/v1`. Owners in other versions are forgotten: no other is served.
    pub api_version: &'a str,
    /// When: RFC 3339 in whole seconds.
    pub now: &'a str,
}

impl Change<'_> {
    /// Fields that the kind puts back on such a write, so that writing them does not count: `status` of the object
    /// itself, all but the status of `/status`.
    fn ignored(&self) -> FieldSet {
        let name = self.kind.short_name();
        match self.subresource {
            "" if self.kind.field("status").is_some() => FieldSet::of(&[&["status"]]),
            "status" => match name {
                "Pod" => {
                    FieldSet::of(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
                }
                "Deployment" => FieldSet::of(&[&["spec"], &["metadata", "labels"]]),
                "ServiceCIDR" => FieldSet::of(&[&["spec"], &["metadata"]]),
                _ => FieldSet::of(&[&["spec"]]),
            },
            _ => FieldSet::default(),
        }
    }
}
