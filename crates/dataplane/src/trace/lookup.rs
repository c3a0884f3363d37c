//! Looking up, as the kernel's sets do.

use nft::{Element, Role, Set, SetFlags, Type, Value};

use crate::ruleset::Elements;

/// The element that a key finds.
pub(super) fn find<'a>(set: &Set, elements: &'a Elements, key: &Value) -> Option<&'a Element> {
    let interval = set.flags.contains(SetFlags::INTERVAL);
    match set.key.len() {
        _ if !interval => elements.get(&(key.clone(), None, Role::Key)),
        1 => {
            // The nearest boundary at or below the key says whether the key is in an interval. Of two at one place, the
            // begin counts.
            let at_or_below = elements.values().filter(|element| element.key <= *key);
            let nearest = at_or_below.max_by_key(|element| (&element.key, element.role == Role::Key))?;
            (nearest.role == Role::Key).then_some(nearest)
        }
        _ => elements.values().find(|element| contains(&set.key, element, key)),
    }
}

/// Each field of a concatenation is an interval of its own.
fn contains(types: &[Type], element: &Element, key: &Value) -> bool {
    let last = element.key_end.as_ref().unwrap_or(&element.key);
    let mut at = 0;
    types.iter().all(|field| {
        let end = at + usize::from(field.padded_len());
        let part = |value: &'_ Value| value.as_slice().get(at..end).map(<[u8]>::to_vec);
        let within = part(&element.key) <= part(key) && part(key) <= part(last);
        at = end;
        within
    })
}
