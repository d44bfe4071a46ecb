//! Who is kept out: users, tokens and addresses that the application has blocked, each until a moment.
//!
//! Kept in memory, and so until the server ends. What keeps them stands behind five calls of [`Blocks`] (put, remove, find, page,
//! trim), so that a store that outlives a restart has one place to go.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use serde_json::Value;

use crate::engine::limit::AddressKey;
use crate::vocab::{BlockId, Timestamp, TokenId, User, UserId};

/// Whom a block keeps out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockTarget {
    /// A user, with whatever credential.
    User(UserId),
    /// Whoever comes with the token of this `jti`.
    Token(TokenId),
    /// Everyone at an address; of IPv6 its /64.
    Address(IpAddr),
}

/// What the application asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOrder {
    /// Who.
    pub target: BlockTarget,
    /// Until when.
    pub until: Timestamp,
    /// What those who are kept out are told, at most 123 bytes.
    pub reason: Option<Box<str>>,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: BlockId,
    /// Who, until when, and why.
    pub order: BlockOrder,
}

/// As many blocks are kept as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyBlocks;

/// A network prefix as people write it: what of an address counts for a block.
impl fmt::Display for BlockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Token(_) => f.write_str("a token"),
            Self::Address(address) => write!(f, "address {}", network(*address)),
        }
    }
}

/// What of an address counts: all of IPv4, of IPv6 the /64.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() >> 64 << 64);
            format!("{network}/64")
        }
    }
}

/// The `jti` of the token that a user came with. RFC 7519 §4.1.7 has it a string; whole numbers, which some issuers write, are
/// their decimal digits.
pub(super) fn token_id(user: &User) -> Option<Cow<'_, str>> {
    match user.claims.get("jti")? {
        Value::String(id) => Some(Cow::Borrowed(id)),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Some(Cow::Owned(number.to_string()))
        }
        _ => None,
    }
}

/// All blocks.
pub(super) struct Blocks {
    book: RwLock<Book>,
    /// How many there are: without any, a handshake takes no lock for them.
    count: AtomicUsize,
    blocks_max: usize,
}

#[derive(Default)]
struct Book {
    by_id: BTreeMap<BlockId, Arc<Block>>,
    users: HashMap<UserId, Arc<Block>>,
    tokens: HashMap<TokenId, Arc<Block>>,
    addresses: HashMap<AddressKey, Arc<Block>>,
    /// The next to end stands first.
    ends: BTreeSet<(Timestamp, BlockId)>,
}

impl Blocks {
    /// None yet, and at most `blocks_max` at a time.
    pub(super) fn new(blocks_max: usize) -> Self {
        Self {
            book: RwLock::default(),
            count: AtomicUsize::new(0),
            blocks_max,
        }
    }

    /// How many are kept.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Keeps what `order` says. A block of the same target takes its place and keeps its id; otherwise it gets `id`.
    ///
    /// # Errors
    /// There are as many as may be.
    pub(super) fn put(&self, id: BlockId, order: BlockOrder) -> Result<Arc<Block>, TooManyBlocks> {
        let mut book = self.book.write();
        let known = book.of(&order.target).map(|known| known.id);
        let id = match known {
            Some(known) => {
                book.remove(known);
                known
            }
            None if book.by_id.len() >= self.blocks_max => return Err(TooManyBlocks),
            None => id,
        };
        let block = Arc::new(Block { id, order });
        book.insert(&block);
        self.count.store(book.by_id.len(), Ordering::Release);
        Ok(block)
    }

    /// Takes a block away.
    pub(super) fn remove(&self, id: BlockId) -> Option<Arc<Block>> {
        let mut book = self.book.write();
        let removed = book.remove(id);
        self.count.store(book.by_id.len(), Ordering::Release);
        removed
    }

    /// The block that keeps `user`, or the token that it came with, out at the moment `now`.
    pub(super) fn of_user(&self, user: &User, now: Timestamp) -> Option<Arc<Block>> {
        self.find(now, |book| {
            let token = || token_id(user).and_then(|id| book.tokens.get(&*id));
            [book.users.get(&user.id), token()]
        })
    }

