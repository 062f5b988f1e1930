//! Quotas: what counts where, what is refused, and what of it is in flight.

use conclave_protocol::code::ErrorCode::QuotaExceeded;

use super::*;
use crate::pipeline::quota::Quotas;

/// Returns the text of hard limits, as ZooKeeper's shell writes it.
fn hard(count: i64, bytes: i64) -> String {
    format!("count=-1,bytes=-1=;byteHardLimit={bytes};countHardLimit={count}")
}

fn leader_with_quota(limits: &str) -> Leader {
    let mut leader = Leader::new();
    leader.add("/q", "12345", 0);
    leader.limit("/q", limits);
    leader
}

#[test]
fn stats_are_filled_in_when_they_are_created_and_kept_from_then_on() {
    let mut leader = leader_with_quota("count=-1,bytes=-1");
    assert_eq!(leader.stats("/q"), "count=1,bytes=5");
    leader.add("/q/a", "abc", 0);
    assert_eq!(leader.stats("/q"), "count=2,bytes=8");
    leader.ask(SESSION, &set("/q/a", "a"));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=2,bytes=6");
    leader.ask(SESSION, &delete("/q/a"));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=1,bytes=5");
}

#[test]
fn stats_are_filled_in_with_what_is_in_flight() {
    let mut leader = Leader::new();
    leader.add("/q", "12345", 0);
    leader.add("/zookeeper/quota/q", "", 0);
    leader.add(&limits_path("/q"), "count=9,bytes=9", 0);
    leader.add("/q/gone", "x", 0);
    leader.ask(SESSION, &create("/q/a", "abc", 0));
    leader.ask(SESSION, &set("/q", "1"));
    leader.ask(SESSION, &delete("/q/gone"));
    leader.ask(SESSION, &create(&stats_path("/q"), "", 0));
    leader.ask(SESSION, &create("/q/b", "z", 0));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=3,bytes=5");
}

#[test]
fn hard_limit_refuses_what_would_exceed_it_and_counts_what_is_in_flight() {
    let mut leader = leader_with_quota(&hard(3, 20));
    for path in ["/q/a", "/q/b"] {
        assert!(matches!(leader.ask(SESSION, &create(path, "", 0)), Change::Create(_)));
    }
    assert_eq!(leader.ask(SESSION, &create("/q/c", "", 0)), refused(QuotaExceeded));
    assert!(matches!(leader.ask(SESSION, &set("/q/a", "15 bytes of data")), Change::Error(_)));
    assert!(matches!(leader.ask(SESSION, &set("/q/a", "15 bytes, data.")), Change::SetData { .. }));
    assert_eq!(leader.ask(SESSION, &set("/q/b", "x")), refused(QuotaExceeded));
    leader.ask(SESSION, &delete("/q/a"));
    assert!(matches!(leader.ask(SESSION, &create("/q/c", "x", 0)), Change::Create(_)));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=3,bytes=6");
}

#[test]
fn containers_ttl_znodes_and_ephemerals_count_as_others_do() {
    let mut leader = leader_with_quota(&hard(4, -1));
    for request in [container("/q/c"), ttl("/q/t", 5), create("/q/e", "", 1)] {
        assert!(matches!(leader.ask(SESSION, &request), Change::Create(_)));
    }
    for request in [container("/q/d"), ttl("/q/u", 5), create("/q/f", "", 1)] {
        assert_eq!(leader.ask(SESSION, &request), refused(QuotaExceeded));
    }
    leader.apply_all();
    assert_eq!(leader.reap("/q/t"), Change::Delete { path: "/q/t".to_owned() });
    assert!(matches!(leader.ask(SESSION, &ttl("/q/u", 5)), Change::Create(_)));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=4,bytes=5");
}

#[test]
fn exceeded_quota_is_told_before_a_wrong_version_and_after_everything_else() {
    let mut leader = leader_with_quota(&hard(1, 5));
    let wrong = Request::SetData { path: "/q".into(), data: data("123456"), version: 9 };
    assert_eq!(leader.ask(SESSION, &wrong), refused(QuotaExceeded));
    assert_eq!(leader.ask(SESSION, &create("/q", "", 0)), refused(ErrorCode::NodeExists));
    assert_eq!(leader.ask(SESSION, &create("/q/a/b", "", 0)), refused(ErrorCode::NoNode));
}

#[test]
fn operations_of_a_multi_count_for_each_other_and_not_at_all_when_it_is_refused() {
    let mut leader = leader_with_quota(&hard(2, -1));
    let swap = multi([create("/q/a", "", 0), delete("/q/a"), create("/q/b", "1", 0)]);
    assert!(matches!(leader.ask(SESSION, &swap), Change::Multi(_)));
    let beyond = multi([set("/q/b", "123"), create("/q/c", "", 0), delete("/q/b")]);
    let expected = Change::MultiError { failed_op: 1, code: QuotaExceeded };
    assert_eq!(leader.ask(SESSION, &beyond), expected);
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=2,bytes=6");
}

