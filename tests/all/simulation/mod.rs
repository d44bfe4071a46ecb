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
mod client;
mod expect;
mod house;
mod judge;
mod moves;
mod room;
mod session;
mod socket;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline::plan::Plan;

use crate::simulation::action::Action;
use crate::simulation::chance::Chance;
use crate::simulation::world::World;

/// Seeds that a plain `cargo test` tries.
const SEEDS: u64 = 300;
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
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    try_seed(&plan, seed);
                }
            });
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

fn try_seed(plan: &Arc<Plan>, seed: u64) {
    let mut chance = Chance::new(seed);
    let steps = 20 + chance.below(100);
    let actions: Vec<Action> = (0..steps).map(|_| Action::any(&mut chance)).collect();
    let Err(failure) = run(plan, &actions, seed) else {
        return;
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
                Ok(()) => at += size,
                Err(other) => (actions, failure) = (fewer, other),
            }
        }
        size /= 2;
    }
    (actions, failure)
}

/// One life of a server.
fn run(plan: &Arc<Plan>, actions: &[Action], seed: u64) -> Result<(), String> {
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
            world
                .finish(seed as usize)
                .await
                .map_err(|failure| format!("at the end: {failure}"))
        })
    };
    catch_unwind(AssertUnwindSafe(life)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}
