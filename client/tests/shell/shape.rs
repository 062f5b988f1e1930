//! The command's shape: where words come from, where output goes, and the exit code.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
};

use conclave_server::embedded::Embedded;

use crate::{
    subtrees::plant,
    world::{Corner, block_on, conclave, ended, runtime, said},
};

/// Runs the whole program.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args(arguments).stdin(Stdio::null());
    ended(command)
}

#[test]
fn the_value_is_the_first_thing_on_standard_output() {
    let corner = Corner::new("first");
    assert_eq!(corner.shell(&["create", "/x", "some text"]), said("Created /x\n"));
    assert_eq!(corner.shell(&["get", "/x"]), said("some text\n"));
    assert_eq!(corner.shell(&["get", "-r", "/x"]), said("some text"));
    assert!(corner.ok(&["get", "-s", "/x"]).starts_with("some text\ncZxid = 0x"));
}

#[test]
fn values_given_as_words_are_taken_byte_for_byte() {
    let corner = Corner::new("bytes");
    corner.ok(&["create", "/x"]);
    for value in [
        "-1",
        "-x",
        "a  b",
        "\\n \"'$#;",
        "x # y; z",
        " ",
        "two\nlines\n",
        "gr\u{fc}n",
        "@file",
        "*",
    ] {
        assert_eq!(corner.shell(&["set", "/x", value]), said(""), "{value:?}");
        assert_eq!(corner.ok(&["get", "-r", "/x"]), value);
    }
    assert_eq!(corner.shell(&["set", "/x", "--", "-s"]), said(""));
    assert_eq!(corner.ok(&["get", "/x"]), "-s\n");
    let binary = b"set /x '\xff\x01'\nget -x /x\n";
    let (code, out, error) = corner.script(&[], binary);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(out, format!("00000000 {:<49}  |..|\n", " ff 01"));
}

#[test]
fn refusals_end_with_one_and_speak_to_people() {
    let corner = Corner::new("refusals");
    corner.ok(&["create", "/a"]);
    corner.ok(&["create", "/a/b"]);
    corner.ok(&["create", "/a/c"]);
    corner.fails(&["get", "/a/x"], 1, "/a/x does not exist (its parent /a does)");
    corner.fails(&["stat", "/x/y/z"], 1, "/x/y/z does not exist (nor does /x; / does)");
    corner.fails(
        &["create", "/x/y"],
        1,
        "/x/y cannot be created: its parent /x does not exist (/ does)",
    );
    corner.fails(&["create", "/a"], 1, "/a exists already");
    corner.fails(&["delete", "/a"], 1, "/a has 2 children (deleteall deletes them too)");
    let changed = "/a has version 0, not 7: it was changed meanwhile";
    corner.fails(&["set", "-v", "7", "/a", "x"], 1, changed);
    corner.fails(
        &["delete", "-v", "7", "/a/b"],
        1,
        "/a/b has version 0, not 7: it was changed meanwhile",
    );
    corner.fails(
        &["setAcl", "-v", "7", "/a", "world:anyone:r"],
        1,
        "/a has ACL version 0, not 7: it was changed meanwhile",
    );
    corner.ok(&["setAcl", "/a", "world:anyone:r"]);
    let refused = "not allowed by its ACL to ip:127.0.0.1 (see getAcl, addauth)";
    corner.fails(&["set", "/a", "x"], 1, &format!("/a: {refused}"));
}

#[test]
fn what_is_not_understood_ends_with_two_before_anything_is_connected() {
    for arguments in [
        &["shell", "frobnicate"][..],
        &["shell", "get"],
        &["shell", "get", "/a", "/b"],
        &["shell", "get", "relative"],
        &["shell", "ls", "/a/../b"],
        &["shell", "ls", "-z", "/"],
        &["shell", "set", "/a"],
        &["shell", "-o", "xml", "ls"],
        &["shell", "ls", "-o", "xml"],
        &["shell", "-c", "get 'open"],
        &["shell", "-c", "ls", "ls"],
        &["shell", "--server", "a:b", "ls"],
        &["shell", "--server", "a/./b", "ls"],
        &["shell", "--timeout", "soon", "ls"],
        &["frobnicate"],
    ] {
        let (code, out, error) = program(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(!error.is_empty());
    }
}

#[test]
fn no_member_within_the_wait_ends_with_three() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    // One that accepts and says nothing is no member either.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    for server in [nobody, silent] {
        for words in [&["get", "/x"][..], &["-c", "ls; ls"], &[]] {
            let arguments = [&["--server", server.as_str(), "--wait", "300"], words].concat();
            let error = format!("conclave: {server}: no member could be reached within 300 ms\n");
            assert_eq!(ended(conclave(&arguments)), (3, String::new(), error), "{words:?}");
        }
    }
}

