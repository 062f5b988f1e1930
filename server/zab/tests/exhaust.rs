//! Goal: no order of events whatsoever, within bounds, breaks a promise of the broadcast.
//! Method: every state that members can reach is visited: each message, each write of a disk (log,
//! epochs, truncation, snapshot), each notice of a broken connection, each proposal and each fault is a
//! step of its own, and every enabled step is taken in every state. What is stepped is the engine that
//! members run, on the model that the other tests use. From every state in which nothing can happen any
//! more without time passing, the ensemble must come together and commit.
//!
//! The promises are those of the paper (Junqueira, Reed, Serafini: "Zab", DSN 2011) and of the TLA+
//! specification that ZooKeeper publishes; `model/check.rs` has them as assertions:
//!
//! | paper | specification | assertion |
//! |---|---|---|
//! | integrity | Integrity | what is delivered was proposed so, and is on the disk of who delivers it |
//! | total order, agreement | PrefixConsistency, Agreement | one history, of which everyone delivers a prefix, without a gap |
//! | local primary order | LocalPrimaryOrder | each epoch is delivered in the order of its proposals |
//! | global primary order | GlobalPrimaryOrder | zxids rise along the history |
//! | primary integrity | PrimaryIntegrity | a leader is established with all of older epochs delivered |
//! | - | Leadership1, Leadership2 | one member at most is established in an epoch |
//! | - | ProcessConsistency, CommitCompleteness | what an ack claims is on the disk of who sends it |
//!
//! Two views of the election. *Coarse*: notifications arrive at once, everything else in any order; an
//! election is then one step, and there is room for more faults. *Fine*: notifications wait as all
//! messages do. Time passes by `Wait` alone, for one member, and long enough for all its patience.
//!
//! `cargo test --profile sim -p conclave-zab --test exhaust -- --ignored --nocapture --test-threads 1` visits
//! the large models, and `ZAB_WALK_S=600 cargo test --profile sim -p conclave-zab --test exhaust walk --
//! --nocapture` walks at random through one without bounds, for so many seconds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "it tells how long it took, and is told how long to walk"
)]

#[allow(dead_code, reason = "each file of tests uses its part of the model")]
mod model;

use std::{
    env, fmt,
    hash::{Hash, Hasher},
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use conclave_protocol::{ids::ServerId, peer::zab::Message};
use conclave_zab::{Config, Input, Role};
use model::World;
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model, Property, UniformChooser};

/// Ticks by which everyone must be even again once nothing but time is missing.
const SETTLE_TICKS: u32 = 120;

/// Longer than any patience of the configuration below.
const WAIT_TICKS: usize = 25;

/// Steps after which a walk begins anew.
const WALK_STEPS: usize = 2000;

/// The property that all others are told by.
const KEPT: &str = "every promise is kept";

/// How much may happen in a run.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Bounds {
    txns: u8,
    crashes: u8,
    /// Connections broken between members that live.
    breaks: u8,
    /// Snapshots taken, after which the log before is gone.
    snapshots: u8,
    /// Times that a member's patience ends.
    waits: u8,
}

/// A model to be visited.
#[derive(Clone, Copy, Debug)]
struct Ensemble {
    voters: u8,
    observers: u8,
    bounds: Bounds,
    is_election_coarse: bool,
    /// Delivered entries that are kept: with none, who lags needs a snapshot.
    window: usize,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The first message on its way from one to the other arrives.
    Deliver(ServerId, ServerId),
    /// The first write that waits is done, and the member is told.
    Persist(ServerId),
    Fetch(ServerId),
    Propose(ServerId),
    /// So many of the writes that wait are done, and the member was not told.
    Crash(ServerId, usize),
    Start(ServerId),
    Break(ServerId, ServerId),
    Notice(ServerId, ServerId),
    Connect(ServerId, ServerId),
    Snapshot(ServerId),
    Wait(ServerId),
}

#[derive(Clone, PartialEq)]
struct State {
    world: World,
    left: Bounds,
    /// A promise that is broken.
    broken: Option<String>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let World { members, links, up, ends, checker, .. } = &self.world;
        (members, up, ends, checker, self.left, self.broken.is_some()).hash(hasher);
        // A link on which nothing is, is as one that never carried anything.
        links.iter().filter(|(_, queue)| !queue.is_empty()).for_each(|link| link.hash(hasher));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.broken.as_deref().unwrap_or(""))
    }
}

