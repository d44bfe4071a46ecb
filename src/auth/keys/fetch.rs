//! Asking an issuer for its keys: its set, or its OpenID configuration first (OpenID Connect Discovery 1.0 §4).

use std::time::Duration;

use serde_json::Value;

use crate::auth::keys::schedule::lifetime;
use crate::plan::key::{KeySet, Origin, SET_BYTES_MAX, SetError, read_set};
use crate::plan::{HttpUrl, HttpUrlError, IssuerKeys};
use crate::vocab::json;
use crate::webhook::{Answer, CallError, Client};

/// For each of the two calls, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
const DEPTH_MAX: usize = 16;

/// Why an issuer brought no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{url} answered with the status {status}")]
    Status { url: HttpUrl, status: u16 },
    #[error("the answer of {0} is not UTF-8")]
    NotText(HttpUrl),
    #[error("what {url} answered is no JSON Web Key Set: {error}")]
    Set { url: HttpUrl, error: SetError },
    #[error("what {0} answered is not an OpenID configuration")]
    NotConfiguration(HttpUrl),
    /// Who it says it is stays out of the log: it may be anything.
    #[error("{0} answers for another issuer: its `issuer` has to be exactly the one of the file")]
    Issuer(HttpUrl),
    #[error("the `jwks_uri` that {url} names is no URL of HTTP: {error}")]
    Link { url: HttpUrl, error: HttpUrlError },
    #[error("{0} names a `jwks_uri` that is not https")]
    Exposed(HttpUrl),
}

/// The set, and for how long it is good.
pub(super) async fn fetch(
    client: &Client,
    keys: &IssuerKeys,
) -> Result<(KeySet, Duration), FetchError> {
    let url = match &keys.issuer {
        Some(issuer) => discover(client, &keys.url, issuer).await?,
        None => keys.url.clone(),
    };
    let answer = get(client, &url).await?;
    let text = text(&url, &answer)?;
    let set = read_set(text, Origin::Network).map_err(|error| FetchError::Set { url, error })?;
    let lifetime = lifetime(answer.header("cache-control"), answer.header("age"));
    Ok((set, lifetime))
}

/// Where the issuer says that its set is.
async fn discover(client: &Client, at: &HttpUrl, issuer: &str) -> Result<HttpUrl, FetchError> {
    let answer = get(client, at).await?;
    link(text(at, &answer)?, at, issuer)
}

/// The `jwks_uri` of the OpenID configuration `document`, which stands `at` a place of `issuer`.
fn link(document: &str, at: &HttpUrl, issuer: &str) -> Result<HttpUrl, FetchError> {
    let not_one = || FetchError::NotConfiguration(at.clone());
    let document = json::parse(document, DEPTH_MAX).map_err(|_| not_one())?;
    let member = |name: &str| {
        let text = document.get(name).and_then(Value::as_str);
        text.ok_or_else(not_one)
    };
    // Otherwise somebody who may answer for one path of a host could answer for all (§4.3).
    if member("issuer")? != issuer {
        return Err(FetchError::Issuer(at.clone()));
    }
    let link = HttpUrl::parse(member("jwks_uri")?).map_err(|error| FetchError::Link {
        url: at.clone(),
        error,
    })?;
    // An issuer elsewhere must not send us to this machine's own services in the clear.
    let is_plain = |url: &HttpUrl| url.uri().scheme_str() == Some("http");
    if link.is_exposed() || (is_plain(&link) && !is_plain(at)) {
        return Err(FetchError::Exposed(at.clone()));
    }
    Ok(link)
}

async fn get(client: &Client, url: &HttpUrl) -> Result<Answer, FetchError> {
    let answer = client.get(url, &[], TIMEOUT, SET_BYTES_MAX).await?;
    match answer.status {
        200 => Ok(answer),
        status => Err(FetchError::Status {
            url: url.clone(),
            status,
        }),
    }
}

fn text<'a>(url: &HttpUrl, answer: &'a Answer) -> Result<&'a str, FetchError> {
    str::from_utf8(&answer.body).map_err(|_| FetchError::NotText(url.clone()))
}

#[cfg(test)]
mod tests {
    use super::link;
    use crate::plan::HttpUrl;

    #[test]
    fn an_issuer_elsewhere_does_not_point_to_this_machine_in_the_clear() {
        for (at, uri, allowed) in [
            (
                "https://id.example.com/x",
                "https://keys.example.com/",
                true,
            ),
            ("https://id.example.com/x", "https://127.0.0.1/", true),
            ("https://id.example.com/x", "http://127.0.0.1:9000/", false),
            ("https://id.example.com/x", "http://localhost/", false),
            (
                "https://id.example.com/x",
                "http://keys.example.com/",
                false,
            ),
            ("http://127.0.0.1/x", "http://127.0.0.1:9000/", true),
            ("http://127.0.0.1/x", "http://keys.example.com/", false),
        ] {
            let at = HttpUrl::parse(at).expect("a URL");
            let document = format!(r#"{{"issuer": "i", "jwks_uri": "{uri}"}}"#);
            assert_eq!(link(&document, &at, "i").is_ok(), allowed, "{at} {uri}");
        }
    }
}
