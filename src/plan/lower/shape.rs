//! Shapes of texts: whether what a template yields can be an instance of a pattern.

use crate::vocab::{Pattern, Segment};

/// A text with gaps.
#[derive(Debug)]
pub(super) struct Shape(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    /// This byte.
    Byte(u8),
    /// Any bytes.
    Any,
    /// One byte of a segment.
    One,
    /// Any bytes of a segment.
    Many,
}

impl Shape {
    /// The shape of a template's results: what stands in braces may become anything.
    pub(super) fn of_template(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let doubled = bytes.get(at + 1) == Some(byte);
            match byte {
                b'{' | b'}' if doubled => {
                    pieces.push(Piece::Byte(*byte));
                    at += 2;
                }
                b'{' => {
                    pieces.push(Piece::Any);
                    at = end_of_gap(bytes, at);
                }
                byte => {
                    pieces.push(Piece::Byte(*byte));
                    at += 1;
                }
            }
        }
        Self(pieces)
    }

    /// The shape of names in which `*` stands for any text.
    pub(super) fn of_glob(text: &str) -> Self {
        let piece = |byte| match byte {
            b'*' => Piece::Any,
            byte => Piece::Byte(byte),
        };
        Self(text.bytes().map(piece).collect())
    }

    /// The shape of a pattern's room names.
    pub(super) fn of_pattern(pattern: &Pattern) -> Self {
        let mut pieces = Vec::new();
        for (index, segment) in pattern.segments().iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Byte(b':'));
            }
            match segment {
                Segment::Literal(text) => pieces.extend(text.bytes().map(Piece::Byte)),
                Segment::Parameter(_) => pieces.extend([Piece::One, Piece::Many]),
            }
        }
        Self(pieces)
    }

    /// Whether some text has both shapes; `pattern` is one of a pattern.
    pub(super) fn meets(&self, pattern: &Self) -> bool {
        let (ours, theirs) = (&self.0, &pattern.0);
        let differs = ours
            .iter()
            .zip(theirs)
            .take_while(|(one, two)| matches!((one, two), (Piece::Byte(_), Piece::Byte(_))))
            .any(|(one, two)| one != two);
        if differs {
            return false;
        }
        // `possible[i][j]`: what is left of ours from i and of theirs from j can be the same text.
        let mut possible = vec![vec![false; theirs.len() + 1]; ours.len() + 1];
        for i in (0..=ours.len()).rev() {
            for j in (0..=theirs.len()).rev() {
                possible[i][j] = match (ours.get(i), theirs.get(j)) {
                    (None, None) => true,
                    (Some(Piece::Any), None) => possible[i + 1][j],
                    (Some(Piece::Any), Some(_)) => possible[i + 1][j] || possible[i][j + 1],
                    (Some(Piece::Byte(byte)), Some(Piece::Many)) => {
                        possible[i][j + 1] || *byte != b':' && possible[i + 1][j]
                    }
                    (None, Some(Piece::Many)) => possible[i][j + 1],
                    (Some(Piece::Byte(byte)), Some(Piece::One)) => {
                        *byte != b':' && possible[i + 1][j + 1]
                    }
                    (Some(one), Some(two)) => one == two && possible[i + 1][j + 1],
                    _ => false,
                };
            }
        }
        possible[0][0]
    }
}

/// The place behind the `}` that closes the `{` at `start`.
fn end_of_gap(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut quote = None;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == *byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'{') => depth += 1,
            (None, b'}') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::Shape;
    use crate::vocab::Pattern;

    #[test]
    fn shapes_meet_where_some_text_has_both() {
        for (template, pattern, expected) in [
            ("room:{path.room_id}", "room:{room_id}", true),
            ("room:{path.room_id}", "desk:{ticket}", false),
            ("room:lobby", "room:{id}", true),
            ("room:lobby", "room:lounge", false),
            ("room:", "room:{id}", false),
            ("room", "room:{id}", false),
            ("{query.room}", "room:{id}", true),
            ("team:{user.id}:{path.x}", "team:{a}:{b}", true),
            ("team:{user.id}", "team:{a}:log", true),
            ("x:{'}'}", "x:{a}", true),
            ("x:{{a", "x:{a}", true),
        ] {
            let parsed = Pattern::parse_room(pattern).expect("a pattern");
            let met = Shape::of_template(template).meets(&Shape::of_pattern(&parsed));
            assert_eq!(met, expected, "{template} {pattern}");
        }
        let parsed = Pattern::parse_room("room:{id}").expect("a pattern");
        assert!(Shape::of_glob("room:*").meets(&Shape::of_pattern(&parsed)));
        assert!(!Shape::of_glob("desk:*").meets(&Shape::of_pattern(&parsed)));
    }
}
