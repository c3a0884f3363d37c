//! Strategic merge patch: a merge patch that knows from the schema which lists are merged, and by what key.
//!
//! A patch may hold directives: `$patch: replace` and `$patch: delete` in an object, `$patch: replace` and
//! `$patch: delete` with a merge key in an element of a list, `$retainKeys` beside the fields that stay,
//! `$setElementOrder/LIST` and `$deleteFromPrimitiveList/LIST` beside a list. The rules, and where they are odd, are
//! those of `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::{BTreeMap, BTreeSet};

use kinds::schema::{Field, Shape, Type, quoted};
use serde_json::{Map, Value};

use super::PatchError;
use crate::go_text::{list as go_list, map as go_map, type_name, value as go_value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

type Fields = Map<String, Value>;

/// Merges a patch into an object of a type.
pub(super) fn apply(current: Value, patch: Fields, kind: &'static Type) -> Result<Value, PatchError> {
    let current = match current {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    merge_map(current, patch, Schema::Struct(kind)).map(Value::Object)
}

/// What is known of the object that is being merged.
#[derive(Clone, Copy)]
enum Schema {
    /// Its type.
    Struct(&'static Type),
    /// It has no fields of its own: what Go calls its kind.
    Other(&'static str),
}

/// How a field is merged.
struct Lookup {
    /// Of the field's value, or of its elements if that is a list.
    within: Schema,
    strategy: &'static str,
    /// Empty if there is none.
    merge_key: &'static str,
}

impl Schema {
    fn of(shape: &'static Shape) -> Self {
        match shape {
            Shape::Object(id) => Self::Struct(id.get()),
            Shape::Map(_) => Self::Other("map"),
            Shape::List(_) | Shape::Bytes => Self::Other("slice"),
            Shape::Bool => Self::Other("bool"),
            Shape::Int32 => Self::Other("int32"),
            Shape::Int64 => Self::Other("int64"),
            Shape::Double => Self::Other("float64"),
            Shape::String => Self::Other("string"),
            Shape::IntOrString | Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::Any => Self::Other("struct"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Struct(_) => "struct",
            Self::Other(kind) => kind,
        }
    }

    fn field(self, name: &str) -> Result<&'static Field, PatchError> {
        let kind = match self {
            Self::Struct(kind) => kind,
            Self::Other(kind) => {
                let why = format!("merging an object in json but data type is not struct, instead is: {kind}");
                return Err(PatchError::Unmergeable(why));
            }
        };
        kind.field(name).ok_or_else(|| {
            let (kind, name) = (kind.short_name(), quoted(name));
            PatchError::Unmergeable(format!("unable to find api field in struct {kind} for the json field {name}"))
        })
    }

    fn object(self, name: &str) -> Result<Lookup, PatchError> {
        let field = self.field(name)?;
        Ok(Lookup::new(Self::of(&field.shape), field))
    }

    fn list(self, name: &str) -> Result<Lookup, PatchError> {
        let field = self.field(name)?;
        match &field.shape {
            Shape::List(of) => Ok(Lookup::new(Self::of(of), field)),
            _ => Err(PatchError::Unmergeable(format!("expected slice or array type, but got: {}", self.name()))),
        }
    }
}

impl Lookup {
    fn new(within: Schema, field: &'static Field) -> Self {
        let strategy = match field.patch_strategy() {
            "merge" | "merge,retainKeys" | "retainKeys,merge" => "merge",
            "replace" | "replace,retainKeys" | "retainKeys,replace" => "replace",
            _ => "",
        };
        Self { within, strategy, merge_key: field.merge_key().unwrap_or_default() }
    }
}

/// Merges a patch into the fields of an object.
fn merge_map(mut current: Fields, mut patch: Fields, schema: Schema) -> Result<Fields, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(bad_directive(directive, &patch)),
        };
    }
    retain_keys(&mut current, &mut patch)?;
    let ordered: Vec<String> = patch.keys().filter(|k| k.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for key in ordered {
        if let Some(order) = patch.remove(&key) {
            set_element_order(&mut current, &mut patch, &key, order, schema)?;
        }
    }
    for (key, value) in patch {
        let deletes = key.starts_with(DELETE_FROM_PRIMITIVE_LIST);
        let key = if deletes { list_of_directive(&key, "invalid patch format of primitive list")? } else { key };
        merge_field(&mut current, key, value, deletes, schema)?;
    }
    Ok(current)
}

fn merge_field(
    current: &mut Fields,
    key: String,
    value: Value,
    deletes: bool,
    schema: Schema,
) -> Result<(), PatchError> {
    if value.is_null() {
        current.remove(&key);
        return Ok(());
    }
    let merged = match (current.remove(&key), value) {
        (Some(Value::Object(of)), Value::Object(patch)) => {
            let lookup = schema.object(&key)?;
            match lookup.strategy {
                "replace" => Some(Value::Object(patch)),
                _ => Some(Value::Object(merge_map(of, patch, lookup.within)?)),
            }
        }
        (Some(Value::Array(of)), Value::Array(patch)) => {
            let lookup = schema.list(&key)?;
            if deletes || lookup.strategy == "merge" {
                Some(Value::Array(merge_list(of, patch, &lookup, deletes)?))
            } else {
                Some(Value::Array(patch))
            }
        }
        (of, _) if deletes => of,
        (_, value) => without_directives(without_nulls(value)),
    };
    if let Some(merged) = merged {
        current.insert(key, merged);
    }
    Ok(())
}

/// `$retainKeys`: only these fields of the current object stay, and the patch may set no others.
fn retain_keys(current: &mut Fields, patch: &mut Fields) -> Result<(), PatchError> {
    let bad = || PatchError::Malformed("invalid patch format of retainKeys".to_owned());
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let retained: BTreeSet<&str> = match &retained {
        Value::Array(keys) => keys.iter().filter_map(Value::as_str).collect(),
        _ => return Err(bad()),
    };
    let is_directive = |k: &str| k.starts_with(DELETE_FROM_PRIMITIVE_LIST) || k.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(k, v)| !v.is_null() && !is_directive(k) && !retained.contains(k.as_str())) {
        return Err(bad());
    }
    current.retain(|k, _| retained.contains(k.as_str()));
    Ok(())
}

/// `LIST` of `$directive/LIST`.
fn list_of_directive(key: &str, otherwise: &'static str) -> Result<String, PatchError> {
    let list = key.split_once('/').filter(|(d, _)| matches!(*d, DELETE_FROM_PRIMITIVE_LIST | SET_ELEMENT_ORDER));
    list.map(|(_, list)| list.to_owned()).ok_or_else(|| PatchError::Malformed(otherwise.to_owned()))
}

/// `$setElementOrder/LIST`: merges the list and puts its elements into the given order; those that the patch does not
/// name keep their places among them.
fn set_element_order(
    current: &mut Fields,
    patch: &mut Fields,
    directive: &str,
    order: Value,
    schema: Schema,
) -> Result<(), PatchError> {
    let bad_format = "invalid patch format of setElementOrder list";
    let order = elements(order)?;
    let key = list_of_directive(directive, bad_format)?;
    let of = current.get(&key).cloned().map(elements).transpose()?;
    let changes = patch.get(&key).cloned().map(elements).transpose()?;
    let lookup = schema.list(&key)?;
    let Some(listed) = &changes else {
        let Some(of) = of else { return Ok(()) };
        same_types([&of, &[]])?;
        let ordered = in_order(of.clone(), &order, &of, &lookup)?;
        current.insert(key, Value::Array(ordered));
        return Ok(());
    };
    check_order(listed, &order, &lookup)?;
    let merged = match (&of, listed.clone()) {
        (Some(of), listed) if lookup.strategy == "merge" => merge_list(of.clone(), listed, &lookup, false)?,
        (Some(_), listed) => listed,
        (None, listed) => listed.into_iter().filter_map(without_directives).collect(),
    };
    let of = of.unwrap_or_default();
    same_types([&of, listed])?;
    let ordered = in_order(merged, &order, &of, &lookup)?;
    patch.remove(&key);
    current.insert(key, Value::Array(ordered));
    Ok(())
}

fn elements(value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(elements) => Ok(elements),
        other => Err(bad_type("[]interface {}", &other)),
    }
}

