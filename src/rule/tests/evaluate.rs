//! What rules answer.

use serde_json::{Value, json};

use super::{World, anything, everything};
use crate::rule::{Expression, Facts, Rule};
use crate::vocab::Timestamp;

fn answers(table: &[(&str, Value, Value, Result<bool, &str>)]) {
    for (text, claims, data, expected) in table {
        let world = World::new(claims.clone(), data.clone());
        let rule = Rule::compile(text, &anything()).expect(text);
        for answer in [
            rule.allows(&world.facts()),
            rule.allows_generally(&world.facts()),
        ] {
            assert_eq!(
                answer.map_err(|failure| failure.to_string()),
                expected.map_err(str::to_owned),
                "{text} {claims} {data}"
            );
        }
    }
}

#[test]
fn the_examples_mean_what_they_say() {
    let muted = "!('muted' in user.claims.roles)";
    let desk = "user.claims.role == 'agent' || params.ticket in user.claims.tickets";
    for (text, claims, expected) in [
        (muted, json!({}), true),
        (muted, json!({"roles": []}), true),
        (muted, json!({"roles": ["mod"]}), true),
        (muted, json!({"roles": ["mod", "muted"]}), false),
        (desk, json!({"role": "agent"}), true),
        (desk, json!({"tickets": ["t0", "t1"]}), true),
        (desk, json!({"role": "customer", "tickets": ["t0"]}), false),
        (desk, json!({}), false),
        ("user.id == params.room_id", json!({}), false),
        ("user.claims.level >= 3", json!({"level": 3}), true),
        ("user.claims.level >= 3", json!({}), false),
        ("!user.claims.muted", json!({}), true),
        ("user.claims.muted", json!({}), false),
    ] {
        let world = World::new(claims.clone(), json!(null));
        let rule = Rule::compile(text, &everything()).expect(text);
        assert_eq!(rule.allows(&world.facts()), Ok(expected), "{text} {claims}");
    }
}

#[test]
fn facts_are_seen() {
    for text in [
        "user.id == 'ann' && user.username == 'Ann' && user.authenticated && sender.id == user.id",
        "path.client_id == '7' && query.page == '2' && query['page'] == '2' && 'page' in query",
        "params.room_id == '42' && params[data.name] == 't1'",
        "room.name == 'room:42' && room.users_count == 3",
        "connection.ip == '127.0.0.1' && connection.age == 1 && connection.endpoint == '/ws/{client_id}'",
        "connection.id == '00000000000000000000000000000005'",
        "now == 1000 && code == 'schema' && message == 'no text'",
        "data.name == 'ticket'",
        "!has(query.none) && query.none == null && !('none' in query) && query.none != '2'",
    ] {
        let world = World::new(json!({}), json!({"name": "ticket"}));
        let rule = Rule::compile(text, &everything()).expect(text);
        assert_eq!(rule.allows(&world.facts()), Ok(true), "{text}");
    }
}

#[test]
fn what_is_absent_is_null() {
    answers(&[
        ("data.x == data.y", json!({}), json!({}), Ok(false)),
        ("data.x != data.y", json!({}), json!({}), Ok(true)),
        ("data.x == null", json!({}), json!({}), Ok(true)),
        ("data.x == null", json!({}), json!({"x": null}), Ok(true)),
        ("data.x != null", json!({}), json!({"x": 0}), Ok(true)),
        ("has(data.x)", json!({}), json!({"x": null}), Ok(false)),
        ("has(data.x.y.z)", json!({}), json!({}), Ok(false)),
        ("'x' in data", json!({}), json!({"x": null}), Ok(true)),
        ("data.x.y == 1", json!({}), json!({}), Ok(false)),
        (
            "data.list[3] == 1",
            json!({}),
            json!({"list": [1]}),
            Ok(false),
        ),
        (
            "data.list[-1] == null",
            json!({}),
            json!({"list": [1]}),
            Ok(true),
        ),
        ("data.x < 1 || data.x >= 1", json!({}), json!({}), Ok(false)),
        (
            "data.x in data.y",
            json!({}),
            json!({"y": [null]}),
            Ok(false),
        ),
        ("data.x in data.y", json!({}), json!({"x": 1}), Ok(false)),
        ("data.x.exists(x, true)", json!({}), json!({}), Ok(false)),
        ("data.x.all(x, false)", json!({}), json!({}), Ok(true)),
        ("[data.x] == [null]", json!({}), json!({}), Ok(true)),
        (
            "user.claims.team == query.team",
            json!({}),
            json!({}),
            Ok(false),
        ),
        ("data.x ? true : false", json!({}), json!({}), Ok(false)),
        (
            "data.x.startsWith('a')",
            json!({}),
            json!({}),
            Err("startsWith does not work with null"),
        ),
        (
            "size(data.x) == 0",
            json!({}),
            json!({}),
            Err("size does not work with null"),
        ),
        (
            "data.x + 1 == 1",
            json!({}),
            json!({}),
            Err("+ does not work with null"),
        ),
        (
            "data.x.matches('a')",
            json!({}),
            json!({}),
            Err("matches does not work with null"),
        ),
    ]);
}

