//! The command line as a table: what is typed, what stands on both outputs, how it exits.

use std::io::pipe;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a-test-secret-of-at-least-32-bytes!!";

const GOOD: &str = r#"version: 1
server: {listen: 127.0.0.1:0}
auth:
  guest: {anonymous: {}}
  member:
    jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", credential: {query: token}, user_id: sub, username: name}
    claims: {type: object, properties: {roles: {type: array, items: {type: string}}}}
  nameless:
    jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", credential: {query: token}, user_id: sub}
messages:
  hello: {schema: {type: object}, to: sender}
endpoints:
  /ws: {auth: [member, nameless, guest], messages: [hello]}
"#;

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    out: String,
    err: String,
    exit: Option<i32>,
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("writes");
    }
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("JWT_SECRET", SECRET)
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(folder, arguments).output().expect("it runs");
    Ran {
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        exit: output.status.code(),
    }
}

/// Checks both outputs whole.
fn check(folder: &Path, arguments: &[&str], out: &str, err: &str, exit: i32) {
    let expected = Ran {
        out: out.to_owned(),
        err: err.to_owned(),
        exit: Some(exit),
    };
    assert_eq!(run(folder, arguments), expected, "trunkline {arguments:?}");
}

#[test]
fn what_cannot_run_says_why_and_exits_with_2() {
    let folder = folder(&[("channels.yaml", GOOD)]);
    let path = folder.path();
    let no_file = "error: cannot read nope.yaml: there is no such file\n";
    for arguments in [
        &["check", "nope.yaml"][..],
        &["serve", "nope.yaml"],
        &["check", "--format", "json", "nope.yaml"],
        &["check", "channels.yaml", "nope.yaml"],
        &["token", "nope.yaml", "--auth", "member", "--user-id", "7"],
    ] {
        check(path, arguments, "", no_file, 2);
    }
    let usage = "\n\nFor more information, try '--help'.\n";
    for (arguments, err) in [
        (
            &["check", "."][..],
            "error: cannot read .: it is a folder\n".to_owned(),
        ),
        (
            &["frob"],
            format!("error: unrecognized subcommand 'frob'\n\nUsage: trunkline <COMMAND>{usage}"),
        ),
        (
            &["check", "--deny", "everything"],
            format!("error: invalid value 'everything' for '--deny <WHAT>'\n  [possible values: warnings]{usage}"),
        ),
        (
            &["token", "--auth", "member", "--user-id", "7", "--expires", "60"],
            format!("error: invalid value '60' for '--expires <DURATION>': the unit is missing: did you mean `60s`?{usage}"),
        ),
        (
            &["token", "--auth", "member", "--user-id", "7", "--claim", "roles"],
            format!("error: invalid value 'roles' for '--claim <NAME=VALUE>': write NAME=VALUE{usage}"),
        ),
        (
            &["token", "--auth", "membr", "--user-id", "7"],
            "error: channels.yaml has no auth mode `membr`: did you mean `member`?\n".into(),
        ),
        (
            &["token", "--auth", "xyz", "--user-id", "7"],
            "error: channels.yaml has no auth mode `xyz`: its `jwt` modes are `member`, `nameless`\n".into(),
        ),
        (
            &["token", "--auth", "guest", "--user-id", "7"],
            "error: the auth mode `guest` does not take tokens: only `jwt` modes do\n".into(),
        ),
        (
            &["token", "--auth", "nameless", "--user-id", "7", "--username", "Ann"],
            "error: the auth mode `nameless` has no `username`: no claim is read as the name to show\n".into(),
        ),
        (
            &["explain", "plan/not-supported-ye"],
            "error: there is no code `plan/not-supported-ye`: did you mean `plan/not-supported-yet`?\n".into(),
        ),
        (
            &["explain", "everything"],
            "error: there is no code `everything`: `trunkline explain` lists them all\n".into(),
        ),
    ] {
        check(path, arguments, "", &err, 2);
    }
}

