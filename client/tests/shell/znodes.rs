//! The commands that ZooKeeper's shell has, in text and JSON.

use serde_json::json;

use crate::world::{Corner, conclave, ended, said};

#[test]
fn znodes_of_every_kind_are_created() {
    let corner = Corner::new("kinds");
    assert_eq!(corner.ok(&["create", "-s", "/n-", "1"]), "Created /n-0000000000\n");
    assert_eq!(corner.ok(&["create", "-e", "/e"]), "Created /e\n");
    assert_eq!(corner.ok(&["ls", "/"]), "[n-0000000000]\n", "ephemerals go with the shell");
    let script = "create -s -e /se-; getEphemerals /se; getEphemerals; ls";
    let listed = "Created /se-0000000002\n[/se-0000000002]\n[/se-0000000002]\n[n-0000000000, se-0000000002]\n";
    assert_eq!(corner.ok(&["-c", script]), listed);
    corner.ok(&["create", "-c", "/c"]);
    corner.ok(&["create", "-t", "60000", "/t"]);
    corner.ok(&["create", "-s", "-t", "60000", "/t-"]);
    assert_eq!(corner.ok(&["ls", "/"]), "[c, n-0000000000, t, t-0000000005]\n");
    assert_eq!(corner.ok(&["create", "-p", "/a/b/c", "x"]), "Created /a/b/c\n");
    assert_eq!(corner.json(&["create", "/j", "x"]), json!({ "path": "/j" }));
    corner.ok(&["create", "-b", "/b64", "aGk="]);
    assert_eq!(corner.ok(&["get", "/b64"]), "hi\n");
    corner.ok(&["create", "/with-acl", "x", "world:anyone:r"]);
    assert_eq!(corner.ok(&["getAcl", "/with-acl"]), "'world,'anyone\n: r\n");
    assert_eq!(corner.shell(&["create", "/bad", "x", "world:anyone:y"]).0, 2);
}

