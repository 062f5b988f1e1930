//! The prompt: a line editor with history and completion of commands and paths.

use rustyline::{
    Completer, CompletionType, Config, Editor, Helper, Highlighter, Hinter, Validator,
    completion::{Completer, Pair},
    error::ReadlineError,
    history::MemHistory,
};
use tokio::runtime::Handle;

use super::{command::Command, execute, parse, run::Shell};
use crate::client::Client;

/// Lines remembered.
const HISTORY_MAX: usize = 1000;

/// Reads commands until the end of input.
pub(super) async fn run(shell: &Shell, server: &str) -> u8 {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_MAX)
        .map(rustyline::config::Builder::build);
    let editor = config.and_then(|config| Editor::with_history(config, MemHistory::new()));
    let mut editor: Editor<PromptHelper, MemHistory> = match editor {
        Ok(editor) => editor,
        Err(error) => {
            eprintln!("conclave: no terminal: {error}");
            return super::FAILED;
        }
    };
    let paths = Paths { client: shell.client().clone(), runtime: Handle::current() };
    editor.set_helper(Some(PromptHelper { paths }));
    println!("Connected to {server}; help lists the commands.");
    loop {
        // Reading blocks a thread; events are printed by others meanwhile.
        let line = tokio::task::block_in_place(|| editor.readline("conclave> "));
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return 0,
            Err(error) => {
                eprintln!("conclave: {error}");
                return super::FAILED;
            }
        };
        let words = match parse::words(&line) {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => words,
            Err(error) => {
                eprintln!("conclave: {error}");
                continue;
            }
        };
        // A history that is full forgets its oldest line.
        drop(editor.add_history_entry(line));
        if matches!(words[0].as_str(), "quit" | "exit") {
            return 0;
        }
        // What went wrong was said; the prompt goes on.
        let _code = execute(shell, &words).await;
    }
}

#[derive(Completer, Helper, Highlighter, Hinter, Validator)]
struct PromptHelper {
    #[rustyline(Completer)]
    paths: Paths,
}

/// Completes the first word from the commands and others from the tree.
struct Paths {
    client: Client,
    runtime: Handle,
}

impl Completer for Paths {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..position];
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        let word = &before[start..];
        let candidates = if start == 0 {
            let names = Command::NAMES.iter().filter(|name| name.starts_with(word));
            names.map(|name| pair((*name).to_owned())).collect()
        } else if let Some(slash) = word.rfind('/') {
            let (parent, prefix) = (&word[..slash], &word[slash + 1..]);
            let path = if parent.is_empty() { "/" } else { parent };
            let found = self.runtime.block_on(self.client.get_children(path));
            let (names, _) = found.unwrap_or_default();
            let names = names.into_iter().filter(|name| name.starts_with(prefix));
            names.map(|name| pair(format!("{parent}/{name}"))).collect()
        } else {
            Vec::new()
        };
        Ok((start, candidates))
    }
}

fn pair(text: String) -> Pair {
    Pair { display: text.clone(), replacement: text }
}
