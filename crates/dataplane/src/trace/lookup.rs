//! Looking up, as the kernel's sets do.

use nft::{Data, Role, Set, SetFlags, Type, Value};

use crate::ruleset::{ElementKey, Elements};

/// What the element that a key finds carries.
pub(super) fn find<'a>(set: &Set, elements: &'a Elements, key: &Value) -> Option<&'a Option<Data>> {
    let interval = set.flags.contains(SetFlags::INTERVAL);
    match set.key.len() {
        _ if !interval => elements.get(&ElementKey::one(key.clone())),
        1 => {
            // The nearest boundary at or below the key says whether the key is in an interval. Of two at one place, the
            // begin counts.
            let at_or_below = elements.iter().filter(|(at, _)| at.key <= *key);
            let (at, data) = at_or_below.max_by_key(|(at, _)| (&at.key, at.role == Role::Key))?;
            (at.role == Role::Key).then_some(data)
        }
        _ => elements.iter().find(|(at, _)| contains(&set.key, at, key)).map(|(_, data)| data),
    }
}

/// Each field of a concatenation is an interval of its own.
fn contains(types: &[Type], interval: &ElementKey, key: &Value) -> bool {
    let last = interval.end.as_deref().unwrap_or(&interval.key);
    let mut at = 0;
    types.iter().all(|field| {
        let end = at + usize::from(field.padded_len());
        let part = |value: &Value| value.as_slice().get(at..end).map(<[u8]>::to_vec);
        let within = part(&interval.key) <= part(key) && part(key) <= part(last);
        at = end;
        within
    })
}