impl Ensemble {
    fn config(&self) -> Config {
        Config {
            me: ServerId(1),
            voters: (1..=self.voters).map(ServerId).collect(),
            observers: (self.voters + 1..=self.voters + self.observers).map(ServerId).collect(),
            init_limit_ticks: 8,
            sync_limit_ticks: 4,
            // What a slow disk brings about is for the walks.
            slow_disk_ticks: u32::MAX,
            heartbeat_ticks: 1,
            election_settle_ticks: 0,
            window_entries_max: self.window,
            window_bytes_max: 1 << 20,
        }
    }

    fn carry_out(&self, state: &mut State, step: Step) {
        let State { world, left, .. } = state;
        match step {
            Step::Deliver(from, to) => assert!(world.deliver_one(from, to)),
            Step::Persist(id) => assert!(world.persist_one(id)),
            Step::Fetch(id) => assert!(world.fetch_one(id)),
            Step::Propose(id) => {
                left.txns -= 1;
                let txn = world.checker_mut().next_txn();
                world.propose(id, vec![txn]);
            }
            Step::Crash(id, kept) => {
                left.crashes -= 1;
                world.crash_unnoticed(id, kept);
            }
            Step::Start(id) => world.start(id),
            Step::Break(a, b) => {
                left.breaks -= 1;
                world.sever(a, b);
            }
            Step::Notice(me, other) => world.notice(me, other),
            Step::Connect(a, b) => world.connect(a, b),
            Step::Snapshot(id) => {
                left.snapshots -= 1;
                world.snapshot(id);
            }
            Step::Wait(id) => {
                left.waits -= 1;
                (0..WAIT_TICKS).for_each(|_| world.step(id, Input::Tick));
            }
        }
        if self.is_election_coarse {
            deliver_notifications(world);
        }
    }
}

/// Lets notifications arrive, until none is first on its link.
fn deliver_notifications(world: &mut World) {
    let is_first = |world: &World| {
        world.links.iter().find_map(|(link, queue)| {
            matches!(queue.front(), Some(Message::Notification { .. })).then_some(*link)
        })
    };
    while let Some((from, to)) = is_first(world) {
        world.deliver_one(from, to);
    }
}

impl Model for Ensemble {
    type Action = Step;
    type State = State;

    fn init_states(&self) -> Vec<State> {
        let mut world = World::new(self.config());
        world.start_all();
        world.connect_all();
        if self.is_election_coarse {
            deliver_notifications(&mut world);
        }
        vec![State { world, left: self.bounds, broken: None }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let State { world, left, broken } = state;
        if broken.is_some() {
            return;
        }
        let links = world.links.iter().filter(|(_, queue)| !queue.is_empty());
        steps.extend(links.map(|((from, to), _)| Step::Deliver(*from, *to)));
        for (id, member) in &world.members {
            let id = *id;
            if member.engine.is_none() {
                steps.push(Step::Start(id));
                continue;
            }
            if member.disk.queued() > 0 {
                steps.push(Step::Persist(id));
            }
            if member.fetch.is_some_and(|from| world.member(from).engine.is_some()) {
                steps.push(Step::Fetch(id));
            }
            if left.txns > 0 && matches!(member.role, Role::Leading { .. }) {
                steps.push(Step::Propose(id));
            }
            if left.crashes > 0 {
                steps.extend((0..=member.disk.queued()).map(|kept| Step::Crash(id, kept)));
            }
            let delivered = member.engine.as_ref().unwrap().delivered();
            if left.snapshots > 0 && delivered > member.disk.image {
                steps.push(Step::Snapshot(id));
            }
            if left.waits > 0 {
                steps.push(Step::Wait(id));
            }
            for (other, _) in world.members.range(ServerId(id.0 + 1)..) {
                if world.can_connect(id, *other) {
                    steps.push(Step::Connect(id, *other));
                } else if left.breaks > 0 && world.up.contains(&(id, *other)) {
                    steps.push(Step::Break(id, *other));
                }
            }
        }
        let ends =
            world.ends.iter().filter(|(me, other)| !world.up.contains(&model::pair(*me, *other)));
        steps.extend(ends.map(|(me, other)| Step::Notice(*me, *other)));
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.carry_out(&mut state, step);
            let mut steps = Vec::new();
            self.actions(&state, &mut steps);
            if steps.is_empty() {
                comes_together(state.world.clone());
            }
        }));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            state.broken = Some(text.unwrap_or_default());
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, state: &State| state.broken.is_none()),
            Property::sometimes("all is delivered by everyone", |model, state: &State| {
                state.left.txns == 0
                    && state.world.checker.history.len() == usize::from(model.bounds.txns)
                    && state.world.is_even()
            }),
            Property::sometimes(
                "there are two reigns where a leader can fail",
                |model, state: &State| {
                    let can_fail = model.bounds.crashes > 0 || model.bounds.breaks > 1;
                    state.world.checker.leaders.len() > usize::from(can_fail)
                },
            ),
        ]
    }
}

