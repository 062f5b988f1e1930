//! The commands for whole subtrees.

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use conclave_client::{Client, CreateMode};
use serde_json::json;

use crate::world::{Corner, block_on, said};

/// A small tree for reading commands.
fn planted(name: &str) -> Corner {
    let corner = Corner::new(name);
    corner.ok(&[
        "-c",
        "create /a 'one two'; create /a/job-1 'x = 1\ny = 2'; create /a/job-10 'X = 3'; \
         create /a/job-1/deep 'much longer than the others'; create /b",
    ]);
    corner
}

#[test]
fn a_tree_is_drawn() {
    let corner = planted("tree");
    assert_eq!(
        corner.ok(&["tree", "/"]),
        "/\n\u{251c}\u{2500}\u{2500} a\n\u{2502}   \u{251c}\u{2500}\u{2500} job-1\n\
         \u{2502}   \u{2502}   \u{2514}\u{2500}\u{2500} deep\n\
         \u{2502}   \u{2514}\u{2500}\u{2500} job-10\n\u{2514}\u{2500}\u{2500} b\n"
    );
    assert_eq!(
        corner.ok(&["tree", "-v", "-d", "1", "/a"]),
        "/a = one two\n\u{251c}\u{2500}\u{2500} job-1 = x = 1\\x0ay = 2\n\u{2514}\u{2500}\u{2500} job-10 = X = 3\n"
    );
    let branches = corner.json(&["tree", "--values", "/a"]);
    assert_eq!((&branches[2]["path"], &branches[2]["depth"]), (&json!("/a/job-1/deep"), &json!(2)));
    assert_eq!(branches[0]["data"], json!("one two"));
}

#[test]
fn znodes_are_found_by_all_that_is_asked() {
    let corner = planted("find");
    for (flags, found) in [
        (&["--name", "job-?"][..], "/a/job-1\n"),
        (&["--name", "job-*", "--data", "(?i)x = [13]"], "/a/job-1\n/a/job-10\n"),
        (&["--size", "+20"], "/a/job-1/deep\n"),
        (&["--size", "-1"], "/\n/b\n"),
        (&["--size", "7"], "/a\n"),
        (&["--size", "+1k"], ""),
        (&["--age", "+1h"], ""),
        (&["--age", "-1h", "--depth", "1", "--name", "?"], "/a\n/b\n"),
        (&["--owner", "any"], ""),
        (&["--owner", "none", "--name", "b"], "/b\n"),
        (&["--owner", "0x1234"], ""),
        (&["--kind", "persistent", "-n", "deep"], "/a/job-1/deep\n"),
        (&["--kind", "ephemeral"], ""),
    ] {
        let arguments = [&["find", "/"], flags].concat();
        // The root of a chroot may have bytes and a name of its own.
        assert_eq!(corner.ok(&arguments), found, "{flags:?}");
    }
    assert_eq!(corner.json(&["find", "/a", "-n", "deep"])[0]["stat"]["data_length"], json!(27));
    assert_eq!(corner.json(&["find", "/a", "-n", "nothing"]), json!([]));
    for wrong in [["find", "--size", "x"], ["find", "--age", "1 year ago"], ["find", "--data", "("]]
    {
        assert_eq!(corner.shell(&wrong).0, 2, "{wrong:?}");
    }
}

#[test]
fn ephemerals_are_found_by_their_owner() {
    let corner = Corner::new("owner");
    let client = block_on(Client::connect(&corner.hosts)).unwrap();
    block_on(client.create("/e", "", CreateMode::Ephemeral)).unwrap();
    let owner = corner.json(&["stat", "/e"])["stat"]["ephemeral_owner"].clone();
    assert_eq!(corner.ok(&["find", "--owner", owner.as_str().unwrap()]), "/e\n");
    assert_eq!(corner.ok(&["find", "--owner", "any"]), "/e\n");
    assert_eq!(corner.ok(&["find", "--kind", "ephemeral"]), "/e\n");
    assert_eq!(corner.shell(&["mv", "/e", "/f"]).0, 1);
    assert_eq!(
        corner.ok(&["cp", "/e", "/f"]),
        "/e -> /f: 0 znodes\n1 ephemerals, and what is below, were left out\n"
    );
    block_on(client.close()).unwrap();
}

