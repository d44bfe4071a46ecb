//! An answer for people: aligned steps, each with its rule, what the rule's parts say, and the values that it saw.

use std::fmt::Write as _;

use serde_json::Value;

/// The answer as lines.
pub(super) fn human(answer: &Value) -> String {
    let steps = answer.get("steps").and_then(Value::as_array);
    let steps: &[Value] = steps.map_or(&[], Vec::as_slice);
    let width = |cell: fn(&Value) -> String| {
        let widths = steps.iter().map(|step| cell(step).chars().count());
        widths.max().unwrap_or(0)
    };
    let (names, subjects) = (width(name), width(subject));
    let mut out = format!("{}\n\n", headline(answer, steps));
    for step in steps {
        let line = format!(
            "{}  {:names$}  {:subjects$}  {}",
            mark(step.get("passed")),
            name(step),
            subject(step),
            place(step)
        );
        let _ = writeln!(out, "{}", line.trim_end());
        for detail in details(step) {
            let _ = writeln!(out, "        {detail}");
        }
    }
    out
}

fn headline(answer: &Value, steps: &[Value]) -> String {
    match answer.get("allowed").and_then(Value::as_bool) {
        Some(true) => "allowed".to_owned(),
        Some(false) => {
            let refused = steps
                .iter()
                .find(|step| step.get("passed") == Some(&false.into()));
            let code = refused.and_then(|step| step.get("code").or_else(|| step.get("status")));
            let code = code.map(|code| format!(" with {}", plain(code)));
            let code = code.unwrap_or_default();
            let by = refused.map(|step| format!(", by `{}`", name(step)));
            format!("refused{code}{}", by.unwrap_or_default())
        }
        None => "could not tell".to_owned(),
    }
}

fn mark(passed: Option<&Value>) -> &'static str {
    match passed.and_then(Value::as_bool) {
        Some(true) => "pass",
        Some(false) => "FAIL",
        None => "?   ",
    }
}

fn name(step: &Value) -> String {
    text(step, "step")
}

fn subject(step: &Value) -> String {
    text(step, "subject")
}

fn place(step: &Value) -> String {
    match (text(step, "file"), step.get("line")) {
        (file, Some(line)) if !file.is_empty() => format!("{file}:{line}"),
        _ => String::new(),
    }
}

fn details(step: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let rule = text(step, "rule");
    if !rule.is_empty() {
        lines.extend(rule.lines().map(|line| line.trim().to_owned()));
    }
    let parts = step.get("parts").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        let says = match part.get("says").and_then(Value::as_bool) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        let decides = part.get("decides").and_then(Value::as_bool) == Some(true);
        let arrow = if decides { "decides" } else { "" };
        let failure = match text(part, "failure") {
            failure if failure.is_empty() => failure,
            failure => format!("  ({failure})"),
        };
        lines.push(format!(
            "  {says:3}  {arrow:7}  {}{failure}",
            text(part, "text")
        ));
    }
    let values = step.get("values").and_then(Value::as_object);
    for (of, value) in values.into_iter().flatten() {
        let value = match value {
            Value::Null => "nothing".to_owned(),
            value => value.to_string(),
        };
        lines.push(format!("  {of} = {value}"));
    }
    let detail = text(step, "detail");
    if !detail.is_empty() {
        lines.push(detail);
    }
    lines
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::human;

    #[test]
    fn steps_are_aligned_with_what_they_saw() {
        let answer = json!({"allowed": false, "steps": [
            {"step": "endpoint", "subject": "/ws", "passed": true, "file": "channels.yaml", "line": 20},
            {"step": "may_join", "subject": "desk:12", "passed": false, "file": "channels.yaml", "line": 9, "code": "forbidden",
             "rule": "user.claims.role == 'agent' || has(user.claims.all)",
             "parts": [{"text": "user.claims.role == 'agent'", "says": false, "decides": true},
                       {"text": "has(user.claims.all)", "says": false, "decides": true}],
             "values": {"user.claims.role": "customer", "user.claims.all": null},
             "detail": "you may not join `desk:12`"},
        ]});
        let expected = "\
refused with forbidden, by `may_join`

pass  endpoint  /ws      channels.yaml:20
FAIL  may_join  desk:12  channels.yaml:9
        user.claims.role == 'agent' || has(user.claims.all)
          no   decides  user.claims.role == 'agent'
          no   decides  has(user.claims.all)
          user.claims.role = \"customer\"
          user.claims.all = nothing
        you may not join `desk:12`
";
        assert_eq!(human(&answer), expected);
        assert_eq!(
            human(&json!({"allowed": null, "steps": []})),
            "could not tell\n\n"
        );
    }
}