#[test]
fn a_token_that_the_server_would_refuse_is_not_printed() {
    let folder = folder(&[("channels.yaml", GOOD)]);
    let base = ["token", "--auth", "member", "--user-id"];
    for (rest, err) in [
        (
            &["anon:7"][..],
            "the token's `sub` is not the id of an authenticated user",
        ),
        (
            &["7", "--claim", "roles=mod"],
            "the token's claims are not what is expected here: `/roles` (type)",
        ),
        (&["7", "--claim", "exp=1"], "the token has expired"),
    ] {
        let arguments = [&base[..], rest].concat();
        let err = format!("error: the server would refuse this token: {err}\n");
        check(folder.path(), &arguments, "", &err, 1);
    }
}

#[test]
fn a_private_key_signs_for_modes_that_only_verify() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::generate().expect("a key");
    let private = pair.to_pkcs8v1().expect("a document");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a document");
    let other = Ed25519KeyPair::generate().and_then(|other| other.to_pkcs8v1());
    let pem = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
    let text = |jwt: &str| {
        GOOD.replace(
            "jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\", credential: {query: token}, user_id: sub}",
            jwt,
        )
    };
    let folder = folder(&[
        (
            "channels.yaml",
            &text("jwt: {algorithms: [EdDSA], public_key_file: public.pem}"),
        ),
        (
            "fetched.yaml",
            &text("jwt: {algorithms: [RS256], jwks_url: \"https://id.example.com/keys\"}"),
        ),
        ("public.pem", &pem("PUBLIC KEY", public.as_ref())),
        ("private.pem", &pem("PRIVATE KEY", private.as_ref())),
        (
            "other.pem",
            &pem("PRIVATE KEY", other.expect("a key").as_ref()),
        ),
    ]);
    let base = ["token", "--auth", "nameless", "--user-id", "7"];
    let with = |more: &[&'static str]| [&base, more].concat();
    let ran = run(folder.path(), &with(&["--key", "private.pem"]));
    assert_eq!((ran.err.as_str(), ran.exit), ("", Some(0)));
    assert_eq!(ran.out.trim_end().split('.').count(), 3);
    for (arguments, err, exit) in [
        (
            base.to_vec(),
            "the auth mode `nameless` only verifies: sign with the issuer's private key, `--key FILE.pem`",
            2,
        ),
        (
            with(&["--key", "other.pem"]),
            "the server would refuse this token: the token's signature does not match",
            1,
        ),
        (
            with(&["--key", "public.pem"]),
            "the key `public.pem` cannot sign: it has no whole block `-----BEGIN PRIVATE KEY-----`",
            2,
        ),
        (
            with(&["--key", "nope.pem"]),
            "the key `nope.pem` cannot be read: No such file or directory (os error 2)",
            2,
        ),
        (
            vec![
                "token",
                "fetched.yaml",
                "--auth",
                "nameless",
                "--user-id",
                "7",
                "--key",
                "private.pem",
            ],
            "the auth mode `nameless` takes RS256, and an Ed25519 key can do none of them",
            2,
        ),
    ] {
        check(
            folder.path(),
            &arguments,
            "",
            &format!("error: {err}\n"),
            exit,
        );
    }
}