/// The elements that a patch lists must come in the order that it gives.
fn check_order(listed: &[Value], order: &[Value], lookup: &Lookup) -> Result<(), PatchError> {
    if listed.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for element in listed {
        let directive = match element {
            Value::Object(fields) => fields.contains_key(DIRECTIVE),
            other if !lookup.merge_key.is_empty() => return Err(bad_type("map[string]interface {}", other)),
            _ => false,
        };
        if directive {
            continue;
        }
        let identity = identity(element, lookup)?;
        loop {
            match wanted.next() {
                Some(next) if self::identity(next, lookup)? == identity => break,
                Some(_) => {}
                None => {
                    let (listed, order) = (go_list(listed), go_list(order));
                    let why = format!(
                        "The order in patch list:\n{listed}\n doesn't match {SET_ELEMENT_ORDER} list:\n{order}\n"
                    );
                    return Err(PatchError::Unmergeable(why));
                }
            }
        }
    }
    Ok(())
}

/// What tells an element from others: the value of its merge key, or itself.
fn identity(element: &Value, lookup: &Lookup) -> Result<String, PatchError> {
    let fields = match element {
        Value::Object(fields) => fields,
        scalar if lookup.merge_key.is_empty() => return Ok(scalar.to_string()),
        scalar => return Err(bad_type("map[string]interface {}", scalar)),
    };
    let key = fields.get(lookup.merge_key).ok_or_else(|| no_merge_key(fields, lookup.merge_key))?;
    Ok(key.to_string())
}

