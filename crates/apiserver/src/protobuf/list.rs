//! A list, put together from its objects. Its length stands before them, so that it is made before it is sent: in
//! pieces, of which none is large.

use bytes::Bytes;
use kinds::schema::Type;
use serde_json::Value;

use super::error::WriteError;
use super::{TAIL, begin, fields, named, write};

/// How large a piece grows, about, in bytes.
const PIECE: usize = 64 << 10;

/// A list that is being written.
pub(crate) struct List {
    pieces: Vec<Bytes>,
    current: Vec<u8>,
}

impl List {
    /// A list with these `ListMeta`.
    pub fn new(metadata: &Value) -> Result<Self, WriteError> {
        let mut current = Vec::new();
        if let Some(of_type) = named("", "ListMeta") {
            write::message(&mut current, 1, |out| fields(metadata.to_string().as_bytes(), of_type, out))?;
        }
        Ok(Self { pieces: Vec::new(), current })
    }

    /// Adds a JSON object of a type.
    pub fn push(&mut self, json: &[u8], of_type: &Type) -> Result<(), WriteError> {
        write::message(&mut self.current, 2, |out| fields(json, of_type, out))?;
        if self.current.len() >= PIECE {
            self.pieces.push(std::mem::take(&mut self.current).into());
        }
        Ok(())
    }

    /// The body that holds it, in pieces.
    pub fn finish(mut self, api_version: &str, kind: &str) -> Vec<Bytes> {
        self.pieces.push(self.current.into());
        let length: usize = self.pieces.iter().map(Bytes::len).sum();
        let mut head = begin(api_version, kind, 0);
        write::head(&mut head, 2, length as u64);
        self.pieces.insert(0, head.into());
        self.pieces.push(Bytes::from_static(TAIL));
        self.pieces
    }
}
