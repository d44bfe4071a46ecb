//! URLs without their secrets, for log lines.

/// Query parameters whose values are never logged, whatever the file calls its own.
pub const CREDENTIAL_NAMES: [&str; 12] = [
    "token",
    "join_token",
    "access_token",
    "id_token",
    "refresh_token",
    "jwt",
    "auth",
    "authorization",
    "key",
    "api_key",
    "secret",
    "password",
];

const HIDDEN: &str = "…";

/// A URL or a query (with or without `?`) whose credentials are replaced by `…`: the values of [`CREDENTIAL_NAMES`] and of `names`,
/// the query parameters that the file's auth modes read. Names are compared decoded and without case.
pub fn redact(url_or_query: &str, names: &[&str]) -> String {
    let (before, query) = match url_or_query.split_once('?') {
        Some((before, query)) => (Some(before), query),
        None if url_or_query.contains('=') && !url_or_query.starts_with('/') => {
            (None, url_or_query)
        }
        None => return url_or_query.to_owned(),
    };
    let (query, fragment) = match query.split_once('#') {
        Some((query, fragment)) => (query, Some(fragment)),
        None => (query, None),
    };
    let hides = |name: &str| {
        let name = decoded(name);
        CREDENTIAL_NAMES
            .iter()
            .chain(names)
            .any(|hidden| hidden.eq_ignore_ascii_case(&name))
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && hides(name) => format!("{name}={HIDDEN}"),
            _ => pair.to_owned(),
        })
        .collect();
    let before = before
        .map(|before| format!("{before}?"))
        .unwrap_or_default();
    // A fragment never reaches a server; one that does (implicit OAuth flows) is made of credentials.
    let after = fragment.map(|_| format!("#{HIDDEN}")).unwrap_or_default();
    format!("{before}{}{after}", pairs.join("&"))
}

/// `name` with its `%XX` and `+` decoded, as the server reads it.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn credentials_leave_urls() {
        for (text, expected) in [
            ("/ws/room/1?token=abc&since=x", "/ws/room/1?token=…&since=x"),
            ("token=abc&since=x", "token=…&since=x"),
            ("?since=x&TOKEN=abc=def", "?since=x&TOKEN=…"),
            ("/ws?t%6Fken=abc", "/ws?t%6Fken=…"),
            ("/ws?ticket=abc", "/ws?ticket=…"),
            ("/ws?tickets=abc", "/ws?tickets=abc"),
            ("/ws?token=a&token=b&token=", "/ws?token=…&token=…&token="),
            ("/ws?token", "/ws?token"),
            ("/ws?%zz=1&%6=2&token=c", "/ws?%zz=1&%6=2&token=…"),
            ("/a=b", "/a=b"),
            ("/ws?a=1#access_token=x", "/ws?a=1#…"),
            ("https://h/ws?a=1?token=b", "https://h/ws?a=1?token=b"),
            ("", ""),
        ] {
            assert_eq!(redact(text, &["ticket"]), expected, "{text}");
        }
    }
}
