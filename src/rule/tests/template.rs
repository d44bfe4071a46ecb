//! What templates become.

use serde_json::json;

use super::{World, anything, everything, lines};
use crate::rule::Template;

#[test]
fn templates_are_rendered() {
    let world = World::new(
        json!({}),
        json!({"text": "hi {you}", "n": 3, "d": 0.5, "list": [1, "a"], "no": null}),
    );
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("room:{path.client_id}", "room:7"),
        (
            "Client #{path.client_id} says: {data.text}",
            "Client #7 says: hi {you}",
        ),
        ("{{}} {{{user.id}}}", "{} {ann}"),
        (
            "{data.n}{data.d}{data.no}{data.none}{data.n > 2}{data.list}",
            "30.5true[1,\"a\"]",
        ),
        ("{'}' + \"{\" + { 'a': '}' }.a}", "}{}"),
        ("{ {'a': 'x'}['a'] }é{user.username}", "xéAnn"),
        ("{data.list.map(x, x)[1]}", "a"),
    ] {
        let template = Template::compile(text, &anything())
            .unwrap_or_else(|problems| panic!("{:?}", lines(text, &problems)));
        assert_eq!(
            template
                .render(&world.facts())
                .map_err(|failure| failure.to_string()),
            Ok(expected.to_owned()),
            "{text}"
        );
        assert_eq!(template.text(), text);
    }
    let failing = Template::compile("{data.text + data.none}", &anything()).expect("a template");
    assert!(failing.render(&world.facts()).is_err());
}

#[test]
fn templates_are_checked() {
    for (text, expected) in [
        (
            "a {usr.id} b {user.nam}",
            vec![
                "unknown-name [usr] nothing is called `usr` / did you mean `user`?",
                "unknown-field [nam] `user` has no `nam` / it has `id`, `username`, `authenticated`, `claims`",
            ],
        ),
        (
            "a } b",
            vec!["syntax [}] this brace closes nothing / write `}}` for a brace"],
        ),
        (
            "a { b",
            vec!["syntax [{] this brace is never closed / write `{{` for a brace"],
        ),
        (
            "a { } b",
            vec!["syntax [{ }] nothing stands between the braces / write `{{` for a brace"],
        ),
        (
            "é{user.claims.roles}",
            vec![
                "type-mismatch [user.claims.roles] a template is made of text and numbers, and this is a list",
            ],
        ),
        (
            "{user.id =}",
            vec!["syntax [=] `=` is not how CEL says it / write `==`"],
        ),
    ] {
        let problems = Template::compile(text, &everything())
            .err()
            .unwrap_or_default();
        assert_eq!(lines(text, &problems), expected, "{text}");
    }
}

#[test]
fn templates_show_their_shape() {
    for (text, constant, shape) in [
        ("room:lobby", Some("room:lobby"), "room:lobby"),
        ("", Some(""), ""),
        ("{'a' + 'b'}{{", Some("ab{"), "ab{"),
        ("user:{data.to}:{user.id}", None, "user:*:*"),
    ] {
        let template = Template::compile(text, &anything()).expect(text);
        assert_eq!(template.constant(), constant, "{text}");
        assert_eq!(template.with_placeholder("*"), shape, "{text}");
    }
}