#[test]
fn failures_deny_and_are_forgiven_where_they_do_not_decide() {
    answers(&[
        (
            "data.x.size() == 0 || data.ok",
            json!({}),
            json!({"ok": true}),
            Ok(true),
        ),
        (
            "data.ok || data.x.size() == 0",
            json!({}),
            json!({"ok": true}),
            Ok(true),
        ),
        (
            "data.x.size() == 0 && data.ok",
            json!({}),
            json!({"ok": false}),
            Ok(false),
        ),
        (
            "data.x.size() == 0 && data.ok",
            json!({}),
            json!({"ok": true}),
            Err("size does not work with null"),
        ),
        (
            "data.a.exists(x, x.startsWith('b'))",
            json!({}),
            json!({"a": [1, "b"]}),
            Ok(true),
        ),
        (
            "data.a.exists(x, x.startsWith('b'))",
            json!({}),
            json!({"a": [1]}),
            Err("startsWith does not work with a whole number"),
        ),
        (
            "data.a.all(x, x.startsWith('b'))",
            json!({}),
            json!({"a": [1, "c"]}),
            Ok(false),
        ),
        (
            "data.x",
            json!({}),
            json!({"x": "yes"}),
            Err("a condition does not work with text"),
        ),
        (
            "data.x.y == 1",
            json!({}),
            json!({"x": 5}),
            Err("reading a field does not work with a whole number"),
        ),
        (
            "data.x < 5",
            json!({}),
            json!({"x": "a"}),
            Err("comparing does not work with text"),
        ),
        (
            "data.x in data.y",
            json!({}),
            json!({"x": "a", "y": "abc"}),
            Err("`in` does not work with text"),
        ),
        (
            "data.x + 1 > 0",
            json!({}),
            json!({"x": i64::MAX}),
            Err("`+` leaves the range of numbers"),
        ),
        (
            "-data.x > 0",
            json!({}),
            json!({"x": i64::MIN}),
            Err("`-` leaves the range of numbers"),
        ),
        (
            "data.x / data.y > 0",
            json!({}),
            json!({"x": i64::MIN, "y": -1}),
            Err("`/` leaves the range of numbers"),
        ),
        (
            "data.x % data.y > 0",
            json!({}),
            json!({"x": 1, "y": 0}),
            Err("`%` by zero"),
        ),
        (
            "int(data.x) > 0",
            json!({}),
            json!({"x": 1e300}),
            Err("`int` leaves the range of numbers"),
        ),
    ]);
    let rule = Rule::compile("user.id == 'ann'", &anything()).expect("a rule");
    let failure = rule
        .allows(&Facts::at(Timestamp::from_millis(0)))
        .expect_err("no user");
    assert_eq!(failure.to_string(), "`user` is not there");
}

