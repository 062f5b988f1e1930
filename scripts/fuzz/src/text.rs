//! Texts that people and programs write: configurations, connect strings, paths, quotas, lines of the
//! shell.

use std::net::IpAddr;

use conclave_client::hosts::ConnectString;
use conclave_protocol::{
    path::{self, ZnodePath},
    quota::{Limits, Usage, limits_path, part_of},
};
use conclave_server::config;

use crate::{Target, allocation::Limit};

/// A configuration file, and behind a 0 its dynamic part; the first byte is the member's number.
pub const CONFIG: Target = Target { name: "config", run: config_file, seeds: config_seeds };

/// A client's connect string.
pub const CONNECT_STRING: Target =
    Target { name: "connect_string", run: connect_string, seeds: connect_string_seeds };

/// A path.
pub const PATH: Target = Target { name: "path", run: znode_path, seeds: path_seeds };

/// The text of a quota.
pub const QUOTA: Target = Target { name: "quota", run: quota, seeds: quota_seeds };

/// A setting of two bytes becomes a key, a value and a note, each with the name of the file.
const CONFIG_LIMIT: Limit = Limit { per_byte: 512, base_bytes: 64 << 10 };

const TEXT_LIMIT: Limit = Limit { per_byte: 64, base_bytes: 1024 };

fn config_file(input: &[u8]) {
    let Some((id, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let (text, dynamic) = match text.split_once('\0') {
        Some((text, dynamic)) => (text, Some(dynamic)),
        None => (&*text, None),
    };
    let parse = || config::parse("zoo.cfg", text, dynamic, *id, |host| host.parse::<IpAddr>().ok());
    let parsed = CONFIG_LIMIT.hold(input.len(), parse);
    match parsed {
        Ok((config, _)) => {
            assert!(config.servers.is_empty() || config.servers.contains_key(&config.id));
            assert!(config.session_timeout_ms_min <= config.session_timeout_ms_max);
            assert!(config.frame_len_bytes_max <= config::FRAME_LEN_BYTES_MAX_MAX);
            assert!(!config.data_dir.is_empty() && !config.log_dir.is_empty());
            // What is told of it is text, and what a member is started with can be made of it.
            let _ = (config.describe(None), config.conf(0, 0), config.settings());
        }
        Err(error) => assert!(!error.to_string().is_empty(), "it says why not"),
    }
}

fn config_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\x01tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zk\nclientPort=2181\n",
        "\x02dataDir=/d\nserver.1=a:2888:3888;2181\nserver.2=b:2888:3888:observer;[::1]:2182\n",
        "\x01dataDir=/d\ndynamicConfigFile=zoo.cfg.dynamic\n\0server.1=[::1]:1:2:participant;2181\n",
        "\x01dataDir=/d\nclientPort=0x885\nclientPortAddress=127.0.0.1\nmaxClientCnxns=-1\n",
        "\x01dataDir=/d\\\n  /e\nclientPort : 1\nminSessionTimeout=5\nmaxSessionTimeout=4\n",
        "\x01dataDir=/d\nserver.1=a\\:1\\:2|b\\:3\\:4\\:observer\ngroup.1=1:2\nweight.1=1\npeerType=observer\n",
        "\x01dataDir=/d\nclientPort=1\njute.maxbuffer=2147483647\nreply.maxbuffer=1\nsnapCount=0\n",
        "\x01dataDir=/d\nclientPort=1\n4lw.commands.whitelist=*\nzookeeper.skipACL=yes\nsuperDigest=a:b\n",
        "\x01dataDir=\\u0041\\uzzzz\nclientPort=1\nenforce.auth.enabled=true\nenforce.auth.schemes=digest,ip\n",
        "\x01dataDir=/d\nclientPort=1\nlocalSessionsEnabled=TRUE\nreadonlymode.enabled=yes\nautopurge.purgeInterval=0\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn connect_string(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(parsed) = TEXT_LIMIT.hold(input.len(), || ConnectString::parse(&text)) else { return };
    assert!(!parsed.hosts.is_empty(), "there is a host");
    assert!(parsed.chroot.is_empty() || path::validate(&parsed.chroot).is_ok());
    let hosts: Vec<String> = parsed
        .hosts
        .iter()
        .map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
        .collect();
    let again = ConnectString::parse(&format!("{}{}", hosts.join(","), parsed.chroot));
    assert_eq!(again.ok().as_ref(), Some(&parsed), "{text:?} is the same written out");
}

fn connect_string_seeds() -> Vec<Vec<u8>> {
    let texts = ["a", "a:1,b,[::1]:3/app/x/", "a:1, b:2", "[::1]", ":1", "a:99999", "a/./b", "a//"];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn znode_path(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let parsed = TEXT_LIMIT.hold(input.len(), || ZnodePath::try_from(&*text));
    assert_eq!(parsed.is_ok(), path::validate(&text).is_ok());
    let Ok(znode) = parsed else { return };
    assert_eq!(znode.as_str(), text);
    // The way up ends at the root, and name by name the path is made again.
    let (mut names, mut at) = (Vec::new(), znode.as_str());
    while let Some(above) = path::parent(at) {
        assert_eq!(path::check_name(path::name(at)), Ok(()));
        names.push(path::name(at));
        at = above;
    }
    assert_eq!(at, "/");
    names.reverse();
    assert_eq!(format!("/{}", names.join("/")), text);
    if let Some((covered, _)) = part_of(&text) {
        assert!(path::validate(covered).is_ok());
        assert!(part_of(&limits_path(covered)).is_some());
    }
}

fn path_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "/",
        "/a/b",
        "//",
        "/a/",
        "/.",
        "/a/..",
        "/\u{e000}",
        "/zookeeper/quota/a/zookeeper_limits",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn quota(input: &[u8]) {
    let (limits, usage) =
        TEXT_LIMIT.hold(input.len(), || (Limits::parse(input), Usage::parse(input)));
    for bound in [limits.count.soft, limits.count.hard, limits.bytes.soft, limits.bytes.hard] {
        assert!(bound.is_none_or(|bound| bound >= 0), "a negative number is no bound");
    }
    assert_eq!(Usage::parse(usage.to_string().as_bytes()), usage);
    let mut sum = usage;
    sum += usage;
    let _ = sum.without(usage);
}

fn quota_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "count=5,bytes=100=;byteHardLimit=200;countHardLimit=7",
        "count=9223372036854775807,bytes=-9223372036854775808",
        "count=,bytes=x,countHardLimit,;;=3,=",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
