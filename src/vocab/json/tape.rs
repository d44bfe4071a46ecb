//! A JSON text as a flat list: what validation walks over, without a tree that has to be built and freed.

use serde::de::{DeserializeSeed as _, Error as _};
use serde_json::{Map, Number, Value};

use crate::vocab::json::{DEPTH_MAX, JsonError, Reading};

/// One JSON value, as it was read last. The list and its text keep their room from one reading to the next.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// What was read, and behind it the texts that had escapes, without those.
    text: String,
    nodes: Vec<Node>,
}

/// A value; of a list its elements follow, of a map its keys, each with its value behind it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(Number),
    /// Where it stands in the tape's text.
    Text(Span),
    List(Extent),
    Map(Extent),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    from: u32,
    until: u32,
}

/// How much belongs to a list or a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Elements, or entries.
    len: u32,
    /// The number of the first node behind it.
    end: u32,
}

/// A value on a tape.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    tape: &'a Tape,
    at: u32,
}

/// What a value on a tape is.
#[derive(Clone, Debug)]
pub enum View<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as serde_json reads it.
    Number(&'a Number),
    /// A text, without escapes.
    Text(&'a str),
    /// An array.
    List(Items<'a>),
    /// An object.
    Map(Entries<'a>),
}

/// The elements of an array, in order.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    tape: &'a Tape,
    at: u32,
    left: u32,
}

/// The members of an object, in order.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    tape: &'a Tape,
    at: u32,
    left: u32,
}

impl Span {
    #[inline]
    const fn len(self) -> usize {
        (self.until - self.from) as usize
    }
}

impl Tape {
    /// A tape that holds `null`.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            nodes: Vec::new(),
        }
    }

    /// Reads `text`, nested at most `depth_max` deep (a scalar has depth 0), in place of what was read before.
    ///
    /// # Errors
    /// It is no JSON, repeats a key of an object, is nested deeper, or has more than 2 GiB. Then the tape holds `null`.
    pub fn read(&mut self, text: &str, depth_max: usize) -> Result<(), JsonError> {
        let read = self.try_read(text, depth_max);
        if read.is_err() {
            self.nodes.clear();
        }
        Ok(read?)
    }

    fn try_read(&mut self, text: &str, depth_max: usize) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        self.reading(text, depth_max)?
            .deserialize(&mut deserializer)?;
        deserializer.end()
    }

    /// For reading one value that is a part of `source` while that is parsed. The tape holds that value afterwards, if there is no
    /// error; whoever parses does so by [`serde_json::Deserializer::from_str`] of the same text.
    ///
    /// # Errors
    /// `source` has more than 2 GiB.
    pub fn reading<'t, 's>(
        &'t mut self,
        source: &'s str,
        depth_max: usize,
    ) -> Result<Reading<'t, 's>, serde_json::Error> {
        // Then the numbers of nodes and bytes fit 32 bits: a node takes at least one byte of the text, and texts without their
        // escapes are never longer than with them.
        if source.len() > u32::MAX as usize / 2 {
            return Err(serde_json::Error::custom("longer than 2 GiB"));
        }
        self.nodes.clear();
        self.text.clear();
        self.text.push_str(source);
        Ok(Reading::new(self, source, depth_max.min(DEPTH_MAX)))
    }

    /// A tape of a value that was built somewhere else.
    pub fn of(value: &Value) -> Self {
        let mut tape = Self::default();
        tape.write(value);
        tape
    }

    /// The value that was read last; `null` before that.
    #[inline]
    pub const fn root(&self) -> Item<'_> {
        Item { tape: self, at: 0 }
    }

    /// Bytes that it keeps for the next reading.
    pub fn kept_bytes(&self) -> usize {
        self.text.capacity() + self.nodes.capacity() * size_of::<Node>()
    }

    fn write(&mut self, value: &Value) {
        match value {
            Value::Null => self.nodes.push(Node::Null),
            Value::Bool(value) => self.nodes.push(Node::Bool(*value)),
            Value::Number(number) => self.nodes.push(Node::Number(number.clone())),
            Value::String(text) => self.write_text(text),
            Value::Array(list) => {
                let at = self.open();
                list.iter().for_each(|value| self.write(value));
                self.close(at, list.len(), Node::List);
            }
            Value::Object(map) => {
                let at = self.open();
                for (key, value) in map {
                    self.write_text(key);
                    self.write(value);
                }
                self.close(at, map.len(), Node::Map);
            }
        }
    }

    #[inline]
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Adds a text that stands from byte `from` on in what is being read.
    #[inline]
    pub(super) fn push_span(&mut self, from: usize, len: usize) {
        let (from, until) = (bounded(from), bounded(from + len));
        self.push(Node::Text(Span { from, until }));
    }

    /// Adds a text that stands nowhere yet.
    pub(super) fn write_text(&mut self, text: &str) {
        let from = bounded(self.text.len());
        self.text.push_str(text);
        let until = bounded(self.text.len());
        self.nodes.push(Node::Text(Span { from, until }));
    }

    /// Adds a list or map whose extent is known at its end; returns its number.
    pub(super) fn open(&mut self) -> usize {
        self.nodes.push(Node::Null);
        self.nodes.len() - 1
    }

    /// The list or map at `at` ends here, with `len` elements or entries.
    pub(super) fn close(&mut self, at: usize, len: usize, node: fn(Extent) -> Node) {
        self.nodes[at] = node(Extent {
            len: bounded(len),
            end: bounded(self.nodes.len()),
        });
    }

    /// The first `len` entries of a map whose end is not known yet, from the node with the number `at` on.
    pub(super) fn entries(&self, at: usize, len: usize) -> Entries<'_> {
        Entries {
            tape: self,
            at: bounded(at),
            left: bounded(len),
        }
    }

    /// The text that was added last.
    pub(super) fn last_text(&self) -> &str {
        self.text_at(bounded(self.nodes.len().saturating_sub(1)))
    }

    #[inline]
    fn node(&self, at: u32) -> &Node {
        self.nodes.get(at as usize).unwrap_or(&Node::Null)
    }

    /// The number of the first node behind the value at `at`.
    #[inline]
    fn behind(&self, at: u32) -> u32 {
        match self.node(at) {
            Node::List(extent) | Node::Map(extent) => extent.end,
            _ => at + 1,
        }
    }

    #[inline]
    fn text_at(&self, at: u32) -> &str {
        match self.node(at) {
            Node::Text(span) => self.slice(*span),
            _ => "",
        }
    }

    #[inline]
    fn slice(&self, span: Span) -> &str {
        &self.text[span.from as usize..span.until as usize]
    }
}

