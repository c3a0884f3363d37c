//! Which objects a reader wants.

use kinds::Kind;

use super::object::Object;
use crate::selector::{FieldSelector, FieldSelectorError, LabelSelector, LabelSelectorError};

/// The objects of a namespace (all, when it is empty) that both selectors match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

/// Why a selection is refused; the text is the message of a 400.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectionError {
    #[error(transparent)]
    Labels(#[from] LabelSelectorError),
    #[error(transparent)]
    Fields(#[from] FieldSelectorError),
}

impl Selection {
    /// Reads selectors for objects of a kind.
    pub fn parse(kind: &Kind, namespace: &str, labels: &str, fields: &str) -> Result<Self, SelectionError> {
        let labels = LabelSelector::parse(labels)?;
        let fields = FieldSelector::parse(fields)?.of_fields(kind.strategy.field_names())?;
        Ok(Self { namespace: namespace.to_owned(), labels, fields })
    }

    /// Whether `object` is wanted.
    pub fn matches(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || *object.namespace == *self.namespace)
            && self.labels.matches(|name| object.label(name))
            && self.fields.matches(|name| object.field(name))
    }

    /// Whether it wants every object of its namespace.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// A label and the value that an object must have of it, if its labels say so.
    pub fn label(&self) -> Option<(&str, &str)> {
        self.labels.exact()
    }

    /// The name that an object must have, if its fields say so.
    pub fn name(&self) -> Option<&str> {
        self.fields.exact("metadata.name")
    }

    /// The only object that it can want, if its fields and namespace say so.
    pub fn only(&self, kind: &Kind) -> Option<&str> {
        let one_place = kind.scope == kinds::Scope::Cluster || !self.namespace.is_empty();
        self.name().filter(|_| one_place)
    }
}
