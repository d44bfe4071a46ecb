//! What a run found: figures with names, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::loadgen::latency::Summary;

/// How a run came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was lost, repeated, turned, or closed that should not have been.
    Sound,
    /// Something was.
    Faulty,
}

/// What a figure says that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is so; `true` in JSON.
    Yes,
    /// It is not; `false` in JSON.
    No,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    figures: Vec<Figure>,
    /// What has to be known before the figures are believed.
    warnings: Vec<String>,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
struct Figure {
    name: &'static str,
    value: Value,
    /// How people read it.
    shown: String,
}

impl Figure {
    /// The name in words; times are shown in whatever unit suits them.
    fn label(&self) -> String {
        let name = match self.name.strip_suffix("_us") {
            Some(name) => name,
            None => self.name,
        };
        name.replace('_', " ")
    }
}

impl Report {
    pub(super) fn new(profile: &'static str) -> Self {
        let mut report = Self {
            figures: Vec::new(),
            warnings: Vec::new(),
            verdict: Verdict::Sound,
        };
        report.push("profile", profile.into(), profile.to_owned());
        report
    }

    /// Whether the server did what it should.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// A number of things.
    pub(super) fn count(&mut self, name: &'static str, count: u64) {
        self.push(name, count.into(), grouped(count));
    }

    /// A number of things of which there should be none.
    pub(super) fn fault(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            self.verdict = Verdict::Faulty;
        }
        self.count(name, count);
    }

    /// So many a second.
    pub(super) fn rate(&mut self, name: &'static str, rate: f64) {
        self.whole(name, rate);
    }

    /// A figure to be rounded to the next whole.
    pub(super) fn whole(&mut self, name: &'static str, value: f64) {
        let value = if value.is_finite() {
            value.round()
        } else {
            0.0
        };
        self.push(name, (value as i64).into(), grouped(value.max(0.0) as u64));
    }

    /// A figure of which three digits behind the point matter.
    pub(super) fn fine(&mut self, name: &'static str, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        let rounded = (value * 1000.0).round() / 1000.0;
        self.push(name, rounded.into(), format!("{rounded}"));
    }

    /// An answer to a question.
    pub(super) fn answer(&mut self, name: &'static str, answer: Answer) {
        let shown = match answer {
            Answer::Yes => "yes",
            Answer::No => "no",
        };
        self.push(name, (answer == Answer::Yes).into(), shown.to_owned());
    }

    /// Latencies, in microseconds.
    pub(super) fn latency(&mut self, names: &'static [&'static str; 4], summary: Option<Summary>) {
        let Some(summary) = summary else { return };
        let values = [summary.p50, summary.p99, summary.p999, summary.max];
        for (name, value) in names.iter().zip(values) {
            self.push(name, value.into(), time(value));
        }
    }

    /// What has to be known before the figures are believed.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// One JSON object, in one line.
    pub fn json(&self) -> String {
        let figures = self.figures.iter();
        let mut object: Map<String, Value> = figures
            .map(|figure| (figure.name.to_owned(), figure.value.clone()))
            .collect();
        object.insert("warnings".to_owned(), self.warnings.clone().into());
        Value::Object(object).to_string()
    }

    /// A table for people; warnings are not in it.
    pub fn table(&self) -> String {
        let width = self.figures.iter().map(|figure| figure.label().len());
        let width = width.max().unwrap_or_default();
        let shown = self
            .figures
            .iter()
            .map(|figure| figure.shown.chars().count());
        let right = shown.max().unwrap_or_default();
        let mut table = String::new();
        for figure in &self.figures {
            let label = figure.label();
            let _ = writeln!(table, "{label:width$}  {:>right$}", figure.shown);
        }
        table
    }

    /// The warnings, each a sentence or two.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn push(&mut self, name: &'static str, value: Value, shown: String) {
        self.figures.push(Figure { name, value, shown });
    }
}

/// Thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in a unit that leaves few digits.
fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Report, Summary, Verdict};

    #[test]
    fn figures_for_people_and_for_programs() {
        let mut report = Report::new("fanout");
        report.count("deliveries", 1_234_567);
        report.fault("lost", 0);
        report.fine("cpu_us_per_delivery", 0.230_49);
        report.rate("deliveries_per_second", 999.6);
        let summary = Summary {
            p50: 999,
            p99: 1_234,
            p999: 20_000,
            max: 2_500_000,
        };
        report.latency(&["a", "b", "c", "d"], Some(summary));
        report.latency(&["e", "f", "g", "h"], None);
        report.fine("ratio", f64::NAN);
        report.answer("client_is_bottleneck", Answer::No);
        assert_eq!(report.verdict(), Verdict::Sound);
        assert_eq!(
            report.table(),
            "\
profile                   fanout
deliveries             1,234,567
lost                           0
cpu us per delivery         0.23
deliveries per second      1,000
a                         999 µs
b                        1.23 ms
c                       20.00 ms
d                         2.50 s
ratio                          0
client is bottleneck          no
"
        );
        report.fault("duplicates", 1);
        report.warn("mind".to_owned());
        assert_eq!(report.verdict(), Verdict::Faulty);
        assert_eq!(
            report.json(),
            r#"{"profile":"fanout","deliveries":1234567,"lost":0,"cpu_us_per_delivery":0.23,"deliveries_per_second":1000,"a":999,"b":1234,"c":20000,"d":2500000,"ratio":0.0,"client_is_bottleneck":false,"duplicates":1,"warnings":["mind"]}"#
        );
    }
}