#[inline]
fn bounded(number: usize) -> u32 {
    u32::try_from(number).expect("what is on a tape was once read, and that is bounded")
}

impl<'a> Item<'a> {
    /// What it is.
    #[inline]
    pub fn view(self) -> View<'a> {
        let (tape, at) = (self.tape, self.at + 1);
        match tape.node(self.at) {
            Node::Null => View::Null,
            Node::Bool(value) => View::Bool(*value),
            Node::Number(number) => View::Number(number),
            Node::Text(span) => View::Text(tape.slice(*span)),
            Node::List(extent) => View::List(Items {
                tape,
                at,
                left: extent.len,
            }),
            Node::Map(extent) => View::Map(Entries {
                tape,
                at,
                left: extent.len,
            }),
        }
    }

    /// The value as a tree.
    pub fn value(self) -> Value {
        match self.view() {
            View::Null => Value::Null,
            View::Bool(value) => value.into(),
            View::Number(number) => Value::Number(number.clone()),
            View::Text(text) => text.into(),
            View::List(items) => items.map(Self::value).collect(),
            View::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                map.extend(entries.map(|(key, item)| (key.to_owned(), item.value())));
                Value::Object(map)
            }
        }
    }

    /// A number that no other value has that is on a tape at the same time.
    pub fn address(self) -> usize {
        std::ptr::from_ref(self.tape.node(self.at)).addr()
    }
}

impl Items<'_> {
    /// How many are left.
    #[inline]
    pub const fn len(&self) -> usize {
        self.left as usize
    }

    /// Whether none is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (tape, at) = (self.tape, self.at);
        self.at = tape.behind(at);
        Some(Item { tape, at })
    }
}

impl<'a> Entries<'a> {
    /// How many are left.
    #[inline]
    pub const fn len(&self) -> usize {
        self.left as usize
    }

    /// Whether none is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The value of `key` among those that are left.
    #[inline]
    pub fn find(self, key: &str) -> Option<Item<'a>> {
        let (tape, mut at) = (self.tape, self.at);
        for _ in 0..self.left {
            // The lengths mostly tell.
            let is_it = match tape.node(at) {
                Node::Text(span) => span.len() == key.len() && tape.slice(*span) == key,
                _ => false,
            };
            at += 1;
            if is_it {
                return Some(Item { tape, at });
            }
            at = tape.behind(at);
        }
        None
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (tape, key) = (self.tape, self.at);
        let at = key + 1;
        self.at = tape.behind(at);
        Some((tape.text_at(key), Item { tape, at }))
    }
}
