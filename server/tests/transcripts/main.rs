//! Goal: a member answers other people's clients as the real server does, to the byte.
//! Method: the recordings are replayed against members of our own, frame by frame; what differs from
//! run to run is compared as the recordings say. Where a member deviates on purpose, its own answer is
//! in a table and is compared as well; a recording that needs what is not built is named, so that none
//! is forgotten.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "recordings are files, and clients are sockets")]

mod compare;
mod deviations;
mod left_out;
#[path = "../../src/admin/tests/pattern.rs"]
mod pattern;
#[path = "../shared/ports.rs"]
mod ports;
mod recording;
mod replay;
mod stage;

use std::sync::Mutex;

use self::{
    deviations::{DEVIATIONS, Deviation},
    left_out::LEFT_OUT,
    recording::Recording,
};

/// Recordings replayed at the same time: most wait more than they work.
const AT_ONCE: usize = 8;

fn recordings() -> Vec<Recording> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/testdata/transcripts");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut recordings: Vec<Recording> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            Recording::parse(name, &std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    recordings.sort_by(|a, b| a.name.cmp(&b.name));
    recordings
}

fn deviations(recording: &Recording) -> Vec<&'static Deviation> {
    DEVIATIONS.iter().filter(|deviation| deviation.scenario == recording.name).collect()
}

/// Replays recordings, several at a time, and returns how each went.
fn replay_all<'a>(recordings: &[&'a Recording]) -> Vec<(&'a Recording, Result<(), String>)> {
    let queue = Mutex::new(recordings.iter());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(recording) = { queue.lock().unwrap().next() } {
                    let result = replay::replay(recording, &deviations(recording));
                    done.lock().unwrap().push((*recording, result));
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn a_member_answers_as_the_real_server_did() {
    let recordings = recordings();
    // One alone, for whoever looks for what differs.
    let only = std::env::var("CONCLAVE_TRANSCRIPT").ok();
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|(known, _)| *known == name);
    let replayed: Vec<&Recording> = recordings
        .iter()
        .filter(|recording| match &only {
            Some(only) => recording.name == *only,
            None => !is_left_out(&recording.name),
        })
        .collect();
    let results = replay_all(&replayed);
    let mut differing: Vec<String> =
        results.into_iter().filter_map(|(_, result)| result.err()).collect();
    differing.sort();
    println!("{} recordings replayed, {} left out", replayed.len(), LEFT_OUT.len());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn a_recording_is_left_out_only_while_it_cannot_be_replayed() {
    let recordings = recordings();
    let left_out: Vec<&Recording> = LEFT_OUT
        .iter()
        .map(|(name, missing)| {
            let found = recordings.iter().find(|recording| recording.name == *name);
            found.unwrap_or_else(|| panic!("{name} ({missing}) is no recording"))
        })
        .collect();
    for (recording, result) in replay_all(&left_out) {
        assert!(result.is_err(), "{} can be replayed now", recording.name);
    }
}

#[test]
fn every_deviation_is_of_a_recorded_step_and_argued() {
    let recordings = recordings();
    let argued = include_str!("../../../protocol/COMPATIBILITY.md");
    for Deviation { scenario, line, heading, .. } in DEVIATIONS {
        let found = recordings.iter().find(|recording| recording.name == *scenario);
        let recording = found.unwrap_or_else(|| panic!("{scenario} is no recording"));
        let is_step = recording.lines.iter().any(|step| step.number == *line);
        assert!(is_step, "{scenario} has no line {line}");
        let is_argued = argued.lines().any(|line| line == format!("### {heading}"));
        assert!(is_argued, "COMPATIBILITY.md has no heading {heading:?}");
    }
}
