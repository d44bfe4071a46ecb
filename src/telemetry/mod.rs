//! stub
#![allow(missing_docs)]
#[derive(Debug, Default)]
pub struct Metrics;
impl Metrics {
    pub fn rejected(&self, _code: &'static str) {}
    pub fn wrote(&self, _calls: u64, _bytes: u64) {}
    pub fn read(&self, _bytes: u64) {}
    pub fn frames_sent(&self, _n: u64) {}
    pub fn queue_changed(&self, _before: (usize, usize), _after: (usize, usize)) {}
    pub fn closed(&self, _code: u16) {}
    pub fn received(&self, _message: usize) {}
    pub fn delivered(&self, _message: usize, _n: u64) {}
    pub fn rate_limited(&self, _limit: usize, _dry_run: bool) {}
    pub fn rule_failed(&self) {}
    pub fn rule_denied(&self) {}
    pub fn connected(&self, _endpoint: usize) {}
    pub fn disconnected(&self, _endpoint: usize) {}
    pub fn panicked(&self) {}
}