#[test]
fn values_are_shown_in_every_form() {
    let corner = Corner::new("forms");
    corner.ok(&["create", "/x", r#"{"b":1.10,"a":[]}"#]);
    assert_eq!(corner.ok(&["get", "/x"]), "{\"b\":1.10,\"a\":[]}\n");
    assert_eq!(corner.ok(&["get", "--pretty", "/x"]), "{\n  \"b\": 1.10,\n  \"a\": []\n}\n");
    assert_eq!(corner.ok(&["get", "-b", "/x"]), "eyJiIjoxLjEwLCJhIjpbXX0=\n");
    assert!(
        corner.ok(&["get", "-x", "/x"]).starts_with("00000000  7b 22 62 22 3a 31 2e 31  30 2c")
    );
    let value = corner.json(&["get", "-s", "/x"]);
    assert_eq!((&value["path"], &value["data"]), (&json!("/x"), &json!(r#"{"b":1.10,"a":[]}"#)));
    assert_eq!(value["stat"]["data_length"], json!(17));
    assert_eq!(corner.json(&["get", "-p", "/x"])["data"], json!({ "a": [], "b": 1.1 }));
    assert_eq!(corner.json(&["get", "-x", "/x"])["data_hex"].as_str().unwrap().len(), 34);
    corner.ok(&["set", "-b", "/x", "/wA="]);
    assert_eq!(corner.json(&["get", "/x"]), json!({ "path": "/x", "data_base64": "/wA=" }));
    assert!(corner.ok(&["get", "-p", "/x"]).starts_with("00000000  ff 00"));
    assert_eq!(corner.shell(&["set", "-b", "/x", "?"]).0, 2);
}

#[test]
fn stats_are_printed_as_zookeepers_shell_does() {
    let corner = Corner::new("stats");
    corner.ok(&["create", "/x", "abc"]);
    let stat = corner.ok(&["stat", "/x"]);
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
    assert_eq!(keys, expected);
    assert!(stat.contains("\ndataLength = 3\n"), "{stat}");
    assert_eq!(corner.ok(&["get", "-s", "/x"]), format!("abc\n{stat}"));
    assert_eq!(corner.ok(&["ls", "-s", "/x"]), format!("[]\n{stat}"));
    assert_eq!(corner.ok(&["getAcl", "-s", "/x"]), format!("'world,'anyone\n: cdrwa\n{stat}"));
    let changed = corner.ok(&["set", "-s", "-v", "0", "/x", "d"]);
    assert!(changed.contains("\ndataVersion = 1\n"), "{changed}");
    let stat = &corner.json(&["stat", "/x"])["stat"];
    assert_eq!((&stat["version"], &stat["ephemeral_owner"]), (&json!(1), &json!("0x0")));
    assert_eq!(corner.json(&["set", "/x", "e"]), json!({ "path": "/x", "version": 2 }));
}

#[test]
fn lists_and_counts_are_of_what_is_below() {
    let corner = Corner::new("lists");
    corner.ok(&["-c", "create /a; create /a/c; create /a/b; create /a/b/d"]);
    assert_eq!(corner.ok(&["ls", "/a"]), "[b, c]\n");
    assert_eq!(corner.ok(&["ls", "-R", "/a"]), "/a\n/a/b\n/a/b/d\n/a/c\n");
    assert_eq!(corner.ok(&["ls", "-R"]), "/\n/a\n/a/b\n/a/b/d\n/a/c\n");
    assert_eq!(corner.json(&["ls", "/a"]), json!({ "path": "/a", "children": ["b", "c"] }));
    let all = corner.json(&["ls", "-R", "/a"]);
    assert_eq!((all.as_array().unwrap().len(), &all[2]["path"]), (4, &json!("/a/b/d")));
    assert_eq!(corner.ok(&["getAllChildrenNumber", "/a"]), "3\n");
    assert_eq!(corner.json(&["getAllChildrenNumber", "/a"]), json!({ "path": "/a", "count": 3 }));
    assert_eq!(corner.json(&["getEphemerals"]), json!([]));
}

#[test]
fn znodes_are_deleted_one_or_all() {
    let corner = Corner::new("deletes");
    corner.ok(&["-c", "create /a; create /a/b; create /a/b/c; create /d"]);
    assert_eq!(corner.shell(&["delete", "-v", "0", "/d"]), said(""));
    assert_eq!(corner.shell(&["deleteall", "-b", "1", "/a/b"]), said(""));
    assert_eq!(corner.ok(&["ls", "-R"]), "/\n/a\n");
    assert_eq!(corner.json(&["deleteall", "/a"]), json!({ "path": "/a", "deleted": 1 }));
    corner.ok(&["create", "/a"]);
    assert_eq!(corner.json(&["delete", "/a"]), json!({ "path": "/a", "deleted": 1 }));
    corner.ok(&["-c", "create /zookeeper; create /zookeeper/x; deleteall /zookeeper"]);
    let (member, _) = corner.hosts.split_once('/').unwrap();
    let system = ["--server", member, "deleteall", "/zookeeper/config"];
    let refused = "conclave: /zookeeper/config is the service's own\n".to_owned();
    assert_eq!(ended(conclave(&system)), (1, String::new(), refused));
}

#[test]
fn acls_are_shown_and_set() {
    let corner = Corner::new("acls");
    corner.ok(&["-c", "create /a; create /a/b"]);
    let script = "addauth digest user:secret; setAcl -R /a auth::cdrwa; getAcl /a/b; whoami";
    let acl = "'digest,'user:5w9W4eL3797Y4Wq8AcKUPPk8ha4=\n: cdrwa\n";
    let out = corner.ok(&["-c", script]);
    assert_eq!(
        out,
        format!(
            "Set the ACL of 2 znodes: /a\n{acl}Auth scheme: User\nip: 127.0.0.1\ndigest: user\n"
        )
    );
    assert_eq!(corner.shell(&["get", "/a/b"]).0, 1);
    let script = "addauth digest user:secret; getAcl -o json /a";
    let out = corner.ok(&["-c", script]);
    let acl = json!([{ "scheme": "digest", "id": "user:5w9W4eL3797Y4Wq8AcKUPPk8ha4=", "perms": "cdrwa" }]);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown, json!({ "path": "/a", "acl": acl }));
    assert_eq!(corner.json(&["whoami"]), json!([{ "scheme": "ip", "user": "127.0.0.1" }]));
}

#[test]
fn quotas_are_set_shown_and_taken_away_also_behind_a_chroot() {
    let corner = Corner::new("quotas");
    corner.ok(&["-c", "create /q; create /q/a 12345"]);
    assert_eq!(corner.shell(&["setquota", "-N", "3", "/q"]), said(""));
    let quota = corner.ok(&["listquota", "/q"]);
    assert_eq!(
        quota,
        "absolute path is /zookeeper/quota/quotas/q/zookeeper_limits\n\
         Output quota for /quotas/q count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3\n\
         Output stat for /quotas/q count=2,bytes=5\n"
    );
    corner.ok(&["create", "/q/b", "1"]);
    corner.fails(&["create", "/q/c"], 1, "/q/c: quota exceeded");
    corner.ok(&["setquota", "-b", "100", "/q"]);
    let shown = corner.json(&["listquota", "/q"]);
    assert_eq!(shown["limits"]["count"], json!({ "soft": null, "hard": 3 }));
    assert_eq!(shown["limits"]["bytes"], json!({ "soft": 100, "hard": null }));
    assert_eq!(shown["used"], json!({ "count": 3, "bytes": 6 }));
    let other = "/quotas/q/a is below /quotas/q, which has a quota";
    corner.fails(&["setquota", "-n", "1", "/q/a"], 1, other);
    corner.ok(&["delquota", "-N", "/q"]);
    corner.ok(&["create", "/q/c"]);
    corner.ok(&["delquota", "/q"]);
    corner.fails(&["delquota", "/q"], 1, "/q has no quota");
    assert!(corner.ok(&["listquota", "/q"]).ends_with("quota for /quotas/q does not exist.\n"));
    let (code, _, warning) = corner.shell(&["setquota", "-n", "1", "/q"]);
    assert_eq!((code, warning.as_str()), (0, "conclave: /q has 4 znodes already, more than 1\n"));
    assert_eq!(corner.shell(&["setquota", "-n", "1", "-b", "2", "/q"]).0, 2);
}

#[test]
fn the_ensemble_tells_of_itself() {
    let corner = Corner::new("ensemble");
    assert_eq!(corner.ok(&["sync", "/"]), "Sync is OK\n");
    assert_eq!(corner.json(&["sync"]), json!({ "path": "/" }));
    let (member, _) = corner.hosts.split_once('/').unwrap();
    let znode = ["--server", member, "get", "/zookeeper/config"];
    let config = ended(conclave(&znode));
    assert_eq!(corner.shell(&["config"]), config, "no chroot is put before it");
    assert!(corner.ok(&["config", "-s"]).contains("numChildren = 0"));
    assert_eq!(corner.ok(&["config", "-c"]).matches('\n').count(), 1);
    assert!(corner.json(&["config"])["servers"].is_object());
    assert_eq!(corner.shell(&["reconfig"]).0, 2);
    let (code, _, error) = corner.shell(&["reconfig", "-remove", "3"]);
    assert!(code == 1 && error.starts_with("conclave: reconfig: "), "{error}");
    assert_eq!(corner.json(&["version"]), json!({ "version": env!("CARGO_PKG_VERSION") }));
}

#[test]
fn top_shows_a_frame_where_nobody_looks() {
    let corner = Corner::new("top");
    let text = corner.ok(&["top"]);
    assert!(text.starts_with("MEMBER ") && text.contains(" standalone "), "{text}");
    assert!(text.contains("CONNECTION "), "{text}");
    let frame = corner.json(&["top", "--once"]);
    assert_eq!(frame["members"][0]["state"], json!("standalone"));
    assert!(frame["members"][0]["figures"]["zk_znode_count"].as_u64().unwrap() > 0);
    assert!(!frame["connections"].as_array().unwrap().is_empty());
}

#[test]
fn the_session_is_closed_and_opened_again_within_one_script() {
    let corner = Corner::new("session");
    let hosts = &corner.hosts;
    let script = format!(
        "create /x 1\ncreate -e /e\nclose\nget /x\nclose\nconnect\nget /x\nls /\n\
         printwatches\nprintwatches off\nprintwatches\nredo 0\nhistory 3\nredo 12\nredo 99\n\
         connect {hosts}\nget /x\n"
    );
    let (code, out, error) = corner.script(&["--keep-going"], script.as_bytes());
    assert_eq!(code, 2);
    assert_eq!(
        out,
        "Created /x\nCreated /e\n1\n[x]\nprintwatches is on\nprintwatches is off\n\
         10 - printwatches\n11 - redo 0\n12 - history 3\n\
         11 - redo 0\n12 - history 3\n13 - redo 12\n1\n"
    );
    assert_eq!(
        error,
        "conclave: not connected: connect HOST:PORT does\n\
         conclave: not connected: connect HOST:PORT does\n\
         conclave: /x exists already\n\
         conclave: no command 99 in the history\n"
    );
}

#[test]
fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    let corner = Corner::new("txn");
    let lines =
        b"txn\ncreate /a 1\nset -v 0 /a '2 3'\ncheck -v 1 /a\ncreate -s /a/n-\ncommit\nget /a\n";
    let done = "Created /a\nSet /a, version 1\nChecked /a\nCreated /a/n-0000000000\n2 3\n";
    assert_eq!(corner.script(&[], lines), said(done));
    let refused =
        "conclave: nothing was done: operation 2 (check -v 7 /a): version does not match\n";
    let (code, out, error) = corner.script(&[], b"txn\ncreate /b\ncheck -v 7 /a\ncommit\n");
    assert_eq!((code, out.as_str(), error.as_str()), (1, "", refused));
    assert_eq!(corner.script(&[], b"txn\ncreate /b\nabort\nls /\n"), said("[a]\n"));
    assert_eq!(corner.script(&[], b"txn\ncreate /b\n").0, 2, "without commit");
    assert_eq!(corner.script(&[], b"txn\nget /a\n").0, 2);
    assert_eq!(corner.script(&["txn"], b"create /b\ncommit\n"), said("Created /b\n"));
    let steps = corner.json(&["txn", "create '/c d'", "delete /b"]);
    let expected = json!([{ "op": "create", "path": "/c d" }, { "op": "delete", "path": "/b" }]);
    assert_eq!(steps, expected);
    assert_eq!(corner.ok(&["ls", "/"]), "[a, c d]\n");
}
