//! Tables: what a file or an issuer says, and the keys that come of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::plan::key::{JwtAlgorithm, Key, Origin, SET_BYTES_MAX, read_pem, read_set};

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    std::fs::read_to_string(folder.join(name)).expect("the fixture is there")
}

/// The algorithms that `key` can do.
fn can(key: &Key) -> String {
    let able = JwtAlgorithm::ALL
        .into_iter()
        .filter(|algorithm| key.fits(*algorithm));
    let names: Vec<&str> = able.map(JwtAlgorithm::as_str).collect();
    names.join(" ")
}

const RSA: &str = "RS256 RS384 RS512 PS256 PS384 PS512";

#[test]
fn pem_files_are_read_in_their_forms() {
    let kind = "it is neither RSA nor on the curves P-256, P-384 and Ed25519";
    let no_block = "it has no whole block `-----BEGIN PUBLIC KEY-----`";
    let public = |error: &str| format!("`PUBLIC KEY` in it cannot be used: {error}");
    let two = format!("{}\n{}", fixture("p256.pem"), fixture("rsa-2048.pem"));
    let private = fixture("p256.pem").replace("PUBLIC KEY", "PRIVATE KEY");
    let mixed = format!("{}{private}", fixture("p256.pem"));
    let many = fixture("ed25519.pem").repeat(17);
    let damaged = fixture("p256.pem").replace("-----END PUBLIC KEY-----", "");
    let off_curve = fixture("p256.pem").replace("==", "").replace('E', "F");
    let commented = format!("the key of 2026\n{}", fixture("p256.pem"));
    for (text, expected) in [
        (fixture("rsa-2048.pem"), RSA.to_owned()),
        (fixture("rsa-2048-pkcs1.pem"), RSA.into()),
        (fixture("p256.pem"), "ES256".into()),
        (fixture("p384.pem"), "ES384".into()),
        (fixture("ed25519.pem"), "EdDSA".into()),
        (fixture("certificate-rsa.pem"), RSA.into()),
        (fixture("certificate-rsa-by-ed25519.pem"), RSA.into()),
        (fixture("certificate-p256-v1.pem"), "ES256".into()),
        (two, format!("ES256, {RSA}")),
        (commented, "ES256".into()),
        (
            fixture("rsa-1024.pem"),
            public("it has 1024 bits: RSA keys have 2048 to 8192"),
        ),
        (fixture("rsa-pss.pem"), RSA.into()),
        (fixture("p521.pem"), public(kind)),
        (fixture("secp256k1.pem"), public(kind)),
        (fixture("x25519.pem"), public(kind)),
        (
            mixed,
            "`PRIVATE KEY` in it cannot be used: it is a private key".into(),
        ),
        (
            private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "`ENCRYPTED PRIVATE KEY` in it cannot be used: it is a private key".into(),
        ),
        (
            private.replace("PRIVATE KEY", "CERTIFICATE"),
            format!("`CERTIFICATE` in it cannot be used: {kind}"),
        ),
        (
            private.replace("PRIVATE KEY", "EC PARAMETERS"),
            format!("`EC PARAMETERS` in it cannot be used: {kind}"),
        ),
        (off_curve, no_block.into()),
        (damaged, no_block.into()),
        (many, "it has more than 16 blocks".into()),
        ("ssh-ed25519 AAAAC3Nz ann@example".into(), no_block.into()),
        ("{\"keys\": []}".into(), no_block.into()),
        (String::new(), no_block.into()),
    ] {
        let told = match read_pem(&text) {
            Ok(keys) => {
                let able: Vec<String> = keys.iter().map(can).collect();
                able.join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{text}");
    }
}

/// What comes of a set with the one key `jwk`.
fn told(jwk: Value, origin: Origin) -> String {
    let text = json!({"keys": [jwk]}).to_string();
    let set = read_set(&text, origin).expect("a set");
    match (set.keys.as_slice(), set.skipped.as_slice()) {
        ([key], []) => format!(
            "{}{}",
            can(key),
            key.id().map_or(String::new(), |id| format!(" {id}"))
        ),
        ([], [skipped]) => skipped.error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Of RFC 7517 §A.1 and RFC 8037 §A.2.
fn rsa() -> Value {
    json!({"kty": "RSA", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})
}

fn p256() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn oct() -> Value {
    json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})
}

/// `jwk` with the members of `more`; null takes one away.
fn with(mut jwk: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        if value.is_null() {
            jwk.as_object_mut().expect("an object").remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    jwk
}

#[test]
fn a_key_of_a_set_says_what_it_is_for() {
    let part = |name: &str| format!("its `{name}` is missing or malformed");
    let kind = "it is neither RSA nor on the curves P-256, P-384 and Ed25519".to_owned();
    let algorithm = "its `alg` does not fit it, or is not known here".to_owned();
    let not_for_us = "it is not for verifying signatures".to_owned();
    let secret = "it is a secret, which only a file of this machine may hold".to_owned();
    let private = "it is a private key".to_owned();
    let zero = "A".repeat(43);
    for (jwk, expected) in [
        (rsa(), RSA.to_owned()),
        (p256(), "ES256".into()),
        (ed25519(), "EdDSA".into()),
        (
            with(
                rsa(),
                json!({"kid": "1", "alg": "PS384", "use": "sig", "key_ops": ["verify"]}),
            ),
            "PS384 1".into(),
        ),
        (with(rsa(), json!({"kid": ""})), format!("{RSA} ")),
        (
            with(
                rsa(),
                json!({"x5c": ["AAAA"], "x5t": "x", "ext": true, "unknown": {"a": [1]}}),
            ),
            RSA.into(),
        ),
        (
            with(rsa(), json!({"key_ops": ["sign", "verify"]})),
            RSA.into(),
        ),
        (with(rsa(), json!({"alg": "ES256"})), algorithm.clone()),
        (with(rsa(), json!({"alg": "HS256"})), algorithm.clone()),
        (with(rsa(), json!({"alg": "none"})), algorithm.clone()),
        (with(rsa(), json!({"alg": "RSA-OAEP"})), algorithm.clone()),
        (with(p256(), json!({"alg": "ES384"})), algorithm.clone()),
        (with(rsa(), json!({"use": "enc"})), not_for_us.clone()),
        (with(rsa(), json!({"use": "SIG"})), not_for_us.clone()),
        (
            with(rsa(), json!({"key_ops": ["encrypt"]})),
            not_for_us.clone(),
        ),
        (with(rsa(), json!({"key_ops": []})), not_for_us.clone()),
        (with(rsa(), json!({"key_ops": "verify"})), part("key_ops")),
        (with(rsa(), json!({"use": 7})), part("use")),
        (with(rsa(), json!({"kid": 7})), part("kid")),
        (with(rsa(), json!({"alg": ["RS256"]})), part("alg")),
        (with(rsa(), json!({"n": null})), part("n")),
        (with(rsa(), json!({"n": "AQAB="})), part("n")),
        (with(rsa(), json!({"n": ""})), part("n")),
        (with(rsa(), json!({"e": "AQ"})), part("n")),
        (with(rsa(), json!({"e": "Ag"})), part("n")),
        (with(rsa(), json!({"d": "AQAB"})), private.clone()),
        (with(p256(), json!({"d": "AQAB"})), private.clone()),
        (with(ed25519(), json!({"d": "AQAB"})), private),
        (with(p256(), json!({"crv": "P-384"})), part("x")),
        (with(p256(), json!({"crv": "P-521"})), kind.clone()),
        (with(p256(), json!({"crv": "secp256k1"})), kind.clone()),
        (with(p256(), json!({"crv": null})), kind.clone()),
        (with(p256(), json!({"y": null})), part("y")),
        (with(p256(), json!({"y": zero})), part("x")),
        (with(ed25519(), json!({"x": "AAAA"})), part("x")),
        (with(ed25519(), json!({"crv": "X25519"})), kind.clone()),
        (with(ed25519(), json!({"crv": "Ed448"})), kind.clone()),
        (
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
            kind.clone(),
        ),
        (json!({"kty": "rsa"}), kind),
        (json!({}), part("kty")),
        (json!({"kty": null}), part("kty")),
        (oct(), secret.clone()),
        (with(oct(), json!({"alg": "HS256"})), secret),
    ] {
        assert_eq!(told(jwk.clone(), Origin::Network), expected, "{jwk}");
    }
    for (jwk, expected) in [
        (oct(), "HS256 HS384 HS512".to_owned()),
        (with(oct(), json!({"alg": "HS384"})), "HS384".into()),
        (with(oct(), json!({"alg": "RS256"})), algorithm.clone()),
        (with(oct(), json!({"k": "A".repeat(43)})), "HS256".into()),
        (
            with(oct(), json!({"k": "A".repeat(43), "alg": "HS512"})),
            algorithm,
        ),
        (with(oct(), json!({"k": "A".repeat(42)})), part("k")),
        (with(oct(), json!({"k": null})), part("k")),
        (rsa(), RSA.into()),
        (
            with(rsa(), json!({"d": "AQAB"})),
            "it is a private key".into(),
        ),
    ] {
        assert_eq!(told(jwk.clone(), Origin::File), expected, "{jwk}");
    }
}

#[test]
fn a_leading_zero_changes_nothing() {
    use base64::Engine as _;
    let coder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let number = rsa()["n"]
        .as_str()
        .map(|n| coder.decode(n).expect("base64url"));
    let padded = [vec![0], number.expect("a text")].concat();
    let jwk = with(rsa(), json!({"n": coder.encode(padded), "e": "AAEAAQ"}));
    assert_eq!(told(jwk, Origin::Network), RSA);
}

#[test]
fn a_short_rsa_key_is_left_out() {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
    use base64::Engine as _;
    // A modulus has to be odd and of a size, not a product of primes, to be read.
    for (bytes, expected) in [
        (128, "it has 1024 bits: RSA keys have 2048 to 8192"),
        (1025, "it has 8200 bits: RSA keys have 2048 to 8192"),
    ] {
        let modulus = vec![0xff_u8; bytes];
        let components = RsaPublicKeyComponents {
            n: &modulus,
            e: &vec![1, 0, 1],
        };
        assert!(
            components
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .is_ok()
        );
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&modulus);
        assert_eq!(
            told(with(rsa(), json!({"n": n})), Origin::Network),
            expected
        );
    }
}

#[test]
fn a_set_is_bounded_and_what_it_cannot_use_is_left_out() {
    let mixed =
        json!({"keys": [rsa(), {"kty": "oct", "k": "AAAA"}, p256(), {"kty": "new"}], "more": 1});
    let set = read_set(&mixed.to_string(), Origin::Network).expect("a set");
    let skipped: Vec<usize> = set.skipped.iter().map(|skipped| skipped.number).collect();
    assert_eq!((set.keys.len(), skipped), (2, vec![2, 4]));
    assert!(!format!("{set:?}").contains("0vx7"), "{set:?}");
    let set = |keys: Value| json!({"keys": keys}).to_string();
    let not_json = "it is not JSON with each key once";
    let not_set = "it is not an object with a list `keys` of objects";
    for (text, expected) in [
        (set(json!([])), None),
        (set(json!(vec![ed25519(); 100])), None),
        (
            set(json!(vec![ed25519(); 101])),
            Some("it has more than 100 keys"),
        ),
        (
            set(json!(["x".repeat(SET_BYTES_MAX)])),
            Some("it is longer than 256 KiB"),
        ),
        (set(json!({})), Some(not_set)),
        (set(json!(["x"])), Some(not_set)),
        (set(Value::Null), Some(not_set)),
        ("[]".into(), Some(not_set)),
        ("null".into(), Some(not_set)),
        ("{}".into(), Some(not_set)),
        (r#"{"keys": [], "keys": []}"#.into(), Some(not_json)),
        (
            r#"{"keys": [{"kty": "RSA", "kty": "oct"}]}"#.into(),
            Some(not_json),
        ),
        ("<html>".into(), Some(not_json)),
        (
            format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            Some(not_json),
        ),
        (String::new(), Some(not_json)),
    ] {
        let error = read_set(&text, Origin::Network).err();
        let error = error.map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            expected,
            "{}",
            &text[..text.len().min(80)]
        );
    }
}
