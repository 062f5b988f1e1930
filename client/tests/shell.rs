//! `conclave shell` from outside: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "a test's server opens sockets")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use conclave_client::{Client, CreateMode};

use support::Fixture;

fn conclave(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code, standard output, standard error.
type Ended = (i32, String, String);

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs one command in the corner of a test.
fn shell(fixture: &Fixture, words: &[&str]) -> Ended {
    let hosts = fixture.hosts();
    let arguments = [&["shell", "--server", hosts.as_str()], words].concat();
    ended(conclave(&arguments).output().unwrap())
}

/// Runs a script from standard input.
fn script(fixture: &Fixture, options: &[&str], lines: &str) -> Ended {
    let hosts = fixture.hosts();
    let arguments = [&["shell", "-s", hosts.as_str()], options].concat();
    let mut child = conclave(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    ended(child.wait_with_output().unwrap())
}

fn said(text: &str) -> Ended {
    (0, text.to_owned(), String::new())
}

fn failed(code: i32, error: &str) -> Ended {
    (code, String::new(), error.to_owned())
}

#[tokio::test]
async fn single_commands_print_what_scripts_want() {
    let Some(fixture) = Fixture::new("single").await else { return };
    assert_eq!(shell(&fixture, &["create", "/x", "some text"]), said("Created /x\n"));
    assert_eq!(shell(&fixture, &["get", "/x"]), said("some text\n"));
    assert_eq!(shell(&fixture, &["set", "/x", "-1"]), said(""));
    assert_eq!(shell(&fixture, &["get", "/x"]), said("-1\n"));
    assert_eq!(shell(&fixture, &["create", "-s", "/x/n-"]), said("Created /x/n-0000000000\n"));
    assert_eq!(shell(&fixture, &["create", "/x/b", "1"]), said("Created /x/b\n"));
    assert_eq!(shell(&fixture, &["ls", "/x"]), said("[b, n-0000000000]\n"));
    assert_eq!(shell(&fixture, &["ls", "-R"]), said("/\n/x\n/x/b\n/x/n-0000000000\n"));
    assert_eq!(shell(&fixture, &["create", "-e", "/e"]), said("Created /e\n"));
    assert_eq!(shell(&fixture, &["ls", "/"]), said("[x]\n"), "ephemerals go with the shell");
    assert_eq!(shell(&fixture, &["sync", "/x"]), said(""));
    assert_eq!(shell(&fixture, &["delete", "-v", "0", "/x/b"]), said(""));
    assert_eq!(shell(&fixture, &["deleteall", "/x"]), said(""));
    assert_eq!(shell(&fixture, &["ls"]), said("[]\n"));
}

#[tokio::test]
async fn stats_are_printed_as_zkcli_does() {
    let Some(fixture) = Fixture::new("stats").await else { return };
    assert_eq!(shell(&fixture, &["create", "/x", "abc"]).0, 0);
    let (code, stat, _) = shell(&fixture, &["stat", "/x"]);
    let keys: Vec<_> = stat.lines().map(|line| line.split(" = ").next().unwrap()).collect();
    let expected = [
        "cZxid",
        "ctime",
        "mZxid",
        "mtime",
        "pZxid",
        "cversion",
        "dataVersion",
        "aclVersion",
        "ephemeralOwner",
        "dataLength",
        "numChildren",
    ];
    assert_eq!((code, &keys[..]), (0, &expected[..]));
    assert!(stat.contains("\ndataLength = 3\n"), "{stat}");
    assert_eq!(shell(&fixture, &["get", "-s", "/x"]), said(&format!("abc\n{stat}")));
    assert_eq!(shell(&fixture, &["ls", "-s", "/x"]), said(&format!("[]\n{stat}")));
    let (_, changed, _) = shell(&fixture, &["set", "-s", "-v", "0", "/x", "d"]);
    assert!(changed.contains("\ndataVersion = 1\n"), "{changed}");
}

#[tokio::test]
async fn data_that_is_no_text_is_shown_in_hexadecimal() {
    let Some(fixture) = Fixture::new("binary").await else { return };
    let client = Client::connect(&fixture.hosts()).await.unwrap();
    client.create("/x", vec![0xff, 0x00, 0x7f], CreateMode::Persistent).await.unwrap();
    client.close().await.unwrap();
    let note = "conclave: /x: data is not UTF-8, shown in hexadecimal\n";
    assert_eq!(shell(&fixture, &["get", "/x"]), (0, "ff007f\n".to_owned(), note.to_owned()));
}

#[tokio::test]
async fn failures_name_path_and_reason_and_end_with_one() {
    let Some(fixture) = Fixture::new("failures").await else { return };
    for (words, error) in [
        (&["get", "/no"][..], "conclave: get /no: node does not exist\n"),
        (&["stat", "/no"], "conclave: stat /no: node does not exist\n"),
        (&["create", "/no/x"], "conclave: create /no/x: node does not exist\n"),
        (&["delete", "-v", "7", "/"], "conclave: delete /: "),
    ] {
        let (code, out, said) = shell(&fixture, words);
        assert_eq!((code, out.as_str()), (1, ""), "{words:?}");
        assert!(said.starts_with(error), "{said:?}");
    }
}

#[tokio::test]
async fn a_script_runs_line_by_line_with_comments_and_quotes() {
    let Some(fixture) = Fixture::new("script").await else { return };
    let lines = "# a comment\n\ncreate /x 'two words'\nget /x # and another\n\
                 set /x \"a \\\"b\\\"\"\nget /x\nquit\nget /no\n";
    assert_eq!(script(&fixture, &[], lines), said("Created /x\ntwo words\na \"b\"\n"));
}

#[tokio::test]
async fn a_script_stops_at_the_first_failure_unless_told_to_go_on() {
    let Some(fixture) = Fixture::new("stops").await else { return };
    let lines = "get /no\ncreate /x\n";
    let error = "conclave: get /no: node does not exist\n";
    assert_eq!(script(&fixture, &[], lines), failed(1, error));
    let went_on = (1, "Created /x\n".to_owned(), error.to_owned());
    assert_eq!(script(&fixture, &["--keep-going"], lines), went_on);
    let (code, out, _) = script(&fixture, &[], "ls /\nfrobnicate\nls /\n");
    assert_eq!((code, out.as_str()), (2, "[x]\n"));
    assert_eq!(script(&fixture, &[], "get 'open\n").0, 2);
    assert_eq!(script(&fixture, &[], ""), said(""));
}

#[tokio::test]
async fn watches_print_their_event() {
    let Some(fixture) = Fixture::new("watches").await else { return };
    assert_eq!(shell(&fixture, &["create", "/x", "old"]).0, 0);
    let hosts = fixture.hosts();
    for (words, first_line, change, event) in [
        (&["get", "-w", "/x"][..], "old", &["set", "/x", "new"][..], "NodeDataChanged /x"),
        (&["ls", "-w", "/"], "[x]", &["create", "/y"], "NodeChildrenChanged /"),
        (&["stat", "-w", "/y"], "cZxid", &["delete", "/y"], "NodeDeleted /y"),
    ] {
        let arguments = [&["shell", "--server", hosts.as_str()], words].concat();
        let mut child = conclave(&arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.next().unwrap();
        assert!(line.starts_with(first_line), "{line}");
        assert_eq!(shell(&fixture, change).0, 0);
        assert_eq!(lines.last(), Some(format!("Event: {event}")));
        assert_eq!(child.wait().unwrap().code(), Some(0), "it ends when the watch has fired");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_within_the_wait() {
    let nobody = format!("127.0.0.1:{}", support::free_port());
    // One that accepts and says nothing is no server either.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    for server in [nobody, silent] {
        let start = Instant::now();
        let ended = ended(
            conclave(&["shell", "--server", &server, "--wait", "500", "get", "/x"])
                .output()
                .unwrap(),
        );
        let error = format!("conclave: {server}: no server answered within 500 ms\n");
        assert_eq!(ended, failed(1, &error));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

/// Goal: a command does not wait for ever for a server that has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_said_within_the_wait() {
    let Some(fixture) = Fixture::new("away").await else { return };
    let (proxy, client) = fixture.client_by_proxy().await;
    let hosts = format!("{}{}", proxy.address, fixture.root);
    let arguments = ["shell", "--server", &hosts, "--timeout", "3000", "--wait", "500"];
    let mut child = conclave(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"create /x\n").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "Created /x\n");
    proxy.cut(&client).await;
    stdin.write_all(b"get /x\nget /x\n").unwrap();
    drop(stdin);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let (code, _, error) = ended(support::within("the shell ends", output).await.unwrap());
    assert_eq!(code, 1);
    assert!(error.starts_with("conclave: get /x: connection lost"), "{error}");
}

#[test]
fn what_is_not_understood_ends_with_two_before_anything_is_connected() {
    for arguments in [
        &["shell", "frobnicate"][..],
        &["shell", "get"],
        &["shell", "get", "/a", "/b"],
        &["shell", "--server", "a:b", "ls"],
        &["shell", "--server", "a/./b", "ls"],
        &["shell", "--timeout", "soon", "ls"],
        &["frobnicate"],
    ] {
        let (code, out, error) = ended(conclave(arguments).output().unwrap());
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(!error.is_empty());
    }
}

#[test]
fn version_and_help_read_well() {
    let version = format!("conclave {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(ended(conclave(&["--version"]).output().unwrap()), said(&version));
    let (code, help, _) = ended(conclave(&["--help"]).output().unwrap());
    assert!(code == 0 && help.contains("shell"), "{help}");
    let (code, help, _) = ended(conclave(&["shell", "--help"]).output().unwrap());
    assert_eq!(code, 0);
    for option in ["--server", "--timeout", "--wait", "--keep-going", "127.0.0.1:2181"] {
        assert!(help.contains(option), "{option} is not in {help}");
    }
}

#[test]
fn help_needs_no_server() {
    // A port that was free a moment ago.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let server = format!("127.0.0.1:{port}");
    let (code, out, errors) =
        ended(conclave(&["shell", "--server", &server, "help"]).output().unwrap());
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(["deleteall", "sync", "quit"].iter().all(|name| out.contains(name)), "{out}");
}