    /// The block that keeps everyone at `address` out at the moment `now`.
    pub(super) fn of_address(&self, address: IpAddr, now: Timestamp) -> Option<Arc<Block>> {
        self.find(now, |book| {
            [book.addresses.get(&AddressKey::from(address)), None]
        })
    }

    fn find(
        &self,
        now: Timestamp,
        look: impl for<'b> FnOnce(&'b Book) -> [Option<&'b Arc<Block>>; 2],
    ) -> Option<Arc<Block>> {
        if self.count() == 0 {
            return None;
        }
        let book = self.book.read();
        let mut found = look(&book).into_iter().flatten();
        found.find(|block| block.order.until > now).cloned()
    }

    /// At most `limit` blocks that hold at the moment `now` and whose ids follow `after`, and whether there are more.
    pub(super) fn page(
        &self,
        after: Option<BlockId>,
        limit: usize,
        now: Timestamp,
    ) -> (Vec<Arc<Block>>, bool) {
        let book = self.book.read();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = book
            .by_id
            .range((start, Bound::Unbounded))
            .map(|(_, block)| block)
            .filter(|block| block.order.until > now)
            .cloned();
        let page = rest.by_ref().take(limit).collect();
        (page, rest.next().is_some())
    }

    /// Forgets those whose time is over.
    pub(super) fn trim(&self, now: Timestamp) {
        if self.count() == 0 {
            return;
        }
        let mut book = self.book.write();
        while let Some((until, id)) = book.ends.first().copied()
            && until <= now
        {
            book.remove(id);
        }
        self.count.store(book.by_id.len(), Ordering::Release);
    }
}

impl Book {
    fn of(&self, target: &BlockTarget) -> Option<&Arc<Block>> {
        match target {
            BlockTarget::User(user) => self.users.get(user),
            BlockTarget::Token(token) => self.tokens.get(token),
            BlockTarget::Address(address) => self.addresses.get(&AddressKey::from(*address)),
        }
    }

    fn insert(&mut self, block: &Arc<Block>) {
        match &block.order.target {
            BlockTarget::User(user) => self.users.insert(user.clone(), block.clone()),
            BlockTarget::Token(token) => self.tokens.insert(token.clone(), block.clone()),
            BlockTarget::Address(address) => self
                .addresses
                .insert(AddressKey::from(*address), block.clone()),
        };
        self.ends.insert((block.order.until, block.id));
        self.by_id.insert(block.id, block.clone());
    }

