//! Goal: an operator's file either starts the member that was meant, or says where it is wrong.
#![expect(clippy::disallowed_methods, reason = "the tests write the files that are read")]

use super::*;
use crate::{
    limit::{ConnectRate, RequestLimits},
    pipeline::quota::HardLimits,
};

fn config(text: &str) -> Result<(Config, Vec<Note>), ConfigError> {
    let mut settings = Settings::parse("zoo.cfg", text);
    let config = settings.config(Some(1))?;
    Ok((config, settings.notes))
}

#[test]
fn zookeepers_sample_starts_a_member_unchanged() {
    let text = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/zk\nclientPort=2181\n\
                autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n\
                metricsProvider.className=x\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
                server.3=c:2888:3888:observer;0.0.0.0:2182\n";
    let (config, notes) = config(text).unwrap();
    assert_eq!((config.tick_time_ms, config.client_port, config.servers.len()), (2000, 2181, 3));
    assert_eq!((config.session_timeout_ms_min, config.session_timeout_ms_max), (4000, 40_000));
    assert_eq!(config.words, Some(vec!["srvr".to_owned()]));
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let (_, notes) = config("dataDir=/d\nclientPort=1\nclientPrt=2\n").unwrap();
    assert_eq!(notes[0].to_string(), "zoo.cfg:3: unknown key clientPrt is ignored");
}

#[test]
fn a_wrong_value_is_named_with_what_is_accepted() {
    let error = config("dataDir=/d\nclientPort=2181\ntickTime=fast\n").unwrap_err();
    assert_eq!(error.to_string(), "zoo.cfg:3: tickTime=fast: expected a number from 1 to 3600000");
    for wrong in
        ["clientPort=99999", "syncLimit=-1", "server.0=a:1:2", "server.1=a", "jute.maxbuffer=-1"]
    {
        assert!(config(&format!("dataDir=/d\nclientPort=1\n{wrong}\n")).is_err(), "{wrong}");
    }
}

#[test]
fn system_properties_may_stand_in_the_file() {
    let text = "dataDir=/d\nclientPort=1\nzookeeper.snapCount=500\njute.maxbuffer=4096\n";
    let (config, notes) = config(text).unwrap();
    assert_eq!((config.snapshot_txns, config.frame_len_bytes_max), (500, 4096));
    assert_eq!(notes, []);
}

#[test]
fn the_last_of_two_settings_counts_and_is_noted() {
    let (config, notes) = config("dataDir=/d\nclientPort=1\nclientPort=2\n").unwrap();
    assert_eq!((config.client_port, notes.len()), (2, 1));
}

#[test]
fn a_member_that_is_not_in_the_list_is_refused() {
    let error = config("dataDir=/d\nclientPort=1\nserver.2=a:1:2\n").unwrap_err();
    assert!(error.to_string().contains("no server.1"), "{error}");
}

#[test]
fn bounds_that_cross_are_refused() {
    let text = "dataDir=/d\nclientPort=1\nminSessionTimeout=9\nmaxSessionTimeout=8\n";
    assert!(config(text).is_err());
}

fn load_bytes(bytes: &[u8]) -> Result<(Config, Vec<Note>), ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    std::fs::write(&path, bytes).unwrap();
    load(path.to_str().unwrap(), Some(1))
}

fn levels(text: &str) -> Vec<NoteLevel> {
    let text = format!("dataDir=/d\nclientPort=1\n{text}\n");
    config(&text).unwrap().1.into_iter().map(|note| note.level).collect()
}

#[test]
fn binary_garbage_is_refused_with_a_short_message() {
    let mut state = 1_u32;
    let garbage: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(CONFIG_LEN_BYTES_MAX as usize)
    .collect();
    let error = load_bytes(&garbage).unwrap_err().to_string();
    assert!(error.contains("dataDir is missing"), "{error}");
}

#[test]
fn a_line_of_ten_megabytes_is_refused_before_it_is_read_whole() {
    let mut text = b"dataDir=".to_vec();
    text.resize(10 << 20, b'a');
    let error = load_bytes(&text).unwrap_err();
    assert!(matches!(error, ConfigError::TooLong { max: CONFIG_LEN_BYTES_MAX, .. }), "{error}");
}

