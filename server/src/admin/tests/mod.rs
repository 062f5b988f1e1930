//! Goal: the words are answered as the real server answered them. Method: each answer of the
//! recordings is matched against ours, from a report with the figures of that moment.
#![expect(clippy::disallowed_methods, reason = "recordings are files")]

mod pattern;

use conclave_protocol::{
    frame::{Word, four_letter_word},
    ids::SessionId,
    zxid::Zxid,
};
use serde_json::Value;

use super::*;
use crate::config;

const SESSIONS: [SessionId; 2] = [SessionId(0x1_0000_314c_9000), SessionId(0x1_0000_314c_9001)];

fn connection(session: Option<SessionId>, port: u16) -> ConnectionReport {
    ConnectionReport {
        address: ([127, 0, 0, 1], port).into(),
        queued: 0,
        received: 2,
        sent: 2,
        session,
        timeout_ms: 30_000,
        established_ms: 1_795_390_524_598,
        last: Activity {
            operation: Some("EXIS"),
            xid: 1,
            zxid: 4,
            answered_ms: 3_236_262,
            latency_ms: 1,
        },
        latency_ms: (0, 64, 215),
    }
}

/// A member with `sessions` clients and one asker of words.
fn report(mode: Mode, sessions: usize) -> MemberReport {
    let sessions = &SESSIONS[..sessions];
    let mut connections: Vec<ConnectionReport> =
        sessions.iter().map(|id| connection(Some(*id), 59_608)).collect();
    connections.push(connection(None, 59_642));
    let watch = |session, path: &str| WatchReport { session, path: path.to_owned() };
    MemberReport {
        version: "3.9.0-conclave".to_owned(),
        mode,
        latency_ms: LatencyMs { min: 0, mean: 46.428_571, max: 215 },
        packets_received: 11,
        packets_sent: 10,
        connection_count: 3,
        outstanding: 0,
        last_zxid: Zxid::from_wire(4),
        znode_count: 7,
        ephemeral_count: 1,
        data_len_bytes: 48,
        watch_count: 2,
        watching_connection_count: 2,
        watched_path_count: 2,
        session_count: 2,
        local_session_count: 0,
        uptime_ms: 6189,
        open_files: Some((40, 20_000)),
        connections_refused: 0,
        connections_dropped: 0,
        throttled: 0,
        proposals: 0,
        commits: 0,
        snapshots: 0,
        fsync_ms: LatencyMs::default(),
        voter_count: (mode != Mode::Standalone).then_some(3),
        leader: (mode == Mode::Leader).then(|| LeaderReport {
            proposal_sizes: Some(ProposalSizes { last: 48, min: 48, max: 48 }),
            ..LeaderReport::default()
        }),
        conf: String::new(),
        data_dir_len_bytes: 67_109_337,
        log_dir_len_bytes: 67_109_337,
        environment: vec![("os.name".to_owned(), "Linux".to_owned())],
        trace_mask: 306,
        connections,
        sessions: sessions
            .iter()
            .enumerate()
            .map(|(index, id)| SessionReport {
                id: *id,
                timeout_ms: 30_000,
                // The recorded ensemble's session has none.
                ephemerals: if sessions.len() == 2 && index == 0 {
                    vec!["/e".to_owned()]
                } else {
                    Vec::new()
                },
            })
            .collect(),
        watches: vec![
            watch(SESSIONS[0], "/w"),
            watch(SESSIONS[1], "/missing"),
            watch(SESSIONS[0], "/w"),
        ],
    }
}

/// What a configuration makes of `conf`, not what a test would like it to be.
fn conf_answer(servers: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    std::fs::write(&path, format!("dataDir=/d\nclientPort=22051\n{servers}")).unwrap();
    let (config, _) = config::load(path.to_str().unwrap(), Some(1)).unwrap();
    config.conf(0, 0)
}