#[test]
fn a_token_is_one_line() {
    let folder = folder(&[("channels.yaml", GOOD)]);
    let arguments = [
        "token",
        "--auth",
        "member",
        "--user-id",
        "7",
        "--username",
        "Ann",
        "--claim",
        "roles=[\"mod\"]",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!((ran.err.as_str(), ran.exit), ("", Some(0)));
    let token = ran.out.strip_suffix('\n').expect("a line");
    assert_eq!(token.split('.').count(), 3);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    assert!(token.chars().all(allowed), "{token}");
}

#[test]
fn a_good_file_has_no_findings() {
    let folder = folder(&[("channels.yaml", GOOD), ("other.yaml", GOOD)]);
    let path = folder.path();
    check(path, &["check"], "", "channels.yaml: no findings\n", 0);
    check(
        path,
        &["check", "--deny", "warnings", "channels.yaml", "other.yaml"],
        "",
        "channels.yaml: no findings\nother.yaml: no findings\n",
        0,
    );
    let json = "{\n  \"findings\": [],\n  \"errors\": 0,\n  \"warnings\": 0\n}\n";
    check(path, &["check", "--format", "json"], json, "", 0);
}

const BROKEN: &str = "\
version: 1
auth: {guest: {anonymous: {}}}
messages: {hello: {schema: {type: object}, to: sender}}
endpoints:
  /ws: {auth: guest, messages: [hello, helo]}
";

const BROKEN_FINDINGS: &str = "\
plan/unknown-message

  × `helo` is not a message type of this file
   ╭─[broken.yaml:5:40]
 4 │ endpoints:
 5 │   /ws: {auth: guest, messages: [hello, helo]}
   ·                                        ────
   ╰────
  help: did you mean `hello`?

1 error
";

const WARNED: &str = "\
version: 1
auth:
  guest: {anonymous: {}}
  member: {jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\", credential: {query: token}, user_id: sub}}
messages: {hello: {schema: {type: object}, to: sender}}
endpoints:
  /ws: {auth: guest, messages: [hello]}
";

const WARNED_FINDINGS: &str = "\
plan/unused

  ⚠ no endpoint uses the auth mode `member`
   ╭─[warned.yaml:4:3]
 3 │   guest: {anonymous: {}}
 4 │   member: {jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\", credential: {query: token}, user_id: sub}}
   ·   ──────
 5 │ messages: {hello: {schema: {type: object}, to: sender}}
   ╰────
  help: name it in an endpoint's `auth`, or remove it

1 warning
";

#[test]
fn findings_are_the_same_from_every_command() {
    let folder = folder(&[("broken.yaml", BROKEN)]);
    for arguments in [
        &["check", "broken.yaml"][..],
        &["check", "--deny", "warnings", "broken.yaml"],
        &["serve", "broken.yaml"],
        &["token", "broken.yaml", "--auth", "guest", "--user-id", "7"],
    ] {
        check(folder.path(), arguments, "", BROKEN_FINDINGS, 1);
    }
}

#[test]
fn warnings_count_where_they_are_denied() {
    let folder = folder(&[("warned.yaml", WARNED)]);
    let path = folder.path();
    check(path, &["check", "warned.yaml"], "", WARNED_FINDINGS, 0);
    let deny = ["check", "--deny", "warnings", "warned.yaml"];
    check(path, &deny, "", WARNED_FINDINGS, 1);
    let token = run(
        path,
        &["token", "warned.yaml", "--auth", "member", "--user-id", "7"],
    );
    assert_eq!((token.err.as_str(), token.exit), ("", Some(0)));
}

#[test]
fn findings_of_several_files_are_one_json_object() {
    let folder = folder(&[
        ("broken.yaml", BROKEN),
        ("warned.yaml", WARNED),
        ("good.yaml", GOOD),
    ]);
    let arguments = [
        "check",
        "--format",
        "json",
        "broken.yaml",
        "warned.yaml",
        "good.yaml",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!((ran.err.as_str(), ran.exit), ("", Some(1)));
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    let places: Vec<String> = report["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}:{}", text("code"), text("file"), finding["line"])
        })
        .collect();
    assert_eq!(
        places,
        [
            "plan/unknown-message broken.yaml:5",
            "plan/unused warned.yaml:4"
        ]
    );
    assert_eq!(
        (&report["errors"], &report["warnings"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn a_port_that_is_taken_is_no_finding() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = folder(&[("channels.yaml", &GOOD.replace("127.0.0.1:0", &address))]);
    check(
        folder.path(),
        &["serve"],
        "",
        &format!("error: cannot listen on {address}: Address already in use (os error 98)\n"),
        2,
    );
}

#[test]
fn commands_explain_themselves() {
    let folder = folder(&[]);
    let path = folder.path();
    let version = concat!("trunkline ", env!("CARGO_PKG_VERSION"), "\n");
    check(path, &["--version"], version, "", 0);
    for command in ["serve", "check", "token", "bench", "explain", "completions"] {
        let ran = run(path, &[command, "--help"]);
        assert_eq!((ran.err.as_str(), ran.exit), ("", Some(0)));
        let example = format!("\nExamples:\n  trunkline {command}");
        assert!(ran.out.contains(&example), "{}", ran.out);
    }
    let nothing = run(path, &[]);
    assert_eq!((nothing.out.as_str(), nothing.exit), ("", Some(2)));
    assert_eq!(nothing.err, run(path, &["--help"]).out);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(path, &["completions", shell]);
        assert_eq!((ran.err.as_str(), ran.exit), ("", Some(0)));
        assert!(ran.out.contains("trunkline"));
    }
}

#[test]
fn every_code_is_listed_and_explained() {
    let folder = folder(&[]);
    let list = run(folder.path(), &["explain"]);
    assert_eq!((list.err.as_str(), list.exit), ("", Some(0)));
    let slugs: Vec<&str> = list
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(slugs.contains(&"plan/not-supported-yet"), "{}", list.out);
    for slug in slugs {
        let page = run(folder.path(), &["explain", slug]);
        assert_eq!((page.err.as_str(), page.exit), ("", Some(0)));
        assert!(page.out.starts_with(&format!("{slug} (")), "{}", page.out);
    }
}

#[test]
fn a_reader_that_is_gone_is_no_fault() {
    let folder = folder(&[]);
    for arguments in [&["explain"][..], &["--help"], &["completions", "zsh"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output = command(folder.path(), arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (&*err, output.status.code()),
            ("", Some(0)),
            "{arguments:?}"
        );
    }
}

const DESK: &str = r#"version: 1
server: {listen: 127.0.0.1:0}
auth:
  member:
    jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", credential: {query: token}, user_id: sub}
messages:
  line: {schema: {type: object, required: [text]}, to: room}
rooms:
  "desk:{ticket}":
    may_join: "user.claims.role == 'agent' || params.ticket in user.claims.tickets"
    messages: [line]
  busy:
    may_join: room.users_count < 3
    messages: [line]
endpoints:
  /ws: {auth: member, rooms: ["desk:{ticket}", busy], origins: [same-origin]}
"#;

#[test]
fn why_says_yes_no_or_that_it_cannot_tell() {
    let folder = folder(&[
        ("channels.yaml", DESK),
        (
            "broken.yaml",
            "version: 1\nendpoints: {/ws: {auth: nobody}}\n",
        ),
    ]);
    let path = folder.path();
    let token = run(
        path,
        &[
            "token",
            "--auth",
            "member",
            "--user-id",
            "7",
            "--claim",
            "tickets=[\"12\"]",
        ],
    );
    let token = token.out.trim();
    let broken = format!("{token}x");
    let customer = ["--user-id", "7", "--claim", "role=customer"];
    for (arguments, exit, said) in [
        (&["--token", token][..], 0, "allowed"),
        (
            &["--token", token, "--join", "desk:12"],
            0,
            "channels.yaml:10",
        ),
        (
            &["--token", token, "--join", "desk:13"],
            1,
            "no   decides  params.ticket in user.claims.tickets",
        ),
        (&["--token", &broken], 1, "refused with 401, by `auth`"),
        (&[], 1, "no credential was sent"),
        (
            &[&customer[..], &["--join", "desk:12"]].concat(),
            1,
            "user.claims.role = \"customer\"",
        ),
        (
            &[&customer[..], &["--join", "busy"]].concat(),
            2,
            "could not tell",
        ),
        (
            &[&customer[..], &["--origin", "https://a.example"]].concat(),
            2,
            "add it",
        ),
        (
            &[
                &customer[..],
                &["--origin", "https://a.example", "--host", "b.example"],
            ]
            .concat(),
            1,
            "refused with 403, by `origin`",
        ),
        (
            &[
                &customer[..],
                &[
                    "--claim",
                    "role=agent",
                    "--send",
                    "line",
                    "--room",
                    "desk:1",
                    "--data",
                    "{}",
                ],
            ]
            .concat(),
            1,
            "refused with schema",
        ),
        (
            &[&customer[..], &["--send", "line", "--data", "{"]].concat(),
            2,
            "",
        ),
        (&["--server", "http://127.0.0.1:1", "--key", "k"], 2, ""),
        (&["--server", "http://127.0.0.1:1"], 2, ""),
    ] {
        let whole = [&["why", "--endpoint", "/ws"], arguments].concat();
        let ran = run(path, &whole);
        assert_eq!(ran.exit, Some(exit), "{whole:?}: {ran:?}");
        assert!(ran.out.contains(said), "{whole:?}: {ran:?}");
        assert!(
            !ran.out.contains(token) && !ran.err.contains(token),
            "{whole:?} shows the token"
        );
    }
    let help = run(path, &["why", "--help"]);
    assert!(help.out.contains("127.0.0.1 unless it is said"), "{help:?}");
    let json = run(path, &["why", "--endpoint", "/nowhere", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(json["allowed"], false);
    assert_eq!(json["steps"][0]["status"], 404);
    let broken = run(path, &["why", "broken.yaml", "--endpoint", "/ws"]);
    assert_eq!(broken.exit, Some(2), "{broken:?}");
    assert!(broken.err.contains("plan/unknown-auth-mode"), "{broken:?}");
}

/// What needs no key is decided from the file alone.
#[test]
fn why_refuses_without_keys_what_no_key_would_help() {
    let file = r#"version: 1
server: {listen: 127.0.0.1:0}
auth:
  member:
    jwt: {algorithms: [RS256], jwks_url: "https://id.example.com/keys", audience: chat, user_id: sub, credential: {query: token}}
  later:
    jwt: {algorithms: [RS256], jwks_url: "https://id.example.com/keys", audience: chat, user_id: sub, credential: {first_message: 5s}}
messages: {hello: {schema: true, to: sender}}
endpoints:
  /ws: {auth: member, messages: [hello]}
  /later: {auth: later, messages: [hello]}
"#;
    let folder = folder(&[("channels.yaml", file)]);
    let encoded = |header: &Value| {
        use base64::Engine as _;
        let encoder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        format!("{}.e30.c2ln", encoder.encode(header.to_string()))
    };
    let (good, other) = (
        encoded(&json!({"alg": "RS256", "typ": "JWT"})),
        encoded(&json!({"alg": "HS256", "typ": "JWT"})),
    );
    let join = encoded(&json!({"alg": "RS256", "typ": "trunkline-join+jwt"}));
    for endpoint in ["/ws", "/later"] {
        for (token, exit, said) in [
            (None, 1, "refused with 401, by `auth`"),
            (Some("x.y.z"), 1, "the token is not a JSON Web Token"),
            (Some(&*other), 1, "an algorithm that is not accepted here"),
            (Some(&*join), 1, "it is not for logging in"),
            (Some(&*good), 2, "its keys are fetched"),
        ] {
            let token = token.map(|token| ["--token", token]);
            let token = token.as_ref().map_or(&[][..], |token| &token[..]);
            let ran = run(
                folder.path(),
                &[&["why", "--endpoint", endpoint], token].concat(),
            );
            assert_eq!(ran.exit, Some(exit), "{endpoint} {token:?}: {ran:?}");
            assert!(ran.out.contains(said), "{endpoint} {token:?}: {ran:?}");
        }
    }
}

#[test]
fn a_join_token_is_made_for_a_room() {
    let file = r#"version: 1
server: {listen: 127.0.0.1:0}
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {hello: {schema: true, to: room}, note: {schema: true, to: room, audience: staff}}
rooms:
  "desk:{ticket}":
    may_join: {token: {algorithms: [HS512, HS256], secret: "another-secret-of-at-least-64-bytes-for-the-join-tokens-of-the-desk!!"}}
    audiences: {staff: "user.claims.role == 'agent'"}
    messages: [hello, note]
  "hall:{n}": {may_join: "true", messages: [hello]}
endpoints:
  /ws: {auth: guest, rooms: ["desk:{ticket}", "hall:{n}"]}
  /desk: {auth: guest, auto_join: ["desk:17"]}
"#;
    let folder = folder(&[("channels.yaml", file)]);
    let ran = run(
        folder.path(),
        &[
            "token",
            "--room",
            "desk:17",
            "--user-id",
            "7",
            "--claim",
            "audiences=[\"staff\"]",
        ],
    );
    assert_eq!((&*ran.err, ran.exit), ("", Some(0)));
    let parts: Vec<Value> = ran
        .out
        .split('.')
        .take(2)
        .map(|part| {
            use base64::Engine as _;
            let decoder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
            serde_json::from_slice(&decoder.decode(part).expect("base64url")).expect("JSON")
        })
        .collect();
    assert_eq!(parts[0]["typ"], "trunkline-join+jwt");
    assert_eq!(
        (&parts[1]["sub"], &parts[1]["room"], &parts[1]["audiences"]),
        (&json!("7"), &json!("desk:17"), &json!(["staff"]))
    );
    for (arguments, err) in [
        (
            &["--room", "hall:1"][..],
            "error: rooms of the pattern `hall:{n}` are not joined by a token: only `may_join: {token: …}` takes them\n",
        ),
        (&["--room", "x"], "error: there is no room `x`\n"),
        (
            &["--room", "desk:1", "--auth", "x"],
            "error: the argument '--room <ROOM>' cannot be used with '--auth <MODE>'\n",
        ),
        (
            &["--room", "desk:1", "--claim", "audiences=[\"nobody\"]"],
            "error: the server would refuse this token: the room has no audience `nobody`\n",
        ),
    ] {
        let ran = run(
            folder.path(),
            &[&["token", "--user-id", "7"], arguments].concat(),
        );
        assert!(ran.err.starts_with(err), "{ran:?}");
        let exit = if err.contains("would refuse") { 1 } else { 2 };
        assert_eq!(ran.exit, Some(exit), "{ran:?}");
    }
    // `why` verifies it as the server does, in a frame or in the URL.
    let token = run(
        folder.path(),
        &["token", "--room", "desk:17", "--user-id", "anon:7"],
    );
    let token = token.out.trim();
    let url = format!("/desk?u=7&join_token={token}");
    let note = ["--send", "note", "--room", "desk:17", "--data", "1"];
    let with = ["--join-token", token];
    for (endpoint, arguments, exit, said) in [
        (
            "/ws?u=7",
            &["--join", "desk:17"][..],
            1,
            "`desk:17` is joined with a `token`",
        ),
        (
            "/ws?u=7",
            &[&["--join", "desk:17"][..], &with].concat(),
            0,
            "for this user and this room",
        ),
        (
            "/ws?u=8",
            &[&["--join", "desk:17"][..], &with].concat(),
            1,
            "the token lets another user in",
        ),
        (
            "/ws?u=7",
            &[&["--join", "desk:18"][..], &with].concat(),
            1,
            "the token is for another room",
        ),
        (
            "/ws?u=7",
            &["--join", "desk:17", "--join-token", "x.y.z"],
            1,
            "not a JSON Web Token",
        ),
        ("/ws?u=7", &with, 2, ""),
        (&*url, &[], 0, "for this user and this room"),
        ("/desk?u=7", &[], 1, "is joined with a `token`"),
        (
            "/ws?u=7",
            &[&note[..], &with].concat(),
            0,
            "it goes to those of `staff` in `desk:17`; the sender is none of them",
        ),
    ] {
        let ran = run(
            folder.path(),
            &[&["why", "--endpoint", endpoint], arguments].concat(),
        );
        assert_eq!(ran.exit, Some(exit), "{arguments:?}: {ran:?}");
        assert!(ran.out.contains(said), "{arguments:?}: {ran:?}");
        assert!(!ran.out.contains(token), "it shows the token: {ran:?}");
    }
}
