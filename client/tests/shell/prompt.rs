//! The prompt, in a pseudo-terminal, as a person would use it.

use std::process::Command;

use conclave_server::embedded::Embedded;
use rexpect::session::{PtySession, spawn_command};

use crate::world::{Corner, runtime};

/// Patience with what has to appear.
const PATIENCE_MS: u64 = 30_000;

const PROMPT: &str = "conclave> ";

/// A shell with somebody at it.
struct Terminal {
    session: PtySession,
    home: tempfile::TempDir,
}

impl Terminal {
    /// Starts it and waits for the prompt.
    fn start(hosts: &str, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut terminal = Self::run(hosts, home, &[arguments, &["--wait", "20000"]].concat());
        terminal.sees("help lists the commands.");
        terminal.sees(PROMPT);
        terminal
    }

    fn run(hosts: &str, home: tempfile::TempDir, arguments: &[&str]) -> Self {
        // The pseudo-terminal does not tell the process id.
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$HOME/pid"; exec "$0" shell "$@""#]);
        command.args([env!("CARGO_BIN_EXE_conclave"), "--server", hosts]).args(arguments);
        command.env("HOME", home.path()).env("TERM", "xterm").env("NO_COLOR", "1");
        command.env_remove("CONCLAVE_HISTORY");
        let session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        Self { session, home }
    }

    /// Waits for a text, and returns what stood before it.
    fn sees(&mut self, text: &str) -> String {
        self.session
            .exp_string(text)
            .unwrap_or_else(|error| panic!("{text:?} is not seen: {error}"))
    }

