//! Schemas: each compiled once, with its problems at the places where they were written.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::{Document, DocumentId, Schema as Written, SchemaSource};
use crate::diag::catalogue::schema as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::lower::Lowering;
use crate::schema::{Documents, Schema, SchemaProblem, advise};

/// What has been compiled.
pub(super) struct Cache {
    documents: Documents,
    compiled: HashMap<DocumentId, Option<Arc<Schema>>>,
    anything: Arc<Schema>,
}

/// What the values of a schema are, beside what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Anything that a client sends.
    Data,
    /// The claims of a user: an object in any case.
    Claims,
    /// A parameter of a name: a text in any case.
    Parameter,
}

impl Cache {
    pub(super) fn new(documents: &[Document]) -> Self {
        let values = documents
            .iter()
            .map(|document| (document.name.clone(), Value::clone(&document.json.value)));
        Self {
            documents: Documents::new(values),
            compiled: HashMap::new(),
            anything: Arc::new(Schema::anything()),
        }
    }
}

impl Lowering<'_> {
    /// The compiled schema; findings where it cannot be used, or probably is not meant so.
    pub(super) fn schema(&mut self, source: &SchemaSource, of: Of) -> Option<Arc<Schema>> {
        let (value, base) = match &source.schema {
            Written::Anything => return Some(self.schemas.anything.clone()),
            Written::Inline { json, base } => (&json.value, base),
            Written::Document(id) => {
                if let Some(compiled) = self.schemas.compiled.get(id) {
                    return compiled.clone();
                }
                let document = self.config.documents.get(id.index())?;
                (&document.json.value, &document.name)
            }
        };
        let compiled = Schema::compile(Value::clone(value), base, &self.schemas.documents);
        let (compiled, problems) = match compiled {
            Ok(schema) => (Some(Arc::new(schema)), advise(value)),
            Err(problems) => (None, problems),
        };
        for problem in problems {
            let obvious = problem.code == &codes::TYPE_MISSING && of != Of::Data;
            if !obvious {
                let diagnostic = self.schema_problem(problem, source);
                self.find(diagnostic);
            }
        }
        if let Written::Document(id) = &source.schema {
            self.schemas.compiled.insert(*id, compiled.clone());
        }
        compiled
    }

    fn schema_problem(&self, problem: SchemaProblem, source: &SchemaSource) -> Diagnostic {
        let by_name = |name: &String| {
            let mut documents = self.config.documents.iter();
            documents.find(|document| document.name == *name)
        };
        let document = match (&problem.document, &source.schema) {
            (Some(name), _) => by_name(name),
            (None, Written::Document(id)) => self.config.documents.get(id.index()),
            (None, _) => None,
        };
        let span = match (document, &source.schema) {
            (Some(document), _) => document.json.span_of(&problem.pointer),
            (None, Written::Inline { json, .. }) => json.span_of(&problem.pointer),
            (None, _) => source.span,
        };
        let mut diagnostic = Diagnostic::new(problem.code, span, problem.message);
        diagnostic.help = problem.help;
        if span.source != source.span.source {
            diagnostic = diagnostic.also(source.span, "the schema is named here");
        }
        diagnostic
    }

    /// The schema as JSON, for the type check of rules.
    pub(super) fn schema_value(&self, source: &SchemaSource) -> Option<Arc<Value>> {
        match &source.schema {
            Written::Anything => None,
            Written::Inline { json, .. } => Some(json.value.clone()),
            Written::Document(id) => {
                let document = self.config.documents.get(id.index())?;
                Some(document.json.value.clone())
            }
        }
    }

    /// The place of `pointer` in the schema.
    pub(super) fn schema_span(&self, source: &SchemaSource, pointer: &str) -> Span {
        match &source.schema {
            Written::Inline { json, .. } => json.span_of(pointer),
            _ => source.span,
        }
    }
}
