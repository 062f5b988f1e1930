//! Goal: every phase of the protocol, and every trap that is known, told as a story that can be read
//! and that holds.
//! Method: the files of `scenarios/`, a step per line, carried out on the model. When a story is at
//! its end all faults are ended, and everyone must come together again.
//!
//! Members are letters: `a` is server 1. Everything that was asked (messages, writes, fetches) waits
//! until a step lets it happen:
//!
//! | step | what happens |
//! |---|---|
//! | `members a b c`, `observers d` | the ensemble; must come first |
//! | `set window 3` | also `settle`, `sync_limit`, `init_limit`, `heartbeat`; before the first start |
//! | `start a b`, `crash a`, `crash a keeping 2`, `lose a` | `keeping`: so many writes made it; `lose`: its disk is lost |
//! | `pause a`, `resume a`, `stall a`, `unstall a` | the process stops; its disk takes writes and ends none |
//! | `cut a b`, `mend a b`, `break a b` | no connection; possible again; broken once |
//! | `hold a->b`, `release a->b` | nothing arrives for now |
//! | `connect` | every connection that can be made |
//! | `tick a 3`, `deliver a->b 2`, `persist a 1`, `fetch a` | these alone; without a number, one |
//! | `deliver a->b through NewEpoch` | all up to the first of that kind |
//! | `flush`, `run 5` | all that may happen without a tick; that with so many ticks for all |
//! | `propose a x y`, `confirm a 7`, `snapshot a` | at this member |
//! | `until a leading` | ticks until it is so |
//!
//! and what is expected of them: `expect a leading`, `expect a following b`, `expect a observing b`,
//! `expect a looking`, `expect disk a x y`, `expect delivered a x y`, `expect epochs a 2 1 repairing`
//! (promised and followed, on disk), `expect writes a Entries Epochs` and `expect sent a->b Propose`
//! (all that waits, pings and notifications left out), `expect fetching a`, `expect confirmed 7`,
//! `expect unconfirmed 7`, `expect established 2` (how many epochs have been).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[allow(dead_code, reason = "each file of tests uses its part of the model")]
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bytes::Bytes;
use conclave_protocol::{ids::ServerId, peer::zab::Standing, txn::Entry};
use conclave_zab::{Config, Input, Role};
use model::{World, config, prefix_len};

/// Ticks that `until` waits, at most.
const UNTIL_TICKS_MAX: u32 = 100;

/// Ticks without faults by which everyone is even, at the end.
const SETTLE_TICKS_MAX: u32 = 150;

struct Story {
    config: Config,
    world: Option<World>,
}

fn member(name: &str) -> ServerId {
    match name.as_bytes() {
        [letter @ b'a'..=b'z'] => ServerId(letter - b'a' + 1),
        _ => panic!("no member is called {name:?}"),
    }
}

fn link(text: &str) -> (ServerId, ServerId) {
    let (from, to) = text.split_once("->").expect("a link is written a->b");
    (member(from), member(to))
}

fn count(words: &[&str]) -> usize {
    words.first().map_or(1, |word| word.parse().expect("a number"))
}

/// The name of a variant: its debug text up to what it holds.
fn kind(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '(', '{']).next().unwrap().to_owned()
}

fn txns(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.txn).unwrap()).collect()
}

