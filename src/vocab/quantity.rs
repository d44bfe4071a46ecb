//! Quantities with their units: durations, sizes, rates.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Why a text is no quantity; the message names the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// A number alone, where a unit is due.
    #[error("the unit is missing: did you mean `{0}`?")]
    MissingUnit(String),
    /// A unit that does not exist here.
    #[error("`{unit}` is not a unit of {what}: use {units}")]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// What is measured: durations, sizes, rates.
        what: &'static str,
        /// The units that exist.
        units: &'static str,
    },
    /// No number in front.
    #[error("`{text}` is not {what}: write {example}")]
    NotANumber {
        /// What was written.
        text: String,
        /// What is due: a duration, a size, a rate.
        what: &'static str,
        /// How it could look.
        example: &'static str,
    },
    /// More than can be counted.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

fn split_number<'a>(
    text: &'a str,
    what: &'static str,
    example: &'static str,
) -> Result<(u64, &'a str), QuantityError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(QuantityError::NotANumber {
            text: text.to_owned(),
            what,
            example,
        });
    }
    let number = text[..digits]
        .parse()
        .map_err(|_| QuantityError::TooLarge(text.to_owned()))?;
    Ok((number, text[digits..].trim_start()))
}

/// Reads a duration: `250ms`, `60s`, `5m`, `24h`, `7d`.
///
/// # Errors
/// No number, no unit or an unknown one, or more milliseconds than 64 bits count.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let (number, unit) = split_number(text, "a duration", "`250ms`, `60s`, `5m`, `24h` or `7d`")?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(QuantityError::MissingUnit(format!("{number}s"))),
        _ => {
            let units = "`ms`, `s`, `m`, `h` or `d`";
            return Err(QuantityError::UnknownUnit {
                unit: unit.to_owned(),
                what: "durations",
                units,
            });
        }
    };
    let total = number
        .checked_mul(milliseconds)
        .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))?;
    Ok(Duration::from_millis(total))
}

/// Writes a duration in its largest whole unit, the way [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
    ] {
        if millis > 0 && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// The size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    pub const fn len(self) -> usize {
        self.0 as usize
    }

    /// Whether it is zero.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads a size: `512B`, `64KiB`, `1MiB`, `4GiB`.
    ///
    /// # Errors
    /// No number, no unit or an unknown one, or more than 64 bits count.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split_number(text, "a size", "`512B`, `64KiB`, `1MiB` or `4GiB`")?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "" => return Err(QuantityError::MissingUnit(format!("{number}B"))),
            _ => {
                let units = "`B`, `KiB`, `MiB` or `GiB`";
                return Err(QuantityError::UnknownUnit {
                    unit: unit.to_owned(),
                    what: "sizes",
                    units,
                });
            }
        };
        let bytes = number
            .checked_mul(1 << shift)
            .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// The size in its largest whole unit, the way [`ByteSize::parse`] reads it.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 > 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    amount: NonZeroU64,
    unit: RateUnit,
    period: Duration,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateUnit {
    /// Whatever is done, one by one: `10/s`.
    Count,
    /// The bytes of it: `64KiB/s`.
    Bytes,
}

impl Rate {
    /// How many, or how many bytes, fit into a period.
    pub const fn amount(self) -> NonZeroU64 {
        self.amount
    }

    /// What is counted.
    pub const fn unit(self) -> RateUnit {
        self.unit
    }