/// Goal: one znode that may not be read does not hide the others.
#[test]
fn what_may_not_be_read_is_left_out_and_said() {
    let corner = planted("denied");
    corner.ok(&["setAcl", "/a/job-1", "world:anyone:cdwa"]);
    let (code, out, error) = corner.shell(&["ls", "-R", "/a"]);
    assert_eq!((code, out.as_str()), (0, "/a\n/a/job-10\n"));
    assert_eq!(error, "conclave: /a/job-1: left out, its ACL does not allow it\n");
    assert_eq!(corner.shell(&["cp", "-r", "/a", "/c"]).0, 1, "a copy has to be whole");
}

#[test]
fn lines_of_values_are_found() {
    let corner = planted("grep");
    assert_eq!(corner.ok(&["grep", "x = .", "/a"]), "/a/job-1:1: x = 1\n");
    assert_eq!(
        corner.ok(&["grep", "-i", "x = .", "/a"]),
        "/a/job-1:1: x = 1\n/a/job-10:1: X = 3\n"
    );
    assert_eq!(corner.ok(&["grep", "-l", "=", "/"]), "/a/job-1\n/a/job-10\n");
    assert_eq!(corner.ok(&["grep", "-F", "y = .", "/"]), "");
    assert_eq!(
        corner.json(&["grep", "y", "/"]),
        json!([{ "path": "/a/job-1", "number": 2, "line": "y = 2" }])
    );
    corner.ok(&["create", "-b", "/b/binary", "/3g="]);
    assert_eq!(corner.ok(&["grep", "x", "/b"]), "/b/binary: binary data matches\n");
    assert_eq!(corner.shell(&["grep", "(", "/"]).0, 2);
}

#[test]
fn subtrees_are_summed() {
    let corner = planted("du");
    let line = |bytes, znodes, path| format!("{bytes:>12} {znodes:>9}  {path}\n");
    let total = line(50, 4, "/a");
    assert_eq!(corner.ok(&["du", "-d", "0", "/a"]), total);
    let jobs = line(38, 2, "/a/job-1") + &line(5, 1, "/a/job-10");
    assert_eq!(corner.ok(&["du", "/a"]), jobs.clone() + &total);
    assert_eq!(corner.ok(&["du", "-d", "9", "/a"]), line(27, 1, "/a/job-1/deep") + &jobs + &total);
    assert_eq!(
        corner.json(&["du", "-d", "0", "/a"]),
        json!([{ "path": "/a", "bytes": 50, "znodes": 4 }])
    );
}

#[test]
fn subtrees_are_copied_and_moved() {
    let corner = planted("copy");
    assert_eq!(corner.ok(&["cp", "-r", "/a", "/b/c"]), "/a -> /b/c: 4 znodes\n");
    assert_eq!(corner.ok(&["get", "/b/c/job-1/deep"]), "much longer than the others\n");
    corner.fails(&["cp", "/a", "/b"], 1, "/b exists already");
    assert_eq!(corner.ok(&["cp", "-f", "/a", "/b"]), "/a -> /b: 1 znodes\n");
    assert_eq!(corner.ok(&["get", "/b"]), "one two\n");
    corner.fails(&["cp", "-r", "/a", "/a/x"], 2, "/a/x is /a itself, or below it");
    corner.fails(&["mv", "/a", "/"], 2, "the root is there already");
    corner.fails(&["mv", "/a", "/b"], 1, "/b exists already");
    corner.fails(&["mv", "/no", "/x"], 1, "/no does not exist (its parent / does)");
    corner.ok(&["setAcl", "/b/c/job-10", "world:anyone:rda"]);
    let moved = corner.json(&["mv", "/b/c", "/d"]);
    let expected = json!({ "from": "/b/c", "to": "/d", "copied": 4, "skipped": 0, "atomic": true });
    assert_eq!(moved, expected);
    assert_eq!(corner.ok(&["ls", "/b"]), "[]\n");
    assert_eq!(corner.ok(&["getAcl", "/d/job-10"]), "'world,'anyone\n: dra\n");
    assert_eq!(corner.ok(&["cp", "--acl", "-r", "/d", "/e"]), "/d -> /e: 4 znodes\n");
    assert_eq!(corner.ok(&["getAcl", "/e/job-10"]), "'world,'anyone\n: dra\n");
}

