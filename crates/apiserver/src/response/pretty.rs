//! JSON for people: indented where the parameter `pretty` asks for it, and where it does not say, for what people use to
//! look: curl, Wget, browsers. As in Kubernetes.

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Response};

use super::Body;
use crate::query::Query;

#[cfg(test)]
mod tests;

/// What the names of people's programs begin with.
const PEOPLE: &[&str] = &["curl", "Wget", "Mozilla/5.0"];

/// Whether the client wants it so.
pub(crate) fn is_wanted(headers: &HeaderMap, query: &Query) -> bool {
    match query.get("pretty") {
        // What Go reads as true.
        Some(asked) => matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            PEOPLE.iter().any(|people| agent.starts_with(people))
        }
    }
}

/// The same answer indented, if it is JSON that is there at once.
pub(crate) fn indented(response: Response<Body>) -> Response<Body> {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json || response.body().is_stream() {
        return response;
    }
    response.map(|body| Body::whole(indent(&body.into_whole())))
}

/// Indents JSON by two blanks a level, as Go's `json.MarshalIndent` does.
fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    let break_line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for (at, &byte) in json.iter().enumerate() {
        if in_text {
            out.push(byte);
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' => {
                out.push(byte);
                // What is empty stays in one line.
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    break_line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                break_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}
