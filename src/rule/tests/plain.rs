//! The plain form of rules against the general evaluator: the same answers, the same failures, for facts of every kind.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::select;
use serde_json::{Value, json};

use super::{World, anything, everything};
use crate::rule::plain::Stop;
use crate::rule::sight::Sight;
use crate::rule::{DataFacts, Facts, Reads, Rule};
use crate::vocab::Timestamp;

/// What may be anything.
const LOOSE: [&str; 14] = [
    "data",
    "data.a",
    "data.a.b",
    "data.a.b.c",
    "data.b",
    "data.list",
    "data['two words']",
    "user.claims",
    "user.claims.a",
    "user.claims.a.b",
    "user.claims.list",
    "sender.claims.b",
    "sender.claims.c",
    "sender.claims.list",
];
/// What has a kind, with which the type check compares few others.
const STRICT: [&str; 18] = [
    "user.id",
    "user.username",
    "user.authenticated",
    "sender.id",
    "params.room_id",
    "params.ticket",
    "path.client_id",
    "query.page",
    "query.none",
    "query['page']",
    "room.name",
    "room.users_count",
    "connection.ip",
    "connection.id",
    "connection.age",
    "connection.endpoint",
    "data.list.size()",
    "size(data.a)",
];
const LITERALS: [&str; 14] = [
    "null",
    "true",
    "'a'",
    "'ann'",
    "'2'",
    "''",
    "'room:42'",
    "'é'",
    "3",
    "3.0",
    "2.5",
    "-1",
    "9007199254740993",
    "'127.0.0.1'",
];
const LISTS: [&str; 7] = [
    "[]",
    "['a', 'ann', 'x']",
    "[1, 2.0, 3, 'a', true]",
    "['h', 'g', 'f', 'e', 'd', 'a', 'a', 'c', 'b', '', '2', 'ann']",
    "['h', 'g', 'f', 'e', 'd', 'a', 'a', 'c', 'b', 'long long long long long long long long']",
    "[['a'], [], {'a': 1}, 3, 4, 5, 6, 7, 8]",
    "{'a': 1, 'ann': 2}",
];

fn operand() -> impl Strategy<Value = String> {
    prop_oneof![
        7 => select(&LOOSE[..]).prop_map(str::to_owned),
        2 => select(&STRICT[..]).prop_map(str::to_owned),
        3 => select(&LITERALS[..]).prop_map(str::to_owned),
        1 => select(&LISTS[..]).prop_map(str::to_owned),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let sign = select(&["==", "!=", "<", "<=", ">", ">=", "in"][..]);
    let method = select(&["startsWith", "endsWith", "contains"][..]);
    let leaf = prop_oneof![
        5 => (operand(), sign, operand()).prop_map(|(one, sign, two)| format!("{one} {sign} {two}")),
        1 => (operand(), select(&LISTS[..])).prop_map(|(one, list)| format!("{one} in {list}")),
        1 => (operand(), method, operand())
            .prop_map(|(of, method, part)| format!("{of}.{method}({part})")),
        1 => select(&LOOSE[..]).prop_map(str::to_owned),
        1 => select(&["has(data.a.b)", "has(user.claims.a)", "has(query.page)", "'page' in query"][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), select(&["&&", "||"][..]), inner.clone())
                .prop_map(|(one, sign, two)| format!("({one} {sign} {two})")),
            inner.prop_map(|operand| format!("!({operand})")),
        ]
    })
}