    fn remove(&mut self, id: BlockId) -> Option<Arc<Block>> {
        let block = self.by_id.remove(&id)?;
        self.ends.remove(&(block.order.until, id));
        match &block.order.target {
            BlockTarget::User(user) => self.users.remove(user),
            BlockTarget::Token(token) => self.tokens.remove(token),
            BlockTarget::Address(address) => self.addresses.remove(&AddressKey::from(*address)),
        };
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{BlockOrder, BlockTarget, Blocks, TooManyBlocks};
    use crate::vocab::{BlockId, Timestamp, TokenId, User, UserId};

    fn user(id: &str, jti: &str) -> User {
        User {
            id: UserId::parse(id).expect("an id"),
            username: "x".into(),
            authenticated: true,
            claims: Arc::new(json!({"jti": jti})),
        }
    }

    fn order(target: BlockTarget, until: u64) -> BlockOrder {
        BlockOrder {
            target,
            until: Timestamp::from_millis(until),
            reason: None,
        }
    }

    fn of_user(id: &str) -> BlockTarget {
        BlockTarget::User(UserId::parse(id).expect("an id"))
    }

    #[test]
    fn a_block_is_found_until_it_ends() {
        let blocks = Blocks::new(10);
        let at = Timestamp::from_millis;
        let id = BlockId::from_random;
        assert!(blocks.of_user(&user("ann", "t"), at(0)).is_none());
        let put = |number, order| blocks.put(id(number), order).expect("there is room");
        put(1, order(of_user("ann"), 100));
        let token = TokenId::parse("t").expect("an id");
        put(2, order(BlockTarget::Token(token), 200));
        let address = "2001:db8::1".parse().expect("an address");
        put(3, order(BlockTarget::Address(address), 300));
        let found = |id: &str, jti: &str, now| {
            let block = blocks.of_user(&user(id, jti), at(now));
            block.map(|block| block.id)
        };
        assert_eq!(found("ann", "other", 99), Some(id(1)));
        assert_eq!(found("ann", "other", 100), None, "its time is over");
        assert_eq!(found("ann", "t", 100), Some(id(2)));
        assert_eq!(found("ben", "t", 0), Some(id(2)));
        assert_eq!(found("ben", "other", 0), None);
        let of_address = |text: &str, now| {
            let block = blocks.of_address(text.parse().expect("an address"), at(now));
            block.map(|block| block.id)
        };
        assert_eq!(of_address("2001:db8::ffff", 0), Some(id(3)), "by /64");
        assert_eq!(of_address("2001:db8:0:1::1", 0), None);
        assert_eq!(of_address("2001:db8::1", 300), None);
        blocks.trim(at(200));
        assert_eq!(blocks.count(), 1);
        assert!(blocks.remove(id(3)).is_some());
        assert!(blocks.remove(id(3)).is_none());
        assert_eq!(of_address("2001:db8::1", 0), None);
    }

    #[test]
    fn a_token_is_known_by_its_jti_as_text_or_whole_number() {
        let blocks = Blocks::new(10);
        for (number, id) in ["7", "-7", "18446744073709551615"].into_iter().enumerate() {
            let target = BlockTarget::Token(TokenId::parse(id).expect("an id"));
            let put = blocks.put(BlockId::from_random(number as u64), order(target, 100));
            assert!(put.is_ok());
        }
        for (jti, expected) in [
            (json!("7"), true),
            (json!(7), true),
            (json!(-7), true),
            (json!(u64::MAX), true),
            (json!(8), false),
            (json!(7.5), false),
            (json!([7]), false),
            (json!(null), false),
        ] {
            let user = User {
                claims: Arc::new(json!({"jti": jti})),
                ..user("ann", "")
            };
            let found = blocks.of_user(&user, Timestamp::from_millis(0));
            assert_eq!(found.is_some(), expected, "{jti}");
        }
    }

    #[test]
    fn a_second_block_of_the_same_target_takes_the_place_of_the_first() {
        let blocks = Blocks::new(1);
        let at = Timestamp::from_millis;
        let first = blocks.put(BlockId::from_random(1), order(of_user("ann"), 100));
        let second = blocks.put(BlockId::from_random(2), order(of_user("ann"), 50));
        let (first, second) = (first.expect("room"), second.expect("room"));
        assert_eq!(first.id, second.id);
        assert!(blocks.of_user(&user("ann", ""), at(60)).is_none());
        let full = blocks.put(BlockId::from_random(3), order(of_user("ben"), 100));
        assert_eq!(full, Err(TooManyBlocks));
        blocks.trim(at(50));
        let order = order(of_user("ben"), 100);
        assert!(blocks.put(BlockId::from_random(3), order).is_ok());
    }

    #[test]
    fn blocks_come_in_pages() {
        let blocks = Blocks::new(10);
        for number in 0..5 {
            let target = of_user(&format!("user{number}"));
            let order = order(target, if number == 2 { 5 } else { 100 });
            assert!(blocks.put(BlockId::from_random(number), order).is_ok());
        }
        let page = |after: Option<u64>, limit| {
            let after = after.map(BlockId::from_random);
            let (page, more) = blocks.page(after, limit, Timestamp::from_millis(5));
            let ids: Vec<BlockId> = page.iter().map(|block| block.id).collect();
            (ids, more)
        };
        let ids = |numbers: &[u64]| -> Vec<BlockId> {
            numbers.iter().copied().map(BlockId::from_random).collect()
        };
        assert_eq!(page(None, 2), (ids(&[0, 1]), true));
        assert_eq!(page(Some(1), 2), (ids(&[3, 4]), false));
        assert_eq!(page(Some(4), 2), (ids(&[]), false));
    }
}
