//! JSON values with their positions, and the documents that JSON Schemas stand in.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::diag::{SourceId, Span};

/// A JSON value and where its parts were written.
#[derive(Clone, Debug, PartialEq)]
pub struct Json {
    /// The value.
    pub value: Arc<Value>,
    /// Where the whole was written.
    pub span: Span,
    /// By JSON Pointer (RFC 6901).
    pub(super) places: HashMap<String, Span>,
}

impl Json {
    /// Where the part at `pointer` (RFC 6901) was written, or the nearest part around it.
    pub fn span_of(&self, pointer: &str) -> Span {
        let mut pointer = pointer;
        loop {
            if let Some(span) = self.places.get(pointer) {
                return *span;
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return self.span,
            }
        }
    }
}

/// A JSON Schema as a key of the file names it.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaSource {
    /// Where it is named, or stands.
    pub span: Span,
    /// The schema.
    pub schema: Schema,
}

/// Where a JSON Schema stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Schema {
    /// `true`: anything, on purpose.
    Anything,
    /// In the file itself.
    Inline {
        /// The schema.
        json: Json,
        /// What its relative `$ref`s are resolved against: the name of the file that it stands in.
        base: String,
    },
    /// In a file of its own, one of [`super::Config::documents`].
    Document(DocumentId),
}

/// Which of [`super::Config::documents`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DocumentId(pub(super) usize);

impl DocumentId {
    /// The place in [`super::Config::documents`].
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A file with a JSON Schema: named by a `schema:` or reached from one by `$ref`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its path from the main file's folder, with `/`; a relative `$ref` resolved against it is the name of another document.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// Its text among the sources.
    pub source: SourceId,
    /// Its value.
    pub json: Json,
}
