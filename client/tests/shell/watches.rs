//! Watches, and what they print.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout},
};

use serde_json::{Value, json};

use crate::world::{Corner, said};

/// A shell that goes on.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(corner: &Corner, arguments: &[&str]) -> Self {
        let mut child = corner.command(arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Returns the last line; it must end with success.
    fn end(mut self) -> Option<String> {
        let last = self.lines.map(Result::unwrap).last();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        last
    }
}

#[test]
fn a_single_command_waits_for_the_event_that_it_watches() {
    let corner = Corner::new("watches");
    corner.ok(&["create", "/x", "old"]);
    for (words, first_line, change, event) in [
        (&["get", "-w", "/x"][..], "old", &["set", "/x", "new"][..], "NodeDataChanged /x"),
        (&["ls", "-w", "/"], "[x]", &["create", "/y"], "NodeChildrenChanged /"),
        (&["stat", "-w", "/y"], "cZxid", &["delete", "/y"], "NodeDeleted /y"),
    ] {
        let mut running = Running::start(&corner, words);
        let line = running.line();
        assert!(line.starts_with(first_line), "{line}");
        corner.ok(change);
        assert_eq!(running.end(), Some(format!("Event: {event}")));
    }
    let mut running = Running::start(&corner, &["-o", "json", "get", "-w", "/x"]);
    running.line();
    corner.ok(&["set", "/x", "newer"]);
    let event: Value = serde_json::from_str(&running.end().unwrap()).unwrap();
    assert_eq!(event, json!({ "event": "NodeDataChanged", "path": "/x" }));
}

#[test]
fn a_subtree_is_followed_with_its_values() {
    let corner = Corner::new("follow");
    corner.ok(&["create", "/a", "1"]);
    let mut running = Running::start(&corner, &["watch", "--initial", "--count", "3", "/a"]);
    assert_eq!(running.line(), "is /a (version 0) = 1");
    corner.ok(&["create", "/a/b", "x\x1b[2J"]);
    assert_eq!(running.line(), "created /a/b (version 0) = x\\x1b[2J");
    corner.ok(&["set", "/a", "2"]);
    assert_eq!(running.line(), "changed /a (version 1) = 2");
    corner.ok(&["delete", "/a/b"]);
    assert_eq!(running.end(), Some("deleted /a/b".to_owned()));

    let mut running = Running::start(&corner, &["-o", "json", "watch", "-i", "-c", "1", "/a"]);
    let initial: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!((&initial["event"], &initial["data"]), (&json!("Initial"), &json!("2")));
    corner.ok(&["set", "/a", "3"]);
    let event: Value = serde_json::from_str(&running.end().unwrap()).unwrap();
    assert_eq!((&event["data"], &event["version"]), (&json!("3"), &json!(2)));
}

#[test]
fn watches_are_added_removed_and_kept_silent() {
    let corner = Corner::new("added");
    let script =
        b"addWatch -m PERSISTENT /a\naddWatch /b /c\ncreate /a\ncreate /c\ncreate /c/d\nsync\n\
                   removewatches /a\nremovewatches /a\nset /a x\n\
                   printwatches off\nset /c x\nprintwatches on\ndelete /c/d\nsync\n";
    let (code, out, error) = corner.script(&["--keep-going"], script);
    assert_eq!((code, error.as_str()), (1, "conclave: /a: there is no such watch\n"));
    let events: Vec<_> = out.lines().filter(|line| line.starts_with("Event: ")).collect();
    assert_eq!(
        events,
        [
            "Event: NodeCreated /a",
            "Event: NodeCreated /c",
            "Event: NodeCreated /c/d",
            "Event: NodeDeleted /c/d"
        ]
    );
    assert_eq!(
        corner.json(&["-c", "get -w -o json /a"])["data"],
        json!("x"),
        "a script does not wait for events"
    );
    assert_eq!(corner.shell(&["addWatch", "-m", "NONSENSE", "/a"]).0, 2);
    assert_eq!(corner.shell(&["-c", "get -w /a; removewatches -d /a"]), said("x\n"));
    assert_eq!(corner.shell(&["-c", "get -w /a; removewatches -c /a"]).0, 1);
}