/// Merges a list whose strategy is to be merged, or takes elements out of it.
fn merge_list(mut of: Vec<Value>, patch: Vec<Value>, lookup: &Lookup, deletes: bool) -> Result<Vec<Value>, PatchError> {
    let Some(first) = of.first().or(patch.first()) else { return Ok(of) };
    let objects = first.is_object();
    same_types([&of, &patch])?;
    if !objects {
        if deletes {
            let gone: BTreeSet<String> = patch.iter().map(Value::to_string).collect();
            of.retain(|element| !gone.contains(&element.to_string()));
            return Ok(of);
        }
        let before = of.clone();
        let mut seen = BTreeSet::new();
        let all = of.into_iter().chain(patch.iter().cloned());
        let merged = all.filter(|element| seen.insert(element.to_string())).collect();
        return in_order(merged, &patch, &before, lookup);
    }
    if lookup.merge_key.is_empty() {
        let why = format!("cannot merge lists without merge key for {}", lookup.within.name());
        return Err(PatchError::Unmergeable(why));
    }
    let (of, patch) = apply_element_directives(of, patch, lookup.merge_key)?;
    let before = of.clone();
    let merged = merge_elements(of, &patch, lookup)?;
    in_order(merged, &patch, &before, lookup)
}

/// Elements with `$patch: delete` take theirs out of the list, one with `$patch: replace` empties it.
fn apply_element_directives(
    mut of: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut rest, mut replace) = (Vec::new(), false);
    for element in patch {
        let Some((fields, directive)) = element.as_object().and_then(|f| Some((f, f.get(DIRECTIVE)?))) else {
            rest.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let key = fields.get(merge_key).ok_or_else(|| no_merge_key(fields, merge_key))?;
                of.retain(|element| element.get(merge_key) != Some(key));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(PatchError::Unmergeable("merging lists cannot yet be specified in the patch".to_owned()));
            }
            _ => return Err(bad_directive(directive, fields)),
        }
    }
    Ok(if replace { (rest, Vec::new()) } else { (of, rest) })
}