#[test]
fn a_file_of_just_the_limit_is_read() {
    let mut text = b"dataDir=/d\nclientPort=1\n#".to_vec();
    text.resize(CONFIG_LEN_BYTES_MAX as usize, b'a');
    assert!(load_bytes(&text).is_ok());
    text.push(b'a');
    assert!(load_bytes(&text).is_err());
}

#[test]
fn messages_show_the_beginning_of_long_values_and_no_control_characters() {
    let long = "x".repeat(100_000);
    let error = config(&format!("dataDir=/d\nclientPort={long}\n")).unwrap_err().to_string();
    assert!(error.len() < 300, "{}", error.len());
    let error = config("dataDir=/d\nclientPort=1\x1b[2J\n").unwrap_err().to_string();
    assert!(!error.contains('\x1b'), "{error:?}");
    let (_, notes) = config(&format!("dataDir=/d\nclientPort=1\n{long}=1\n")).unwrap();
    assert!(notes[0].text.len() < 300, "{}", notes[0].text.len());
}

#[test]
fn a_file_of_nonsense_has_a_bounded_number_of_notes() {
    let nonsense: String = (0..5000).map(|number| format!("nonsense{number}=1\n")).collect();
    let (_, notes) = config(&format!("dataDir=/d\nclientPort=1\n{nonsense}")).unwrap();
    assert_eq!(notes.len(), NOTES_MAX);
}