    /// The period: a second, a minute or an hour.
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Reads a rate: `10/s`, `300/min`, `1000/h`, or of bytes: `64KiB/s`.
    ///
    /// # Errors
    /// No number, zero, no period or an unknown one, an unknown unit of sizes, a count of more than 32 bits, or more than 64 bits of
    /// bytes.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let example = "`10/s`, `300/min` or `1000/h`";
        let (number, rest) = split_number(text, "a rate", example)?;
        let (size, period) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let unit = match size {
            "" => RateUnit::Count,
            _ => RateUnit::Bytes,
        };
        let size_written = &text[..text.len() - period.len()];
        let amount = match unit {
            RateUnit::Count => number,
            RateUnit::Bytes => ByteSize::parse(size_written.trim_end())?.bytes(),
        };
        let seconds = match period {
            "/s" => 1,
            "/min" => 60,
            "/h" => 3600,
            "" => {
                let whole = format!("{}/s", size_written.trim_end());
                return Err(QuantityError::MissingUnit(whole));
            }
            _ => {
                let units = "`/s`, `/min` or `/h`";
                return Err(QuantityError::UnknownUnit {
                    unit: period.to_owned(),
                    what: "rates",
                    units,
                });
            }
        };
        if unit == RateUnit::Count && u32::try_from(amount).is_err() {
            return Err(QuantityError::TooLarge(text.to_owned()));
        }
        let zero = || QuantityError::NotANumber {
            text: text.to_owned(),
            what: "a rate above zero",
            example,
        };
        Ok(Self {
            amount: NonZeroU64::new(amount).ok_or_else(zero)?,
            unit,
            period: Duration::from_secs(seconds),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period.as_secs() {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        match self.unit {
            RateUnit::Count => write!(f, "{}/{period}", self.amount),
            RateUnit::Bytes => write!(f, "{}/{period}", ByteSize(self.amount.get())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSize, Rate, format_duration, parse_duration};
    use std::time::Duration;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [
            ("250ms", 250),
            ("60s", 60_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(format_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn errors_name_the_fix() {
        let message = |error: super::QuantityError| error.to_string();
        assert_eq!(
            parse_duration("60").map_err(message),
            Err("the unit is missing: did you mean `60s`?".into())
        );
        assert_eq!(
            ByteSize::parse("64").map_err(message),
            Err("the unit is missing: did you mean `64B`?".into())
        );
        assert_eq!(
            ByteSize::parse("64KB").map_err(message),
            Err("`KB` is not a unit of sizes: use `B`, `KiB`, `MiB` or `GiB`".into())
        );
        assert_eq!(
            Rate::parse("0/s").map_err(message),
            Err("`0/s` is not a rate above zero: write `10/s`, `300/min` or `1000/h`".into())
        );
        for (text, expected) in [
            ("10", "the unit is missing: did you mean `10/s`?"),
            ("64KiB", "the unit is missing: did you mean `64KiB/s`?"),
            ("64 KiB", "the unit is missing: did you mean `64 KiB/s`?"),
            (
                "64KB/s",
                "`KB` is not a unit of sizes: use `B`, `KiB`, `MiB` or `GiB`",
            ),
            (
                "10/sec",
                "`/sec` is not a unit of rates: use `/s`, `/min` or `/h`",
            ),
            (
                "64KiB/sec",
                "`/sec` is not a unit of rates: use `/s`, `/min` or `/h`",
            ),
            (
                "0B/s",
                "`0B/s` is not a rate above zero: write `10/s`, `300/min` or `1000/h`",
            ),
            ("4294967296/s", "`4294967296/s` is too large"),
            (
                "/s",
                "`/s` is not a rate: write `10/s`, `300/min` or `1000/h`",
            ),
        ] {
            assert_eq!(
                Rate::parse(text).map_err(message),
                Err(expected.into()),
                "{text}"
            );
        }
        assert!(parse_duration("99999999999999999999d").is_err());
        assert!(parse_duration("999999999999999999d").is_err());
    }

    #[test]
    fn sizes_and_rates_are_read_and_written() {
        for text in ["512B", "64KiB", "1MiB", "4GiB", "0B"] {
            assert_eq!(
                ByteSize::parse(text).map(|size| size.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["10/s", "300/min", "1000/h", "64KiB/s", "512B/min", "4GiB/h"] {
            assert_eq!(
                Rate::parse(text).map(|rate| rate.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
