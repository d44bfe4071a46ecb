//! The documents that references may lead to.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{PatternCache, Retrieve, Uri};
use serde_json::Value;

/// The schema files of a configuration, and what their compiling shares.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    by_uri: Arc<HashMap<String, Document>>,
    patterns: PatternCache,
}

#[derive(Debug)]
struct Document {
    name: String,
    value: Value,
}

impl Documents {
    /// The documents of these names: paths relative to the configuration's folder (`schemas/message.json`), or URIs.
    pub fn new(documents: impl IntoIterator<Item = (String, Value)>) -> Self {
        let by_uri = documents
            .into_iter()
            .map(|(name, value)| (uri(&name), Document { name, value }))
            .collect();
        Self {
            by_uri: Arc::new(by_uri),
            patterns: PatternCache::new(),
        }
    }

    /// The name and content of the document at the absolute `uri`.
    pub(super) fn get(&self, uri: &str) -> Option<(&str, &Value)> {
        let document = self.by_uri.get(uri)?;
        Some((&document.name, &document.value))
    }

    /// The names of all documents.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_uri.values().map(|document| &*document.name)
    }

    /// Compiled patterns, shared by all schemas.
    pub(super) fn patterns(&self) -> &PatternCache {
        &self.patterns
    }

    /// What answers jsonschema's questions.
    pub(super) fn retriever(&self) -> impl Retrieve + 'static {
        Handed(self.by_uri.clone())
    }
}

struct Handed(Arc<HashMap<String, Document>>);

impl Retrieve for Handed {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        self.0
            .get(uri.as_str())
            .map(|document| document.value.clone())
            .ok_or_else(|| "references lead only to files of the configuration".into())
    }
}

/// The absolute URI of the document called `name`.
pub(super) fn uri(name: &str) -> String {
    let escaped = name.replace(' ', "%20").replace('\\', "/");
    jsonschema::uri::from_str(&escaped).map_or(escaped, |uri| uri.as_str().to_owned())
}