#[test]
fn a_value_that_is_not_utf_8_is_refused_but_a_comment_is_not() {
    let error = load_bytes(b"clientPort=1\ndataDir=/d\xe4ta\n").unwrap_err().to_string();
    assert!(error.contains(":2: dataDir=") && error.contains("UTF-8"), "{error}");
    let error = load_bytes(b"dataDir=/d\nclientPort=1\nserver.1=h\xe4:1:2\n").unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
    assert!(load_bytes(b"# M\xfcnchen\ndataDir=/d\nclientPort=1\n").is_ok());
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none"), folder.path().to_owned()] {
        let error = load(path.to_str().unwrap(), Some(1)).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn keys_are_in_use_or_without_effect_or_unknown() {
    assert_eq!(levels("tickTime=2000"), []);
    for key in ["forceSync=no", "admin.serverPort=8080", "audit.enable=true", "snapshot.x=1"] {
        assert_eq!(levels(key), [NoteLevel::Info], "{key}");
    }
    for key in ["sslQuorum=true", "ssl.quorum.x=1", "secureClientPort=2281"] {
        assert_eq!(levels(key), [NoteLevel::Warning], "{key}");
    }
    assert_eq!(levels("tickTme=2000"), [NoteLevel::Warning]);
}

#[test]
fn quorums_other_than_majorities_are_refused() {
    let with = |lines: &str| {
        config(&format!("dataDir=/d\nclientPort=1\nserver.1=a:1\nserver.2=b:1\n{lines}"))
    };
    assert!(with("weight.1=1\nweight.2=1\ngroup.1=1:2").is_ok(), "they come to the same");
    for (lines, key) in
        [("weight.1=1\nweight.2=0", "weight.2"), ("group.1=1\ngroup.2=2", "group.2")]
    {
        let error = with(lines).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_member_with_a_secure_port_alone_is_told_that_there_is_no_tls() {
    let error = config("dataDir=/d\nsecureClientPort=2281\n").unwrap_err().to_string();
    assert!(error.contains("clientPort") && error.contains("TLS"), "{error}");
}

#[test]
fn two_servers_at_one_address_are_refused() {
    let error = config("dataDir=/d\nclientPort=1\nserver.1=a:1\nserver.2=a:1:3\n").unwrap_err();
    assert!(error.to_string().contains("server.2"), "{error}");
}

#[test]
fn access_is_read_as_zookeeper_writes_it() {
    let of = |lines: &str| config(&format!("dataDir=/d\nclientPort=1\n{lines}"));
    let access = |lines: &str| of(lines).unwrap().0.access;
    assert_eq!(access(""), Access::default());
    let digest = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
    let line = format!("zookeeper.DigestAuthenticationProvider.superDigest={digest}");
    assert_eq!(access(&line).super_digest.as_deref(), Some(digest));
    assert!(access("skipACL=yes").is_unchecked && !access("skipACL=no").is_unchecked);
    assert!(access("reconfigEnabled=true").is_reconfig_enabled);
    let enforced = "enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip";
    assert_eq!(access(enforced).enforced_schemes, ["digest", "ip"]);
    assert!(access("enforce.auth.schemes=digest").enforced_schemes.is_empty(), "not enabled");
    for wrong in [
        "skipACL=perhaps",
        "enforce.auth.enabled=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=sasl",
        "sessionRequireClientSASLAuth=true",
    ] {
        assert!(matches!(of(wrong), Err(ConfigError::Value { .. })), "{wrong}");
    }
}

#[test]
fn local_sessions_and_reads_without_a_leader_are_off_unless_asked_for() {
    let of = |lines: &str| {
        let (config, _) = config(&format!("dataDir=/d\nclientPort=1\n{lines}")).unwrap();
        (config.local_sessions, config.has_read_only_mode)
    };
    assert_eq!(of(""), (LocalSessions::Off, false));
    assert_eq!(of("localSessionsUpgradingEnabled=true"), (LocalSessions::Off, false));
    assert_eq!(of("localSessionsEnabled=true"), (LocalSessions::On, false));
    let both = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true";
    assert_eq!(of(both), (LocalSessions::Upgraded, false));
    assert_eq!(of("zookeeper.readonlymode.enabled=true"), (LocalSessions::Off, true));
}

#[test]
fn hard_limits_of_quotas_hold_unless_that_is_switched_off() {
    let hard_limits = |text: &str| {
        config(&format!("dataDir=/d\nclientPort=1\n{text}\n")).unwrap().0.rules.hard_limits
    };
    assert_eq!(hard_limits(""), HardLimits::Enforced);
    assert_eq!(hard_limits("enforceQuota=true"), HardLimits::Enforced);
    assert_eq!(hard_limits("zookeeper.enforceQuota=false"), HardLimits::Warned);
}

#[test]
fn every_key_that_zookeepers_users_set_is_known() {
    let keys = "group.1 weight.1 standaloneEnabled leaderServes \
        txnLogSizeLimitInKb admin.enableServer admin.serverPort \
        metricsProvider.className metricsProvider.httpPort authProvider.1 digestAlg \
        quorum.auth.enableSasl jaasLoginRenew sslQuorum \
        ssl.quorum.keyStore.location client.portUnification client.certReload \
        sslQuorumReloadCertFiles electionPortBindRetry cnxTimeout quorumCnxnTimeoutMs \
        connectToLearnerMasterLimit observerMasterPort syncEnabled audit.enable \
        snapshot.compression.method digest.enabled forceSync flushDelay maxBatchSize \
        requestThrottleStallTime requestThrottleDropStale requestStaleLatencyCheck \
        request_throttle_stall_time connectionFreezeTime connection_throttle_freeze_time \
        largeRequestThreshold largeRequestMaxBytes tcpKeepAlive clientTcpKeepAlive \
        serverCnxnFactory multiAddress.enabled oraclePath secureClientPort";
    for key in keys.split_whitespace() {
        for key in [key.to_owned(), format!("zookeeper.{key}")] {
            let (_, notes) = config(&format!("dataDir=/d\nclientPort=1\n{key}=1\n")).unwrap();
            let texts: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
            assert!(matches!(texts[..], [one] if one.contains("no effect")), "{key}: {texts:?}");
        }
    }
}

#[test]
fn limits_of_requests_are_zookeepers_unless_set() {
    let of = |lines: &str| {
        let (config, notes) = config(&format!("dataDir=/d\nclientPort=1\n{lines}"))?;
        assert_eq!(notes, []);
        Ok::<_, ConfigError>(config.request_limits)
    };
    let default = of("").unwrap();
    assert_eq!((default.outstanding_high, default.outstanding_max), (1000, 0));
    assert_eq!((default.throttled_ms, default.reply_len_bytes_max), (0, 64 << 20));
    assert_eq!(default.connects, ConnectRate { burst: 0, fill_ms: 1, fill_count: 1 });
    let lines = "globalOutstandingLimit=5\nreply.maxbuffer=2000000\n\
        zookeeper.request_throttle_max_requests=6\nthrottledOpWaitTime=7\nconnectionMaxTokens=8\n\
        connectionTokenFillTime=9\nzookeeper.connection_throttle_fill_count=10\n";
    let expected = RequestLimits {
        outstanding_high: 5,
        outstanding_max: 6,
        throttled_ms: 7,
        connects: ConnectRate { burst: 8, fill_ms: 9, fill_count: 10 },
        reply_len_bytes_max: 2_000_000,
    };
    assert_eq!(of(lines).unwrap(), expected);
    for wrong in [
        "reply.maxbuffer=1000",
        "jute.maxbuffer=3000000\nreply.maxbuffer=3000000",
        "connectionTokenFillTime=0",
        "requestThrottleLimit=many",
    ] {
        assert!(matches!(of(wrong), Err(ConfigError::Value { .. })), "{wrong}");
    }
}

#[test]
fn booleans_are_taken_in_any_case() {
    for (value, expected) in [("True", true), ("YES", true), ("FALSE", false), ("no", false)] {
        let text = format!("dataDir=/d\nclientPort=1\nquorumListenOnAllIPs={value}\n");
        assert_eq!(config(&text).unwrap().0.listens_on_all, expected, "{value}");
    }
    assert!(config("dataDir=/d\nclientPort=1\nquorumListenOnAllIPs=1\n").is_err());
}

#[test]
fn the_word_list_is_srvr_alone_unless_set() {
    let words =
        |text: &str| config(&format!("dataDir=/d\nclientPort=1\n{text}\n")).unwrap().0.words;
    assert_eq!(words(""), Some(vec!["srvr".to_owned()]));
    assert_eq!(words("4lw.commands.whitelist=*"), None);
    let expected = Some(vec!["srvr".to_owned(), "isro".to_owned()]);
    assert_eq!(words("readonlymode.enabled=true"), expected);
    let expected = Some(vec!["ruok".to_owned(), "mntr".to_owned()]);
    assert_eq!(words("4lw.commands.whitelist=ruok , mntr"), expected);
}

#[test]
fn session_bounds_follow_the_tick_unless_set() {
    let bounds = |text: &str| {
        let text = format!("dataDir=/d\nclientPort=1\ntickTime=1000\n{text}");
        let (config, _) = config(&text).unwrap();
        (config.session_timeout_ms_min, config.session_timeout_ms_max)
    };
    assert_eq!(bounds(""), (2000, 20_000));
    assert_eq!(bounds("minSessionTimeout=-1\nmaxSessionTimeout=-1\n"), (2000, 20_000));
    assert_eq!(bounds("minSessionTimeout=500\nmaxSessionTimeout=600\n"), (500, 600));
}

#[test]
fn names_of_client_addresses_are_looked_up() {
    let text = "dataDir=/d\nclientPort=1\nclientPortAddress=";
    let address = |value: &str| config(&format!("{text}{value}\n")).map(|it| it.0.client_address);
    assert_eq!(address("127.0.0.1").unwrap().to_string(), "127.0.0.1");
    assert_eq!(address("::1").unwrap().to_string(), "::1");
    assert!(address("localhost").unwrap().is_loopback());
    let error = address("no such host").unwrap_err().to_string();
    assert!(error.contains("zoo.cfg:3: clientPortAddress"), "{error}");
}

#[test]
fn names_in_a_server_line_are_looked_up_for_the_member_itself_only() {
    let of = |host: &str, other: &str| {
        config(&format!("dataDir=/d\nserver.1=a:1:2;{host}:2181\nserver.2=b:1:2;{other}:2182\n"))
    };
    let (config, _) = of("localhost", "no such host").unwrap();
    assert!(config.client_address.is_loopback());
    let described = config.describe(None);
    assert!(described.contains("participant;localhost:2181\n"), "{described}");
    let error = of("no such host", "localhost").unwrap_err().to_string();
    assert!(error.contains("zoo.cfg:2: server.1"), "{error}");
}

#[test]
fn a_client_port_is_told_by_the_line_that_has_it_and_by_no_other() {
    let (config, _) =
        config("dataDir=/d\nclientPort=7\nserver.1=a:1:2\nserver.2=b:1:2;8\n").unwrap();
    let described = config.describe(None);
    let expected = "server.1=a:1:2:participant\nserver.2=b:1:2:participant;0.0.0.0:8\nversion=0\n";
    assert!(described.ends_with(expected), "{described}");
}

#[test]
fn two_client_ports_are_noted() {
    let (config, notes) = config("dataDir=/d\nclientPort=7\nserver.1=a:1:2;8\n").unwrap();
    assert_eq!(config.client_port, 8);
    assert_eq!(
        notes[0].to_string(),
        "zoo.cfg:2: server.1 says that clients connect at 8, and it counts"
    );
}

#[test]
fn a_folder_without_a_name_is_refused() {
    for line in ["dataDir=", "dataDir=/d\ndataLogDir="] {
        let error = config(&format!("clientPort=1\n{line}\n")).unwrap_err().to_string();
        assert!(error.contains("expected the name of a folder"), "{error}");
    }
}

#[test]
fn the_longest_request_is_read_as_zookeepers_manual_writes_it() {
    let of = |text: &str| config(&format!("dataDir=/d\nclientPort=1\njute.maxbuffer={text}\n"));
    assert_eq!(of("0xfffff").unwrap().0.frame_len_bytes_max, 0xfffff);
    let (large, notes) = of("104857600").unwrap();
    assert_eq!((large.frame_len_bytes_max, notes.len()), (FRAME_LEN_BYTES_MAX_MAX, 1));
    assert!(of("0x").is_err() && of("0xfffffffff").is_err() && of("0x-1").is_err());
}

#[test]
fn peer_type_is_one_of_two_and_the_list_counts() {
    let text = "dataDir=/d\nclientPort=1\nserver.1=a:1:2\nserver.2=b:1:2\npeerType=";
    assert!(config(&format!("{text}Participant\n")).is_ok());
    let (_, notes) = config(&format!("{text}observer\n")).unwrap();
    assert!(notes.iter().any(|note| note.text.contains("server lines")), "{notes:?}");
    assert!(config(&format!("{text}boss\n")).is_err());
}

#[test]
fn what_zookeeper_raises_or_reads_as_no_limit_is_taken() {
    let of = |lines: &str| config(&format!("dataDir=/d\nclientPort=1\n{lines}\n")).unwrap();
    let (low, notes) = of("autopurge.snapRetainCount=1\nsnapCount=1");
    assert_eq!((low.retain, low.snapshot_txns), (3, 2));
    assert_eq!(notes.iter().filter(|note| note.level == NoteLevel::Warning).count(), 2);
    assert_eq!(of("maxClientCnxns=-1").0.connections_per_address_max, 0);
    assert_eq!(of("tickTime=5\ninitLimit=0\nsyncLimit=0").0.init_limit_ticks, 1);
    let ensemble = "dataDir=/d\nclientPort=1\nserver.1=a:1:2\nserver.2=b:1:2\ninitLimit=0\n";
    assert!(config(ensemble).is_err(), "members with others need the time");
}

#[test]
fn two_lines_for_one_number_are_refused() {
    let text = "dataDir=/d\nclientPort=1\nserver.1=a:1:2\nserver.01=b:1:2\n";
    let error = config(text).unwrap_err().to_string();
    assert!(error.contains("the same number"), "{error}");
}

#[test]
fn several_addresses_are_noted_with_their_line() {
    let text = "dataDir=/d\nclientPort=1\nserver.1=a:1:2|b:1:2\n";
    let (_, notes) = config(text).unwrap();
    assert_eq!(notes[0].to_string(), "zoo.cfg:3: of server.1's addresses only the first is used");
}

/// Goal: a member finds its number, or says how to give it. Method: folders with and without `myid`.
#[test]
fn a_member_takes_its_number_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let two = "server.1=a:1:2\nserver.7=b:1:2\n";
    let number = |servers: &str, id| {
        let text = format!("dataDir={data}\nclientPort=1\n{servers}");
        Settings::parse("zoo.cfg", &text).config(id).map(|config| config.id)
    };
    assert_eq!(number("", None).unwrap(), 1);
    assert_eq!(number("server.7=a:1:2\n", None).unwrap(), 7);
    assert_eq!(number(two, Some(7)).unwrap(), 7);
    let error = number(two, None).unwrap_err().to_string();
    assert!(error.contains(&format!("echo 1 > {data}/myid")), "{error}");

    let write = |text: &str| std::fs::write(folder.path().join("myid"), text).unwrap();
    write(" 7\n");
    assert_eq!(number(two, None).unwrap(), 7);
    assert_eq!(number(two, Some(1)).unwrap(), 1);
    for wrong in ["", "0", "256", "seven", "1 2", "-1"] {
        write(wrong);
        let error = number(two, None).unwrap_err().to_string();
        assert!(error.contains("expected a number from 1 to 255"), "{wrong}: {error}");
    }
    write("3");
    assert!(number(two, None).unwrap_err().to_string().contains("no server.3"));
}

/// Goal: the second file counts. Method: both set `server.1`; each note names its own file.
#[test]
fn a_dynamic_file_overrides_and_its_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dynamic = folder.path().join("dynamic");
    std::fs::write(&dynamic, "server.1=b:5:6;2182\nnonsense=1\n").unwrap();
    let text = format!(
        "dataDir=/d\nclientPort=1\nserver.1=a:1:2\ndynamicConfigFile={}\n",
        dynamic.display()
    );
    let path = folder.path().join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    let (config, notes) = load(path.to_str().unwrap(), Some(1)).unwrap();
    assert_eq!((config.servers[&1].host.as_str(), config.client_port), ("b", 2182));
    let all: Vec<String> = notes.iter().map(Note::to_string).collect();
    let dynamic = dynamic.display();
    assert!(all.contains(&format!("{dynamic}:2: unknown key nonsense is ignored")), "{all:?}");
    assert!(all.iter().any(|note| note.starts_with(&format!("{dynamic}:1: server.1"))), "{all:?}");
}

#[test]
fn the_members_of_a_development_ensemble_differ_in_ports_and_folders() {
    let members = [1, 2, 3].map(|id| Config::dev(id, 3, 2181, 2888, "data"));
    for (index, member) in members.iter().enumerate() {
        let own = &member.servers[&member.id];
        assert_eq!((member.client_port, own.port), (2181 + index as u16, 2888 + index as u16));
        assert_eq!(member.data_dir, format!("data/member-{}", member.id));
        assert_eq!((member.servers.len(), &member.words), (3, &None));
        assert_eq!(member.servers, members[0].servers);
        assert!(member.client_address.is_loopback());
    }
    assert!(Config::dev(1, 1, 2181, 2888, "data").servers.is_empty());
}

#[test]
fn an_ensemble_is_described_as_zookeeper_does() {
    let text =
        "dataDir=/d\nclientPort=2181\nserver.1=a:1:2;10.0.0.1:5\nserver.2=[::1]:3:observer\n";
    let mut config = config(text).unwrap().0;
    let described = config.describe(None);
    let expected = "peerType=0\nmembership: \nserver.1=a:1:2:participant;10.0.0.1:5\n\
                    server.2=[::1]:3:3:observer\nversion=0\n";
    assert!(described.ends_with(expected), "{described}");
    config.id = 2;
    let members = config.describe(None);
    let (_, members) = members.split_once("membership").unwrap();
    assert!(expected.ends_with(members), "all members tell the same");
}
