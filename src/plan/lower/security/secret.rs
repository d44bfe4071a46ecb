//! Secrets that stand in the file itself.

use crate::config::{AuthMethod, Config, JwtKey, Read, Spanned};
use crate::diag::Diagnostic;
use crate::diag::catalogue::security as codes;
use crate::vocab::Secret;

/// Finds secrets whose text is the file's own.
pub(in crate::plan::lower) fn secrets_in_file(read: &Read) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (what, secret) in secrets(&read.config) {
        let written = read.sources.text(secret.span);
        if secret.value.expose().is_empty() || !written.contains(secret.value.expose()) {
            continue;
        }
        let message =
            format!("the secret of {what} stands in the file: whoever reads the file has it");
        let help = match written.contains("${") {
            true => "leave the default out: the variable has to be set then",
            false => {
                "take it from the environment, `secret: \"${NAME}\"`, or from a file, `secret_file: PATH`"
            }
        };
        findings.push(Diagnostic::new(&codes::SECRET_IN_FILE, secret.span, message).help(help));
    }
    findings
}

fn secrets(config: &Config) -> Vec<(String, &Spanned<Secret>)> {
    let mut found = Vec::new();
    for (name, mode) in &config.auth {
        if let Some(AuthMethod::Jwt(jwt)) = &mode.method
            && let Some(JwtKey::Secret(secret)) = &jwt.value.key
        {
            found.push((format!("`{}`", name.value), secret));
        }
    }
    let keys = config.server.api.iter().flat_map(|api| &api.value.keys);
    for (name, key) in keys {
        let what = || format!("the API key `{}`", name.value);
        found.extend(key.secret.iter().map(|secret| (what(), secret)));
    }
    for (name, webhook) in &config.webhooks {
        let what = || format!("the webhook `{}`", name.value);
        found.extend(webhook.secret.iter().map(|secret| (what(), secret)));
    }
    found
}
