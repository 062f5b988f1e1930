//! The prompt: a line editor with history and completion.

mod complete;

use std::path::{Path, PathBuf};

use rustyline::{
    CompletionType, Config, Editor, ExternalPrinter, Helper, Highlighter, Hinter,
    error::ReadlineError,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::runtime::Handle;

use self::complete::Completion;
use super::{
    error::REFUSED,
    interpreter::{Ended, Interpreter},
    printer::remark,
    words::{self, WordsError},
};

/// Lines remembered, in the file too.
const HISTORY_MAX: usize = 1000;

/// Reads commands until the end of input.
pub(super) async fn run(interpreter: &mut Interpreter, history: Option<PathBuf>) -> u8 {
    let mut editor = match editor() {
        Ok(editor) => editor,
        Err(error) => {
            remark(&format!("conclave: no terminal: {error}"));
            return REFUSED;
        }
    };
    // One that is not there yet is written at the first line.
    drop(history.as_ref().map(|file| editor.load_history(file)));
    if let Ok(mut printer) = editor.create_external_printer() {
        interpreter.announcer.set_above(Box::new(move |text| drop(printer.print(text))));
    }
    println!("Connected to {}; help lists the commands.", interpreter.servers);
    loop {
        let completion = Completion {
            client: interpreter.connection().map(|connection| connection.client.clone()),
            runtime: Handle::current(),
            is_in_transaction: interpreter.is_in_transaction(),
        };
        editor.set_helper(Some(PromptHelper { completion }));
        let prompt = match (interpreter.is_in_transaction(), interpreter.connection()) {
            (true, _) => "txn> ",
            (false, None) => "not connected> ",
            (false, Some(_)) => "conclave> ",
        };
        // Reading blocks a thread; events are printed by others meanwhile.
        let line = match tokio::task::block_in_place(|| editor.readline(prompt)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return 0,
            Err(error) => {
                remark(&format!("conclave: {error}"));
                return REFUSED;
            }
        };
        remember(&mut editor, &line, history.as_deref());
        if execute(interpreter, &line).await {
            return 0;
        }
    }
}

/// Runs the commands of a line, and returns whether the shell is to end. What went wrong was said, and
/// the rest of the line is left.
async fn execute(interpreter: &mut Interpreter, line: &str) -> bool {
    let commands = match words::commands(line.as_bytes()) {
        Ok(commands) => commands,
        Err(error) => {
            remark(&format!("conclave: {error}"));
            return false;
        }
    };
    for words in commands {
        match interpreter.execute(&words).await {
            Ended::Code(0) => {}
            Ended::Code(_) => return false,
            Ended::Quit | Ended::OutputClosed => return true,
        }
    }
    false
}

fn editor() -> rustyline::Result<Editor<PromptHelper, FileHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_MAX)?
        .history_ignore_space(true)
        .build();
    Editor::with_config(config)
}

/// Notes a line, but for one that proves an identity: secrets are not for the disk.
fn remember(editor: &mut Editor<PromptHelper, FileHistory>, line: &str, file: Option<&Path>) {
    if line.trim().is_empty() || line.contains("addauth") {
        return;
    }
    let is_added = editor.add_history_entry(line).unwrap_or(false);
    if let Some(file) = file.filter(|_| is_added)
        && let Err(error) = editor.append_history(file)
    {
        tracing::debug!(%error, "the history was not written");
    }
}

#[derive(rustyline::Completer, Helper, Highlighter, Hinter)]
struct PromptHelper {
    #[rustyline(Completer)]
    completion: Completion,
}

impl Validator for PromptHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match words::commands(context.input().as_bytes()) {
            Err(WordsError::Quote | WordsError::Backslash) => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}
