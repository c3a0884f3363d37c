//! Label selectors, as Kubernetes writes them (`metav1.LabelSelector`).

use std::collections::BTreeMap;

use serde::Deserialize;

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Which labels are selected: all pairs and all expressions must hold. An empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Selector {
    /// Pairs that must be there.
    pub match_labels: Labels,
    /// Further conditions.
    pub match_expressions: Vec<Expression>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// What must be so.
    pub operator: Operator,
    /// With what; only for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What an expression asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        let pairs = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        pairs && self.match_expressions.iter().all(|expression| expression.matches(labels))
    }

    /// What of it cannot mean anything.
    pub fn mistakes(&self) -> Vec<String> {
        let wrong = |expression: &Expression| {
            let takes_values = matches!(expression.operator, Operator::In | Operator::NotIn);
            match (takes_values, expression.values.is_empty()) {
                (true, true) => Some(format!("{} {:?} needs values", expression.key, expression.operator)),
                (false, false) => Some(format!("{} {:?} takes no values", expression.key, expression.operator)),
                _ => None,
            }
        };
        self.match_expressions.iter().filter_map(wrong).collect()
    }
}

impl Expression {
    fn matches(&self, labels: &Labels) -> bool {
        match (self.operator, labels.get(&self.key)) {
            (Operator::In, Some(value)) => self.values.contains(value),
            (Operator::NotIn, Some(value)) => !self.values.contains(value),
            (Operator::NotIn | Operator::DoesNotExist, None) | (Operator::Exists, Some(_)) => true,
            (Operator::In | Operator::Exists, None) | (Operator::DoesNotExist, Some(_)) => false,
        }
    }
}
