//! Answers that are remembered: bounded in number and bytes, the least recently used out first.

use std::hash::Hash;

use lru::LruCache;

use crate::vocab::Monotonic;

/// How many entries whose time is over are looked for at each insertion.
const SWEEP: usize = 2;

pub(super) struct Kept<K, V> {
    entries: LruCache<K, Entry<V>>,
    entries_max: usize,
    bytes: usize,
    bytes_max: usize,
}

pub(super) struct Entry<V> {
    pub(super) value: V,
    /// What it takes, about.
    pub(super) bytes: usize,
    /// Until when it is told without asking.
    pub(super) fresh_until: Monotonic,
    /// Until when it is told while nobody can be asked.
    pub(super) stale_until: Monotonic,
}

impl<K: Eq + Hash, V> Kept<K, V> {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            // It grows as it fills, up to `entries_max`: a bounded one would take its room at once.
            entries: LruCache::unbounded(),
            entries_max,
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&Entry<V>> {
        self.entries.get(key)
    }

    pub(super) fn insert(&mut self, key: K, entry: Entry<V>, now: Monotonic) {
        self.remove(&key);
        if entry.stale_until <= now || entry.bytes > self.bytes_max {
            return;
        }
        self.bytes += entry.bytes;
        self.entries.put(key, entry);
        self.shrink(now);
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(old) = self.entries.pop(key) {
            self.bytes -= old.bytes;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn shrink(&mut self, now: Monotonic) {
        let mut over = SWEEP;
        while let Some((_, oldest)) = self.entries.peek_lru() {
            let is_over = oldest.stale_until <= now && over > 0;
            over -= usize::from(is_over);
            let is_too_much = self.len() > self.entries_max || self.bytes > self.bytes_max;
            if !is_over && !is_too_much {
                break;
            }
            if let Some((_, oldest)) = self.entries.pop_lru() {
                self.bytes -= oldest.bytes;
            }
        }
    }
}
