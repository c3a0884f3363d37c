//! JSON patch (RFC 6902), as lenient and as strict as the library that Kubernetes uses: indices from the end (`-1`) count,
//! a path may only end in the document's root for `test` and `replace`.

use serde_json::{Map, Value};

use super::PatchError;
use crate::body::json::MAX_DEPTH;
use crate::body::{LIMIT, word};
use kinds::schema::quoted;

/// The most operations that a patch may have.
const MOST_OPERATIONS: usize = 10_000;

/// One operation; what was not said is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

/// Reads operations. Answers them and what strict validation finds: `unknown field "[0].foo"`.
///
/// The error is Go's: `json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp`.
pub(super) fn read(patch: Value) -> Result<(Vec<Operation>, Vec<String>), String> {
    let elements = match patch {
        Value::Array(elements) => elements,
        Value::Null => Vec::new(),
        other => return Err(mismatch(&other, "value of type []handlers.jsonPatchOp")),
    };
    let (mut operations, mut unknown) = (Vec::with_capacity(elements.len()), Vec::new());
    for (at, element) in elements.into_iter().enumerate() {
        let fields = match element {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            other => return Err(mismatch(&other, "value of type handlers.jsonPatchOp")),
        };
        let mut operation = Operation::default();
        for (name, value) in fields {
            match name.as_str() {
                "op" => operation.op = text(&name, value)?.unwrap_or_default(),
                "path" => operation.path = text(&name, value)?,
                "from" => operation.from = text(&name, value)?,
                "value" => operation.value = Some(value),
                _ => unknown.push(format!("unknown field {}", quoted(&format!("[{at}].{name}")))),
            }
        }
        operations.push(operation);
    }
    Ok((operations, unknown))
}

fn text(name: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        other => Err(mismatch(&other, &format!("struct field jsonPatchOp.{name} of type string"))),
    }
}

fn mismatch(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go {wanted}", word(value))
}

/// The operations, if they are not too many.
pub(super) fn bounded(operations: Vec<Operation>) -> Result<Vec<Operation>, PatchError> {
    match operations.len() {
        got if got > MOST_OPERATIONS => Err(PatchError::TooManyOperations { most: MOST_OPERATIONS, got }),
        _ => Ok(operations),
    }
}

/// Applies the operations one after the other.
pub(super) fn apply(operations: &[Operation], mut document: Value) -> Result<Value, PatchError> {
    // Copies of copies would grow without end.
    let mut copied = 0;
    for operation in operations {
        operation.apply(&mut document, &mut copied).ok_or(PatchError::DoesNotApply)?;
    }
    Ok(document)
}

impl Operation {
    fn apply(&self, document: &mut Value, copied: &mut usize) -> Option<()> {
        let path = self.path.as_deref()?;
        match self.op.as_str() {
            "add" => add(document, path, self.value.clone().unwrap_or_default()),
            "remove" => remove(document, path).map(drop),
            "replace" => replace(document, path, self.value.clone().unwrap_or_default()),
            "test" => test(document, path, self.value.as_ref().unwrap_or(&Value::Null)),
            "move" => {
                let value = remove(document, self.from.as_deref()?)?;
                add(document, path, value)
            }
            "copy" => {
                let value = get(document, self.from.as_deref()?)?;
                *copied += value.to_string().len();
                if *copied > LIMIT { None } else { add(document, path, value) }
            }
            _ => None,
        }
    }
}

/// The container that a path leads to, and the key in it. Paths begin with a slash.
fn split(path: &str) -> Option<(Vec<String>, String)> {
    let mut keys: Vec<String> = path.split('/').skip(1).map(|k| k.replace("~1", "/").replace("~0", "~")).collect();
    let last = keys.pop()?;
    Some((keys, last))
}

fn container<'d>(document: &'d mut Value, keys: &[String]) -> Option<&'d mut Value> {
    let mut at = document;
    for key in keys {
        at = match at {
            Value::Object(fields) => fields.get_mut(key)?,
            Value::Array(elements) => {
                let index = index(key, elements.len())?;
                elements.get_mut(index)?
            }
            _ => return None,
        };
    }
    Some(at)
}

/// A place in a list of this length; negative ones count from its end.
fn index(key: &str, length: usize) -> Option<usize> {
    let index: isize = key.parse().ok()?;
    if index < 0 { length.checked_sub(index.unsigned_abs()) } else { usize::try_from(index).ok() }
}

/// What is there; a field that is not is null.
fn get(document: &mut Value, path: &str) -> Option<Value> {
    let (keys, last) = split(path)?;
    match container(document, &keys)? {
        Value::Object(fields) => Some(fields.get(&last).cloned().unwrap_or_default()),
        Value::Array(elements) => {
            let index = index(&last, elements.len())?;
            elements.get(index).cloned()
        }
        _ => None,
    }
}

/// How deep lists and objects are nested in a value.
fn depth(value: &Value) -> usize {
    let (mut deepest, mut left) = (0, vec![(value, 0)]);
    while let Some((value, above)) = left.pop() {
        match value {
            Value::Array(elements) => left.extend(elements.iter().map(|element| (element, above + 1))),
            Value::Object(fields) => left.extend(fields.values().map(|field| (field, above + 1))),
            _ => continue,
        }
        deepest = deepest.max(above + 1);
    }
    deepest
}

/// Whether a value may stand below so many keys: no document becomes deeper by patches than one can be that is sent.
fn fits(keys: &[String], value: &Value) -> bool {
    keys.len() + 1 + depth(value) <= MAX_DEPTH
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let (keys, last) = split(path)?;
    if !fits(&keys, &value) {
        return None;
    }
    match container(document, &keys)? {
        Value::Object(fields) => {
            fields.insert(last, value);
        }
        Value::Array(elements) if last == "-" => elements.push(value),
        Value::Array(elements) => {
            // A new element may stand behind the last one.
            let index = index(&last, elements.len() + 1).filter(|i| *i <= elements.len())?;
            elements.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    let (keys, last) = split(path)?;
    match container(document, &keys)? {
        Value::Object(fields) => fields.remove(&last),
        Value::Array(elements) => {
            let index = index(&last, elements.len()).filter(|i| *i < elements.len())?;
            Some(elements.remove(index))
        }
        _ => None,
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        let whole = matches!(value, Value::Object(_) | Value::Array(_));
        return whole.then(|| *document = value);
    }
    let (keys, last) = split(path)?;
    if !fits(&keys, &value) {
        return None;
    }
    match container(document, &keys)? {
        // What is not there is added, which RFC 6902 forbids and Kubernetes' library does.
        Value::Object(fields) => drop(fields.insert(last, value)),
        Value::Array(elements) => {
            let index = index(&last, elements.len())?;
            *elements.get_mut(index)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn test(document: &mut Value, path: &str, wanted: &Value) -> Option<()> {
    let same = if path.is_empty() { document == wanted } else { get(document, path)? == *wanted };
    same.then_some(())
}
