//! YAML as Kubernetes reads it: the first document of a stream, with YAML 1.1's booleans and octal numbers.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Options};

use super::{Document, Duplicate};
use kinds::schema::quoted;

/// How deep lists and maps may be nested: the reader goes down by recursion, with large steps.
const MAX_DEPTH: usize = 64;
/// Room for those steps, in bytes: more than a thread of the server has.
const STACK: usize = 16 << 20;
/// How what is told of a name that came twice begins.
pub(super) const LINE: &str = "line ";

/// The error with which Go's YAML library tells of names that came twice.
pub(super) fn unmarshal_error(fault: &str) -> String {
    format!("yaml: unmarshal errors:\n  {fault}")
}

/// Why text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {line}{what}")]
pub struct YamlError {
    line: String,
    what: String,
}

/// Reads the first document of a stream; nothing is null. Anchors may be used, within bounds that keep a small text
/// from becoming a large document.
///
/// # Errors
/// [`YamlError`], whose text is `yaml: line 2: …`.
pub fn parse(bytes: &[u8]) -> Result<Document, YamlError> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(bytes));
        let unread = || YamlError { line: String::new(), what: "it cannot be read now".to_owned() };
        reader.map_err(|_| unread())?.join().unwrap_or_else(|_| Err(unread()))
    })
}

fn read(bytes: &[u8]) -> Result<Document, YamlError> {
    match first(bytes, DuplicateKeyPolicy::Error) {
        Ok(value) => Ok(Document { value, duplicates: Vec::new() }),
        Err(error) => match error.without_snippet() {
            Error::DuplicateMappingKey { key, location } => {
                let key = quoted(key.as_deref().unwrap_or_default());
                let fault = format!("{LINE}{}: key {key} already set in map", location.line());
                let value = first(bytes, DuplicateKeyPolicy::LastWins).map_err(|e| told(&e))?;
                Ok(Document { value, duplicates: vec![Duplicate { path: String::new(), fault }] })
            }
            _ => Err(told(&error)),
        },
    }
}

fn first(bytes: &[u8], duplicate_keys: DuplicateKeyPolicy) -> Result<Value, Error> {
    let options: Options = serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH },
    };
    let documents: Vec<Value> = serde_saphyr::from_slice_multiple_with_options(bytes, options)?;
    Ok(documents.into_iter().next().unwrap_or_default())
}

fn told(error: &Error) -> YamlError {
    let error = error.without_snippet();
    let line = error.location().map_or_else(String::new, |l| format!("line {}: ", l.line()));
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or(&what).replace('\n', " ");
    YamlError { line, what }
}