fn merge_elements(mut of: Vec<Value>, patch: &[Value], lookup: &Lookup) -> Result<Vec<Value>, PatchError> {
    let mut places = BTreeMap::new();
    for (place, element) in of.iter().enumerate() {
        if let Some(key) = element.get(lookup.merge_key) {
            places.entry(key.to_string()).or_insert(place);
        }
    }
    for element in patch {
        let Value::Object(changes) = element else { return Err(bad_type("map[string]interface {}", element)) };
        let key = identity(element, lookup)?;
        let place = *places.entry(key).or_insert(of.len());
        match of.get_mut(place) {
            Some(found) => {
                let Value::Object(fields) = found.take() else {
                    return Err(bad_type("map[string]interface {}", element));
                };
                *found = Value::Object(merge_map(fields, changes.clone(), lookup.within)?);
            }
            None => of.push(element.clone()),
        }
    }
    Ok(of)
}

/// The merged elements in the order of the patch; those that it does not name, in the order that they had, where they were
/// before the others of the old list.
fn in_order(merged: Vec<Value>, patch: &[Value], before: &[Value], lookup: &Lookup) -> Result<Vec<Value>, PatchError> {
    let (in_patch, in_before) = (places(patch, lookup)?, places(before, lookup)?);
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for element in merged {
        let key = identity(&element, lookup)?;
        let old = in_before.get(&key).copied();
        match in_patch.get(&key) {
            Some(place) => named.push((*place, old, element)),
            None => others.push((old, element)),
        }
    }
    named.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(old, _)| *old);
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut ordered = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some(_), None) => true,
            (Some((Some(other), _)), Some((_, Some(named), _))) => other < named,
            (_, Some(_)) => false,
            (None, None) => return Ok(ordered),
        };
        ordered.extend(if other_first { others.next().map(|(_, e)| e) } else { named.next().map(|(.., e)| e) });
    }
}

/// Where each element is; of those that are alike, the first.
fn places(list: &[Value], lookup: &Lookup) -> Result<BTreeMap<String, usize>, PatchError> {
    let mut places = BTreeMap::new();
    for (place, element) in list.iter().enumerate() {
        places.entry(identity(element, lookup)?).or_insert(place);
    }
    Ok(places)
}

/// All elements must be of one type, and no lists.
fn same_types(lists: [&[Value]; 2]) -> Result<(), PatchError> {
    let mut types = lists.iter().flat_map(|l| l.iter()).map(type_name);
    let Some(first) = types.next() else {
        return Err(PatchError::Unmergeable("no elements in any of the given slices".to_owned()));
    };
    if first == "[]interface {}" {
        return Err(PatchError::DoesNotApply);
    }
    if types.all(|t| t == first) {
        return Ok(());
    }
    let lists: Vec<String> = lists.iter().map(|l| go_list(l)).collect();
    Err(PatchError::Unmergeable(format!("list element types are not identical: [{}]", lists.join(" "))))
}

/// A value that is new in the object, without the nulls in it.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// A value that is new in the object: what stands beside a `$patch` in it is nothing.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(k, v)| Some((k, without_directives(v)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(elements) => Some(Value::Array(elements.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

fn bad_directive(directive: &Value, fields: &Fields) -> PatchError {
    PatchError::Unmergeable(format!("unknown patch type: {} in map: {}", go_value(directive), go_map(fields)))
}

fn no_merge_key(fields: &Fields, key: &str) -> PatchError {
    PatchError::Unmergeable(format!("map: {} does not contain declared merge key: {key}", go_map(fields)))
}

fn bad_type(wanted: &str, got: &Value) -> PatchError {
    PatchError::Unmergeable(format!("expected a {wanted}, but received a {}", type_name(got)))
}