/// The words of a recording with what was answered, in order, but those that are none.
fn recorded(scenario: &str) -> Vec<(Word, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/testdata/transcripts");
    let text = std::fs::read_to_string(format!("{folder}/{scenario}.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut answers = Vec::new();
    for pair in lines.windows(2) {
        let Some(hex) = pair[0]["hex"].as_str() else { continue };
        if pair[1]["note"].as_str().is_none_or(|note| !note.starts_with("4lw answer")) {
            continue;
        }
        let letter = |index: usize| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap();
        if let Some(word) = four_letter_word(&[letter(0), letter(1), letter(2), letter(3)]) {
            answers.push((word, pair[1].clone()));
        }
    }
    assert!(!answers.is_empty(), "{scenario} has words");
    answers
}

fn check(word: Word, recorded: &Value, report: &MemberReport, whitelist: &Whitelist) {
    let ours = answer(word, report, whitelist).text;
    if let Err(difference) = pattern::compare(word.letters(), recorded, &ours) {
        panic!("{}: {difference}", word.letters());
    }
}

#[test]
fn a_single_member_answers_every_word_as_recorded() {
    let mut report = report(Mode::Standalone, 2);
    report.conf = conf_answer("");
    let answers = recorded("four_letter_words");
    for word in Word::ALL {
        assert!(answers.iter().any(|(known, _)| *known == word), "{} is recorded", word.letters());
    }
    for (word, recorded) in answers {
        check(word, &recorded, &report, &Whitelist::new(None));
    }
}

#[test]
fn srvr_alone_is_answered_without_a_whitelist() {
    let whitelist = Whitelist::new(Some(vec!["srvr".to_owned()]));
    for (word, recorded) in recorded("four_letter_words_default") {
        check(word, &recorded, &report(Mode::Standalone, 0), &whitelist);
    }
}

#[test]
fn each_role_of_an_ensemble_answers_as_recorded() {
    let servers: String = (1..=3)
        .map(|id| format!("server.{id}=127.0.0.1:2206{id}:2207{id};127.0.0.1:2205{id}\n"))
        .collect();
    let answers = recorded("ensemble_four_letter_words");
    let count = answers.len();
    assert_eq!(count % 3, 0, "three servers are asked the same words");
    // Three servers were asked the same words; the first has the one session, the last leads.
    for (index, (word, recorded)) in answers.into_iter().enumerate() {
        let server = index / (count / 3);
        let mode = if server == 2 { Mode::Leader } else { Mode::Follower };
        let mut report = report(mode, usize::from(server == 0));
        report.conf = conf_answer(&servers);
        check(word, &recorded, &report, &Whitelist::new(None));
    }
}

#[test]
fn a_member_without_a_quorum_says_that_it_does_not_serve() {
    for (word, recorded) in recorded("ensemble_no_quorum") {
        check(word, &recorded, &report(Mode::Looking, 0), &Whitelist::new(None));
    }
}

#[test]
fn a_read_only_member_says_so() {
    for scenario in ["ensemble_readonly", "ensemble_readonly_local"] {
        for (word, recorded) in recorded(scenario) {
            check(word, &recorded, &report(Mode::ReadOnly, 0), &Whitelist::new(None));
        }
    }
}

#[test]
fn a_word_changes_something_only_where_it_is_allowed_and_served() {
    let (all, none) = (Whitelist::new(None), Whitelist::new(Some(Vec::new())));
    let effect = |word, mode, list: &Whitelist| answer(word, &report(mode, 0), list).effect;
    for (word, expected) in
        [(Word::Crst, Effect::ResetConnections), (Word::Srst, Effect::ResetServer)]
    {
        assert_eq!(effect(word, Mode::Leader, &all), Some(expected));
        assert_eq!(effect(word, Mode::Looking, &all), None);
        assert_eq!(effect(word, Mode::Leader, &none), None);
    }
    assert_eq!(effect(Word::Stmk, Mode::Leader, &all), Some(Effect::StoreTraceMask));
    assert_eq!(effect(Word::Stmk, Mode::Leader, &none), None);
    assert_eq!(effect(Word::Srvr, Mode::Leader, &all), None);
}

#[test]
fn a_mean_is_written_as_java_does() {
    let text = |mean| LatencyMs { min: 0, mean, max: 0 }.mean_text();
    assert_eq!((text(0.0), text(46.428_571)), ("0.0".to_owned(), "46.4286".to_owned()));
    assert_eq!((text(119.0), text(0.000_04)), ("119.0".to_owned(), "0.0".to_owned()));
}

#[test]
fn a_leader_that_proposed_nothing_shows_no_sizes() {
    let mut report = report(Mode::Leader, 0);
    report.leader = Some(LeaderReport::default());
    let all = Whitelist::new(None);
    let srvr = answer(Word::Srvr, &report, &all).text;
    assert!(srvr.ends_with("Proposal sizes last/min/max: -1/-1/-1\n"), "{srvr}");
    let mntr = answer(Word::Mntr, &report, &all).text;
    assert!(mntr.contains("zk_last_proposal_size\t-1\n"), "{mntr}");
}

/// Goal: monitors that know ZooKeeper find the gauges of its every server.
#[test]
fn mntr_has_the_gauges_of_its_role() {
    let keys = |mode| {
        let mntr = answer(Word::Mntr, &report(mode, 0), &Whitelist::new(None)).text;
        mntr.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let every = "zk_auth_failed_count zk_outstanding_tls_handshake zk_non_mtls_local_conn_count \
                 zk_non_mtls_remote_conn_count zk_connection_drop_probability";
    for mode in [Mode::Standalone, Mode::Follower, Mode::Observer, Mode::Leader] {
        let keys = keys(mode);
        let has = |key: &str| keys.iter().any(|known| known == key);
        assert!(every.split_whitespace().all(has), "{mode:?}: {keys:?}");
        assert_eq!(has("zk_quorum_size"), mode != Mode::Standalone, "{mode:?}");
        assert_eq!(has("zk_synced_non_voting_followers"), mode == Mode::Leader, "{mode:?}");
    }
}

#[test]
fn no_key_of_mntr_is_told_twice() {
    let mntr = answer(Word::Mntr, &report(Mode::Leader, 1), &Whitelist::new(None)).text;
    let mut keys: Vec<&str> = mntr.lines().filter_map(|line| line.split('\t').next()).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "{mntr}");
}
