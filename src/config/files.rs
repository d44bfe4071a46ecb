//! What reading takes from the outside: files and environment variables, as arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// Where files are read from.
pub trait Files {
    /// The bytes of the file at `path`, at most `bytes_max` and one more, which shows that there are too many.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// What stands in the folder `path`, in any order.
    ///
    /// # Errors
    /// There is no such folder, or it cannot be read.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Where the file or folder `path` really stands, all links followed.
    ///
    /// # Errors
    /// There is no such thing, or it cannot be reached.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether every user of the machine may read the file `path`; false where that is not known.
    fn is_open_to_all(&self, _path: &Path) -> bool {
        false
    }
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the folder's.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_folder: bool,
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).map_or(u64::MAX, |max| max.saturating_add(1));
        std::fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(or_current(path))? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let is_folder = entry.path().is_dir();
                entries.push(Entry { name, is_folder });
            }
        }
        Ok(entries)
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(or_current(path))
    }

    #[cfg(unix)]
    fn is_open_to_all(&self, path: &Path) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map(|found| found.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o004 != 0)
    }
}

/// The empty path is the current folder.
fn or_current(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// Files in memory, for tests and editors.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(BTreeMap<PathBuf, Vec<u8>>);

impl MemoryFiles {
    /// With the file `path`, instead of one that has been there.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let content = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(content[..content.len().min(bytes_max.saturating_add(1))].to_vec())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = BTreeSet::new();
        for file in self.0.keys() {
            let mut below = file
                .strip_prefix(path)
                .into_iter()
                .flat_map(Path::components);
            if let Some(Component::Normal(name)) = below.next() {
                entries.insert(Entry {
                    name: name.to_string_lossy().into_owned(),
                    is_folder: below.next().is_some(),
                });
            }
        }
        Ok(entries.into_iter().collect())
    }

    /// There are no links.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// Where `${NAME}` is looked up.
pub trait Environment {
    /// The value of the variable `name`; none where it is not set or is no text.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process: the only place that reads it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// `path` without `.` and `..`, relative to nothing but itself; none where it climbs above its beginning.
pub(super) fn normalize(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}
