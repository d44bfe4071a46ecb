//! What the check says.

use serde_json::json;
use std::sync::Arc;

use super::{anything, everything, lines};
use crate::rule::{Expression, Known, Rule};

fn problems(text: &str, known: &Known) -> Vec<String> {
    Rule::compile(text, known).map_or_else(|problems| lines(text, &problems), |_| Vec::new())
}

#[test]
fn good_rules_pass() {
    for text in [
        "true",
        "!('muted' in user.claims.roles)",
        "user.claims.role == 'agent' || params.ticket in user.claims.tickets",
        "user.id == params.room_id",
        "user['id'] == params[\"room_id\"] && 'page' in query && query[data.name] == 'x'",
        "user.claims.team.id == query.team",
        "user.claims.free.whatever == 1",
        "user.claims.level >= 2.5 && user.claims['level'] + 1 == 3",
        "user.authenticated && !sender.authenticated",
        "room.users_count < 10 && room.name.startsWith('room:')",
        "connection.ip == '127.0.0.1' && connection.age > 5 && connection.endpoint != connection.id",
        "data.items.all(item, item.price > 0 && item.name.size() < 10)",
        "data.a.filter(x, x > 1).exists(x, x == 2)",
        "data.a.map(x, x.ok, x.name) == ['a']",
        "has(data.a.b) ? data.a.b : code == 'x'",
        "user.claims.roles.exists(role, role.matches('^mod-[a-z]+$'))",
        "matches(user.id, r'^\\d+$') && size(data.text) < 10 && now > 5",
        "user.claims.role == null && data != null",
        "{'a': [1, 2.5, -3]}.a[0] == 1 && dyn(1) == 'x'",
        "data.admin",
        "query.page.size() > 0 // a comment",
        "int(query.page) % 2 == 0 && string(now) + 'x' != 'y' && bool('true') && double('1') < 2",
        "user.username.lowerAscii() == 'ann' || message.upperAscii() == 'X'",
    ] {
        assert_eq!(
            problems(text, &everything()),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn names_and_fields() {
    for (text, expected) in [
        (
            "usr.id == 'a'",
            "unknown-name [usr] nothing is called `usr` / did you mean `user`?",
        ),
        (
            "user.claims.role == agent",
            "unknown-name [agent] nothing is called `agent` / text stands in quotes: `'agent'`",
        ),
        (
            "username == 'a'",
            "unknown-name [username] nothing is called `username` / did you mean `user.username`?",
        ),
        (
            "user.name == 'a'",
            "unknown-field [name] `user` has no `name` / it has `id`, `username`, `authenticated`, `claims`",
        ),
        (
            "user.user_name == 'a'",
            "unknown-field [user_name] `user` has no `user_name` / did you mean `username`?",
        ),
        (
            "'x' in user.claims.rolse",
            "unknown-field [rolse] `user.claims` has no `rolse` / did you mean `role`?",
        ),
        (
            "user . claims . plan == 'x'",
            "unknown-field [plan] `user.claims` has no `plan` / declare `plan` in the `claims:` of the auth mode; declared are `free`, `level`, `muted`, `role`, `roles`, `team`, `tickets`",
        ),
        (
            "user.claims['rols'] == []",
            "unknown-field ['rols'] `user.claims` has no `rols` / did you mean `role`?",
        ),
        (
            "user.claims.team.ids == 'x'",
            "unknown-field [ids] `user.claims.team` has no `ids` / did you mean `id`?",
        ),
        (
            "path.cliend_id == 'x'",
            "unknown-field [cliend_id] `path` has no `cliend_id` / did you mean `client_id`?",
        ),
        (
            "has(params.x)",
            "unknown-field [x] `params` has no `x` / it has `room_id`, `ticket`",
        ),
        (
            "room.size == 1",
            "unknown-field [size] `room` has no `size` / it has `name`, `users_count`",
        ),
        (
            "user == 'a'",
            "type-mismatch [user] `user` is not a value of its own / read one of its fields: `user.id`, `user.username`, `user.authenticated`, `user.claims`",
        ),
        (
            "query == 'a'",
            "type-mismatch [query] `query` is not a value of its own",
        ),
        ("user.id.x == 'a'", "type-mismatch [x] text has no fields"),
        (
            "data.all(x, y == x)",
            "unknown-name [y] nothing is called `y` / did you mean `x`?",
        ),
    ] {
        assert_eq!(problems(text, &everything()), [expected], "{text}");
    }
}

#[test]
fn what_exists_elsewhere_is_said() {
    let known = Known {
        user: true,
        query: true,
        ..Known::default()
    };
    for (text, expected) in [
        (
            "params.x == 'a'",
            "unavailable-here [params] `params` does not exist here / a rule here sees `user`, `query`, `now`",
        ),
        (
            "data.x == 'a'",
            "unavailable-here [data] `data` does not exist here / a rule here sees `user`, `query`, `now`",
        ),
        (
            "'x' in path",
            "unavailable-here [path] `path` does not exist here / a rule here sees `user`, `query`, `now`",
        ),
    ] {
        assert_eq!(problems(text, &known), [expected], "{text}");
    }
}

#[test]
fn kinds_have_to_fit() {
    for (text, expected) in [
        (
            "user.id == 5",
            "type-mismatch [user.id == 5] this can never be equal: text on the left, a whole number on the right / write `'5'`",
        ),
        (
            "user.id",
            "not-a-condition [user.id] a rule answers yes or no, and this is text / compare it with something, as in `user.id == '7'`",
        ),
        (
            "!user.id",
            "type-mismatch [user.id] `!` wants a condition, and this is text",
        ),
        (
            "user.authenticated && room.users_count",
            "type-mismatch [room.users_count] `&&` wants a condition, and this is a whole number",
        ),
        (
            "user.id < 5",
            "type-mismatch [user.id < 5] `<` cannot compare text with a whole number",
        ),
        (
            "'a' + now == 'a1'",
            "type-mismatch ['a' + now] `+` does not work with text and a whole number / convert with `string(…)`",
        ),
        (
            "user.id - 1 == 0",
            "type-mismatch [user.id - 1] `-` does not work with text and a whole number",
        ),
        (
            "now % 1.5 == 0",
            "type-mismatch [now % 1.5] `%` does not work with a whole number and a number",
        ),
        (
            "-user.id == 0",
            "type-mismatch [user.id] `-` wants a number, and this is text",
        ),
        (
            "5 in user.claims.roles",
            "type-mismatch [5 in user.claims.roles] this can never be true: a whole number is not in a list whose elements are text",
        ),
        (
            "'a' in user.id",
            "type-mismatch [user.id] `in` looks into a list or a map, and this is text / write `text.contains(part)`",
        ),
        (
            "null in user.claims.roles",
            "type-mismatch [null in user.claims.roles] null is never `in` a list / write `== null`",
        ),
        (
            "data.x in ['a', null]",
            "type-mismatch [data.x in ['a', null]] null is never `in` a list / write `== null`",
        ),
        (
            "user.claims.roles.contains('x')",
            "type-mismatch [user.claims.roles] `contains` looks into text, and this is a list / write `element in list`",
        ),
        (
            "user.id.startsWith(1)",
            "type-mismatch [1] `startsWith` looks for text, and this is a whole number",
        ),
        (
            "room.users_count.endsWith('a')",
            "type-mismatch [room.users_count] `endsWith` looks at text, and this is a whole number",
        ),
        (
            "size(now) == 1",
            "type-mismatch [now] `size` does not work with a whole number",
        ),
        (
            "user.id.all(x, x == 'a')",
            "type-mismatch [user.id] `all` goes through a list or a map, and this is text",
        ),
        (
            "user.claims.roles.exists(r, r == 1)",
            "type-mismatch [r == 1] this can never be equal: text on the left, a whole number on the right / write `'1'`",
        ),
        (
            "user.claims.roles.exists(r)",
            "type-mismatch [exists] `exists` wants a name and a condition, as in `exists(x, x == 'a')`",
        ),
        (
            "user.claims.roles['a'] == 'b'",
            "type-mismatch ['a'] a list has no fields",
        ),
        (
            "user.claims.roles[user.id] == 'b'",
            "type-mismatch [user.id] a list is indexed by a whole number, and this is text",
        ),
        (
            "{1: 2} == data",
            "type-mismatch [1] a map's key is text, and this is a whole number",
        ),
        (
            "has(data)",
            "type-mismatch [data] `has` asks for a field / write `has(data.field)`",
        ),
        (
            "user.id.startsWith()",
            "type-mismatch [user.id.startsWith()] `startsWith` wants 1 argument, and has 0",
        ),
        (
            "size(user.id, 1) == 1",
            "type-mismatch [size(user.id, 1)] `size` wants 1 argument, and has 2",
        ),
        (
            "1 % 0 in [1]",
            "always-fails [1 % 0] this can never be computed: `%` by zero",
        ),
        (
            "1 / 0 == 1",
            "always-fails [1 / 0] this can never be computed: `/` by zero",
        ),
        (
            "int('x') == 1",
            "always-fails [int('x')] this can never be computed: `int` cannot read this text",
        ),
        (
            "{'a': 1, 'a': 2} == data",
            "always-fails [{'a': 1, 'a': 2}] this can never be computed: a map has the same key twice",
        ),
        (
            "data.a.exists(x, data.b.exists(y, x == y))",
            "too-complex [exists] `exists` stands inside the body of another loop",
        ),
        (
            "user.id.matches('(')",
            "bad-pattern ['('] the pattern cannot be read: unclosed group",
        ),
        (
            "user.id.matches(data.pattern)",
            "bad-pattern [data.pattern] the pattern of `matches` has to stand here as text",
        ),
        (
            "user.id.matches('(a{1000}){1000}')",
            "bad-pattern ['(a{1000}){1000}'] the pattern is too large",
        ),
    ] {
        assert_eq!(problems(text, &everything()), [expected], "{text}");
    }
}

#[test]
fn functions_have_names() {
    for (text, expected) in [
        (
            "len(user.id) > 1",
            "unknown-function [len] no function is called `len` / did you mean `size(x)`?",
        ),
        (
            "user.id.starts_with('a')",
            "unknown-function [starts_with] no function is called `starts_with` / did you mean `x.startsWith(…)`?",
        ),
        (
            "contains(user.id, 'a')",
            "unknown-function [contains] no function is called `contains` / did you mean `x.contains(…)`?",
        ),
        (
            "user.id.lower() == 'a'",
            "unknown-function [lower] no function is called `lower` / did you mean `x.lowerAscii(…)`?",
        ),
        (
            "data.x.string() == 'a'",
            "unknown-function [string] no function is called `string` / did you mean `string(x)`?",
        ),
        (
            "frobnicate(1)",
            "unknown-function [frobnicate] no function is called `frobnicate` / there are size, string, int, double, bool, has, matches and the methods size, contains, startsWith, endsWith, matches, lowerAscii, upperAscii, all, exists, exists_one, filter, map",
        ),
    ] {
        assert_eq!(problems(text, &everything()), [expected], "{text}");
    }
}

#[test]
fn syntax_is_explained() {
    for (text, expected) in [
        (
            "",
            "syntax [] there is nothing here / write a condition, or `true` for always",
        ),
        ("user.id ==", "syntax [==] a value is missing after `==`"),
        (
            "user.id = 'a'",
            "syntax [=] `=` is not how CEL says it / write `==`",
        ),
        (
            "user.id === 'a'",
            "syntax [=] `=` is not how CEL says it / write `==`",
        ),
        (
            "true & true",
            "syntax [&] `&` is not how CEL says it / write `&&`",
        ),
        (
            "true and false",
            "syntax [and] `and` is not how CEL says it / write `&&`",
        ),
        (
            "'x' not in data",
            "syntax [not] `not` is not how CEL says it / write `!`",
        ),
        (
            "'é' == 'é' x",
            "syntax [x] `x` is not expected here / join two conditions with `&&` or `||`",
        ),
        (
            "user.id == 'abc",
            "syntax ['abc] the quote that opens here is never closed",
        ),
        ("(user.id == 'a'", "syntax [(] `(` is never closed"),
        ("user.id == 'a')", "syntax [)] `)` closes nothing"),
        ("[1}", "syntax [}] `}` closes nothing"),
        ("if == 1", "syntax [if] `if` is a reserved word, not a name"),
        ("user.", "syntax [.] a name is missing after `.`"),
        (
            "data.in == 1",
            "syntax [in] `in` is a reserved word, not a field / write `x['in']`",
        ),
        ("$x == 1", "syntax [$] `$` has no meaning in a rule"),
        ("é == 1", "syntax [é] `é` has no meaning in a rule"),
        (
            "data.x == 99999999999999999999",
            "syntax [99999999999999999999] `99999999999999999999` is not a number that fits 64 bits, or does not belong here",
        ),
        (
            "data.x == '\\d'",
            "syntax ['\\d'] the text has a `\\` that CEL does not know / write `\\\\` for a backslash, or put `r` before the quote: `r'\\d+'`",
        ),
        (
            "data.x ? 1",
            "syntax [1] the text ends too early, after `1`",
        ),
        (
            "data.x == 'a'\n  &&",
            "syntax [&&] a value is missing after `&&`",
        ),
        (
            "data.x == 5u",
            "syntax [5u] rules do not have an unsigned number",
        ),
        (
            "b'a' == data.x",
            "syntax [b'a'] rules do not have text as bytes",
        ),
        (
            "Point{x: 1} == data",
            "syntax [{x: 1}] rules do not have a message with a type's name",
        ),
        ("data.?x == 1", "syntax [.] a name is missing after `.`"),
    ] {
        assert_eq!(problems(text, &everything()), [expected], "{text}");
    }
}

#[test]
fn bounds_are_kept() {
    let deep_list = format!("{}{} == data", "[".repeat(33), "]".repeat(33));
    let deep_choice = format!("{}true", "data.a ? true : ".repeat(70));
    let deep_sum = format!("1{} == 2", " + 1".repeat(70));
    for (text, message) in [
        ("x".repeat(5000), "the rule has 5000 bytes, more than 4096"),
        (
            "[1".to_owned() + &",1".repeat(600),
            "the rule has more than 1000 words and signs",
        ),
        (deep_list, "more than 32 brackets stand inside each other"),
        (deep_choice, "too many operations stand inside each other"),
        (deep_sum, "more than 64 operations stand inside each other"),
        (
            format!("data{}", ".a".repeat(490)),
            "more than 64 operations stand inside each other",
        ),
        (
            format!("data{}", "[0]".repeat(300)),
            "more than 64 operations stand inside each other",
        ),
        (
            format!("{}data", "!-".repeat(300)),
            "too many operations stand inside each other",
        ),
    ] {
        let problems = Rule::compile(&text, &everything())
            .err()
            .unwrap_or_default();
        assert_eq!(
            problems
                .iter()
                .map(|problem| problem.message.as_str())
                .collect::<Vec<_>>(),
            [message],
            "{text}"
        );
    }
    let wide = format!("data.x == 1{}", " || data.x == 1".repeat(150));
    assert!(Rule::compile(&wide, &everything()).is_ok());
}

#[test]
fn all_problems_are_reported_in_order() {
    let text = "usr.id == 1 && user.claims.rolse == 'a' && user.id == 5 && foo(params.x)";
    let codes: Vec<String> = problems(text, &everything())
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        codes,
        [
            "unknown-name",
            "unknown-field",
            "type-mismatch",
            "unknown-function",
            "unknown-field"
        ]
    );
}

#[test]
fn claims_follow_their_schemas() {
    let known = |schemas: &[serde_json::Value]| Known {
        claims: schemas.iter().cloned().map(Arc::new).collect(),
        ..anything()
    };
    let roles = json!({"type": "object", "properties": {"roles": {"type": "array", "items": {"type": "string"}}}});
    let open = json!({"type": "object", "properties": {"roles": {"type": "string"}}, "additionalProperties": true});
    let closed = json!({"properties": {"plan": {"type": "string"}}, "additionalProperties": false});
    let by_reference = json!({"$ref": "claims.json"});
    for (schemas, text, fits) in [
        (vec![], "user.claims.plan == 5", true),
        (vec![roles.clone()], "user.claims.plan == 5", false),
        (vec![open.clone()], "user.claims.plan == 5", true),
        (
            vec![roles.clone(), closed.clone()],
            "user.claims.plan == 'a' && 'a' in user.claims.roles",
            true,
        ),
        (
            vec![roles.clone(), closed.clone()],
            "user.claims.plan == 5",
            false,
        ),
        (
            vec![roles.clone(), closed],
            "user.claims.paln == 'a'",
            false,
        ),
        (
            vec![roles.clone(), open],
            "user.claims.roles == 'a' && 'a' in user.claims.roles",
            true,
        ),
        (vec![roles, by_reference], "user.claims.anything == 5", true),
    ] {
        assert_eq!(
            Rule::compile(text, &known(&schemas)).is_ok(),
            fits,
            "{text} {schemas:?}"
        );
    }
}

#[test]
fn constants_are_known() {
    for (text, expected) in [
        ("true", Some(true)),
        ("1 < 2 && 'a' in ['a']", Some(true)),
        ("false && user.id == 'a'", Some(false)),
        ("data.x || true", Some(true)),
        ("'a' == 'b'", Some(false)),
        ("!(null == null)", Some(false)),
        ("[1, 2].all(x, true)", Some(true)),
        ("[1, 2].all(x, x > 0)", None),
        ("user.id == user.id", None),
        ("'ann' == user.id", None),
        ("true ? false : user.authenticated", Some(false)),
        ("'abc'.matches('b') && size('é') == 1", Some(true)),
    ] {
        assert_eq!(
            Rule::compile(text, &everything()).expect(text).constant(),
            expected,
            "{text}"
        );
    }
    for (text, expected) in [
        ("data", true),
        (" ( data ) ", true),
        ("data.x", false),
        ("{'data': data}", false),
    ] {
        assert_eq!(
            Expression::compile(text, &everything())
                .expect(text)
                .is_data(),
            expected,
            "{text}"
        );
    }
}
