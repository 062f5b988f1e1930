//! Goal: whatever crashes, cuts, delays, pauses, slow and lost disks do, members deliver one history,
//! lose nothing that was delivered, and come back once the faults stop.
//! Method: engines over a model of network and disk, all choices drawn from one seed, each seed with
//! its own selection of faults. The checks know nothing of the engines but their outputs.
//!
//! `ZAB_SEEDS=100000 cargo test --release -p conclave-zab --test random` runs more of them, and
//! `ZAB_SEED=17` one alone. What fails says its seed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[allow(dead_code, reason = "each file of tests uses its part of the model")]
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use conclave_protocol::{ids::ServerId, peer::zab::Standing};
use conclave_zab::{Input, Role};
use model::{World, config, pair, random::Random};

/// Events of a run with faults.
const EVENTS: usize = 4000;

/// Ticks without faults by which everyone must be even again. The longest that an attempt to lead
/// may fail to notice its end is `init_limit_ticks`.
const SETTLE_TICKS_MAX: u32 = 150;

/// The kinds of faults; each seed has its own selection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Crash,
    Start,
    Break,
    Cut,
    Mend,
    Hold,
    Release,
    Pause,
    Resume,
    Stall,
    Unstall,
    LoseDisk,
}

const FAULTS: [Fault; 12] = [
    Fault::Crash,
    Fault::Start,
    Fault::Break,
    Fault::Cut,
    Fault::Mend,
    Fault::Hold,
    Fault::Release,
    Fault::Pause,
    Fault::Resume,
    Fault::Stall,
    Fault::Unstall,
    Fault::LoseDisk,
];

/// What a run did, so that a test can tell that something happened in it.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    delivered: usize,
    confirmed: usize,
    epochs: usize,
    lost_disks: usize,
    settle_ticks_max: u32,
}

struct Run {
    world: World,
    random: Random,
    faults: Vec<Fault>,
    fault_per_mille: u64,
    lost_disks: usize,
}

impl Run {
    fn new(seed: u64, voters: u8, observers: u8) -> Self {
        let mut random = Random(seed);
        let mut config = config(voters, observers);
        config.window_entries_max = random.pick(&[2, 5, 1000]);
        config.election_settle_ticks = random.pick(&[0, 2, 8]);
        config.sync_limit_ticks = random.pick(&[5, 10, 20]);
        config.slow_disk_ticks = random.pick(&[1, 4, 10]);
        config.heartbeat_ticks = random.pick(&[1, 4]);
        let mut world = World::new(config);
        world.start_all();
        let faults: Vec<Fault> = FAULTS.into_iter().filter(|_| random.chance(700)).collect();
        let fault_per_mille = random.pick(&[2, 8, 20]);
        Self { world, random, faults, fault_per_mille, lost_disks: 0 }
    }

    /// Lets one thing happen that is not a fault.
    fn advance(&mut self) {
        let ids = self.world.ids();
        let id = self.random.pick(&ids);
        let is_running = self.world.is_running(id);
        match self.random.below(10) {
            0 if is_running => self.world.step(id, Input::Tick),
            1..=5 => self.deliver(),
            6 | 7 if is_running && !self.world.member(id).is_stalled => {
                self.world.persist_one(id);
            }
            8 => {
                self.world.connect(id, self.random.pick(&ids));
                if is_running {
                    self.world.fetch_one(id);
                }
            }
            9 if is_running => {
                let count = 1 + self.random.below(3);
                let txns = (0..count).map(|_| self.world.checker_mut().next_txn()).collect();
                self.world.propose(id, txns);
            }
            _ => {}
        }
    }

    fn deliver(&mut self) {
        let world = &self.world;
        let ready: Vec<_> = world
            .links
            .iter()
            .filter(|((from, to), queue)| {
                let is_held = world.held.contains(&(*from, *to));
                !queue.is_empty() && !is_held && world.is_running(*to)
            })
            .map(|(link, _)| *link)
            .collect();
        if !ready.is_empty() {
            let (from, to) = self.random.pick(&ready);
            self.world.deliver_one(from, to);
        }
    }

    fn fault(&mut self) {
        let ids = self.world.ids();
        let (id, other) = (self.random.pick(&ids), self.random.pick(&ids));
        let is_up = self.world.member(id).engine.is_some();
        if self.faults.is_empty() {
            return;
        }
        match self.random.pick(&self.faults) {
            Fault::Crash => {
                let queued = self.world.member(id).disk.queued() as u64;
                let kept = self.random.below(queued + 1) as usize;
                self.world.crash(id, kept);
            }
            Fault::Start if !is_up => self.world.start(id),
            Fault::Start => {}
            Fault::Break => self.world.disconnect(id, other),
            Fault::Cut => self.world.cut(id, other),
            Fault::Mend => {
                self.world.cut.remove(&pair(id, other));
            }
            Fault::Hold => {
                self.world.held.insert((id, other));
            }
            Fault::Release => self.world.held.clear(),
            Fault::Pause => self.world.member_mut(id).is_paused = is_up,
            Fault::Resume => self.world.member_mut(id).is_paused = false,
            Fault::Stall => self.world.member_mut(id).is_stalled = is_up,
            Fault::Unstall => self.world.member_mut(id).is_stalled = false,
            Fault::LoseDisk => self.lose_disk(id),
        }
    }