#[test]
fn values_are_computed() {
    let world = World::new(
        json!({"roles": ["a", "b"], "big": 18_446_744_073_709_551_615u64}),
        json!({"n": 3, "d": 2.5, "list": [1, 2.0, "x"], "map": {"k": 1, "l": 2}, "text": "Élan"}),
    );
    for (text, expected) in [
        ("data.n + 1", json!(4)),
        ("data.n * data.d", json!(7.5)),
        ("data.n / 2", json!(1)),
        ("-data.n % 2", json!(-1)),
        ("data.n / 2.0", json!(1.5)),
        ("data.text.size()", json!(4)),
        (
            "data.text.lowerAscii() + '!' + string(data.n) + string(data.d) + string(true)",
            json!("Élan!32.5true"),
        ),
        ("data.list + ['y']", json!([1, 2.0, "x", "y"])),
        (
            "data.list.filter(x, x != 'x').map(x, x * 2)",
            json!([2, 4.0]),
        ),
        ("data.list.map(x, x != 'x', x + 1)", json!([2, 3.0])),
        ("data.list.exists_one(x, x == 2)", json!(true)),
        ("data.map.map(k, k)", json!(["k", "l"])),
        ("data.map == {'l': 2, 'k': 1.0}", json!(true)),
        (
            "{'type': 'echo', 'data': data.n, 'user': user.id, 'none': data.none}",
            json!({"type": "echo", "data": 3, "user": "ann", "none": null}),
        ),
        (
            "[data.map, user.claims.roles[1]]",
            json!([{"k": 1, "l": 2}, "b"]),
        ),
        ("data.n > 2 ? 'many' : 'few'", json!("many")),
        ("user.claims.big > 9223372036854775807", json!(true)),
        ("int('12') + int(2.9) + int(data.d)", json!(16)),
        ("data.list[data.n - 1]", json!("x")),
        (
            "data.map['l'] + data[data.none == null ? 'n' : 'd']",
            json!(5),
        ),
        (
            "user.claims",
            json!({"roles": ["a", "b"], "big": 18_446_744_073_709_551_615u64}),
        ),
    ] {
        let expression = Expression::compile(text, &anything()).expect(text);
        assert_eq!(
            expression
                .evaluate(&world.facts())
                .map_err(|failure| failure.to_string()),
            Ok(expected),
            "{text}"
        );
    }
    let infinite = Expression::compile("1.0 / 0.0", &anything()).expect("an expression");
    assert!(infinite.evaluate(&world.facts()).is_err());
}

#[test]
fn steps_and_bytes_are_bounded() {
    let long = "x".repeat(60_000);
    let world = World::new(
        json!({}),
        json!({"list": vec![1; 30_000], "long": long, "texts": vec![long.as_str(); 100]}),
    );
    for (text, expected) in [
        ("data.list.all(x, x > 0)", Ok(true)),
        (
            "data.list.all(x, x > 0 && x < 2 && x != 3 && x != 4)",
            Err("it takes too many steps"),
        ),
        ("data.list.all(x, x in data.list)", Ok(true)),
        (
            "data.list.exists(x, 2 in data.list)",
            Err("it takes too many steps"),
        ),
        (
            "data.list.exists(x, data.long.contains('y'))",
            Err("it takes too many steps"),
        ),
        (
            "data.list.exists(x, data.long.matches('y'))",
            Err("it takes too many steps"),
        ),
        (
            "data.list.exists(x, data.long == data.long + 'y')",
            Err("it makes too much text or too many values"),
        ),
        (
            "data.list.map(x, data.long + data.long).size() == 0",
            Err("it makes too much text or too many values"),
        ),
        (
            "data.texts.exists(x, x.startsWith(data.long + data.long))",
            Err("it makes too much text or too many values"),
        ),
    ] {
        let rule = Rule::compile(text, &anything()).expect(text);
        let answer = rule
            .allows(&world.facts())
            .map_err(|failure| failure.to_string());
        assert_eq!(answer, expected.map_err(str::to_owned), "{text}");
    }
    let copies = format!("[{}]", vec!["data.long"; 100].join(","));
    let expression = Expression::compile(&copies, &anything()).expect("an expression");
    assert!(expression.evaluate(&world.facts()).is_err());
}
