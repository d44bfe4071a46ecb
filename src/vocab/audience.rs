//! Sets of a room kind's audiences.

/// Some of the audiences that one kind of rooms declares, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AudienceSet(u8);

impl AudienceSet {
    /// No audience.
    pub const NONE: Self = Self(0);
    /// Audiences of one kind at most, so that a member's set is a byte.
    pub const MAX: usize = u8::BITS as usize;

    /// The audience of this number alone; none where the number is [`AudienceSet::MAX`] or more.
    pub const fn of(number: usize) -> Option<Self> {
        if number < Self::MAX {
            Some(Self(1 << number))
        } else {
            None
        }
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of its audiences, in their order.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX).filter(move |number| self.0 & (1 << number) != 0)
    }
}

impl FromIterator<Self> for AudienceSet {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, Self::or)
    }
}

#[cfg(test)]
mod tests {
    use super::AudienceSet;

    #[test]
    fn a_set_is_eight_at_most() {
        let set: AudienceSet = [0, 2, 7].into_iter().filter_map(AudienceSet::of).collect();
        assert_eq!(set.numbers().collect::<Vec<_>>(), [0, 2, 7]);
        assert_eq!(AudienceSet::of(8), None);
        let some = AudienceSet::of(2).unwrap_or_default();
        assert!(set.has(some) && !some.has(set) && set.has(AudienceSet::NONE));
        assert_eq!((set.and(some), set.or(some)), (some, set));
        assert!(AudienceSet::NONE.is_empty() && !some.is_empty());
    }
}
