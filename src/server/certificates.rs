//! The certificates of files: read at the start, and again whenever they change, for handshakes that begin later.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::acme::Keeper;
use crate::certificate::{Certificate, CertificateError, FILE_BYTES_MAX};
use crate::config::{DiskFiles, Files as _};
use crate::plan::{CertificateFiles, Listener, Tls as TlsPlan};
use crate::telemetry::Metrics;
use crate::transport::tls::{Certificates, Tls, TlsError};
use crate::vocab::{Clock, Timestamp};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whoever has less time than this left is reminded, once a day.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Why the certificates of files cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {file}: {cause}")]
    Read {
        /// Which.
        file: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A chain or key is not what it has to be.
    #[error("{file} cannot be used: {error}; {}", error.repair())]
    Content {
        /// The chain's file.
        file: String,
        /// What is wrong.
        error: CertificateError,
    },
}

/// What tells one version of a file from the next, without reading it.
type Version = Option<(SystemTime, u64)>;

/// The certificates of one `tls`, and where they come from.
struct Source {
    plan: Arc<TlsPlan>,
    tls: Tls,
    looked: Mutex<Looked>,
}

#[derive(Default)]
struct Looked {
    versions: Vec<Version>,
    /// Why a file could not be read the last time: it is told once.
    told: Option<String>,
    /// When the first of them ends, of those that are shown.
    ends: Option<Timestamp>,
    reminded: Option<Timestamp>,
}

/// All certificates of a server.
pub(super) struct Sources {
    sources: Vec<Source>,
    asked: Notify,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Sources {
    /// Reads what `listeners` show. Blocks.
    ///
    /// # Errors
    /// A certificate cannot be used, or TLS cannot be set up.
    pub(super) fn open(
        listeners: &[Listener],
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, super::RunError> {
        let mut sources: Vec<Source> = Vec::new();
        for plan in listeners
            .iter()
            .filter_map(|listener| listener.tls.as_ref())
        {
            if sources.iter().all(|source| source.plan != *plan) {
                sources.push(Source::of(plan).map_err(super::RunError::Tls)?);
            }
        }
        for source in &sources {
            let mut looked = source.looked.lock();
            looked.versions = source.versions();
            source
                .load(&mut looked, &metrics)
                .map_err(super::RunError::Certificate)?;
            source.remind(&mut looked, clock.now());
        }
        Ok(Arc::new(Self {
            sources,
            asked: Notify::new(),
            clock,
            metrics,
        }))
    }

    /// What a listener with `plan` speaks.
    pub(super) fn tls(&self, plan: &Arc<TlsPlan>) -> Option<Tls> {
        let source = self.sources.iter().find(|source| source.plan == *plan);
        source.map(|source| source.tls.clone())
    }

    /// Those who keep the certificates of authorities.
    pub(super) fn keepers(&self, random: fn() -> u64) -> Vec<Keeper> {
        let keeper = |source: &Source| match &*source.plan {
            TlsPlan::Files(_) => None,
            TlsPlan::Acme(acme) => Some(Keeper::new(
                acme.clone(),
                source.tls.certificates().clone(),
                self.clock.clone(),
                self.metrics.clone(),
                random,
            )),
        };
        self.sources.iter().filter_map(keeper).collect()
    }

    /// Has all read again, changed or not.
    pub(super) fn reload(&self) {
        self.asked.notify_one();
    }

    /// Keeps them fresh as long as it runs; ends at once where there are none.
    pub(super) async fn watch(self: Arc<Self>) {
        while !self.sources.is_empty() {
            let asked = tokio::time::timeout(LOOK_EVERY, self.asked.notified()).await;
            let which = match asked {
                Ok(()) => Which::All,
                Err(_) => Which::Changed,
            };
            let this = self.clone();
            if let Err(fault) = tokio::task::spawn_blocking(move || this.look(which)).await {
                tracing::error!(%fault, "reading certificates failed");
            }
        }
    }

    fn look(&self, which: Which) {
        for source in &self.sources {
            let mut looked = source.looked.lock();
            let versions = source.versions();
            if which == Which::All || versions != looked.versions {
                looked.versions = versions;
                if let Err(error) = source.load(&mut looked, &self.metrics)
                    && looked.is_news(&error, which)
                {
                    self.metrics.tls_reload_failures.inc();
                    tracing::error!(%error, "the changed certificates cannot be used: those before are still shown");
                }
            }
            source.remind(&mut looked, self.clock.now());
        }
    }
}

/// What is read again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Changed,
}

impl Looked {
    /// Whether the log has to have `error`. Reading may work again without a change of the files, and is tried again at the next
    /// look; nobody wants to hear that every second.
    fn is_news(&mut self, error: &LoadError, which: Which) -> bool {
        let LoadError::Read { .. } = error else {
            self.told = None;
            return true;
        };
        // Nothing that is found equals this.
        self.versions.clear();
        let error = error.to_string();
        let is_news = which == Which::All || self.told.as_ref() != Some(&error);
        self.told = Some(error);
        is_news
    }
}

impl Source {
    fn of(plan: &Arc<TlsPlan>) -> Result<Self, TlsError> {
        Ok(Self {
            plan: plan.clone(),
            tls: Tls::new(Certificates::none())?,
            looked: Mutex::default(),
        })
    }

