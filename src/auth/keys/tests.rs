//! Tables: for every algorithm a token, and what comes of it; keys of a set; answers of an issuer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use aws_lc_rs::{encoding::AsDer as _, hmac, rand::SystemRandom, rsa::KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::auth::keys::fetch::fetch;
use crate::auth::keys::ring::TRIES_MAX;
use crate::auth::tests::{NOW, clock, identify_token, jwt, means, mode};
use crate::auth::{Authenticator, Means, Mint, PrivateKey, RefusalKind, mint, mint_with};
use crate::plan::key::{JwtAlgorithm, Key, KeyKind, Origin, read_set};
use crate::plan::{AuthMethod, AuthMode, HttpUrl, IssuerKeys, Jwt, KeySource, TokenKeys};
use crate::vocab::Clock as _;
use crate::webhook::Client;
use crate::webhook::application::{Application, Deed, answer};

/// A key that signs, made for this run. It signs with aws-lc itself: what verifies is not trusted to sign.
enum Pair {
    Secret(Vec<u8>),
    Rsa(Box<RsaKeyPair>),
    Curve(Vec<u8>, KeyKind),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    fn generate(kind: KeyKind) -> Self {
        let curve = |algorithm| {
            let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
            let document = pair.to_pkcs8v1().expect("a document");
            Self::Curve(document.as_ref().to_vec(), kind)
        };
        match kind {
            KeyKind::Hmac => {
                let mut secret = vec![0; 64];
                aws_lc_rs::rand::fill(&mut secret).expect("random bytes");
                Self::Secret(secret)
            }
            KeyKind::Rsa => Self::Rsa(
                RsaKeyPair::generate(KeySize::Rsa2048)
                    .expect("a key")
                    .into(),
            ),
            KeyKind::P256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            KeyKind::P384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            KeyKind::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
        }
    }

    fn sign(&self, algorithm: JwtAlgorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let hash = match algorithm {
                    JwtAlgorithm::Hs384 => hmac::HMAC_SHA384,
                    JwtAlgorithm::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(hash, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    JwtAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
                    JwtAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
                    JwtAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    JwtAlgorithm::Ps384 => &RSA_PSS_SHA384,
                    JwtAlgorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .expect("signs");
                signature
            }
            Self::Curve(_, KeyKind::P384) => self.curve(&ECDSA_P384_SHA384_FIXED_SIGNING, message),
            Self::Curve(..) => self.curve(&ECDSA_P256_SHA256_FIXED_SIGNING, message),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn curve(&self, algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
        let Self::Curve(document, _) = self else {
            panic!("not on a curve")
        };
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document).expect("a key");
        let signature = pair.sign(&SystemRandom::new(), message).expect("signs");
        signature.as_ref().to_vec()
    }

    /// The signature as ASN.1, which JWS does not have (RFC 7518 §3.4).
    fn sign_as_der(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Curve(_, KeyKind::P256) => {
                Some(self.curve(&ECDSA_P256_SHA256_ASN1_SIGNING, message))
            }
            Self::Curve(..) => Some(self.curve(&ECDSA_P384_SHA384_ASN1_SIGNING, message)),
            _ => None,
        }
    }

    /// What verifies, as a set has it.
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "k": text(secret)}),
            Self::Rsa(pair) => {
                let key = pair.public_key();
                let n = text(key.modulus().big_endian_without_leading_zero());
                let e = text(key.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Self::Curve(document, kind) => {
                let (algorithm, name) = match kind {
                    KeyKind::P384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
                    _ => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
                };
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, document).expect("a key");
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": name, "x": text(x), "y": text(y)})
            }
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
        }
    }

    /// The private key as PEM.
    fn pem(&self) -> String {
        let der = match self {
            Self::Secret(_) => panic!("a secret has no PEM"),
            Self::Rsa(pair) => {
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a document");
                der.as_ref().to_vec()
            }
            Self::Curve(document, _) => document.clone(),
            Self::Ed25519(pair) => pair.to_pkcs8v1().expect("a document").as_ref().to_vec(),
        };
        pem::encode(&pem::Pem::new("PRIVATE KEY", der))
    }
}

/// Two keys of each kind: ours, and a stranger's.
fn pairs(kind: KeyKind) -> &'static (Pair, Pair) {
    static PAIRS: [OnceLock<(Pair, Pair)>; 5] = [const { OnceLock::new() }; 5];
    PAIRS[kind as usize].get_or_init(|| (Pair::generate(kind), Pair::generate(kind)))
}

fn keys(jwks: &[Value]) -> Vec<Key> {
    let set = read_set(&json!({"keys": jwks}).to_string(), Origin::File).expect("a set");
    assert_eq!(set.skipped, [], "{jwks:?}");
    set.keys
}

fn named(mut jwk: Value, id: &str) -> Value {
    jwk["kid"] = id.into();
    jwk
}

