//! How much memory the process has, and how much there is. Where there is no `/proc`, nobody knows.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the kernel gives a process as the size of a page, in its auxiliary vector (getauxval(3), `AT_PAGESZ`).
const AT_PAGESZ: u64 = 6;
/// cgroups of version 1 write this, rounded down to pages, where there is no limit.
const NO_LIMIT: u64 = 1 << 62;

/// The process's memory as somebody sees it: the kernel, or a test.
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// Bytes that are in memory now, where that can be known.
    fn resident_bytes(&self) -> Option<u64>;

    /// Bytes that the process could have: the machine's memory, or what its control group leaves it. Asked once.
    fn total_bytes(&self) -> Option<u64>;
}

/// This process, by `/proc`. A reading costs one system call.
#[derive(Debug)]
pub struct ProcessMemory {
    statm: Option<File>,
    page_bytes: u64,
}

impl ProcessMemory {
    /// Opens what it reads.
    pub fn open() -> Self {
        let page_bytes = fs::read("/proc/self/auxv")
            .ok()
            .and_then(|vector| page_bytes(&vector));
        Self {
            statm: page_bytes.and_then(|_| File::open("/proc/self/statm").ok()),
            page_bytes: page_bytes.unwrap_or_default(),
        }
    }
}

impl Memory for ProcessMemory {
    fn resident_bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = str::from_utf8(&text[..length]).ok()?;
        // proc(5): size, resident, shared, …
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * self.page_bytes)
    }

    fn total_bytes(&self) -> Option<u64> {
        let machine = meminfo_total(&fs::read_to_string("/proc/meminfo").ok()?)?;
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let read = |path: &Path| fs::read_to_string(path);
        Some(group_limit(&own, read).map_or(machine, |limit| limit.min(machine)))
    }
}

/// A process's memory under control of a test.
#[derive(Debug)]
pub struct VirtualMemory {
    resident: AtomicU64,
    total: u64,
}

impl VirtualMemory {
    /// A process that has none of `total` bytes.
    pub const fn new(total: u64) -> Self {
        Self {
            resident: AtomicU64::new(0),
            total,
        }
    }

    /// From now on it has so many bytes.
    pub fn set_resident(&self, bytes: u64) {
        self.resident.store(bytes, Ordering::Relaxed);
    }
}

impl Memory for VirtualMemory {
    fn resident_bytes(&self) -> Option<u64> {
        Some(self.resident.load(Ordering::Relaxed))
    }

    fn total_bytes(&self) -> Option<u64> {
        Some(self.total)
    }
}

/// The size of a page, from pairs of machine words.
fn page_bytes(vector: &[u8]) -> Option<u64> {
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().ok()?;
        u64::try_from(usize::from_ne_bytes(bytes)).ok()
    };
    vector
        .chunks_exact(2 * WORD)
        .find(|pair| word(&pair[..WORD]) == Some(AT_PAGESZ))
        .and_then(|pair| word(&pair[WORD..]))
}

fn meminfo_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The lowest limit of the process's control group and those around it (cgroups(7)); `own` is `/proc/self/cgroup`.
fn group_limit(own: &str, read: impl Fn(&Path) -> io::Result<String>) -> Option<u64> {
    let mut lowest = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be one of the host, of which only the root is to be seen.
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let text = read(&Path::new(root).join(group).join(file)).unwrap_or_default();
            // `max` is no limit.
            let limit = text
                .trim()
                .parse()
                .ok()
                .filter(|limit: &u64| *limit < NO_LIMIT);
            lowest = match (lowest, limit) {
                (Some(lowest), Some(limit)) => Some(limit.min(lowest)),
                (lowest, limit) => lowest.or(limit),
            };
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{Memory, ProcessMemory, group_limit, meminfo_total, page_bytes};

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_in_memory() {
        let memory = ProcessMemory::open();
        let (resident, total) = (memory.resident_bytes(), memory.total_bytes());
        assert!(
            resident > Some(1 << 20) && resident < total,
            "{resident:?} {total:?}"
        );
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let words = [3_usize, 64, 6, 16_384, 0, 0];
        let vector: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(page_bytes(&vector), Some(16_384));
        assert_eq!(page_bytes(&[]), None);
        assert_eq!(
            meminfo_total("MemTotal:   12 kB\nMemFree: 1 kB\n"),
            Some(12_288)
        );
        assert_eq!(meminfo_total(""), None);
    }

    #[test]
    fn the_lowest_group_counts() {
        let unified = "/sys/fs/cgroup/a/b/memory.max=max\n/sys/fs/cgroup/a/memory.max=700\n/sys/fs/cgroup/memory.max=900";
        let old = "/sys/fs/cgroup/memory/x/memory.limit_in_bytes=9223372036854771712\n/sys/fs/cgroup/memory/memory.limit_in_bytes=500";
        for (own, files, expected) in [
            ("0::/a/b\n", unified, Some(700)),
            ("0::/\n", unified, Some(900)),
            // A path of the host's.
            ("0::/elsewhere/of/the/host\n", unified, Some(900)),
            ("5:cpu,cpuacct:/x\n4:memory:/x\n", old, Some(500)),
            ("5:cpu:/x\n", old, None),
            ("0::/\n", "", None),
            ("", unified, None),
        ] {
            let read = |path: &Path| {
                let mut files = files.lines().filter_map(|line| line.split_once('='));
                let found = files.find(|(name, _)| Path::new(name) == path);
                found
                    .map(|(_, text)| format!("{text}\n"))
                    .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            };
            assert_eq!(group_limit(own, read), expected, "{own}");
        }
    }
}