/// Goal: nobody loses what is written while a subtree is moved; one that is too large is refused whole.
#[test]
fn what_is_too_large_for_one_step_is_not_moved() {
    let corner = Corner::new("large");
    let value = "x".repeat(400_000);
    let lines = format!("create /a {value}\ncreate /a/b {value}\n");
    assert_eq!(corner.script(&[], lines.as_bytes()).0, 0);
    let (code, _, error) = corner.shell(&["mv", "/a", "/b"]);
    assert!(code == 1 && error.contains("too large to be moved in one step"), "{error}");
    assert_eq!(corner.ok(&["ls", "-R"]), "/\n/a\n/a/b\n");
}

/// Method: the editor is a script that changes the file; another changes the znode as well.
#[test]
fn a_value_is_edited_unless_somebody_else_has_changed_it() {
    let corner = Corner::new("edit");
    corner.ok(&["create", "/x.json", "one"]);
    let folder = tempfile::tempdir().unwrap();
    let edit = |script: &str| {
        let editor = folder.path().join("editor");
        let text = format!("#!/bin/sh\nset -e\n{script}\n");
        fs::write(&editor, text).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = corner.command(&["edit", "/x.json"]);
        command.env_remove("VISUAL").env("EDITOR", format!("'{}' --flag", editor.display()));
        crate::world::ended(command)
    };
    let edited = edit(r#"case "$2" in *.json) ;; *) exit 9 ;; esac; printf two > "$2""#);
    assert_eq!(edited, said("Set /x.json, version 1\n"));
    assert_eq!(corner.ok(&["get", "/x.json"]), "two\n");
    assert_eq!(edit(":"), said("Unchanged\n"));
    let replaced = edit(r#"printf three > "$2.new"; mv "$2.new" "$2""#);
    assert_eq!(replaced, said("Set /x.json, version 2\n"));
    let other = format!(
        "{} shell --server {} set /x.json four",
        env!("CARGO_BIN_EXE_conclave"),
        corner.hosts
    );
    let (code, _, error) = edit(&format!("{other}; printf mine > \"$2\""));
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("/x.json has version 3, not 2"), "{error}");
    let kept = error.split("kept in ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"mine");
    fs::remove_file(kept).unwrap();
    assert_eq!(edit("exit 3").0, 1);
    assert_eq!(corner.ok(&["get", "/x.json"]), "four\n");
    let mut none = corner.command(&["edit", "/x.json"]);
    none.env_remove("VISUAL").env_remove("EDITOR");
    assert_eq!(crate::world::ended(none).0, 1);
}

/// Goal: a tree of 100,000 znodes is walked with many requests under way, and deleted in batches.
#[test]
fn a_large_tree_is_listed_summed_and_deleted() {
    let corner = Corner::new("big");
    block_on(plant(&corner.hosts, 100, 1000));
    let started = Instant::now();
    let listed = corner.ok(&["ls", "-R", "/"]);
    assert_eq!(listed.lines().count(), 100_101);
    assert!(listed.starts_with("/\n/n0\n/n0/m0\n/n0/m1\n/n0/m10\n"), "{}", &listed[..60]);
    assert_eq!(corner.ok(&["find", "/", "-n", "m999"]).lines().count(), 100);
    assert_eq!(corner.json(&["du", "-d", "0", "/"])[0]["znodes"], json!(100_101));
    assert_eq!(corner.json(&["deleteall", "/n0"])["deleted"], json!(1001));
    println!("  listed, searched and summed 100,000 znodes: {:?}", started.elapsed());
}

pub(crate) async fn plant(hosts: &str, branches: usize, leaves: usize) {
    let client = Client::connect(hosts).await.unwrap();
    for branch in 0..branches {
        let mut answers = vec![client.create(&format!("/n{branch}"), "", CreateMode::Persistent)];
        let leaf =
            |leaf| client.create(&format!("/n{branch}/m{leaf}"), "x", CreateMode::Persistent);
        answers.extend((0..leaves).map(leaf));
        for answer in answers {
            answer.await.unwrap();
        }
    }
    client.close().await.unwrap();
}
