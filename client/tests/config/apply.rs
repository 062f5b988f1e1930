//! What changes a configuration, and looks back.

use std::fs;

use conclave_client::{
    Client, CreateMode,
    config::record::{POINTER_MAGIC, Pointer},
};
use serde_json::Value;

use crate::{
    bench::{Bench, conclave, ended, files_of},
    support,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_becomes_znodes_and_comes_back_byte_for_byte() {
    let bench = Bench::new().await;
    let dir = bench.directory(
        "in",
        &[("db/host", "h\n"), ("db/port", "1"), ("empty", ""), ("x.yaml", "a: 1")],
    );
    fs::write(bench.path("in/binary"), [0, 255, 10, 13]).unwrap();
    assert_eq!(bench.run(&["plan", &dir, "/a/b"]).0, 2);
    assert_eq!(bench.client.exists("/a").await.unwrap(), None, "a plan changes nothing");
    bench.ok(&["apply", &dir, "/a/b", "--yes", "--reason", "first"]);
    assert_eq!(bench.data("/a/b/db/host").await.unwrap(), "h\n");
    assert_eq!(bench.data("/a/b/empty").await.unwrap(), "");
    assert_eq!(bench.client.get_data("/a/b/binary").await.unwrap().0[..], [0, 255, 10, 13]);
    assert_eq!(bench.run(&["plan", &dir, "/a/b"]).0, 0);
    bench.ok(&["export", "/a/b", &bench.arg("out")]);
    assert_eq!(files_of(&bench.path("out")), files_of(&bench.path("in")));
    for name in ["out.yaml", "out.json", "out.tar"] {
        bench.ok(&["export", "/a/b", &bench.arg(name)]);
        assert_eq!(bench.run(&["plan", &bench.arg(name), "/a/b"]).0, 0, "{name}");
        let target = format!("/imported-{}", name.replace('.', "-"));
        bench.ok(&["import", &bench.arg(name), &target]);
        let back = format!("back-{name}").replace('.', "-");
        bench.ok(&["export", &target, &bench.arg(&back)]);
        assert_eq!(files_of(&bench.path(&back)), files_of(&bench.path("in")), "{name}");
    }
    assert_eq!(bench.ok(&["get", "/a/b", "db/port"]), "1");
    let error = bench.refused(&["export", "/a/b", &bench.arg("out")]);
    assert!(error.contains("--force"), "{error}");
    bench.ok(&["export", "/a/b", &bench.arg("out"), "--force"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_told_newest_first_and_taken_back() {
    let bench = Bench::new().await;
    for (n, pairs) in
        [&[("k", "1"), ("gone", "x")][..], &[("k", "2"), ("new", "y")], &[("k", "3"), ("new", "y")]]
            .iter()
            .enumerate()
    {
        let dir = bench.directory("in", pairs);
        bench.ok(&["apply", &dir, "/c", "--yes", "--prune", "--reason", &format!("change {n}")]);
    }
    assert_eq!(bench.client.exists("/c/gone").await.unwrap(), None);
    let history = bench.json(&["history", "/c"]);
    let ids: Vec<u64> =
        history.as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [3, 2, 1]);
    let newest = &history[0];
    assert_eq!((&newest["author"], &newest["reason"]), (&"tester".into(), &"change 2".into()));
    assert_eq!(newest["counts"]["changed"], 1);
    assert!(newest["time"].as_str().unwrap().starts_with("20"), "{newest}");
    assert!(bench.ok(&["show", "/c", "1"]).contains("+ gone\n    + x\n"));
    let diff = bench.ok(&["diff", "/c", "1", "2"]);
    assert_eq!(diff, "- gone\n    - x\n~ k\n    - 1\n    + 2\n+ new\n    + y\n");
    assert_eq!(bench.ok(&["diff", "/c", "3", "live"]), "");

    bench.ok(&["rollback", "/c", "--yes"]);
    assert_eq!(bench.data("/c/k").await.unwrap(), "2");
    bench.ok(&["rollback", "/c", "--yes"]);
    assert_eq!(bench.data("/c/k").await.unwrap(), "1");
    assert_eq!(bench.data("/c/gone").await.unwrap(), "x");
    assert_eq!(bench.client.exists("/c/new").await.unwrap(), None);
    let error = bench.refused(&["rollback", "/c", "--yes"]);
    assert!(error.contains("no release to go back to"), "{error}");
    bench.ok(&["rollback", "/c", "3", "--yes"]);
    assert_eq!(bench.data("/c/k").await.unwrap(), "3");
    bench.ok(&["export", "/c", &bench.arg("old"), "--release", "1"]);
    assert_eq!(fs::read(bench.path("old/gone")).unwrap(), b"x");
    assert_eq!(bench.json(&["history", "/c"]).as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_others_are_seen_and_not_overwritten() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1"), ("b", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    bench.client.set_data("/c/a", "theirs", None).await.unwrap();
    bench.client.create("/c/foreign", "f", CreateMode::Persistent).await.unwrap();

    let (code, out, _) = bench.run(&["plan", &dir, "/c"]);
    assert!(code == 0 && out.contains("! a: others have changed it"), "{code} {out}");
    let dir = bench.directory("in", &[("a", "2"), ("b", "2")]);
    let error = bench.refused(&["apply", &dir, "/c", "--yes"]);
    assert!(error.contains("conflict") && error.contains("--overwrite"), "{error}");
    assert_eq!(bench.data("/c/a").await.unwrap(), "theirs");
    assert_eq!(bench.data("/c/b").await.unwrap(), "1", "all or nothing");
    bench.ok(&["apply", &dir, "/c", "--yes", "--overwrite", "--prune"]);
    assert_eq!(bench.data("/c/a").await.unwrap(), "2");
    assert_eq!(bench.data("/c/foreign").await.unwrap(), "f", "what is not ours stays");

    let dir = bench.directory("in", &[("foreign", "mine")]);
    assert!(bench.refused(&["import", &dir, "/c"]).contains("foreign"));
    bench.ok(&["import", &dir, "/c", "--overwrite"]);
    assert_eq!(bench.data("/c/foreign").await.unwrap(), "mine");
    assert_eq!(bench.data("/c/a").await.unwrap(), "2", "an import takes nothing away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_without_a_yes() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1")]);
    let error = bench.refused(&["apply", &dir, "/c"]);
    assert!(error.contains("--yes"), "{error}");
    bench.ok(&["apply", &dir, "/c", "--yes", "--dry-run"]);
    assert_eq!(bench.client.exists("/c").await.unwrap(), None);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    bench.ok(&["apply", &dir, "/c"]);
    assert_eq!(bench.json(&["history", "/c"]).as_array().unwrap().len(), 1, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_it_shows_the_plan_and_asks() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1")]);
    let hosts = bench.member.connect_string();
    for (answer, expected) in [("n", None), ("y", Some("1".to_owned()))] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_conclave"));
        command.args(["config", "--server", &hosts, "apply", &dir, "/c"]);
        let mut session = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
        session.exp_string("+ a").unwrap();
        session.exp_string("Change /c? [y/N]").unwrap();
        session.send_line(answer).unwrap();
        session.exp_eof().unwrap();
        assert_eq!(bench.data("/c/a").await, expected, "{answer}");
    }
}

#[test]
fn what_cannot_be_ends_with_its_code() {
    let nobody = format!("127.0.0.1:{}", support::free_port());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "1").unwrap();
    let dir = folder.path().to_str().unwrap();
    let run = |words: &[&str]| ended(conclave(words).output().unwrap());
    let (code, _, error) =
        run(&["config", "--server", &nobody, "--wait", "300", "plan", dir, "/a"]);
    assert_eq!(code, 3, "{error}");
    for words in [
        &["config", "plan", dir][..],
        &["config", "plan", dir, "a"],
        &["config", "--server", "a/./b", "plan", dir, "/a"],
        &["config", "frobnicate"],
        &["config"],
    ] {
        assert_eq!(run(words).0, 2, "{words:?}");
    }
    assert_eq!(run(&["config", "plan", "/nowhere/at/all", "/a"]).0, 1);
}

/// What a client without our library does to read a release: the pointer, the record, the pages, the blob.
async fn plain_read(client: &Client, root: &str, key: &str) -> Option<String> {
    let pointer = client.get_data(root).await.unwrap().0;
    let json: Value = serde_json::from_slice(&pointer[POINTER_MAGIC.len()..]).unwrap();
    let at = |field: &str| Pointer::resolve(root, json[field].as_str().unwrap()).unwrap();
    let record = client.get_data(&at("record")).await.unwrap().0;
    let record: Value = serde_json::from_slice(&record).unwrap();
    for page in record["pages"].as_array().unwrap() {
        let page = client.get_data(&format!("{}/{}", at("blobs"), page.as_str().unwrap())).await;
        for line in String::from_utf8(page.unwrap().0.to_vec()).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["key"] == key {
                let blob = format!("{}/{}", at("blobs"), line["blob"].as_str()?);
                let data = client.get_data(&blob).await.unwrap().0;
                return Some(String::from_utf8(data.to_vec()).unwrap());
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_one_multi_is_a_release_behind_one_pointer() {
    let bench = Bench::new().await;
    let small = bench.directory("small", &[("a", "small"), ("keep", "k")]);
    bench.ok(&["apply", &small, "/c", "--yes"]);
    let value = "v".repeat(400_000);
    let large = bench
        .directory("large", &[("a", "large"), ("x/1", &value), ("x/2", &value), ("x/3", &value)]);
    bench.ok(&["apply", &large, "/c", "--yes", "--prune"]);
    assert!(bench.data("/c").await.unwrap().starts_with(POINTER_MAGIC));
    assert_eq!(bench.client.exists("/c/a").await.unwrap(), None, "no stale value is left");
    assert_eq!(plain_read(&bench.client, "/c", "a").await.unwrap(), "large");
    assert_eq!(bench.ok(&["get", "/c", "a"]), "large");
    assert_eq!(bench.run(&["plan", &large, "/c"]).0, 0);
    bench.ok(&["export", "/c", &bench.arg("out")]);
    assert_eq!(files_of(&bench.path("out")), files_of(&bench.path("large")));

    // One key of the release changes: nothing but the pointer is turned.
    let changed =
        bench.directory("large", &[("a", "2"), ("x/1", &value), ("x/2", &value), ("x/3", &value)]);
    bench.ok(&["apply", &changed, "/c", "--yes"]);
    assert_eq!(plain_read(&bench.client, "/c", "a").await.unwrap(), "2");
    bench.ok(&["rollback", "/c", "--yes"]);
    assert_eq!(bench.ok(&["get", "/c", "a"]), "large");

    // What fits is znodes again.
    bench.ok(&["rollback", "/c", "1", "--yes"]);
    assert_eq!(bench.data("/c").await.unwrap(), "");
    assert_eq!(bench.data("/c/a").await.unwrap(), "small");
    assert_eq!(bench.data("/c/keep").await.unwrap(), "k");
    assert_eq!(bench.client.exists("/c/x").await.unwrap(), None);
}

/// Goal: where even the deletion of the znodes before does not fit the multi that turns the pointer, they go right behind it, and
/// what others write there later stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn znodes_that_a_release_replaces_go_behind_it() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..400).map(|n| format!("d/k{n:03}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let dir = bench.directory("in", &files);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let more: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "2")).collect();
    let dir = bench.directory("in", &more);
    let small = ["--max-request", "12000"];
    bench.ok(&[&["apply", &dir, "/c", "--yes"][..], &small].concat());
    assert!(bench.data("/c").await.unwrap().starts_with(POINTER_MAGIC));
    assert_eq!(bench.client.get_children("/c").await.unwrap().0, [""; 0]);
    assert_eq!(bench.ok(&["get", "/c", "d/k399"]), "2");
    // Readers do not look there, but it is not ours.
    bench.client.create("/c/theirs", "t", CreateMode::Persistent).await.unwrap();
    let dir = bench.directory("in", &files);
    bench.ok(&[&["apply", &dir, "/c", "--yes"][..], &small].concat());
    assert_eq!(bench.ok(&["get", "/c", "d/k000"]), "1");
    assert_eq!(bench.data("/c/theirs").await.unwrap(), "t");
    bench.client.delete("/c/theirs", None).await.unwrap();
    bench.ok(&["rollback", "/c", "--yes"]);
    assert_eq!(bench.data("/c/d/k000").await.unwrap(), "2", "and back to znodes in one step");
    assert_eq!(bench.data("/c").await.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_tree_can_be_a_configuration_without_what_is_the_services_own() {
    let bench = Bench::new().await;
    bench.client.create("/theirs", "t", CreateMode::Persistent).await.unwrap();
    bench.client.create("/theirs/session", "", CreateMode::Ephemeral).await.unwrap();
    let dir = bench.directory("in", &[("a/b", "1"), ("c", "2")]);
    bench.ok(&["apply", &dir, "/", "--yes", "--prune"]);
    assert_eq!(bench.data("/a/b").await.unwrap(), "1");
    bench.ok(&["export", "/", &bench.arg("out")]);
    let names: Vec<String> = files_of(&bench.path("out")).into_iter().map(|file| file.0).collect();
    assert_eq!(names, ["a/b", "c", "theirs"]);
    assert_eq!(bench.run(&["plan", &dir, "/"]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chroot_has_its_own_configurations_and_releases() {
    let bench = Bench::new().await;
    bench.client.create("/x", "", CreateMode::Persistent).await.unwrap();
    let hosts = format!("{}/x", bench.member.connect_string());
    let run = |words: &[&str]| {
        ended(conclave(&[&["config", "--server", &hosts], words].concat()).output().unwrap())
    };
    let value = "v".repeat(600_000);
    let dir = bench.directory("in", &[("a", "1"), ("b", &value), ("c", &value)]);
    assert_eq!(run(&["apply", &dir, "/app", "--yes"]).0, 0);
    let chroot = bench.client.chroot("/x").unwrap();
    assert_eq!(plain_read(&chroot, "/app", "a").await.unwrap(), "1");
    assert_eq!(plain_read(&bench.client, "/x/app", "a").await.unwrap(), "1", "seen from above");
    assert_eq!(bench.ok(&["get", "/x/app", "a"]), "1");
    assert_eq!(run(&["get", "/app", "a"]).1, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acls_and_kinds_come_along_and_hide_the_blobs_too() {
    let bench = Bench::new().await;
    let meta = r#"{"acl": {"a": "digest:me:016djjlksVQS5RgX3M7biBGyYwY=:r,world:anyone:cdwa"}, "kind": {"box": "container"}}"#;
    let dir = bench.directory("in", &[("a", "1"), ("box", ""), (".conclave.json", meta)]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    assert_eq!(bench.client.get_data("/c/a").await, Err(conclave_client::ClientError::NoAuth));
    assert_eq!(bench.run(&["plan", &dir, "/c"]).0, 1, "what may not be read cannot be compared");
    let me = |words: &[&str]| bench.run(&[words, &["--auth", "digest:me:secret"]].concat()).0;
    assert_eq!(me(&["plan", &dir, "/c"]), 0, "ACLs and kinds are as wanted");
    assert_eq!(me(&["export", "/c", &bench.arg("out")]), 0);
    let said = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(bench.path(name).join(".conclave.json")).unwrap()).unwrap()
    };
    assert_eq!(said("out"), said("in"));
    let store = "/.conclave/config/%2Fc/blobs";
    let mut refused = 0;
    for blob in bench.client.get_children(store).await.unwrap().0 {
        refused += usize::from(bench.client.get_data(&format!("{store}/{blob}")).await.is_err());
    }
    assert_eq!(refused, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_releases_go_and_what_only_they_needed_with_them() {
    let bench = Bench::new().await;
    for n in 0..6 {
        let dir = bench.directory("in", &[("k", &n.to_string()), ("same", "s")]);
        bench.ok(&["apply", &dir, "/c", "--yes", "--keep", "2"]);
    }
    assert_eq!(bench.json(&["history", "/c"]).as_array().unwrap().len(), 2);
    let blobs = bench.client.get_children("/.conclave/config/%2Fc/blobs").await.unwrap().0;
    assert_eq!(blobs.len(), 5, "two values of k, one of same, two pages");
    assert!(bench.refused(&["show", "/c", "1"]).contains("no release 1"));
}