    fn files(&self) -> &[CertificateFiles] {
        match &*self.plan {
            TlsPlan::Files(files) => files,
            TlsPlan::Acme(_) => &[],
        }
    }

    fn versions(&self) -> Vec<Version> {
        let paths = self
            .files()
            .iter()
            .flat_map(|files| [&files.certificate, &files.key]);
        let version = |path: &std::path::PathBuf| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        paths.map(version).collect()
    }

    /// Reads all of them, and shows them if all can be.
    fn load(&self, looked: &mut Looked, metrics: &Metrics) -> Result<(), LoadError> {
        if self.files().is_empty() {
            // Its keeper shows what the authority gives.
            return Ok(());
        }
        let certificates = self.files().iter().map(load);
        let certificates: Vec<Certificate> = certificates.collect::<Result<_, _>>()?;
        self.tls.certificates().show(&certificates);
        for (files, certificate) in self.files().iter().zip(&certificates) {
            let (file, ends) = (shown(&files.certificate), certificate.ends());
            metrics.certificate_ends(&file, ends);
            tracing::info!(file, expires = %ends, "certificate read");
        }
        looked.told = None;
        looked.ends = certificates.iter().map(Certificate::ends).min();
        looked.reminded = None;
        Ok(())
    }

    fn remind(&self, looked: &mut Looked, now: Timestamp) {
        let Some(ends) = looked.ends.filter(|ends| ends.since(now) < SOON) else {
            return;
        };
        if looked
            .reminded
            .is_some_and(|at| now.since(at) < REMIND_EVERY)
        {
            return;
        }
        looked.reminded = Some(now);
        let files: Vec<String> = self
            .files()
            .iter()
            .map(|files| shown(&files.certificate))
            .collect();
        if ends <= now {
            tracing::error!(?files, expired = %ends, "a certificate has expired: clients refuse it");
        } else {
            tracing::warn!(?files, expires = %ends, "a certificate expires in less than 14 days");
        }
    }
}

fn load(files: &CertificateFiles) -> Result<Certificate, LoadError> {
    let read = |path: &Path| {
        DiskFiles
            .read(path, FILE_BYTES_MAX)
            .map_err(|cause| LoadError::Read {
                file: shown(path),
                cause,
            })
    };
    let (chain, key) = (read(&files.certificate)?, read(&files.key)?);
    Certificate::read(&chain, &key).map_err(|error| LoadError::Content {
        file: match error.part() {
            crate::certificate::Part::Chain => shown(&files.certificate),
            crate::certificate::Part::Key => shown(&files.key),
        },
        error,
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{LoadError, Looked, Which};

    #[test]
    fn what_could_not_be_read_is_tried_again_and_told_once() {
        let failed = |kind: io::ErrorKind| LoadError::Read {
            file: "chain.pem".to_owned(),
            cause: kind.into(),
        };
        let mut looked = Looked::default();
        for (kind, which, is_news) in [
            (io::ErrorKind::PermissionDenied, Which::Changed, true),
            (io::ErrorKind::PermissionDenied, Which::Changed, false),
            (io::ErrorKind::PermissionDenied, Which::All, true),
            (io::ErrorKind::NotFound, Which::Changed, true),
            (io::ErrorKind::NotFound, Which::Changed, false),
        ] {
            looked.versions = vec![None, None];
            assert_eq!(looked.is_news(&failed(kind), which), is_news, "{kind}");
            assert!(looked.versions.is_empty(), "it is looked at again");
        }
        let content = LoadError::Content {
            file: "chain.pem".to_owned(),
            error: crate::certificate::CertificateError::NoCertificate,
        };
        looked.versions = vec![None, None];
        assert!(looked.is_news(&content, Which::Changed));
        assert_eq!(looked.versions.len(), 2, "only a change mends it");
    }
}
