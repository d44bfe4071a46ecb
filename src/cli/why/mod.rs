//! `trunkline why`: each step of what somebody may do, of a file or of a running server.

mod ask;
mod report;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::auth::{Authenticator, Means};
use crate::cli::load::load;
use crate::cli::{DEFAULT_FILE, Exit, print};
use crate::decision::FileAlone;
use crate::telemetry::{MetricNames, Metrics};
use crate::transport::why::{Answering, Question, explain};
use crate::vocab::{Clock, SystemClock};
use crate::webhook::Client;

const EXAMPLES: &str = "\
Examples:
  trunkline why --endpoint /ws --user-id 7 --claim role=customer --join desk:12
  trunkline why --endpoint /ws --token \"$TOKEN\" --send note --room desk:12 --data '{\"text\":\"hi\"}'
  trunkline why --endpoint /ws --origin https://evil.example --host app.example.com
  trunkline why --server http://127.0.0.1:8000 --endpoint /ws --user-id 7 --join desk:12

Without --token, --cookie or --user-id it is nobody who asks.
Nothing is done, whoever is asked: no token of a rate limit is spent, no room made, nobody told.

Exit codes:
  0  allowed
  1  refused
  2  could not tell, or could not run";

/// Explain who may do what: connect, join a room, send a message
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE, conflicts_with = "server")]
    file: PathBuf,
    /// The URL path, perhaps with a query
    #[arg(long, value_name = "PATH")]
    endpoint: String,
    /// The page that connects, as its `Origin` header; without it no page does
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// The `Host` header, which `same-origin` compares with
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Where the connection comes from; 127.0.0.1 unless it is said
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// A parameter of the URL's query, repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,
    /// The token that the client sends, wherever the endpoint looks for it
    #[arg(long, value_name = "TOKEN", conflicts_with = "user_id")]
    token: Option<String>,
    /// A cookie, repeatable
    #[arg(long = "cookie", value_name = "NAME=VALUE", value_parser = pair)]
    cookies: Vec<(String, String)>,
    /// The user, without looking at a credential
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// Its name
    #[arg(long, value_name = "NAME", requires = "user_id")]
    username: Option<String>,
    /// A claim of it, repeatable; a value that is JSON is taken as such, anything else as text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = crate::cli::token::claim, requires = "user_id")]
    claims: Vec<(String, Value)>,
    /// Ask to join this room
    #[arg(long, value_name = "ROOM", conflicts_with = "send")]
    join: Option<String>,
    /// The join token of the frame that joins; one for an automatic room stands in the URL, as `?join_token=`
    #[arg(long, value_name = "TOKEN")]
    join_token: Option<String>,
    /// Ask to send a message of this type
    #[arg(long, value_name = "TYPE")]
    send: Option<String>,
    /// The room that the message is sent to
    #[arg(long, value_name = "ROOM", requires = "send")]
    room: Option<String>,
    /// The message's data
    #[arg(long, value_name = "JSON", requires = "send", value_parser = raw)]
    data: Option<Box<RawValue>>,
    /// Ask the server at this URL, which knows who is where, instead of a file
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's API key, with the scope `read`
    #[arg(
        long,
        value_name = "KEY",
        env = "TRUNKLINE_API_KEY",
        hide_env_values = true
    )]
    key: Option<String>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let question = match question(arguments) {
        Ok(question) => question,
        Err(message) => {
            print::error(&message);
            return Exit::CouldNotRun;
        }
    };
    let answer = match &arguments.server {
        Some(url) => ask::server(url, arguments.key.as_deref(), question).map_err(Some),
        None => of_file(&arguments.file, &question),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(message) => {
            if let Some(message) = message {
                print::error(&message);
            }
            return Exit::CouldNotRun;
        }
    };
    match arguments.format {
        Format::Human => print::out(&report::human(&answer)),
        Format::Json => print::out(&format!("{answer:#}")),
    }
    match answer.get("allowed").and_then(Value::as_bool) {
        Some(true) => Exit::Fine,
        Some(false) => Exit::Findings,
        None => Exit::CouldNotRun,
    }
}

/// What the file alone says.
///
/// # Errors
/// Why there is no answer, unless that has been printed.
fn of_file(file: &Path, question: &str) -> Result<Value, Option<String>> {
    let plan = load(file).map_err(|_| None)?;
    let question = Question::read(question).map_err(|error| Some(error.to_string()))?;
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let means = Means {
        clock,
        random: || 0,
        client: Arc::new(Client::new()),
        metrics: Arc::new(Metrics::new(&MetricNames::default())),
    };
    let authenticator = Authenticator::new(&plan.auth, &means).with_join_tokens(&plan.rooms);
    let answering = Answering {
        plan: &plan,
        authenticator: &authenticator,
        around: &FileAlone,
        now,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Some(error.to_string()))?;
    let explanation = runtime.block_on(explain(&answering, &question));
    Ok(explanation.to_json())
}

/// The question as the HTTP API takes it.
fn question(arguments: &Arguments) -> Result<String, String> {
    let mut body: Map<String, Value> = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("endpoint", arguments.endpoint.as_str().into());
    put("origin", json!(arguments.origin));
    put("host", json!(arguments.host));
    put("ip", json!(arguments.ip));
    put("query", texts(&arguments.query));
    put("cookies", texts(&arguments.cookies));
    put("token", json!(arguments.token));
    if let Some(user_id) = &arguments.user_id {
        let claims: Map<String, Value> = arguments.claims.iter().cloned().collect();
        let mut user = json!({"user_id": user_id, "claims": claims});
        if let Some(username) = &arguments.username {
            user["username"] = username.as_str().into();
        }
        put("user", user);
    }
    put("join", json!(arguments.join));
    put("join_token", json!(arguments.join_token));
    let unwritable = |error: serde_json::Error| error.to_string();
    let Some(name) = &arguments.send else {
        return serde_json::to_string(&body).map_err(unwritable);
    };
    let mut send: Vec<(&str, Box<RawValue>)> = Vec::new();
    send.push(("type", to_raw_value(name).map_err(unwritable)?));
    if let Some(room) = &arguments.room {
        send.push(("room", to_raw_value(room).map_err(unwritable)?));
    }
    // As it was written: a key that stands twice is refused like from a client.
    send.extend(arguments.data.clone().map(|data| ("data", data)));
    let send: std::collections::BTreeMap<_, _> = send.into_iter().collect();
    let mut whole: std::collections::BTreeMap<&str, Box<RawValue>> =
        std::collections::BTreeMap::new();
    for (name, value) in &body {
        whole.insert(name, to_raw_value(value).map_err(unwritable)?);
    }
    whole.insert("send", to_raw_value(&send).map_err(unwritable)?);
    serde_json::to_string(&whole).map_err(unwritable)
}

fn texts(pairs: &[(String, String)]) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    let map: Map<String, Value> = pairs
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    Value::Object(map)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn raw(text: &str) -> Result<Box<RawValue>, String> {
    RawValue::from_string(text.to_owned())
        .map_err(|error| format!("write JSON, such as '{{\"text\":\"hi\"}}': {error}"))
}
