//! Violations in words: what the sender of the data can act on, without repeating it.

use std::fmt::{Display, Write as _};

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::schema::walk::join;
use crate::schema::{VIOLATIONS_MAX, Violation};

/// Bytes of a path or of a text taken from elsewhere.
const TEXT_MAX: usize = 256;
/// Allowed values that are listed.
const VALUES_MAX: usize = 12;

/// Adds what `error` says to `violations`: one, or one for each property that is too many.
pub(super) fn violations(error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
    let path = error.instance_path().as_str();
    let keyword = error.kind().keyword();
    let mut add = |path: &str, message: String| {
        let violation = Violation {
            path: cut(path),
            keyword: keyword.to_owned(),
            message,
        };
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    };
    match error.kind() {
        Kind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            add(&join(path, property), "is required".to_owned());
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for property in unexpected.iter().take(VIOLATIONS_MAX) {
                let message = "is not a property that is known here".to_owned();
                add(&join(path, property), message);
            }
        }
        Kind::PropertyNames { error } => {
            add(
                path,
                format!("has a property whose name {}", message(error)),
            );
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            match closest(context, path.len()) {
                Some(branch) => {
                    for error in branch {
                        self::violations(error, violations);
                    }
                }
                None => add(path, message(error)),
            }
        }
        _ => add(path, message(error)),
    }
}

/// The only branch that is meant: the one that does not fail by the type of the value itself or by a fixed value in it.
fn closest<'a>(
    branches: &'a [Vec<ValidationError<'static>>],
    root: usize,
) -> Option<&'a [ValidationError<'static>]> {
    let mut meant = branches.iter().filter(|branch| {
        !branch.is_empty()
            && branch.iter().all(|error| match error.kind() {
                Kind::Constant { .. } | Kind::Enum { .. } => false,
                Kind::Type { .. } => error.instance_path().as_str().len() > root,
                _ => true,
            })
    });
    let only = meant.next()?;
    meant.next().is_none().then_some(only)
}

fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("needs the property {property}"),
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => format!("must be {}", one_of(options)),
        Kind::Constant { expected_value } => format!("must be {}", bounded(expected_value)),
        Kind::Pattern { pattern } => format!("must match the pattern {}", bounded(pattern)),
        Kind::Format { format } => format!("must be {}", format_in_words(format)),
        Kind::FalseSchema => "is not allowed".to_owned(),
        Kind::AnyOf { context } => {
            format!("fits none of the {} forms that are allowed", context.len())
        }
        Kind::OneOfNotValid { context } => {
            format!("fits none of the {} forms that are allowed", context.len())
        }
        Kind::OneOfMultipleValid { .. } => "fits several forms of which only one may".to_owned(),
        Kind::Not { .. } => "has a form that is not allowed".to_owned(),
        Kind::Contains => "does not contain an item that it must".to_owned(),
        Kind::UniqueItems => "must not contain an item twice".to_owned(),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::ContentEncoding { content_encoding } => {
            format!("must be encoded as {}", bounded(content_encoding))
        }
        Kind::ContentMediaType { content_media_type } => {
            format!("must be of the media type {}", bounded(content_media_type))
        }
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => {
            "has a property that is not known here".to_owned()
        }
        kind => size(kind).unwrap_or_else(|| "does not fit".to_owned()),
    }
}

/// Bounds of lengths and numbers.
fn size(kind: &Kind) -> Option<String> {
    let (most, limit, unit) = match kind {
        Kind::MaxLength { limit } => ("at most", *limit, "character"),
        Kind::MinLength { limit } => ("at least", *limit, "character"),
        Kind::MaxItems { limit } => ("at most", *limit, "item"),
        Kind::MinItems { limit } => ("at least", *limit, "item"),
        Kind::MaxProperties { limit } => ("at most", *limit, "property"),
        Kind::MinProperties { limit } => ("at least", *limit, "property"),
        Kind::AdditionalItems { limit } => ("at most", *limit as u64, "item"),
        Kind::UnevaluatedItems { .. } => return Some("has items that are not allowed".to_owned()),
        Kind::Maximum { limit } => return Some(format!("must be at most {limit}")),
        Kind::Minimum { limit } => return Some(format!("must be at least {limit}")),
        Kind::ExclusiveMaximum { limit } => return Some(format!("must be less than {limit}")),
        Kind::ExclusiveMinimum { limit } => return Some(format!("must be more than {limit}")),
        _ => return None,
    };
    let be = if unit == "character" { "be" } else { "have" };
    let unit = match (limit, unit) {
        (1, unit) => unit.to_owned(),
        (_, "property") => "properties".to_owned(),
        (_, unit) => format!("{unit}s"),
    };
    Some(format!("must {be} {most} {limit} {unit}"))
}

fn types(kind: &TypeKind) -> String {
    let with_article = |word: &str| match word {
        "null" => "null".to_owned(),
        "array" | "integer" | "object" => format!("an {word}"),
        word => format!("a {word}"),
    };
    match kind {
        TypeKind::Single(one) => with_article(one.as_str()),
        TypeKind::Multiple(set) => {
            let words: Vec<_> = set.iter().map(|one| with_article(one.as_str())).collect();
            words.join(" or ")
        }
    }
}

fn one_of(options: &Value) -> String {
    let Some(options) = options.as_array() else {
        return bounded(options);
    };
    let mut text = if options.len() == 1 { "" } else { "one of " }.to_owned();
    for (index, option) in options.iter().enumerate() {
        if index == VALUES_MAX || text.len() > TEXT_MAX {
            let _ = write!(text, " and {} more", options.len() - index);
            break;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&bounded(option));
    }
    text
}

fn format_in_words(format: &str) -> String {
    match format {
        "date-time" => "a date and time such as 2026-11-22T10:00:00Z",
        "date" => "a date such as 2026-11-22",
        "time" => "a time such as 10:00:00Z",
        "duration" => "a duration such as PT5M",
        "email" | "idn-email" => "an e-mail address",
        "hostname" | "idn-hostname" => "a host name",
        "ipv4" => "an IPv4 address",
        "ipv6" => "an IPv6 address",
        "uuid" => "a UUID",
        "uri" | "iri" => "a URL with its scheme",
        other => return format!("a valid {}", bounded(other)),
    }
    .to_owned()
}

/// `value` as text, cut where it is long.
pub(super) fn bounded(value: impl Display) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}…", &text[..end])
}
