//! What follows a configuration: watch, render, exec, rollouts, typed views; and what judges it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Child,
    time::Duration,
};

use conclave_client::{
    Client, ClientBuilder,
    config::{View, ViewBuilder},
};
use serde::Deserialize;

use crate::{bench::Bench, support::within};

/// Ends a process that runs until then.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_prints_each_change_whole() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1"), ("b", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let words = ["watch", "/c", "--changes", "1", "-o", "json"];
    let mut child = Running(bench.command(&words).spawn().unwrap());
    let mut said = BufReader::new(child.0.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("waiting for changes"));
    let dir = bench.directory("in", &[("a", "2"), ("b", "2")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let mut out = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let line: serde_json::Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
    assert_eq!(line["changes"].as_array().unwrap().len(), 2, "{line}");
    assert_eq!(line["release"], 2);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_rendered_with_its_mode_and_judged_first() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("host", "h1\n"), ("port", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    fs::write(bench.path("t"), "{# path: /c #}{{ get('host')|trim }}:{{ get('port') }}\n").unwrap();
    let (template, out) = (bench.arg("t"), bench.arg("out"));
    assert_eq!(bench.ok(&["render", &template, &out, "--dry-run"]), "h1:1\n");
    assert!(!bench.path("out").exists());
    bench.ok(&["render", &template, &out, "--once", "--mode", "640"]);
    assert_eq!(fs::read_to_string(bench.path("out")).unwrap(), "h1:1\n");
    let mode = || fs::metadata(bench.path("out")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o640);

    let dir = bench.directory("in", &[("host", "h2"), ("port", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let check = ["--check-cmd", "grep -q h1 {}"];
    let error = bench.refused(&[&["render", &template, &out, "--once"][..], &check].concat());
    assert!(error.contains("grep"), "{error}");
    assert_eq!(fs::read_to_string(bench.path("out")).unwrap(), "h1:1\n");
    let reload = format!("cp {{}} {}", bench.arg("reloaded"));
    bench.ok(&["render", &template, &out, "--once", "--reload-cmd", &reload]);
    assert_eq!(fs::read_to_string(bench.path("reloaded")).unwrap(), "h2:1\n");
    assert_eq!(mode(), 0o640, "it keeps its mode");

    fs::write(bench.path("t"), "{{ get('nothing') }}").unwrap();
    let error = bench.refused(&["render", &template, &out, "--once", "--path", "/c"]);
    assert!(error.contains("nothing"), "{error}");
    assert_eq!(bench.run(&["render", &template, &out, "--once"]).0, 2, "no path");
    assert_eq!(fs::read_to_string(bench.path("out")).unwrap(), "h2:1\n");
    let left: Vec<_> = fs::read_dir(bench.folder.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(left.len(), 4, "nothing staged is left: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_follows_its_configuration() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    fs::write(bench.path("t"), "{{ get('a') }}").unwrap();
    let words = ["render", &bench.arg("t"), &bench.arg("out"), "--path", "/c", "--consumer", "me"];
    let _child = Running(bench.command(&words).spawn().unwrap());
    let has = |text: &str| fs::read_to_string(bench.path("out")).is_ok_and(|it| it == text);
    until("the file is there", || has("1")).await;
    let dir = bench.directory("in", &[("a", "2")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    until("the file follows", || has("2")).await;
    until("it is reported", || bench.json(&["status", "/c"])["consumers"]["me"]["release"] == 2)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_the_values_and_is_started_again_when_they_change() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("db/host", "one\n")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let command = ["--", "sh", "-c", "echo $APP_DB_HOST"];
    let out = bench.ok(&[&["exec", "/c", "--prefix", "APP_"][..], &command].concat());
    assert_eq!(out, "one\n");
    let (code, ..) = bench.run(&["exec", "/c", "--", "sh", "-c", "exit 7"]);
    assert_eq!(code, 7, "the command's own code");

    let script = format!("echo $DB_HOST >> {}; exec sleep 1000", bench.arg("log"));
    let words = ["exec", "/c", "--", "sh", "-c", &script];
    let mut child = Running(bench.command(&words).spawn().unwrap());
    let log = || fs::read_to_string(bench.path("log")).unwrap_or_default();
    until("it runs", || log() == "one\n").await;
    let dir = bench.directory("in", &[("db/host", "two")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    until("it is started again", || log() == "one\ntwo\n").await;
    let pid = rustix::process::Pid::from_raw(child.0.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.0.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 15), "the command ends with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_in_force_for_some_before_it_is_for_all() {
    let bench = Bench::new().await;
    let dir = bench.directory("in", &[("a", "1")]);
    bench.ok(&["apply", &dir, "/c", "--yes"]);
    let dir = bench.directory("in", &[("a", "2")]);
    bench.ok(&["rollout", "start", &dir, "/c", "--label", "canary", "--yes", "--reason", "try"]);
    fs::write(bench.path("t"), "{{ get('a') }}").unwrap();
    let rendered = |label: &str| {
        let words = ["render", &bench.arg("t"), "-", "--path", "/c", "--dry-run", "--label", label];
        bench.ok(&words)
    };
    assert_eq!((rendered("canary").as_str(), rendered("blue").as_str()), ("2", "1"));
    assert_eq!(bench.data("/c/a").await.unwrap(), "1");
    bench.ok(&["rollout", "widen", "/c", "2", "--percent", "100"]);
    let words = ["render", &bench.arg("t"), "-", "--path", "/c", "--dry-run", "--consumer", "x"];
    assert_eq!(bench.ok(&words), "2");
    let status = bench.json(&["status", "/c"]);
    assert_eq!((&status["release"], status["cohorts"].as_array().unwrap().len()), (&1.into(), 2));

    bench.ok(&["rollout", "abort", "/c"]);
    assert_eq!(rendered("canary"), "1");
    assert!(bench.refused(&["rollout", "promote", "/c", "--yes"]).contains("no rollout"));
    bench.ok(&["rollout", "widen", "/c", "2", "--label", "canary"]);
    bench.ok(&["rollout", "promote", "/c", "--yes"]);
    assert_eq!(bench.data("/c/a").await.unwrap(), "2");
    assert_eq!(bench.json(&["status", "/c"])["cohorts"].as_array().unwrap().len(), 0);
    bench.ok(&["rollback", "/c", "--yes"]);
    assert_eq!(bench.data("/c/a").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_good_is_not_published() {
    let bench = Bench::new().await;
    let meta = r#"{"schema": {"*.json": "../schema.json"}}"#;
    fs::write(bench.path("schema.json"), r#"{"required": ["port"]}"#).unwrap();
    let good = bench.directory("good", &[("a.json", r#"{"port": 1}"#), (".conclave.json", meta)]);
    let bad = bench.directory("bad", &[("a.json", "{}"), (".conclave.json", meta)]);
    bench.ok(&["validate", &good]);
    for words in [&["validate", &bad][..], &["plan", &bad, "/c"], &["apply", &bad, "/c", "--yes"]] {
        let error = bench.refused(words);
        assert!(error.contains("a.json") && error.contains("port"), "{error}");
    }
    let error = bench.refused(&["validate", &good, "--check-cmd", "test -e {}/missing"]);
    assert!(error.contains("missing"), "{error}");
    bench.ok(&["validate", &good, "--check-cmd", "test -e {}/a.json"]);
    bench.ok(&["apply", &good, "/c", "--yes"]);
    assert_eq!(bench.client.exists("/c/.conclave.json").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_leave_this_machine_encrypted_and_are_never_shown() {
    let bench = Bench::new().await;
    fs::write(bench.path("keys"), "11".repeat(32)).unwrap();
    let keys = bench.arg("keys");
    let meta = r#"{"secret": ["db/login"]}"#;
    let files = [("db/login", "hunter2"), ("password", "plain"), (".conclave.json", meta)];
    let dir = bench.directory("in", &files);
    assert!(bench.refused(&["apply", &dir, "/c", "--yes"]).contains("--key-file"));
    let with_key = |words: &[&str]| bench.run(&[words, &["--key-file", &keys]].concat());
    let (code, out, error) = with_key(&["plan", &dir, "/c"]);
    assert_eq!(code, 2, "{error}");
    assert!(!out.contains("hunter2") && !out.contains("plain"), "{out}");
    assert_eq!(with_key(&["apply", &dir, "/c", "--yes"]).0, 0);
    let stored = bench.data("/c/db/login").await.unwrap();
    assert!(stored.starts_with("conclave-secret 1 "), "{stored}");
    assert_eq!(with_key(&["plan", &dir, "/c"]).0, 0, "an equal value is no change");
    assert_eq!(with_key(&["get", "/c", "db/login"]).1, "hunter2");
    assert_eq!(bench.run(&["get", "/c", "db/login"]).0, 1);
    assert_eq!(with_key(&["export", "/c", &bench.arg("out"), "--decrypt"]).0, 0);
    assert_eq!(fs::read_to_string(bench.path("out/db/login")).unwrap(), "hunter2");
    assert_eq!(with_key(&["plan", &bench.arg("out"), "/c"]).0, 0, "it knows what is secret");
    bench.ok(&["export", "/c", &bench.arg("sealed")]);
    assert_eq!(bench.run(&["plan", &bench.arg("sealed"), "/c"]).0, 0);
}

#[derive(Debug, Deserialize, PartialEq)]
struct App {
    name: String,
    limits: BTreeMap<String, u32>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_view_follows_its_layers_and_starts_cold() {
    let mut bench = Bench::new().await;
    let default = bench.directory("in", &[("name", "default"), ("limits/cpu", "1\n")]);
    bench.ok(&["apply", &default, "/default", "--yes"]);
    let app = bench.directory("in", &[("name", "app")]);
    bench.ok(&["apply", &app, "/app", "--yes"]);
    let copy = bench.path("copy");
    let builder = |client: &Client| {
        ViewBuilder::new(client.clone()).layer("/default").layer("/app").local_copy(&copy)
    };
    let view: View<App> = builder(&bench.client).start().await.unwrap();
    let limits = |cpu| BTreeMap::from([("cpu".to_owned(), cpu)]);
    let expected = App { name: "app".to_owned(), limits: limits(1) };
    assert_eq!((&view.snapshot().value, view.snapshot().is_local_copy), (&expected, false));

    let (told, mut changes) = tokio::sync::mpsc::unbounded_channel();
    view.on_change(move |old: &App, new: &App| {
        told.send((old.limits["cpu"], new.limits["cpu"])).unwrap();
    });
    bench.client.set_data("/default/limits/cpu", "2", None).await.unwrap();
    assert_eq!(within("the callback", changes.recv()).await, Some((1, 2)));
    bench.client.set_data("/default/limits/cpu", "many", None).await.unwrap();
    until("the problem is told", || view.problem().is_some_and(|it| it.contains("limits/cpu")))
        .await;
    assert_eq!(view.snapshot().value.limits, limits(2), "the last good one stays");
    drop(view);

    bench.member.stop_member(1).await;
    let client = ClientBuilder::new(bench.member.connect_string()).renew_expired().start().unwrap();
    let cold = builder(&client).wait(Duration::from_millis(200));
    let view: View<App> = cold.start().await.unwrap();
    assert!(view.snapshot().is_local_copy);
    assert_eq!(view.snapshot().value.limits, limits(2));
    bench.member.start_member(1).await.unwrap();
    bench.member.serving().await;
    let client = Client::connect(&bench.member.connect_string()).await.unwrap();
    client.set_data("/default/limits/cpu", "3", None).await.unwrap();
    until("the view is up to date", || view.snapshot().value.limits == limits(3)).await;
}