    /// A minority of ruined disks is survived; more is not asked.
    fn lose_disk(&mut self, id: ServerId) {
        let voters = &self.world.config.voters;
        let is_ruined = |voter: &&ServerId| {
            **voter == id || self.world.members[voter].disk.epochs.standing == Standing::Repairing
        };
        if voters.iter().filter(is_ruined).count() * 2 < voters.len() {
            self.world.lose_disk(id);
            self.world.start(id);
            self.lost_disks += 1;
        }
    }

    /// Ends the faults, and returns the ticks it took until everyone had something new.
    fn settle(&mut self) -> u32 {
        self.world.heal();
        let before = self.world.checker.history.len();
        let committed = self.world.ticks_to_commit(SETTLE_TICKS_MAX);
        let Some(mut ticks) = committed else {
            panic!("nothing new after the faults stopped:\n{}", self.world.describe());
        };
        while !self.world.is_even() {
            assert!(ticks < SETTLE_TICKS_MAX, "not even:\n{}", self.world.describe());
            self.world.run(1);
            ticks += 1;
        }
        assert!(self.world.checker.history.len() > before);
        ticks
    }
}

fn run(seed: u64, voters: u8, observers: u8) -> Tally {
    let mut run = Run::new(seed, voters, observers);
    for _ in 0..EVENTS {
        if run.random.chance(run.fault_per_mille) {
            run.fault();
        }
        if run.random.chance(4) {
            let id = run.random.pick(&run.world.ids());
            run.world.snapshot(id);
        }
        run.advance();
    }
    let settle_ticks_max = run.settle();
    Tally {
        delivered: run.world.checker.history.len(),
        confirmed: run.world.confirmed.len(),
        epochs: run.world.checker.leaders.len(),
        lost_disks: run.lost_disks,
        settle_ticks_max,
    }
}

/// Runs as many seeds as asked for, or the one asked for.
fn run_seeds(count: u64, voters: u8, observers: u8) -> Tally {
    let wanted = |name: Option<&str>| name.and_then(|text| text.parse::<u64>().ok());
    let count = wanted(option_env!("ZAB_SEEDS")).unwrap_or(count);
    let seeds = match wanted(option_env!("ZAB_SEED")) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    };
    let mut all = Tally::default();
    for seed in seeds {
        let tally = catch_unwind(AssertUnwindSafe(|| run(seed, voters, observers)));
        let tally = tally.unwrap_or_else(|panic| {
            eprintln!("failed with ZAB_SEED={seed}, {voters} voters, {observers} observers");
            resume_unwind(panic)
        });
        all.delivered += tally.delivered;
        all.confirmed += tally.confirmed;
        all.epochs += tally.epochs;
        all.lost_disks += tally.lost_disks;
        all.settle_ticks_max = all.settle_ticks_max.max(tally.settle_ticks_max);
    }
    eprintln!("{voters} voters, {observers} observers: {all:?}");
    all
}

#[test]
fn three_voters_keep_one_history_and_come_back() {
    let all = run_seeds(1500, 3, 0);
    // The test would prove nothing if nothing happened in it.
    if option_env!("ZAB_SEED").is_none() {
        assert!(all.delivered > 10_000 && all.confirmed > 10_000, "{all:?}");
        assert!(all.epochs > 3000 && all.lost_disks > 100, "{all:?}");
    }
}

#[test]
fn three_voters_and_an_observer_keep_one_history_and_come_back() {
    run_seeds(500, 3, 1);
}

#[test]
fn five_voters_and_an_observer_keep_one_history_and_come_back() {
    run_seeds(1000, 5, 1);
}

#[test]
fn one_voter_alone_commits_by_its_own_disk() {
    run_seeds(50, 1, 0);
    run_seeds(50, 1, 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        let engines = || {
            let mut run = Run::new(seed, 3, 1);
            (0..EVENTS).for_each(|_| run.advance());
            let engines = run.world.members.values().map(|member| member.engine.clone());
            (engines.collect::<Vec<_>>(), run.world.checker.history.clone())
        };
        let (one, other) = (engines(), engines());
        assert!(one == other, "seed {seed}");
        assert!(one.0.iter().flatten().any(|engine| engine.role() != Role::Looking), "seed {seed}");
    }
}