    /// Types keys.
    fn types(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// Types a line, waits for a text and for the prompt.
    fn does(&mut self, line: &str, text: &str) {
        self.types(&format!("{line}\r"));
        self.sees(text);
        self.sees(PROMPT);
    }

    /// Sends a signal to the shell.
    fn signals(&self, signal: &str) {
        let script = format!("kill {signal} $(cat {}/pid)", self.home.path().display());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends it as people do, and returns its home.
    fn leaves(mut self) -> tempfile::TempDir {
        self.types("\x04");
        self.session.exp_eof().unwrap();
        self.home
    }
}

#[test]
fn commands_are_given_at_a_prompt() {
    let corner = Corner::new("prompt");
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.does("create /x '{\"a\":1}'", "Created /x");
    terminal.does("get /x", "{\r\n  \"a\": 1\r\n}");
    terminal.does("create /y/z", "its parent /y does not exist");
    terminal.does("frobnicate", "unknown command");
    terminal.does("set /x \"two\r> lines\"; stat /x", "dataVersion = 1");
    terminal.types("quit\r");
    terminal.session.exp_eof().unwrap();
    assert_eq!(corner.ok(&["get", "/x"]), "two\n> lines\n", "a quote goes on over lines");
}

#[test]
fn tab_completes_commands_flags_and_paths() {
    let corner = Corner::new("tab");
    corner
        .ok(&["-c", "create /apple 1; create /apple/core 2; create '/with space' 3; create /zoo"]);
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.types("whoa\t");
    terminal.does("", "Auth scheme: User");
    terminal.types("get /app\tco\t");
    terminal.does("", "\r\n2\r\n");
    terminal.types("get /wi\t");
    terminal.does("", "\r\n3\r\n");
    terminal.types("get --pre\t/apple\t\x7f");
    terminal.does("", "\r\n1\r\n");
    terminal.types("addWatch -m PERSISTENT_\t/zoo\t");
    terminal.does("", "\r\n");
    terminal.types("ls /\t\t");
    terminal.sees("apple");
    terminal.sees("zoo");
    terminal.types("\x03");
    terminal.sees("ls /");
    terminal.sees(PROMPT);
    terminal.leaves();
}

#[test]
fn history_is_kept_from_one_shell_to_the_next_without_secrets() {
    let corner = Corner::new("history");
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.does("create /x 1", "Created /x");
    terminal.does("addauth digest user:secret", "\r\n");
    terminal.does("get /x", "\r\n1\r\n");
    let home = terminal.leaves();
    let kept = std::fs::read_to_string(home.path().join(".conclave_history")).unwrap();
    assert!(kept.contains("create /x 1\nget /x\n") && !kept.contains("secret"), "{kept}");
    let mut terminal = Terminal::run(&corner.hosts, home, &[]);
    terminal.sees(PROMPT);
    // Up, up: the line before the last.
    terminal.does("\x1b[A\x1b[A", "/x exists already");
    terminal.leaves();
}

#[test]
fn a_recursive_delete_is_asked_for_and_can_be_refused() {
    let corner = Corner::new("asked");
    corner.ok(&["-c", "create /a; create /a/b; create /a/c"]);
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    for no in ["n\r", "\r", "\x03", "\x04"] {
        terminal.types("deleteall /a\r");
        terminal.sees("Delete /a and 2 znodes below it? [y/N] ");
        terminal.types(no);
        terminal.sees("cancelled");
        terminal.sees(PROMPT);
    }
    assert_eq!(corner.ok(&["ls", "/a"]), "[b, c]\n");
    terminal.types("deleteall /a/b\r");
    terminal.sees("Delete /a/b? [y/N] ");
    terminal.types("y\r");
    terminal.sees(PROMPT);
    terminal.does("deleteall -y /a", "Deleted 2 znodes: /a");
    terminal.leaves();
    assert_eq!(corner.ok(&["ls", "/"]), "[]\n");
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_session() {
    let corner = Corner::new("cancel");
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.does("create -e /e mine", "Created /e");
    terminal.types("watch -i /e\r");
    terminal.sees("is /e");
    terminal.types("\x03");
    terminal.sees("cancelled");
    terminal.sees(PROMPT);
    terminal.types("half a line\x03");
    terminal.sees(PROMPT);
    terminal.does("get /e", "mine");
    terminal.leaves();
    assert_eq!(corner.ok(&["ls", "/"]), "[]\n", "the session was closed");
}

#[test]
fn events_come_above_the_prompt() {
    let corner = Corner::new("above");
    corner.ok(&["create", "/x", "1"]);
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.does("get -w /x", "\r\n1\r\n");
    terminal.types("ls /");
    terminal.sees("ls /");
    corner.ok(&["set", "/x", "2"]);
    terminal.sees("Event: NodeDataChanged /x");
    terminal.sees("conclave> ls /");
    terminal.does("", "[x]");
    terminal.leaves();
}

#[test]
fn a_transaction_has_a_prompt_of_its_own() {
    let corner = Corner::new("lines");
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.types("txn\r");
    terminal.sees("txn> ");
    terminal.types("create /a 1\r");
    terminal.sees("txn> ");
    terminal.types("ls /\r");
    terminal.sees("in a transaction");
    terminal.sees("txn> ");
    terminal.does("com\t", "Created /a");
    terminal.leaves();
}

/// Goal: whoever sits there is told that the server is gone, and goes on when it is back.
#[test]
fn a_lost_server_is_told_and_found_again() {
    let runtime = runtime();
    let mut ensemble = runtime.block_on(Embedded::start()).unwrap();
    let mut terminal = Terminal::start(&ensemble.connect_string(), &["--timeout", "30000"]);
    terminal.does("create -e /e mine", "Created /e");
    runtime.block_on(ensemble.stop_member(1));
    terminal.sees("The connection is lost");
    // The folder is given up some time after the connections.
    while runtime.block_on(ensemble.start_member(1)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    terminal.sees("Connected again.");
    terminal.does("get /e", "mine");
    terminal.leaves();
    runtime.block_on(ensemble.stop());
}

/// Method: the shell is held for longer than its session lasts.
#[test]
fn an_expired_session_is_told_and_followed_by_another() {
    let corner = Corner::new("expired");
    let mut terminal = Terminal::start(&corner.hosts, &["--timeout", "2000"]);
    terminal.does("create -e /e mine", "Created /e");
    terminal.signals("-STOP");
    while corner.ok(&["ls", "/"]) != "[]\n" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    terminal.signals("-CONT");
    terminal.sees("The session has expired");
    terminal.types("create /x 1\r");
    terminal.sees("A new session was opened.");
    terminal.sees("Created /x");
    terminal.sees(PROMPT);
    terminal.leaves();
}

#[test]
fn top_goes_on_until_ctrl_c() {
    let corner = Corner::new("frames");
    let mut terminal = Terminal::start(&corner.hosts, &[]);
    terminal.types("top --interval 50ms\r");
    for _ in 0..3 {
        terminal.sees("MEMBER ");
        terminal.sees("CONNECTION ");
    }
    terminal.types("\x03");
    terminal.sees("cancelled");
    terminal.sees(PROMPT);
    terminal.leaves();
}

#[test]
fn colours_and_escapes_are_for_terminals() {
    let corner = Corner::new("colours");
    corner.ok(&["create", "-b", "/x", "Gxtb"]);
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args([
        "shell",
        "--server",
        &corner.hosts,
        "-c",
        "stat /x; get /x; set /x '\u{1b}[2J'; get /x",
    ]);
    command.env("HOME", home.path()).env("TERM", "xterm").env_remove("NO_COLOR");
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_string("\u{1b}[36mcZxid\u{1b}[0m").unwrap();
    let out = session.exp_eof().unwrap();
    assert!(out.contains("\\x1b\\x1b[\r\n") && out.contains("\\x1b[2J\r\n"), "{out:?}");
    let mut plain = Terminal::start(&corner.hosts, &[]);
    plain.types("stat /x\r");
    plain.sees("cZxid = 0x");
    plain.sees(PROMPT);
    plain.leaves();
}
