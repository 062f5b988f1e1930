//! Goal: a member that cannot find what it had acknowledged says so and does no harm; one that is told to
//! go on with what is left does. Method: the log folder is taken away, exchanged, and given back.

use bytes::Bytes;
use conclave_protocol::txn::Entry;
use conclave_server::boot::Loss;
use conclave_snapshots::{
    fs::RealFs,
    image::ImageRecord,
    recover::{self, ImageSink},
};

use super::support::{Client, Member, create, errors, read};

#[test]
fn a_wrong_log_folder_ends_the_start_and_changes_nothing() {
    let mut member = Member::start("");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/a", 0)])), [0]);
    member.stop();
    let right = member.config_mut().log_dir.clone();
    let empty = tempfile::tempdir().unwrap();
    member.config_mut().log_dir = empty.path().to_str().unwrap().to_owned();
    let error = member.try_run().unwrap_err();
    assert!(error.contains("holds no log") && error.contains("--repair"), "{error}");

    member.config_mut().log_dir = right;
    member.run();
    member.wait_serving();
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[read("/a")])), [0]);
}

#[test]
fn a_member_alone_goes_on_with_what_is_left_when_it_is_told_to() {
    let mut member = Member::start("");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/a", 0)])), [0]);
    member.stop();
    let empty = tempfile::tempdir().unwrap();
    member.config_mut().log_dir = empty.path().to_str().unwrap().to_owned();
    member.config_mut().loss = Loss::Accepted;
    member.run();
    member.wait_serving();
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[read("/a"), create("/b", 0)])), [-101, 0]);
    member.stop();
    member.config_mut().loss = Loss::default();
    member.run();
    member.wait_serving();
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[read("/b")])), [0]);
}

#[test]
fn a_member_of_three_without_its_log_is_repaired_by_the_leader() {
    let mut members = Member::start_ensemble(3, "");
    let mut client = Client::connect(members[0].address());
    assert_eq!(errors(&client.ask(&[create("/a", 0)])), [0]);
    let lost = &mut members[2];
    lost.stop();
    let empty = tempfile::tempdir().unwrap();
    lost.config_mut().log_dir = empty.path().to_str().unwrap().to_owned();
    let error = lost.try_run().unwrap_err();
    assert!(error.contains("holds no log"), "{error}");
    lost.config_mut().loss = Loss::RepairedWhole;
    lost.run();
    lost.wait_serving();
    let mut client = Client::connect(lost.address());
    assert_eq!(errors(&client.ask(&[read("/a")])), [0]);
}

#[test]
fn a_member_that_does_not_understand_a_txn_stops_before_it_tells_another_story() {
    struct Nothing;
    impl ImageSink for Nothing {
        fn reset(&mut self) {}
        fn record(&mut self, _: ImageRecord) -> Result<(), String> {
            Ok(())
        }
    }
    let mut member = Member::start("");
    let mut client = Client::connect(member.address());
    assert_eq!(errors(&client.ask(&[create("/a", 0)])), [0]);
    member.stop();
    let plan = member.config_mut().settings().plan;
    let (data, log) = (&plan.data_dir, &plan.log_dir);
    let mut disk = recover::recover(&RealFs, data, log, plan.log, &mut Nothing).unwrap();
    let last = disk.entries.last().unwrap().zxid;
    let unknown = Entry { zxid: last.successor().unwrap(), txn: Bytes::from_static(b"\xff newer") };
    disk.log.append(&[unknown]).unwrap();
    disk.log.sync().unwrap();
    drop(disk);
    member.run();
    member.wait_failed();
    member.wait_until("it serves nobody", |shared| !shared.is_serving());
}

#[test]
fn two_members_do_not_share_a_folder() {
    let mut member = Member::start("");
    let error = member.try_run_another().unwrap_err();
    assert!(error.contains("in use by another process"), "{error}");
    member.stop();
    member.run();
    member.wait_serving();
}
