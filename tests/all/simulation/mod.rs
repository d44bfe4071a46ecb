//! The engine and its outboxes under chance: thousands of short lives of a server, each from a seed, against a model.
//!
//! One thread, virtual time, sockets that take what they like. The model knows of every frame who has to get it and in which order,
//! since everything that changes a room happens in one place at a time; so what a peer reads is compared with what is due, frame by
//! frame. A failure prints its seed and the shortest list of actions that still fails:
//!
//!     SIMULATION_SEED=17 cargo test --test all simulation       that seed alone
//!     SIMULATION_SEEDS=10000 cargo test --test all simulation   so many, from 0 on

mod action;
mod chance;
mod check;
mod client;
mod expect;
mod house;
mod judge;
mod moves;
mod room;
mod session;
mod socket;
mod speech;
mod time;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use trunkline::plan::Plan;

use crate::simulation::action::Action;
use crate::simulation::chance::Chance;
use crate::simulation::world::World;

/// What readers got, counted.
type Tally = BTreeMap<&'static str, u64>;

/// Seeds that a plain `cargo test` tries.
const SEEDS: u64 = 300;
/// What has to come up in that many.
const SEEN: [&str; 33] = [
    "message",
    "replay",
    "raw",
    "text",
    "reply",
    "ack",
    "received",
    "welcome",
    "joined",
    "left",
    "put out",
    "turned",
    "gap",
    "announcement",
    "here",
    "members",
    "history",
    "pong",
    "reconnect",
    "dropped",
    "replaced",
    "conflict",
    "forbidden",
    "key_reused",
    "not_joined",
    "room_full",
    "unknown_type",
    "closed with 1000",
    "closed with 1012",
    "closed with 4002",
    "closed with 4008",
    "closed with 4009",
    "broken",
];
/// One seed of so many has a crowd.
const CROWDED: u64 = 100;
/// Runs that cutting down a failure may take.
const CUTS_MAX: usize = 400;

#[test]
fn whatever_happens_readers_get_what_they_have_to() {
    let plan = house::plan();
    if let Some(seed) = number("SIMULATION_SEED") {
        try_seed(&plan, seed);
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let seen = Mutex::new(Tally::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let tally = try_seed(&plan, seed);
                    let mut seen = seen.lock();
                    for (what, count) in tally {
                        *seen.entry(what).or_default() += count;
                    }
                }
            });
        }
    });
    let seen = seen.into_inner();
    let missing: Vec<&str> = SEEN
        .into_iter()
        .filter(|what| !seen.contains_key(what))
        .collect();
    assert!(
        missing.is_empty() || seeds < SEEDS,
        "{missing:?} never came up: {seen:?}"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

fn try_seed(plan: &Arc<Plan>, seed: u64) -> Tally {
    let mut chance = Chance::new(seed);
    let mut actions = beginning(&mut chance, seed);
    let steps = 25 + chance.below(85);
    actions.extend((0..steps).map(|_| Action::any(&mut chance)));
    let failure = match run(plan, &actions, seed) {
        Ok(tally) => return tally,
        Err(failure) => failure,
    };
    let (actions, failure) = cut_down(plan, actions, failure, seed);
    let trace: Vec<String> = actions
        .iter()
        .map(|action| format!("  {action:?}"))
        .collect();
    panic!(
        "SIMULATION_SEED={seed}: {failure}\nafter\n{}",
        trace.join("\n")
    );
}

/// A few who come; now and then so many into one room that a flush takes several turns.
fn beginning(chance: &mut Chance, seed: u64) -> Vec<Action> {
    let (count, doors): (usize, &[usize]) = if seed % CROWDED == CROWDED - 1 {
        (190, &[1, 5])
    } else {
        (2 + chance.below(5), &[0, 1, 2, 3, 4, 5, 6])
    };
    (0..count).map(|_| Action::coming(chance, doors)).collect()
}

/// Leaves out what the failure does not need.
fn cut_down(
    plan: &Arc<Plan>,
    mut actions: Vec<Action>,
    mut failure: String,
    seed: u64,
) -> (Vec<Action>, String) {
    let (mut size, mut cuts) = (actions.len().div_ceil(2), 0);
    while size > 0 {
        let mut at = 0;
        while at < actions.len() && cuts < CUTS_MAX {
            cuts += 1;
            let mut fewer = actions.clone();
            fewer.drain(at..(at + size).min(actions.len()));
            match run(plan, &fewer, seed) {
                Ok(_) => at += size,
                Err(other) => (actions, failure) = (fewer, other),
            }
        }
        size /= 2;
    }
    (actions, failure)
}

/// One life of a server.
fn run(plan: &Arc<Plan>, actions: &[Action], seed: u64) -> Result<Tally, String> {
    let life = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new(plan).await;
            for (step, action) in actions.iter().enumerate() {
                let done = world.step(*action).await;
                done.map_err(|failure| format!("step {step}: {failure}"))?;
            }
            let done = world.finish(seed as usize).await;
            done.map_err(|failure| format!("at the end: {failure}"))?;
            Ok(world.tally)
        })
    };
    catch_unwind(AssertUnwindSafe(life)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}
