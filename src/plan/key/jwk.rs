//! JSON Web Key Sets (RFC 7517, RFC 7518 §6, RFC 8037 §2): `jwks_file`, and what issuers publish.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::plan::JwtAlgorithm;
use crate::plan::key::{Key, KeyError, KeyKind, SECRET_BYTES_MIN};
use crate::vocab::json;

/// What a set may be long, in bytes.
pub const SET_BYTES_MAX: usize = 256 * 1024;

const KEYS_MAX: usize = 100;
const DEPTH_MAX: usize = 8;

type Jwk = Map<String, Value>;

/// Where a set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of this machine: it may hold secrets.
    File,
    /// The network: a secret that others can read is none.
    Network,
}

/// What a set holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// What can be used, in the set's order.
    pub keys: Vec<Key>,
    /// What cannot.
    pub skipped: Vec<Skipped>,
}

/// A key of a set that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the set, from 1.
    pub number: usize,
    /// Why.
    pub error: KeyError,
}

/// Why a text is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// It is longer than [`SET_BYTES_MAX`].
    #[error("it is longer than 256 KiB")]
    TooLong,
    /// It is not JSON, or repeats a key of an object.
    #[error("it is not JSON with each key once")]
    NotJson,
    /// It is no object with a list `keys` of objects.
    #[error("it is not an object with a list `keys` of objects")]
    NotSet,
    /// It has more than 100 keys.
    #[error("it has more than 100 keys")]
    TooMany,
}

/// Reads a set. Keys that cannot be used are left out, as RFC 7517 §5 asks: an issuer may publish some for others.
///
/// # Errors
/// The text is no set, or too large a one.
pub fn read_set(text: &str, origin: Origin) -> Result<KeySet, SetError> {
    if text.len() > SET_BYTES_MAX {
        return Err(SetError::TooLong);
    }
    let set = json::parse(text, DEPTH_MAX).map_err(|_| SetError::NotJson)?;
    let list = set.get("keys").and_then(Value::as_array);
    let list = list.ok_or(SetError::NotSet)?;
    if list.len() > KEYS_MAX {
        return Err(SetError::TooMany);
    }
    let mut set = KeySet::default();
    for (index, jwk) in list.iter().enumerate() {
        let jwk = jwk.as_object().ok_or(SetError::NotSet)?;
        match read(jwk, origin) {
            Ok(key) => set.keys.push(key),
            Err(error) => set.skipped.push(Skipped {
                number: index + 1,
                error,
            }),
        }
    }
    Ok(set)
}

fn read(jwk: &Jwk, origin: Origin) -> Result<Key, KeyError> {
    let mut key = material(jwk, origin)?;
    check_use(jwk)?;
    key.id = text(jwk, "kid")?.map(Into::into);
    if let Some(name) = text(jwk, "alg")? {
        let named = JwtAlgorithm::parse(name).ok_or(KeyError::Algorithm)?;
        if !key.fits(named) {
            return Err(KeyError::Algorithm);
        }
        key.algorithm = Some(named);
    }
    Ok(key)
}

fn material(jwk: &Jwk, origin: Origin) -> Result<Key, KeyError> {
    let kind = text(jwk, "kty")?.ok_or(KeyError::Part("kty"))?;
    let curve = text(jwk, "crv")?;
    match (kind, curve) {
        ("oct", _) if origin == Origin::Network => Err(KeyError::Secret),
        ("oct", _) => secret(jwk),
        // The private part of every other kind.
        _ if jwk.contains_key("d") => Err(KeyError::Private),
        ("RSA", _) => rsa(jwk),
        ("EC", Some("P-256")) => point(jwk, KeyKind::P256, 32),
        ("EC", Some("P-384")) => point(jwk, KeyKind::P384, 48),
        ("OKP", Some("Ed25519")) => {
            let x = number(jwk, "x")?;
            // Longer ones would be read as another form.
            let key = (x.len() == 32).then(|| Key::curve(KeyKind::Ed25519, &x));
            key.flatten().ok_or(KeyError::Part("x"))
        }
        _ => Err(KeyError::Kind),
    }
}

fn secret(jwk: &Jwk) -> Result<Key, KeyError> {
    let bytes = number(jwk, "k")?;
    if bytes.len() < SECRET_BYTES_MIN {
        return Err(KeyError::Part("k"));
    }
    Ok(Key::new(KeyKind::Hmac, &bytes))
}

fn rsa(jwk: &Jwk) -> Result<Key, KeyError> {
    let (modulus, exponent) = (number(jwk, "n")?, number(jwk, "e")?);
    let components = RsaPublicKeyComponents {
        n: without_zeros(&modulus),
        e: without_zeros(&exponent),
    };
    let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
    let parsed = parsed.map_err(|_| KeyError::Part("n"))?;
    Key::rsa(parsed.as_ref()).ok_or(KeyError::Part("n"))?
}

fn point(jwk: &Jwk, kind: KeyKind, bytes: usize) -> Result<Key, KeyError> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = number(jwk, name)?;
        if coordinate.len() != bytes {
            return Err(KeyError::Part(name));
        }
        point.extend_from_slice(&coordinate);
    }
    Key::curve(kind, &point).ok_or(KeyError::Part("x"))
}

/// A key that says what it is for says that it is for verifying (RFC 7517 §4.2, §4.3).
fn check_use(jwk: &Jwk) -> Result<(), KeyError> {
    if text(jwk, "use")?.is_some_and(|meant| meant != "sig") {
        return Err(KeyError::Use);
    }
    let Some(operations) = jwk.get("key_ops") else {
        return Ok(());
    };
    let operations = operations.as_array().ok_or(KeyError::Part("key_ops"))?;
    if operations.iter().any(|operation| operation == "verify") {
        Ok(())
    } else {
        Err(KeyError::Use)
    }
}

fn text<'a>(jwk: &'a Jwk, name: &'static str) -> Result<Option<&'a str>, KeyError> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyError::Part(name)),
    }
}

fn number(jwk: &Jwk, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let encoded = text(jwk, name)?.ok_or(KeyError::Part(name))?;
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| KeyError::Part(name))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