impl Story {
    fn tell(text: &str) {
        let mut story = Self { config: config(3, 0), world: None };
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap().trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let step = catch_unwind(AssertUnwindSafe(|| story.step(&words)));
            step.unwrap_or_else(|panic| {
                eprintln!("line {}: {line}\n{}", number + 1, story.world().describe());
                resume_unwind(panic)
            });
        }
        story.end();
    }

    fn world(&mut self) -> &mut World {
        let config = &self.config;
        self.world.get_or_insert_with(|| World::new(config.clone()))
    }

    /// Everyone comes together again, whatever the story did.
    fn end(&mut self) {
        let world = self.world();
        world.heal();
        let ticks = world.ticks_to_commit(SETTLE_TICKS_MAX);
        assert!(ticks.is_some(), "no write commits after the end:\n{}", world.describe());
        for _ in 0..SETTLE_TICKS_MAX {
            if world.is_even() {
                return;
            }
            world.run(1);
        }
        panic!("not even after the end:\n{}", world.describe());
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["members", names @ ..] => {
                self.config.voters = names.iter().map(|name| member(name)).collect();
            }
            ["observers", names @ ..] => {
                self.config.observers = names.iter().map(|name| member(name)).collect();
            }
            ["set", name, value] => self.set(name, value.parse().expect("a number")),
            ["until", rest @ ..] => self.until(rest),
            ["expect", rest @ ..] => self.expect(rest),
            _ if self.fault(words) => {}
            _ => self.advance(words),
        }
    }

    fn set(&mut self, name: &str, value: u32) {
        assert!(self.world.is_none(), "before the first start");
        match name {
            "window" => self.config.window_entries_max = value as usize,
            "settle" => self.config.election_settle_ticks = value,
            "sync_limit" => self.config.sync_limit_ticks = value,
            "init_limit" => self.config.init_limit_ticks = value,
            "heartbeat" => self.config.heartbeat_ticks = value,
            _ => panic!("nothing is called {name:?}"),
        }
    }

    /// Carries out a fault or its end; false when the step is none.
    fn fault(&mut self, words: &[&str]) -> bool {
        let world = self.world();
        match words {
            ["start", names @ ..] => names.iter().for_each(|name| world.start(member(name))),
            ["crash", name] => world.crash(member(name), 0),
            ["crash", name, "keeping", kept] => world.crash(member(name), kept.parse().unwrap()),
            ["lose", name] => world.lose_disk(member(name)),
            ["cut", a, b] => world.cut(member(a), member(b)),
            ["mend", a, b] => {
                let pair = model::pair(member(a), member(b));
                assert!(world.cut.remove(&pair), "it was not cut");
            }
            ["break", a, b] => world.disconnect(member(a), member(b)),
            ["hold", links @ ..] => world.held.extend(links.iter().map(|text| link(text))),
            ["release", links @ ..] => {
                for text in links {
                    assert!(world.held.remove(&link(text)), "{text} was not held");
                }
            }
            [verb @ ("pause" | "resume"), name] => {
                world.member_mut(member(name)).is_paused = *verb == "pause";
            }
            [verb @ ("stall" | "unstall"), name] => {
                world.member_mut(member(name)).is_stalled = *verb == "stall";
            }
            _ => return false,
        }
        true
    }

    fn advance(&mut self, words: &[&str]) {
        let world = self.world();
        match words {
            ["connect"] => world.connect_all(),
            ["tick", name, rest @ ..] => {
                (0..count(rest)).for_each(|_| world.step(member(name), Input::Tick));
            }
            ["deliver", text, "through", last] => {
                let (from, to) = link(text);
                loop {
                    let next = world.links.get(&(from, to)).and_then(|queue| queue.front());
                    let is_last = next.is_some_and(|message| kind(message) == *last);
                    assert!(world.deliver_one(from, to), "no {last} is on the way");
                    if is_last {
                        break;
                    }
                }
            }
            ["deliver", text, rest @ ..] => {
                let (from, to) = link(text);
                for _ in 0..count(rest) {
                    assert!(world.deliver_one(from, to), "nothing on the way");
                }
            }
            ["persist", name, rest @ ..] => {
                for _ in 0..count(rest) {
                    assert!(world.persist_one(member(name)), "nothing to write");
                }
            }
            ["fetch", name] => assert!(world.fetch_one(member(name)), "nothing to fetch"),
            ["flush"] => world.flush(),
            ["run", ticks] => world.run(ticks.parse().expect("a number")),
            ["propose", name, txns @ ..] => {
                let txns = txns.iter().map(|txn| Bytes::copy_from_slice(txn.as_bytes())).collect();
                assert!(matches!(world.member(member(name)).role, Role::Leading { .. }));
                world.propose(member(name), txns);
            }
            ["confirm", name, token] => {
                world.step(member(name), Input::Confirm { token: token.parse().unwrap() });
            }
            ["snapshot", name] => world.snapshot(member(name)),
            _ => panic!("no step is {words:?}"),
        }
    }

    fn until(&mut self, words: &[&str]) {
        for _ in 0..UNTIL_TICKS_MAX {
            if role_is(self.world(), words) {
                return;
            }
            self.world().run(1);
        }
        panic!("never");
    }

    fn expect(&mut self, words: &[&str]) {
        let world = self.world();
        match words {
            ["disk", name, expected @ ..] => {
                let disk = &world.member(member(name)).disk;
                let history = &world.checker.history;
                let mut on_disk = txns(&history[..prefix_len(history, disk.image)]);
                let behind = disk.log.partition_point(|entry| entry.zxid <= disk.image);
                on_disk.extend(txns(&disk.log[behind..]));
                assert_eq!(on_disk, expected);
            }
            ["delivered", name, expected @ ..] => {
                assert_eq!(txns(world.checker.delivered(member(name))), expected);
            }
            ["epochs", name, accepted, current, rest @ ..] => {
                let epochs = world.member(member(name)).disk.epochs;
                let on_disk = (epochs.accepted.0.to_string(), epochs.current.0.to_string());
                assert_eq!(on_disk, ((*accepted).to_owned(), (*current).to_owned()));
                let is_repairing = epochs.standing == Standing::Repairing;
                assert_eq!(is_repairing, rest == ["repairing"]);
            }
            ["writes", name, expected @ ..] => {
                assert_eq!(world.member(member(name)).disk.queued_kinds(), expected);
            }
            ["sent", text, expected @ ..] => {
                let waiting = world.links.get(&link(text)).into_iter().flatten().map(kind);
                let is_told = |kind: &String| !["Ping", "Pong", "Notification"].contains(&&**kind);
                assert_eq!(waiting.filter(is_told).collect::<Vec<_>>(), expected);
            }
            ["fetching", name] => assert!(world.member(member(name)).fetch.is_some()),
            ["confirmed", token] => assert!(world.confirmed.contains(&token.parse().unwrap())),
            ["unconfirmed", token] => assert!(!world.confirmed.contains(&token.parse().unwrap())),
            ["established", expected] => {
                assert_eq!(world.checker.leaders.len().to_string(), *expected);
            }
            _ => assert!(role_is(world, words), "it is not"),
        }
    }
}

