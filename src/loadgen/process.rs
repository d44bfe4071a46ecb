//! What processes have cost so far, as Linux counts it in `/proc`.

use std::fs::{read_dir, read_to_string};

use crate::loadgen::BenchError;

/// USER_HZ, 100 on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its id, on this machine.
    pub pid: u32,
    /// Whose cost counts.
    pub extent: Extent,
}

/// Whose cost counts as the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The process alone, with all its threads.
    Process,
    /// Those that it has started too, and theirs.
    Children,
}

/// What a server has cost since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) cpu_seconds: f64,
    /// write, writev and their kin; not send and sendto, which the kernel does not count here. `None` where it may not be read.
    pub(super) write_calls: Option<u64>,
    /// Memory of its own, in bytes: RssAnon.
    pub(super) anonymous: u64,
    /// Memory that its processes share, in bytes: RssShmem of the one that has most of it.
    pub(super) shared: u64,
}

impl Watched {
    pub(super) fn cost(self) -> Result<Cost, BenchError> {
        let mut sum = cost_of(self.pid)?;
        if self.extent == Extent::Children {
            // One that has ended meanwhile costs nothing any more.
            for cost in descendants(self.pid).into_iter().flat_map(cost_of) {
                sum.cpu_seconds += cost.cpu_seconds;
                sum.write_calls = sum.write_calls.zip(cost.write_calls).map(|(a, b)| a + b);
                sum.anonymous += cost.anonymous;
                sum.shared = sum.shared.max(cost.shared);
            }
        }
        Ok(sum)
    }
}

/// Time that a thread has spent, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ThreadTime {
    /// On a core.
    pub(super) running: u64,
    /// Ready, while others had the cores.
    pub(super) waiting: u64,
}

/// The time of the thread that asks, where the kernel says it.
pub(super) fn own_time() -> Option<ThreadTime> {
    schedstat(&read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// How many descriptors this process may have, where the kernel says it.
pub(super) fn descriptors_max() -> Option<usize> {
    let limits = read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cost_of(pid: u32) -> Result<Cost, BenchError> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        read_to_string(&path).map_err(|source| BenchError::Process { path, source })
    };
    let status = read("status")?;
    Ok(Cost {
        cpu_seconds: cpu_ticks(&read("stat")?) / TICKS_PER_SECOND,
        // Only the process's own user may read it.
        write_calls: read("io").ok().map(|io| number_after(&io, "syscw:")),
        anonymous: number_after(&status, "RssAnon:") * 1024,
        shared: number_after(&status, "RssShmem:") * 1024,
    })
}

/// The processes that `pid` has started, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    let pairs: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|child| {
            let stat = read_to_string(format!("/proc/{child}/stat")).ok()?;
            Some((child, parent(&stat)?))
        })
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = pairs.iter().filter(|pair| pair.1 == parent);
        found.extend(children.map(|pair| pair.0));
        next += 1;
    }
    found.split_off(1)
}

/// The fields of `/proc/PID/stat` after the name, which stands in parentheses and may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace()
}

/// utime and stime of all threads: the 12th and 13th field after the name (proc_pid_stat(5)).
fn cpu_ticks(stat: &str) -> f64 {
    let times = fields(stat).skip(11).take(2);
    times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

fn parent(stat: &str) -> Option<u32> {
    fields(stat).nth(1)?.parse().ok()
}

fn schedstat(text: &str) -> Option<ThreadTime> {
    let mut fields = text.split_whitespace();
    Some(ThreadTime {
        running: fields.next()?.parse().ok()?,
        waiting: fields.next()?.parse().ok()?,
    })
}

fn number_after(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Extent, ThreadTime, Watched, cpu_ticks, number_after, parent, schedstat};

    #[test]
    fn proc_is_read_by_its_own_rules() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194560 100 0 0 0 123 45 6 7 20 0 8 0 100 1 2";
        assert_eq!(cpu_ticks(stat), 168.0);
        assert_eq!(parent(stat), Some(7));
        assert_eq!(cpu_ticks(""), 0.0);
        let time = ThreadTime {
            running: 12,
            waiting: 3,
        };
        assert_eq!(schedstat("12 3 4\n"), Some(time));
        assert_eq!(schedstat("12"), None);
        let status = "VmRSS:\t  900 kB\nRssAnon:\t  612 kB\n";
        assert_eq!(number_after(status, "RssAnon:"), 612);
        assert_eq!(number_after(status, "RssShmem:"), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_may_ask_for_its_own_cost() {
        let own = Watched {
            pid: std::process::id(),
            extent: Extent::Process,
        };
        let cost = own.cost().expect("it runs");
        assert!(cost.anonymous > 0);
        let parent = Watched {
            pid: std::os::unix::process::parent_id(),
            extent: Extent::Children,
        };
        assert!(parent.cost().expect("it runs").anonymous > cost.anonymous / 2);
        let nobody = Watched {
            pid: u32::MAX,
            extent: Extent::Process,
        };
        assert!(nobody.cost().is_err());
    }
}
