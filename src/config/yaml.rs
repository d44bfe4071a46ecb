//! YAML text to a [`Node`] tree.
//!
//! The events of serde-saphyr's own parser are used instead of its serde side: they keep every place and the style of a scalar,
//! and let duplicate keys be seen. Depth, and what aliases may copy, are bounded here.

use std::collections::HashMap;

use serde_yaml::granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span as Range, StrInput, Tag,
};

use crate::config::node::{Key, Kind, Node, Scalar, Style};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, SourceId, Span};

const DEPTH_MAX: usize = 64;
const COPIED_NODES_MAX: usize = 100_000;

/// What came of a text.
pub(super) struct Loaded {
    /// Its only document; none where it is empty or broken.
    pub(super) root: Option<Node>,
    /// What is wrong with it as YAML.
    pub(super) findings: Vec<Diagnostic>,
}

/// Reads the one document in `text`, which is the source `source`.
pub(super) fn load(text: &str, source: SourceId) -> Loaded {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let mut loader = Loader {
        parser: Parser::new_from_str_with_options(text, options),
        text,
        source,
        anchors: HashMap::new(),
        copied: 0,
        findings: Vec::new(),
    };
    let root = loader.document().unwrap_or_else(|stop| {
        loader.findings.push(*stop);
        None
    });
    Loaded {
        root,
        findings: loader.findings,
    }
}

struct Loader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    source: SourceId,
    anchors: HashMap<usize, Node>,
    copied: usize,
    findings: Vec<Diagnostic>,
}

/// The finding that makes reading on impossible.
type Stop = Box<Diagnostic>;

