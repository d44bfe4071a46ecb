//! The folder that accounts and certificates are kept in: its files are for this user alone, and each is there as a whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::acme::error::AcmeError;
use crate::certificate::{Certificate, FILE_BYTES_MAX};
use crate::plan::Acme;

/// Where the account at an authority is kept, and the certificate of an order.
pub(super) struct Cache {
    folder: PathBuf,
    account: PathBuf,
    certificate: PathBuf,
}

impl Cache {
    /// The files of `acme`: an account for each authority, a certificate for each list of domains. They are named by the first domain
    /// and a hash of the rest.
    pub(super) fn of(acme: &Acme) -> Self {
        let hash = |text: &str| -> String {
            let digest = digest(&SHA256, text.as_bytes());
            digest.as_ref()[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        let first = acme.domains.first().map_or("", |domain| &**domain);
        let order = format!("{} {}", acme.directory, acme.domains.join(" "));
        Self {
            account: acme
                .cache
                .join(format!("account-{}.json", hash(&acme.directory))),
            certificate: acme.cache.join(format!("{first}-{}.pem", hash(&order))),
            folder: acme.cache.clone(),
        }
    }

    /// What is known of the account, where there is one.
    pub(super) fn account(&self) -> Result<Option<String>, AcmeError> {
        read(&self.account).map_err(|cause| at(&self.account, cause))
    }

    /// Keeps the account.
    pub(super) fn keep_account(&self, text: &str) -> Result<(), AcmeError> {
        self.keep(&self.account, text)
    }

    /// Removes the account.
    pub(super) fn forget_account(&self) -> Result<(), AcmeError> {
        fs::remove_file(&self.account).map_err(|cause| at(&self.account, cause))
    }

    /// That the account's file holds nonsense.
    pub(super) fn bad_account(&self, cause: &serde_json::Error) -> AcmeError {
        AcmeError::CacheContent {
            file: self.account.clone(),
            // Where, and not what: it holds a key.
            cause: format!("line {}, column {}", cause.line(), cause.column()),
        }
    }

    /// The certificate, where there is one.
    pub(super) fn certificate(&self) -> Result<Option<Certificate>, AcmeError> {
        let file = &self.certificate;
        let Some(text) = read(file).map_err(|cause| at(file, cause))? else {
            return Ok(None);
        };
        let certificate = Certificate::read(text.as_bytes(), text.as_bytes());
        certificate
            .map(Some)
            .map_err(|error| AcmeError::CacheContent {
                file: file.clone(),
                cause: error.to_string(),
            })
    }

    /// Keeps a certificate: its chain and its key, in PEM.
    pub(super) fn keep_certificate(&self, text: &str) -> Result<(), AcmeError> {
        self.keep(&self.certificate, text)
    }

    fn keep(&self, file: &Path, text: &str) -> Result<(), AcmeError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.folder)
            .map_err(|cause| at(&self.folder, cause))?;
        write(file, text).map_err(|cause| at(file, cause))
    }
}

fn at(file: &Path, cause: io::Error) -> AcmeError {
    AcmeError::Cache {
        file: file.to_owned(),
        cause,
    }
}

fn read(file: &Path) -> io::Result<Option<String>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    opened
        .take(FILE_BYTES_MAX as u64)
        .read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Beside it and then in its place, so that after a crash the file is the old or the new one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&beside, file)?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::Cache;
    use crate::acme::error::AcmeError;
    use crate::plan::Acme;

    fn acme(folder: &Path, domains: &[&str]) -> Acme {
        Acme {
            domains: domains.iter().map(|domain| (*domain).into()).collect(),
            email: None,
            directory: "https://authority.example/directory".into(),
            cache: folder.join("below").join("acme"),
            ca_file: None,
        }
    }

    #[test]
    fn what_is_kept_is_for_this_user_alone_and_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let acme = acme(folder.path(), &["rt.example.com"]);
        let cache = Cache::of(&acme);
        assert!(matches!(cache.account(), Ok(None)));
        assert!(matches!(cache.certificate(), Ok(None)));
        cache.keep_account("{}").expect("writes");
        cache.keep_account("{\"more\":1}").expect("writes again");
        assert_eq!(
            cache.account().ok().flatten().as_deref(),
            Some("{\"more\":1}")
        );
        let key = rcgen::generate_simple_self_signed(["rt.example.com".to_owned()]).expect("signs");
        let text = key.cert.pem() + &key.signing_key.serialize_pem();
        cache.keep_certificate(&text).expect("writes");
        let kept = cache.certificate().expect("reads").expect("it is there");
        assert_eq!(&*kept.names()[0], "rt.example.com");
        let mode = |path: &Path| {
            let meta = std::fs::metadata(path).expect("it is there");
            meta.permissions().mode() & 0o777
        };
        assert_eq!(mode(&acme.cache), 0o700);
        let files = std::fs::read_dir(&acme.cache).expect("it is there");
        let modes: Vec<u32> = files
            .map(|file| mode(&file.expect("a file").path()))
            .collect();
        assert_eq!(modes, [0o600, 0o600], "nothing else is left");
    }

    #[test]
    fn other_orders_have_other_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = Cache::of(&acme(folder.path(), &["a.example"]));
        let two = Cache::of(&acme(folder.path(), &["a.example", "b.example"]));
        assert_ne!(one.certificate, two.certificate);
        assert_eq!(one.account, two.account);
    }

    #[test]
    fn nonsense_is_said_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::of(&acme(folder.path(), &["a.example"]));
        cache.keep_certificate("-----BEGIN SECRET").expect("writes");
        let error = cache.certificate().expect_err("it is no certificate");
        assert!(matches!(error, AcmeError::CacheContent { .. }), "{error}");
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}
