//! Kinds of values, as far as they are known before anything runs: from the facts, from literals and from the schemas of claims.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// What is known of a value. Whatever is read from claims, a query or data may also be absent, so null fits everywhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Any,
    Null,
    Bool,
    Int,
    Double,
    /// An int or a double.
    Number,
    Text,
    List(Arc<Kind>),
    /// A map, with its fields where they are declared.
    Map(Option<Arc<Shape>>),
}

/// The declared fields of a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// The fields.
    pub(super) fields: BTreeMap<Arc<str>, Kind>,
    /// Others are allowed, and said to be.
    pub(super) open: bool,
}

impl Kind {
    /// What `claims` that follow one of `schemas` are.
    pub(super) fn of_claims(schemas: &[Arc<Value>]) -> Self {
        schemas
            .iter()
            .map(|schema| Self::of_schema(schema))
            .reduce(Self::either)
            .unwrap_or(Self::Map(None))
    }

    fn of_schema(schema: &Value) -> Self {
        match schema.get("type").and_then(Value::as_str) {
            Some("boolean") => Self::Bool,
            Some("integer") => Self::Int,
            Some("number") => Self::Number,
            Some("string") => Self::Text,
            Some("array") => Self::List(Arc::new(
                schema.get("items").map_or(Self::Any, Self::of_schema),
            )),
            Some("object") => Self::Map(Shape::of_schema(schema)),
            // The claims of a token are an object even where the schema does not say so.
            None if schema.get("properties").is_some() => Self::Map(Shape::of_schema(schema)),
            _ => Self::Any,
        }
    }

    /// What is known of a value that is one or the other.
    pub(super) fn either(self, other: Self) -> Self {
        match (self, other) {
            (one, two) if one == two => one,
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Int | Self::Double | Self::Number, Self::Int | Self::Double | Self::Number) => {
                Self::Number
            }
            (Self::List(one), Self::List(two)) => {
                Self::List(Arc::new((*one).clone().either((*two).clone())))
            }
            (Self::Map(Some(one)), Self::Map(Some(two))) => {
                Self::Map(Some(Arc::new(one.either(&two))))
            }
            (Self::Map(_), Self::Map(_)) => Self::Map(None),
            _ => Self::Any,
        }
    }

    /// Whether a value of this kind can equal one of the other.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Null, _) | (_, Self::Any | Self::Null) => true,
            (Self::List(one), Self::List(two)) => one.may_equal(two),
            (Self::Map(_), Self::Map(_)) => true,
            _ => self == other || self.may_be_number() && other.may_be_number(),
        }
    }

    /// Whether it may be true or false, or absent, which counts as false.
    pub(super) const fn may_be_condition(&self) -> bool {
        matches!(self, Self::Any | Self::Null | Self::Bool)
    }

    /// Whether it may be a number.
    pub(super) const fn may_be_number(&self) -> bool {
        matches!(self, Self::Any | Self::Int | Self::Double | Self::Number)
    }

    /// Whether it may be a whole number.
    pub(super) const fn may_be_int(&self) -> bool {
        matches!(self, Self::Any | Self::Int | Self::Number)
    }

    /// Whether it may be text.
    pub(super) const fn may_be_text(&self) -> bool {
        matches!(self, Self::Any | Self::Text)
    }
}

impl Shape {
    fn of_schema(schema: &Value) -> Option<Arc<Self>> {
        let properties = schema.get("properties")?.as_object()?;
        let fields = properties
            .iter()
            .map(|(name, schema)| (name.as_str().into(), Kind::of_schema(schema)))
            .collect();
        // These may declare further fields, which only a validator can follow.
        let elsewhere = [
            "patternProperties",
            "$ref",
            "$dynamicRef",
            "allOf",
            "anyOf",
            "oneOf",
            "if",
            "dependentSchemas",
        ];
        let open = schema
            .get("additionalProperties")
            .is_some_and(|rest| *rest != Value::Bool(false))
            || elsewhere
                .iter()
                .any(|keyword| schema.get(keyword).is_some());
        Some(Arc::new(Self { fields, open }))
    }

    fn either(&self, other: &Self) -> Self {
        let mut fields = self.fields.clone();
        for (name, kind) in &other.fields {
            let merged = match fields.remove(name) {
                Some(mine) => mine.either(kind.clone()),
                None => kind.clone(),
            };
            fields.insert(name.clone(), merged);
        }
        Self {
            fields,
            open: self.open || other.open,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "a value",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double | Self::Number => "a number",
            Self::Text => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        })
    }
}
