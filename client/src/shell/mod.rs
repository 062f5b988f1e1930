//! The znode shell: one command given as arguments, many from standard input, or a prompt.
//!
//! The way of a command: `words` splits a line, `command` is the table that it is looked up in, the
//! file of its `family` does it and yields an `outcome`, `render` makes text or JSON of that, and
//! `printer` writes it. `interpreter` holds what lives longer than one command.
//!
//! Exit codes: 0 success, 1 the server refused, 2 not understood, 3 no member could be reached in
//! time, 130 Ctrl-C.

mod command;
mod confirm;
mod connection;
mod error;
mod family;
mod file;
mod four_letters;
mod interpreter;
mod outcome;
mod printer;
mod progress;
mod prompt;
mod render;
mod script;
mod walk;
mod words;

use std::{
    ffi::OsString,
    io::{IsTerminal, stderr, stdin, stdout},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use self::{
    command::{Command, Line, Refusal},
    connection::Terms,
    error::{REFUSED, USAGE},
    family::Surroundings,
    interpreter::{Ended, Interpreter, Mode},
    printer::remark,
    render::{Format, Style},
    script::OnFailure,
};

/// Arguments of `conclave shell`.
#[derive(Args, Debug)]
pub struct ShellArguments {
    /// Where to connect: host:port[,host:port...][/chroot].
    #[arg(long, short, default_value = "127.0.0.1:2181", value_name = "HOSTS")]
    server: String,
    /// In what form output is wanted.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
    /// Commands, separated by semicolons.
    #[arg(long, short, value_name = "COMMANDS", conflicts_with = "words")]
    commands: Option<OsString>,
    /// Session timeout to ask for, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    timeout: u32,
    /// How long to wait for a connection, in milliseconds: at the start, and when it is lost.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    wait: u64,
    /// Makes do with a server that has lost its ensemble and serves reads only.
    #[arg(long)]
    read_only: bool,
    /// In a script, goes on after a command that failed.
    #[arg(long)]
    keep_going: bool,
    /// A command and its arguments; `help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// What the shell takes from its process's environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The file that keeps the prompt's history; `None` keeps none.
    pub history: Option<PathBuf>,
    /// The editor for `edit`, in the words of a shell.
    pub editor: Option<OsString>,
    /// Whether colours are unwanted even on a terminal.
    pub is_plain: bool,
}

/// Runs the shell and returns its exit code.
pub fn main(arguments: ShellArguments, environment: Environment) -> ExitCode {
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                remark(&format!("conclave: no runtime: {error}"));
                return ExitCode::from(REFUSED);
            }
        };
    let code = runtime.block_on(run(arguments, environment));
    // Somebody may still be typing into a standard input that nobody reads any more.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn run(arguments: ShellArguments, environment: Environment) -> u8 {
    let is_prompt =
        arguments.words.is_empty() && arguments.commands.is_none() && stdin().is_terminal();
    let mut interpreter = interpreter(&arguments, &environment, is_prompt);
    let on_failure = if arguments.keep_going { OnFailure::GoOn } else { OnFailure::Stop };
    let commands = match arguments.commands.as_ref().map(|text| words::commands(text.as_bytes())) {
        None => None,
        Some(Ok(commands)) => Some(commands),
        Some(Err(error)) => {
            remark(&format!("conclave: {error}"));
            return USAGE;
        }
    };
    // Understood before anything is connected.
    if !arguments.words.is_empty() {
        match Line::parse_words(&arguments.words) {
            Ok(line) if !line.command.is_local() || matches!(line.command, Command::Connect(_)) => {
            }
            Ok(_) | Err(Refusal::Help(_) | Refusal::Usage(_)) => {
                return code(interpreter.execute(&arguments.words).await);
            }
        }
    }
    if let Err(error) = interpreter.connect().await {
        interpreter.say(&error).await;
        return error.code();
    }
    let code = match commands {
        Some(commands) => {
            script::run(&mut interpreter, [Ok(commands)].into_iter(), on_failure).await
        }
        None if !arguments.words.is_empty() => {
            one(&mut interpreter, &arguments.words, on_failure).await
        }
        None if is_prompt => prompt::run(&mut interpreter, environment.history).await,
        None => script::run(&mut interpreter, script::read(stdin().lock()), on_failure).await,
    };
    interpreter.close().await;
    code
}

fn interpreter(
    arguments: &ShellArguments,
    environment: &Environment,
    is_prompt: bool,
) -> Interpreter {
    let terms = Terms {
        timeout_ms: arguments.timeout,
        wait_ms: arguments.wait,
        is_read_only: arguments.read_only,
    };
    let style =
        |is_terminal| Style { is_terminal, has_colours: is_terminal && !environment.is_plain };
    let is_attended =
        stdin().is_terminal() && stderr().is_terminal() && arguments.commands.is_none();
    let surroundings = Surroundings { editor: environment.editor.clone(), is_attended };
    Interpreter::new(
        arguments.server.clone(),
        terms,
        arguments.output,
        (style(stdout().is_terminal()), style(stderr().is_terminal())),
        surroundings,
        if is_prompt { Mode::Prompt } else { Mode::Script },
    )
}

/// Runs one command. A transaction that it begins is read from standard input; the watches that it
/// sets are waited for, as there is nothing else to do.
async fn one(interpreter: &mut Interpreter, words: &[OsString], on_failure: OnFailure) -> u8 {
    let ended = interpreter.execute(words).await;
    if interpreter.is_in_transaction() {
        return script::run(interpreter, script::read(stdin().lock()), on_failure).await;
    }
    if ended == Ended::Code(0)
        && let Some(connection) = interpreter.connection()
        && !connection.wait_for_watches().await
    {
        return REFUSED;
    }
    code(ended)
}

const fn code(ended: Ended) -> u8 {
    match ended {
        Ended::Code(code) => code,
        Ended::Quit | Ended::OutputClosed => 0,
    }
}
