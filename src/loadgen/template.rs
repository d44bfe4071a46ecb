//! Texts with places in them: `{}` for the marker, `{room}` and `{n}` for numbers.

use crate::loadgen::BenchError;

/// A text whose places are filled in for each connection or message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Marker,
    Room,
    Number,
}

/// What stands in a template's places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) room: usize,
    /// The connection's number.
    pub(super) number: usize,
}

impl Template {
    /// A text in which `{room}` and `{n}` are places; other braces stand for themselves.
    pub fn text(text: &str) -> Self {
        Self(pieces(
            text,
            &[("{room}", Piece::Room), ("{n}", Piece::Number)],
        ))
    }

    /// A message: `{}` is a place too, for the marker.
    ///
    /// # Errors
    /// `{}` is missing, or there is more than one.
    pub fn message(text: &str) -> Result<Self, BenchError> {
        let places = [
            ("{room}", Piece::Room),
            ("{n}", Piece::Number),
            ("{}", Piece::Marker),
        ];
        let template = Self(pieces(text, &places));
        let markers = template.count(&Piece::Marker);
        if markers == 1 {
            Ok(template)
        } else {
            Err(BenchError::Message { markers })
        }
    }

    /// Whether connections to different rooms get different texts.
    pub(super) fn tells_rooms_apart(&self) -> bool {
        self.count(&Piece::Room) + self.count(&Piece::Number) > 0
    }

    /// Appends the text, with the marker that `marker` writes.
    pub(super) fn render(
        &self,
        place: Place,
        target: &mut Vec<u8>,
        mut marker: impl FnMut(&mut Vec<u8>),
    ) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => target.extend_from_slice(text.as_bytes()),
                Piece::Marker => marker(target),
                Piece::Room => target.extend_from_slice(place.room.to_string().as_bytes()),
                Piece::Number => target.extend_from_slice(place.number.to_string().as_bytes()),
            }
        }
    }

    /// The text of a template without a marker.
    pub(super) fn expand(&self, place: Place) -> String {
        let mut bytes = Vec::new();
        self.render(place, &mut bytes, |_| {});
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn count(&self, wanted: &Piece) -> usize {
        self.0.iter().filter(|piece| *piece == wanted).count()
    }
}

fn pieces(text: &str, places: &[(&str, Piece)]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let found = places
            .iter()
            .filter_map(|(name, piece)| Some((rest.find(name)?, name.len(), piece)));
        let Some((at, len, piece)) = found.min_by_key(|(at, ..)| *at) else {
            break;
        };
        pieces.push(Piece::Text(rest[..at].into()));
        pieces.push(piece.clone());
        rest = &rest[at + len..];
    }
    pieces.push(Piece::Text(rest.into()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::{Place, Template};

    const PLACE: Place = Place {
        room: 3,
        number: 31,
    };

    #[test]
    fn places_are_filled_in() {
        for (text, expected) in [
            ("", ""),
            ("/ws/{room}?user={n}", "/ws/3?user=31"),
            (r#"{"data":{},"x":"{n}{n}"}"#, r#"{"data":{},"x":"3131"}"#),
            ("{rooms} {", "{rooms} {"),
        ] {
            assert_eq!(Template::text(text).expand(PLACE), expected, "{text}");
        }
        assert!(!Template::text("/ws").tells_rooms_apart());
        assert!(Template::text("/ws/{room}").tells_rooms_apart());
    }

    #[test]
    fn a_message_has_one_marker() {
        let template = Template::message(r#"["{room}",{"text":"{}"}]"#).expect("it is one");
        let mut bytes = Vec::new();
        template.render(PLACE, &mut bytes, |target| target.extend_from_slice(b"#1"));
        assert_eq!(bytes, br##"["3",{"text":"#1"}]"##);
        for text in ["", "{room}", r#"{"a":{},"b":"{}"}"#] {
            assert!(Template::message(text).is_err(), "{text}");
        }
    }
}
