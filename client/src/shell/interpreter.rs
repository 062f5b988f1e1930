//! What runs commands, one after another: it holds the session, the history and what has begun.

use std::{
    collections::VecDeque,
    ffi::OsString,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    command::{self, Command, Line, Refusal},
    connection::{Connection, Terms},
    error::ShellError,
    family::{
        Context, Surroundings,
        session::{Connect, Switch},
        txn::{Asked, Transaction},
    },
    outcome::Outcome,
    printer::{Announcer, Printer, remark},
    render::{Format, Paint, Style},
    words::{self, Words},
};
use crate::session::SessionState;

/// Commands remembered for `history` and `redo`.
const HISTORY_MAX: usize = 1000;

/// Bytes of a command that is remembered: longer ones hold values that nobody would look up here.
const REMEMBERED_LEN_BYTES_MAX: usize = 16 << 10;

/// What runs commands.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) servers: String,
    pub(super) terms: Terms,
    pub(super) format: Format,
    pub(super) style: Style,
    /// Whether what is said on standard error may be coloured.
    pub(super) error_style: Style,
    pub(super) surroundings: Surroundings,
    pub(super) announcer: Announcer,
    pub(super) mode: Mode,
    connection: Option<Connection>,
    prints_watches: Arc<AtomicBool>,
    transaction: Option<Transaction>,
    history: VecDeque<(usize, Words)>,
    next_number: usize,
}

/// Who gives the commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Somebody at a prompt: a session that has expired is opened again.
    Prompt,
    /// A script: what goes wrong ends it.
    Script,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// With this exit code.
    Code(u8),
    /// It ends the shell.
    Quit,
    /// Nobody reads what is shown.
    OutputClosed,
}

impl Interpreter {
    pub(super) fn new(
        servers: String,
        terms: Terms,
        format: Format,
        styles: (Style, Style),
        surroundings: Surroundings,
        mode: Mode,
    ) -> Self {
        Self {
            servers,
            terms,
            format,
            style: styles.0,
            error_style: styles.1,
            surroundings,
            announcer: Announcer::default(),
            mode,
            connection: None,
            prints_watches: Arc::new(AtomicBool::new(true)),
            transaction: None,
            history: VecDeque::new(),
            next_number: 0,
        }
    }

    /// Opens a session with the servers.
    pub(super) async fn connect(&mut self) -> Result<(), ShellError> {
        let opened =
            Connection::open(&self.servers, &self.terms, &self.announcer, &self.prints_watches);
        let connection = opened.await?;
        if self.mode == Mode::Prompt {
            tokio::spawn(tell_states(connection.client.states(), self.announcer.clone()));
        }
        self.connection = Some(connection);
        Ok(())
    }

    pub(super) const fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Returns whether the lines are those of a transaction.
    pub(super) const fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Runs the words of one command, and says what went wrong.
    pub(super) async fn execute(&mut self, words: &[OsString]) -> Ended {
        self.remember(words);
        let result = match &mut self.transaction {
            Some(transaction) => match transaction.add(words) {
                Ok(asked) => self.in_transaction(asked).await,
                Err(error) => Err(error),
            },
            None => match Line::parse_words(words) {
                Ok(Line { command: Command::Quit(_), .. }) => return Ended::Quit,
                Ok(line) => self.run(line).await,
                Err(Refusal::Help(text)) => self.show(&Outcome::Help(text), self.format),
                Err(Refusal::Usage(text)) => Err(ShellError::Usage(text)),
            },
        };
        match result {
            Ok(()) => Ended::Code(0),
            Err(ShellError::OutputClosed) => Ended::OutputClosed,
            Err(error) => {
                self.say(&error).await;
                Ended::Code(error.code())
            }
        }
    }

    /// Says what went wrong, on standard error.
    pub(super) async fn say(&self, error: &ShellError) {
        let client = self.connection.as_ref().map(|connection| &connection.client);
        let text = match error {
            ShellError::Unreachable(_) => format!("{}: {error}", self.servers),
            error => error.explain(client).await,
        };
        let text = self.error_style.paint(Paint::Bad, &text);
        remark(&format!("conclave: {text}"));
    }

    async fn in_transaction(&mut self, asked: Asked) -> Result<(), ShellError> {
        match (asked, &self.connection) {
            (Asked::More, _) => Ok(()),
            (Asked::Abort, _) => {
                self.transaction = None;
                Ok(())
            }
            (Asked::Commit, None) => Err(not_connected()),
            (Asked::Commit, Some(connection)) => {
                let transaction = self.transaction.take().unwrap_or_default();
                let printer = Printer::new(self.format, self.style);
                let context =
                    Context { connection, printer: &printer, surroundings: &self.surroundings };
                let outcome = attended(connection, transaction.commit(context)).await?;
                printer.outcome(&outcome)?;
                printer.end()
            }
        }
    }

    async fn run(&mut self, Line { output, command }: Line) -> Result<(), ShellError> {
        let format = output.unwrap_or(self.format);
        match command {
            Command::Txn(txn) if txn.operations.is_empty() => {
                self.transaction = Some(Transaction::default());
                Ok(())
            }
            command if command.is_local() => self.run_local(command, format).await,
            command => self.run_remote(command, format).await,
        }
    }

