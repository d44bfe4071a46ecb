//! Our evaluator against the crate's, on random rules over facts where nothing is absent; and that nothing panics.

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{World, anything};
use crate::rule::{Expression, Rule, Template};

/// Data in which everything that the rules below read is there.
fn data() -> Value {
    json!({
        "n": 3, "m": -7, "d": 2.5, "t": true, "f": false, "text": "room:42", "word": "a",
        "ints": [1, 2, 3], "words": ["a", "b", "room:42"], "map": {"a": 1, "b": 2},
    })
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("data.n".to_owned()),
        Just("data.m".to_owned()),
        Just("data.map.a".to_owned()),
        Just("data.ints[1]".to_owned()),
        (-5i64..6).prop_map(|number| number.to_string()),
        Just("size(data.text)".to_owned()),
        Just("data.words.size()".to_owned()),
        Just("9223372036854775807".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%]", inner.clone())
                .prop_map(|(left, sign, right)| format!("({left} {sign} {right})")),
            inner.prop_map(|operand| format!("-({operand})")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("data.text".to_owned()),
        Just("data.word".to_owned()),
        Just("user.id".to_owned()),
        Just("params.room_id".to_owned()),
        "[ab:é]{0,3}".prop_map(|text| format!("'{text}'")),
        (number()).prop_map(|number| format!("string({number})")),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), inner).prop_map(|(left, right)| format!("({left} + {right})"))
    })
}

fn condition() -> impl Strategy<Value = String> {
    let order = prop_oneof![
        Just("=="),
        Just("!="),
        Just("<"),
        Just("<="),
        Just(">"),
        Just(">=")
    ];
    let leaf = prop_oneof![
        Just("data.t".to_owned()),
        Just("data.f".to_owned()),
        Just("has(data.map.a)".to_owned()),
        Just("data.words == ['a', 'b', 'room:42']".to_owned()),
        (number(), order.clone(), number())
            .prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        (text(), order, text()).prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
        (number()).prop_map(|number| format!("{number} < data.d")),
        (
            text(),
            prop_oneof![Just("data.words"), Just("data.map"), Just("['a', 'x']")]
        )
            .prop_map(|(element, of)| format!("{element} in {of}")),
        (number()).prop_map(|element| format!("{element} in data.ints")),
        (
            text(),
            prop_oneof![Just("contains"), Just("startsWith"), Just("endsWith")],
            text()
        )
            .prop_map(|(of, method, part)| format!("{of}.{method}({part})")),
        (text()).prop_map(|of| format!("{of}.matches('^[a-z]+:?[0-9]*$')")),
        (
            prop_oneof![Just("all"), Just("exists"), Just("exists_one")],
            number()
        )
            .prop_map(|(aim, number)| format!("data.ints.{aim}(x, x + {number} > 2)")),
        (text()).prop_map(|text| format!(
            "data.words.filter(x, x != {text}).map(x, x + 'y') == ['ay', 'by']"
        )),
        (number()).prop_map(|number| format!("data.map.exists(key, data.map[key] == {number})")),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} && {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} || {right})")),
            inner.clone().prop_map(|operand| format!("!({operand})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(one, two, three)| format!("({one} ? {two} : {three})")),
        ]
    })
}

/// As the crate's value, with whole numbers as ints.
fn crates(value: &Value) -> cel::Value {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().expect("a double").into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Bool(value) => (*value).into(),
        Value::Null => cel::Value::Null,
        Value::Array(list) => list.iter().map(crates).collect::<Vec<_>>().into(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), crates(value)))
            .collect::<std::collections::HashMap<_, _>>()
            .into(),
    }
}

/// What the crate says: `None` for an error.
fn oracle(text: &str) -> Option<bool> {
    let mut context = cel::Context::default();
    for (name, value) in [
        ("data", data()),
        ("user", json!({"id": "ann"})),
        ("params", json!({"room_id": "42"})),
    ] {
        context.add_variable_from_value(name, crates(&value));
    }
    match cel::Program::compile(text).expect(text).execute(&context) {
        Ok(cel::Value::Bool(answer)) => Some(answer),
        Ok(other) => panic!("{text} is {other:?}"),
        Err(_) => None,
    }
}

proptest! {
    #[test]
    fn both_evaluators_agree(text in condition()) {
        let world = World::new(json!({}), data());
        match Rule::compile(&text, &anything()) {
            Ok(rule) => prop_assert_eq!(rule.allows(&world.facts()).ok(), oracle(&text), "{}", text),
            // Only what is known to fail may be refused; the crate may still forgive it in `&&` and `||`.
            Err(problems) => {
                let slugs: Vec<_> = problems.iter().map(|problem| problem.code.slug).collect();
                proptest::prop_assert!(slugs.iter().all(|slug| *slug == "rule/always-fails"), "{} {:?}", text, problems);
            }
        }
    }

    #[test]
    fn nothing_panics(text in "[a-z.()\\[\\]{}!&|=<>'\"+*/%?:, 0-9é\\\\-]{0,40}", pieces in proptest::collection::vec(
        prop_oneof![
            Just("user.id"), Just("data"), Just("data.x"), Just(" in "), Just("=="), Just("("), Just(")"), Just("["), Just("]"), Just("!"),
            Just("&&"), Just("'a'"), Just("1"), Just("-"), Just("."), Just("all(x, x)"), Just("has("), Just("{"), Just("}"), Just(":"), Just("?"), Just(","),
        ], 0..12), n in any::<bool>()) {
        let world = World::new(json!({}), json!({"x": [1, "a", null]}));
        let text = if n { pieces.concat() } else { text };
        for problems in [
            Rule::compile(&text, &anything()).map(|rule| drop(rule.allows(&world.facts()))).err(),
            Expression::compile(&text, &anything()).map(|expression| drop(expression.evaluate(&world.facts()))).err(),
            Template::compile(&text, &anything()).map(|template| drop(template.render(&world.facts()))).err(),
        ].into_iter().flatten() {
            for problem in problems {
                proptest::prop_assert!(text.get(problem.range.clone()).is_some(), "{} {:?}", text, problem);
            }
        }
    }
}