#[test]
fn quota_made_lifted_or_falsified_within_a_multi_takes_effect_at_its_place() {
    let mut leader = Leader::new();
    leader.add("/q", "", 0);
    leader.add("/zookeeper/quota/q", "", 0);
    let made = multi([
        create("/q/a", "1", 0),
        create(&limits_path("/q"), &hard(2, -1), 0),
        create(&stats_path("/q"), "", 0),
        set(&stats_path("/q"), "count=-100,bytes=0"),
        create("/q/b", "", 0),
    ]);
    let expected = Change::MultiError { failed_op: 4, code: QuotaExceeded };
    assert_eq!(leader.ask(SESSION, &made), expected);
    let lifted = multi([
        create(&limits_path("/q"), &hard(1, -1), 0),
        create(&stats_path("/q"), "", 0),
        delete(&limits_path("/q")),
        create("/q/a", "1", 0),
    ]);
    assert!(matches!(leader.ask(SESSION, &lifted), Change::Multi(_)));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=1,bytes=0", "frozen when the limits went");
}

#[test]
fn quota_covers_its_subtree_and_no_names_that_begin_alike() {
    let mut leader = leader_with_quota(&hard(1, -1));
    leader.add("/qq", "", 0);
    leader.add("/q-", "", 0);
    assert_eq!(leader.ask(SESSION, &create("/q/a", "", 0)), refused(QuotaExceeded));
    assert_eq!(leader.stats("/q"), "count=1,bytes=5");
}

#[test]
fn nearest_quota_counts_and_the_outer_one_what_is_left() {
    let mut leader = leader_with_quota(&hard(3, -1));
    leader.add("/q/in", "1", 0);
    leader.add("/q/in/a", "22", 0);
    assert_eq!(leader.ask(SESSION, &create("/q/b", "", 0)), refused(QuotaExceeded));
    leader.limit("/q/in", &hard(3, -1));
    assert_eq!(
        (leader.stats("/q").as_str(), leader.stats("/q/in").as_str()),
        ("count=1,bytes=5", "count=2,bytes=3")
    );
    leader.add("/q/b", "", 0);
    leader.add("/q/in/b", "", 0);
    assert_eq!(leader.ask(SESSION, &create("/q/in/c", "", 0)), refused(QuotaExceeded));
    leader.add("/q/c", "", 0);
    leader.ask(SESSION, &delete(&limits_path("/q/in")));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=6,bytes=8");
    assert_eq!(leader.stats("/q/in"), "count=3,bytes=3", "kept as it was");
}

#[test]
fn closing_a_session_takes_its_ephemerals_out_of_the_stats() {
    let mut leader = leader_with_quota(&hard(3, -1));
    let other = SessionId(2);
    leader.open(other);
    for path in ["/q/a", "/q/b"] {
        leader.ask(other, &create(path, "123", 1));
    }
    assert_eq!(leader.ask(SESSION, &create("/q/c", "", 0)), refused(QuotaExceeded));
    leader.act(other, Action::Close);
    assert!(matches!(leader.ask(SESSION, &create("/q/c", "", 0)), Change::Create(_)));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=2,bytes=5");
}

#[test]
fn what_makes_less_is_never_refused() {
    let mut leader = leader_with_quota(&hard(9, 100));
    leader.ask(SESSION, &set("/q", "0123456789"));
    leader.ask(SESSION, &set(&limits_path("/q"), &hard(0, 3)));
    assert!(matches!(leader.ask(SESSION, &set("/q", "012345678")), Change::SetData { .. }));
    assert_eq!(leader.ask(SESSION, &set("/q", "0123456789")), refused(QuotaExceeded));
    assert!(matches!(leader.ask(SESSION, &set("/q", "abcdefghi")), Change::SetData { .. }));
    assert!(matches!(leader.ask(SESSION, &delete("/q")), Change::Delete { .. }));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=0,bytes=0");
}

#[test]
fn soft_limits_and_hard_ones_that_are_not_enforced_refuse_nothing() {
    let mut leader = leader_with_quota("count=1,bytes=1");
    leader.add("/q/a", "abc", 0);
    leader.rules.hard_limits = HardLimits::Warned;
    leader.ask(SESSION, &set(&limits_path("/q"), &hard(1, 1)));
    leader.add("/q/b", "abc", 0);
    assert_eq!(leader.stats("/q"), "count=3,bytes=11");
}