fn role_is(world: &World, words: &[&str]) -> bool {
    match (words, world.members[&member(words[0])].role) {
        ([_, "looking"], role) => role == Role::Looking,
        ([_, "leading"], role) => matches!(role, Role::Leading { .. }),
        ([_, "following", of], role) => {
            matches!(role, Role::Following { leader, .. } if leader == member(of))
        }
        ([_, "observing", of], role) => {
            matches!(role, Role::Observing { leader, .. } if leader == member(of))
        }
        _ => panic!("no role is {words:?}"),
    }
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                Story::tell(include_str!(concat!("scenarios/", stringify!($name), ".txt")));
            }
        )*

        #[test]
        fn no_story_is_left_untold() {
            let told = [$(concat!(stringify!($name), ".txt")),*];
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
            for file in std::fs::read_dir(folder).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(told.contains(&&*name), "{name} is in no test");
            }
        }
    };
}

stories! {
    // Election.
    the_member_with_the_longest_log_leads
    a_member_that_looks_joins_a_leader_and_does_not_unseat_it
    the_votes_of_two_are_enough_and_the_third_is_not_waited_for
    a_silent_leader_is_replaced_though_its_connections_stay_up
    a_leader_that_steps_down_is_left_at_once
    a_member_under_repair_has_no_vote
    a_member_that_cannot_reach_the_leader_unseats_nobody
    a_leader_that_loses_its_quorum_gives_way_to_the_one_member_that_has_it
    // Discovery.
    a_promise_is_on_disk_before_it_is_told
    a_promise_counts_for_one_leader_only
    a_follower_that_restarts_between_ackepoch_and_newleader_comes_back
    a_leader_takes_over_the_history_of_one_that_cannot_lead
    a_leader_whose_window_is_passed_by_fetches_the_snapshot_of_one_that_cannot_lead
    // Synchronization.
    a_follower_that_lacks_entries_gets_a_diff
    a_follower_with_entries_that_nobody_else_has_drops_them
    trunc_never_takes_what_a_follower_has_delivered
    a_follower_older_than_the_window_fetches_a_snapshot_and_then_a_diff
    what_is_written_while_a_follower_fetches_is_kept_for_it
    a_proposal_during_synchronization_reaches_the_follower_once
    newleader_is_acked_once_the_diff_is_on_disk_and_then_the_epoch
    newleader_is_acked_once_the_snapshot_is_on_disk_and_then_the_epoch
    a_crash_between_log_and_epoch_makes_nobody_better_than_it_is
    a_leader_that_loses_its_quorum_before_newleader_is_acked_delivers_nothing
    entries_of_an_earlier_epoch_are_committed_when_a_quorum_has_acked_newleader
    a_leader_that_was_replaced_heals_nobody
    members_under_repair_are_no_part_of_the_quorum_that_makes_a_leader
    a_member_under_repair_counts_once_it_is_written_that_it_is_whole
    a_snapshot_may_come_from_a_newer_epoch_than_was_promised
    // Broadcast.
    the_leader_delivers_once_its_own_disk_has_it
    a_follower_delivers_once_its_own_disk_has_it
    a_commit_waits_for_a_quorum
    a_leader_that_was_replaced_is_not_confirmed
    a_voter_alone_commits_by_its_own_disk
    // Observers.
    an_observer_gets_what_is_committed_and_counts_to_no_quorum
    an_observer_finds_the_new_leader
}