/// Anything that JSON can say, with the names that the rules read.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(3)),
        Just(json!(3.0)),
        Just(json!(2.5)),
        Just(json!(-1)),
        Just(json!(9_007_199_254_740_992.0)),
        Just(json!(18_446_744_073_709_551_615u64)),
        select(
            &[
                "",
                "a",
                "ann",
                "2",
                "room:42",
                "é",
                "long long long long long long long long"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = select(&["a", "b", "c", "list", "two words"][..]);
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => vec((name, inner), 0..4).prop_map(|entries| {
                let entries = entries.into_iter();
                Value::Object(entries.map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// What the evaluators say of one rule: asserted to be the same.
fn agreed(rule: &Rule, facts: &Facts<'_>) -> Result<bool, String> {
    let answer = rule.allows(facts);
    let general = rule.allows_generally(facts);
    assert_eq!(answer, general, "{}", rule.text());
    general.map_err(|failure| failure.to_string())
}

/// Asserts that both evaluators say the same, and that the plain form says it by itself where it says anything.
fn compare(rule: &Rule, facts: &Facts<'_>) {
    let general = rule.allows_generally(facts);
    let plain = rule
        .compiled
        .plain
        .as_ref()
        .expect("all of these are plain");
    match plain.test(&Sight::new(facts)) {
        Ok(answer) => assert_eq!(Ok(answer), general, "{}", rule.text()),
        Err(Stop::Fault(fault)) => assert_eq!(Err(fault.into()), general, "{}", rule.text()),
        Err(Stop::Handover) => assert_eq!(rule.allows(facts), general, "{}", rule.text()),
    }
}

proptest! {
    // Some 5000 comparisons: of the rules, the type check passes more than half.
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn both_forms_agree(texts in vec(condition(), 8), claims in json(), data in json(), absent in 0..12) {
        let rules = texts.iter().filter_map(|text| Rule::compile(text, &anything()).ok());
        let rules: Vec<Rule> = rules.collect();
        for (claims, data) in [(claims.clone(), data.clone()), (data, claims)] {
            let world = World::new(claims, data);
            let mut facts = world.facts();
            match absent {
                0 => facts.user = None,
                1 => facts.params = None,
                2 => facts.room = None,
                3 => facts.connection = None,
                4 => facts.data = None,
                5 => facts.data = facts.data.map(|data| DataFacts::Tree(data.tree())),
                _ => {}
            }
            rules.iter().for_each(|rule| compare(rule, &facts));
        }
    }
}

#[test]
fn what_rules_mostly_say_is_plain() {
    for (text, is_plain) in [
        ("true", true),
        ("user.id == params.room_id", true),
        ("user.id != 'nobody' && data.text.size() <= 4096", true),
        ("!('muted' in user.claims.roles)", true),
        (
            "user.claims.role == 'agent' || params.ticket in user.claims.tickets",
            true,
        ),
        (
            "user.claims.team.id in ['a', 'b'] && room.users_count < 50",
            true,
        ),
        ("has(user.claims.level) && user.claims.level >= 3", true),
        ("data.text.startsWith('/') || data.text.endsWith('!')", true),
        ("data.reply_to == null && !user.claims.muted", true),
        ("'page' in query && query['page'] != '2'", true),
        ("connection.ip == '127.0.0.1' && connection.age > 5", true),
        ("data.list[0] == 'a'", false),
        ("data.list.exists(x, x == 'a')", false),
        ("data.n + 1 > 2", false),
        ("data.text.matches('^a')", false),
        ("user.id == 'a' ? data.x : data.y", false),
        ("user.id.lowerAscii() == 'ann'", false),
        ("(data.a == data.b) == data.c", false),
        ("query[data.name] == '2'", false),
    ] {
        let rule = Rule::compile(text, &everything()).expect(text);
        assert_eq!(rule.compiled.plain.is_some(), is_plain, "{text}");
        // Each of these that is not plain reads data, except for one.
        let data_tree = !is_plain && !text.starts_with("user.id.lower");
        assert_eq!(rule.reads().data_tree, data_tree, "{text}");
    }
}

#[test]
fn what_is_not_there_at_all_is_the_same_failure() {
    let nothing = Facts::at(Timestamp::from_millis(5_000));
    for (text, expected) in [
        ("user.id == 'ann'", Err("`user` is not there")),
        ("sender.claims.a.b", Err("`sender` is not there")),
        ("params.ticket in ['t1']", Err("`params` is not there")),
        ("query.page == '2'", Err("`query` is not there")),
        ("path.client_id == '7'", Err("`path` is not there")),
        ("room.users_count < 3", Err("`room` is not there")),
        ("connection.ip == '::1'", Err("`connection` is not there")),
        ("has(data.x)", Err("`data` is not there")),
        ("code == 'schema'", Err("`code` is not there")),
        ("now == 5", Ok(true)),
        ("user.id == 'ann' || now == 5", Ok(true)),
        (
            "user.id == 'ann' && room.name == 'r'",
            Err("`user` is not there"),
        ),
    ] {
        let rule = Rule::compile(text, &anything()).expect(text);
        assert!(rule.compiled.plain.is_some(), "{text}");
        assert_eq!(
            agreed(&rule, &nothing),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn steps_run_out_at_the_same_place() {
    let many = "query.x in ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'h', 'i', 'j']";
    let mut answers = Vec::new();
    // A comparison of such a text with itself leaves from 15 steps down to none, and then not even those.
    for steps in [
        199_984, 199_988, 199_989, 199_991, 199_992, 199_998, 199_999, 200_000,
    ] {
        let long = "x".repeat(steps * 32);
        let world = World::new(json!({}), json!({"long": long}));
        for x in ["a", "h", "j", "none"] {
            let mut facts = world.facts();
            let query = [("x", x)].into_iter().collect();
            facts.query = Some(&query);
            for text in [
                format!("data.long != data.long || {many}"),
                format!("!({many}) || data.long != data.long"),
                "data.long != data.long || query.x == 'h' || query.x < 'i'".to_owned(),
            ] {
                let rule = Rule::compile(&text, &anything()).expect(&text);
                assert!(rule.compiled.plain.is_some(), "{text}");
                answers.push(agreed(&rule, &facts));
            }
        }
    }
    assert!(answers.contains(&Ok(true)) && answers.contains(&Ok(false)));
    assert!(answers.contains(&Err("it takes too many steps".to_owned())));
}

#[test]
fn long_texts_cost_the_same_steps() {
    let long = "x".repeat(3_000_000);
    let other = format!("{}y", "x".repeat(2_999_999));
    let world = World::new(json!({}), json!({"long": long, "other": other}));
    for (text, expected) in [
        ("data.long == data.other", Ok(false)),
        (
            "data.long != 'x' && data.long != 'y' && data.long != 'z'",
            Ok(true),
        ),
        (
            "data.long == data.other || data.long == data.long",
            Ok(true),
        ),
        (
            "data.long < data.other && data.long <= data.other && data.long != data.other",
            Err("it takes too many steps"),
        ),
        (
            "data.long.startsWith(data.other) || data.long.endsWith(data.long)",
            Ok(true),
        ),
        ("data.long.contains('y')", Err("it takes too many steps")),
        (
            "size(data.long) == 3000000 && size(data.other) == 3000000",
            Ok(true),
        ),
        (
            "size(data.long) == size(data.other) && data.long == data.other",
            Err("it takes too many steps"),
        ),
    ] {
        let rule = Rule::compile(text, &anything()).expect(text);
        assert!(rule.compiled.plain.is_some(), "{text}");
        assert_eq!(
            agreed(&rule, &world.facts()),
            expected.map_err(str::to_owned),
            "{text}"
        );
    }
}

#[test]
fn what_is_large_or_deep_is_handed_over() {
    let map = |len: usize| Value::Object((0..len).map(|n| (format!("k{n}"), n.into())).collect());
    for (text, data, is_handed_over) in [
        ("data.k63 == 63", map(64), false),
        ("data.k63 == 63", map(65), true),
        ("'k64' in data", map(65), true),
        ("data.a == data.b", json!({"a": [1], "b": [1.0]}), true),
        (
            "data.a in data.b",
            json!({"a": {"c": 1}, "b": [1, {"c": 1}]}),
            true,
        ),
        // Behind a failure that it may forgive, too.
        (
            "data.x.startsWith('a') || data.a == data.b",
            json!({"a": [1], "b": [1]}),
            true,
        ),
    ] {
        let world = World::new(json!({}), data);
        let rule = Rule::compile(text, &anything()).expect(text);
        let plain = rule.compiled.plain.as_ref().expect(text);
        let answer = plain.test(&Sight::new(&world.facts()));
        assert_eq!(answer == Err(Stop::Handover), is_handed_over, "{text}");
        assert_eq!(world.tree.get(), None, "{text}");
        assert_eq!(agreed(&rule, &world.facts()), Ok(true), "{text}");
    }
}

#[test]
fn a_plain_rule_makes_no_tree() {
    let world = World::new(json!({}), json!({"text": "hello", "tags": ["a", "b"]}));
    let text = "data.text.size() <= 5 && 'b' in data.tags && has(data.text) && data.none != 3";
    let rule = Rule::compile(text, &anything()).expect(text);
    assert_eq!(rule.allows(&world.facts()), Ok(true));
    assert_eq!(rule.reads(), Reads::default());
    assert_eq!(world.tree.get(), None);
}

#[test]
fn addresses_and_ids_are_the_same_text() {
    let world = World::new(json!({}), json!({}));
    let mut facts = world.facts();
    for ip in [
        "::1",
        "1.2.3.4",
        "2001:db8:1111:2222:3333:4444:5555:6666",
        "::ffff:255.255.255.255",
    ] {
        let mut connection = facts.connection.expect("there is one");
        connection.ip = ip.parse().expect(ip);
        facts.connection = Some(connection);
        let text = format!("connection.ip == '{ip}' && connection.id.endsWith('05')");
        let rule = Rule::compile(&text, &anything()).expect(&text);
        assert!(rule.compiled.plain.is_some(), "{text}");
        assert_eq!(agreed(&rule, &facts), Ok(true), "{text}");
    }
}