/// Lets time pass; everyone must come together and commit.
fn comes_together(mut world: World) {
    world.run(SETTLE_TICKS);
    assert!(world.is_even(), "they stay apart:\n{}", world.describe());
    assert!(world.ticks_to_commit(1).is_some(), "nothing commits:\n{}", world.describe());
}

/// Visits all states; prints how many there are.
fn exhaust(name: &str, ensemble: Ensemble) {
    let started = Instant::now();
    let checker = builder(ensemble).spawn_dfs().join();
    let (states, visits, depth) =
        (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{name}: {states} distinct states, {visits} visits, {depth} steps deep, {seconds:.1} s"
    );
    judge(name, &checker);
    checker.assert_properties();
}

fn builder(ensemble: Ensemble) -> CheckerBuilder<Ensemble> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    ensemble.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures)
}

/// Tells what led to a broken promise.
fn judge(name: &str, checker: &impl Checker<Ensemble>) {
    if let Some(path) = checker.discovery(KEPT) {
        let broken = path.last_state().broken.clone().unwrap_or_default();
        let steps: Vec<_> = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
        panic!(
            "{name} breaks a promise: {broken}\nafter {} steps: {}",
            steps.len(),
            steps.join(", ")
        );
    }
}

const NOTHING: Bounds = Bounds { txns: 0, crashes: 0, breaks: 0, snapshots: 0, waits: 0 };

const THREE: Ensemble =
    Ensemble { voters: 3, observers: 0, bounds: NOTHING, is_election_coarse: true, window: 1000 };

#[test]
fn a_connection_that_breaks_at_any_moment_costs_nothing() {
    exhaust("a break", Ensemble { bounds: Bounds { txns: 1, breaks: 1, ..NOTHING }, ..THREE });
}

#[test]
fn a_crash_at_any_moment_before_the_first_txn_costs_nothing() {
    exhaust("a crash", Ensemble { bounds: Bounds { crashes: 1, ..NOTHING }, ..THREE });
}

#[test]
fn a_crash_at_any_moment_loses_no_txn() {
    let bounds = Bounds { txns: 1, crashes: 1, ..NOTHING };
    exhaust("a crash and a txn", Ensemble { bounds, ..THREE });
}

#[test]
fn a_learner_that_needs_a_snapshot_loses_nothing() {
    let bounds = Bounds { txns: 1, snapshots: 1, breaks: 1, ..NOTHING };
    exhaust("a snapshot", Ensemble { bounds, window: 0, ..THREE });
}

#[test]
fn one_voter_with_an_observer_loses_nothing() {
    let bounds = Bounds { txns: 1, crashes: 1, ..NOTHING };
    exhaust("an observer", Ensemble { bounds, voters: 1, observers: 1, ..THREE });
}

#[test]
fn no_order_of_votes_makes_two_leaders_of_an_epoch() {
    exhaust("votes", Ensemble { is_election_coarse: false, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn large_two_elections_a_crash_and_two_txns() {
    exhaust("large 1", Ensemble { bounds: Bounds { txns: 2, crashes: 1, ..NOTHING }, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn large_a_crash_and_a_break() {
    let bounds = Bounds { crashes: 1, breaks: 1, ..NOTHING };
    exhaust("large 2", Ensemble { bounds, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn large_patience_that_ends_at_any_moment() {
    let bounds = Bounds { txns: 1, waits: 1, ..NOTHING };
    exhaust("large 3", Ensemble { bounds, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn large_votes_in_any_order_and_a_txn() {
    let bounds = Bounds { txns: 1, ..NOTHING };
    exhaust("large 4", Ensemble { bounds, is_election_coarse: false, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn large_an_observer_and_a_crash() {
    let bounds = Bounds { crashes: 1, ..NOTHING };
    exhaust("large 5", Ensemble { bounds, observers: 1, ..THREE });
}

#[test]
fn a_walk_without_bounds_breaks_nothing() {
    let number = |name| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seconds = number("ZAB_WALK_S").unwrap_or(2);
    let seed = number("ZAB_SEED").unwrap_or(1);
    let bounds = Bounds { txns: 255, crashes: 255, breaks: 255, snapshots: 255, waits: 255 };
    let ensemble = Ensemble { bounds, is_election_coarse: false, window: 3, ..THREE };
    let checker = builder(ensemble)
        .target_max_depth(WALK_STEPS)
        .timeout(Duration::from_secs(seconds))
        .spawn_simulation(seed, UniformChooser)
        .join();
    println!("walk: {} steps, ZAB_SEED={seed}", checker.state_count());
    judge("walk", &checker);
    assert!(checker.state_count() > 1000, "it went on");
}