/// Goal: a command does not wait for ever for a server that has gone.
#[test]
fn a_server_that_goes_away_in_the_middle_ends_with_three() {
    let runtime = runtime();
    let mut ensemble = runtime.block_on(Embedded::start()).unwrap();
    let hosts = ensemble.connect_string();
    let arguments = ["--server", &hosts, "--timeout", "20000", "--wait", "500"];
    let mut child = conclave(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"create /x\n").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "Created /x\n");
    runtime.block_on(ensemble.stop_member(1));
    stdin.write_all(b"get /x\nget /x\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert_eq!(error.lines().count(), 1, "it stops there: {error}");
    runtime.block_on(ensemble.stop());
}

#[test]
fn commands_come_from_an_argument_or_from_standard_input() {
    let corner = Corner::new("scripts");
    let script = "create /x 1; set /x '2;3'\nget /x";
    assert_eq!(corner.shell(&["-c", script]), said("Created /x\n2;3\n"));
    let lines = b"# a comment\n\ncreate /y 'two words'\nget /y # and another\n\
                  set /y \"a \\\"b\\\"\nc\"\nget /y\nquit\nget /no\n";
    assert_eq!(corner.script(&[], lines), said("Created /y\ntwo words\na \"b\"\nc\n"));
    assert_eq!(corner.script(&[], b""), said(""));
}

#[test]
fn a_script_stops_at_the_first_failure_unless_told_to_go_on() {
    let corner = Corner::new("stops");
    let lines = b"get /no\ncreate /x\n";
    let error = "conclave: /no does not exist (its parent / does)\n".to_owned();
    assert_eq!(corner.script(&[], lines), (1, String::new(), error.clone()));
    let went_on = (1, "Created /x\n".to_owned(), error);
    assert_eq!(corner.script(&["--keep-going"], lines), went_on);
    let (code, out, _) = corner.script(&[], b"ls /\nfrobnicate\nls /\n");
    assert_eq!((code, out.as_str()), (2, "[x]\n"));
    assert_eq!(corner.script(&[], b"get 'open\n").0, 2);
    assert_eq!(corner.shell(&["-c", "ls /; get /no; ls /"]).1, "[x]\n");
}

/// Goal: `ls -R | head` ends at once, and quietly.
#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let corner = Corner::new("pipe");
    block_on(plant(&corner.hosts, 10, 1000));
    let mut child = corner.command(&["-o", "json", "ls", "-R", "/"]).spawn().unwrap();
    let mut first = [0; 16];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn version_and_help_need_no_server() {
    let version = format!("conclave {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(program(&["--version"]), said(&version));
    let nowhere = ["shell", "--server", "127.0.0.1:1"];
    assert_eq!(program(&[&nowhere[..], &["version"]].concat()), said(&version));
    let (code, help, error) = program(&[&nowhere[..], &["help"]].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    for name in ["deleteall", "getAllChildrenNumber", "sync", "txn", "quit"] {
        assert!(help.contains(name), "{name} is not in {help}");
    }
    for words in [&["help", "get"][..], &["get", "--help"], &["help", "-o", "json", "get"]] {
        let (code, help, _) = program(&[&nowhere[..], words].concat());
        assert!(code == 0 && help.contains("--pretty") && help.contains("get [OPTIONS]"), "{help}");
    }
    let (code, help, _) = program(&["shell", "--help"]);
    assert_eq!(code, 0);
    for option in ["--server", "--output", "--timeout", "--wait", "--keep-going", "127.0.0.1:2181"]
    {
        assert!(help.contains(option), "{option} is not in {help}");
    }
}