impl<'t> Loader<'t> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        while let Some((event, range)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document begins here";
                    let finding =
                        Diagnostic::new(&codes::MANY_DOCUMENTS, self.span(range), message)
                            .help("leave out the `---`, or move what follows to a file of its own and name it under `include`");
                    return Err(Box::new(finding));
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.node(event, range, 0)?),
            }
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Range)>, Stop> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(Box::new(self.syntax(&error))),
        }
    }

    fn node(&mut self, event: Event<'t>, range: Range, depth: usize) -> Result<Node, Stop> {
        let span = self.span(range);
        if depth > DEPTH_MAX {
            return Err(Box::new(too_deep(span)));
        }
        let (mut node, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(value, style, anchor, tag) => {
                let style = self.tagged_style(style, tag.as_deref(), span);
                let value = value.into_owned();
                let kind = Kind::Scalar(Scalar { value, style });
                (Node::new(span, kind, 1, 0), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.untagged(tag.as_deref(), span);
                (self.list(span, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.untagged(tag.as_deref(), span);
                (self.map(span, depth)?, anchor)
            }
            _ => return Err(Box::new(broken(span))),
        };
        node.span = match node.kind {
            Kind::Scalar(_) => self.trimmed(node.span),
            _ => self.first_line(node.span),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        let (mut size, mut height) = (1, 0);
        while let Some((event, range)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                let span = self.through(start, range);
                let kind = Kind::List(items);
                return Ok(Node::new(span, kind, size, height));
            }
            let item = self.node(event, range, depth + 1)?;
            size += item.size;
            height = height.max(1 + item.height);
            items.push(item);
        }
        Err(Box::new(broken(start)))
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut entries = Entries::default();
        let mut merges = Vec::new();
        let (mut size, mut height) = (1, 0);
        while let Some((event, range)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                let span = self.through(start, range);
                self.merge(&mut entries, merges);
                let kind = Kind::Map(entries.list);
                return Ok(Node::new(span, kind, size, height));
            }
            let is_plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = self.node(event, range, depth + 1)?;
            let Some((event, range)) = self.next()? else {
                break;
            };
            let value = self.node(event, range, depth + 1)?;
            size += value.size;
            height = height.max(1 + value.height);
            let Kind::Scalar(scalar) = key.kind else {
                let message = format!("{} cannot be a key", key.noun());
                let finding = Diagnostic::new(&codes::BAD_KEY, key.span, message)
                    .help("a key is a text; write one that holds `{` or `[` in quotes, as in `\"room:{room_id}\":`");
                self.findings.push(finding);
                continue;
            };
            let key = Key {
                text: scalar.value,
                span: key.span,
            };
            if is_plain && key.text == "<<" {
                merges.push((key, value));
            } else if let Err(first) = entries.add(key.clone(), value) {
                self.findings.push(duplicate(&key, first));
            }
        }
        Err(Box::new(broken(start)))
    }

    /// Adds what `<<` names: a key of the map itself wins, then the first map that has it.
    fn merge(&mut self, entries: &mut Entries, merges: Vec<(Key, Node)>) {
        for (key, value) in merges {
            let maps = match value.kind {
                Kind::List(items) => items,
                _ => vec![value],
            };
            for map in maps {
                let Kind::Map(merged) = map.kind else {
                    let message = format!("`<<` takes a map, and this is {}", map.noun());
                    let finding = Diagnostic::new(&codes::BAD_MERGE, map.span, message)
                        .also(key.span, "merged by this")
                        .help("name the anchor of a map, as in `<<: *defaults`");
                    self.findings.push(finding);
                    continue;
                };
                for (key, value) in merged {
                    // Being there already is what a merge is for.
                    let _overridden = entries.add(key, value);
                }
            }
        }
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            let message = "this alias stands within what it names";
            return Err(Box::new(
                Diagnostic::new(&codes::TOO_COMPLEX, span, message).help("write out what is meant"),
            ));
        };
        if depth + node.height > DEPTH_MAX {
            return Err(Box::new(too_deep(span)));
        }
        self.copied += node.size;
        if self.copied > COPIED_NODES_MAX {
            let message = format!("aliases make more than {COPIED_NODES_MAX} copies in all");
            return Err(Box::new(
                Diagnostic::new(&codes::TOO_COMPLEX, span, message)
                    .help("aliases of aliases multiply: write out what is meant"),
            ));
        }
        Ok(node.clone())
    }

    fn tagged_style(&mut self, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Style {
        match tag {
            Some(tag) if tag.is_yaml_core_schema_tag("str") => return Style::DoubleQuoted,
            tag => self.untagged(tag, span),
        }
        match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        }
    }

    fn untagged(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let message = format!("the tag `{}` has no meaning here", tag.original());
            let help = "leave it out; a text that begins with `!` is written in quotes";
            self.findings
                .push(Diagnostic::new(&codes::YAML_TAG, span, message).help(help));
        }
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let start = self.offset(error.marker().byte_offset());
        let end = self.text[start..]
            .chars()
            .next()
            .filter(|next| *next != '\n')
            .map_or(start, |next| start + next.len_utf8());
        let span = self.at(start, end);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => too_deep(span),
            kind => {
                let finding = Diagnostic::new(&codes::YAML_SYNTAX, span, kind.to_string());
                match advice(kind) {
                    Some(help) => finding.help(help),
                    None => finding,
                }
            }
        }
    }

    fn span(&self, range: Range) -> Span {
        let start = self.offset(range.start.byte_offset());
        let end = self.offset(range.end.byte_offset());
        self.at(start, end.max(start))
    }

    fn through(&self, start: Span, end: Range) -> Span {
        let end = self.span(end).end.max(start.end);
        Span { end, ..start }
    }

    /// Excerpts of a whole section say less than its first line.
    fn first_line(&self, span: Span) -> Span {
        let text = &self.text[span.start as usize..span.end as usize];
        let line = text.lines().next().unwrap_or_default();
        let start = span.start as usize;
        self.at(start, start + line.trim_end().len())
    }

    /// A block scalar goes on to the next token.
    fn trimmed(&self, span: Span) -> Span {
        let text = &self.text[span.start as usize..span.end as usize];
        let start = span.start as usize;
        self.at(start, start + text.trim_end().len())
    }

    fn at(&self, start: usize, end: usize) -> Span {
        let offset = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span {
            source: self.source,
            start: offset(start),
            end: offset(end),
        }
    }

    fn offset(&self, offset: Option<usize>) -> usize {
        let mut offset = offset.unwrap_or(0).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// The entries of a map, each key once.
#[derive(Default)]
struct Entries {
    list: Vec<(Key, Node)>,
    index: HashMap<String, usize>,
}

impl Entries {
    /// Adds an entry, or says where the key stands already.
    fn add(&mut self, key: Key, value: Node) -> Result<(), Span> {
        if let Some(first) = self.index.get(&key.text) {
            return Err(self.list[*first].0.span);
        }
        self.index.insert(key.text.clone(), self.list.len());
        self.list.push((key, value));
        Ok(())
    }
}

fn duplicate(key: &Key, first: Span) -> Diagnostic {
    let message = format!("the key `{}` stands twice", key.text);
    Diagnostic::new(&codes::DUPLICATE_KEY, key.span, message)
        .label("again here")
        .also(first, "first here")
        .help("keep one of them: YAML would silently forget the other")
}

fn too_deep(span: Span) -> Diagnostic {
    let message = format!("this is nested more than {DEPTH_MAX} levels deep");
    Diagnostic::new(&codes::TOO_COMPLEX, span, message)
        .help("a configuration needs far fewer: look for a bracket or brace that is not closed")
}

fn broken(span: Span) -> Diagnostic {
    Diagnostic::new(
        &codes::YAML_SYNTAX,
        span,
        "the text ends before this is complete",
    )
}

fn advice(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "YAML is indented with spaces: replace the tab",
        ErrorKind::UnknownAnchor => "an alias `*name` needs an anchor `&name` above it",
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            "a text that holds `: ` is written in quotes; otherwise look at the indentation"
        }
        ErrorKind::UnclosedQuotedScalar => "close the quote that begins here",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            "look for a missing comma, or for a bracket or brace that is not closed"
        }
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::SimpleKeyExpected => {
            "keys of one section stand in one column; look at the indentation and for a missing `:`"
        }
        ErrorKind::UnknownQuotedScalarEscape => {
            "write the backslash twice, or put the text in single quotes"
        }
        _ => return None,
    })
}