#[test]
fn one_quota_is_warned_of_once_in_a_while_and_does_not_silence_another() {
    let mut quotas = Quotas::default();
    let mut warned = |covered: &str, time_ms| quotas.is_warning_due(covered, time_ms);
    assert!(warned("/q", 1000) && !warned("/q", 1001) && !warned("/q", 10_999));
    assert!(warned("/r", 1001));
    assert!(warned("/q", 11_000));
    assert!(warned("/q", 500), "a clock that was set back does not silence it");
    for number in 0..5000 {
        assert!(warned(&format!("/{number}"), 500), "there are never too many to be warned of");
    }
}

#[test]
fn stats_that_nobody_keeps_any_more_are_the_clients() {
    let mut leader = leader_with_quota(&hard(9, -1));
    let freed =
        multi([create("/q/a", "", 0), delete(&limits_path("/q")), set(&stats_path("/q"), "mine")]);
    assert!(matches!(leader.ask(SESSION, &freed), Change::Multi(_)));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "mine");
}

#[test]
fn quota_is_counted_only_while_both_of_its_znodes_are_there() {
    let mut leader = leader_with_quota(&hard(2, -1));
    leader.ask(SESSION, &delete(&stats_path("/q")));
    leader.add("/q/a", "", 0);
    leader.add("/q/b", "", 0);
    leader.add(&stats_path("/q"), "count=0,bytes=0", 0);
    assert_eq!(leader.stats("/q"), "count=3,bytes=5");
    leader.ask(SESSION, &delete(&limits_path("/q")));
    leader.ask(SESSION, &set(&stats_path("/q"), "mine"));
    leader.add("/q/c", "", 0);
    assert_eq!(leader.stats("/q"), "mine");
    leader.add(&limits_path("/q"), &hard(4, -1), 0);
    assert_eq!(leader.stats("/q"), "count=4,bytes=5");
    assert_eq!(leader.ask(SESSION, &create("/q/d", "", 0)), refused(QuotaExceeded));
}

#[test]
fn client_cannot_falsify_stats_that_are_kept() {
    let mut leader = leader_with_quota(&hard(2, -1));
    leader.ask(SESSION, &set(&stats_path("/q"), "count=-9,bytes=0"));
    leader.add("/q/a", "", 0);
    assert_eq!(leader.ask(SESSION, &create("/q/b", "", 0)), refused(QuotaExceeded));
    leader.ask(SESSION, &set(&stats_path("/q"), "junk"));
    leader.apply_all();
    assert_eq!(leader.stats("/q"), "count=2,bytes=5");
}

#[test]
fn quota_on_the_root_or_the_services_own_znodes_is_data_like_any() {
    let mut leader = Leader::new();
    leader.add("/zookeeper/quota/zookeeper_limits", &hard(0, 0), 0);
    leader.add("/zookeeper/quota/zookeeper_stats", "mine", 0);
    leader.limit("/zookeeper", &hard(0, 0));
    leader.add("/zookeeper/a", "1", 0);
    leader.add("/a", "1", 0);
    assert_eq!(leader.stats("/zookeeper"), "count=0,bytes=0");
    assert_eq!(leader.stats(""), "mine");
}

#[test]
fn quota_may_be_put_on_a_path_that_comes_later() {
    let mut leader = Leader::new();
    leader.limit("/q", &hard(1, 3));
    assert_eq!(leader.ask(SESSION, &create("/q", "1234", 0)), refused(QuotaExceeded));
    leader.add("/q", "123", 0);
    assert_eq!(leader.ask(SESSION, &create("/q/a", "", 0)), refused(QuotaExceeded));
    assert_eq!(leader.stats("/q"), "count=1,bytes=3");
}

#[test]
fn stats_change_neither_version_nor_time() {
    let mut leader = leader_with_quota("");
    let before = leader.state.tree.node(&stats_path("/q")).unwrap().stat();
    leader.time_ms += 1000;
    leader.add("/q/a", "12345678", 0);
    let after = leader.state.tree.node(&stats_path("/q")).unwrap().stat();
    let data_length = leader.stats("/q").len() as i32;
    assert_eq!(after, conclave_protocol::stat::Stat { data_length, ..before });
}

#[test]
fn what_is_counted_survives_a_snapshot_taken_while_it_changes() {
    let mut leader = leader_with_quota(&hard(100, -1));
    for number in 0..20 {
        leader.add(&format!("/q/{number}"), "x", 0);
    }
    let mut next = 20;
    leader.snapshot(|leader| {
        leader.add(&format!("/q/{next}"), "yy", 0);
        leader.ask(SESSION, &delete(&format!("/q/{}", next - 15)));
        leader.apply_all();
        next += 1;
    });
    assert!(next > 22, "it was changed during the walk");
    leader.add("/q/last", "", 0);
    let bytes = 5 + 20 + (next - 20);
    assert_eq!(leader.stats("/q"), format!("count=22,bytes={bytes}"));
}
