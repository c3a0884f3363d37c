//! What a type's messages are made of, found by the fields' names: the numbers of [`numbers`] and the shapes of the
//! schema table, brought together once, when the first object is written in protobuf.

use std::sync::LazyLock;

use kinds::schema::{self, Shape, Type};

use super::numbers::{self, Target};

/// How objects of a type are written.
pub(super) struct Plan {
    /// By name in ascending order.
    fields: Box<[Planned]>,
}

/// How a field is written.
pub(super) struct Planned {
    name: &'static str,
    /// The numbers of the messages around it, outermost first: embedded Go structs, which JSON does not show.
    pub around: Box<[u32]>,
    pub number: u32,
    pub shape: &'static Shape,
}

impl Plan {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Planned> {
        self.fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// How objects of a type are written.
pub(super) fn of(of_type: &Type) -> &'static Plan {
    static PLANS: LazyLock<Box<[Plan]>> = LazyLock::new(|| schema::types().iter().map(make).collect());
    &PLANS[of_type.position()]
}

fn make(of_type: &'static Type) -> Plan {
    let mut fields = Vec::new();
    collect(of_type, of_type.name(), &[], &mut fields);
    fields.sort_by_key(|f| f.name);
    Plan { fields: fields.into() }
}

fn collect(of_type: &'static Type, message: &str, around: &[u32], fields: &mut Vec<Planned>) {
    for numbered in numbers::of(message) {
        match &numbered.target {
            Target::Field(name) => fields.extend(of_type.field(name).map(|field| Planned {
                name,
                around: around.into(),
                number: numbered.number,
                shape: &field.shape,
            })),
            Target::Embedded(message) => {
                collect(of_type, message, &[around, &[numbered.number]].concat(), fields);
            }
        }
    }
}
