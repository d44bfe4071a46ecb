//! What is wrong with a duration, size or rate, in words.

use crate::config::Text;
use crate::vocab::QuantityError;

/// What is wrong with the quantity `text`, and the repair.
pub(super) fn in_two_parts(text: &Text, error: QuantityError) -> (String, String) {
    match error {
        QuantityError::MissingUnit(repaired) => (
            format!("`{text}` has no unit"),
            format!("did you mean `{repaired}`?"),
        ),
        QuantityError::UnknownUnit { unit, what, units } => (
            format!("`{unit}` is not a unit of {what}"),
            repaired_unit(text.as_str(), &unit, units).map_or_else(
                || format!("write {units}"),
                |repaired| format!("did you mean `{repaired}`? The units are {units}"),
            ),
        ),
        QuantityError::NotANumber { what, example, .. } => (
            format!("`{text}` is not {what}"),
            format!("write {example}"),
        ),
        QuantityError::TooLarge(_) => (
            format!("`{text}` is too large"),
            "write less, or leave the key out for the default".to_owned(),
        ),
    }
}

/// `text` with that one of `units` that elsewhere is written as `unit`.
fn repaired_unit(text: &str, unit: &str, units: &str) -> Option<String> {
    let meant = match unit.trim().to_ascii_lowercase().as_str() {
        "b" | "bytes" | "byte" => "B",
        "k" | "kb" | "kib" => "KiB",
        "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "millis" | "msec" | "milliseconds" => "ms",
        _ => return None,
    };
    let number = text.strip_suffix(unit)?.trim_end();
    let fits = units.contains(&format!("`{meant}`"));
    fits.then(|| format!("{number}{meant}"))
}

#[cfg(test)]
mod tests {
    use crate::config::quantity::repaired_unit;

    #[test]
    fn units_of_other_systems_are_understood() {
        let sizes = "`B`, `KiB`, `MiB` or `GiB`";
        let durations = "`ms`, `s`, `m`, `h` or `d`";
        for (text, unit, units, repaired) in [
            ("64KB", "KB", sizes, Some("64KiB")),
            ("4 gb", " gb", sizes, Some("4GiB")),
            ("5min", "min", durations, Some("5m")),
            ("5sec", "sec", sizes, None),
            ("5parsecs", "parsecs", durations, None),
        ] {
            assert_eq!(
                repaired_unit(text, unit, units).as_deref(),
                repaired,
                "{text}"
            );
        }
    }
}
