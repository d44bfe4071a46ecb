//! Time as an argument: the server passes [`SystemClock`], tests pass [`VirtualClock`] and never sleep.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment in the world's time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `milliseconds` after the Unix epoch.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as JWT's `NumericDate` counts them (RFC 7519 §2).
    pub const fn as_seconds(self) -> i64 {
        (self.0 / 1000) as i64
    }

    /// Reads a moment in RFC 3339's form, with any offset; what is finer than milliseconds is dropped.
    ///
    /// # Errors
    /// The text has another form, names a day or time that does not exist, or is before 1970.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        parse_rfc_3339(text).map(Self).ok_or(TimestampError)
    }

    /// This moment plus `duration`.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This moment minus `duration`.
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long before `self` the moment `earlier` was; zero where it was later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a moment is written like `2026-11-22T10:00:00Z`")]
pub struct TimestampError;

fn parse_rfc_3339(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let separators = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    let separated = separators.iter().all(|(at, allowed)| {
        text.get(*at..at + 1)
            .is_some_and(|found| allowed.contains(found))
    });
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let exists = (1..=12).contains(&month) && (1..=days).contains(&day) && year >= 1970;
    if !separated || !exists || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let digits = rest.strip_prefix('.').map_or("", |fraction| {
        let end = fraction.find(|c: char| !c.is_ascii_digit());
        &fraction[..end.unwrap_or(fraction.len())]
    });
    let zone = rest
        .strip_prefix('.')
        .map_or(rest, |rest| &rest[digits.len()..]);
    if rest.starts_with('.') && digits.is_empty() {
        return None;
    }
    let millis: u64 = format!("{digits:0<3}")[..3].parse().ok()?;
    let offset_minutes = parse_offset(zone)?;
    // The inverse of `Display`: days counted in 400-year eras that begin on 1 March.
    let shifted_year = year - u64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = i64::try_from(seconds).ok()? - offset_minutes * 60;
    Some(u64::try_from(seconds).ok()? * 1000 + millis)
}

/// `Z`, `+02:00` or `-05:30`, in minutes.
fn parse_offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, max: i64| -> Option<i64> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| text.parse().ok())?
            .filter(|number| *number <= max)
    };
    Some(sign * (number(hours, 23)? * 60 + number(minutes, 59)?))
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Days to a civil date, counted in 400-year eras that begin on 1 March.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        if year > 9999 {
            return write!(
                f,
                "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
            );
        }
        // Digit by digit: it stands in every message that goes out, and the formatter's own way takes ten times as long.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, hour),
            (14, minute),
            (17, second),
            (20, millis / 10),
        ];
        for (at, number) in parts {
            text[at] += (number / 10) as u8;
            text[at + 1] += (number % 10) as u8;
        }
        text[22] += (millis % 10) as u8;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// A reading of a clock that never goes back, in nanoseconds since that clock's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The reading `nanoseconds` after the clock's start.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the clock's start.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This reading plus `duration`.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long before `self` the reading `earlier` was; zero where it was later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The world's time.
    fn now(&self) -> Timestamp;
    /// Time that never goes back.
    fn monotonic(&self) -> Monotonic;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic readings count from now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves when it is told to: for tests and scenarios.
#[derive(Debug)]
pub struct VirtualClock {
    start_millis: u64,
    elapsed_nanos: AtomicU64,
}

impl VirtualClock {
    /// A clock that stands at `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self {
            start_millis: start.0,
            elapsed_nanos: AtomicU64::new(0),
        }
    }

    /// Moves both times on by `duration`.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_nanos.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.start_millis + self.elapsed_nanos.load(Ordering::SeqCst) / 1_000_000)
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.elapsed_nanos.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Timestamp, VirtualClock};
    use std::time::Duration;

    #[test]
    fn timestamps_are_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_341_600_123, "2026-11-22T10:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_007, "10000-01-01T00:00:00.007Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn timestamps_are_read_from_rfc_3339() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29t00:00:00.5z", Some(951_782_400_500)),
            ("2026-11-22T10:00:00.123456Z", Some(1_795_341_600_123)),
            ("2026-11-22T12:00:00.123+02:00", Some(1_795_341_600_123)),
            ("2026-11-22 04:30:00.123-05:30", Some(1_795_341_600_123)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T10:00:00", None),
            ("2026-11-22T10:00:00.Z", None),
            ("2026-11-22T10:00:00+2:00", None),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("2026-11-22", None),
            ("", None),
            ("ä026-11-22T10:00:00Z", None),
        ] {
            let read = Timestamp::parse(text).ok().map(Timestamp::as_millis);
            assert_eq!(read, millis, "{text}");
        }
    }

    #[test]
    fn a_virtual_clock_moves_both_times() {
        let clock = VirtualClock::new(Timestamp::from_millis(5));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().as_millis(), 2005);
        assert_eq!(clock.monotonic().as_millis(), 2000);
    }
}
