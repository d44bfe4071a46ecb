//! `trunkline token`: a token for development, signed as the file says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::{JoinMint, Mint, MintError, PrivateKey, mint, mint_join, mint_with};
use crate::cli::load::load;
use crate::cli::{DEFAULT_FILE, Exit, print};
use crate::diag::nearest;
use crate::plan::{AuthMethod, AuthMode, Plan, RoomKind};
use crate::vocab::{Clock, RoomName, SystemClock, parse_duration};

const EXAMPLES: &str = "\
Examples:
  trunkline token --auth member --user-id 7 --username Ann
  trunkline token --auth member --user-id 7 --claim 'roles=[\"mod\"]' --claim plan=gold --expires 7d
  trunkline token staging.yaml --auth member --user-id 7
  trunkline token --auth issued --user-id 7 --key private.pem
  trunkline token --room desk:17 --user-id 7 --expires 10m";

/// Print a token for development, signed with the secret of a `jwt` auth mode or with the private key of its issuer
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
    /// The auth mode whose key signs; of a join token the keys are the room's
    #[arg(long, value_name = "MODE", required_unless_present = "room")]
    auth: Option<String>,
    /// Whose token it is
    #[arg(long, value_name = "ID")]
    user_id: String,
    /// The name to show
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// A further claim, repeatable; a value that is JSON is taken as such, anything else as text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The private key that signs, for modes that verify with public keys: PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Make a join token for this room instead of a login; its own `may_join: {token: …}` says what signs
    #[arg(long, value_name = "ROOM", conflicts_with_all = ["username", "auth"])]
    room: Option<String>,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    expires: Duration,
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let key = match arguments.key.as_deref().map(private_key).transpose() {
        Ok(key) => key,
        Err(message) => {
            print::error(&message);
            return Exit::CouldNotRun;
        }
    };
    let mode = match mode(&arguments, &plan) {
        Ok(mode) => mode,
        Err(message) => {
            print::error(&message);
            return Exit::CouldNotRun;
        }
    };
    let now = SystemClock::new().now();
    let minted = match (&arguments.room, mode) {
        (Some(room), _) => match kind(room, &plan) {
            Ok(kind) => mint_join(kind, &wanted_join(&arguments, room), key.as_ref(), now),
            Err(message) => {
                print::error(&message);
                return Exit::CouldNotRun;
            }
        },
        (None, Some(mode)) => {
            let wanted = wanted(&arguments);
            match &key {
                Some(key) => mint_with(mode, &wanted, key, now),
                None => mint(mode, &wanted, now),
            }
        }
        (None, None) => return Exit::CouldNotRun,
    };
    match minted {
        Ok(token) => {
            print::out(&token);
            Exit::Fine
        }
        Err(error) => {
            print::error(&error.to_string());
            match error {
                MintError::Refused { .. } | MintError::NoAudience(_) => Exit::Findings,
                _ => Exit::CouldNotRun,
            }
        }
    }
}

fn wanted(arguments: &Arguments) -> Mint<'_> {
    let claims: Map<String, Value> = arguments.claims.iter().cloned().collect();
    Mint {
        user_id: &arguments.user_id,
        username: arguments.username.as_deref(),
        claims,
        expires: arguments.expires,
    }
}

fn wanted_join<'a>(arguments: &'a Arguments, room: &'a str) -> JoinMint<'a> {
    JoinMint {
        user_id: &arguments.user_id,
        room,
        claims: arguments.claims.iter().cloned().collect(),
        expires: arguments.expires,
    }
}

/// The auth mode that is named, where one is.
fn mode<'p>(arguments: &Arguments, plan: &'p Plan) -> Result<Option<&'p AuthMode>, String> {
    let Some(name) = &arguments.auth else {
        return Ok(None);
    };
    let mut modes = plan.auth.iter();
    let found = modes.find(|mode| *mode.name == **name);
    found
        .map(|mode| Some(&**mode))
        .ok_or_else(|| unknown_mode(&arguments.file, name, plan))
}

/// What the room called `name` is an instance of.
fn kind<'p>(name: &str, plan: &'p Plan) -> Result<&'p RoomKind, String> {
    let room = RoomName::parse(name);
    let room = room.map_err(|error| format!("`{name}` is not a room's name: {error}"))?;
    let found = plan.room_kind(&room);
    let (kind, _) = found.ok_or_else(|| format!("there is no room `{name}`"))?;
    Ok(kind)
}

fn private_key(path: &Path) -> Result<PrivateKey, String> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the key `{file}` cannot be read: {error}"))?;
    PrivateKey::from_pem(&text).map_err(|error| format!("the key `{file}` cannot sign: {error}"))
}

fn unknown_mode(file: &Path, name: &str, plan: &Plan) -> String {
    let is_jwt = |mode: &&std::sync::Arc<AuthMode>| matches!(mode.method, AuthMethod::Jwt(_));
    let modes: Vec<&str> = plan
        .auth
        .iter()
        .filter(is_jwt)
        .map(|mode| &*mode.name)
        .collect();
    let help = match nearest(name, modes.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if modes.is_empty() => "it has no `jwt` mode at all".to_owned(),
        None => format!("its `jwt` modes are `{}`", modes.join("`, `")),
    };
    let file = file.display();
    format!("{file} has no auth mode `{name}`: {help}")
}

pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((name.to_owned(), value))
        }
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