fn mode_with(algorithms: &[JwtAlgorithm], keys: Vec<Key>) -> Arc<AuthMode> {
    let keys = TokenKeys {
        algorithms: algorithms.to_vec(),
        source: KeySource::Fixed(keys),
    };
    let jwt = Jwt {
        keys,
        issuer: Some("https://id.example.com".into()),
        audiences: vec!["chat".into()],
        ..jwt()
    };
    mode(0, AuthMethod::Jwt(jwt))
}

/// The public text of what comes of `token`, or the user's id.
fn verdict(mode: &Arc<AuthMode>, token: &str) -> String {
    // Metrics are not cheap to make, and thousands of tokens are asked about.
    static MEANS: OnceLock<Means> = OnceLock::new();
    let means = MEANS.get_or_init(|| means(clock()));
    let authenticator = Authenticator::new(std::slice::from_ref(mode), means);
    match identify_token(&authenticator, mode, token) {
        Ok(identity) => identity.user.id.to_string(),
        Err(error) => {
            assert_eq!(error.kind(), RefusalKind::Unauthenticated);
            error.to_string()
        }
    }
}

fn encoded(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn claims() -> Value {
    json!({"sub": "ann", "iss": "https://id.example.com", "aud": "chat", "exp": NOW + 60, "iat": NOW})
}

/// One algorithm's tokens.
struct Maker {
    algorithm: JwtAlgorithm,
    own: &'static Pair,
    other: &'static Pair,
}

impl Maker {
    fn of(algorithm: JwtAlgorithm) -> Self {
        let (own, other) = pairs(algorithm.key_kind());
        Self {
            algorithm,
            own,
            other,
        }
    }

    fn header(&self) -> Value {
        json!({"alg": self.algorithm.as_str(), "typ": "JWT", "kid": "own"})
    }

    fn signed_by(&self, pair: &Pair, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(payload));
        let signature = pair.sign(self.algorithm, signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        self.signed_by(self.own, &header.to_string(), &payload.to_string())
    }

    /// Good but for what `more` says of the claims.
    fn claiming(&self, more: Value) -> String {
        self.sign(&self.header(), &merged(claims(), more))
    }

    /// Good but for what `more` says of the header.
    fn headed(&self, more: Value) -> String {
        self.sign(&merged(self.header(), more), &claims())
    }

    /// Good but for its signature.
    fn with_signature(&self, signature: impl AsRef<[u8]>) -> String {
        let good = self.claiming(json!({}));
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        format!("{signed}.{}", encoded(signature))
    }
}

fn merged(mut value: Value, more: Value) -> Value {
    for (name, member) in more.as_object().expect("an object") {
        value[name] = member.clone();
    }
    value
}

const NOT_A_TOKEN: &str = "the token is not a JSON Web Token";
const ALGORITHM: &str = "the token is signed with an algorithm that is not accepted here";
const SIGNATURE: &str = "the token's signature does not match";
const UNKNOWN: &str = "the token is signed with a key that is not known here";
const CRITICAL: &str = "the token demands an extension that is not supported";
const TYPE: &str = "the token's `typ` says that it is not for logging in";

fn each(rows: impl Fn(&Maker) -> Vec<(String, &'static str)>) {
    for algorithm in JwtAlgorithm::ALL {
        let maker = Maker::of(algorithm);
        let mode = mode_with(&[algorithm], keys(&[named(maker.own.jwk(), "own")]));
        for (index, (token, expected)) in rows(&maker).iter().enumerate() {
            assert_eq!(
                verdict(&mode, token),
                *expected,
                "{algorithm:?} {index}: {token}"
            );
        }
    }
}

#[test]
fn every_algorithm_is_verified() {
    each(|maker| {
        let good = maker.claiming(json!({}));
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        let by_other = maker.signed_by(
            maker.other,
            &maker.header().to_string(),
            &claims().to_string(),
        );
        let nameless = json!({"alg": maker.algorithm.as_str()});
        let (head, _) = signed.split_once('.').expect("two parts");
        let forged = encoded(merged(claims(), json!({"sub": "eve"})).to_string());
        vec![
            (good.clone(), "ann"),
            (maker.sign(&nameless, &claims()), "ann"),
            (maker.headed(json!({"typ": "at+jwt"})), "ann"),
            (maker.claiming(json!({"aud": ["x", "chat"]})), "ann"),
            (by_other, SIGNATURE),
            (format!("{head}.{forged}.{signature}"), SIGNATURE),
            (format!("{signed}."), SIGNATURE),
            (signed.to_owned(), NOT_A_TOKEN),
            (format!("{good}.{signature}"), NOT_A_TOKEN),
            (String::new(), NOT_A_TOKEN),
            (
                maker.claiming(json!({"exp": NOW - 30})),
                "the token has expired",
            ),
            (
                maker.claiming(json!({"nbf": NOW + 31})),
                "the token is not valid yet",
            ),
            (
                maker.claiming(json!({"iat": NOW + 31})),
                "the token is not valid yet",
            ),
            (
                maker.claiming(json!({"iss": "https://evil.example"})),
                "the token is from another issuer",
            ),
            (
                maker.claiming(json!({"iss": null})),
                "the token is from another issuer",
            ),
            (
                maker.claiming(json!({"aud": "desk"})),
                "the token is meant for another audience",
            ),
            (maker.headed(json!({"kid": "other"})), UNKNOWN),
            (maker.headed(json!({"kid": 7})), NOT_A_TOKEN),
        ]
    });
}

#[test]
fn a_signature_is_exactly_the_bytes_that_it_has_to_be() {
    each(|maker| {
        let good = maker.claiming(json!({}));
        let (signed, text) = good.rsplit_once('.').expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        let mut rows = vec![
            (maker.with_signature(vec![0; bytes.len()]), SIGNATURE),
            (maker.with_signature([0; 64]), SIGNATURE),
            (maker.with_signature(vec![0xff; bytes.len()]), SIGNATURE),
            (maker.with_signature([&*bytes, &[0]].concat()), SIGNATURE),
            (maker.with_signature([&[0], &*bytes].concat()), SIGNATURE),
            (maker.with_signature(&bytes[..bytes.len() - 1]), SIGNATURE),
            (maker.with_signature(flipped), SIGNATURE),
            (maker.with_signature([0]), SIGNATURE),
            (format!("{good}="), NOT_A_TOKEN),
            (format!("{good}=="), NOT_A_TOKEN),
            (format!("{good}\n"), NOT_A_TOKEN),
            (format!("{good} "), NOT_A_TOKEN),
            (format!("{signed}.+{}", &text[1..]), NOT_A_TOKEN),
        ];
        if let Some(der) = maker.own.sign_as_der(signed.as_bytes()) {
            rows.push((maker.with_signature(der), SIGNATURE));
        }
        // The last letter has bits that mean nothing: only one way to write them counts.
        if bytes.len() % 3 != 0 {
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let last = text.chars().last().and_then(|last| alphabet.find(last));
            let next = &alphabet[last.expect("a letter") + 1..][..1];
            rows.push((format!("{}{next}", &good[..good.len() - 1]), NOT_A_TOKEN));
        }
        rows
    });
}

#[test]
fn a_header_cannot_choose_how_it_is_verified() {
    each(|maker| {
        let payload = claims().to_string();
        let unsigned = |alg: &str| {
            let header = json!({"alg": alg, "kid": "own"}).to_string();
            format!("{}.{}.", encoded(header), encoded(&payload))
        };
        let foreign = |more: Value| {
            let header = merged(json!({"alg": maker.algorithm.as_str()}), more).to_string();
            maker.signed_by(maker.other, &header, &payload)
        };
        let mut rows = vec![
            (foreign(json!({"jwk": maker.other.jwk()})), SIGNATURE),
            (
                foreign(json!({"jku": "https://evil.example/jwks"})),
                SIGNATURE,
            ),
            (
                foreign(json!({"x5u": "https://evil.example/cert", "x5c": ["AAAA"]})),
                SIGNATURE,
            ),
            (
                maker.headed(json!({"jwk": maker.other.jwk(), "jku": "https://evil.example"})),
                "ann",
            ),
            (
                maker.headed(json!({"kid": "../../../../dev/null"})),
                UNKNOWN,
            ),
            (maker.headed(json!({"kid": "own' OR '1'='1"})), UNKNOWN),
            (maker.headed(json!({"kid": "own\u{0}"})), UNKNOWN),
            (maker.headed(json!({"kid": ""})), UNKNOWN),
            (maker.headed(json!({"kid": "k".repeat(4000)})), UNKNOWN),
            (
                maker.headed(json!({"kid": "k".repeat(9000)})),
                "the token is longer than 8 KiB",
            ),
            (maker.headed(json!({"crit": ["exp"], "exp": NOW})), CRITICAL),
            (
                maker.headed(json!({"crit": ["b64"], "b64": false})),
                CRITICAL,
            ),
            (maker.headed(json!({"b64": false})), CRITICAL),
            (maker.headed(json!({"b64": true})), CRITICAL),
            (maker.headed(json!({"typ": "trunkline-join+jwt"})), TYPE),
            (
                maker.headed(json!({"typ": "application/trunkline-join+jwt"})),
                TYPE,
            ),
            (maker.headed(json!({"typ": "JOSE"})), TYPE),
            (maker.headed(json!({"typ": null})), TYPE),
            (maker.headed(json!({"alg": null})), ALGORITHM),
            (
                maker.headed(json!({"alg": [maker.algorithm.as_str()]})),
                ALGORITHM,
            ),
            (
                maker.headed(json!({"alg": maker.algorithm.as_str().to_lowercase()})),
                ALGORITHM,
            ),
        ];
        for none in ["none", "None", "NONE", "nOnE", ""] {
            rows.push((unsigned(none), ALGORITHM));
            rows.push((maker.headed(json!({"alg": none})), ALGORITHM));
        }
        let others = JwtAlgorithm::ALL
            .into_iter()
            .filter(|other| *other != maker.algorithm);
        for other in others {
            rows.push((maker.headed(json!({"alg": other.as_str()})), ALGORITHM));
            if other.key_kind() == maker.algorithm.key_kind() {
                // Signed as it says: right, and not wanted.
                rows.push((Maker::of(other).claiming(json!({})), ALGORITHM));
            }
        }
        rows
    });
}

#[test]
fn what_is_said_twice_or_wrapped_is_no_token() {
    each(|maker| {
        let alg = maker.algorithm.as_str();
        let good = maker.claiming(json!({}));
        let payload = claims().to_string();
        let raw = |header: &str, payload: &str| maker.signed_by(maker.own, header, payload);
        let header = maker.header().to_string();
        let encrypted = ["e30"; 5].join(".");
        vec![
            (
                raw(&format!(r#"{{"alg":"{alg}","alg":"none"}}"#), &payload),
                NOT_A_TOKEN,
            ),
            (
                raw(&format!(r#"{{"alg":"none","alg":"{alg}"}}"#), &payload),
                NOT_A_TOKEN,
            ),
            (
                raw(
                    &format!(r#"{{"alg":"{alg}","kid":"own","kid":"own"}}"#),
                    &payload,
                ),
                NOT_A_TOKEN,
            ),
            (
                raw(&format!(r#"{{"alg":"{alg}","\u0061lg":"none"}}"#), &payload),
                NOT_A_TOKEN,
            ),
            (
                raw(&header, &payload.replacen('{', r#"{"sub":"eve","#, 1)),
                NOT_A_TOKEN,
            ),
            (
                raw(&header, &payload.replacen('{', r#"{"exp":9999999999,"#, 1)),
                NOT_A_TOKEN,
            ),
            (raw(&header, &good), NOT_A_TOKEN),
            (
                maker.signed_by(
                    maker.own,
                    &merged(maker.header(), json!({"cty": "JWT"})).to_string(),
                    &good,
                ),
                NOT_A_TOKEN,
            ),
            (raw(&header, &format!("{payload}{payload}")), NOT_A_TOKEN),
            (raw(&header, "null"), NOT_A_TOKEN),
            (raw(&format!("[{header}]"), &payload), NOT_A_TOKEN),
            (raw(&format!("\u{feff}{header}"), &payload), NOT_A_TOKEN),
            (encrypted, NOT_A_TOKEN),
            (format!(".{good}"), NOT_A_TOKEN),
            (format!("{good}."), NOT_A_TOKEN),
            (good.replacen('.', "=.", 1), NOT_A_TOKEN),
        ]
    });
}

#[test]
fn a_public_key_is_no_secret() {
    let rs256 = Maker::of(JwtAlgorithm::Rs256);
    let jwk = rs256.own.jwk();
    let known = keys(std::slice::from_ref(&jwk));
    let Pair::Rsa(pair) = rs256.own else {
        panic!("not RSA")
    };
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
        pair.public_key().as_der().expect("a document");
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", spki.as_ref()));
    let guesses = [
        known[0].bytes().to_vec(),
        spki.as_ref().to_vec(),
        pem.clone().into_bytes(),
        pem.replace("\r\n", "\n").into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap_or_default().as_bytes().to_vec(),
        Vec::new(),
    ];
    let right = mode_with(&[JwtAlgorithm::Rs256], known.clone());
    // No file can say so; were it to come about, the kind of the key would still stand before it.
    let careless = mode_with(&[JwtAlgorithm::Rs256, JwtAlgorithm::Hs256], known);
    for guess in guesses {
        let hs256 = Maker::of(JwtAlgorithm::Hs256);
        let header = json!({"alg": "HS256"}).to_string();
        let token = hs256.signed_by(&Pair::Secret(guess), &header, &claims().to_string());
        assert_eq!(verdict(&right, &token), ALGORITHM);
        assert_eq!(verdict(&careless, &token), UNKNOWN);
    }
}

#[test]
fn a_token_names_its_key_or_is_tried_with_each() {
    let maker = Maker::of(JwtAlgorithm::Es256);
    let (own, other) = (maker.own.jwk(), maker.other.jwk());
    let with = |jwk: &Value, more: Value| merged(jwk.clone(), more);
    let rsa = pairs(KeyKind::Rsa).0.jwk();
    let many = |count: usize| {
        let mut set = vec![named(other.clone(), "x"); count];
        set.push(named(own.clone(), "own"));
        set
    };
    for (set, key_id, expected) in [
        (vec![own.clone()], None, "ann"),
        (vec![own.clone()], Some("any"), "ann"),
        (vec![named(own.clone(), "own")], None, "ann"),
        (
            vec![named(other.clone(), "x"), named(own.clone(), "own")],
            Some("own"),
            "ann",
        ),
        (
            vec![named(other.clone(), "x"), named(own.clone(), "own")],
            Some("x"),
            SIGNATURE,
        ),
        (
            vec![named(other.clone(), "own"), named(own.clone(), "own")],
            Some("own"),
            "ann",
        ),
        (
            vec![named(other.clone(), "x"), own.clone()],
            Some("own"),
            "ann",
        ),
        (vec![named(other.clone(), "x")], Some("own"), UNKNOWN),
        (vec![named(rsa.clone(), "own")], Some("own"), UNKNOWN),
        (vec![rsa], None, UNKNOWN),
        (
            vec![with(&own, json!({"alg": "ES256", "use": "sig"}))],
            None,
            "ann",
        ),
        (many(TRIES_MAX - 1), None, "ann"),
        (many(TRIES_MAX), None, SIGNATURE),
        (many(TRIES_MAX), Some("own"), "ann"),
        (vec![], None, UNKNOWN),
        (vec![], Some("own"), UNKNOWN),
    ] {
        let mode = mode_with(&[JwtAlgorithm::Es256, JwtAlgorithm::Rs256], keys(&set));
        let mut header = json!({"alg": "ES256"});
        if let Some(key_id) = key_id {
            header["kid"] = key_id.into();
        }
        let found = verdict(&mode, &maker.sign(&header, &claims()));
        assert_eq!(found, expected, "{key_id:?} {set:?}");
    }
    // A key that says that it is for one algorithm does no other.
    let ps256 = Maker::of(JwtAlgorithm::Ps256);
    let only = merged(ps256.own.jwk(), json!({"alg": "RS256"}));
    let mode = mode_with(&[JwtAlgorithm::Ps256, JwtAlgorithm::Rs256], keys(&[only]));
    let nameless = |maker: &Maker| maker.sign(&json!({"alg": maker.algorithm.as_str()}), &claims());
    assert_eq!(verdict(&mode, &nameless(&ps256)), UNKNOWN);
    assert_eq!(
        verdict(&mode, &nameless(&Maker::of(JwtAlgorithm::Rs256))),
        "ann"
    );
}

#[test]
fn a_short_secret_does_no_long_hash() {
    for (bytes, algorithm, expected) in [
        (32, JwtAlgorithm::Hs256, "ann"),
        (47, JwtAlgorithm::Hs384, UNKNOWN),
        (48, JwtAlgorithm::Hs384, "ann"),
        (63, JwtAlgorithm::Hs512, UNKNOWN),
        (64, JwtAlgorithm::Hs512, "ann"),
    ] {
        let pair = Pair::Secret(vec![b'k'; bytes]);
        let maker = Maker::of(algorithm);
        let mode = mode_with(&[algorithm], keys(&[pair.jwk()]));
        let header = json!({"alg": algorithm.as_str()}).to_string();
        let token = maker.signed_by(&pair, &header, &claims().to_string());
        assert_eq!(verdict(&mode, &token), expected, "{bytes}");
    }
}

fn wanted() -> Mint<'static> {
    Mint {
        user_id: "ann",
        username: None,
        claims: serde_json::Map::new(),
        expires: Duration::from_secs(60),
    }
}

#[test]
fn a_token_is_minted_with_every_kind_of_key() {
    let now = clock().now();
    for algorithm in JwtAlgorithm::ALL {
        let maker = Maker::of(algorithm);
        let mode = mode_with(&[algorithm], keys(&[named(maker.own.jwk(), "own")]));
        if algorithm.key_kind() == KeyKind::Hmac {
            let token = mint(&mode, &wanted(), now).expect("a token");
            assert_eq!(verdict(&mode, &token), "ann");
            continue;
        }
        let own = PrivateKey::from_pem(&maker.own.pem()).expect("a key");
        assert!(!format!("{own:?}").contains("MI"), "{own:?}");
        let token = mint_with(&mode, &wanted(), &own, now).expect("a token");
        assert_eq!(verdict(&mode, &token), "ann", "{algorithm:?}");
        let other = PrivateKey::from_pem(&maker.other.pem()).expect("a key");
        let refused = mint_with(&mode, &wanted(), &other, now).map_err(|error| error.to_string());
        let expected = format!("the server would refuse this token: {SIGNATURE}");
        assert_eq!(refused, Err(expected));
        let refused = mint(&mode, &wanted(), now).map_err(|error| error.to_string());
        let expected = "the auth mode `mode0` only verifies: sign with the issuer's private key, `--key FILE.pem`";
        assert_eq!(refused, Err(expected.to_owned()));
    }
    let ed25519 = PrivateKey::from_pem(&pairs(KeyKind::Ed25519).0.pem()).expect("a key");
    let mode = mode_with(&[JwtAlgorithm::Rs256, JwtAlgorithm::Es256], Vec::new());
    let refused = mint_with(&mode, &wanted(), &ed25519, now).map_err(|error| error.to_string());
    let expected =
        "the auth mode `mode0` takes RS256, ES256, and an Ed25519 key can do none of them";
    assert_eq!(refused, Err(expected.to_owned()));
    // Whether a key belongs to an issuer is not known here: the claims are.
    let mode = issuer_mode("http://127.0.0.1:1/keys", None);
    let p256 = PrivateKey::from_pem(&pairs(KeyKind::P256).0.pem()).expect("a key");
    assert!(mint_with(&mode, &wanted(), &p256, now).is_ok());
    let nobody = Mint {
        user_id: "anon:1",
        ..wanted()
    };
    assert!(mint_with(&mode, &nobody, &p256, now).is_err());
}

#[test]
fn private_keys_are_read_in_their_forms() {
    use aws_lc_rs::encoding::EcPrivateKeyRfc5915Der;
    let p256 = Maker::of(JwtAlgorithm::Es256);
    let rsa = Maker::of(JwtAlgorithm::Rs256);
    let Pair::Curve(document, _) = p256.own else {
        panic!("not on a curve")
    };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document).expect("a key");
    let private = pair.private_key();
    let sec1: EcPrivateKeyRfc5915Der<'_> = private.as_der().expect("a document");
    let sec1 = pem::encode(&pem::Pem::new("EC PRIVATE KEY", sec1.as_ref()));
    let parameters = pem::encode(&pem::Pem::new("EC PARAMETERS", [6, 0]));
    let wrapped = pem::parse(rsa.own.pem()).expect("PEM");
    // Behind version, algorithm and the lengths around it, which are the same for every key of 2048 bits.
    let pkcs1 = &wrapped.contents()[26..];
    let pkcs1 = pem::encode(&pem::Pem::new("RSA PRIVATE KEY", pkcs1));
    let public = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/keys/p256.pem"
    ));
    let missing = "it has no whole block `-----BEGIN PRIVATE KEY-----`";
    let kind =
        "it is neither RSA with 2048 to 8192 bits nor on the curves P-256, P-384 and Ed25519";
    let damaged = pem::encode(&pem::Pem::new("PRIVATE KEY", [48, 0]));
    let encrypted = pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", [48, 0]));
    for (text, expected) in [
        (sec1.clone(), "a P-256 key"),
        (format!("{parameters}{sec1}"), "a P-256 key"),
        (pkcs1, "an RSA key"),
        (rsa.own.pem(), "an RSA key"),
        (damaged, kind),
        (
            encrypted,
            "it is encrypted: `openssl pkey -in FILE` writes it in the clear",
        ),
        (public.expect("the fixture is there"), missing),
        (String::new(), missing),
    ] {
        let told = match PrivateKey::from_pem(&text) {
            Ok(key) => {
                let algorithm = if key.kind() == KeyKind::Rsa {
                    JwtAlgorithm::Rs256
                } else {
                    JwtAlgorithm::Es256
                };
                let mode = mode_with(&[algorithm], keys(&[Maker::of(algorithm).own.jwk()]));
                let token = mint_with(&mode, &wanted(), &key, clock().now()).expect("a token");
                assert_eq!(verdict(&mode, &token), "ann");
                key.kind().to_string()
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn a_changed_file_of_keys_is_read_again_and_a_broken_one_changes_nothing() {
    let maker = Maker::of(JwtAlgorithm::EdDsa);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let (own, other) = (
        named(maker.own.jwk(), "own"),
        named(maker.other.jwk(), "other"),
    );
    let write = |text: &str| std::fs::write(&path, text).expect("writes");
    let set = |keys: &[&Value]| json!({"keys": keys}).to_string();
    let keys = TokenKeys {
        algorithms: vec![JwtAlgorithm::EdDsa],
        source: KeySource::File {
            path: path.clone(),
            keys: keys(std::slice::from_ref(&own)),
        },
    };
    let mode = mode(0, AuthMethod::Jwt(Jwt { keys, ..jwt() }));
    let clock = clock();
    let authenticator = Authenticator::new(std::slice::from_ref(&mode), &means(clock.clone()));
    let token = maker.claiming(json!({}));
    let told = || match identify_token(&authenticator, &mode, &token) {
        Ok(identity) => identity.user.id.to_string(),
        Err(error) => error.to_string(),
    };
    // Not there at all: what the check saw is still good.
    let look = || {
        clock.advance(Duration::from_secs(1));
        authenticator.refresh_key_files();
    };
    look();
    assert_eq!(told(), "ann");
    write(&set(&[&other]));
    authenticator.refresh_key_files();
    assert_eq!(told(), "ann", "too soon");
    look();
    assert_eq!(told(), UNKNOWN);
    write("{\"keys\": [");
    look();
    assert_eq!(told(), UNKNOWN);
    write(&set(&[&other, &own]));
    look();
    assert_eq!(told(), "ann");
    std::fs::remove_file(&path).expect("removes");
    look();
    assert_eq!(told(), "ann");
}

fn issuer_keys(url: &str, issuer: Option<&str>) -> IssuerKeys {
    IssuerKeys {
        url: HttpUrl::parse(url).expect("a URL"),
        issuer: issuer.map(Into::into),
        wait: Duration::from_secs(10),
    }
}

fn issuer_mode(url: &str, issuer: Option<&str>) -> Arc<AuthMode> {
    let keys = TokenKeys {
        algorithms: vec![JwtAlgorithm::Es256],
        source: KeySource::Issuer(issuer_keys(url, issuer)),
    };
    mode(0, AuthMethod::Jwt(Jwt { keys, ..jwt() }))
}

/// What comes of fetching where `/keys` gives this answer.
async fn fetched(given: Vec<u8>) -> String {
    let application = Application::start(move |_| Deed::Close(given.clone())).await;
    let keys = issuer_keys(&format!("{}/keys", application.url), None);
    let told = match fetch(&Client::new(), &keys).await {
        Ok((set, lifetime)) => format!("{} for {}", set.keys.len(), lifetime.as_secs()),
        Err(error) => error.to_string(),
    };
    assert_eq!(application.requests().len(), 1, "{told}");
    told.replace(&application.url, "http://issuer")
}

#[tokio::test]
async fn a_set_is_fetched_or_the_reason_told() {
    let set = json!({"keys": [pairs(KeyKind::P256).0.jwk(), {"kty": "oct", "k": "AAAA"}, {"kty": "new"}]}).to_string();
    let with = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let status = |status: u16| format!("http://issuer/keys answered with the status {status}");
    let no_set =
        |error: &str| format!("what http://issuer/keys answered is no JSON Web Key Set: {error}");
    let large = "x".repeat(300 * 1024);
    for (given, expected) in [
        (answer(200, &set), "1 for 300".to_owned()),
        (
            with("200 OK", "cache-control: public, max-age=7200\r\n", &set),
            "1 for 7200".into(),
        ),
        (
            with("200 OK", "cache-control: max-age=1\r\nage: 5\r\n", &set),
            "1 for 60".into(),
        ),
        (
            with("200 OK", "content-type: text/plain\r\n", &set),
            "1 for 300".into(),
        ),
        (answer(200, "{\"keys\":[]}"), "0 for 300".into()),
        (answer(500, &set), status(500)),
        (answer(404, ""), status(404)),
        (answer(201, &set), status(201)),
        (
            with("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            status(302),
        ),
        (
            answer(200, "<html>busy</html>"),
            no_set("it is not JSON with each key once"),
        ),
        (
            answer(200, "{}"),
            no_set("it is not an object with a list `keys` of objects"),
        ),
        (
            answer(200, &large),
            "the answer of http://issuer/keys is longer than 262144 bytes".into(),
        ),
        (
            with("200 OK", "", "").into_iter().chain([0xff]).collect(),
            no_set("it is not JSON with each key once"),
        ),
    ] {
        assert_eq!(fetched(given).await, expected);
    }
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let set = json!({"keys": [pairs(KeyKind::P256).0.jwk()]}).to_string();
    let not_one =
        "what ISSUER/.well-known/openid-configuration answered is not an OpenID configuration";
    let other = "ISSUER/.well-known/openid-configuration answers for another issuer: its `issuer` has to be exactly the one of the file";
    let exposed = "ISSUER/.well-known/openid-configuration names a `jwks_uri` that is not https";
    for (document, expected) in [
        (
            r#"{"issuer": "ISSUER/", "jwks_uri": "ISSUER/keys", "more": [{}]}"#,
            "1",
        ),
        (r#"{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"}"#, other),
        (
            r#"{"issuer": "https://evil.example/", "jwks_uri": "ISSUER/keys"}"#,
            other,
        ),
        (
            r#"{"issuer": ["ISSUER/"], "jwks_uri": "ISSUER/keys"}"#,
            not_one,
        ),
        (r#"{"jwks_uri": "ISSUER/keys"}"#, not_one),
        (r#"{"issuer": "ISSUER/"}"#, not_one),
        (
            r#"{"issuer": "ISSUER/", "issuer": "ISSUER/", "jwks_uri": "ISSUER/keys"}"#,
            not_one,
        ),
        (
            r#"{"issuer": "ISSUER/", "jwks_uri": "http://id.example.com/keys"}"#,
            exposed,
        ),
        (
            r#"{"issuer": "ISSUER/", "jwks_uri": "http://169.254.169.254/keys"}"#,
            exposed,
        ),
        (
            r#"{"issuer": "ISSUER/", "jwks_uri": "file:///etc/passwd"}"#,
            "the `jwks_uri` that ISSUER/.well-known/openid-configuration names is no URL of HTTP: it does not begin with `http://` or `https://`",
        ),
        ("<html>", not_one),
        ("[]", not_one),
    ] {
        let set = set.clone();
        let application = Application::start(move |request| {
            if request.starts_with("GET /keys ") {
                return Deed::Close(answer(200, &set));
            }
            let host = request.lines().find_map(|line| line.strip_prefix("host: "));
            let issuer = format!("http://{}", host.expect("a host"));
            Deed::Close(answer(200, &document.replace("ISSUER", &issuer)))
        })
        .await;
        let url = format!("{}/.well-known/openid-configuration", application.url);
        let keys = issuer_keys(&url, Some(&format!("{}/", application.url)));
        let told = match fetch(&Client::new(), &keys).await {
            Ok((set, _)) => set.keys.len().to_string(),
            Err(error) => error.to_string().replace(&application.url, "ISSUER"),
        };
        assert_eq!(told, expected, "{document}");
    }
}

#[tokio::test]
async fn an_application_that_hangs_keeps_no_keys_away() {
    let maker = Maker::of(JwtAlgorithm::Es256);
    let set = json!({"keys": [named(maker.own.jwk(), "own")]}).to_string();
    let issuer = Application::start(move |_| Deed::Answer(answer(200, &set))).await;
    let mode = issuer_mode(&issuer.url, None);
    // As many calls as may be are under way.
    let means = Means {
        client: Arc::new(Client::with_places(0)),
        ..means(clock())
    };
    let authenticator = Arc::new(Authenticator::new(std::slice::from_ref(&mode), &means));
    let fetching = tokio::spawn(authenticator.clone().fetch_keys(means));
    let token = maker.claiming(json!({}));
    let identity = authenticator.identify_token(&mode, &token).await;
    assert_eq!(identity.expect("keys came").user.id.as_str(), "ann");
    fetching.abort();
}

#[tokio::test]
async fn a_key_is_unknown_when_the_issuer_says_so_to_one_who_asked_later() {
    let maker = Maker::of(JwtAlgorithm::Es256);
    let set = json!({"keys": [named(maker.own.jwk(), "own")]}).to_string();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (asked, asking) = (Arc::new(tokio::sync::Notify::new()), gate.clone());
    let told = asked.clone();
    let issuer = Application::start(move |_| {
        told.notify_one();
        Deed::AnswerWhen(asking.clone(), answer(200, &set))
    })
    .await;
    let mode = issuer_mode(&issuer.url, None);
    let (clock, mut kinds) = (clock(), Vec::new());
    let means = means(clock.clone());
    let authenticator = Arc::new(Authenticator::new(std::slice::from_ref(&mode), &means));
    let fetching = tokio::spawn(authenticator.clone().fetch_keys(means));
    asked.notified().await;
    gate.add_permits(1);
    authenticator.first_keys().await;
    let unknown = maker.headed(json!({"kid": "unknown"}));
    let identify = || authenticator.identify_token(&mode, &unknown);
    // One has the issuer asked, another comes while it is.
    let mut first = Box::pin(identify());
    assert!((&mut first).now_or_never().is_none());
    asked.notified().await;
    let mut second = Box::pin(identify());
    assert!((&mut second).now_or_never().is_none());
    gate.add_permits(1);
    for one in [first, second] {
        kinds.push(one.await.expect_err("nobody knows it").kind());
    }
    // One comes when it may not be asked, and one when it may again.
    kinds.push(identify().await.expect_err("nobody knows it").kind());
    clock.advance(Duration::from_secs(31));
    gate.add_permits(1);
    kinds.push(identify().await.expect_err("nobody knows it").kind());
    let (refused, later) = (RefusalKind::Unauthenticated, RefusalKind::Unavailable);
    assert_eq!(kinds, [refused, later, later, refused]);
    assert_eq!(issuer.requests().len(), 3);
    fetching.abort();
}

#[tokio::test]
async fn nobody_is_let_in_before_the_keys_have_come() {
    let keys = TokenKeys {
        algorithms: vec![JwtAlgorithm::Es256],
        source: KeySource::Issuer(IssuerKeys {
            wait: Duration::from_millis(1),
            ..issuer_keys("http://127.0.0.1:1/keys", None)
        }),
    };
    let mode = mode(0, AuthMethod::Jwt(Jwt { keys, ..jwt() }));
    let authenticator = Authenticator::new(std::slice::from_ref(&mode), &means(clock()));
    let token = Maker::of(JwtAlgorithm::Es256).claiming(json!({}));
    // Nobody fetches, so that the wait is over before anything comes.
    let refused = authenticator.identify_token(&mode, &token).await;
    let refused = refused.expect_err("there are no keys");
    assert_eq!(refused.kind(), RefusalKind::Unavailable);
    // What no key could help is told at once.
    let refused = authenticator.identify_token(&mode, "nonsense").await;
    assert_eq!(refused.expect_err("no token").to_string(), NOT_A_TOKEN);
}

proptest::proptest! {
    #[test]
    fn a_token_of_which_anything_is_changed_is_refused(at in 0_usize..1000, letter in "[A-Za-z0-9_.=+/ -]") {
        let maker = Maker::of(JwtAlgorithm::Es256);
        let mode = mode_with(&[JwtAlgorithm::Es256], keys(&[named(maker.own.jwk(), "own")]));
        let mut token = maker.claiming(json!({}));
        let at = at % token.len();
        let unchanged = token[at..].starts_with(&letter);
        token.replace_range(at..=at, &letter);
        proptest::prop_assert_eq!(verdict(&mode, &token) == "ann", unchanged, "{}", token);
    }
}