    async fn run_remote(&mut self, command: Command, format: Format) -> Result<(), ShellError> {
        self.renew().await?;
        let connection = self.connection.as_ref().ok_or_else(not_connected)?;
        let printer = Printer::new(format, self.style);
        let context = Context { connection, printer: &printer, surroundings: &self.surroundings };
        let result = attended(connection, command.run(context)).await;
        let shown = match &result {
            Ok(outcome) => printer.outcome(outcome),
            Err(_) => Ok(()),
        };
        // What was found before something went wrong is shown too.
        shown.and_then(|()| printer.end()).and(result.map(drop))
    }

    /// A session that has expired meanwhile is followed by another, where somebody is there to be told.
    async fn renew(&mut self) -> Result<(), ShellError> {
        let state = self.connection.as_ref().map(|connection| connection.client.state());
        if state.is_some_and(SessionState::is_over) && self.mode == Mode::Prompt {
            self.connection = None;
            self.connect().await?;
            self.announcer.remark("A new session was opened.");
        }
        Ok(())
    }

    async fn run_local(&mut self, command: Command, format: Format) -> Result<(), ShellError> {
        match command {
            Command::Help(help) => {
                let text = command::help(help.command.as_deref())?;
                self.show(&Outcome::Help(text), format)
            }
            Command::Version(_) => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.show(&Outcome::Version(version), format)
            }
            Command::PrintWatches(print) => {
                if let Some(switch) = print.switch {
                    self.prints_watches.store(switch == Switch::On, Ordering::Relaxed);
                    return Ok(());
                }
                let is_on = self.prints_watches.load(Ordering::Relaxed);
                self.show(&Outcome::PrintsWatches(is_on), format)
            }
            Command::History(history) => {
                let skipped = self.history.len().saturating_sub(history.count);
                let lines = self.history.iter().skip(skipped);
                let lines = lines.map(|(number, words)| (*number, line(words))).collect();
                self.show(&Outcome::History(lines), format)
            }
            Command::Redo(redo) => self.redo(redo.number).await,
            Command::Close(_) => match self.connection.take() {
                Some(connection) => {
                    connection.close().await;
                    Ok(())
                }
                None => Err(not_connected()),
            },
            Command::Connect(Connect { servers }) => {
                self.servers = servers.unwrap_or_else(|| self.servers.clone());
                if let Some(connection) = self.connection.take() {
                    connection.close().await;
                }
                self.connect().await
            }
            other => unreachable!("{other:?} needs a server"),
        }
    }

    async fn redo(&mut self, number: usize) -> Result<(), ShellError> {
        let found = self.history.iter().find(|(other, _)| *other == number);
        let words = match found {
            Some((_, words)) if words.first().is_some_and(|first| first == "redo") => {
                return Err(ShellError::Usage(format!("command {number} is a redo itself")));
            }
            Some((_, words)) => words.clone(),
            None => return Err(ShellError::Usage(format!("no command {number} in the history"))),
        };
        match Line::parse_words(&words) {
            Ok(line) => Box::pin(self.run(line)).await,
            Err(Refusal::Help(text) | Refusal::Usage(text)) => Err(ShellError::Usage(text)),
        }
    }

    fn show(&self, outcome: &Outcome, format: Format) -> Result<(), ShellError> {
        let printer = Printer::new(format, self.style);
        printer.outcome(outcome)?;
        printer.end()
    }

    fn remember(&mut self, words: &[OsString]) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let len_bytes: usize = words.iter().map(|word| word.len()).sum();
        if len_bytes <= REMEMBERED_LEN_BYTES_MAX {
            self.history.push_back((self.next_number, words.to_vec()));
        }
        self.next_number += 1;
    }

    /// Ends the session.
    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

/// Runs what needs a server until it is done, or Ctrl-C, or there was no connection for too long.
async fn attended<T>(
    connection: &Connection,
    work: impl Future<Output = Result<T, ShellError>>,
) -> Result<T, ShellError> {
    tokio::select! {
        result = work => result,
        () = connection.outage() => Err(connection.unreachable()),
        Ok(()) = tokio::signal::ctrl_c() => Err(ShellError::Cancelled),
    }
}

/// Tells whoever is at the prompt what becomes of the connection.
async fn tell_states(mut states: tokio::sync::watch::Receiver<SessionState>, announcer: Announcer) {
    let mut was_connected = states.borrow_and_update().is_connected();
    while states.changed().await.is_ok() {
        let state = *states.borrow_and_update();
        match state {
            SessionState::Closed => return,
            SessionState::Expired => {
                announcer.remark("The session has expired: its ephemerals and watches are gone.");
                return;
            }
            SessionState::AuthFailed => {
                announcer.remark("An identity was refused; the session is over.");
                return;
            }
            state if state.is_connected() && !was_connected => announcer.remark("Connected again."),
            state if !state.is_connected() && was_connected => {
                announcer.remark("The connection is lost; looking for another server.");
            }
            _ => {}
        }
        was_connected = state.is_connected();
    }
}

fn line(words: &[OsString]) -> String {
    words.iter().map(|word| words::quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn not_connected() -> ShellError {
    ShellError::Refused("not connected: connect HOST:PORT does".to_owned())
}
