//! Tables in memory, which end with the process: what `store: memory` keeps beside the logs of its rooms, and what tests write to.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::store::{Change, Direction, Done, Entry, Most, Range, Store, StoreError, Table, Write};

/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;

/// Tables in memory, bounded in bytes. A write is committed when it is submitted.
#[derive(Debug)]
pub struct VolatileStore {
    tables: Mutex<Tables>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Tables {
    entries: BTreeMap<(Table, Bytes), Bytes>,
    bytes: usize,
}

impl VolatileStore {
    /// Empty tables that may take `bytes_max` in all.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            tables: Mutex::default(),
            bytes_max,
        }
    }
}

impl Tables {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(table, key, value) => {
                self.bytes += cost(&key, &value);
                if let Some(before) = self.entries.insert((table, key.clone()), value) {
                    self.bytes -= cost(&key, &before);
                }
            }
            Change::Delete(table, key) => {
                if let Some((key, before)) = self.entries.remove_entry(&(table, key)) {
                    self.bytes -= cost(&key.1, &before);
                }
            }
        }
    }
}

/// Whether no key can lie between the two, which a map refuses to be asked for.
fn is_empty(from: &Bound<Bytes>, to: &Bound<Bytes>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}

const fn cost(key: &Bytes, value: &Bytes) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Store for VolatileStore {
    fn submit(&self, write: Write, done: Done) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        let changes = write.into_changes();
        let grows = changes
            .iter()
            .any(|change| matches!(change, Change::Put(..)));
        if grows && tables.bytes >= self.bytes_max {
            return Err(StoreError::Full);
        }
        for change in changes {
            tables.apply(change);
        }
        // Told under the lock: of two who submit, the one that committed first is told first.
        done(Ok(()));
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let key = (table, Bytes::copy_from_slice(key));
        Ok(self.tables.lock().entries.get(&key).cloned())
    }

    fn scan(
        &self,
        table: Table,
        range: Range,
        direction: Direction,
        most: Most,
    ) -> Result<Vec<Entry>, StoreError> {
        let tables = self.tables.lock();
        let (from, to) = range;
        if is_empty(&from, &to) {
            return Ok(Vec::new());
        }
        let from = from.map(|key| (table, key));
        let to = match to {
            Bound::Unbounded => table.after().map_or(Bound::Unbounded, |next| {
                Bound::Excluded((next, Bytes::new()))
            }),
            to => to.map(|key| (table, key)),
        };
        let from = match from {
            Bound::Unbounded => Bound::Included((table, Bytes::new())),
            from => from,
        };
        let within = tables.entries.range((from, to));
        let entry = |((_, key), value): (&(Table, Bytes), &Bytes)| (key.clone(), value.clone());
        let entries: Box<dyn Iterator<Item = Entry>> = match direction {
            Direction::Forward => Box::new(within.map(entry)),
            Direction::Backward => Box::new(within.rev().map(entry)),
        };
        let mut bytes = 0;
        let fits = |(key, value): &Entry| {
            let before = bytes;
            bytes += key.len() + value.len();
            before < most.bytes
        };
        Ok(entries.take(most.entries).take_while(fits).collect())
    }

    fn bytes(&self) -> u64 {
        self.tables.lock().bytes as u64
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::*;

    const ALL: Most = Most {
        entries: 10,
        bytes: 1000,
    };

    fn store() -> VolatileStore {
        let store = VolatileStore::new(10_000);
        let mut write = Write::new();
        for (table, key) in [
            (Table::Rooms, "z"),
            (Table::Messages, "a"),
            (Table::Messages, "b"),
            (Table::Messages, "c"),
            (Table::Keys, "a"),
        ] {
            write.put(table, key, format!("{key}!"));
        }
        store
            .submit(write, Box::new(|done| assert_eq!(done, Ok(()))))
            .expect("there is room");
        store
    }

    #[test]
    fn ranges_stay_within_their_table() {
        let check = |range: Range, direction, most, expected: &[&str]| {
            let found = store()
                .scan(Table::Messages, range, direction, most)
                .expect("memory can be read");
            let keys: Vec<&[u8]> = found.iter().map(|(key, _)| &key[..]).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|key| key.as_bytes()).collect();
            assert_eq!(keys, expected);
        };
        let b = || Bytes::from("b");
        check(
            (Unbounded, Unbounded),
            Direction::Forward,
            ALL,
            &["a", "b", "c"],
        );
        check(
            (Unbounded, Unbounded),
            Direction::Backward,
            ALL,
            &["c", "b", "a"],
        );
        check((Excluded(b()), Unbounded), Direction::Forward, ALL, &["c"]);
        check((Unbounded, Excluded(b())), Direction::Backward, ALL, &["a"]);
        check(
            (Included(b()), Included(b())),
            Direction::Forward,
            ALL,
            &["b"],
        );
        check((Excluded(b()), Excluded(b())), Direction::Forward, ALL, &[]);
        check(
            (Unbounded, Unbounded),
            Direction::Backward,
            Most { entries: 2, ..ALL },
            &["c", "b"],
        );
        check(
            (Unbounded, Unbounded),
            Direction::Forward,
            Most { bytes: 4, ..ALL },
            &["a", "b"],
        );
    }

    #[test]
    fn a_full_store_takes_deletions_alone() {
        let store = VolatileStore::new(1);
        let put = || {
            let mut write = Write::new();
            write.put(Table::Keys, "a", "1");
            store.submit(write, Box::new(drop))
        };
        assert_eq!(put(), Ok(()));
        assert_eq!(put(), Err(StoreError::Full));
        let mut write = Write::new();
        write.delete(Table::Keys, "a");
        assert_eq!(store.submit(write, Box::new(drop)), Ok(()));
        assert_eq!(store.bytes(), 0);
        assert_eq!(put(), Ok(()));
        assert_eq!(store.get(Table::Keys, b"a"), Ok(Some(Bytes::from("1"))));
    }
}
