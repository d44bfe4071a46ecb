//! What the server's process has cost so far, as the kernel counts it.

use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

#[derive(Clone, Copy)]
pub struct Process {
    pid: u32,
}

#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub cpu_seconds: f64,
    /// write, writev and their kin; not send and sendto, which the kernel does not count here.
    pub write_calls: u64,
}

impl Process {
    pub fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub fn cost(self) -> Result<Cost, String> {
        let stat = self.read("stat")?;
        // The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or_default()
        };
        let write_calls = number_after(&self.read("io")?, "syscw:");
        // USER_HZ is 100 on every Linux that this runs on.
        Ok(Cost {
            cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
            write_calls,
        })
    }

    /// Memory in bytes: the process's own, and what it shares (where Nchan keeps its messages and channels).
    pub fn memory(self) -> Result<(u64, u64), String> {
        let status = self.read("status")?;
        Ok((
            number_after(&status, "RssAnon:") * 1024,
            number_after(&status, "RssShmem:") * 1024,
        ))
    }

    fn read(self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.pid);
        read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    }
}

fn number_after(text: &str, label: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(label))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_default()
}

/// The sum of a counter over its labels in a Prometheus text, where there is one.
pub fn counter(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

pub fn http_get(address: SocketAddr, path: &str) -> Result<String, String> {
    let answer = || {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    answer().map_err(|error| format!("GET {path}: {error}"))
}
